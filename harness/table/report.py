"""A table's report in Python: its text, its page in a notebook, its files."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from harness.api import DEFAULT_REPORTS
from harness.files import regular_file

if TYPE_CHECKING:
    from harness.report import TableReport
    from harness.track import Snapshot


@dataclass(frozen=True)
class Report:
    """What a table's runs say. In a notebook it shows itself; ``write`` writes it as files."""

    model: "TableReport"
    """The numbers behind it."""
    snapshot: "Snapshot"
    """The runs that it is made of."""

    @property
    def markdown(self) -> str:
        """The report's text, without its figures."""
        with TemporaryDirectory() as folder:
            (text,) = self.write(folder, ("md",))
            return regular_file(text).read_text(encoding="utf-8")

    def write(
        self, out: str | Path = DEFAULT_REPORTS, formats: Sequence[str] = ("md", "html", "svg", "png")
    ) -> list[Path]:
        """Writes the report and its figures.

        Args:
            out: The folder.
            formats: Among ``md``, ``html``, ``tex``, ``csv``, ``json``, ``svg`` and ``png``.

        Returns:
            The files, the text first.
        """
        from harness.api.report import check_formats
        from harness.api.written import write_table

        check_formats(formats)
        return write_table(None, self.snapshot, self.model, Path(out), formats)

    def __repr__(self) -> str:
        return f"Report({self.model.name}: {self.model.heading})"

    def _repr_html_(self) -> str:
        """The report as HTML that holds its figures, for a notebook."""
        with TemporaryDirectory() as folder:
            return regular_file(self.write(folder, ("html",))[0]).read_text(encoding="utf-8")
