"""Which weights a name means, and what identifies them. Free of torch and timm, so that planning stays quick."""

import hashlib
import re
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

from harness.errors import SettingError, nearest
from harness.files import NotRegularFileError, regular_file

IMAGENET = "imagenet"
NONE = "none"
TORCHVISION_TAGS = {"resnet50": "tv_in1k", "resnet101": "tv_in1k"}
"""The paper starts from torchvision's weights, which for these two backbones are not timm's default."""

_RESNET = re.compile(r"(test_resnet|resnet(18|26|34|50|101|152)[a-z]?)(\..*)?")


def plain_resnet(backbone: str) -> bool:
    """Whether every factor is known to fit ``backbone`` by its name alone, so that no plan has to import timm for it.

    >>> plain_resnet("resnet50.a1_in1k"), plain_resnet("resnet51q"), plain_resnet("vit_tiny_patch16_224")
    (True, False, False)
    """
    return _RESNET.fullmatch(backbone) is not None


def is_own(backbone: str) -> bool:
    """Whether ``backbone`` names a user's function (``package.module:function``) instead of a timm network."""
    return ":" in backbone


def imagenet_name(backbone: str) -> str:
    """timm's name of the ImageNet weights of ``backbone``; without a tag where timm's own default is meant.

    >>> imagenet_name("resnet50"), imagenet_name("resnet50.a1_in1k"), imagenet_name("resnet18")
    ('resnet50.tv_in1k', 'resnet50.a1_in1k', 'resnet18')
    """
    tag = TORCHVISION_TAGS.get(backbone)
    return f"{backbone}.{tag}" if tag else backbone


def weights_file(weights: str) -> Path:
    """The file that ``weights`` names.

    Raises:
        SettingError: There is no such file, or it is not a regular one.
    """
    path = Path(weights).expanduser()
    try:
        return regular_file(path)
    except NotRegularFileError as error:
        message = f'found {error.found}, expected "{IMAGENET}", "{NONE}" or a .safetensors or .pth file'
        raise SettingError("model.weights", f'"{weights}": {message}') from None
    except (OSError, ValueError):  # missing, a name too long, or with a null byte
        near = None if path.suffix else nearest(weights, [IMAGENET, NONE])
        meant = "" if near is None else f'; did you mean "{near}"?'
        message = f'no file "{weights}" (looked in {Path.cwd()}); expected "{IMAGENET}", "{NONE}" or the path of a'
        raise SettingError("model.weights", f"{message} .safetensors or .pth file{meant}") from None


def weights_anywhere(weights: str) -> str:
    """The same weights for a process in another working folder: a file by its absolute path.

    Raises:
        SettingError: The file does not exist.
    """
    return weights if weights in {IMAGENET, NONE} else str(weights_file(weights).absolute())


def weights_identity(backbone: str, weights: str) -> str:
    """The identity of a network's initial weights, for a fingerprint.

    ``none`` is ``none``; a file is the digest of its contents, whatever its name; ImageNet weights are their timm tag
    or, where timm's default is meant, the backbone with the version of timm, which decides the default.

    Raises:
        SettingError: The file does not exist.

    >>> weights_identity("resnet50", "imagenet")
    'timm:resnet50.tv_in1k'
    """
    if weights == NONE:
        return NONE
    if weights == IMAGENET:
        name = imagenet_name(backbone)
        return f"timm:{name}" if "." in name else f"timm-{version('timm')}:{name}"
    path = weights_file(weights)
    stat = path.stat()
    return f"sha256:{_digest(path.resolve(), stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino)}"


@lru_cache(maxsize=64)
def _digest(path: Path, *_state: int) -> str:
    with regular_file(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
