"""The data sets of a table: where each is found, how much of it is opened, and which do not go together."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from plan_tables import recipe

from harness.api.folders import folder_of, read_folders
from harness.errors import InputError
from harness.reid.inputs import SyntheticSpec, find_sets, named_sets, open_inputs, released_inputs
from harness.reid.recipe import Recipe
from harness.trainer import InputRequest, Inputs

SPLITS = {name: f"{name}/*" for name in ("train", "query", "gallery")}
Shop = Callable[..., dict[str, Any]]


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """Makes a folder of one's own photographs with some splits, and returns its layout."""

    def make(name: str, splits: tuple[str, ...] = ("train", "query", "gallery"), **more: Any) -> dict[str, Any]:
        for split in splits:
            for person in (1, 2):
                for camera in (1, 2):
                    place = tmp_path / name / split / f"{person}_{camera}.png"
                    place.parent.mkdir(parents=True, exist_ok=True)
                    Image.new("RGB", (4, 8), (person * 40, camera * 40, len(name))).save(place)
        kept = {split: SPLITS[split] for split in splits}
        return {"name": name, "splits": kept, "pattern": "{identity:int}_{camera:int}", **more}

    return make


def classes(folder: Path, *names: str) -> None:
    for part in ("train", "test"):
        for name in names:
            (folder / part / name).mkdir(parents=True)
            Image.new("RGB", (4, 4)).save(folder / part / name / "1.png")


def row(protocol: str = "market", **data: Any) -> Recipe:
    values = recipe(("Softmax",), {"evaluation": {"protocol": protocol}}).model_dump(by_alias=True)
    return Recipe.model_validate({**values, "data": {"height_px": 8, "width_px": 4, **data}})


def opened(tmp_path: Path, *rows: Recipe, training_only: bool = False) -> Inputs:
    """The inputs of rows whose sets lie in folders of their own names."""
    names = named_sets([one.model_dump() for one in rows], training_only=training_only)
    roots = {name: tmp_path / name for name in names}
    return open_inputs(rows, InputRequest(rows, roots, None, tmp_path / "store", training_only))


def test_of_each_set_no_more_is_opened_than_rows_read(tmp_path: Path, shop: Shop) -> None:
    a, b = shop("a", ("train",)), shop("b", ("query", "gallery"))  # neither has the rest
    inputs = opened(tmp_path, row(train=a, test=b))
    assert list(inputs.contents) == ["a/train", "b/query", "b/gallery"]
    assert inputs.sizes == {"a/train": 4, "a/classes": 2, "b/query": 4, "b/gallery": 4, "b/classes": 2}
    assert [(one.name, one.root) for one in inputs.sets] == [("a", tmp_path / "a"), ("b", tmp_path / "b")]
    assert inputs.places == f"{tmp_path / 'a'}, {tmp_path / 'b'}"


def test_rows_that_read_one_set_have_its_inputs_as_they_were(tmp_path: Path, shop: Shop) -> None:
    a = shop("a")
    alone = opened(tmp_path, row(dataset=a))
    assert (list(alone.contents), alone.sets) == (["train", "query", "gallery"], ())
    assert opened(tmp_path, row(train=a, test=a)) == alone
    both = opened(tmp_path, row(dataset=a), row(dataset=a, test=shop("b")))
    assert dict(both.sets[0].contents) == dict(alone.contents)


def test_a_search_opens_the_training_data_alone(tmp_path: Path, shop: Shop) -> None:
    a, b = shop("a"), shop("b")
    assert list(opened(tmp_path, row(train=a, test=b), training_only=True).contents) == ["train"]
    both = opened(tmp_path, row(train=a, test=b), row(train=b, test=a), training_only=True)
    assert list(both.contents) == ["a/train", "b/train"]


def test_two_layouts_of_one_name_are_refused(tmp_path: Path, shop: Shop) -> None:
    rows = row(dataset=shop("a")), row(dataset=shop("a", apart=True))
    with pytest.raises(InputError, match='two different layouts are called "a"; rename one'):
        opened(tmp_path, *rows)


def test_a_set_that_lacks_what_its_row_reads_is_refused(tmp_path: Path, shop: Shop) -> None:
    a, b = shop("a"), shop("b", ("query", "gallery"))
    with pytest.raises(InputError, match='split "train" of b'):
        opened(tmp_path, row(train=b, test=a))


def test_people_and_classes_do_not_go_together(tmp_path: Path, shop: Shop) -> None:
    classes(tmp_path / "imagefolder", "cat", "dog")
    expected = (
        "data.train is imagefolder and data.test a: classes cannot be scored as identities; expected two sets of one"
    )
    with pytest.raises(InputError, match=expected):
        opened(tmp_path, row(train="imagefolder", test=shop("a")))


def test_classes_are_scored_on_another_set_of_the_same_names(tmp_path: Path) -> None:
    own = {"name": "own", "task": "classification", "splits": {"train": "train/*/*", "test": "test/*/*"}}
    own["pattern"] = "{identity}/{any}"
    classes(tmp_path / "imagefolder", "cat", "dog")
    classes(tmp_path / "own", "dog", "cat")
    inputs = opened(tmp_path, row("classification", train="imagefolder", test=own))
    assert list(inputs.contents) == ["imagefolder/train", "own/test"]
    classes(tmp_path / "own2", "dog", "fox")
    with pytest.raises(InputError, match=r"their classes differ \(cat\); expected the same names"):
        opened(tmp_path, row("classification", train="imagefolder", test={**own, "name": "own2"}))


def test_each_set_is_taken_from_its_own_folder_or_else_from_the_first_that_holds_it(tmp_path: Path, shop: Shop) -> None:
    sets = named_sets([row(train=shop("a"), test=shop("b")).model_dump()])
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "b").rename(tmp_path / "elsewhere" / "b")
    places = [tmp_path, tmp_path / "elsewhere"]
    found = find_sets(sets, places, {})
    assert (found.roots, found.missing) == ({"a": tmp_path, "b": tmp_path / "elsewhere"}, ())
    assert find_sets(sets, places[:1], {}).missing == ("b",)
    named = find_sets(sets, places[:1], {"b": tmp_path / "elsewhere" / "b"})
    assert (named.roots["b"], named.missing) == (tmp_path / "elsewhere" / "b", ())
    (tmp_path / "empty").mkdir()
    assert find_sets(sets, places, {"b": tmp_path / "empty"}).missing == ("b",)  # a name is never passed over
    with pytest.raises(InputError, match="--data c=x: no row reads c; expected one of: a, b"):
        find_sets(sets, places, {"c": Path("x")})


def test_sets_that_are_not_there_are_known_from_their_releases() -> None:
    inputs = released_inputs(named_sets([row(train="market1501", test="dukemtmc-reid").model_dump()]))
    assert inputs is not None
    assert inputs.assumed
    assert (inputs.sizes["market1501/train"], inputs.sizes["dukemtmc-reid/query"]) == (12_936, 2_228)
    market, duke = inputs.sets
    assert market.contents["train"] != duke.contents["train"]
    assert released_inputs(named_sets([row(train="market1501", test="my:shop").model_dump()])) is None


def test_a_profile_makes_a_set_for_each_layout_and_never_the_same_people_twice(tmp_path: Path) -> None:
    other = {"layout": "dukemtmc-reid", "identities": 8, "seed": 1}
    made = SyntheticSpec.model_validate({"layout": "market1501", "identities": 6, "also": [other]})
    request = InputRequest((), {}, made, tmp_path)
    inputs = open_inputs([row(train="market1501", test="dukemtmc-reid")], request)
    assert inputs.made == "market1501 synthetic, 6 identities, seed 0; dukemtmc-reid synthetic, 8 identities, seed 1"
    assert (made.of("my:shop"), made.of("msmt17")) == (made, None)
    for wrong, message in (
        ({"seed": 0}, "market1501 and dukemtmc-reid have the seed 0, and so the same people"),
        ({"layout": "market1501"}, '"market1501" is made twice'),
    ):
        with pytest.raises(ValueError, match=message):
            SyntheticSpec.model_validate({"layout": "market1501", "identities": 6, "also": [{**other, **wrong}]})
    with pytest.raises(InputError, match="which is not msmt17; name the folder of msmt17 with --data DIR"):
        open_inputs([row(train="market1501", test="msmt17")], request)


def test_a_data_set_is_named_or_both_its_halves_are() -> None:
    assert row(train="a:f", test="b:f").data.trained_on == "a:f"
    both = row(dataset="a:f", test="b:f").data
    assert (both.trained_on, both.tested_on) == ("a:f", "b:f")
    for lacking in ({}, {"train": "a:f"}, {"test": "a:f"}):
        with pytest.raises(ValueError, match="expected the name of a data set, or train and test"):
            row(**lacking)


def test_folders_are_named_for_all_sets_or_for_one(tmp_path: Path) -> None:
    assert read_folders(None) is None
    assert read_folders(["/x"]) == Path("/x")
    folders = read_folders(["duke=/d", "/x"])
    assert (folder_of(folders, "duke"), folder_of(folders, "market")) == (Path("/d"), Path("/x"))
    assert folder_of(read_folders(["duke=/d"]), "market") is None
    (tmp_path / "a=b").mkdir()
    assert read_folders([str(tmp_path / "a=b")]) == tmp_path / "a=b"
    for wrong, message in (
        (["/x", "/y"], "two folders without a name, /x and /y; name the data set of each: --data NAME=DIR"),
        (["a=/x", "a=/y"], "two folders of a, /x and /y"),
        (["a="], "expected DIR or NAME=DIR"),
        (["=x"], "expected DIR or NAME=DIR"),
    ):
        with pytest.raises(InputError, match=message):
            read_folders(wrong)
