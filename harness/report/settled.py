"""A table that was settled: how far it is, and what a reader must know of it. A function of the runs and the record.

The way to the verdicts is replayed from the runs, so the report says what the program that added seeds decided by.
Seeds added by hand are not counted, since they would turn honest looks into naive ones.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from harness.report.claims import Judgement, Verdict
from harness.report.evidence import look_at
from harness.report.measurements import Measurements
from harness.settle import Declared, Line, Path, from_record, replay, share_at, spent
from harness.track.snapshot import RunRecord, Snapshot

SETTLE = "settle"
"""The key of a declaration under which the record is kept."""
_VERDICTS: Mapping[str, Verdict] = {
    "better": "reproduced",
    "worse": "contradicted",
    "practically equal": "practically equal",
    "open": "inconclusive",
}


@dataclass(frozen=True)
class Settlement:
    """How a table was settled, or how far it is."""

    declared: Declared
    path: Path
    by_hand: tuple[RunRecord, ...]
    """Finished runs that the way did not ask for."""

    @property
    def complete(self) -> bool:
        """Whether nothing more is to be trained."""
        return not self.path.needs

    def counted(self, verdict: str) -> int:
        """Comparisons with a verdict."""
        return sum(line.verdict == verdict for line in self.path.lines)

    @property
    def heading(self) -> str:
        """The sentence for a heading."""
        decided = [f"{count} {verdict}" for verdict in _VERDICTS if (count := self.counted(verdict))]
        message = f"settled: {', '.join(decided)}" if self.complete else "being settled"
        return f"{message} (without {_runs_text(len(self.by_hand))} added by hand)" if self.by_hand else message


def settlement_of(snapshot: Snapshot) -> Settlement | None:
    """Returns how a snapshot's table was settled; None for one that was not."""
    record = snapshot.declaration.get(SETTLE)
    if not record:
        return None
    declared = from_record(record)
    measurements = Measurements(snapshot, dict.fromkeys(one.metric for one in declared.comparisons))
    failed = {(run.row, run.seed) for run in snapshot.runs if run.status == "failed"}
    path = replay(declared, partial(look_at, measurements, len(declared.comparisons)), failed.__contains__)
    finished = [run for run in snapshot.runs if run.status == "finished"]
    return Settlement(declared, path, tuple(run for run in finished if (run.row, run.seed) not in path.runs))


def counted_runs(snapshot: Snapshot, settlement: Settlement | None) -> Snapshot:
    """The snapshot without runs that were added by hand."""
    if settlement is None:
        return snapshot
    left_out = {run.run_id for run in settlement.by_hand}
    return replace(snapshot, runs=tuple(run for run in snapshot.runs if run.run_id not in left_out))


def measurements_of(snapshot: Snapshot, metrics: Iterable[str], settlement: Settlement | None) -> Measurements:
    """The runs' numbers, whose intervals and p-values hold although stopping depended on results."""
    if settlement is None:
        return Measurements(snapshot, metrics)
    first = len(settlement.declared.seeds)
    return Measurements(snapshot, metrics, lambda seeds: share_at(seeds, first))


def settled_claims(judged: Sequence[Judgement], settlement: Settlement | None) -> tuple[Judgement, ...]:
    """The claims with the verdicts of settling, where they were settled."""
    if settlement is None:
        return tuple(judged)
    lines = {_key(line): line for line in settlement.path.lines}
    return tuple(
        _settled(one, lines[key]) if (key := (one.better, one.than, one.metric, one.text)) in lines else one
        for one in judged
    )


def _settled(judged: Judgement, line: Line) -> Judgement:
    if judged.verdict == "not comparable":
        return judged
    reason = why_open(line) if line.verdict == "open" else ""
    return replace(judged, verdict=_VERDICTS[line.verdict], reason=reason, needed=None, needed_as_claimed=None)


def _key(line: Line) -> tuple[str, str, str, str]:
    one = line.comparison
    return one.better, one.than, one.metric, one.text


def why_open(line: Line) -> str:
    """Why a comparison is open, and what is missing."""
    needed = line.looks[-1].evidence.needed if line.looks else None
    message = f"about {needed} seeds would decide it" if needed and needed < _COUNTLESS else "no end is in sight"
    lacking = f'row "{line.lacking[0]}" has no result under seed {line.lacking[1]}' if line.lacking else ""
    return {
        "seeds": f"no seeds are left; {message}",
        "budget": f"the budget is spent; {message}",
        "units": "more seeds cannot decide it: there are too few of what the metric is a mean over",
        "failed": lacking,
        "missing": lacking,
        "": "",
    }[line.why]


_COUNTLESS = 1000


def notes_of(settlement: Settlement | None) -> list[str]:
    """Returns the notes on settling: that seeds depended on results, and which runs are not counted."""
    if settlement is None:
        return []
    first, most = len(settlement.declared.seeds), settlement.declared.most
    notes = [
        f"This table was settled: after {first} declared seeds, seeds were added where a comparison was open, to at "
        f"most {most}. Intervals and p-values are those of repeated looks: they hold even though results decided when "
        "to stop."
    ]
    if settlement.by_hand:
        seeds = sorted({run.seed for run in settlement.by_hand})
        notes.append(
            f"Added by hand, and not counted in any number here: {_runs_text(len(settlement.by_hand))} under the seeds "
            f"{', '.join(map(str, seeds))}, which settling did not ask for."
        )
    return notes


def _runs_text(count: int) -> str:
    return "1 run" if count == 1 else f"{count} runs"


def settlement_to_json(settlement: Settlement | None) -> dict[str, Any] | None:
    """The way as plain data; differences as fractions, positive where they favour the claim."""
    if settlement is None:
        return None
    path, alpha = settlement.path, settlement.declared.alpha
    return {
        "complete": settlement.complete,
        "alpha": alpha,
        "seeds_declared": list(settlement.declared.seeds),
        "max_seeds": settlement.declared.most,
        "budget_s": settlement.declared.budget_s,
        "comparisons": [
            {
                "better": line.comparison.better,
                "than": line.comparison.than,
                "metric": line.comparison.metric,
                "within": line.comparison.within,
                "text": line.comparison.text,
                "verdict": line.verdict,
                "reason": why_open(line) if line.verdict == "open" else "",
                "spent": spent(len(line.looks)),
                "looks": [
                    {
                        "seeds": look.evidence.seeds,
                        "difference": look.evidence.mean,
                        "p_no_difference": look.difference,
                        "p_beyond_margin": look.equality if line.comparison.within is not None else None,
                    }
                    for look in line.looks
                ],
            }
            for line in path.lines
        ],
        "rounds": [{"runs": len(one.runs), "seconds": one.seconds} for one in path.rounds],
        "runs_by_hand": [{"row": run.row, "seed": run.seed} for run in settlement.by_hand],
    }
