"""A user's function in worker processes: nobody imports what nobody uses."""

import subprocess
import sys
from pathlib import Path

from toy_tables import Declare

LOOK = """
import sys

def train(settings, run):
    return {"score": float("torch" in sys.modules), "loss": 0.0}
"""

RUN = """
import sys
from pathlib import Path
from harness.api.engine import Engine
from harness.api.prepare import prepare
from harness.api.run import run_table

if __name__ == "__main__":
    prepared = prepare(Path("table.yaml"), store="store")
    ended = run_table(prepared, Engine("local", workers=1), Path("reports"), formats=("md",))
    print([row["metrics"]["score"] for row in ended.to_json()["rows"]], "torch" in sys.modules)
"""


def test_a_table_whose_trainer_does_not_use_torch_never_imports_it(declare: Declare, folder: Path) -> None:
    (folder / "look.py").write_text(LOOK)
    declare({"trainer": "look:train"})
    (folder / "go.py").write_text(RUN)
    done = subprocess.run([sys.executable, "go.py"], cwd=folder, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[0.0, 0.0, 0.0, 0.0] False"
