"""The declaration: strict YAML, typed schema, factors and constraints, expansion into rows.

Owns everything between a table file and a ``Matrix``. Refuses training and tracking, and imports neither torch nor
mlflow. Two steps, for a caller that chooses the profile by what it finds::

    declaration = read_declaration(Path("ablations/table1.yaml"))
    declaration.profiles, settings_of(declaration, profile="paper")
    matrix = expand(declaration, profile="demo")

or ``load_matrix`` for both at once.
"""

from harness.matrix.beside import read_beside, read_modes
from harness.matrix.declaration import Declaration, read_declaration
from harness.matrix.expand import dataset_of, declarable, expand, load_matrix, settings_of
from harness.matrix.export import matrix_to_json, recipe_to_yaml
from harness.matrix.matrix import Assumption, Claim, Matrix, Row

__all__ = [
    "Assumption",
    "Claim",
    "Declaration",
    "Matrix",
    "Row",
    "dataset_of",
    "declarable",
    "expand",
    "load_matrix",
    "matrix_to_json",
    "read_beside",
    "read_declaration",
    "read_modes",
    "recipe_to_yaml",
    "settings_of",
]
