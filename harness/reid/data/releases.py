"""The released layouts of the known data sets, declared like a user's layout, with their counts.

Counts are those that the sets' authors or the papers of a protocol give. What could not be compared with a release at
hand, the form of CUHK03's extracted names and of the distractors', is read leniently.
"""

import re
from collections.abc import Sequence
from dataclasses import replace

from harness.reid.data.declared import DeclaredLayout, layout_of
from harness.reid.layout import LayoutSpec, MarkSpec, SplitsSpec


def _boxes(name: str, pattern: str, folders: Sequence[str]) -> LayoutSpec:
    """Three folders of boxes, as Market-1501 has them; the gallery has junk and distractors."""
    return LayoutSpec.model_validate(
        {
            "name": name,
            "folders": list(folders),
            "splits": {"train": "bounding_box_train/*", "query": "query/*", "gallery": "bounding_box_test/*"},
            "pattern": pattern,
            "junk": {"identity": [-1]},
            "distractors": {"identity": [0]},
        }
    )


MARKET1501 = replace(
    layout_of(
        _boxes(
            "market1501",
            "{identity:int}_c{camera:int}s{sequence:int}_{frame:int}_{box:int}",
            ["Market-1501", "market"],
        ),
        folder="Market-1501-v15.09.15",
        official={"train": (12_936, 751), "query": (3_368, 750), "gallery": (19_732, 750)},
    ),
    naming="0002_c1s1_000451_03.jpg (identity or -1, camera, sequence, frame, box; any number of digits)",
    released=re.compile(r"(-1|[0-9]{4})_c[1-6]s[0-9]+_[0-9]{6}_[0-9]{2}\.jpg"),
    release_rule="identities of four digits or -1, cameras 1 to 6, .jpg",
    size_px=(128, 64),
)

DUKEMTMC_REID = replace(
    layout_of(
        _boxes("dukemtmc-reid", "{identity:int}_c{camera:int}_f{frame:int}", ["DukeMTMC", "duke"]),
        folder="DukeMTMC-reID",
        official={"train": (16_522, 702), "query": (2_228, 702), "gallery": (17_661, 1_110)},
    ),
    naming="0005_c2_f0046985.jpg (identity or -1, camera, frame; any number of digits)",
    released=re.compile(r"[0-9]{4}_c[1-8]_f[0-9]{7}\.jpg"),
    release_rule="identities of four digits, cameras 1 to 8, frames of seven digits, .jpg",
)


def with_distractors(extra: str) -> DeclaredLayout:
    """Market-1501 with 500,000 distractors, every image of which is one, in a folder beside the others."""
    splits = SplitsSpec(
        train=["bounding_box_train/*"], query=["query/*"], gallery=["bounding_box_test/*", f"{extra}/*"]
    )
    update = {
        "name": "market1501-500k",
        "folders": ["Market-1501", "market", "market1501"],
        "splits": splits,
        "distractors": MarkSpec(identity=[0], files=[f"{extra}/*"]),
    }
    layout = layout_of(
        MARKET1501.spec.model_copy(update=update),
        folder=MARKET1501.folder,
        official={**MARKET1501.official, "gallery": (519_732, 750)},
    )
    return replace(layout, naming=MARKET1501.naming)


def msmt17(folder: str, train: str, test: str, about: str) -> DeclaredLayout:
    """The lists give a person's number, which starts at 0 in training and in test; the name's third part, the camera.

    Counts of Wei et al. 2018; training is train and val together, as results are reported.
    """

    def listed(places: Sequence[str], inside: str) -> dict[str, object]:
        return {"list": list(places), "folder": inside, "line": "{file} {identity:int}"}

    spec = LayoutSpec.model_validate(
        {
            "name": "msmt17",
            "folders": ["MSMT17", "MSMT17_V1", "MSMT17_V2"],
            "splits": {
                "train": listed(["list_train.txt", "list_val.txt"], train),
                "query": listed(["list_query.txt"], test),
                "gallery": listed(["list_gallery.txt"], test),
            },
            "pattern": "{any}_{any}_{camera:int}_{any}",
            "apart": True,
        }
    )
    official = {"train": (32_621, 1_041), "query": (11_659, 3_060), "gallery": (82_161, 3_060)}
    return replace(
        layout_of(spec, folder=folder, official=official),
        naming="0000_000_01_0303morning_0015_0.jpg (person, image, camera, time, ...), named in list_*.txt",
        about=about,
    )


def cuhk03(name: str, boxes: str, folders: Sequence[str], train: int, gallery: int) -> DeclaredLayout:
    """The new protocol (Zhong et al. 2017: 767 people to train on, 700 to test on) as folders of images.

    ``harness.reid.data.cuhk03`` writes them from the release itself, ``cuhk-03.mat``.
    """
    spec = _boxes(name, "{identity:int}_c{camera:int}_{any}", ["CUHK03-NP", "CUHK03", *folders]).model_copy(
        update={
            "pattern": ["{identity:int}_c{camera:int}_{any}", "{identity:int}_c{camera:int}s{sequence:int}_{any}"],
        }
    )
    official = {"train": (train, 767), "query": (1_400, 700), "gallery": (gallery, 700)}
    return replace(
        layout_of(spec, official=official),
        naming="0001_c1_1.png (identity, camera, image)",
        about=f"new protocol, {boxes} boxes",
    )


def veri(lists: bool) -> DeclaredLayout:
    """Vehicles by 20 cameras (Liu et al. 2016). The gallery holds the queries too: an image of the query's own camera
    is no match, as on Market-1501. Folders with the name lists are read by them."""
    places = {"train": "train", "query": "query", "gallery": "test"}
    splits = {
        split: {"list": f"name_{name}.txt", "folder": f"image_{name}"} if lists else f"image_{name}/*"
        for split, name in places.items()
    }
    spec = LayoutSpec.model_validate(
        {
            "name": "veri-776",
            "folders": ["VeRi", "VeRi776"],
            "subjects": "vehicles",
            "splits": splits,
            "pattern": "{identity:int}_c{camera:int}_{frame:int}_{box:int}",
        }
    )
    official = {"train": (37_778, 576), "query": (1_678, 200), "gallery": (11_579, 200)}
    return replace(
        layout_of(spec, folder="VeRi-776", official=official),
        naming="0001_c001_00016450_0.jpg (vehicle, camera, frame, box)",
    )


def folders_of_identities(train: Sequence[str], about: str) -> DeclaredLayout:
    """A folder per identity, as a well-known baseline prepares Market-1501 and the like under ``pytorch/``."""
    spec = LayoutSpec.model_validate(
        {
            "name": "pytorch-folders",
            "folders": ["pytorch"],
            "splits": {"train": [f"{name}/*/*" for name in train], "query": "query/*/*", "gallery": "gallery/*/*"},
            "pattern": "{identity:int}/{any}_c{camera:int}{any}",
            "junk": {"identity": [-1]},
            "distractors": {"identity": [0]},
        }
    )
    return replace(
        layout_of(spec),
        naming="0002/0002_c1s1_000451_03.jpg (a folder per identity; the camera in the name)",
        about=about,
    )


def image_folder(test: str) -> DeclaredLayout:
    """``torchvision.datasets.ImageFolder`` for training and test: a folder per class, with all images below it."""
    spec = LayoutSpec.model_validate(
        {
            "name": "imagefolder",
            "task": "classification",
            "splits": {"train": "train/*/**/*", "test": f"{test}/*/**/*"},
            "pattern": "{any}/{identity}/**/{any}",
        }
    )
    return replace(layout_of(spec), naming="cat/0001.jpg (a folder per class)", about=f"the test images are {test}/")
