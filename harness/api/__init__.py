"""The work behind each command: prepare a table, run it, search values, read its report. The CLI and Python share it.

Owns the walk through the rooms: declaration, trainer, plan, executor, tracker, report. Refuses the terminal: what a
person should know goes to a ``Listener``, what is wrong is an exception with the sentence that a person reads.
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
