r"""A report's tables of results and of claims as LaTeX, for ``\input`` into a paper; needs no package but booktabs."""

from collections.abc import Sequence

from harness.report.model import Cell, TableReport, TableRow
from harness.report.vocabulary import Metric, metric_of, p_text
from harness.report.wording import (
    NOTHING,
    differs_column,
    fraction_text,
    gain_text,
    interval_text,
    notice,
    paper_column,
    seeds_text,
    spread_text,
)

_SPECIAL = {
    "\\": r"\textbackslash{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
    **{"~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\ensuremath{<}", ">": r"\ensuremath{>}"},
    **{
        "−": r"\ensuremath{-}",
        "±": r"\ensuremath{\pm}",
        "×": r"\ensuremath{\times}",
        "—": "---",
        "≤": r"\ensuremath{\le}",
    },
    **{"✓": r"\ensuremath{\bullet}", "·": r"\textperiodcentered{}", "Δ": r"\ensuremath{\Delta}", "—": "---"},
}


def to_latex(report: TableReport) -> str:
    """Two ``table*`` environments: the results, and the claims where there are any."""
    return "\n".join(
        [r"% Needs \usepackage{booktabs}.", _results(report), *([_claims(report)] if report.claims else [])]
    )


def _results(report: TableReport) -> str:
    differs = differs_column(report)
    header = [*["Rank"] * report.ranked, "Row", *report.factors]
    columns = "r" * report.ranked + "l" + "c" * len(report.factors)
    for metric in report.metrics:
        names = [*["paper"] * paper_column(report, metric), "ours", *["Δ"] * differs]
        header += [f"{metric.title} {name}" for name in names]
        columns += "".join("l" if name == "ours" else "r" for name in names)
    lines = []
    for row in report.rows:
        line = [*[_text(row.rank or NOTHING)] * report.ranked, _text(row.name)]
        line += [_text("✓") if row.factors.get(factor) else "" for factor in report.factors]
        for metric in report.metrics:
            cell = row.cells[metric.key]
            if paper_column(report, metric):
                published = _text(fraction_text(cell.paper, metric))
                line.append(_marked(published, cell.place) if row.cited else published)
            line.append(_text(NOTHING) if row.cited else _measured(row, cell, metric))
            line += [_text(fraction_text(cell.difference, metric, signed=True))] * differs
        lines.append([*line, _text(NOTHING if row.cited else seeds_text(row))])
    caption = " ".join(filter(None, (f"{report.title}; {report.heading}.", notice(report), *report.method)))
    return _environment(caption, report.name, columns + "r", [*header, "Seeds"], lines)


def _measured(row: TableRow, cell: Cell, metric: Metric) -> str:
    if cell.measured is None:
        return rf"\emph{{{_text(row.state or 'not recorded')}}}"
    mean = _marked(_text(fraction_text(cell.measured.mean, metric)), cell.place)
    spread = f"{spread_text(cell.measured, metric)} {interval_text(cell.measured, metric)}".strip()
    return f"{mean} {_text(spread)}".strip()


def _marked(text: str, place: int | None) -> str:
    return {1: rf"\textbf{{{text}}}", 2: rf"\underline{{{text}}}"}.get(place or 0, text)


def _claims(report: TableReport) -> str:
    lines = []
    for claim in report.claims:
        metric = metric_of(claim.metric)
        texts = (
            claim.text,
            f"{claim.better} − {claim.than}",
            metric.title,
            fraction_text(claim.claimed, metric, signed=True),
            gain_text(claim, metric),
            NOTHING if claim.p_holm is None else p_text(claim.p_holm),
            claim.verdict,
        )
        lines.append([_text(text) for text in texts])
    header = ["Claim", "Rows", "Metric", "Paper", "Measured", "p (Holm)", "Verdict"]
    caption = f"Claims of {report.title}; {report.heading}. Differences in percent points with their 95 % interval."
    return _environment(caption, f"{report.name}-claims", "lllrlrl", header, lines)


def _environment(caption: str, label: str, columns: str, header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    # A row that begins with a bracket would be read as the optional argument of the \\ before it.
    rows = [rf"    {{}}{' & '.join(line)} \\" for line in lines]
    return "\n".join(
        [
            r"\begin{table*}",
            r"  \centering",
            rf"  \caption{{{_text(caption)}}}",
            rf"  \label{{tab:{label}}}",
            r"  \small",
            rf"  \begin{{tabular}}{{{columns}}}",
            r"    \toprule",
            rf"    {' & '.join(map(_text, header))} \\",
            r"    \midrule",
            *rows,
            r"    \bottomrule",
            r"  \end{tabular}",
            r"\end{table*}",
            "",
        ]
    )


def _text(text: object) -> str:
    """Text that LaTeX sets as it is."""
    return "".join(_SPECIAL.get(character, character) for character in " ".join(str(text).split()))
