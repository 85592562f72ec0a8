"""A check of data sets without the command line: for a notebook, or another front end."""

import json
from pathlib import Path

import pytest

from harness.api.data import check_data
from harness.api.listener import Listener
from harness.errors import InputError
from harness.reid.data import synthetic

ABLATIONS = Path(__file__).parents[2] / "ablations"
TABLE = {"title": "One row", "seeds": [0], "rows": [{"id": "1", "factors": []}]}


class Seen(Listener):
    """Keeps what it receives."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.counts: list[tuple[str, int, int]] = []

    def note(self, message: str) -> None:
        self.notes.append(message)

    def count(self, what: str, done: int, total: int) -> None:
        self.counts.append((what, done, total))


def write(folder: Path, recipe: str, metric: str, factors: list[str]) -> str:
    rows = [{"id": "1", "factors": factors}]
    (folder / "table.yaml").write_text(json.dumps({**TABLE, "recipe": recipe, "metrics": [metric], "rows": rows}))
    return str(folder / "table.yaml")


def test_the_data_sets_of_a_table_are_read_whole_and_drawn(tmp_path: Path) -> None:
    folder = synthetic.make("market1501", tmp_path, identities=12, seed=0)
    table = write(tmp_path, str(ABLATIONS / "recipes" / "market1501.yaml"), "mAP", ["Softmax"])
    seen, sheet = Seen(), tmp_path / "sheet.png"
    (found,) = check_data(tmp_path, table, sheet, seen)
    assert (found.name, found.root, found.usable) == ("market1501", str(folder), True)
    images = sum(split.images for split in found.splits.values())
    assert sum(total for _, done, total in seen.counts if done == total) == images  # split by split, to its end
    assert {what for what, _, _ in seen.counts} == {"reading market1501"}
    assert seen.notes == [f"{sheet}: images of each split"]
    assert sheet.is_file()


def test_a_table_whose_trainer_reads_no_data_set_is_refused(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(json.dumps({"trainer": "math:hypot", "settings": {}, "metrics": {"x": {}}}))
    table = write(tmp_path, "recipe.yaml", "x", [])
    with pytest.raises(InputError, match=r"table\.yaml: its rows name no data set$"):
        check_data(tmp_path, table)
