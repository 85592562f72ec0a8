"""The package in a real notebook kernel: pages, progress, Ctrl-C."""

import os
import re
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from conftest import ROOT
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

TOY = """
import time
from pathlib import Path


def train(settings, run):
    if run.seed == 1 and Path({hold!r}).exists():
        Path({reached!r}).touch()
        time.sleep(600)
    return {{"score": settings.gain + run.seed}}
"""
DECLARE = """
import os
import harness
import toy

table = harness.Table.declare(
    "t", title="T", seeds=[0, 1], metrics=["score"],
    recipe=harness.Recipe(toy.train, settings={"gain": 0.5}, metrics={"score": {}}),
    rows=[harness.Row("a", []), harness.Row("b", [], set={"gain": 1.5})],
)
print(os.getpid())
"""


class Kernel:
    """A kernel in a folder, whose cells are executed one by one."""

    def __init__(self, folder: Path) -> None:
        self._notebook = nbformat.v4.new_notebook()
        self._client = NotebookClient(
            self._notebook, timeout=900, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
        )
        self._running = self._client.setup_kernel()
        self._running.__enter__()

    def run(self, source: str) -> list[Any]:
        """Executes a cell; returns its outputs."""
        cell = nbformat.v4.new_code_cell(source)
        self._notebook.cells.append(cell)
        self._client.execute_cell(cell, len(self._notebook.cells) - 1)
        return list(cell.outputs)

    def text(self, source: str) -> str:
        """Executes a cell; returns what it printed."""
        return "".join(output.text for output in self.run(source) if output.output_type == "stream")

    def close(self) -> None:
        """Ends the kernel."""
        self._running.__exit__(None, None, None)


@pytest.fixture
def kernel(folder: Path) -> Iterator[Kernel]:
    found = Kernel(folder)
    yield found
    found.close()


def test_ctrl_c_in_a_notebook_leaves_a_usable_kernel_and_the_table_goes_on(kernel: Kernel, folder: Path) -> None:
    hold, reached = folder / "hold", folder / "reached"
    hold.touch()
    (folder / "toy.py").write_text(TOY.format(hold=str(hold), reached=str(reached)), encoding="utf-8")
    pid = int(kernel.text(DECLARE))

    def interrupt() -> None:
        while not reached.exists():
            time.sleep(0.05)
        os.kill(pid, signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(CellExecutionError, match="KeyboardInterrupt"):
        kernel.run("table.run(workers=1, formats=[])")
    hold.unlink()
    assert kernel.text("print(1 + 1)") == "2\n"
    ended = kernel.text("print(table.run(workers=1, formats=[]))")
    assert "4 stages" in ended or kernel.text("print(table.plan().to_run)") == "0\n"
    assert kernel.text("print(sorted(table.results().value))") == "[0.5, 1.5, 1.5, 2.5]\n"
    (page,) = kernel.run("table.report()")
    assert "<table" in page.data["text/html"]
    (frame,) = kernel.run("table.plan()")
    assert "<table" in frame.data["text/html"]


@pytest.mark.slow
def test_the_tour_runs_as_a_notebook(kernel: Kernel, folder: Path) -> None:
    shutil.copytree(ROOT / "ablations", folder / "ablations")
    source = (ROOT / "ablations" / "tour.py").read_text(encoding="utf-8")
    cells = re.split(r"^# %%(.*)\n", source, flags=re.M)[1:]
    shown = "".join(kernel.text(code) for kind, code in zip(cells[::2], cells[1::2], strict=True) if not kind.strip())
    assert "A wider hidden layer helps" in shown
    assert "Width=wide vs narrow" in shown
    assert (folder / "tour.png").stat().st_size > 10_000
