"""Where reports go: to ``reports`` unless another folder is named, and never over something better.

By default two kinds of file are not overwritten: those that git tracks, and the report of another run of a table if the
new one lacks rows or seeds. The report then goes to the folder ``reports`` of the store.
"""

import glob
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.api import DEFAULT_REPORTS
from harness.files import regular_file
from harness.formatting import counted
from harness.names import file_name

if TYPE_CHECKING:
    from harness.track import Snapshot

RULE = (
    "Where to write reports. Default: reports; but if that would overwrite files that git tracks, or the report of a "
    "whole table with that of a part, the store (.harness/reports)."
)
_PATIENCE_S = 10.0
_ENDED = {"finished", "failed"}


def choose_folder(out: Path | None, name: str, store: Path, snapshot: "Snapshot | None" = None) -> tuple[Path, str]:
    """The folder for a report, and a sentence about it for the user; empty if there is nothing to say.

    Args:
        out: The folder that the user named; None: the default.
        name: Of the table or the study.
        store: The store's folder on this machine.
        snapshot: The table's runs.
    """
    folder = DEFAULT_REPORTS if out is None else out
    tracked = tracked_by_git(folder, name)
    others = len(tracked) - 1
    shown = "".join(tracked[:1]) + (f" and {counted(others, 'other file')} of the report" if others > 0 else "")
    if out is not None:
        return out, f"note: git tracks {shown}: `git diff` shows what changed" if tracked else ""
    aside, text = store / "reports", folder / f"{file_name(name)}.md"
    way = f"the report is in {aside} (--out {folder} writes it there)"
    if tracked:
        return aside, f"note: git tracks {shown}, so nothing is changed there: {way}"
    if snapshot is not None and not snapshot.parent_id and _has_another_origin(text, snapshot):
        return aside, f"note: {text} is of other runs, and stays as it is: {way}"
    if snapshot is not None and lacks_rows(snapshot) and _is_of_another_run(text, snapshot):
        return aside, f"note: {text} is of another run, with rows that this one lacks, and stays as it is: {way}"
    return folder, ""


def _is_of_another_run(text: Path, snapshot: "Snapshot") -> bool:
    return text.is_file() and snapshot.parent_id not in regular_file(text).read_text("utf-8", "replace")


def _has_another_origin(text: Path, snapshot: "Snapshot") -> bool:
    """Whether a report is there that is not of the file or experiment that these runs come from."""
    from harness.report.marks import escaped

    origin = escaped(f"runs from {snapshot.declaration['origin']};")
    return text.is_file() and origin not in regular_file(text).read_text("utf-8", "replace")


def lacks_rows(snapshot: "Snapshot") -> bool:
    """Whether a declared row has not ended under some declared seed."""
    ended = {(run.row, run.seed) for run in snapshot.runs if run.status in _ENDED}
    declaration = snapshot.declaration
    return any((row["id"], seed) not in ended for row in declaration["rows"] for seed in declaration["seeds"])


def files_of(folder: Path, name: str) -> list[Path]:
    """Returns the files of a table's report in a folder: its texts, and the figures that they show."""
    stem = file_name(name)
    texts = [*folder.glob(f"{glob.escape(stem)}.*"), *folder.glob(f"{glob.escape(stem)}-pictures.md")]
    shown = {
        folder / "figures" / figure
        for text in texts
        if text.suffix == ".md"
        for figure in re.findall(r"figures/([^)\s\"]+)\.", regular_file(text).read_text("utf-8", "replace"))
    }
    figures = (figure.with_name(f"{figure.name}.{ending}") for figure in shown for ending in ("png", "svg"))
    return sorted([*texts, *(figure for figure in figures if figure.is_file())])


def tracked_by_git(folder: Path, name: str) -> Sequence[str]:
    """The files of a table's or a study's report in this folder that git tracks, the text first."""
    stem = file_name(name)
    patterns = (f":(glob){stem}.*", f":(glob){stem}-pictures.md", f":(glob)figures/{stem}-*")
    if not folder.is_dir():
        return []
    try:
        listed = subprocess.run(
            ["git", "-C", str(folder), "ls-files", "-z", "--", *patterns],
            capture_output=True,
            text=True,
            timeout=_PATIENCE_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return []
    found = [name for name in listed.stdout.split("\0") if name]
    return [str(folder / name) for name in sorted(found, key=lambda name: ("/" in name, name))]
