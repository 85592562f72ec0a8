"""The import rules: which package may import which, and what loads quickly."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "harness"
SHARED = {
    "checkpoints",
    "code",
    "devices",
    "errors",
    "files",
    "formatting",
    "inputs",
    "loaded",
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
    "recipe": {"spec", "layout", "models", "objectives", "optimisation"},
    "own_metrics": {"recipe"},
    "compiled": set(),
    "files": set(),
    "metrics": set(),
    "data": {"compiled", "layout", "pattern"},
    "models": set(),
    "losses": {"models", "objectives"},
    "evaluate": {"compiled", "metrics"},
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


MODULES = sorted(PACKAGE.rglob("*.py"))


def parts_of(path: Path) -> tuple[str, ...]:
    """The names on the way from the package to a module: ``("reid", "data", "cache")``."""
    return path.relative_to(PACKAGE).with_suffix("").parts


@cache
def nodes(path: Path) -> list[ast.AST]:
    """All nodes of a module's syntax tree."""
    return list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


@cache
def imported_by(path: Path) -> set[str]:
    found: set[str] = set()
    for node in nodes(path):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative imports are not used here"
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def called(node: ast.Call) -> str:
    """The dotted name of what a call calls, ``np.load``; empty for anything but names."""
    names, function = list[str](), node.func
    while isinstance(function, ast.Attribute):
        names.append(function.attr)
        function = function.value
    return ".".join([function.id, *reversed(names)]) if isinstance(function, ast.Name) else ""


def place(path: Path, node: ast.Call) -> str:
    return f"{path.relative_to(PACKAGE)}:{node.lineno}: {ast.unparse(node)}"


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


def is_ours(name: str) -> bool:
    """Whether ``harness.name`` is a module or a package, and no name defined in ``harness/__init__.py``."""
    return (PACKAGE / name).is_dir() or (PACKAGE / f"{name}.py").is_file()


def through_walls(path: Path) -> list[str]:
    """The names that a module imports and may not."""
    parts, found = parts_of(path), []
    allowed = allowed_from(parts)
    for name in imported_by(path):
        top, *target = name.split(".")
        ours = top == "harness" and target and is_ours(target[0])
        if ours and not any(tuple(target[: len(place)]) == place for place in allowed):
            found.append(f"{path.relative_to(PACKAGE)} imports {name}")
    return found


def test_a_room_imports_only_what_its_walls_allow() -> None:
    inside = (path for path in MODULES if parts_of(path)[0] not in {"cli", "__main__", "__init__"})
    assert [line for path in inside for line in through_walls(path)] == []


def test_an_outside_system_is_imported_in_its_own_room_only() -> None:
    found = []
    for path in MODULES:
        for name in imported_by(path):
            doors = OUTSIDE.get(name.split(".")[0])
            if doors is not None and parts_of(path)[0] not in doors:
                found.append(f"{path.relative_to(PACKAGE)} imports {name}")
    assert found == []


def exported_by(init: Path) -> list[str]:
    """The names in a package's ``__all__``."""
    assigned = (node for node in nodes(init) if isinstance(node, ast.Assign))
    lists = [node.value for node in assigned if ast.unparse(node.targets[0]) == "__all__"]
    return [name for each in lists for name in ast.literal_eval(each)]


def test_a_package_exports_what_other_packages_import_and_nothing_else() -> None:
    """For the method, which is a library too, tests and pages count as well: they show what it offers."""
    shown = "".join(page.read_text(encoding="utf-8") for page in (PACKAGE / "docs").glob("*.md"))
    tests, found = sorted(Path(__file__).parent.rglob("*.py")), []
    for init in (path for path in MODULES if path.name == "__init__.py" and path.parent != PACKAGE):
        package, room = ".".join(("harness", *parts_of(init)[:-1])), parts_of(init)[0]
        users = [path for path in MODULES if init.parent not in path.parents] + (tests if room == "reid" else [])
        used = set().union(*map(imported_by, users))
        unused = (name for name in exported_by(init) if f"{package}.{name}" not in used)
        found += [f"{package}.{name}" for name in unused if f"from {package} import {name}" not in shown]
    assert found == []


READERS = {"Image.open", "np.load", "torch.load", "load_file", "safetensors.torch.load_file", "open"}
"""Functions that open the file that they are given."""
NO_FILES = ("tracking.open()", "system.open(", "os.open(", "tarfile.open(fileobj=", "distribution.read_text(")
"""Calls of such a name that read no file of a user's."""
GUARDED = ("regular_file(", "io.BytesIO(", "Path('/proc/", "Path(f'/proc/")
"""What a file that is read begins with if it is known to be one."""


def unguarded(path: Path) -> list[str]:
    """Calls that read a file without having looked, by ``regular_file``, whether it is one."""
    found = []
    for node in nodes(path):
        if not isinstance(node, ast.Call):
            continue
        function = called(node)
        opened = node.args[0] if node.args and function in READERS else None
        if isinstance(node.func, ast.Attribute) and function not in READERS:
            mode = ast.unparse(node.args[0]) if node.args else "'r'"
            reads = node.func.attr in {"read_text", "read_bytes"} or (
                node.func.attr == "open" and not set(mode) & set("wxa") and "encoding" not in mode
            )
            opened = node.func.value if reads else None
        if opened is not None and not ast.unparse(opened).startswith(GUARDED):
            found.append(place(path, node))
    return found


def test_no_file_is_read_before_it_is_known_to_be_a_regular_one() -> None:
    calls = (call for path in MODULES for call in unguarded(path))
    assert [call for call in calls if not any(name in call for name in NO_FILES)] == []


HEAVY = {"torch", "mlflow", "pandas", "scipy", "matplotlib", "numpy", "timm", "numba", "optuna"}
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


def loaded_after(statements: Iterable[str], watched: set[str]) -> dict[str, list[str]]:
    """Which of the ``watched`` top-level modules were loaded after each statement, in one fresh interpreter.

    Statements after which nothing of them was loaded are left out.
    """
    script = f"""
import contextlib, io, json, sys
found = {{}}
for statement in {list(statements)!r}:
    with contextlib.redirect_stdout(io.StringIO()):
        exec(statement, {{"__name__": "__main__"}})
    found[statement] = sorted({watched!r} & {{name.split(".")[0] for name in sys.modules}})
print(json.dumps({{statement: names for statement, names in found.items() if names}}))
"""
    process = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    found: dict[str, list[str]] = json.loads(process.stdout)
    return found


HELP = """
import runpy, sys
sys.argv = ["harness", *{words}, "--help"]
try:
    runpy.run_module("harness", run_name="__main__")
except SystemExit as end:
    assert end.code == 0
"""


def test_help_loads_nothing_heavy() -> None:
    assert loaded_after([HELP.format(words=words) for words in COMMANDS], HEAVY) == {}


def test_the_harness_loads_without_torch_and_mlflow() -> None:
    rooms = ["", *(f".{room}" for room in HARNESS), ".trainer", ".reid.trainer"]
    assert loaded_after([f"import harness{room}" for room in rooms], {"torch", "mlflow"}) == {}


FRONT_ENDS = {"cli", "display", "__main__"}
"""What a person's terminal belongs to; everything below raises and returns."""
OF_THE_TERMINAL = {"print", "input", "exit", "sys.exit", "os.chdir"}


def test_nothing_below_the_front_ends_uses_the_terminal_ends_the_process_or_changes_folder() -> None:
    below = (path for path in MODULES if parts_of(path)[0] not in FRONT_ENDS)
    calls = ((path, node) for path in below for node in nodes(path) if isinstance(node, ast.Call))
    assert [place(path, node) for path, node in calls if called(node) in OF_THE_TERMINAL] == []
