"""The output of ``harness plan`` without the data, with ``--set``, and on synthetic data."""

from pathlib import Path

import pytest
from conftest import ABLATIONS, answer, run_harness

READER = """\
from harness.reid.data import Dataset, Split


def folders(root):
    def split(name, people, cameras):
        pairs = [(person, camera) for person in people for camera in cameras]
        files = [f"{name}-{person}-{camera}.jpg" for person, camera in pairs]
        return Split.of_files(name, files, [person for person, _ in pairs], [camera for _, camera in pairs])

    splits = {"train": split("t", range(1, 9), (1, 2)), "query": split("q", (20, 21), (1,)),
              "gallery": split("g", (20, 21), (2,))}
    for part in splits.values():
        for file in part.files:
            (root / file).write_bytes(b"an image")
    return Dataset("folders", root, splits, "reid")
"""


@pytest.mark.parametrize(
    ("table", "dataset", "trained", "scored"),
    [  # training images x epochs; query and gallery images, or test images
        ("table1", "market1501", 12_936 * 150, 3_368 + 19_732),
        ("table2", "market1501", 12_936 * 150, 3_368 + 19_732),
        ("table3", "dukemtmc-reid", 16_522 * 150, 2_228 + 17_661),
        ("table4", "cifar100", 50_000 * 150, 10_000),
    ],
)
def test_the_paper_profile_is_planned_without_its_images(
    tmp_path: Path, table: str, dataset: str, trained: int, scored: int
) -> None:
    done = run_harness(tmp_path, "plan", ABLATIONS / f"{table}.yaml", "--profile", "paper", "--json")
    plan = answer(done)
    assert f"{dataset} was not found (looked in data): planned from the counts of its release" in done.stderr
    assert plan["assumed_data"] is True
    assert {stage["amount"] for stage in plan["stages"] if stage["kind"] == "train"} == {trained}
    assert {stage["amount"] for stage in plan["stages"] if stage["kind"] == "evaluate"} == {scored}
    assert {stage["state"] for stage in plan["stages"]} == {"unknown"}
    names = [stage["fingerprint"] for stage in plan["stages"]]
    assert names == [f"unknown-{number}" for number in range(1, len(names) + 1)]
    assert {name for row in plan["rows"] for run in row["runs"] for name in run["stages"]} == set(names)
    assert {stage["parent"] for stage in plan["stages"]} <= {None, *names}
    assert set(plan["stages"][0]["settings"]["data"]["splits"].values()) == {"unknown"}
    assert plan["sharing"]["epochs_to_run"] == plan["sharing"]["epochs"]
    assert all(row["parameters"] > 20e6 for row in plan["rows"])


def test_a_plan_without_images_says_so_and_a_run_is_refused(tmp_path: Path) -> None:
    words = (ABLATIONS / "table1.yaml", "--profile", "paper", "--rows", "1,3", "--seeds", "0")
    shown = run_harness(tmp_path, "plan", *words).stdout
    assert "profile paper · market1501, assumed to be the release" in shown
    assert "To run now, if nothing is cached: 4 stages, 300 epochs." in shown
    assert run_harness(tmp_path, "run", *words, code=2).stderr.startswith("error: market1501 was not found; looked in")


def test_explicitly_named_data_is_never_assumed(tmp_path: Path) -> None:
    words = ("plan", ABLATIONS / "table1.yaml", "--profile", "paper", "--data", tmp_path)
    assert "market1501 was not found; looked in" in run_harness(tmp_path, *words, code=2).stderr


def test_the_data_set_is_looked_up_under_the_name_given_by_set(tmp_path: Path) -> None:
    (tmp_path / "my_data.py").write_text(READER)
    images = tmp_path / "images"
    images.mkdir()
    chosen = ("--set", "data.dataset=my_data:folders")
    plan = answer(run_harness(tmp_path, "plan", ABLATIONS / "table1.yaml", *chosen, "--data", images, "--json"))
    assert (plan["profile"], plan["assumed_data"]) == ("paper", False)
    assert {stage["amount"] for stage in plan["stages"] if stage["kind"] == "train"} == {16 * 150}
    checked = run_harness(tmp_path, "data", "check", images, "--dataset", "my_data:folders", code=1)
    assert checked.stdout.startswith(f"my_data:folders in {images}\n  train    16 images of 8 people")
    duke = ("plan", ABLATIONS / "table1.yaml", "--profile", "paper", "--set", "data.dataset=dukemtmc-reid", "--json")
    done = run_harness(tmp_path, *duke)
    assert "dukemtmc-reid was not found" in done.stderr
    assert {stage["amount"] for stage in answer(done)["stages"] if stage["kind"] == "train"} == {16_522 * 150}
    demo = run_harness(tmp_path, *duke[:2], "--profile", "demo", *duke[4:6], code=2).stderr
    assert demo.startswith(
        'error: --set: data.dataset: found "dukemtmc-reid", but the profile makes a synthetic "market1501"'
    )


def test_a_plan_on_synthetic_data_says_so_in_one_line_and_mentions_only_factors_of_the_table(place: Path) -> None:
    done = run_harness(place, "plan", "tiny.yaml", "--rows", "1,3")
    notes = [line for line in done.stderr.splitlines() if not line.startswith("rendering")]
    assert notes == ["market1501 is not in data: profile demo on synthetic data, not comparable with the paper"]
    assert "market1501 (synthetic, 16 identities, seed 1)" in done.stdout
    assert "SAC is off in every row" in done.stdout  # row 8 is about it
    assert "Triplet" not in done.stdout  # in the recipe, but in no row
