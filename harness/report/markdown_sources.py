"""The section of a Markdown report on where the variance comes from."""

import math

from harness.formatting import counted
from harness.report.formatting import metric_text, three_digits
from harness.report.marks import escaped, telling_table
from harness.report.model import TableReport
from harness.report.sources import Sources


def sources_section(report: TableReport) -> list[str]:
    """The section; nothing where no run kept values by unit."""
    if not report.sources:
        return []
    unit = report.sources[0].unit
    header = ["metric", "of", "sd of seeds", f"sd of {unit}", f"sd of seed × {unit}"]
    header += ["share of seeds", f"share of {unit}", f"share of seed × {unit}"]
    header += ["half-width", "with twice the seeds", f"with twice the {unit}", "next"]
    text = (
        f"Crossed random effects of seeds and {unit}, averaged over the table's rows, or over its paired comparisons, "
        "where most of it cancels. sd: how much a single result varies, in the metric's unit. Shares: of the variance "
        "of the mean. Half-width: of the mean's 95 % interval, now and with twice as many."
    )
    lines = [_line(report, one) for one in report.sources]
    return ["## Where the variance comes from", telling_table(header, lines), escaped(text)]


def _line(report: TableReport, one: Sources) -> list[str]:
    metric, parts = report.metric_of(one.metric), one.components
    deviations = (metric.scale * math.sqrt(part) for part in (parts.seed, parts.unit, parts.both))
    what = counted(one.among, one.subject.removesuffix("s"))
    return [
        escaped(metric.title),
        f"{what} ({counted(parts.seeds, 'seed')}, {parts.units:,} {escaped(one.unit)})",
        *(three_digits(deviation) for deviation in deviations),
        *(f"{share:.0%}" for share in parts.shares),
        *(f"± {metric_text(half, metric)}" for half in one.half_widths),
        "more seeds" if one.next == "seeds" else f"more {escaped(one.unit)}",
    ]
