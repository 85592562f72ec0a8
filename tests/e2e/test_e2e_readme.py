"""The examples of the README and the pages work: their YAML, their Python, and the options of their commands."""

import os
import re
import shlex
import shutil
from functools import cache
from pathlib import Path

import pytest
import warm
import yaml
from conftest import ABLATIONS, PLAIN, Command, answer

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "harness" / "docs").glob("*.md"))]
README = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", README, flags=re.M | re.S)


def examples() -> dict[str, str]:
    """The README's files, by the path in their first line."""
    found = {}
    for language, text in BLOCKS:
        first = text.splitlines()[0]
        if language in {"yaml", "python"} and (named := re.match(r"# ([\w./]+\.(?:yaml|py))", first)):
            found[named[1]] = text
    return found


def commands() -> list[list[str]]:
    """The words after ``python -m harness`` in every command of the README, in code blocks and in tables."""
    lines = [line.partition("   #")[0] for language, text in BLOCKS if language == "sh" for line in text.splitlines()]
    lines += re.findall(r"`((?:python -m harness|run) [^`]+)`", README)
    found = []
    for line in lines:
        words = shlex.split(line.replace("[", "").replace("]", ""))
        if "harness" in words or words[0] == "run":
            found.append(words[words.index("harness") + 1 :] if "harness" in words else words)
    return found


@cache
def help_of(*command: str) -> str:
    return warm.run(["harness", *command, "--help"], ABLATIONS, os.environ, timeout_s=900).stdout


@pytest.mark.parametrize("words", commands(), ids=lambda words: " ".join(words))
def test_every_command_of_the_readme_exists_with_its_options(words: list[str]) -> None:
    command = words[:2] if words[0] in {"data", "cache"} else words[:1]
    text = help_of(*command)
    for option in (word for word in words if word.startswith("--")):
        assert option in text, f"{' '.join(words)}: no {option}"
    for table in (word for word in words if word.startswith("ablations/")):
        assert (ABLATIONS.parent / table).is_file() or table in examples()


@pytest.fixture
def readme_place(place: Path) -> Path:
    """The place, with the README's example files next to the repository's recipes."""
    (place / "ablations").mkdir()
    (place / "recipes").rename(place / "ablations" / "recipes")
    for path, text in examples().items():
        (place / path).write_text(text, encoding="utf-8")
    return place


OWN_CODE = ("digits.py", "digits_recipe.yaml", "digits.yaml")
DATA_PAGE = (
    *("ablations/shop.yaml", "ablations/across.yaml"),
    *("my_data.py", "ablations/my_shop.yaml", "ablations/my_fruit.yaml"),
)
"""Run by ``test_e2e_data_page``."""
OWN_CODE_PAGE = (
    *("readout.py", "readout_recipe.yaml", "readout.yaml"),
    *("two_steps.py", "two_steps.yaml", "coin.yaml", "forest.py", "forest.yaml"),
)
"""Run by ``test_e2e_own_code_page``."""


def test_a_file_of_the_repository_that_a_page_shows_is_that_file() -> None:
    shown = {name: text for name, text in examples().items() if name.endswith(".yaml") and (ROOT / name).is_file()}
    assert list(shown) == ["ablations/digits_tuned.yaml"]
    for name, text in shown.items():
        assert yaml.safe_load(text) == yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


def test_your_own_code_of_the_readme_fills_a_table(harness: Command, place: Path) -> None:
    for name in OWN_CODE:
        (place / name).write_text(examples()[name], encoding="utf-8")
    rows = answer(harness("run", "digits.yaml", "--json", "--seeds", "0", *PLAIN))["rows"]
    levels = ("Width=narrow", "Width=wide")
    assert [row["id"] for row in rows] == ["none", *levels, "Scale", *(f"Scale + {level}" for level in levels)]
    assert all(0.5 < row["metrics"]["accuracy"] < 1.0 for row in rows)


def test_the_readme_from_python_runs_on_the_readme_own_code(harness: Command, place: Path) -> None:
    for name in (*OWN_CODE, "from_python.py"):
        (place / name).write_text(examples()[name].replace("seeds: [0, 1, 2]", "seeds: [0, 1]"), encoding="utf-8")
    environment = {**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{place}/mlflow.db"}
    done = warm.run(["from_python"], place, environment, timeout_s=900)
    assert done.returncode == 0, done.stderr
    assert "PlanView(digits: 6 rows, 12 of 12 stages to run)" in done.stdout
    assert "TableRun(digits: 12 stages trained; 0 cached; report reports/digits.md)" in done.stdout
    assert "Width=wide vs narrow" in done.stdout
    assert (place / "pages" / "digits.md").is_file()


SMALL = [
    *("--set", "data.height_px=32", "--set", "data.width_px=16", "--set", "model.embedding_dim=16"),
    *("--set", "stages.classify.epochs=1"),
]


def test_the_seventh_factor_and_the_users_own_loss_of_the_readme_train(
    harness: Command, readme_place: Path, photographs: Path
) -> None:
    assert set(examples()) == {
        *OWN_CODE,
        "from_python.py",
        "ablations/smoothing.yaml",
        "ablations/recipes/smoothing.yaml",
        "my_losses.py",
        "ablations/recipes/norm.yaml",
        *DATA_PAGE,
        *OWN_CODE_PAGE,
        "ablations/digits_tuned.yaml",
    }
    table = examples()["ablations/smoothing.yaml"]
    norm = table.replace("recipes/smoothing.yaml", "recipes/norm.yaml").replace("Smoothing]", "Norm]")
    (readme_place / "ablations" / "norm.yaml").write_text(norm, encoding="utf-8")
    for name in ("smoothing", "norm"):
        words = ["run", f"ablations/{name}.yaml", "--profile", "demo", "--data", photographs, "--json", *PLAIN, *SMALL]
        rows = answer(harness(*words))["rows"]
        assert [row["id"] for row in rows] == ["plain", "smooth"]
        assert rows[0]["metrics"]["mAP"] != rows[1]["metrics"]["mAP"]  # the factor does something


def test_photographs_in_the_naming_of_the_readme_fill_its_table(
    harness: Command, readme_place: Path, photographs: Path
) -> None:
    photos = readme_place / "DIR" / "photos"
    photos.mkdir(parents=True)
    for path in photographs.glob("bounding_box_train/*.jpg"):
        identity, camera, frame, box = path.stem.split("_")
        shutil.copy(path, photos / f"door{camera[:2]}-{identity}-{frame}{box}.jpg")
    checked = harness("data", "check", "DIR", "--dataset", "ablations/shop.yaml", "--sheet", "sheet.png").stdout
    assert checked.endswith("usable\n")
    assert (readme_place / "sheet.png").read_bytes().startswith(b"\x89PNG")
    words = ("run", "ablations/shop.yaml", "--profile", "demo", "--data", "DIR", "--json", *PLAIN, *SMALL)
    rows = answer(harness(*words))["rows"]
    assert [row["id"] for row in rows] == ["softmax", "both"]
    assert all(0.0 < row["metrics"]["mAP"] <= 1.0 for row in rows)


def test_a_changed_formula_never_meets_an_old_result(harness: Command, readme_place: Path, photographs: Path) -> None:
    norm = examples()["ablations/smoothing.yaml"].replace("smoothing.yaml", "norm.yaml").replace("Smoothing]", "Norm]")
    (readme_place / "ablations" / "norm.yaml").write_text(norm, encoding="utf-8")
    words = ["plan", "ablations/norm.yaml", "--profile", "demo", "--data", photographs, "--json"]

    def stages() -> dict[str, set[str]]:
        planned = answer(harness(*words))
        return {row["id"]: {name for run in row["runs"] for name in run["stages"]} for row in planned["rows"]}

    before = stages()
    code = readme_place / "my_losses.py"
    code.write_text(code.read_text(encoding="utf-8") + "\n# a comment changes nothing\n", encoding="utf-8")
    assert stages() == before
    code.write_text(code.read_text(encoding="utf-8").replace(".square()", ".abs()"), encoding="utf-8")
    after = stages()
    assert after["plain"] == before["plain"]
    assert not after["smooth"] & before["smooth"]
