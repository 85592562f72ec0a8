r"""A report's results as papers print them: plain mean ± standard deviation, the best in bold, daggers, no intervals.

Numbers are aligned at their decimal point: one column holds the digits before it, the next those after it. A table
takes one column of the page if it fits at ``\small``, else both. Needs only booktabs and graphicx. Owns which columns
are shown and which differences get a dagger. Refuses claims: they have a file of their own.
"""

from collections.abc import Collection, Sequence
from pathlib import Path

from harness.errors import InputError, did_you_mean
from harness.names import file_name
from harness.report.formatting import level_text, metric_text, seeds_text
from harness.report.latex import LABELS, latex_text, to_latex_claims
from harness.report.model import Cell, ReportRow, TableReport, notice, paper_column, shown_factors
from harness.report.settled import measurements_of
from harness.report.statistics import ALPHA, holm
from harness.report.write import write_text
from harness.track.snapshot import Snapshot
from harness.trainer import Metric

GROUPS = ("factors", "metrics", "paper", "seeds")
"""Names for ``--columns`` besides single factors and metrics; ``paper``: the published value of each metric."""
Marked = Collection[tuple[str, str]]
"""Rows and metrics."""
_DAGGER = r"\rlap{\ensuremath{^\dagger}}"
_NONE = "---"
_FLAT = 3
"""Letters of a factor's name that is not turned on its side."""


def write_paper(
    report: TableReport,
    out_dir: Path,
    columns: Sequence[str] | None = None,
    against: str | None = None,
    together: Sequence[TableReport] = (),
) -> list[Path]:
    """Writes ``<table>.tex``, its claims as ``<table>-claims.tex``, and ``<table>-<table>.tex`` with several tables.

    Args:
        report: What to write.
        out_dir: Made if need be.
        columns: See :func:`to_paper`; of several tables, each shows those that it has.
        against: Likewise.
        together: The tables to print side by side.
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    if len(together) > 1:
        _check(together, columns, against)
        own, row = _own(report, columns, against)
    else:
        own, row = columns, against
    name = file_name(report.name)
    texts = {name: to_paper(report, own, row)}
    if report.claims:
        texts[f"{name}-claims"] = to_latex_claims(report)
    if len(together) > 1:
        texts["-".join(file_name(each.name) for each in together)] = to_paper_pair(together, columns, against)
    return [write_text(out_dir / f"{stem}.tex", text) for stem, text in texts.items()]


def _check(reports: Sequence[TableReport], columns: Sequence[str] | None, against: str | None) -> None:
    """Raises an InputError for a column or a row that none of several tables has."""
    known = {name for report in reports for name in columns_of(report)}
    rows = {row for report in reports for row in _rows(report)}
    for name in columns or ():
        if name not in known:
            raise InputError(f'--columns "{name}": {did_you_mean(name, known)}')
    if against is not None and against not in rows:
        raise InputError(f'--against "{against}": {did_you_mean(against, rows)}')


def _own(
    report: TableReport, columns: Sequence[str] | None, against: str | None
) -> tuple[Sequence[str] | None, str | None]:
    """Of what was asked for of several tables, what this one has."""
    own = None if columns is None else [name for name in columns if name in columns_of(report)]
    return own, against if against in _rows(report) else None


_BOX = r"\ifdefined\harnesstable\else\newsavebox\harnesstable\fi"


def to_paper(report: TableReport, columns: Sequence[str] | None = None, against: str | None = None) -> str:
    """One ``table``, or ``table*`` where it is wider than a column of the page.

    Args:
        report: What to print.
        columns: Factors and metrics by name, and ``GROUPS``; None: factors, metrics, and the paper's numbers where the
            two compare.
        against: The row that daggers mark differences from; None: the first.

    Raises:
        InputError: For an unknown column or row.
    """
    marked = _marked(report, columns, against)
    return "\n".join(
        [
            *_remarks(report),
            _BOX,
            *_tabular(report, columns, marked),
            r"\edef\harnessfloat{\ifdim\wd\harnesstable>\columnwidth table*\else table\fi}",
            r"\begin{\harnessfloat}",
            r"  \centering",
            *_caption(report),
            r"  \usebox\harnesstable\par",
            rf"  \smallskip{{\footnotesize {_legend(report, columns, against, daggers=bool(marked))}\par}}",
            r"\end{\harnessfloat}",
            "",
        ]
    )


def to_paper_pair(
    reports: Sequence[TableReport], columns: Sequence[str] | None = None, against: str | None = None
) -> str:
    """Tables side by side over both columns of the page, each with its own number and caption.

    Each is as wide as its numbers need; one for which no room is left goes below. A column or a row that one of the
    tables lacks is left out there; see :func:`to_paper`.
    """
    lines = [line for report in reports for line in _remarks(report)]
    lines += [_BOX, r"\begin{table*}", r"  \centering"]
    for report in reports:
        own, row = _own(report, columns, against)
        marked = _marked(report, own, row)
        lines += [
            *_tabular(report, own, marked),
            r"  \begin{minipage}[t]{\ifdim\wd\harnesstable<0.3\textwidth 0.3\textwidth\else\wd\harnesstable\fi}",
            r"  \centering",
            *_caption(report),
            r"  \usebox\harnesstable",
            rf"  \par\smallskip{{\footnotesize {_legend(report, own, row, daggers=bool(marked))}\par}}",
            r"  \end{minipage}\hfill",
        ]
    return "\n".join([*lines, r"\end{table*}", ""])


def _remarks(report: TableReport) -> list[str]:
    """Returns comments for editors of the file; the paper does not show them."""
    message = f"{report.name}: {report.heading}. {notice(report)}"
    return [r"% Needs \usepackage{booktabs,graphicx}.", "% " + latex_text(message)]


def _caption(report: TableReport) -> list[str]:
    return [
        rf"  \caption{{{latex_text(report.title)}}}",
        rf"  \label{{tab:{LABELS.encode(report.name)}}}",
        r"  \smallskip",
    ]


def columns_of(report: TableReport) -> tuple[str, ...]:
    """Lists the names that ``columns`` may have."""
    return (*GROUPS, *report.factors, *(metric.key for metric in report.metrics))


def _rows(report: TableReport) -> list[str]:
    return [row.id for row in report.ours]


def _chosen(
    report: TableReport, columns: Sequence[str] | None
) -> tuple[tuple[str, ...], tuple[Metric, ...], Collection[str]]:
    """The factors and metrics to show, and which of ``paper`` and ``seeds``."""
    if columns is None:
        return shown_factors(report), report.metrics, () if report.not_comparable else ("paper",)
    for name in columns:
        if name not in columns_of(report):
            raise InputError(f'--columns "{name}": {did_you_mean(name, columns_of(report))}')
    factors = shown_factors(report) if "factors" in columns else ()
    factors = tuple(dict.fromkeys([*factors, *(name for name in columns if name in report.factors)]))
    every = "metrics" in columns or not any(metric.key in columns for metric in report.metrics)
    metrics = tuple(metric for metric in report.metrics if every or metric.key in columns)
    return factors, metrics, tuple(name for name in columns if name in ("paper", "seeds"))


def _reference(report: TableReport, against: str | None) -> str:
    rows = _rows(report)
    if against is None:
        return rows[0]
    if against not in rows:
        raise InputError(f'--against "{against}": {did_you_mean(against, rows)}')
    return against


def surviving(report: TableReport, metrics: Sequence[Metric], reference: str) -> Marked:
    """The rows and metrics whose difference from the reference survives Holm's correction over all that are shown."""
    runs = tuple(run for row in report.ours for run in row.runs)
    keys = [metric.key for metric in metrics]
    whole = Snapshot("", report.name, {"measured": report.measured}, {}, runs)
    numbers = measurements_of(whole, keys, report.settlement)
    found = {}
    for row in report.ours:
        for key in keys:
            gain = numbers.contrast({row.id: 1.0, reference: -1.0}, key) if row.id != reference else None
            if gain is not None and gain.p_value is not None:
                found[row.id, key] = gain.p_value
    adjusted = dict(zip(found, holm(list(found.values())), strict=True))
    return {pair for pair, p_value in adjusted.items() if p_value is not None and p_value < ALPHA}


def _marked(report: TableReport, columns: Sequence[str] | None, against: str | None) -> Marked:
    """The cells that get a dagger."""
    return surviving(report, _chosen(report, columns)[1], _reference(report, against))


def _tabular(report: TableReport, columns: Sequence[str] | None, marked: Marked) -> list[str]:
    """Returns the lines that put the table into a box, whose width LaTeX can then ask for."""
    factors, metrics, more = _chosen(report, columns)
    published = [metric for metric in metrics if "paper" in more and paper_column(report, metric)]
    form = "l" + "c" * len(factors)
    above, titles = [""] * (1 + len(factors)), ["", *map(_turned, factors)]
    for metric in metrics:
        names = ("paper", "ours") if metric in published else (latex_text(metric.title),)
        form += "r@{}l" * len(names)
        above.append(_spanning(2 * len(names), latex_text(metric.title)) if metric in published else _spanning(2, ""))
        titles += [_spanning(2, name) for name in names]
    if "seeds" in more:
        form, titles = f"{form}r", [*titles, "Seeds"]
    head = [above, titles] if published else [titles]
    lines = []
    for row in report.rows:
        line = [latex_text(row.name), *(latex_text(level_text(row, factor, "✓")) for factor in factors)]
        for metric in metrics:
            cell = row.cells[metric.key]
            if metric in published:
                line += _split(cell.paper, metric, bold=row.cited and cell.place == 1)
            line += _measured(row, cell, metric, dagger=(row.id, metric.key) in marked)
        lines.append([*line, *["" if row.cited else seeds_text(row)] * ("seeds" in more)])
    return [
        r"\sbox\harnesstable{\small\setlength{\tabcolsep}{3pt}%",
        rf"  \begin{{tabular}}{{{form}}}",
        r"    \toprule",
        *(rf"    {' & '.join(line)} \\" for line in head),
        r"    \midrule",
        *(rf"    {{}}{' & '.join(line)} \\" for line in lines),
        r"    \bottomrule",
        r"  \end{tabular}}",
    ]


def _spanning(columns: int, text: str) -> str:
    return rf"\multicolumn{{{columns}}}{{c}}{{{text}}}"


def _turned(factor: str) -> str:
    """A factor's name above its narrow column of ticks."""
    text = latex_text(factor)
    return text if len(factor) <= _FLAT else rf"\rotatebox{{90}}{{{text}}}"


def _measured(row: ReportRow, cell: Cell, metric: Metric, *, dagger: bool) -> list[str]:
    """A mean with its standard deviation, in two columns that meet at the point."""
    if row.cited or cell.measured is None:
        state = "" if row.cited else rf"\emph{{{latex_text(row.state or 'not recorded')}}}"
        return [_spanning(2, state or _NONE)]
    whole, rest = _split(cell.measured.mean, metric, bold=cell.place == 1)
    sd = cell.measured.sd
    spread = "" if sd is None else rf"\,\ensuremath{{\pm}}\,{latex_text(metric_text(sd, metric))}"
    return [whole, rest + spread + _DAGGER * dagger]


def _split(value: float | None, metric: Metric, *, bold: bool) -> list[str]:
    """A number before its point, and from it on.

    >>> _split(0.784, Metric("mAP", "mAP"), bold=False), _split(0.784, Metric("mAP", "mAP"), bold=True)
    (['78', '.4'], ['\\\\textbf{78}', '\\\\textbf{.4}'])
    """
    if value is None:
        return [_spanning(2, _NONE)]
    whole, point, decimals = metric_text(value, metric).partition(".")
    parts = [latex_text(whole), point + decimals]
    return [rf"\textbf{{{part}}}" if bold and part else part for part in parts]


def _legend(report: TableReport, columns: Sequence[str] | None, against: str | None, *, daggers: bool) -> str:
    _, metrics, _ = _chosen(report, columns)
    counts = sorted({row.seeds_done for row in report.ours if row.seeds_done})
    seeds = f"{counts[0]}" if counts[:1] == counts[-1:] else f"{counts[0]} to {counts[-1]}" if counts else "no"
    parts = [metric.title for metric in metrics if metric.percent]
    unit = "" if not parts else ", in percent" if len(parts) == len(metrics) else f" ({', '.join(parts)} in percent)"
    message = f"Mean ± standard deviation over {seeds} seeds{unit}; the best in bold."
    said = latex_text(message)
    if daggers:
        differs = f"differs from row {_reference(report, against)} (Holm, p < 0.05)."
        said += rf" \ensuremath{{^\dagger}} {latex_text(differs)}"
    return said
