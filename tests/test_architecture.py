"""The import rules: which package may import which, and what loads quickly."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "harness"
SHARED = {
    "checkpoints",
    "code",
    "devices",
    "errors",
    "files",
    "formatting",
    "inputs",
    "metric",
    "names",
    "plugins",
    "spool",
    "syntax",
    "trainer",
    "trainer_defaults",
    "units",
}
"""Modules that every package may import, the trainer interface among them; they import only each other."""

HARNESS = {
    "trainers": set(),
    "matrix": {"trainers"},
    "plan": {"matrix"},
    "execute": {"plan"},
    "settle": set(),
    "search": {"matrix", "plan"},
    "track": set(),
    "report": {"track", "plan", "settle"},
    "api": {"matrix", "plan", "execute", "search", "settle", "track", "report"},
    "display": {"api", "matrix", "plan", "execute", "report"},
    "table": {"api", "display", "matrix", "execute", "search", "track", "report"},
}
"""The packages that a package may import besides itself and the shared modules; ``cli`` may import everything."""

EXCEPTIONS = {("api", one): {("reid",)} for one in ("data", "doctor", "report")}
"""The method's data sets: ``data`` reads them whole, ``doctor`` looks for them, ``report`` draws their images."""

METHOD = {
    "spec": set(),
    "pattern": set(),
    "layout": {"pattern", "spec"},
    "objectives": {"spec"},
    "optimisation": {"spec"},
    "recipe": {"spec", "layout", "metrics", "models", "objectives", "optimisation"},
    "own_metrics": {"recipe"},
    "compiled": set(),
    "files": set(),
    "metrics": set(),
    "data": {"compiled", "layout", "pattern"},
    "models": set(),
    "losses": {"models", "objectives"},
    "evaluate": {"compiled"},
    "stages": {"recipe", "layout", "spec", "models", "objectives", "optimisation"},
    "inputs": {"recipe", "layout", "spec", "stages", "data"},
    "train": {
        *("recipe", "objectives", "optimisation", "files", "metrics", "own_metrics", "stages"),
        *("data", "models", "losses", "evaluate"),
    },
    "trained": {"recipe", "stages", "data", "train"},
    "trainer": {"recipe", "layout", "objectives", "files", "metrics", "stages", "inputs", "models", "trained"},
}
"""The same for the rooms of the method, ``harness.reid``, which may import nothing of the harness but the shared."""

OUTSIDE = {
    "fsspec": {"execute"},
    "mlflow": {"track"},
    "optuna": {"search"},
    "pytorch_metric_learning": {"reid"},
    "typer": {"cli"},
    "timm": {"reid"},
    "yaml": {"matrix"},
}
"""Libraries that a single package imports."""


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def parts_of(path: Path) -> tuple[str, ...]:
    """The names on the way from the package to a module: ``("reid", "data", "cache")``."""
    return path.relative_to(PACKAGE).with_suffix("").parts


def imported_by(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative imports are not used here"
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def allowed_from(parts: tuple[str, ...]) -> set[tuple[str, ...]]:
    """The places, as prefixes of a module's name, that the module at ``parts`` may import from."""
    room = parts[0]
    shared = {(name,) for name in SHARED}
    if room in SHARED:
        return shared
    if room != "reid":
        return shared | {(room,)} | {(name,) for name in HARNESS[room]} | EXCEPTIONS.get(parts, set())
    if parts == ("reid", "__init__"):
        return set()
    inner = parts[1]
    return shared | {("reid", name) for name in (inner, *METHOD[inner])}


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_room_imports_only_what_its_walls_allow(path: Path) -> None:
    parts = parts_of(path)
    if parts[0] in {"cli", "__main__", "__init__"}:
        return
    allowed = allowed_from(parts)
    for name in imported_by(path):
        top, *target = name.split(".")
        if top == "harness" and target and is_ours(target[0]):
            assert any(tuple(target[: len(place)]) == place for place in allowed), f"{path} imports {name}"


def is_ours(name: str) -> bool:
    """Whether ``harness.name`` is a module or a package, and no name defined in ``harness/__init__.py``."""
    return (PACKAGE / name).is_dir() or (PACKAGE / f"{name}.py").is_file()


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_an_outside_system_is_imported_in_its_own_room_only(path: Path) -> None:
    for name in imported_by(path):
        doors = OUTSIDE.get(name.split(".")[0])
        assert doors is None or parts_of(path)[0] in doors, f"{path.relative_to(PACKAGE)} imports {name}"


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


NO_FILES = ("tracking.open()", "system.open(", "os.open(", "tarfile.open(fileobj=", "distribution.read_text(")
"""Calls of such a name that read no file of a user's."""


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_file_is_read_before_it_is_known_to_be_a_regular_one(path: Path) -> None:
    assert not [call for call in unguarded(path) if not any(name in call for name in NO_FILES)]


def loaded_after(code: str) -> set[str]:
    """The top-level modules loaded once ``code`` has run in a fresh interpreter."""
    script = f"import sys, json\n{code}\nprint('\\n' + json.dumps(sorted({{n.split('.')[0] for n in sys.modules}})))"
    process = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(json.loads(process.stdout.strip().splitlines()[-1]))


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
    ["sensitivity"],
    ["report"],
    ["compare"],
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


@pytest.mark.parametrize("room", ["", *(f".{room}" for room in HARNESS), ".trainer", ".reid.trainer"])
def test_the_harness_loads_without_torch_and_mlflow(room: str) -> None:
    assert not {"torch", "mlflow"} & loaded_after(f"import harness{room}")


FRONT_ENDS = {"cli", "display", "__main__"}
"""What a person's terminal belongs to; everything below raises and returns."""
OF_THE_TERMINAL = {"print", "input", "exit", "sys.exit", "os.chdir"}


def below_the_front_ends() -> list[Path]:
    return [path for path in modules() if path.relative_to(PACKAGE).parts[0].removesuffix(".py") not in FRONT_ENDS]


@pytest.mark.parametrize("path", below_the_front_ends(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_nothing_below_the_front_ends_uses_the_terminal_ends_the_process_or_changes_folder(path: Path) -> None:
    calls = (node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call))
    assert [found for call in calls if (found := ast.unparse(call.func)) in OF_THE_TERMINAL] == []
