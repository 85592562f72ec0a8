r"""A report's tables of results and of claims as LaTeX, for ``\input`` into a paper.

Needs only booktabs and graphicx. A table too wide for the page is scaled down, and any user's text compiles.
"""

import re
import unicodedata
from collections.abc import Sequence

from harness.names import Naming
from harness.report.claim_text import sides_text
from harness.report.formatting import (
    fraction_text,
    gain_text,
    interval_text,
    level_text,
    p_text,
    seeds_text,
    spread_text,
)
from harness.report.marks import NOTHING
from harness.report.metrics import gains_in
from harness.report.model import Cell, ReportRow, TableReport, differs_column, notice, paper_column, shown_factors
from harness.trainer import Metric

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
    **{"✓": r"\ensuremath{\bullet}", "·": r"\textperiodcentered{}", "–": "--", "…": r"\ldots{}", "ß": r"\ss{}"},
    **{"Ł": r"\L{}", "ł": r"\l{}", "Ø": r"\O{}", "ø": r"\o{}", "Æ": r"\AE{}", "æ": r"\ae{}"},
    **{"‘": "`", "’": "'", "“": "``", "”": "''", '"': r"\texttt{\char34}", "`": r"\`{}", "µ": r"\ensuremath{\mu}"},
}
LABELS = Naming(escape=":", also="-.", most_bytes=100, ascii_only=True)
_ACCENTS = {
    **{"\u0300": "`", "\u0301": "'", "\u0302": "^", "\u0303": "~", "\u0304": "=", "\u0306": "u", "\u0307": "."},
    **{"\u0308": '"', "\u030a": "r", "\u030b": "H", "\u030c": "v", "\u0327": "c"},
}
"""Combining characters and the letters of LaTeX's accents, which every font encoding has."""
_SHIFTED = {"<super>": "textsuperscript", "<sub>": "textsubscript"}
_NOT_GREEK = {"omicron", "digamma", "stigma", "koppa", "sampi", "san", "sho", "yot", "heta"}
"""Greek letters that LaTeX has no name for."""
_LIGATURE = re.compile("--|''|``|,,|[?!]`")
_GREEK = re.compile(r"GREEK (SMALL|CAPITAL) LETTER ([A-Z]+)$")
_TELLING_CAPITALS = {"Gamma", "Delta", "Theta", "Lambda", "Xi", "Pi", "Sigma", "Upsilon", "Phi", "Psi", "Omega"}
"""The Greek capitals that LaTeX has names for; the others look like Latin ones."""


def to_latex(report: TableReport) -> str:
    """Two ``table*`` environments: the results, and the claims where there are any."""
    claims = [to_latex_claims(report)] if report.claims else []
    return "\n".join([r"% Needs \usepackage{booktabs,graphicx}.", _results(report), *claims])


def _results(report: TableReport) -> str:
    differs = differs_column(report)
    factors = shown_factors(report)
    header = [*["Rank"] * report.ranked, "Row", *factors]
    columns = "r" * report.ranked + "l" + "c" * len(factors)
    for metric in report.metrics:
        names = [*["paper"] * paper_column(report, metric), "ours", *["Δ"] * differs]
        header += [f"{metric.title} {name}" for name in names]
        columns += "".join("l" if name == "ours" else "r" for name in names)
    lines = []
    for row in report.rows:
        line = [*[latex_text(row.rank or NOTHING)] * report.ranked, latex_text(row.name)]
        line += [latex_text(level_text(row, factor, "✓")) for factor in factors]
        for metric in report.metrics:
            cell = row.cells[metric.key]
            if paper_column(report, metric):
                published = latex_text(fraction_text(cell.paper, metric))
                line.append(_marked(published, cell.place) if row.cited else published)
            line.append(latex_text(NOTHING) if row.cited else _measured(row, cell, metric))
            line += [latex_text(fraction_text(cell.difference, metric, signed=True))] * differs
        lines.append([*line, latex_text(NOTHING if row.cited else seeds_text(row))])
    caption = " ".join(filter(None, (f"{report.title}; {report.heading}.", notice(report), *report.method)))
    return _environment(caption, report.name, columns + "r", [*header, "Seeds"], lines)


def _measured(row: ReportRow, cell: Cell, metric: Metric) -> str:
    if cell.measured is None:
        return rf"\emph{{{latex_text(row.state or 'not recorded')}}}"
    mean = _marked(latex_text(fraction_text(cell.measured.mean, metric)), cell.place)
    spread = f"{spread_text(cell.measured, metric)} {interval_text(cell.measured, metric)}".strip()
    return f"{mean} {latex_text(spread)}".strip()


def _marked(text: str, place: int | None) -> str:
    return {1: rf"\textbf{{{text}}}", 2: rf"\underline{{{text}}}"}.get(place or 0, text)


def to_latex_claims(report: TableReport) -> str:
    """A ``table*`` of the claims with their verdicts."""
    lines = []
    for claim in report.claims:
        metric = report.metric_of(claim.metric)
        texts = (
            claim.text,
            sides_text(claim, metric),
            metric.title,
            fraction_text(claim.claimed, metric, signed=True),
            gain_text(claim, metric),
            NOTHING if claim.p_holm is None else p_text(claim.p_holm),
            claim.verdict,
        )
        lines.append([latex_text(text) for text in texts])
    header = ["Claim", "Rows", "Metric", "Paper", "Measured", "p (Holm)", "Verdict"]
    unit = gains_in(report.metric_of(claim.metric) for claim in report.claims)
    caption = f"Claims of {report.title}; {report.heading}. Gains in {unit} with their 95 % interval."
    columns = r"p{0.3\textwidth}lp{0.11\textwidth}rlrl"
    return _environment(caption, f"{report.name}-claims", columns, header, lines)


def _environment(caption: str, label: str, columns: str, header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    # A row that begins with a bracket would be read as the optional argument of the \\ before it.
    rows = [rf"    {{}}{' & '.join(line)} \\" for line in lines]
    return "\n".join(
        [
            r"\begin{table*}",
            r"  \centering",
            rf"  \caption{{{latex_text(caption)}}}",
            rf"  \label{{tab:{LABELS.encode(label)}}}",
            r"  \smallskip\small",
            r"  \setlength{\tabcolsep}{4pt}",
            r"  \setbox0=\hbox{%",
            rf"  \begin{{tabular}}{{{columns}}}",
            r"    \toprule",
            rf"    {' & '.join(map(latex_text, header))} \\",
            r"    \midrule",
            *rows,
            r"    \bottomrule",
            r"  \end{tabular}}",
            r"  \leavevmode\ifdim\wd0>\textwidth\resizebox{\textwidth}{!}{\box0}\else\box0\fi",
            r"\end{table*}",
            "",
        ]
    )


def latex_text(text: object) -> str:
    """Text that LaTeX sets as it is, all white space as single spaces.

    >>> latex_text("a--b"), latex_text("''")
    ('a-{}-b', "'{}'")
    """
    shown = ""
    for character in unicodedata.normalize("NFC", " ".join(str(text).split())):
        piece = _character(character)
        # Two of these together would be set as one other sign.
        shown += "{}" * bool(_LIGATURE.match(shown[-1:] + piece[:1])) + piece
    return shown


def _character(character: str) -> str:
    """One character in plain ASCII; what LaTeX has no means for is shown by its number.

    >>> _character("%"), _character("é"), _character("ε"), _character("中")
    ('\\\\%', "\\\\'{e}", '\\\\ensuremath{\\\\epsilon}', '\\\\texttt{U+4E2D}')
    """
    if character in _SPECIAL:
        return _SPECIAL[character]
    if character.isascii():
        return character if character.isprintable() else ""
    base, *marks = list(unicodedata.normalize("NFD", character))
    if len(marks) == 1 and marks[0] in _ACCENTS and base.isascii():
        return rf"\{_ACCENTS[marks[0]]}{{{base}}}"
    greek = _GREEK.match(unicodedata.name(character, ""))
    if greek is not None:
        name = greek[2].lower().replace("lamda", "lambda")
        name = name.capitalize() if greek[1] == "CAPITAL" else name
        if name in _TELLING_CAPITALS or (greek[1] == "SMALL" and name not in _NOT_GREEK):
            return rf"\ensuremath{{\{name}}}"
    kind = _SHIFTED.get(unicodedata.decomposition(character).partition(" ")[0])
    if kind is not None:
        return rf"\{kind}{{{latex_text(unicodedata.normalize('NFKC', character))}}}"
    return rf"\texttt{{U+{ord(character):04X}}}"
