"""The work behind each command: prepare a table, run it, search values, read its report. The CLI and Python share it.

Owns the path through the packages: declaration, trainer, plan, executor, tracker, report. Never writes to the terminal:
notes for the user go to a ``Listener``, and errors are exceptions with the message that the user reads.
"""

from pathlib import Path

DEFAULT_STORE = ".harness"
"""Where stages are kept unless another store is named."""
DEFAULT_REPORTS = Path("reports")
"""Where reports are written unless another folder is named."""
REPORT_FORMATS = ("md", "html", "svg", "png")
"""The formats that a report is written in by default."""
SENSITIVITY_FORMATS = ("md", "html", "json")
"""The formats of a page on assumptions."""
