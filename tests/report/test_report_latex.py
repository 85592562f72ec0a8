"""LaTeX that compiles, whatever a user's table is called and holds."""

import doctest
import re
import shutil
import subprocess
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_world import run, snapshot, table1

from harness.report import build_report, latex
from harness.report.latex import to_latex

PAGE = r"""\documentclass[twocolumn]{article}
\usepackage{booktabs,graphicx}
\begin{document}
\input{table}
\end{document}
"""
NASTY = (
    r"100% & more_of {it} $x^2$ #1 ~ \input{gone} \\ [2pt]",
    "[bracket] first",
    "ε₁ ≥ Δλ ± 2×10⁻³ – “façade” Łódź, naïve Ž",
    '"中文" → 🙂 \u202e end',
    "?` !` `` '' ,, -- --- << >> \" '",
    "x² ½ ﬁ ₂ⁿ µ ``q''",
    "a long sentence that goes on for longer than any column of a printed page is wide, and then for some words more",
)


def texts_of(words: tuple[str, ...]) -> str:
    """A wide table of fifteen factors whose every name, note and claim is one of the words."""
    pick = [words[index % len(words)] for index in range(20)]
    factors = [f"{index} {word[:20]}" for index, word in enumerate(pick[:15])]
    rows = [
        {
            "id": f"{row} {pick[row]}",
            "label": pick[row + 1],
            "note": pick[row + 2],
            "factors": {factor: index % (row + 2) == 0 for index, factor in enumerate(factors)},
            "paper": {"mAP": 70.0},
        }
        for row in range(3)
    ]
    claim = {"text": pick[0], "better": rows[0]["id"], "than": rows[1]["id"], "metric": "mAP", "by": 1.0}
    declaration = table1(name="50% of_it", title=pick[0], rows=rows, claims=[claim, {**claim, "text": pick[4]}])
    runs = [run(row["id"], seed, {"mAP": 0.5 + 0.01 * seed, "rank1": 0.6}) for row in rows[:2] for seed in range(3)]
    return to_latex(build_report(snapshot(declaration, runs)))


@given(st.lists(st.text(max_size=30), min_size=1, max_size=4))
def test_any_text_becomes_ascii_with_balanced_braces_and_square_rows(words: list[str]) -> None:
    text = texts_of(tuple(words))
    assert text.isascii()
    bare = re.sub(r"\\[\\{}]", "", text)
    depth = 0
    for character in bare:
        depth += (character == "{") - (character == "}")
        assert depth >= 0
    assert depth == 0
    for body in re.findall(r"\\midrule(.*?)\\bottomrule", text, flags=re.S):
        rows = [line for line in body.splitlines() if line.endswith(r"\\")]
        assert len({len(re.findall(r"(?<!\\)&", line)) for line in rows}) == 1


def read_back(text: str) -> str:
    """What LaTeX sets for a text of ours; both apostrophes are one sign."""
    words = {
        **{
            rf"\text{name}{{}}": sign for name, sign in (("backslash", "\\"), ("asciitilde", "~"), ("asciicircum", "^"))
        },
        **{rf"\{sign}": sign for sign in "&%$#_{}"},
        **{
            rf"\ensuremath{{{name}}}": sign
            for name, sign in ((r"\pm", "±"), (r"\times", "×"), (r"\le", "≤"), ("-", "−"))
        },
        **{rf"\ensuremath{{{sign}}}": sign for sign in "<>"},
        **{r"\ensuremath{\bullet}": "✓", r"\textperiodcentered{}": "·", r"\ldots{}": "…", r"\ensuremath{\mu}": "μ"},
        **{r"\texttt{\char34}": '"', r"\`{}": "`", "---": "—", "--": "–", "``": "“", "''": "”", "`": "‘", "{}": ""},
        **{r"\ss{}": "ß", r"\L{}": "Ł", r"\l{}": "ł", r"\O{}": "Ø", r"\o{}": "ø", r"\AE{}": "Æ", r"\ae{}": "æ"},
    }
    greek = r"\\ensuremath\{\\([A-Za-z]+)\}"
    shifted_text = r"\\text(super|sub)script\{((?:[^{}]|\{[^{}]*\})*)\}"
    others = [r"\\texttt\{U\+([0-9A-F]{4,6})\}", shifted_text, greek, r"\\([`'^~=u.\"rHvc])\{(\w)\}"]
    pattern = "|".join([*map(re.escape, words), *others])
    accents = dict(
        zip("`'^~=u.\"rHvc", "\u0300\u0301\u0302\u0303\u0304\u0306\u0307\u0308\u030a\u030b\u030c\u0327", strict=True)
    )

    def meant(found: re.Match[str]) -> str:
        number, shift, shifted, letter, accent, base = found.groups()
        if number:
            return chr(int(number, 16))
        if shift:
            return f"<{shift}>{read_back(shifted)}"
        if letter:
            case = "CAPITAL" if letter[0].isupper() else "SMALL"
            return unicodedata.lookup(f"GREEK {case} LETTER {letter.upper().replace('LAMBDA', 'LAMDA')}")
        if accent:
            return unicodedata.normalize("NFC", base + accents[accent])
        return words[found[0]]

    return re.sub(pattern, meant, text)


@given(st.text(max_size=12) | st.text("-'`,?!<>\"“”‘’–—~^\\{}$%&#_ ", max_size=12) | st.sampled_from(NASTY))
@settings(deadline=None)
def test_what_latex_sets_is_the_text_whole(text: str) -> None:
    shown = unicodedata.normalize("NFC", " ".join(text.split())).replace("’", "'").replace("µ", "μ")
    shown = "".join(sign for sign in shown if sign.isprintable() or not sign.isascii())
    kinds = {"<super>": "<super>", "<sub>": "<sub>"}
    expected = ""
    for sign in shown:
        kind = kinds.get(unicodedata.decomposition(sign).partition(" ")[0])
        expected += f"{kind}{unicodedata.normalize('NFKC', sign)}" if kind else sign
    assert read_back(latex.latex_text(text)).replace("’", "'") == expected


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_the_tables_compile_within_the_page_in_a_two_column_paper(tmp_path: Path) -> None:
    golden = (Path(__file__).parent / "golden_report.tex").read_text(encoding="utf-8")
    (tmp_path / "table.tex").write_text(golden + "\n\\clearpage\n" + texts_of(NASTY), encoding="utf-8")
    (tmp_path / "paper.tex").write_text(PAGE, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "paper.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=120, check=False)
    log = (tmp_path / "paper.log").read_text(encoding="latin-1")
    assert done.returncode == 0, log[-3000:]
    assert "Overfull" not in log
    assert "Missing character" not in log
    assert (tmp_path / "paper.pdf").stat().st_size > 10_000


def test_the_examples_of_the_docstrings_hold() -> None:
    found = doctest.testmod(latex)
    assert (found.attempted > 0, found.failed) == (True, 0)
