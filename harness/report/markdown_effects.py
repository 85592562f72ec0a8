"""The section of a Markdown report on the effects of factors: matched pairs, factorials, what stays open."""

from collections import Counter
from collections.abc import Iterable, Mapping

from harness.report.basis import Basis, basis_text, unlike_neighbours
from harness.report.claim_text import NEEDED, versus
from harness.report.effects import block_text, game_text, players_text
from harness.report.formatting import gain_text, needed_text, p_text
from harness.report.insight import Gain
from harness.report.marks import NOTHING, bullets, escaped, number, telling_table
from harness.report.metrics import gains_in
from harness.report.model import TableReport


def effects_section(report: TableReport) -> list[str]:
    """The section, without anything where the rows say nothing of factors."""
    parts = [*_pairs(report), *_games(report)]
    insight = report.insight
    still_open = [escaped(reason) + "." for reason in insight.open]
    still_open += [
        f"An additional row would help: {escaped('+'.join(row) or 'no factor')}." for row in insight.suggestions
    ]
    if still_open:
        parts += ["Not identifiable from these rows:", bullets(still_open)]
    return ["## Effects of factors", *parts] if parts else []


def _pairs(report: TableReport) -> list[str]:
    if not report.insight.pairs:
        return []
    first = report.metrics[0]
    header = [
        "factor",
        "rows",
        *(metric.title for metric in report.metrics),
        "p (Holm)",
        "g_z",
        "seeds needed",
        "not the factor alone",
        "kind",
    ]
    lines = []
    for line in report.insight.pairs:
        gain = line.gains.get(first.key)  # None where the rows share no seed
        kinds = [*["leave-one-out"] * line.pair.leave_one_out, *["add-one-in"] * line.pair.add_one_in]
        lines.append(
            [
                escaped(line.pair.change),
                escaped(versus(line.pair.on, line.pair.off)),
                *(escaped(gain_text(line.gains.get(metric.key), metric)) for metric in report.metrics),
                _p_of(gain),
                number(gain.effect_size if gain else None),
                needed_text(gain.needed) if gain and gain.needed else "",
                escaped(line.also),
                ", ".join(kinds),
            ]
        )
    text = (
        "Matched pairs: rows that differ in a single factor, with it and without it. Gains in "
        f"{gains_in(report.metrics)}, positive is better; p (Holm), corrected for all these pairs, and the columns "
        f"after it are for {first.title}."
    )
    if report.insight.against_first:
        names = escaped(", ".join(report.insight.against_first))
        text += f" Of the many levels of {names}, each is compared only with the first."
    if any(line[-2] for line in lines):
        text += f" Seeds needed, where p is above 0.05: {NEEDED}"
    text += " " + _intervals_over(gain.basis for line in report.insight.pairs for gain in line.gains.values())
    if any(line[-1] for line in lines):
        text += (
            " Leave-one-out: taken from a row that no other extends; add-one-in: put into a row that extends no other."
        )
    pairs = [(versus(line.pair.on, line.pair.off), line.gains) for line in report.insight.pairs]
    return [text, telling_table(header, lines), bullets(_unlike(report, pairs))]


def _games(report: TableReport) -> list[str]:
    """Every complete factorial that was measured, with its effects; what they mean is said before the first."""
    order = [row.id for row in report.ours]
    parts = [
        "Where rows hold every combination of some factors, effects need no model. A *Shapley value* is what a factor "
        "gains on average over all orders of adding the factors; an *interaction* is what two gain together beyond the "
        "sum of what each gains alone. p (Holm), corrected for all the effects of all these tables, is that of "
        f"{report.metrics[0].title}; [ , ] is the uncorrected 95 % interval."
    ]
    games = [each for each in report.insight.games if any(gains for _, gains in (*each.values, *each.interactions))]
    for game in games:
        header = ["effect", *(metric.title for metric in report.metrics), "p (Holm)"]
        measured = [("", *effect) for effect in game.values]
        measured += [("interaction ", *effect) for effect in game.interactions]
        lines = [
            [
                escaped(kind + players_text(effect.players)),
                *(escaped(gain_text(gains.get(metric.key), metric)) for metric in report.metrics),
                _p_of(gains.get(report.metrics[0].key)),
            ]
            for kind, effect, gains in measured
        ]
        parts += [f"{escaped(game_text(game.game, order))}:", telling_table(header, lines)]
        named = [(kind + players_text(effect.players), gains) for kind, effect, gains in measured]
        besides = [
            f"{block_text(player)} does not change alone: {'; '.join(text)}."
            for player, text in game.also.items()
            if text
        ]
        parts.append(bullets([*map(escaped, besides), *_unlike(report, named)]))
    return parts if games else []


def _p_of(gain: Gain | None) -> str:
    return NOTHING if gain is None or gain.p_holm is None else escaped(p_text(gain.p_holm))


def _intervals_over(bases: Iterable[Basis]) -> str:
    """Says what most of the intervals are over."""
    usual = Counter(basis_text(basis) for basis in bases).most_common(1)
    return f"[ , ] is the uncorrected 95 % interval over {escaped(usual[0][0])}." if usual else ""


def _unlike(report: TableReport, measured: Iterable[tuple[str, Mapping[str, Gain]]]) -> list[str]:
    """Which of some effects rest on something else than the others do."""
    entries = (
        (name, report.metric_of(key).title, gain.basis) for name, gains in measured for key, gain in gains.items()
    )
    return [f"{escaped(sentence)}." for sentence in unlike_neighbours(entries)]
