"""``harness init`` refuses what it cannot write, and ``harness --version``."""

from importlib.metadata import version
from pathlib import Path

import pytest
from conftest import Command


def test_the_version_is_the_package_s(harness: Command) -> None:
    assert harness("--version").stdout == f"harness {version('ablation-harness')}\n"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("my-table", 'error: "my-table" cannot name a Python module; expected letters, digits and _'),
        ("../x", 'error: "../x" cannot name a Python module'),
        ("class", 'error: "class" cannot name a Python module'),
        ("taken", "error: taken_recipe.yaml: exists already; choose another name"),
    ],
)
def test_init_overwrites_nothing_and_refuses_names_that_python_cannot_import(
    harness: Command, place: Path, name: str, message: str
) -> None:
    (place / "taken_recipe.yaml").write_text("mine")
    before = sorted(place.iterdir())
    assert harness("init", name, code=2).stderr.startswith(message)
    assert sorted(place.iterdir()) == before
    assert (place / "taken_recipe.yaml").read_text() == "mine"
