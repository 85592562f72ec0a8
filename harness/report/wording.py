"""How numbers and verdicts read: the words that every written form of a report shares."""

from collections.abc import Iterable, Sequence

from harness.report.claims import Judgement
from harness.report.effects import Block, Game
from harness.report.insight import Gain
from harness.report.marks import NOTHING
from harness.report.model import TableReport, TableRow
from harness.report.power import Needed
from harness.report.statistics import Estimate
from harness.report.vocabulary import Cost, percent, three_digits
from harness.trainer import Metric

NEEDED = (
    "for 80 % power, as the range that covers the true number with 80 %: size and variance are estimates. It has no "
    "upper end where the gain may as well be none."
)


def notice(report: TableReport) -> str:
    """What a reader must know before the numbers; empty where they compare with the paper's."""
    if not report.not_comparable:
        return ""
    if report.not_comparable == "synthetic data":
        return (
            "Synthetic data: these runs trained on rendered images. They show that the experiment runs from end to "
            "end; their numbers do not compare with the paper's, which are shown for reference."
        )
    return (
        f"Not the paper's experiment ({report.not_comparable}): the numbers do not compare with the paper's, which are "
        "shown for reference."
    )


def interval_text(estimate: Estimate, metric: Metric, *, signed: bool = False) -> str:
    """``[79.8, 82.1]``, or nothing where there is no interval."""
    interval = estimate.interval
    if interval is None:
        return ""
    low, high = (percent(end, metric, signed=signed) for end in interval)
    return f"[{low}, {high}]"


def spread_text(estimate: Estimate, metric: Metric) -> str:
    """``± 0.4``, or nothing with one seed."""
    return "" if estimate.sd is None else f"± {percent(estimate.sd, metric)}"


def gain_text(gain: Gain | Judgement | None, metric: Metric) -> str:
    """``+3.2 [+1.1, +5.3]``: a difference, positive where it is better, with its interval."""
    estimate = gain.estimate if isinstance(gain, Gain) else gain.measured if gain else None
    if estimate is None:
        return NOTHING
    return f"{percent(estimate.mean, metric, signed=True)} {interval_text(estimate, metric, signed=True)}".strip()


def gains_in(metrics: Iterable[Metric]) -> str:
    """The unit in which gains of these metrics are printed."""
    kinds = {metric.percent for metric in metrics}
    if kinds == {True}:
        return "percentage points"
    return "the metric's own unit" if kinds == {False} else "percentage points, or the metric's own unit"


def axis_text(metric: Metric) -> str:
    """What an axis of a metric says of its unit and direction.

    >>> axis_text(Metric("error", "Error", better="lower")), axis_text(Metric("f1", "F1", percent=False))
    ('percent, lower is better', '')
    """
    return ", ".join([*["percent"] * metric.percent, *["lower is better"] * metric.lower_is_better])


def fraction_text(value: float | None, metric: Metric, *, signed: bool = False) -> str:
    """A fraction as a percentage, or a dash."""
    return NOTHING if value is None else percent(value, metric, signed=signed)


def cost_text(row: TableRow, cost: Cost) -> str:
    """A row's cost in the unit of its column."""
    value = (row.costs or {}).get(cost.key)
    return NOTHING if value is None else three_digits(value * cost.scale)


def seeds_text(row: TableRow) -> str:
    """``3``, or ``2 of 3`` where some are missing."""
    return str(row.seeds_done) if row.seeds_done == row.seeds_planned else f"{row.seeds_done} of {row.seeds_planned}"


def shown_factors(report: TableReport) -> tuple[str, ...]:
    """The factors that have a column: all that a row turns on, unless our rows do not differ in any."""
    settings = {tuple(row.factors.get(factor, False) for factor in report.factors) for row in report.ours}
    return report.factors if len(settings) > 1 else ()


def level_text(row: TableRow, factor: str, on: str, off: str = "") -> str:
    """A factor of a row in the table: ``on`` or ``off``, or the name of its level; nothing for a cited method."""
    level = row.factors.get(factor)
    return level if isinstance(level, str) else on if level else "" if level is None else off


def versus(better: str, than: str) -> str:
    """Two rows that are compared, ``8 vs 5``; not a difference, since lower may be better."""
    return f"{better} vs {than}"


def sides_text(claim: Judgement, metric: Metric) -> str:
    """What a claim compares: ``8 vs 5``, or ``Ours vs HAN (published: 91.2)``."""
    if claim.published is None:
        return versus(claim.better, claim.than)
    named = f"{claim.cited} (published: {fraction_text(claim.published, metric)})"
    return versus(*(named if side == claim.cited else side for side in (claim.better, claim.than)))


def differs_column(report: TableReport) -> bool:
    """Whether the table has columns of differences from the paper."""
    return any(cell.difference is not None for row in report.ours for cell in row.cells.values())


def paper_column(report: TableReport, metric: Metric) -> bool:
    """Whether the paper (or a cited method) has numbers in this metric."""
    return any(row.cells[metric.key].paper is not None for row in report.rows)


def size_text(claim: Judgement) -> str:
    """Where the size that the paper claims lies."""
    if claim.verdict == "not comparable":
        return ""
    return {
        "": "",
        "within": "the paper's size lies in the interval",
        "more than claimed": "more than the paper's size",
        "less than claimed": "less than the paper's size",
    }[claim.size]


def remark(claim: Judgement, metric: Metric) -> str:
    """What is written beside a verdict; why nothing compares is said once, by ``notice``."""
    parts = [claim.note, "" if claim.verdict == "not comparable" else claim.reason, size_text(claim)]
    parts += [claim.also, claim.basis.lacking if claim.basis else ""]
    if claim.verdict == "inconclusive" and (claim.needed or claim.needed_as_claimed):
        parts.append(needed_texts(claim, metric))
    return "; ".join(part for part in parts if part)


def needed_texts(claim: Judgement, metric: Metric) -> str:
    """The seeds that an inconclusive claim needs, at the measured and at the claimed size."""
    parts = [f"{needed_text(claim.needed)} at the measured size"] if claim.needed else []
    if claim.needed_as_claimed:
        parts.append(f"{needed_text(claim.needed_as_claimed)} at the paper's {percent(claim.claimed or 0.0, metric)}")
    return f"seeds needed: {', '.join(parts)}"


def needed_text(needed: Needed) -> str:
    """A range of seeds.

    >>> [needed_text(Needed(*ends)) for ends in ((4, 31), (9, 9), (4, None), (None, None))]
    ['4 to 31', '9', '4 or more', 'no number']
    """
    if needed.least is None:
        return "no number"
    if needed.most is None:
        return f"{needed.least:,} or more"
    return f"{needed.least:,}" if needed.least == needed.most else f"{needed.least:,} to {needed.most:,}"


def block_text(block: Block) -> str:
    """Factors that go together: ``DIL+Multi``."""
    return "+".join(block)


def players_text(players: Sequence[Block]) -> str:
    """Players of a game: ``Quadruplet × SAC``."""
    return " × ".join(map(block_text, players))


def game_text(game: Game, order: Sequence[str]) -> str:
    """A game in words, its rows in the given order of all rows."""
    always = f", with {', '.join(game.always)} on" if game.always else ""
    return f"{players_text(game.players)}{always} (rows {', '.join(rows_of(game, order))})"


def rows_of(game: Game, order: Sequence[str]) -> list[str]:
    """The rows of a game in the order of all rows."""
    return sorted(game.rows.values(), key=list(order).index)
