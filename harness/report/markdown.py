"""A report as Markdown."""

from collections.abc import Mapping, Sequence
from typing import Any

from harness.names import file_name
from harness.report.basis import basis_text, unlike_neighbours
from harness.report.claim_text import NEEDED, remark, sides_text
from harness.report.formatting import (
    cost_text,
    fraction_text,
    gain_text,
    interval_text,
    level_text,
    p_text,
    seeds_text,
    spread_text,
)
from harness.report.markdown_controls import controls_section
from harness.report.markdown_effects import effects_section
from harness.report.markdown_sources import sources_section
from harness.report.marks import NOTHING, TICK, bullets, code, escaped, link, number, picture, pipe_table, telling_table
from harness.report.metrics import gains_in
from harness.report.model import Cell, ReportRow, TableReport, differs_column, notice, paper_column, shown_factors
from harness.report.settled_page import settled_section
from harness.trainer import Metric

_FACTS = {
    "origin": "where the runs come from",
    "made": "how the data was made",
    "dataset": "data set",
    "dataset_fingerprint": "fingerprint of the data",
    "synthetic": "synthetic data",
    "code_digest": "digest of the code",
    "dirty": "code differed from the commit",
    "reuse": "finished stages are known by their",
}
"""Readable names of facts whose own are not."""


def to_markdown(report: TableReport, figures: Sequence[tuple[str, str]] = (), page: str = "") -> str:
    """The whole report.

    Args:
        report: What to say.
        figures: Caption and path of each picture to show.
        page: Name of a page of more pictures; empty for none.
    """
    parts = [
        f"# {escaped(report.title)}",
        f"{code(report.name)} · {escaped(report.heading)}",
        f"> **{escaped(notice(report))}**" if notice(report) else "",
        *_results(report),
        *_figures(figures, page),
        *_claims(report),
        *controls_section(report),
        *settled_section(report),
        *effects_section(report),
        *sources_section(report),
        *_costs(report),
        *_more(report),
        *_origin(report),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _results(report: TableReport) -> list[str]:
    differs = differs_column(report)
    header = ["rank"] if report.ranked else []
    factors = shown_factors(report)
    header += ["row", *map(escaped, factors)]
    for metric in report.metrics:
        header += [f"{metric.title} paper"] if paper_column(report, metric) else []
        header += [f"{metric.title} ours", *[f"Δ {metric.title}"] * differs]
    header += ["seeds"]
    lines = []
    for row in report.rows:
        line = [str(row.rank) if row.rank else NOTHING] if report.ranked else []
        line += [escaped(row.name), *(escaped(level_text(row, factor, TICK)) for factor in factors)]
        for metric in report.metrics:
            cell = row.cells[metric.key]
            if paper_column(report, metric):
                published = fraction_text(cell.paper, metric)
                line.append(_marked(published, cell.place) if row.cited else published)
            line.append(NOTHING if row.cited else _measured(row, cell, metric))
            line += [fraction_text(cell.difference, metric, signed=True)] if differs else []
        lines.append([*line, NOTHING if row.cited else seeds_text(row)])
    return [pipe_table(header, lines), bullets(_below(report))]


def _measured(row: ReportRow, cell: Cell, metric: Metric) -> str:
    if cell.measured is None:
        return f"*{row.state or 'not recorded'}*"
    mean = _marked(fraction_text(cell.measured.mean, metric), cell.place)
    return " ".join(filter(None, (mean, spread_text(cell.measured, metric), interval_text(cell.measured, metric))))


def _marked(text: str, place: int | None) -> str:
    return {1: f"**{text}**", 2: f"*{text}*"}.get(place or 0, text)


def _below(report: TableReport) -> list[str]:
    """The lines beneath the results."""
    message = _units_of(report.metrics)
    if any(cell.place for row in report.rows for cell in row.cells.values()):
        message += " **Best** and *second best*."
    lines = [*(f"**Caution**: {escaped(caution)}" for caution in report.cautions)]
    lines.append(" ".join([message, escaped(" ".join(report.method))]).strip())
    cells = [
        (f"Row {row.name}", metric.title, basis.whatever_seeds)
        for row in report.ours
        for metric in report.metrics
        if (basis := row.cells[metric.key].basis) is not None and len(basis.seeds) > 1
    ]
    lines += [f"{escaped(sentence)}." for sentence in unlike_neighbours(cells)]
    if report.factors and not shown_factors(report):
        lines.append(f"On in all our rows: {escaped(', '.join(report.factors))}.")
    if report.ranked:
        lines.append(
            f"Ranks are by {report.metrics[0].title}, from the worst to the best: ours as measured, cited methods as "
            "published."
        )
    elif len(report.ours) < len(report.rows):
        lines.append("Ours is not ranked among the cited methods: the numbers are not comparable.")
    for ours in report.ours:
        lines += [f"Row {escaped(ours.name)}: {escaped(problem)}." for problem in ours.problems]
    lines += [
        f"{'' if row.cited else 'Row '}{escaped(row.name)}: {escaped(row.note)}." for row in report.rows if row.note
    ]
    for refused in report.refused:
        factors = "+".join(refused["factors"]) or "no factor"
        lines.append(f"Refused row {escaped(refused['id'])} ({escaped(factors)}): {escaped(refused['constraint'])}.")
    return lines + [escaped(note) for note in report.notes]


def _units_of(metrics: Sequence[Metric]) -> str:
    """Which metrics are percentages, and which direction is better."""
    percent = [metric.title for metric in metrics if metric.percent]
    lower = [metric.title for metric in metrics if metric.lower_is_better]
    units = "Percent; " if len(percent) == len(metrics) else f"{', '.join(percent)} in percent; " if percent else ""
    if not lower or len(lower) == len(metrics):
        sentence = f"{units}{'lower' if lower else 'higher'} is better."
    else:
        sentence = f"{units}higher is better, for {', '.join(lower)} lower."
    return sentence[0].upper() + sentence[1:] if not percent else sentence


def to_pictures_page(report: TableReport, pictures: Sequence[tuple[str, str]]) -> str:
    """A page of pictures beside the report; names the parent run that they show."""
    parent = _run_link(report.parent_id, report.parent_url)
    parts = [
        f"# {escaped(report.title)}: pictures",
        f"{code(report.name)} · {escaped(report.heading)} · MLflow parent run {parent} · "
        + link("the report", f"{file_name(report.name)}.md"),
        *_shown(pictures),
    ]
    return "\n\n".join(parts) + "\n"


def _figures(figures: Sequence[tuple[str, str]], page: str) -> list[str]:
    more = [f"More requested pictures: {link(page, page)}."] if page else []
    return ["## Figures", *_shown(figures), *more] if figures or page else []


def _shown(pictures: Sequence[tuple[str, str]]) -> list[str]:
    return [picture(caption, path) for caption, path in pictures]


def _claims(report: TableReport) -> list[str]:
    if not report.claims:
        return []
    header = ["claim", "rows", "metric", "paper", "measured", "interval over", "p (Holm)", "g_z", "verdict", "remark"]
    lines = []
    for claim in report.claims:
        metric = report.metric_of(claim.metric)
        lines.append(
            [
                escaped(claim.text),
                escaped(sides_text(claim, metric)),
                metric.title,
                fraction_text(claim.claimed, metric, signed=True),
                escaped(gain_text(claim, metric)),
                escaped(basis_text(claim.basis)) if claim.basis and claim.measured and claim.measured.interval else "",
                NOTHING if claim.p_holm is None else escaped(p_text(claim.p_holm)),
                number(claim.effect_size),
                f"**{claim.verdict}**",
                escaped(remark(claim, metric)),
            ]
        )
    sentences = [
        f"Gains in {gains_in(report.metric_of(claim.metric) for claim in report.claims)}, positive where they favour "
        "the claim; [ , ] is the 95 % interval, over what both rows have in common.",
        "p (Holm): how often chance alone produces so large a gain or loss if there is none, corrected for all claims "
        "of this table.",
        "*Reproduced*: in favour, p ≤ 0.05. *Contradicted*: against, p ≤ 0.02. *Inconclusive*: neither.",
    ]
    if any(claim.effect_size is not None for claim in report.claims):
        sentences.append("g_z: the gain in standard deviations between seeds, corrected for few seeds.")
    if any(claim.needed for claim in report.claims):
        sentences.append(f"Seeds needed: {NEEDED}")
    if report.settlement:
        sentences[2] = "The verdicts are settling's: *reproduced* is better, *contradicted* worse, *inconclusive* open."
    if report.not_comparable:
        sentences[2] = (
            "*Not comparable*: measured, but counted neither for nor against the paper "
            f"({escaped(report.not_comparable)})."
        )
    return ["## Claims", telling_table(header, lines), " ".join(sentences)]


def _costs(report: TableReport) -> list[str]:
    if not report.costs:
        return []
    header = ["row", *(cost.title for cost in report.costs)]
    lines = [[escaped(row.name), *(cost_text(row, cost) for cost in report.costs)] for row in report.ours]
    message = "Means over the finished runs; parameters and multiply-adds of one image at test time."
    if any(cost.key == "seconds" for cost in report.costs):
        message += " Device time: what the row takes on its own, including stages that it shares with others."
    return ["## Cost", pipe_table(header, lines), message]


def _more(report: TableReport) -> list[str]:
    if not report.more_metrics:
        return []
    header = ["row", *(metric.title for metric in report.more_metrics)]
    lines = []
    for row in report.ours:
        found = row.more or {}
        lines.append(
            [
                escaped(row.name),
                *(
                    f"{fraction_text(found[metric.key].mean, metric)} {spread_text(found[metric.key], metric)}".strip()
                    if metric.key in found
                    else NOTHING
                    for metric in report.more_metrics
                ),
            ]
        )
    return ["## Other measures", pipe_table(header, lines)]


def _origin(report: TableReport) -> list[str]:
    facts = [[escaped(_FACTS.get(name, name)), escaped(value)] for name, value in report.provenance.items()]
    if report.parent_id:
        facts.append(["MLflow parent run", _run_link(report.parent_id, report.parent_url)])
    parts = ["## Provenance", pipe_table(["fact", "value"], facts)]
    if report.overrides:
        changed = [f"{code(key)} = {code(value)}" for key, value in report.overrides.items()]
        parts += ["Values set on the command line:", bullets(changed)]
    if report.assumptions:
        assumed = [_assumed(entry) for entry in report.assumptions]
        parts += ["## Assumptions: what the paper does not give", pipe_table(["what", "here", "why"], assumed)]
    lines = [
        [
            escaped(row.name),
            str(run.seed),
            escaped(run.status),
            _run_link(run.run_id, run.url),
            *(fraction_text(run.metrics.get(metric.key), metric) for metric in report.metrics),
        ]
        for row in report.ours
        for run in row.runs
    ]
    header = [
        "row",
        "seed",
        "status",
        "MLflow run" if report.parent_id else "run",
        *(metric.title for metric in report.metrics),
    ]
    return [*parts, "## Runs", pipe_table(header, lines)] if lines else parts


def _assumed(entry: Mapping[str, Any]) -> list[str]:
    shown = code if entry.get("setting", True) else escaped
    return [shown(entry["key"]), shown(entry["value"]), escaped(entry["reason"])]


def _run_link(run_id: str, url: str | None) -> str:
    return f"[`{run_id}`]({url})" if url else f"`{run_id}`"
