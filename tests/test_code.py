"""The identity of code: which modules count, and what in them does."""

import ast
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from harness.code import WITHOUT_INFLUENCE, code_digest, mentions, reached_modules, refuse_uncovered
from harness.errors import InputError
from harness.execute.versions import imported_libraries
from harness.plugins import check_reference
from harness.syntax import normalised

WORK_ROOTS = ("harness.reid.train.training", "harness.reid.train.scoring")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's folder, made the current one: a module with a loss that imports a neighbour and an installed library."""
    write(
        tmp_path / "my_loss.py",
        "import numpy\nimport my_helper\n\ndef loss(output, labels):\n    return output.logits\n",
    )
    write(tmp_path / "my_helper.py", "SCALE = 2.0\n")
    write(tmp_path / "bystander.py", "SCALE = 3.0\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text))


def tree(text: str) -> str:
    return normalised(ast.parse(textwrap.dedent(text)))


PLAIN = """
def loss(x, margin: float = 0.5):
    y = x * 2 + margin
    return max(y, 0)
"""


@pytest.mark.parametrize(
    "rewritten",
    [
        "def loss(x, margin: float=0.5):\n    # a comment\n    y = (x * 2) + margin\n    return max(\n  y,\n  0,\n )",
        '"""A module."""\ndef loss(x, margin: float = .5):\n    """Says."""\n    y = x*2+margin;  return max(y, 0)',
        "def loss(x, margin: float = 5e-1):\n    pass\n    y = x * 0x2 + margin\n    return max(y, 0)\n",
    ],
)
def test_comments_docstrings_and_formatting_change_nothing(rewritten: str) -> None:
    assert tree(rewritten) == tree(PLAIN)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("x * 2", "x * 3"),
        ("x * 2", "x * 2.0"),
        ("x * 2 + margin", "x * (2 + margin)"),
        ("max(y, 0)", "max(0, y)"),
        ("max(y, 0)", "min(y, 0)"),
        ("margin: float", "margin: int"),
        ("= 0.5", "= 0.25"),
        ("y = ", "y += "),
        ("x, margin", "margin, x"),
        ("(x,", "(x, /,"),
    ],
)
def test_a_changed_formula_changes_the_tree(old: str, new: str) -> None:
    assert tree(PLAIN.replace(old, new)) != tree(PLAIN)


def test_the_tree_shows_which_block_a_statement_is_in() -> None:
    assert tree("if a:\n    b()\nc()") != tree("if a:\n    b()\n    c()")
    assert tree("if a:\n    b()\nelse:\n    c()") != tree("if a:\n    b()\n    c()")
    assert tree("f(*a, b)") != tree("f(a, *b)")
    assert tree("{**a, 'b': c}") != tree("{'b': c, **a}")
    assert tree("x = ['', 'a']") != tree("x = ['a']")
    assert tree("global a, b") != tree("global b, a")
    assert tree("x = None") != tree("x = 0") != tree("x = False")


def test_the_normal_form_is_the_same_on_every_supported_python() -> None:
    # Pinned on 3.11, 3.12 and 3.13. New in 3.12: ``type_params``; in 3.13: empty lists are optional. The f-string's
    # trailing empty part appears in 3.12 alone.
    assert tree('def f(x):\n    return f"{x!r:>{w}}" + f"a{x}" f""\n') == (
        "Module(body=[FunctionDef(name=str:'f',args=arguments(args=[arg(arg=str:'x',),])body=[Return(value=BinOp("
        "left=JoinedStr(values=[FormattedValue(value=Name(id=str:'x',)conversion=int:114,format_spec=JoinedStr(values=["
        "Constant(value=str:'>',),FormattedValue(value=Name(id=str:'w',)conversion=int:-1,),])),])op=Add()"
        "right=JoinedStr(values=[Constant(value=str:'a',),FormattedValue(value=Name(id=str:'x',)conversion=int:-1,),])"
        ")),]),])"
    )


def test_a_users_code_covers_its_neighbours_and_not_bystanders_or_libraries(project: Path) -> None:
    assert set(reached_modules(("my_loss:loss",))) == {"my_loss", "my_helper"}


def test_the_libraries_of_a_users_code_have_their_installed_names(project: Path) -> None:
    write(
        project / "my_helper.py", "import json\n\ndef late():\n    from PIL import Image\n    import no_such_library\n"
    )
    assert imported_libraries(("my_loss:loss",)) == ("numpy", "pillow")


def test_code_that_no_identity_covers_is_refused_as_the_code_of_a_stage() -> None:
    # The digest of nothing would never change: changed code would get old results.
    for reference in ("harness.trainers.work:run_step", "harness.units", "harness"):
        with pytest.raises(InputError, match="is a part of the harness that no fingerprint covers"):
            refuse_uncovered(("json.decoder:JSONDecoder", reference))


def test_a_change_in_what_is_imported_changes_the_digest_and_a_bystander_does_not(project: Path) -> None:
    def digest() -> str:
        return code_digest(("my_loss:loss",))

    before = digest()
    write(project / "bystander.py", "SCALE = 4.0\n")
    write(project / "my_helper.py", "SCALE = 2.0  # twice\n")
    assert digest() == before
    write(project / "my_helper.py", "SCALE = 2.5\n")
    assert digest() != before


def test_imports_are_followed_in_packages_functions_relative_ones_and_for_type_checking(project: Path) -> None:
    write(project / "kit" / "__init__.py", "from kit.shared import a\n")
    write(project / "kit" / "shared.py", "a = 1\n")
    write(project / "kit" / "deep" / "__init__.py", "")
    write(project / "kit" / "deep" / "one.py", "def f():\n    from . import two\n    from ..late import b as c\n")
    write(
        project / "kit" / "deep" / "two.py",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import kit.lazy\n",
    )
    write(project / "kit" / "late.py", "try:\n    pass\nfinally:\n    import kit.last\n")
    for name in ("lazy", "last", "never"):
        write(project / "kit" / f"{name}.py", "")
    reached = {"", ".shared", ".deep", ".deep.one", ".deep.two", ".lazy", ".late", ".last"}
    assert set(reached_modules(("kit.deep.one:f",))) == {f"kit{name}" for name in reached}


def test_folders_without_an_init_are_packages_too(project: Path) -> None:
    write(project / "loose" / "deep" / "one.py", "from loose.deep import two\nimport my_helper\n")
    write(project / "loose" / "deep" / "two.py", "")
    assert set(reached_modules(("loose.deep.one:f",))) == {"loose.deep.one", "loose.deep.two", "my_helper"}


def test_nothing_is_imported_or_run(project: Path) -> None:
    write(project / "trap" / "__init__.py", "raise SystemExit('was run')\n")
    write(project / "trap" / "inside.py", "raise SystemExit('was run')\n")
    assert set(reached_modules(("trap.inside:f",))) == {"trap", "trap.inside"}
    assert "trap" not in sys.modules


def test_a_missing_module_is_named_with_the_place_searched(project: Path) -> None:
    with pytest.raises(
        InputError, match=r'code "my_los:loss": there is no Python module "my_los" in .*expected "package'
    ):
        code_digest(("my_los:loss",))


def test_a_file_that_does_not_parse_is_named_with_its_line(project: Path) -> None:
    write(project / "broken.py", "a = 1\nb = = 2\n")
    with pytest.raises(InputError, match=r"broken\.py:2: invalid syntax"):
        code_digest(("broken:f",))


def test_mentions_looks_at_names_attributes_and_parameters_only(project: Path) -> None:
    write(project / "words.py", '"""logits"""\n# logits\ndef f(output): return output.embedding\n')
    assert mentions("my_loss:loss", "logits")
    assert not mentions("words:f", "logits")


def test_the_packages_that_cannot_change_a_result_are_left_out() -> None:
    reached = reached_modules((*WORK_ROOTS, "harness.execute.worker"))
    rooms = {name.split(".")[1] for name in reached}
    inner = {name.split(".")[2] for name in reached if name.count(".") > 1}
    assert {"train", "models", "losses", "data", "evaluate", "recipe"} <= inner
    assert not rooms & {"cli", "execute", "matrix", "plan", "report", "search", "track"}
    assert "harness" not in reached


def test_every_module_that_is_actually_imported_is_covered() -> None:
    script = (
        f"import sys, {', '.join(WORK_ROOTS)}\nprint(*(name for name in sys.modules if name.startswith('harness.')))"
    )
    process = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1]
    )
    left_out = tuple(f"{room}." for room in WITHOUT_INFLUENCE)
    imported = {name for name in process.stdout.split() if not f"{name}.".startswith(left_out)}
    assert imported <= set(reached_modules(WORK_ROOTS))


def test_the_digest_of_everything_a_stage_runs_is_quick() -> None:
    code_digest(("harness.reid.recipe",))
    started = time.process_time()
    code_digest(WORK_ROOTS)
    assert time.process_time() - started < 1.0  # 0.1 s on a quiet machine; the bound leaves room for a busy one


def test_an_edited_file_is_read_again_in_the_same_process(project: Path) -> None:
    """As in a notebook, where a run follows an edit of the file, of a module that it imports, or of a new module."""
    write(project / "notebook.py", "import helper\ntry:\n    import extra\nexcept ImportError:\n    extra = None\n")
    write(project / "helper.py", "VALUE = 1\n")
    digests = [code_digest(("notebook:train",))]
    for name, text in (("helper", "VALUE = 2\n"), ("extra", "X = 1\n"), ("notebook", "import helper\n")):
        write(project / f"{name}.py", text)
        digests.append(code_digest(("notebook:train",)))
    assert len(set(digests)) == 4
    write(project / "helper.py", "VALUE = 2  # a comment\n")
    assert code_digest(("notebook:train",)) == digests[-1]
    assert not mentions("helper:train", "OTHER")
    write(project / "helper.py", "OTHER = 2\n")
    assert mentions("helper:train", "OTHER")


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("def loss(): ...", None),
        ("from elsewhere import x as loss", None),
        ("try:\n    import loss\nexcept ImportError:\n    loss = None", None),
        ("from elsewhere import *", None),
        ("def __getattr__(name): ...", None),
        ("def lss(): ...", 'did you mean "lss"?'),
        ("raise SystemExit", "check its spelling"),
    ],
)
def test_a_reference_is_checked_without_running_its_module(text: str, hint: str | None, project: Path) -> None:
    write(project / "own_losses.py", text + "\n")
    if hint is None:
        check_reference("own_losses:loss")
        return
    with pytest.raises(InputError) as refused:
        check_reference("own_losses:loss")
    assert str(refused.value) == f'"own_losses:loss": own_losses ({project / "own_losses.py"}) has no "loss"; {hint}'
