"""The Python front end alone in a process: light to import, without the command line, from a script of its own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import warm
from conftest import ROOT

SCRIPT = """
import sys

sys.modules["harness.cli"] = None  # an import of it would fail
import harness


def train(settings, run):
    return {"score": settings.gain + run.seed}


recipe = harness.Recipe(train, settings={"gain": 0.5}, metrics={"score": {}})
rows = [harness.Row("a", []), harness.Row("b", [], set={"gain": 1.5})]
table = harness.Table.declare("t", title="T", recipe=recipe, seeds=[0], metrics=["score"], rows=rows)
if __name__ == "__main__":
    table.run(workers=1, formats=("md",))
    print(table.results().value.tolist(), "torch" in sys.modules)
"""


def python(folder: Path, *words: str) -> str:
    done = subprocess.run([sys.executable, *words], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_script_declares_its_own_function_and_runs_without_the_command_line(folder: Path) -> None:
    (folder / "script.py").write_text(SCRIPT)
    assert python(folder, "script.py") == "[0.5, 1.5] False"


def test_importing_the_package_loads_nothing_heavy(folder: Path) -> None:
    heavy = "{'torch', 'mlflow', 'pandas', 'numpy', 'pydantic', 'yaml', 'rich', 'typer'}"
    assert python(folder, "-c", f"import sys, harness; print({heavy} & set(sys.modules))") == "set()"


def test_the_tour_of_the_repository_runs_and_explains_its_table(folder: Path) -> None:
    shutil.copytree(ROOT / "ablations", folder / "ablations")
    done = warm.run(["ablations.tour"], folder, os.environ, timeout_s=900)
    assert done.returncode == 0, done.stderr
    shown = done.stdout
    assert "TableRun(tour: 15 stages trained; 0 cached; report reports/tour.md)" in shown
    assert "A wider hidden layer helps" in shown
    assert "Width=wide vs narrow" in shown
    assert (folder / "tour.png").stat().st_size > 10_000
