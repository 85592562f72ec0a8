"""Tables and searches as Python objects, for notebooks and scripts: a front end like the command line.

Owns what a user types and sees: declarations in code, data frames, pages in a notebook. ``harness.api`` does the work,
as for the command line. ``import harness`` has all names of this package.
"""

from harness.api.doctor import doctor
from harness.matrix import Claim
from harness.table.declare import Factor, Recipe, Row
from harness.table.report import Report
from harness.table.row import TableRow
from harness.table.search import Search
from harness.table.table import Table

__all__ = ["Claim", "Factor", "Recipe", "Report", "Row", "Search", "Table", "TableRow", "doctor"]
