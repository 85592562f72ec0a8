"""Photographs with a custom naming scheme: a table from YAML alone, from the check to the report."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from conftest import PLAIN, Command

LAYOUT: dict[str, Any] = {
    "name": "shop",
    "splits": {"all": "photos/*"},
    "pattern": "{camera}-{identity:int}-{frame}",
    "draw": {"share": 0.5, "seed": 1},
}


@pytest.fixture
def shop(place: Path, photographs: Path) -> Path:
    """A folder of photographs with an unknown naming scheme, and a tiny table on it."""
    (place / "mine" / "photos").mkdir(parents=True)
    for path in sorted(photographs.glob("bounding_box_*/*.jpg")):
        identity, camera, rest = path.stem.split("_", 2)
        if identity not in ("0000", "-1"):
            shutil.copy(path, place / "mine" / "photos" / f"{camera[:2]}-{identity}-{rest}.jpg")
    write(place, LAYOUT)
    return place


def write(place: Path, layout: dict[str, Any]) -> None:
    recipe = {"extends": "recipes/market1501.yaml", "data": {"dataset": layout}}
    text = (place / "tiny.yaml").read_text(encoding="utf-8")
    text = text.replace("recipe: recipes/market1501.yaml", "recipe: mine.yaml")
    (place / "shop.yaml").write_text(text, encoding="utf-8")
    (place / "mine.yaml").write_text(json.dumps(recipe, indent=1), encoding="utf-8")


WORDS = ("shop.yaml", "--profile", "demo", "--data", "mine", "--rows", "1")


def test_a_declared_layout_is_checked_planned_and_run(harness: Command, shop: Path) -> None:
    checked = harness("data", "check", "mine", "--dataset", "shop.yaml").stdout
    assert checked.startswith("shop in mine\n  train ")
    assert "drawn, share 0.5, seed 1: train" in checked
    plan = json.loads(harness("plan", *WORDS, "--json").stdout)
    other = json.loads(harness("plan", *WORDS, "--set", "data.dataset.draw.seed=2", "--json").stdout)
    assert {stage["fingerprint"] for stage in plan["stages"]}.isdisjoint(
        stage["fingerprint"] for stage in other["stages"]
    )
    done = harness("run", *WORDS, *PLAIN, "--workers", "1")
    assert "profile demo on shop" in done.stdout
    again = json.loads(harness("plan", *WORDS, "--json").stdout)
    assert [stage["state"] for stage in again["stages"]] == ["cached"] * 2


def test_mistakes_in_a_layout_name_file_line_and_the_nearest_name(harness: Command, shop: Path) -> None:
    for change, message in (
        ({"pattern": "{camera}-{identty:int}-{frame}"}, 'mine.yaml:9: data.dataset.pattern: "{identty:int}" in'),
        ({"pattren": "x"}, '"pattren" is not a key of data.dataset; did you mean "pattern"?'),
        ({"splits": {"al": "*"}}, '"al" is not a key of data.dataset.splits; did you mean "all"?'),
        ({"draw": {"share": 2.0}}, "data.dataset.draw.share: found 2.0, expected a number below 1"),
        ({"name": 3}, "data.dataset.name: found 3, expected text"),
    ):
        write(shop, {**LAYOUT, **change})
        stderr = harness("plan", *WORDS, code=2).stderr
        assert "mine.yaml:" in stderr
        assert message in stderr
    write(shop, LAYOUT)
    (shop / "mine" / "photos" / "odd.jpg").write_bytes(b"")
    stderr = harness("plan", *WORDS, code=2).stderr
    assert "odd.jpg: no shop name; expected one like {camera}-{identity:int}-{frame}" in stderr
    without = harness("plan", "shop.yaml", "--profile", "demo", code=2).stderr
    assert (
        'the profile makes a synthetic "market1501", which is not shop; name the folder of shop with --data' in without
    )
