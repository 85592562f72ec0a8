"""A snapshot's numbers, ready for statistics: each row's results by seed and, where runs kept them, by unit.

Owns grouping the runs by row and pairing rows over the same seeds and the same units.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from harness.report.basis import Basis
from harness.report.metrics import metric_of
from harness.report.provenance import refuse_mixing, some_of
from harness.report.statistics import Estimate, Floats, estimate
from harness.report.unit_sums import UnitReader, UnitSums
from harness.track.snapshot import RunRecord, Snapshot
from harness.trainer import Metric


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
        """Notes on the intervals' method for readers."""
        self._metrics = tuple(metrics)
        self._share = share
        self._measured = snapshot.declaration.get("measured", {})
        self._runs: dict[str, dict[int, RunRecord]] = defaultdict(dict)
        self._reader = UnitReader(self._metrics, self.notes)
        finished = [run for run in snapshot.runs if run.status == "finished"]
        for alike in _by_row(finished) if mixed else [finished]:
            refuse_mixing(snapshot.table, alike)
        for run in finished:
            if run.seed in self._runs[run.row]:
                self.notes.append(
                    f'row "{run.row}" seed {run.seed} finished more than once; the run {run.run_id} counts'
                )
            self._runs[run.row][run.seed] = run
        self._sums = {run.run_id: self._reader.read(run) for runs in self._runs.values() for run in runs.values()}
        if not mixed:
            self._note_other_units()

    @property
    def unit(self) -> str:
        """The sampling unit, in the plural (identities), if runs kept values by unit."""
        return self._reader.unit

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
            units = {
                row: found.units
                for row in rows
                if seed in self._runs.get(row, {})
                and (found := self._sums[self._runs[row][seed].run_id]) is not None
                and metric in found.sums
            }
            first, *rest = units or [""]
            for row in rest:
                if difference := units[first].difference(units[row]):
                    return (
                        first,
                        row,
                        f"have values of other {self._reader.names[metric]} under seed {seed} ({difference})",
                    )
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
        """Returns what the mean of a row, or a contrast of several, rests on; None if they share no seed."""
        rows = tuple(rows)
        seeds = self._shared_seeds(rows, metric)
        if not seeds:
            return None
        lacking = self._lacking(rows, seeds, metric)
        found = self._sums_of(rows[0], seeds[0])
        if found is None or lacking is not None or len(found.sizes) < 2:
            return Basis(tuple(seeds), lacking=lacking or "")
        return Basis(tuple(seeds), len(found.sizes), self.unit)

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

    def _sums_of(self, row: str, seed: int) -> UnitSums | None:
        return self._sums[self._runs[row][seed].run_id]

    def _lacking(self, rows: Iterable[str], seeds: list[int], metric: str) -> str | None:
        """Why these runs have no common values by unit: empty if no run of the table has any; None if they have."""
        runs = [(row, seed) for row in rows for seed in seeds]
        found = [self._sums_of(*run) for run in runs]
        without = [run for run, one in zip(runs, found, strict=True) if not one or metric not in one.sums]
        if without and not any(one and metric in one.sums for one in self._sums.values()):
            return ""
        if without:
            names = [f'"{row}" seed {seed}' for row, seed in without]
            holders = f"row {names[0]} has" if len(names) == 1 else f"{some_of(names)} have"
            return f"{holders} no values by {self.unit}"
        known = [one for one in found if one]
        if any(one.units is not known[0].units for one in known):
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
        found = {(row, seed): self._sums_of(row, seed) for row in weights for seed in seeds}
        sizes = next(one.sizes for one in found.values() if one)
        sums = np.zeros((len(seeds), len(sizes)))
        for (row, seed), one in found.items():
            assert one is not None
            sums[seeds.index(seed)] += weights[row] * one.sums[metric]
        grand = float(means.mean())
        return np.asarray(len(sizes) / sizes.sum() * (sums - sizes * grand) + grand)


def _by_row(runs: Iterable[RunRecord]) -> list[list[RunRecord]]:
    rows: dict[str, list[RunRecord]] = defaultdict(list)
    for run in runs:
        rows[run.row].append(run)
    return list(rows.values())
