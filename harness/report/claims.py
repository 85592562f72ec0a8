"""Verdicts on the paper's claims.

A claim says that one row is better than another in a metric, or than a cited method's published number, perhaps by how
much. A published number is a constant: the interval of the difference is the row's over its seeds, on the test set that
both were measured on. Its verdict:

- *reproduced*: the measured difference favours the claim, and its 95 % interval, widened by Holm's correction over all
  claims of the table, lies wholly above 0 (Holm's adjusted p-value is at most 0.05);
- *contradicted*: the 98 % interval, widened likewise, lies wholly below 0 (at most 0.02): to call somebody's finding
  wrong takes more than to confirm it;
- *inconclusive*: neither, or nothing can be said (a row without results, one seed);
- *not comparable*: the runs are not the paper's experiment (synthetic data, another profile). The difference is
  measured and shown all the same, and never counts for or against the paper.

A verdict is on the direction. Whether the size claimed lies in the (uncorrected) interval is noted beside it. Of the
true claims of a table, all together, one is called contradicted with a probability of about 1 % at most, even if the
true differences are exactly 0 (``tests/benchmarks/intervals.py``: under 2.5 % from three seeds on).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from harness.plan.budgets import StageBudget, also_differs
from harness.report.basis import Basis
from harness.report.measurements import Measurements
from harness.report.power import Needed, needed_for_measured, needed_for_size
from harness.report.statistics import ALPHA, Estimate, effect_size, holm

CONTRADICTS = 0.02
"""The largest p-value (two-sided, Holm's) at which a difference to the other side contradicts a claim."""

Verdict = Literal["reproduced", "contradicted", "inconclusive", "practically equal", "not comparable"]


@dataclass(frozen=True)
class Judgement:
    """A claim beside what was measured. Differences are fractions, positive where they favour the claim."""

    text: str
    better: str
    than: str
    metric: str
    claimed: float | None
    verdict: Verdict
    reason: str
    """Why the verdict is not reproduced or contradicted; empty otherwise."""
    measured: Estimate | None
    basis: Basis | None
    """The basis of the measured difference."""
    p_holm: float | None
    effect_size: float | None
    """Hedges' g_z over the seeds' differences."""
    needed: Needed | None
    """For an inconclusive claim: the seeds that would find a difference of the measured size with 80 % power, at the
    strictest level of Holm's correction."""
    needed_as_claimed: Needed | None
    """The same for a difference of the claimed size."""
    also: str = ""
    """Other differences of the rows' trainings, as a phrase; empty if none."""
    note: str = ""
    """The declared note for readers of the claim."""
    cited: str = ""
    """The side that is a cited method; empty for a claim of two rows."""
    published: float | None = None
    """The cited method's number."""

    @property
    def size(self) -> Literal["", "within", "more than claimed", "less than claimed"]:
        """Where the claimed size lies: within the interval, or the measured one is more or less; empty if unknown."""
        interval = self.measured.interval if self.measured else None
        if self.claimed is None or interval is None:
            return ""
        if self.claimed < interval[0]:
            return "more than claimed"
        return "less than claimed" if self.claimed > interval[1] else "within"


def judge_claims(
    claims: Iterable[Mapping[str, Any]],
    measurements: Measurements,
    not_comparable: str,
    budgets: Mapping[str, Sequence[StageBudget]] | None = None,
    cited: Mapping[str, Mapping[str, float]] | None = None,
) -> tuple[Judgement, ...]:
    """The claims of a declaration with their verdicts; Holm's correction runs over all of them.

    Args:
        claims: text, better, than, metric and by (percent points, or None) of each, with a note where there is one.
        measurements: The table's runs.
        not_comparable: Why the runs are not the paper's experiment; empty if they are.
        budgets: What each row trains, by row.
        cited: The numbers of cited methods, as tables print them, by method and metric.
    """
    trained = budgets or {}
    read = [_Claim.read(claim, cited or {}, measurements) for claim in claims]
    estimates = [claim.measured(measurements) for claim in read]
    adjusted = holm([measured.p_value if measured else None for measured in estimates])
    family = sum(p_holm is not None for p_holm in adjusted)
    return tuple(
        replace(
            _judge(claim, measured, p_holm, measurements, not_comparable, family),
            also="" if claim.cited else also_differs(trained.get(claim.better, ()), trained.get(claim.than, ())),
        )
        for claim, measured, p_holm in zip(read, estimates, adjusted, strict=True)
    )


@dataclass(frozen=True)
class _Claim:
    """A claim as it was declared, its numbers as fractions."""

    text: str
    better: str
    than: str
    metric: str
    claimed: float | None
    note: str
    cited: str
    published: float | None

    @classmethod
    def read(
        cls, claim: Mapping[str, Any], cited: Mapping[str, Mapping[str, float]], measurements: Measurements
    ) -> "_Claim":
        """Reads a claim of a declaration; ``cited`` has the published numbers by method, in the table's units."""
        better, than, metric, by = str(claim["better"]), str(claim["than"]), claim["metric"], claim.get("by")
        scale = measurements.metric_of(metric).scale
        method = next((side for side in (better, than) if side in cited), "")
        return cls(
            text=claim["text"],
            better=better,
            than=than,
            metric=metric,
            claimed=None if by is None else by / scale,
            note=claim.get("note", ""),
            cited=method,
            published=cited[method][metric] / scale if method else None,
        )

    @property
    def rows(self) -> tuple[str, ...]:
        return tuple(side for side in dict.fromkeys((self.better, self.than)) if side != self.cited)

    def measured(self, measurements: Measurements) -> Estimate | None:
        if self.published is None:
            return measurements.contrast({self.better: 1.0, self.than: -1.0}, self.metric)
        gain = measurements.against(self.rows[0], self.metric, self.published)
        return gain.reversed() if gain and self.cited == self.better else gain

    def basis(self, measurements: Measurements) -> Basis | None:
        found = measurements.basis(self.rows, self.metric)
        return Basis(found.seeds, lacking=_PUBLISHED) if found and self.cited else found


_PUBLISHED = "the published number is one of this test set, taken as it is"


def _judge(
    claim: _Claim,
    measured: Estimate | None,
    p_holm: float | None,
    measurements: Measurements,
    not_comparable: str,
    family: int,
) -> Judgement:
    verdict, reason = _verdict(measured, p_holm)
    if measured is None:
        reason = _missing(claim, measurements)
    if not_comparable:
        verdict, reason = "not comparable", not_comparable
    claimed = claim.claimed
    needed = as_claimed = None
    if measured and measured.chance and verdict == "inconclusive":
        alpha = ALPHA if measured.mean > 0 else CONTRADICTS
        needed = needed_for_measured(measured, alpha=alpha / family)
        as_claimed = needed_for_size(measured.chance, claimed, alpha=ALPHA / family) if claimed else None
    return Judgement(
        text=claim.text,
        better=claim.better,
        than=claim.than,
        metric=claim.metric,
        claimed=claimed,
        verdict=verdict,
        reason=reason,
        measured=measured,
        basis=claim.basis(measurements) if measured else None,
        p_holm=p_holm,
        effect_size=effect_size(measured) if measured else None,
        needed=needed,
        needed_as_claimed=as_claimed,
        note=claim.note,
        cited=claim.cited,
        published=claim.published,
    )


def _verdict(measured: Estimate | None, p_holm: float | None) -> tuple[Verdict, str]:
    if measured is None:
        return "inconclusive", ""
    if measured.seeds == 1:
        return "inconclusive", "one seed: the seed's variance is unknown"
    if p_holm is None:
        return "inconclusive", "all seeds agree exactly, so there is no interval"
    if contradicts(measured.mean, p_holm):
        return "contradicted", ""
    if p_holm <= ALPHA:
        against = f"against the claim, but not at {100 * (1 - CONTRADICTS):.0f} %"
        return ("reproduced", "") if measured.mean > 0 else ("inconclusive", against)
    return "inconclusive", "the interval, corrected for all claims, contains 0"


def contradicts(difference: float, p_holm: float | None) -> bool:
    """Whether a difference with this p-value, adjusted for all claims of its table, contradicts its claim."""
    return difference < 0 and p_holm is not None and p_holm <= CONTRADICTS


def _missing(claim: _Claim, measurements: Measurements) -> str:
    title, rows = measurements.metric_of(claim.metric).title, claim.rows
    empty = [f'"{row}"' for row in rows if not measurements.values(row, claim.metric)]
    if empty:
        return f"no {title} of row {' and '.join(empty)}"
    return measurements.other_units(rows, claim.metric) or f"rows {' and '.join(rows)} have no seed in common"
