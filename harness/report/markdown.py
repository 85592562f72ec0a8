"""A report as Markdown."""

import re
from collections.abc import Sequence

from harness.report.model import Cell, TableReport, TableRow
from harness.report.vocabulary import Metric, metric_of, p_text
from harness.report.wording import (
    NOTHING,
    TICK,
    cost_text,
    differs_column,
    fraction_text,
    gain_text,
    game_text,
    interval_text,
    needed_text,
    notice,
    paper_column,
    players_text,
    remark,
    seeds_text,
    spread_text,
)

_SPECIAL = re.compile(r"([\\`*|]|\](?=\()|<(?=[A-Za-z/!])|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9]))")
_NUMBER = re.compile(r"\**[+−]?\d|—$|< |\*[a-z ]+\*$")


def to_markdown(report: TableReport, figures: Sequence[tuple[str, str]] = (), page: str = "") -> str:
    """The whole report.

    Args:
        report: What to say.
        figures: Caption and address of each picture to show.
        page: Address of a page of more pictures; empty for none.
    """
    parts = [
        f"# {escaped(report.title)}",
        f"`{report.name}` · {escaped(report.heading)}",
        f"> **{escaped(notice(report))}**" if notice(report) else "",
        *_results(report),
        *_figures(figures, page),
        *_claims(report),
        *_effects(report),
        *_costs(report),
        *_more(report),
        *_origin(report),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _results(report: TableReport) -> list[str]:
    differs = differs_column(report)
    header = ["rank"] if report.ranked else []
    header += ["row", *map(escaped, report.factors)]
    for metric in report.metrics:
        header += [f"{metric.title} paper"] if paper_column(report, metric) else []
        header += [f"{metric.title} ours", *[f"Δ {metric.title}"] * differs]
    header += ["seeds"]
    lines = []
    for row in report.rows:
        line = [str(row.rank) if row.rank else NOTHING] if report.ranked else []
        line += [escaped(row.name), *(TICK if row.factors.get(factor) else "" for factor in report.factors)]
        for metric in report.metrics:
            cell = row.cells[metric.key]
            if paper_column(report, metric):
                published = fraction_text(cell.paper, metric)
                line.append(_marked(published, cell.place) if row.cited else published)
            line.append(NOTHING if row.cited else _measured(row, cell, metric))
            line += [fraction_text(cell.difference, metric, signed=True)] if differs else []
        lines.append([*line, NOTHING if row.cited else seeds_text(row)])
    return [pipe_table(header, lines), _list(_below(report))]


def _measured(row: TableRow, cell: Cell, metric: Metric) -> str:
    if cell.measured is None:
        return f"*{row.state or 'not recorded'}*"
    mean = _marked(fraction_text(cell.measured.mean, metric), cell.place)
    return " ".join(filter(None, (mean, spread_text(cell.measured, metric), interval_text(cell.measured, metric))))


def _marked(text: str, place: int | None) -> str:
    return {1: f"**{text}**", 2: f"*{text}*"}.get(place or 0, text)


def _below(report: TableReport) -> list[str]:
    """The lines beneath the results."""
    told = "Percent; " + ("lower is better." if report.metrics[0].lower_is_better else "higher is better.")
    if any(cell.place for row in report.rows for cell in row.cells.values()):
        told += " **Best** and *second best*."
    lines = [" ".join([told, *map(escaped, report.method)])]
    if report.ranked:
        lines.append("Ranks are by the first metric: ours as measured, cited methods as published.")
    for ours in report.ours:
        lines += [f"Row {escaped(ours.name)}: {escaped(problem)}." for problem in ours.problems]
    lines += [
        f"{'' if row.cited else 'Row '}{escaped(row.name)}: {escaped(row.note)}." for row in report.rows if row.note
    ]
    for refused in report.refused:
        factors = "+".join(refused["factors"]) or "no factor"
        lines.append(f"Refused row {escaped(refused['id'])} ({escaped(factors)}): {escaped(refused['constraint'])}.")
    return lines + [escaped(note) for note in report.notes]


def to_pictures_page(report: TableReport, pictures: Sequence[tuple[str, str]]) -> str:
    """A page of pictures beside the report; names the parent run that they show."""
    parent = _run_link(report.parent_id, report.parent_url)
    parts = [
        f"# {escaped(report.title)}: pictures",
        f"`{report.name}` · {escaped(report.heading)} · MLflow parent run {parent} · [the report]({report.name}.md)",
        *_shown(pictures),
    ]
    return "\n\n".join(parts) + "\n"


def _figures(figures: Sequence[tuple[str, str]], page: str) -> list[str]:
    more = [f"More pictures that were asked for: [{page}]({page})."] if page else []
    return ["## Figures", *_shown(figures), *more] if figures or page else []


def _shown(pictures: Sequence[tuple[str, str]]) -> list[str]:
    return [f"![{escaped(caption)}]({address})" for caption, address in pictures]


def _claims(report: TableReport) -> list[str]:
    if not report.claims:
        return []
    header = ["claim", "rows", "metric", "paper", "measured", "p (Holm)", "g_z", "verdict", ""]
    lines = []
    for claim in report.claims:
        metric = metric_of(claim.metric)
        lines.append(
            [
                escaped(claim.text),
                escaped(f"{claim.better} − {claim.than}"),
                metric.title,
                fraction_text(claim.claimed, metric, signed=True),
                escaped(gain_text(claim, metric)),
                NOTHING if claim.p_holm is None else escaped(p_text(claim.p_holm)),
                _number(claim.effect_size),
                f"**{claim.verdict}**",
                escaped(remark(claim)),
            ]
        )
    explained = (
        "Differences in percent points over the same seeds and the same queries, positive where they favour the claim, "
        "with their 95 % interval. *Reproduced*: wholly above 0 after Holm's correction over these claims "
        "(p (Holm) ≤ 0.05); *contradicted*: wholly below 0 even at 98 % (p (Holm) ≤ 0.02). g_z: the difference in standard deviations between seeds, "
        "corrected for few seeds. Seeds that would settle it: for 80 % power at the measured difference and variance."
    )
    return ["## Claims", pipe_table(header, lines), explained]


def _effects(report: TableReport) -> list[str]:
    insight = report.insight
    parts: list[str] = []
    first = report.metrics[0]
    if insight.pairs:
        header = ["factor", "rows", *(metric.title for metric in report.metrics), "p (Holm)", "g_z", "settled by", ""]
        lines = []
        for line in insight.pairs:
            gain = line.gains[first.key]
            unsettled = gain.p_holm is not None and gain.p_holm > 0.05
            kinds = [*["leave-one-out"] * line.pair.leave_one_out, *["add-one-in"] * line.pair.add_one_in]
            lines.append(
                [
                    escaped(line.pair.factor),
                    escaped(f"{line.pair.on} − {line.pair.off}"),
                    *(escaped(gain_text(line.gains.get(metric.key), metric)) for metric in report.metrics),
                    NOTHING if gain.p_holm is None else escaped(p_text(gain.p_holm)),
                    _number(gain.effect_size),
                    escaped(needed_text(gain.seeds_needed).removesuffix(" would settle it")) if unsettled else "",
                    ", ".join(kinds),
                ]
            )
        parts += [
            "Matched pairs: rows that differ in one factor alone. Gains in percent points, positive is better; "
            f"p (Holm) over these pairs, g_z and seeds for 80 % power in {first.title}.",
            pipe_table(header, lines),
        ]
    for game in insight.games:
        header = ["effect", *(metric.title for metric in report.metrics)]
        measured = [("", *effect) for effect in game.values] + [
            ("interaction ", *effect) for effect in game.interactions
        ]
        lines = [
            [
                escaped(kind + players_text(effect.players)),
                *(escaped(gain_text(gains.get(metric.key), metric)) for metric in report.metrics),
            ]
            for kind, effect, gains in measured
        ]
        parts += [f"Shapley values and interactions of {escaped(game_text(game.game))}:", pipe_table(header, lines)]
    lines_open = [escaped(reason) + "." for reason in insight.open]
    lines_open += [f"To tell more, add the row {escaped('+'.join(row) or 'no factor')}." for row in insight.suggestions]
    parts.append(_list(lines_open))
    return ["## Effects of factors", *parts] if any(parts) else []


def _costs(report: TableReport) -> list[str]:
    if not report.costs:
        return []
    header = ["row", *(cost.title for cost in report.costs)]
    lines = [[escaped(row.name), *(cost_text(row, cost) for cost in report.costs)] for row in report.ours]
    told = (
        "Means over the finished runs. Parameters and multiply-adds are those of one image at test time; the hours of "
    )
    return ["## Cost", pipe_table(header, lines), told + "a row count the stages that it shares with others."]


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
    facts = [[escaped(name), escaped(value)] for name, value in report.provenance.items()]
    facts.append(["MLflow parent run", _run_link(report.parent_id, report.parent_url)])
    parts = ["## Provenance", pipe_table(["", ""], facts)]
    if report.overrides:
        changed = [f"`{key}` = `{value}`" for key, value in report.overrides.items()]
        parts += ["Values set on the command line:", _list(changed)]
    if report.assumptions:
        assumed = [
            [f"`{entry['key']}`", f"`{entry['value']}`", escaped(entry["reason"])] for entry in report.assumptions
        ]
        parts += ["## Assumptions: what the paper does not give", pipe_table(["value", "here", "why"], assumed)]
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
    header = ["row", "seed", "status", "MLflow run", *(metric.title for metric in report.metrics)]
    return [*parts, "## Runs", pipe_table(header, lines)] if lines else parts


def _run_link(run_id: str, url: str | None) -> str:
    return f"[`{run_id}`]({url})" if url else f"`{run_id}`"


def _number(value: float | None) -> str:
    return NOTHING if value is None else f"{value:+.2f}".replace("-", "−")


def pipe_table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A pipe table; columns of numbers are aligned to the right, columns of ticks centred."""
    rule = ["---"] * len(header)
    for column in range(1, len(header)):
        cells = [line[column] for line in lines if line[column]]
        if header[column] == "rows" or not cells:
            continue
        if all(cell == TICK for cell in cells):
            rule[column] = ":-:"
        elif all(_NUMBER.match(cell) for cell in cells):
            rule[column] = "--:"
    return "\n".join("| " + " | ".join(row) + " |" for row in (header, rule, *lines))


def _list(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def escaped(text: object) -> str:
    """Text that Markdown shows as it is."""
    return _SPECIAL.sub(r"\\\1", " ".join(str(text).split()))
