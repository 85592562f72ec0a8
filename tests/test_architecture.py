"""The walls of the house: who may import whom, and what stays light."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "harness"
SHARED = {"errors", "files", "recipe", "plugins", "spool", "compiled", "__init__"}
"""Modules that every room may use."""

MAY_IMPORT = {
    "matrix": set(),
    "plan": {"matrix"},
    "execute": {"plan"},
    "data": set(),
    "models": set(),
    "losses": {"models"},
    "evaluate": set(),
    "train": {"data", "models", "losses", "evaluate", "execute"},
    "search": {"matrix", "plan"},
    "track": set(),
    "report": {"track", "plan"},
}
"""Besides itself and the shared modules, what a room may import from ``harness``; ``cli`` may import everything."""

OUTSIDE = {
    "fsspec": {"execute"},
    "mlflow": {"track"},
    "optuna": {"search"},
    "typer": {"cli"},
    "timm": {"models"},
    "yaml": {"matrix"},
}
"""Outside systems that stand behind one door each."""


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def imported_by(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative imports are not used here"
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_room_imports_only_what_its_walls_allow(path: Path) -> None:
    room = room_of(path)
    if room in {"cli", "__main__"}:
        return
    allowed = SHARED | {room} | MAY_IMPORT.get(room, set())
    for name in imported_by(path):
        parts = name.split(".")
        if parts[0] == "harness" and len(parts) > 1 and (PACKAGE / parts[1]).exists():
            assert parts[1] in allowed, f"{path.relative_to(PACKAGE)} imports {name}"


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_an_outside_system_is_imported_in_its_own_room_only(path: Path) -> None:
    for name in imported_by(path):
        doors = OUTSIDE.get(name.split(".")[0])
        assert doors is None or room_of(path) in doors, f"{path.relative_to(PACKAGE)} imports {name}"


READERS = {"Image.open", "np.load", "torch.load", "load_file", "safetensors.torch.load_file", "open"}
"""Functions that open the file that they are given."""


def unguarded(path: Path) -> list[str]:
    """Calls that read a file without having looked, by ``regular_file``, whether it is one."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        function = ast.unparse(node.func)
        opened = node.args[0] if node.args and function in READERS else None
        if isinstance(node.func, ast.Attribute) and function not in READERS:
            mode = ast.unparse(node.args[0]) if node.args else "'r'"
            reads = node.func.attr in {"read_text", "read_bytes"} or (
                node.func.attr == "open" and not set(mode) & set("wxa") and "encoding" not in mode
            )
            opened = node.func.value if reads else None
        if opened is not None and not ast.unparse(opened).startswith(
            ("regular_file(", "io.BytesIO(", "Path('/proc/", "Path(f'/proc/")
        ):
            found.append(f"{path.relative_to(PACKAGE)}:{node.lineno}: {ast.unparse(node)}")
    return found


NO_FILES = ("tracking.open()", "system.open(", "os.open(")
"""What bears such a name and reads no file of this machine."""


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_file_is_read_before_it_is_known_to_be_a_regular_one(path: Path) -> None:
    assert not [call for call in unguarded(path) if not any(name in call for name in NO_FILES)]


def loaded_after(code: str) -> set[str]:
    """The top-level modules loaded once ``code`` has run in a fresh interpreter."""
    script = f"import sys, json\n{code}\nprint('\\n' + json.dumps(sorted({{n.split('.')[0] for n in sys.modules}})))"
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(json.loads(told.stdout.strip().splitlines()[-1]))


HELP = """
import runpy
sys.argv = ["harness", *{words}, "--help"]
try:
    runpy.run_module("harness", run_name="__main__")
except SystemExit as end:
    assert end.code == 0
"""

COMMANDS = [
    [],
    ["run"],
    ["plan"],
    ["search"],
    ["report"],
    ["data", "make"],
    ["data", "check"],
    ["evaluate"],
    ["ui"],
    ["doctor"],
    ["sync"],
    ["cache", "list"],
]


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: " ".join(words) or "harness")
def test_help_loads_nothing_heavy(words: list[str]) -> None:
    heavy = {"torch", "mlflow", "pandas", "scipy", "matplotlib", "numpy", "timm", "numba", "optuna"}
    assert not heavy & loaded_after(HELP.format(words=words))


@pytest.mark.parametrize("room", ["matrix", "plan", "execute", "search", "track", "report"])
def test_rooms_that_only_plan_track_or_report_load_without_torch_and_mlflow(room: str) -> None:
    assert not {"torch", "mlflow"} & loaded_after(f"import harness.{room}")
