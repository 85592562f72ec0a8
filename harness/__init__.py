"""An ablation harness: declare a table, train the fewest stages that fill it, track every run, judge the claims.

>>> import harness
>>> harness.Row("both", ["Scale", "Width=wide"]).id
'both'
"""

from typing import TYPE_CHECKING, Any

from harness.errors import InputError

if TYPE_CHECKING:
    from harness.table import Claim, Factor, Recipe, Report, Row, Search, Table, TableRow, doctor
    from harness.trainers.run import Run

__version__ = "0.1.0"

__all__ = [
    "Claim",
    "Factor",
    "InputError",
    "Recipe",
    "Report",
    "Row",
    "Run",
    "Search",
    "Table",
    "TableRow",
    "__version__",
    "doctor",
]


def __getattr__(name: str) -> Any:
    """Imports the public names when they are first used."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    package = importlib.import_module("harness.trainers.run" if name == "Run" else "harness.table")
    return getattr(package, name)


def __dir__() -> list[str]:
    return __all__
