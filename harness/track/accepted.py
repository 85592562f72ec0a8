"""Keys and values in the form that MLflow accepts, and back again.

Keys of metrics, parameters and tags are escaped (``harness.names``). A value that exceeds MLflow's limit is truncated,
and names the artifact with its full text.
"""

import hashlib
import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from harness.files import regular_file
from harness.names import Naming, file_name, folded_file_name, writable
from harness.track.tags import STEP_PREFIX

_KEYS = Naming(escape=":", also=" _-.", most_bytes=200)
"""MLflow accepts 250 characters; the rest is for what the harness adds to a user's text."""

OWN_PARAMS = frozenset(
    ("row", "seed", "backbone", "image", "epochs", "epsilon1", "epsilon2", "rerank", "reuse", "state", "trial")
)
"""Parameters of runs besides their factors; the key of a factor with such a name is escaped."""

MOST_OF_A_PARAM = 6000
MOST_OF_A_TAG = 8000
MOST_OF_A_RUN_NAME = 250
MOST_OF_A_DATASET_NAME = 500

WHOLE = "whole"
"""The artifact folder with the full texts of truncated values."""
_CUT = re.compile(r"… \[whole in (whole/[^\]\s]+), sha256 ([0-9a-f]{16})\]$")


def key_name(text: str, avoid: Collection[str] = ()) -> str:
    """Returns the key of a text, without a slash, and none of ``avoid``.

    >>> key_name("mAP seed 0"), key_name("Soft+Rerank (k=20)")
    ('mAP seed 0', 'Soft:2BRerank :28k:3D20:29')
    """
    return _KEYS.encode(text, avoid)


def text_of_key(key: str, known: Iterable[str] = ()) -> str:
    """Returns the text of a key; a truncated one is looked up among ``known`` texts.

    >>> text_of_key("Soft:2BRerank :28k:3D20:29")
    'Soft+Rerank (k=20)'
    """
    return _KEYS.decode(key, known)


def factor_key(factor: str, params: Collection[str] = ()) -> str:
    """Returns the parameter name of a factor, distinct from a run's own parameters and ``params``.

    >>> factor_key("SAC"), factor_key("seed")
    ('SAC', ':73eed')
    """
    return key_name(factor, OWN_PARAMS | set(params))


def row_metric(metric: str, row: str, end: str = "") -> str:
    """Returns the name of a parent run's metric: a row's mean, or one end of its interval.

    MLflow's pages group metrics by the part before the slash.

    >>> row_metric("mAP", "8"), row_metric("mAP", "3(T)", "low")
    ('mAP/row 8', 'mAP/row 3:28T:29: low')
    """
    return f"{key_name(metric)}/row {key_name(row)}" + (f": {end}" if end else "")


def step_metric(name: str) -> str:
    """Returns the MLflow name of a spool's metric.

    >>> step_metric("loss"), step_metric("loss_a/b")
    ('train/loss', 'train/loss_a:2Fb')
    """
    return STEP_PREFIX + key_name(name)


def is_final(metric: str) -> bool:
    """Whether a metric is final rather than step-wise.

    >>> is_final("mAP"), is_final("train/loss")
    (True, False)
    """
    return "/" not in metric


def shortened(text: str, most: int) -> str:
    """Truncates a display name to at most ``most`` characters.

    >>> shortened("8 · Softmax+SAC · seed 0", 250), shortened("8 · Softmax+SAC · seed 0", 10)
    ('8 · Softmax+SAC · seed 0', '8 · Softm…')
    """
    return text if len(text) <= most else text[: most - 1] + "…"


def fitted(values: Mapping[str, str], kind: str, most: int) -> tuple[dict[str, str], dict[str, str]]:
    """Returns values truncated to MLflow's limit, and the full texts of the truncated ones, by artifact.

    Args:
        values: By key.
        kind: ``params`` or ``tags``.
        most: The limit in characters.
    """
    kept, texts = {}, {}
    for key, value in values.items():
        value = writable(value)
        if len(value) > most:
            place = f"{WHOLE}/{kind}/{folded_file_name(key)}.txt"
            texts[place] = value
            end = f"… [whole in {place}, sha256 {_digest(value)}]"
            value = value[: most - len(end)] + end
        kept[key] = value
    return kept, texts


def whole_value(value: str, artifacts: Path | None) -> str:
    """Restores a value that ``fitted`` truncated; without its artifact, returns it truncated."""
    found = _CUT.search(value)
    if found is None or artifacts is None:
        return value
    try:
        text = regular_file(artifacts / found[1]).read_bytes().decode("utf-8")
    except (OSError, ValueError):
        return value
    return text if _digest(text) == found[2] else value


def folder_name(experiment: str) -> str:
    """Returns the name of an experiment's artifact folder, short enough for MLflow's database column."""
    name = file_name(experiment)
    return name if len(name) <= 60 and name.isascii() else f"{_digest(experiment)}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
