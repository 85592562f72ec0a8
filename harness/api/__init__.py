"""What a command does: prepare a table, run it, search values, read its report. The command line and Python share it.

Owns the walk through the rooms: declaration, trainer, plan, executor, tracker, report. Refuses the terminal: what a
person should know goes to a ``Listener``, what is wrong is an exception with the sentence that a person reads.
"""

from pathlib import Path

DEFAULT_STORE = ".harness"
"""Where stages are kept unless another store is named."""
DEFAULT_REPORTS = Path("reports")
"""Where reports are written unless another folder is named."""
REPORT_FORMATS = ("md", "html", "svg", "png")
"""What is written of a report unless other formats are named."""
SENSITIVITY_FORMATS = ("md", "html", "json")
"""What a page on assumptions can be written as, and is."""
