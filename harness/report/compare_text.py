"""The text of a comparison: sections of sentences and tables, for the terminal, Markdown, HTML and JSON alike."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness.plan.why import Difference
from harness.report.basis import basis_text
from harness.report.compare import Comparison, MetricLine, Pair
from harness.report.compare_units import UnitValues
from harness.report.formatting import interval_text, metric_text, p_text, spread_text, three_digits
from harness.report.marks import NOTHING
from harness.report.statistics import Estimate
from harness.trainer import Metric

MOST_UNITS = 5
"""Units that are shown of those that gained, and of those that lost."""
_MOST_NAMES = 8
_SHORT = 12
"""Characters of a digest or a commit."""


@dataclass(frozen=True)
class Section:
    """A part of the page: sentences, then a table."""

    title: str
    text: tuple[str, ...] = ()
    header: tuple[str, ...] = ()
    lines: tuple[tuple[str, ...], ...] = ()


def heading(comparison: Comparison) -> str:
    """Says in a sentence in what the provenance of the two sides agrees or differs."""
    if not comparison.mixed:
        return "Both have the same code version, profile and data set."
    return f"The two differ in {_joined(comparison.mixed)}."


def title(comparison: Comparison) -> str:
    """The page's title."""
    return f"{comparison.title}: {comparison.first} → {comparison.second}"


def sections(comparison: Comparison, most: int = MOST_UNITS) -> list[Section]:
    """All sections that say something.

    Args:
        comparison: What to say.
        most: Units to show of those that gained and of those that lost.
    """
    shown = pair_with_most_units(comparison)
    parts = [_metrics(comparison), _settings(comparison), _origin(comparison)]
    if shown is not None and shown.units is not None:
        parts.append(_units(comparison, shown, shown.units, most))
    return [part for part in (*parts, _costs(comparison), _notes(comparison)) if part.text or part.lines]


def pair_with_most_units(comparison: Comparison) -> Pair | None:
    """The pair with values by unit whose first metric changed most."""
    known = [pair for pair in comparison.pairs if pair.units is not None]
    return max(known, key=lambda pair: abs(float(pair.units.gains.mean())) if pair.units else 0.0, default=None)


def _metrics(comparison: Comparison) -> Section:
    several = len(comparison.pairs) > 1
    header = ("metric", comparison.first, comparison.second, "gain", "95 % interval", "p", "over")
    lines = []
    for pair in comparison.pairs:
        for line in pair.metrics:
            own = [str(pair.first.row["id"])] * several
            lines.append((*own, *_metric_line(line)))
    text = [f"Gains are those of {comparison.second} over {comparison.first}: positive is better, whatever the metric."]
    if len(lines) > 1:
        count = len(lines)
        text.append(
            f"Each of the {count} differences has its own interval and p-value, not corrected for looking at {count}."
        )
    return Section("Metrics", tuple(text), (*["row"] * several, *header), tuple(lines))


def _metric_line(line: MetricLine) -> tuple[str, ...]:
    metric, gain = line.metric, line.gain
    p_value = gain.p_value if gain else None
    return (
        metric.title,
        *(_mean(side, metric) for side in (line.first, line.second)),
        NOTHING if gain is None else metric_text(gain.mean, metric, signed=True),
        (interval_text(gain, metric, signed=True) if gain else "") or NOTHING,
        NOTHING if p_value is None else p_text(p_value),
        basis_text(line.basis) if line.basis else "unpaired",
    )


def _mean(estimate: Estimate | None, metric: Metric) -> str:
    return (
        NOTHING if estimate is None else f"{metric_text(estimate.mean, metric)} {spread_text(estimate, metric)}".strip()
    )


def _settings(comparison: Comparison) -> Section:
    several = len(comparison.pairs) > 1
    lines: dict[tuple[str, str, str], list[str]] = {}
    for pair in comparison.pairs:
        for one in pair.settings:
            lines.setdefault((one.what, _value(one.then), _value(one.now)), []).append(str(pair.first.row["id"]))
    rows = [[_rows(found, comparison)] if several else [] for found in lines.values()]
    table = tuple((*row, *line) for row, line in zip(rows, lines, strict=True))
    text = () if lines else ("All settings are the same.",)
    header = (*["rows"] * several, "setting", comparison.first, comparison.second)
    return Section("Settings that differ", text, header, table)


def _rows(found: Sequence[str], comparison: Comparison) -> str:
    return "all" if len(found) == len(comparison.pairs) else ", ".join(found)


def _value(value: Any) -> str:
    return "not set" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _origin(comparison: Comparison) -> Section:
    text = [code_text(one) for one in comparison.code]
    lines = [(fact.name, _shortened(fact.first), _shortened(fact.second)) for fact in comparison.facts]
    if not lines and not text:
        text = ["Code, data, libraries and machine are the same."]
    return Section("Code, data and libraries", tuple(text), ("", comparison.first, comparison.second), tuple(lines))


def code_text(one: Difference) -> str:
    """A difference of the code in words.

    >>> code_text(Difference("code", "digits", True, True, ("train", "Net.forward")))
    'code digits: train, Net.forward'
    >>> code_text(Difference("code", "digits", False, True)), code_text(Difference("code", "", "ab", "cd"))
    ('code digits: new', 'code: changed; which parts is not recorded in this store')
    """
    if not one.what:
        return "code: changed; which parts is not recorded in this store"
    if not (one.then and one.now):
        return f"code {one.what}: {'new' if one.now else 'gone'}"
    rest = len(one.parts) - _MOST_NAMES
    return f"code {one.what}: {', '.join(one.parts[:_MOST_NAMES])}" + (f" and {rest} more" if rest > 0 else "")


def _shortened(text: str) -> str:
    """A digest cut short, anything else as it is."""
    if len(text) >= 32 and all(character in "0123456789abcdef" for character in text):
        return text[:_SHORT]
    return text or NOTHING


def _units(comparison: Comparison, pair: Pair, units: UnitValues, most: int) -> Section:
    better, same, worse = units.counts()
    seeds = "the mean over seeds" if len(units.seeds) > 1 else "seed"
    row = f"Row {pair.first.row['id']}, which changed most: of" if len(comparison.pairs) > 1 else "Of"
    text = (
        f"{row} {len(units.ids):,} {units.unit}, {better:,} gained in {units.metric.title}, {worse:,} lost and "
        f"{same:,} stayed as they were ({seeds} {', '.join(map(str, units.seeds))}). "
        "Those that gained and lost most were picked for that: their sizes are not estimates.",
    )
    grouped = units.group != units.unit
    header = ("", units.unit, *[units.group] * grouped, comparison.first, comparison.second, "gain")
    lines = []
    for name, places in (("gained", units.gained(most)), ("lost", units.lost(most))):
        for place in places:
            values = (metric_text(side[place], units.metric) for side in (units.first, units.second))
            gain = metric_text(float(units.gains[place]), units.metric, signed=True)
            own = [str(units.groups[place])] * grouped
            lines.append((name, str(units.ids[place]), *own, *values, gain))
    named = units.unit[:1].upper() + units.unit[1:]
    return Section(f"{named} that gained and lost most", text, header, tuple(lines))


def _costs(comparison: Comparison) -> Section:
    several = len(comparison.pairs) > 1
    lines = []
    for pair in comparison.pairs:
        for cost, first, second in pair.costs:
            values = [NOTHING if side is None else three_digits(side * cost.scale) for side in (first, second)]
            ratio = f"{second / first:.2f} ×" if first and second is not None else NOTHING
            lines.append((*[str(pair.first.row["id"])] * several, cost.title, *values, ratio))
    header = (*["row"] * several, "cost", comparison.first, comparison.second, "ratio")
    return Section("Costs", (), header, tuple(lines))


def _notes(comparison: Comparison) -> Section:
    return Section("Notes", comparison.notes)


def _joined(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]


def comparison_to_json(comparison: Comparison, most: int = MOST_UNITS) -> dict[str, Any]:
    """The comparison as plain data: metrics as fractions, seeds and units named."""
    return {
        "first": comparison.first,
        "second": comparison.second,
        "mixed": list(comparison.mixed),
        "origin": [vars(fact) for fact in comparison.facts],
        "code": [vars(one) for one in comparison.code],
        "pairs": [_pair_to_json(pair, most) for pair in comparison.pairs],
        "notes": list(comparison.notes),
    }


def _pair_to_json(pair: Pair, most: int) -> dict[str, Any]:
    units = pair.units
    return {
        "rows": [pair.first.row["id"], pair.second.row["id"]],
        "seeds": [list(pair.first.seeds), list(pair.second.seeds)],
        "settings": [{"key": one.what, "first": one.then, "second": one.now} for one in pair.settings],
        "metrics": [_metric_to_json(line) for line in pair.metrics],
        "units": None if units is None else _units_to_json(units, most),
        "costs": [{"key": cost.key, "first": first, "second": second} for cost, first, second in pair.costs],
    }


def _metric_to_json(line: MetricLine) -> dict[str, Any]:
    gain = line.gain
    return {
        "metric": line.metric.key,
        "first": line.first.mean if line.first else None,
        "second": line.second.mean if line.second else None,
        "gain": gain.mean if gain else None,
        "interval": list(gain.interval) if gain and gain.interval else None,
        "p_value": gain.p_value if gain else None,
        "paired": line.basis is not None,
    }


def _units_to_json(units: UnitValues, most: int) -> dict[str, Any]:
    def unit(place: int) -> dict[str, Any]:
        return {
            "unit": units.ids[place].item(),
            "group": units.groups[place].item(),
            "first": float(units.first[place]),
            "second": float(units.second[place]),
        }

    return {
        "metric": units.metric.key,
        "unit": units.unit,
        **dict(zip(("better", "same", "worse"), units.counts(), strict=True)),
        "gained": [unit(place) for place in units.gained(most)],
        "lost": [unit(place) for place in units.lost(most)],
    }
