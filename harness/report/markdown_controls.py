"""The section of a Markdown report on claims under equal training."""

from harness.report.claim_text import versus
from harness.report.controls import Controlled
from harness.report.formatting import interval_text, metric_text, p_text
from harness.report.marks import NOTHING, bullets, escaped, telling_table
from harness.report.model import TableReport
from harness.report.statistics import Estimate
from harness.trainer import Metric


def controls_section(report: TableReport) -> list[str]:
    """The section; nothing where the table asks for no controls."""
    if not report.controls:
        return []
    header = ["claim", "rows", "metric", "as compared", "with equal training", "p (Holm)", "training alone", "control"]
    lines = [_line(report, one) for one in report.controls if one.control]
    without = [f"{escaped(one.text)}: {escaped(one.reason)}." for one in report.controls if not one.control]
    message = (
        "A control is the row that trains less, with the other's stages, steps and samplers but only its own losses. "
        "As compared = with equal training + training alone, where all three rows have the same seeds. p (Holm): of "
        "the effect with equal training, corrected for all of them."
    )
    parts = [telling_table(header, lines), escaped(message)] if lines else []
    parts += ["No training makes these claims' rows equal:", bullets(without)] if without else []
    return ["## With equal training", *parts]


def _line(report: TableReport, one: Controlled) -> list[str]:
    metric = report.metric_of(one.metric)
    return [
        escaped(one.text),
        escaped(versus(one.better, one.than)),
        escaped(metric.title),
        _gain(one.whole, metric),
        _gain(one.equal, metric),
        NOTHING if one.p_holm is None else escaped(p_text(one.p_holm)),
        _gain(one.training, metric),
        escaped(one.control),
    ]


def _gain(estimate: Estimate | None, metric: Metric) -> str:
    if estimate is None:
        return NOTHING
    return escaped(
        f"{metric_text(estimate.mean, metric, signed=True)} {interval_text(estimate, metric, signed=True)}".strip()
    )
