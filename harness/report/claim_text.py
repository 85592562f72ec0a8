"""The text of a claim besides its numbers: its sides, the remark beside its verdict, the seeds needed."""

from harness.report.claims import Judgement
from harness.report.formatting import fraction_text, metric_text, needed_text
from harness.trainer import Metric

NEEDED = (
    "for 80 % power, as a range that covers the true number with 80 %: size and variance are estimates. It has no "
    "upper end if the gain could also be zero."
)


def versus(better: str, than: str) -> str:
    """Two rows that are compared, ``8 vs 5``; not a difference, since lower may be better."""
    return f"{better} vs {than}"


def sides_text(claim: Judgement, metric: Metric) -> str:
    """Formats the sides of a claim: ``8 vs 5``, or ``Ours vs HAN (published: 91.2)``."""
    if claim.published is None:
        return versus(claim.better, claim.than)
    named = f"{claim.cited} (published: {fraction_text(claim.published, metric)})"
    return versus(*(named if side == claim.cited else side for side in (claim.better, claim.than)))


def size_text(claim: Judgement) -> str:
    """Compares the interval with the size that the paper claims, in words."""
    if claim.verdict == "not comparable":
        return ""
    return {
        "": "",
        "within": "the paper's size lies in the interval",
        "more than claimed": "more than the paper's size",
        "less than claimed": "less than the paper's size",
    }[claim.size]


def remark(claim: Judgement, metric: Metric) -> str:
    """Formats the remark beside a verdict; ``notice`` says once why nothing compares."""
    parts = [claim.note, "" if claim.verdict == "not comparable" else claim.reason, size_text(claim)]
    parts += [claim.also, claim.basis.lacking if claim.basis else ""]
    if claim.verdict == "inconclusive" and (claim.needed or claim.needed_as_claimed):
        parts.append(needed_texts(claim, metric))
    return "; ".join(part for part in parts if part)


def needed_texts(claim: Judgement, metric: Metric) -> str:
    """The seeds that an inconclusive claim needs, at the measured and at the claimed size."""
    parts = [f"{needed_text(claim.needed)} at the measured size"] if claim.needed else []
    if claim.needed_as_claimed:
        parts.append(
            f"{needed_text(claim.needed_as_claimed)} at the paper's {metric_text(claim.claimed or 0.0, metric)}"
        )
    return f"seeds needed: {', '.join(parts)}"
