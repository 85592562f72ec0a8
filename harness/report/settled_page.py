"""How a table was settled, as a section of the Markdown report."""

from collections.abc import Sequence

from harness.report.claim_text import versus
from harness.report.formatting import metric_text, p_text
from harness.report.marks import NOTHING, escaped, pipe_table
from harness.report.model import TableReport
from harness.report.settled import Settlement, why_open
from harness.settle import Line, spent


def settled_section(report: TableReport) -> list[str]:
    """The section: each comparison's way to its verdict, and what was spent; nothing for a table not settled."""
    settlement = report.settlement
    if settlement is None:
        return []
    header = ["comparison", "metric", "margin", "verdict", "seeds", "looks", "difference", "spent"]
    header += ["p differs", "p equal"]
    lines = [_line(report, line) for line in settlement.path.lines]
    kept = [column for column in range(len(header)) if any(line[column] not in ("", NOTHING) for line in lines)]
    table = pipe_table([header[column] for column in kept], [[line[column] for column in kept] for line in lines])
    return ["## How it was settled", table, _legend(settlement), *_open(settlement), _rounds(settlement)]


def _line(report: TableReport, line: Line) -> list[str]:
    one, metric = line.comparison, report.metric_of(line.comparison.metric)
    looks = [str(look.evidence.seeds) for look in line.looks]
    last = line.looks[-1] if line.looks else None
    return [
        escaped(versus(one.better, one.than)),
        metric.title,
        NOTHING if one.within is None else metric_text(one.within, metric),
        f"**{line.verdict}**",
        str(line.seeds),
        ", ".join(looks),
        metric_text(last.evidence.mean, metric, signed=True) if last else NOTHING,
        f"{100 * spent(len(line.looks)):.0f} %",
        escaped(p_text(last.difference)) if last else NOTHING,
        escaped(p_text(last.equality)) if last and one.within is not None else NOTHING,
    ]


def _legend(settlement: Settlement) -> str:
    declared = settlement.declared
    family = len(declared.comparisons)
    text = (
        f"The chance of any wrong verdict here, over all looks and all {family} comparisons, is at most "
        f"{100 * declared.alpha:g} % where paired differences are about normal (t tests). Each look may spend "
        f"{100 * spent(1):.0f} % of the error that its comparison has left (*spent*: how much its looks have used), "
        "and Holm's correction covers the number of comparisons. *p differs*: the smallest p-value of no difference "
        "over what its look may spend, before Holm's correction"
    )
    if any(one.within is not None for one in declared.comparisons):
        text += (
            ". *p equal*: the same of a difference as large as the margin or larger; *practically equal* is a "
            "difference within the margin. Since a difference cannot be both zero and larger than the margin, each is "
            "tested with the whole error"
        )
    return f"{text}. *Better* and *worse* are about the first row."


def _open(settlement: Settlement) -> list[str]:
    lines = [
        f"- {escaped(versus(line.comparison.better, line.comparison.than))}: {escaped(why_open(line))}."
        for line in settlement.path.lines
        if line.verdict == "open" and line.why
    ]
    return ["Open:", "\n".join(lines)] if lines else []


def _rounds(settlement: Settlement) -> str:
    added: Sequence[int] = [len(one.runs) for one in settlement.path.rounds[1:]]
    total = sum(len(one.runs) for one in settlement.path.rounds)
    whole = len(settlement.declared.rows) * max((line.seeds for line in settlement.path.lines), default=0)
    if not added:
        return f"{total} runs; no seeds were added to the declared ones."
    text = f"{total} runs: the declared seeds and {len(added)} rounds of {', '.join(map(str, added))} runs"
    return f"{text}. All rows with as many seeds as the last decision needed would be {whole}."
