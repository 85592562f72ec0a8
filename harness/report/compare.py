"""The differences between two rows, two runs, or two versions of a table: settings, origins, numbers, units, costs.

Owns pairing two sides of any provenance, which a table's report refuses; the runs of one side still have one code, one
data set and one profile. As with ``git diff``, a difference says how the second side differs from the first, and a gain
is positive if the second is better. Does not look for runs: ``harness.api`` finds them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from harness.errors import InputError, did_you_mean
from harness.plan.why import Difference, setting_differences
from harness.report.basis import Basis
from harness.report.compare_units import UnitValues, compare_units
from harness.report.costs import COSTS, Cost
from harness.report.measurements import Measurements
from harness.report.provenance import SAME, libraries_of, provenance_of
from harness.report.settled import counted_runs, settlement_of
from harness.report.statistics import Chance, Estimate
from harness.settle.looks import share_at
from harness.track.snapshot import RunRecord, Snapshot
from harness.trainer import Metric

_FACTS = ("commit", "dirty", "reuse", "made", "device", "cpu", "platform", "python", "mlflow")


@dataclass(frozen=True)
class Side:
    """One of the two that are compared: a row's finished runs, or one of them."""

    name: str
    """Readable: ``8``, ``8 at 3fa9c1d``, ``run 0123abcd``."""
    row: Mapping[str, Any]
    """The row as its table declared it, with its recipe."""
    runs: tuple[RunRecord, ...]
    snapshot: Snapshot
    """The table's runs that these are of."""

    @classmethod
    def of(cls, name: str, snapshot: Snapshot, row: str, run_id: str = "") -> "Side":
        """A row of a snapshot, or one run of it.

        Raises:
            InputError: If the row has no finished run, or the run has not finished.
        """
        declared = next(one for one in snapshot.declaration["rows"] if one["id"] == row)
        counted = counted_runs(snapshot, settlement_of(snapshot)) if not run_id else snapshot
        own = [run for run in counted.runs if run.row == row and run_id in ("", run.run_id)]
        finished = {run.seed: run for run in own if run.status == "finished"}
        if not finished:
            states = ", ".join(dict.fromkeys(run.status for run in own)) or "not run"
            what = f"run {run_id}" if run_id else f'table "{snapshot.table}": row "{name}"'
            raise InputError(f"{what} has no numbers to compare ({states}); expected a finished run")
        return cls(name, declared, tuple(finished[seed] for seed in sorted(finished)), snapshot)

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds with a finished run."""
        return tuple(run.seed for run in self.runs)


@dataclass(frozen=True)
class MetricLine:
    """One metric of both sides."""

    metric: Metric
    first: Estimate | None
    second: Estimate | None
    gain: Estimate | None
    """Of the second over the first, positive where it is better."""
    basis: Basis | None
    """The basis of the gain if it is paired; None otherwise."""


@dataclass(frozen=True)
class Fact:
    """Something of the runs' origin that the sides do not have alike."""

    name: str
    first: str
    second: str


@dataclass(frozen=True)
class Pair:
    """Two sides beside each other."""

    first: Side
    second: Side
    settings: tuple[Difference, ...]
    metrics: tuple[MetricLine, ...]
    units: UnitValues | None
    """Values by unit in the first metric; None where the sides have no common ones."""
    costs: tuple[tuple[Cost, float | None, float | None], ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Comparison:
    """All that is shown of two sides, which are rows, runs, or all common rows of two versions of a table."""

    name: str
    """The name of its files."""
    title: str
    first: str
    second: str
    mixed: tuple[str, ...]
    """Tags, such as code version or data set, in which a report requires its runs to agree and the sides do not."""
    facts: tuple[Fact, ...]
    code: tuple[Difference, ...]
    pairs: tuple[Pair, ...]
    notes: tuple[str, ...]


def compare(
    sides: Sequence[tuple[Side, Side]],
    names: tuple[str, str],
    file_name: str,
    metric: str | None = None,
    code: Sequence[Difference] = (),
    notes: Sequence[str] = (),
) -> Comparison:
    """Compares sides pair by pair.

    Args:
        sides: The pairs: one, or one for each row that two versions of a table have.
        names: Of the two wholes, for the heading.
        file_name: What files of the comparison are called.
        metric: The metric whose values by unit are compared; None: the table's first.
        code: What differs in the code, as far as it is known.
        notes: What else a reader should know.

    Raises:
        InputError: Sides share no seed or no metric, or the metric is not measured.
    """
    pairs = tuple(_pair(first, second, metric) for first, second in sides)
    first, second = sides[0]
    mixed = [label for key, label in SAME.items() if len(_both(first, second, key)) > 1]
    facts = [_fact(first, second, key, label) for key, label in SAME.items()]
    libraries = {name for side in (first, second) for run in side.runs for name in libraries_of(run)}
    facts += [_fact(first, second, key, key) for key in (*_FACTS, *sorted(libraries))]
    titles = dict.fromkeys(str(side.snapshot.declaration["title"]) for side in (first, second))
    return Comparison(
        name=file_name,
        title=" and ".join(titles),
        first=names[0],
        second=names[1],
        mixed=tuple(mixed),
        facts=tuple(fact for fact in facts if fact is not None),
        code=tuple(code),
        pairs=pairs,
        notes=tuple(dict.fromkeys([*notes, *(note for pair in pairs for note in pair.notes)])),
    )


def _both(first: Side, second: Side, key: str) -> set[str | None]:
    return {provenance_of(run, key) for side in (first, second) for run in side.runs}


def _fact(first: Side, second: Side, key: str, label: str) -> Fact | None:
    texts = [
        ", ".join(dict.fromkeys(filter(None, (provenance_of(run, key) for run in side.runs))))
        for side in (first, second)
    ]
    return Fact(label, *texts) if texts[0] != texts[1] else None


def _pair(first: Side, second: Side, metric: str | None) -> Pair:
    notes: list[str] = []
    runs: tuple[tuple[RunRecord, ...], tuple[RunRecord, ...]] = (first.runs, second.runs)
    if len(first.runs) == len(second.runs) == 1 and first.seeds != second.seeds:
        notes.append(
            f"{first.name} and {second.name} are single runs under different seeds ({first.seeds[0]} and "
            f"{second.seeds[0]}): the difference may be chance between seeds"
        )
        runs = (first.runs, tuple(replace(run, seed=first.seeds[0]) for run in second.runs))
    elif not {*first.seeds} & {*second.seeds}:
        raise InputError(
            f'"{first.name}" and "{second.name}" have no finished seed in common (found {_list(first.seeds)} and '
            f"{_list(second.seeds)}); expected one, since runs are compared in pairs of one seed"
        )
    if settlement_of(first.snapshot) or settlement_of(second.snapshot):
        notes.append("seeds were added until claims were decided: intervals and p-values are those of repeated looks")
    keys = _metrics(first, second)
    if metric is not None and metric not in keys:
        raise InputError(f'--metric "{metric}": {did_you_mean(metric, keys)}')
    names = ("first", "second") if first.name == second.name else (first.name, second.name)
    numbers = _numbers(first, second, runs, names, keys)
    lines = [_line(numbers, names, key, notes) for key in keys]
    shown = metric or keys[0]
    by_seed = [{run.seed: run for run in side} for side in runs]
    units = compare_units(by_seed[0], by_seed[1], numbers.metric_of(shown), notes)
    if min(len(first.runs), len(second.runs)) < 2:
        notes.append("one seed on a side: the difference has no interval, since its variance is unknown")
    return Pair(
        first=first,
        second=second,
        settings=tuple(setting_differences(first.row["recipe"], second.row["recipe"])),
        metrics=tuple(lines),
        units=units,
        costs=_costs(first, second),
        notes=(*notes, *numbers.notes),
    )


def _list(names: Sequence[object]) -> str:
    return ", ".join(map(str, names))


def _metrics(first: Side, second: Side) -> list[str]:
    """The metrics that both sides recorded, those of the tables first."""
    tables = [side.snapshot.declaration for side in (first, second)]
    declared = [key for table in tables for key in table["metrics"]]
    others = [key for table in tables for key in table.get("measured", {})]
    recorded = [{key for run in side.runs for key in run.metrics} for side in (first, second)]
    found = [key for key in dict.fromkeys([*declared, *others]) if all(key in keys for keys in recorded)]
    if not found:
        raise InputError(
            f'"{first.name}" and "{second.name}" have no metric in common: they measured '
            f"{' and '.join(_list(table['metrics']) for table in tables)}"
        )
    return found


def _numbers(
    first: Side, second: Side, runs: Sequence[Sequence[RunRecord]], names: Sequence[str], keys: Sequence[str]
) -> Measurements:
    """Both sides' runs as two rows of one table, whose intervals hold although seeds were added until results came."""
    renamed = [replace(run, row=name) for side, name in zip(runs, names, strict=True) for run in side]
    tables = [side.snapshot for side in (first, second)]
    measured = {**tables[0].declaration.get("measured", {}), **tables[1].declaration.get("measured", {})}
    shares = [partial(share_at, first=len(each.declared.seeds)) for each in map(settlement_of, tables) if each]
    whole = Snapshot("", " and ".join(names), {"measured": measured}, {}, tuple(renamed))
    return Measurements(whole, keys, _least(shares), mixed=True)


def _least(shares: Sequence[Callable[[int], float]]) -> Callable[[int], float]:
    return lambda seeds: min((share(seeds) for share in shares), default=1.0)


def _line(numbers: Measurements, names: tuple[str, str], key: str, notes: list[str]) -> MetricLine:
    first, second = (numbers.row(name, key) for name in names)
    if problem := numbers.other_units(names, key):
        notes.append(f"{problem}: their difference in {numbers.metric_of(key).title} is not paired")
        sign = numbers.metric_of(key).gain(1.0)
        gain = unpaired(first, second, sign) if first and second else None
        return MetricLine(numbers.metric_of(key), first, second, gain, None)
    gain = numbers.contrast({names[1]: 1.0, names[0]: -1.0}, key)
    return MetricLine(numbers.metric_of(key), first, second, gain, numbers.basis(names, key))


def unpaired(first: Estimate, second: Estimate, sign: float = 1.0) -> Estimate:
    """The second mean less the first, times ``sign``, where nothing pairs the two.

    The variances add up. The degrees of freedom are those of the side that has fewer, which is never too few for the
    interval to cover (Hsu's interval for two means of unlike variance).

    >>> one = Estimate(0.5, 0.03, Chance(3, 0, 0.0003, 0.0), 3)
    >>> two = Estimate(0.7, 0.04, Chance(5, 9, 0.0002, 0.0001), 5)
    >>> unpaired(one, two).chance
    Chance(seeds=3, units=9, from_seeds=0.0005, from_units=0.0001)
    """
    mean = sign * (second.mean - first.mean)
    seeds, share = min(first.seeds, second.seeds), min(first.share, second.share)
    if first.chance is None or second.chance is None:
        return Estimate(mean, None, None, seeds, share=share)
    counts = [side.units for side in (first.chance, second.chance) if side.units]
    chance = Chance(
        seeds,
        min(counts, default=0),
        first.chance.from_seeds + second.chance.from_seeds,
        first.chance.from_units + second.chance.from_units,
    )
    return Estimate(mean, None, chance, seeds, share=share)


def _costs(first: Side, second: Side) -> tuple[tuple[Cost, float | None, float | None], ...]:
    found = []
    for cost in COSTS:
        values = [[run.metrics[cost.key] for run in side.runs if cost.key in run.metrics] for side in (first, second)]
        means = [sum(each) / len(each) if each else None for each in values]
        if known := [mean for mean in means if mean is not None]:
            found.append((cost.suited(max(known)), means[0], means[1]))
    return tuple(found)
