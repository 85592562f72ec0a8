"""Weights from files in every naming scheme, from the hub, and from wrong, damaged or hostile files."""

import doctest
import hashlib
import pickle
from pathlib import Path

import pytest
import safetensors.torch
import timm
import torch
import torchvision
from torch import Tensor

import harness.reid.models.sources
from harness.errors import InputError
from harness.reid.models import Network, build_network, weights_anywhere, weights_identity

BACKBONE = "resnet18"


@pytest.fixture(scope="module")
def theirs() -> dict[str, Tensor]:
    """A state dict from torchvision, classifier included."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return torchvision.models.resnet18(weights=None).state_dict()


def load(weights: Path | str, backbone: str = BACKBONE) -> Network:
    return build_network(
        backbone=backbone,
        weights=str(weights),
        output_stride=8,
        stage6=False,
        stage6_dilation=2,
        multi_level=False,
        embedding_dim=0,
        classes=None,
        seed=0,
    )


def assert_loaded(network: Network, state: dict[str, Tensor]) -> None:
    own = network.backbone.state_dict()
    assert all(torch.equal(own[name], value) for name, value in state.items() if not name.startswith("fc."))


def test_the_examples_in_the_docstrings_hold() -> None:
    assert doctest.testmod(harness.reid.models.sources).failed == 0


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_torchvisions_naming_loads_and_its_classifier_is_left_out(
    tmp_path: Path, theirs: dict[str, Tensor], suffix: str
) -> None:
    path = tmp_path / f"weights{suffix}"
    if suffix == ".pth":
        torch.save(theirs, path)
    else:
        safetensors.torch.save_file(theirs, path)
    assert_loaded(load(path), theirs)


def test_timms_naming_loads(tmp_path: Path) -> None:
    state = timm.create_model("resnet10t").state_dict()
    safetensors.torch.save_file(state, tmp_path / "model.safetensors")
    assert_loaded(load(tmp_path / "model.safetensors", "resnet10t"), state)


@pytest.mark.parametrize("wrapper", ["state_dict", "model"])
def test_checkpoints_with_a_wrapper_and_a_prefix_load(tmp_path: Path, theirs: dict[str, Tensor], wrapper: str) -> None:
    wrapped = {wrapper: {f"module.{name}": value for name, value in theirs.items()}, "epoch": 90}
    torch.save(wrapped, tmp_path / "checkpoint.pth")
    assert_loaded(load(tmp_path / "checkpoint.pth"), theirs)


def test_old_files_without_batch_counters_load(tmp_path: Path, theirs: dict[str, Tensor]) -> None:
    old = {name: value for name, value in theirs.items() if not name.endswith("num_batches_tracked")}
    torch.save(old, tmp_path / "old.pth")
    assert_loaded(load(tmp_path / "old.pth"), old)


def test_weights_that_do_not_fit_are_reported_key_by_key(tmp_path: Path, theirs: dict[str, Tensor]) -> None:
    wrong = dict(theirs)
    del wrong["layer4.1.conv2.weight"]
    wrong["layer5.0.conv1.weight"] = torch.zeros(1)
    wrong["conv1.weight"] = torch.zeros(64, 1, 7, 7)
    torch.save(wrong, tmp_path / "wrong.pth")
    with pytest.raises(InputError) as caught:
        load(tmp_path / "wrong.pth")
    message = str(caught.value)
    assert "wrong.pth for backbone resnet18 do not fit" in message
    assert "1 missing: layer4.1.conv2.weight" in message
    assert "1 unexpected: layer5.0.conv1.weight" in message
    assert "1 of another shape: conv1.weight (64, 1, 7, 7) instead of (64, 3, 7, 7)" in message


def test_the_mismatch_of_another_backbones_weights_is_summarised(tmp_path: Path, theirs: dict[str, Tensor]) -> None:
    torch.save(theirs, tmp_path / "resnet18.pth")
    with pytest.raises(InputError, match=r"for backbone resnet34 do not fit; \d+ missing: .* and \d+ more$"):
        load(tmp_path / "resnet18.pth", "resnet34")


class Hostile:
    """Unpickling this would leave a file behind."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.trace,)


def test_a_hostile_pickle_is_refused_and_never_run(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    for name, save in {"torch.pth": torch.save, "plain.pth": lambda o, p: p.write_bytes(pickle.dumps(o, 2))}.items():
        save({"conv1.weight": Hostile(trace)}, tmp_path / name)
        with pytest.raises(InputError, match=f"{name} cannot be read"):
            load(tmp_path / name)
    assert not trace.exists()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("kept", [0, 10, 5000])
def test_a_truncated_file_is_refused(tmp_path: Path, theirs: dict[str, Tensor], suffix: str, kept: int) -> None:
    path = tmp_path / f"cut{suffix}"
    if suffix == ".pth":
        torch.save(theirs, path)
    else:
        safetensors.torch.save_file(theirs, path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(InputError, match=f"cut{suffix} cannot be read"):
        load(path)


@pytest.mark.parametrize("content", [[1, 2], {"epoch": 3}, torch.zeros(3)])
def test_a_file_without_weights_is_refused(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "other.pth")
    with pytest.raises(InputError, match="holds no state dict; expected names with their tensors"):
        load(tmp_path / "other.pth")


def test_a_missing_file_and_a_misspelt_word_give_different_errors(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r'no file ".*absent\.pth" .*expected "imagenet", "none" or the path'
    ) as caught:
        load(tmp_path / "absent.pth")
    assert "did you mean" not in str(caught.value)
    with pytest.raises(InputError, match='did you mean "imagenet"'):
        load("imagnet")


def test_imagenet_weights_come_from_the_hub_under_the_papers_tag(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str]] = []
    state = timm.create_model("resnet50").state_dict()

    def fetch(hub_id: str, filename: str) -> dict[str, Tensor]:
        asked.append((hub_id, filename))
        return state

    monkeypatch.setattr(timm.models, "load_state_dict_from_hf", fetch)
    assert_loaded(load("imagenet", "resnet50"), state)
    assert asked == [("timm/resnet50.tv_in1k", "model.safetensors")]


def test_without_a_network_the_error_says_what_to_download_and_where_to_name_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(hub_id: str, filename: str) -> dict[str, Tensor]:
        raise OSError("no route to host\nand a long story")

    monkeypatch.setattr(timm.models, "load_state_dict_from_hf", fail)
    with pytest.raises(InputError) as caught:
        load("imagenet", "resnet101")
    message = str(caught.value)
    assert "the model timm/resnet101.tv_in1k of the Hugging Face hub" in message
    assert "(no route to host)" in message
    assert "download its model.safetensors" in message
    assert "write its path as model.weights" in message


def test_a_backbone_without_timm_weights_is_reported() -> None:
    with pytest.raises(InputError, match='timm has no ImageNet weights for "seresnet18"'):
        load("imagenet", "seresnet18")
    with pytest.raises(
        InputError, match=r'no ImageNet weights for "resnet18\.a1_ink"; did you mean "resnet18\.a1_in1k"'
    ):
        load("imagenet", "resnet18.a1_ink")


def test_the_identity_of_a_file_is_its_content(tmp_path: Path) -> None:
    first, second = tmp_path / "a.pth", tmp_path / "b.pth"
    first.write_bytes(b"weights")
    second.write_bytes(b"weights")
    expected = f"sha256:{hashlib.sha256(b'weights').hexdigest()}"
    assert weights_identity(BACKBONE, str(first)) == weights_identity(BACKBONE, str(second)) == expected
    second.write_bytes(b"others!!")
    assert weights_identity(BACKBONE, str(second)) != expected


def test_the_identity_of_named_weights() -> None:
    assert weights_identity("resnet50", "none") == "none"
    assert weights_identity("resnet50", "imagenet") == "timm:resnet50.tv_in1k"
    assert weights_identity("resnet101", "imagenet") == "timm:resnet101.tv_in1k"
    assert weights_identity("resnet50.a1_in1k", "imagenet") == "timm:resnet50.a1_in1k"
    assert weights_identity("resnet18", "imagenet") == f"timm-{timm.__version__}:resnet18"
    with pytest.raises(InputError, match="no file"):
        weights_identity("resnet18", "absent.pth")


def test_a_file_is_given_by_a_path_that_works_in_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own.pth").touch()
    monkeypatch.chdir(tmp_path)
    assert weights_anywhere("own.pth") == str(tmp_path / "own.pth")
    assert [weights_anywhere(name) for name in ("imagenet", "none")] == ["imagenet", "none"]
    with pytest.raises(InputError, match='no file "other'):
        weights_anywhere("other.pth")
