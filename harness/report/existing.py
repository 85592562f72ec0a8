"""Runs that the harness did not make, as the snapshot that reports are built from: a data frame with a line per run.

Owns reading levels, seeds, metrics and values by unit out of a frame's columns. What such runs lack (their code, their
data) is reported as unknown; nothing is guessed. Does not read files or trackers: ``harness.api.existing`` and
``harness.track`` provide the frames.
"""

import math
import re
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.errors import InputError, did_you_mean
from harness.plan.columns import TOGGLE, Level, level_name
from harness.track.snapshot import RunRecord, Snapshot
from harness.trainer import Metric
from harness.units import Units

if TYPE_CHECKING:
    import pandas as pd

_WORDS: Mapping[str, bool] = {
    **dict.fromkeys(("true", "yes", "on", "1"), True),
    **dict.fromkeys(("false", "no", "off", "0"), False),
}
"""The words of a factor that is on or off."""
_MOST_NAMED = 6
_DIGITS = 4
"""Significant digits of a metric's largest value, if the number of decimals is not given."""


@dataclass(frozen=True)
class Source:
    """Where runs come from that the harness did not make."""

    origin: str
    """For the heading: a file, an experiment."""
    place: Callable[[Hashable], str]
    """Where a line of the frame comes from, for messages (``results.csv:7``)."""
    reruns: bool = False
    """Whether a row may have several runs under one seed, of which the last counts; else that is an error."""
    provenance: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    records: Mapping[Hashable, RunRecord] = field(default_factory=dict)
    """Further facts about each line's run: its id, state, page and artifacts."""


@dataclass(frozen=True)
class Named:
    """The columns of a frame that somebody named."""

    factors: Mapping[str, str]
    """The column of each factor, by its name for people."""
    seed: str
    metrics: Mapping[str, str]
    """The column of each metric, by its key."""
    unit: str | None = None
    """The column of what a metric is a mean of; a run then has a line for each."""
    group: str | None = None
    """The column of what of it is drawn together."""


def find_columns(
    frame: "pd.DataFrame",
    origin: str,
    factors: Sequence[str],
    seed: str,
    metrics: Sequence[str],
    units: Sequence[str] = (),
) -> Named:
    """Returns the columns that somebody named: as they are, or without ``params.`` and ``metrics.`` before them.

    Raises:
        InputError: If one is not in the frame, or serves twice.
    """
    if len(units) > 2:
        raise InputError(f"found {len(units)} columns of units, expected one, or one and what is drawn together")
    kinds = [("factor", "params.", factors), ("seed", "params.", [seed]), ("metric", "metrics.", metrics)]
    found: dict[str, dict[str, str]] = {}
    taken: dict[str, str] = {}
    for kind, prefix, names in [*kinds, ("unit", "", units)]:
        for name in names:
            column = name if name in frame.columns else prefix + name
            if column not in frame.columns:
                message = did_you_mean(name, [str(each) for each in frame.columns])
                raise InputError(f'{origin}: "{name}" ({kind}) is not a column; {message}')
            if column in taken:
                raise InputError(f'{origin}: column "{column}" is named as {taken[column]} and as {kind}')
            taken[column] = kind
            found.setdefault(kind, {})[name.removeprefix(prefix)] = column
    if not factors:
        raise InputError(f"{origin}: expected at least one factor")
    if len(found["factor"]) < len(factors):
        raise InputError(f"{origin}: two factors have one name: {', '.join(factors)}")
    own = list(found.get("unit", {}).values())
    return Named(found["factor"], found["seed"].popitem()[1], found["metric"], *own)


def decimals_for(frame: "pd.DataFrame", column: str) -> int:
    """Digits behind the point that show four significant ones of a column's largest number."""
    import pandas as pd

    numbers = pd.to_numeric(frame[column], errors="coerce").abs()
    largest = float(numbers[np.isfinite(numbers)].max()) if np.isfinite(numbers).any() else 0.0
    return min(10, max(0, _DIGITS - 1 - math.floor(math.log10(largest)))) if largest else _DIGITS - 1


def existing_snapshot(
    frame: "pd.DataFrame", named: Named, metrics: Mapping[str, Metric], name: str, title: str, source: Source
) -> Snapshot:
    """Builds the snapshot of a frame's runs, with a row for each setting of the factors.

    Args:
        frame: A line for each run, or for each run and unit.
        named: Its columns.
        metrics: The metrics, by key.
        name: The table's name.
        title: Its title.
        source: Where the runs come from.

    Raises:
        InputError: For a cell that cannot be read, and for two runs with equal factors and seed.
    """
    settings, levels = _settings(frame, named, source)
    seeds = {label: _seed(value, named.seed, label, source) for label, value in frame[named.seed].items()}
    order = {factor: {level: place for place, level in enumerate(own)} for factor, own in levels.items()}
    varying = [factor for factor in levels if len({setting[factor] for setting in settings.values()}) > 1]
    lines: dict[tuple[tuple[int, ...], int], list[Hashable]] = {}
    for label, setting in settings.items():
        place = tuple(order[factor][level] for factor, level in setting.items())
        lines.setdefault((place, seeds[label]), []).append(label)
    rows: dict[str, dict[str, Level]] = {}
    runs: list[RunRecord] = []
    cells = {} if named.unit else frame[list(named.metrics.values())].to_dict("index")
    for (_, seed), labels in sorted(lines.items(), key=lambda item: item[0]):
        setting = settings[labels[0]]
        row = _row_id(setting, varying)
        rows[row] = setting
        if named.unit is not None:
            runs.append(_run_of_units(frame.loc[labels], named, row, seed, source))
            continue
        if len(labels) > 1 and not source.reruns:
            first, second = (source.place(label) for label in labels[:2])
            raise InputError(
                f"{first} and {second} are both row {row} under seed {seed}: name the factor that distinguishes them, "
                "or the column of units if each line is the result of one unit"
            )
        runs += [_run(cells[label], label, named, row, seed, source) for label in labels]
    declaration = {
        "name": name,
        "title": title,
        "origin": source.origin,
        "profile": "",
        "dataset": "",
        "seeds": [],
        "metrics": list(metrics),
        "measured": {key: asdict(metric) for key, metric in metrics.items()},
        "levels": {factor: list(own) for factor, own in levels.items() if own != TOGGLE},
        "rows": [{"id": row, "label": "", "note": "", "factors": setting} for row, setting in rows.items()],
        "notes": [*source.notes, *_missing(runs, list(metrics))],
    }
    facts = {"origin": source.origin, "code_digest": "unknown", "dataset": "unknown", **source.provenance}
    return Snapshot("", name, declaration, facts, tuple(runs))


def _settings(
    frame: "pd.DataFrame", named: Named, source: Source
) -> tuple[dict[Hashable, dict[str, Level]], dict[str, tuple[Level, ...]]]:
    """Every line's setting of all factors, and the levels of each, the default first."""
    settings: dict[Hashable, dict[str, Level]] = {label: {} for label in frame.index}
    levels: dict[str, tuple[Level, ...]] = {}
    for factor, column in named.factors.items():
        texts = {label: _text(value) for label, value in frame[column].items()}
        for label, text in texts.items():
            if not text:
                raise InputError(f"{source.place(label)}: {column}: found nothing, expected a level (or true or false)")
        known = _levels_of(list(dict.fromkeys(texts.values())))
        levels[factor] = TOGGLE if set(known.values()) <= set(TOGGLE) else tuple(dict.fromkeys(known.values()))
        for label, text in texts.items():
            settings[label][factor] = known[text]
    return settings, levels


def _levels_of(texts: Sequence[str]) -> dict[str, Level]:
    """The level that each text means: on or off; numbers from the least; others as they come.

    >>> _levels_of(["yes", "no"]), _levels_of(["0.10", "0.01", "0.1"]), _levels_of(["sgd", "adam"])
    ({'yes': True, 'no': False}, {'0.01': '0.01', '0.10': '0.10', '0.1': '0.10'}, {'sgd': 'sgd', 'adam': 'adam'})
    """
    if all(text.lower() in _WORDS for text in texts):
        return {text: _WORDS[text.lower()] for text in texts}
    try:
        numbers = {text: float(text) for text in texts}
    except ValueError:
        return {text: text for text in texts}
    spelled: dict[float, str] = {}
    for text, number in numbers.items():
        spelled.setdefault(number, text)
    return {text: spelled[numbers[text]] for text in sorted(texts, key=lambda text: numbers[text])}


def _row_id(setting: Mapping[str, Level], varying: Sequence[str]) -> str:
    """Returns the row's id as a factorial's generator forms it, without the factors that never change."""
    named = [level_name(factor, setting[factor]) for factor in varying if setting[factor] is not False]
    return " + ".join(named) or "none"


def _text(value: Any) -> str:
    """A cell as text: 3 for 3.0, nothing for a missing value."""
    if isinstance(value, float | np.floating):
        number = float(value)
        return "" if math.isnan(number) else str(int(number)) if number.is_integer() else repr(number)
    return "" if value is None else str(value).strip()


def _seed(value: Any, column: str, label: Hashable, source: Source) -> int:
    text = _text(value)
    if not re.fullmatch(r"[0-9]{1,18}", text):
        found = f'"{text}"' if text else "nothing"
        raise InputError(f"{source.place(label)}: {column}: found {found}, expected a seed, a whole number from 0")
    return int(text)


def _number(value: Any, column: str, label: Hashable, source: Source) -> float | None:
    """A metric's value; None for an empty cell and for one that says that it is not finite (nan, inf)."""
    text = _text(value)
    try:
        number = float(text) if text else math.nan
    except ValueError:
        raise InputError(f'{source.place(label)}: {column}: found "{text}", expected a number') from None
    return number if math.isfinite(number) else None


def _run(line: Mapping[Hashable, Any], label: Hashable, named: Named, row: str, seed: int, source: Source) -> RunRecord:
    values = {key: _number(line[column], column, label, source) for key, column in named.metrics.items()}
    metrics = {key: value for key, value in values.items() if value is not None}
    blank = RunRecord(source.place(label), row, seed, "finished", "", {}, {}, {}, None, None)
    record = replace(source.records.get(label, blank), row=row, seed=seed, metrics=metrics)
    if metrics or record.status != "finished":
        return record
    return replace(record, status="failed", reason=f"it has no {' or '.join(named.metrics)}")


def _missing(runs: Sequence[RunRecord], metrics: Sequence[str]) -> list[str]:
    """A note for each metric that finished runs lack, or have no finite number of."""
    notes = []
    for metric in metrics:
        without = [run for run in runs if run.status == "finished" and metric not in run.metrics]
        named = [f"row {run.row} seed {run.seed}" for run in without[:_MOST_NAMED]]
        more = f" and {len(without) - _MOST_NAMED} more" if len(without) > _MOST_NAMED else ""
        if named:
            notes.append(f"{metric} has no finite number in {', '.join(named)}{more}, which count in no mean of it.")
    return notes


def _run_of_units(lines: "pd.DataFrame", named: Named, row: str, seed: int, source: Source) -> RunRecord:
    """A run from its lines, one for each unit: its metrics are their means."""
    assert named.unit is not None
    ids = [_text(value) for value in lines[named.unit]]
    first: dict[str, Hashable] = {}
    for label, text in zip(lines.index, ids, strict=True):
        if not text:
            raise InputError(f"{source.place(label)}: {named.unit}: found nothing, expected the name of a unit")
        if text in first:
            raise InputError(
                f"{source.place(first[text])} and {source.place(label)} are both {named.unit} {text} of row {row} "
                f"under seed {seed}: name the factor that distinguishes them"
            )
        first[text] = label
    values = {}
    for key, column in named.metrics.items():
        found = [_number(value, column, label, source) for label, value in lines[column].items()]
        missing = next((label for label, value in zip(lines.index, found, strict=True) if value is None), None)
        if missing is not None:
            raise InputError(f"{source.place(missing)}: {column}: found no finite number, expected one for every unit")
        values[key] = np.array(found, dtype=np.float64)
    groups = ids if named.group is None else [_text(value) for value in lines[named.group]]
    units = Units(values, np.array(ids), np.array(groups), plural(named.unit), plural(named.group or named.unit))
    means = {key: float(value.mean()) for key, value in values.items()}
    return RunRecord(source.place(lines.index[0]), row, seed, "finished", "", means, {}, {}, None, None, by_unit=units)


def plural(noun: str) -> str:
    """A column's name as a noun in the plural.

    >>> plural("query"), plural("user"), plural("units")
    ('queries', 'users', 'units')
    """
    if noun.endswith("y") and noun[-2:-1] not in "aeiou":
        return f"{noun[:-1]}ies"
    return noun if noun.endswith("s") else f"{noun}s"
