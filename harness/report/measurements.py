"""A snapshot's numbers, ready for statistics: each row's results by seed and, where runs kept them, by unit.

Owns grouping the runs by row, reading ``units.npz`` and pairing rows over the same seeds and the same units.
Refuses to average runs of different code, data or profile.
"""

import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import InputError
from harness.report.findings import Basis
from harness.report.statistics import Estimate, estimate
from harness.report.vocabulary import Floats, metric_of
from harness.track.provenance import LIBRARY
from harness.track.snapshot import RunRecord, Snapshot
from harness.trainer import Metric
from harness.units import Units, one_source

SAME = {
    "code_digest": "code version",
    "profile": "profile",
    "dataset": "data set",
    "dataset_fingerprint": "fingerprint of the data",
    "synthetic": "synthetic data",
}
"""What runs must have in common to be in one table, and its name for people."""

_AGREE = 1e-5
"""How far a recorded metric may lie from the mean over its units (trackers round; a wrong definition is far off)."""


@dataclass(frozen=True)
class _Asked:
    """The units that a run has values for, in the order of their ids; one object for all runs that have the same."""

    ids: NDArray[Any]
    groups: NDArray[Any]
    source: str

    def difference(self, other: "_Asked") -> str:
        """What makes the other's units not these; empty if they are the same."""
        if self is other:
            return ""
        if not one_source(self.source, other.source):
            return "they are of other data"
        if len(self.ids) != len(other.ids):
            return f"{len(self.ids):,} and {len(other.ids):,} of them{self._only(other)}"
        if not np.array_equal(self.ids, other.ids):
            return f"{len(np.setdiff1d(self.ids, other.ids)):,} of {len(self.ids):,} differ{self._only(other)}"
        moved = np.flatnonzero(self.groups != other.groups)
        if not len(moved):
            return ""
        place = moved[0]
        return f"{self.ids[place]} is of group {self.groups[place]} in the first, {other.groups[place]} in the second"

    def _only(self, other: "_Asked") -> str:
        for here, there, which in ((self.ids, other.ids, "first"), (other.ids, self.ids, "second")):
            if len(alone := np.setdiff1d(here, there)):
                return f"; {alone[0]} is only in the {which}"
        return ""


@dataclass(frozen=True)
class _Answers:
    """One run's results by unit of query sampling: sums of the metric's values, and how many queries each unit has."""

    sums: Mapping[str, Floats]
    sizes: Floats
    asked: "_Asked"


class Measurements:
    """The finished runs of a snapshot, by row and seed."""

    def __init__(
        self,
        snapshot: Snapshot,
        metrics: Iterable[str],
        share: Callable[[int], float] = lambda _seeds: 1.0,
        *,
        mixed: bool = False,
    ) -> None:
        """Reads everything that the metrics need.

        Args:
            snapshot: The table's runs.
            metrics: The metrics to read the units of.
            share: The part of the error that estimates over so many seeds may spend; see ``Estimate``.
            mixed: Whether rows may differ in code, data or profile, where that is what they are compared for. The runs
                of one row, which are averaged, never may.

        Raises:
            InputError: Finished runs differ in code, data or profile; says which and in what.
        """
        self.notes: list[str] = []
        """What a reader must know of how the intervals came about."""
        self.unit = "units"
        """What is drawn together, in the plural (identities), where runs kept values by unit."""
        self._metrics = tuple(metrics)
        self._share = share
        self._measured = snapshot.declaration.get("measured", {})
        self._runs: dict[str, dict[int, RunRecord]] = defaultdict(dict)
        self._known: dict[bytes, _Asked] = {}
        self._names: dict[str, str] = {}
        """What a metric is a mean over, in the plural."""
        finished = [run for run in snapshot.runs if run.status == "finished"]
        for alike in _by_row(finished) if mixed else [finished]:
            _refuse_mixing(snapshot.table, alike)
        for run in finished:
            if run.seed in self._runs[run.row]:
                self.notes.append(
                    f'row "{run.row}" seed {run.seed} finished more than once; the run {run.run_id} counts'
                )
            self._runs[run.row][run.seed] = run
        self._answers = {run.run_id: self._read(run) for runs in self._runs.values() for run in runs.values()}
        if not mixed:
            self._note_other_units()

    def metric_of(self, key: str) -> Metric:
        """A metric by its key."""
        return metric_of(self._measured, key)

    def runs(self, row: str) -> Mapping[int, RunRecord]:
        """The finished runs of a row by seed, in order."""
        return dict(sorted(self._runs.get(row, {}).items()))

    def values(self, row: str, metric: str) -> dict[int, float]:
        """A metric of a row as a fraction, by seed."""
        return {seed: run.metrics[metric] for seed, run in self.runs(row).items() if metric in run.metrics}

    def row(self, row: str, metric: str) -> Estimate | None:
        """The mean of a row; None if it has no finished run with the metric."""
        return self._combine({row: 1.0}, metric, clip=True)

    def contrast(
        self, weights: Mapping[str, float], metric: str, seeds: Iterable[int] | None = None
    ) -> Estimate | None:
        """A weighted sum of rows (weights that add up to 0), over the seeds and queries that all of them share.

        Positive is better, whatever the metric. None if no seed is shared (of ``seeds``, where they are given), or rows
        were measured on other units.
        """
        if self.other_units([row for row, weight in weights.items() if weight], metric):
            return None
        sign = self.metric_of(metric).gain(1.0)
        signed = {row: sign * weight for row, weight in weights.items() if weight}
        return self._combine(signed, metric, clip=False, among=seeds)

    def against(self, row: str, metric: str, published: float) -> Estimate | None:
        """A row's difference from a published number, positive where the row is better; None without results.

        Over the seeds alone, whatever the runs kept by unit: the number was measured on this very test set, so it says
        nothing of other queries. It counts as known; what it varies by itself is not published.

        Args:
            row: The row.
            metric: The metric.
            published: The number, in the metric's own unit (a fraction).
        """
        values = list(self.values(row, metric).values())
        if not values:
            return None
        gains = self.metric_of(metric).gain(1.0) * (np.array(values) - published)
        scale = max(abs(published), *(abs(value) for value in values))
        return estimate(gains, scale=scale, share=self._share(len(values)))

    def crossed(self, weights: Mapping[str, float], metric: str) -> Floats | None:
        """A weighted sum of rows by seed and unit of query sampling, (S, U); None without values by common units."""
        seeds = self._shared_seeds(weights, metric)
        if not seeds:
            return None
        values = {row: self.values(row, metric) for row in weights}
        means = np.array([sum(weight * values[row][seed] for row, weight in weights.items()) for seed in seeds])
        return self._table(weights, seeds, metric, means)

    def other_units(self, rows: Sequence[str], metric: str) -> str:
        """Why rows cannot be paired unit by unit, as a sentence; empty if they can, or have no values by unit.

        Under one seed all rows must be measured on the same units. Other seeds may bring others.
        """
        found = self._other_units(rows, metric)
        return 'rows "{}" and "{}" {}'.format(*found) if found else ""

    def _other_units(self, rows: Sequence[str], metric: str) -> tuple[str, str, str] | None:
        """Two of the rows that have other units, and what to say of them; None if there are none."""
        for seed in sorted(set().union(*(self._runs.get(row, {}) for row in rows))):
            asked = {
                row: answers.asked
                for row in rows
                if seed in self._runs.get(row, {})
                and (answers := self._answers[self._runs[row][seed].run_id]) is not None
                and metric in answers.sums
            }
            first, *rest = asked or [""]
            for row in rest:
                if difference := asked[first].difference(asked[row]):
                    return first, row, f"have values of other {self._names[metric]} under seed {seed} ({difference})"
        return None

    def _note_other_units(self) -> None:
        """Notes the rows whose units are not those of the table's first."""
        first, *rest = self._runs or [""]
        others: dict[str, dict[str, None]] = defaultdict(dict)
        for row in rest:
            for metric in self._metrics:
                if found := self._other_units([first, row], metric):
                    others[found[2]][f'"{row}"'] = None
        for message, names in others.items():
            sides = f'row "{first}" and rows' if len(names) > 1 else f'rows "{first}" and'
            self.notes.append(f"{sides} {', '.join(names)} {message}; they are not compared")

    def basis(self, rows: Iterable[str], metric: str) -> Basis | None:
        """What the mean of a row, or a contrast of several, rests on; None if they share no seed."""
        rows = tuple(rows)
        seeds = self._shared_seeds(rows, metric)
        if not seeds:
            return None
        lacking = self._lacking(rows, seeds, metric)
        answers = self._answers_of(rows[0], seeds[0])
        if answers is None or lacking is not None or len(answers.sizes) < 2:
            return Basis(tuple(seeds), lacking=lacking or "")
        return Basis(tuple(seeds), len(answers.sizes), self.unit)

    def _shared_seeds(self, rows: Iterable[str], metric: str, among: Iterable[int] | None = None) -> list[int]:
        values = [set(self.values(row, metric)) for row in rows]
        if among is not None:
            values.append(set(among))
        return sorted(set.intersection(*values)) if values else []

    def _combine(
        self, weights: Mapping[str, float], metric: str, *, clip: bool, among: Iterable[int] | None = None
    ) -> Estimate | None:
        values = {row: self.values(row, metric) for row in weights}
        seeds = self._shared_seeds(weights, metric, among)
        if not seeds:
            return None
        means = np.array([sum(weight * values[row][seed] for row, weight in weights.items()) for seed in seeds])
        table = self._table(weights, seeds, metric, means)
        scale = max(abs(values[row][seed]) for row in weights for seed in seeds)
        clip = clip and self.metric_of(metric).percent
        return estimate(means, table, clip=clip, scale=scale, share=self._share(len(seeds)))

    def _answers_of(self, row: str, seed: int) -> _Answers | None:
        return self._answers[self._runs[row][seed].run_id]

    def _lacking(self, rows: Iterable[str], seeds: list[int], metric: str) -> str | None:
        """Why these runs have no common values by unit: empty if no run of the table has any; None if they have."""
        runs = [(row, seed) for row in rows for seed in seeds]
        answers = [self._answers_of(*run) for run in runs]
        without = [run for run, answer in zip(runs, answers, strict=True) if not answer or metric not in answer.sums]
        if without and not any(answer and metric in answer.sums for answer in self._answers.values()):
            return ""
        if without:
            names = [f'"{row}" seed {seed}' for row, seed in without]
            holders = f"row {names[0]} has" if len(names) == 1 else f"{_some(names)} have"
            return f"{holders} no values by {self.unit}"
        known = [answer for answer in answers if answer]
        if any(answer.asked is not known[0].asked for answer in known):
            return f"seeds have values of different {self.unit}"
        return None

    def _table(self, weights: Mapping[str, float], seeds: list[int], metric: str, means: Floats) -> Floats | None:
        """The (S, U) table of a weighted sum of rows; None unless every run was asked the same queries.

        With n_u queries in unit u of Q in all, the entry is (U / Q) (sum over the unit's queries - n_u grand mean) +
        grand mean: the linearisation of the mean as a ratio of sums, whose row means are the seeds' means. Units of
        one query each give the plain table.
        """
        if self._lacking(weights, seeds, metric) is not None:
            return None
        answers = {(row, seed): self._answers_of(row, seed) for row in weights for seed in seeds}
        sizes = next(answer.sizes for answer in answers.values() if answer)
        sums = np.zeros((len(seeds), len(sizes)))
        for (row, seed), answer in answers.items():
            assert answer is not None
            sums[seeds.index(seed)] += weights[row] * answer.sums[metric]
        grand = float(means.mean())
        return np.asarray(len(sizes) / sizes.sum() * (sums - sizes * grand) + grand)

    def _read(self, run: RunRecord) -> _Answers | None:
        """A run's values by unit; None, with a note where that is a surprise, if there are none to use."""
        place = f'row "{run.row}" seed {run.seed}'
        try:
            units = run.read_units()
            return None if units is None else self._sum_up(run, units, place)
        except (OSError, ValueError, KeyError, IndexError, zipfile.BadZipFile) as error:
            self.notes.append(
                f"{place}: its values by unit cannot be read ({error}); intervals with it are over seeds alone"
            )
            return None

    def _sum_up(self, run: RunRecord, units: Units, place: str) -> _Answers | None:
        _, group, sizes = np.unique(units.groups, return_inverse=True, return_counts=True)
        self.unit = units.group
        sums = {}
        self._names.update(dict.fromkeys(units.values, units.unit))
        for name in self._metrics:
            values = units.values.get(name)
            if values is None or name not in run.metrics or not len(values):
                continue
            if abs(values.mean() - run.metrics[name]) > _AGREE * max(1.0, abs(run.metrics[name])):
                self.notes.append(
                    f"{place}: {name} is recorded as {run.metrics[name]:.6f}, but the mean over its {units.unit} is "
                    f"{values.mean():.6f}; intervals with it are over seeds alone"
                )
                continue
            sums[name] = np.asarray(np.bincount(group, weights=values, minlength=len(sizes)), dtype=np.float64)
        return _Answers(sums, sizes.astype(np.float64), self._asked_of(units)) if sums else None

    def _asked_of(self, units: Units) -> _Asked:
        order = np.argsort(units.ids, kind="stable")
        asked = _Asked(units.ids[order], units.groups[order], units.source)
        kinds = repr((asked.source, asked.ids.dtype.str, asked.groups.dtype.str))
        key = kinds.encode() + asked.ids.tobytes() + asked.groups.tobytes()
        return self._known.setdefault(key, asked)


def _by_row(runs: Iterable[RunRecord]) -> list[list[RunRecord]]:
    rows: dict[str, list[RunRecord]] = defaultdict(list)
    for run in runs:
        rows[run.row].append(run)
    return list(rows.values())


def _refuse_mixing(table: str, finished: list[RunRecord]) -> None:
    """Raises unless all runs were made by the same code on the same data under the same profile."""
    differences = []
    for key, name in SAME.items():
        holders: dict[str, list[str]] = defaultdict(list)
        for run in finished:
            value = provenance_of(run, key)
            if value is not None:
                holders[value].append(f'"{run.row}" seed {run.seed}')
        if len(holders) > 1:
            listed = "; ".join(f"{value}: {_some(runs)}" for value, runs in sorted(holders.items()))
            differences.append(f"  {name} ({key}): {listed}")
    if differences:
        raise InputError(
            f'table "{table}": its runs differ and are not averaged; expected one code version, one profile and one '
            "data set, found\n" + "\n".join(differences) + "\nRun the table again to measure all rows anew."
        )


def provenance_of(run: RunRecord, key: str) -> str | None:
    """A fact of where a run comes from, as it was tagged; None if it was not."""
    return run.tags.get(f"harness.{key}")


def libraries_of(run: RunRecord) -> list[str]:
    """Returns the facts of provenance that are versions of libraries."""
    return [key.removeprefix("harness.") for key in run.tags if key.startswith(f"harness.{LIBRARY}")]


def _some(names: list[str], shown: int = 4) -> str:
    rest = len(names) - shown
    return "rows " + ", ".join(names[:shown]) + (f" and {rest} more" if rest > 0 else "")
