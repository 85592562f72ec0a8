"""Tables and searches as Python objects, for notebooks and scripts: the front end beside the command line.

Owns what a person types: declarations in code, data frames, pages in a notebook. What it does is ``harness.api``'s, as
it is for the command line. The names of this room are those of the package itself: ``import harness``.
"""

from harness.api.doctor import doctor
from harness.matrix import Claim
from harness.table.declare import Factor, Recipe, Row
from harness.table.report import Report
from harness.table.row import TableRow
from harness.table.search import Search
from harness.table.table import Table

__all__ = ["Claim", "Factor", "Recipe", "Report", "Row", "Search", "Table", "TableRow", "doctor"]
