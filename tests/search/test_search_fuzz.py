"""Whatever a search file says, a study can be opened and asked, or an InputError of readable length refuses it."""

import copy
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from hypothesis import example, given
from hypothesis import strategies as st
from optuna.storages import InMemoryStorage

from harness.errors import InputError
from harness.matrix import Matrix, expand, read_declaration
from harness.search import read_search
from harness.search.study import SearchStudy
from harness.search.trials import Trials
from harness.trainer import Inputs

ABLATIONS = Path(__file__).parents[2] / "ablations"
TEXT = (ABLATIONS / "margins.yaml").read_text(encoding="utf-8").replace("table1.yaml", str(ABLATIONS / "table1.yaml"))
DATA = Inputs("market1501", {"train": "t" * 32}, {"train": 1000, "classes": 50})
FRAGMENTS = [
    *"[]{}:,-?&*!|>'\"%@`#\n\t ~",
    ": ",
    "- ",
    "null",
    "true",
    "3e-4",
    ".nan",
    "1e999",
    "losses.sac.weight",
    "<",
]


@cache
def table() -> Matrix:
    return expand(read_declaration(ABLATIONS / "table1.yaml"), profile="demo", rows=["3"])


def asked_or_refused(path: Path) -> str:
    """Everything that a command does with the file before it trains; what the refusal says, or nothing."""
    try:
        search = read_search(path).under("demo")
        matrix = table()
        trials = Trials(search, matrix, matrix.rows[0], DATA, lambda _: "c" * 32)
        study = SearchStudy(search, "s", InMemoryStorage(), "me", minimize=False)
        for asked in study.ask(2):
            trials.rungs(asked.params)
    except InputError as refusal:
        return str(refusal)
    return ""


edits = st.lists(
    st.tuples(st.floats(0, 1), st.integers(0, 12), st.sampled_from(FRAGMENTS) | st.text(max_size=4)),
    min_size=1,
    max_size=4,
)


@given(edits)
def test_an_edited_search_is_asked_or_refused(tmp_path_factory: Any, changes: list[tuple[float, int, str]]) -> None:
    text = TEXT
    for place, length, new in changes:
        start = int(place * len(text))
        text = text[:start] + new + text[start + length :]
    path = tmp_path_factory.mktemp("fuzz") / "edited.yaml"
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    assert len(asked_or_refused(path)) < 8000


numbers = st.integers(-3, 10**12) | st.floats(allow_nan=True) | st.sampled_from([0, 0.0, 1e-300, 1e300, 10**30])
dimensions = st.fixed_dictionaries(
    {},
    optional={
        "low": numbers,
        "high": numbers,
        "step": numbers,
        "log": st.booleans(),
        "choices": st.lists(numbers | st.booleans() | st.text(max_size=3), max_size=4),
    },
)
KEYS = [
    "losses.quadruplet.epsilon1",
    "losses.softmax.label_smoothing",
    "stages.metric.epochs",
    "stages.metric.stop_after",
    "stages.metric.optimizer.kind",
    "model.backbone",
    "losses.normalize_embeddings",
]


@given(
    st.dictionaries(st.sampled_from(KEYS), dimensions, min_size=1, max_size=2),
    st.sampled_from(["grid", "tpe", "random", "cmaes"]),
)
@example({KEYS[0]: {"low": 0, "high": 1e9, "step": 1e-6}}, "grid")
@example({KEYS[0]: {"low": 0.0, "high": 1.0, "step": 5.0}}, "tpe")
def test_any_space_is_asked_or_refused(tmp_path_factory: Any, space: dict[str, Any], sampler: str) -> None:
    document = copy.deepcopy(yaml.safe_load(TEXT))
    document |= {"space": space, "sampler": sampler, "constraints": []}
    del document["reference"]
    path = tmp_path_factory.mktemp("fuzz") / "space.yaml"
    path.write_text(yaml.safe_dump(document, allow_unicode=True), encoding="utf-8")
    message = asked_or_refused(path)
    assert not message or f"{path}:" in message


ANYTHING: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | numbers | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)


def _places(value: Any, key: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [key, *(place for name, item in inner for place in _places(item, (*key, name)))]


@given(st.sampled_from(_places(yaml.safe_load(TEXT))[1:]), ANYTHING)
def test_any_value_in_any_place_is_asked_or_refused_by_file(tmp_path_factory: Any, place: Any, value: Any) -> None:
    document = copy.deepcopy(yaml.safe_load(TEXT))
    around = document
    for name in place[:-1]:
        around = around[name]
    around[place[-1]] = value
    path = tmp_path_factory.mktemp("fuzz") / "value.yaml"
    path.write_text(yaml.safe_dump(document, allow_unicode=True), encoding="utf-8")
    message = asked_or_refused(path)
    assert not message or ".yaml" in message
