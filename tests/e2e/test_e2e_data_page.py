"""What the page on data shows, copied and run: a layout in YAML, a second set to test on, and readers in Python."""

import json
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from conftest import ABLATIONS, PLAIN, run_harness
from PIL import Image

PAGE = Path(__file__).parents[2] / "harness" / "docs" / "data.md"
BLOCKS = re.findall(r"```(\w+)\n(.+?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
COMMANDS = [line for kind, text in BLOCKS if kind == "sh" for line in text.splitlines()]
PREFIX = "uv run python -m harness "
PEOPLE, CAMERAS, IMAGES = 16, 2, 2
"""Half are trained on: 8 people with 4 images each are one batch of the recipe."""


@pytest.fixture
def newcomer(tmp_path: Path, empty_tracker: Path) -> Path:
    """A folder with an empty tracker, the recipes, the files of the page, and three folders of photographs."""
    shutil.copytree(empty_tracker, tmp_path, dirs_exist_ok=True)
    shutil.copytree(ABLATIONS / "recipes", tmp_path / "ablations" / "recipes")
    for kind, text in BLOCKS:
        named = re.match(r"# ([\w/]+\.(?:yaml|py))", text)
        assert bool(named) == (kind in ("yaml", "py", "python"))
        if named:
            (tmp_path / named[1]).write_text(text, encoding="utf-8")
    for number, (person, camera, image) in enumerate(boxes()):
        draw(tmp_path / f"shop/photos/door{camera}-{person:04}-{number:06}.jpg", person)
        draw(tmp_path / f"my_shop/{number}.jpg", person)
        draw(tmp_path / f"station/{'gallery' if image else 'query'}/{person + 50}_{camera}_{image}.jpg", person + 50)
        draw(
            tmp_path / f"my_fruit/{'test' if image == 0 else 'train'}/{'apple' if person % 2 else 'pear'}/{number}.jpg",
            1,
        )
    lines = ["file,split,identity,camera"]
    for number, (person, camera, image) in enumerate(boxes()):
        test = "query" if image == 0 else "gallery"
        lines.append(f"{number}.jpg,{test if person > PEOPLE // 2 else 'train'},{person},{camera}")
    (tmp_path / "my_shop" / "labels.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


def boxes() -> Iterator[tuple[int, int, int]]:
    """Person, camera and number of every photograph."""
    return (
        (person, camera, image)
        for person in range(1, PEOPLE + 1)
        for camera in range(1, CAMERAS + 1)
        for image in range(IMAGES)
    )


def draw(path: Path, person: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(person).integers(0, 256, (64, 32, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.mark.parametrize(
    ("table", "counts", "title"),
    [  # half of 16 people x 2 cameras x 2 images are trained on; each other gives one query a camera
        ("shop", ("train    32 images of 8 people", "query    16 images", "gallery  16 images"), "shop"),
        ("my_shop", ("train    32 images of 8 people", "query    16 images", "gallery  16 images"), "my_data:my_shop"),
        ("my_fruit", ("train    32 images of 2 classes", "test     32 images"), "my_data:my_fruit"),
    ],
)
def test_the_page_s_files_and_commands_bring_photographs_to_a_table(
    newcomer: Path, table: str, counts: tuple[str, ...], title: str
) -> None:
    shown = "shop" if table == "shop" else "my_shop"
    check, run = (line for line in COMMANDS if f"ablations/{shown}.yaml" in line)
    for command in (check, run):
        words = shlex.split(
            command.removeprefix(PREFIX).replace("DIR", table).replace(f"/{shown}.", f"/{table}."), comments=True
        )
        assert command.startswith(PREFIX)
        done = run_harness(newcomer, *words, *["--workers", "1", *PLAIN] * (command == run))
        if command == check:
            assert all(count in done.stdout for count in counts), done.stdout
    assert f"profile demo on {title}" in done.stdout
    assert (newcomer / "sheet.png").is_file() == (table == "shop")
    assert (newcomer / "reports" / f"{table}.md").is_file()


def test_rows_of_the_page_s_table_are_tested_on_another_set_without_being_trained_again(newcomer: Path) -> None:
    (command,) = (line for line in COMMANDS if "ablations/across.yaml" in line)
    words = shlex.split(command.removeprefix(PREFIX).replace("SHOP", "shop").replace("STATION", "station"))
    planned = json.loads(run_harness(newcomer, "plan", *words[1:], "--json").stdout)
    stages = {stage["fingerprint"]: stage for stage in planned["stages"]}
    trained = [stage for stage in stages.values() if stage["kind"] == "train"]
    assert [len(stage["rows"]) for stage in trained] == [4, 2]  # softmax, and the quadruplet loss behind it: once each
    assert len(stages) == len(trained) + 4
    done = run_harness(newcomer, *words, "--workers", "1", *PLAIN, "--json")
    assert json.loads(done.stdout)["dataset"] == "shop, shop → station"
    report = (newcomer / "reports" / "across.md").read_text(encoding="utf-8")
    assert "profile demo on shop, shop → station" in report
    assert "(they are of other data); they are not compared" in report
    checked = run_harness(newcomer, "data", "check", "station", "--dataset", words[1])
    assert "query    32 images of 16 people" in checked.stdout
    assert "shop is not in station" in checked.stderr
