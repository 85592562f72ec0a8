"""Which boxes a synthetic re-identification set holds: counts, identities, cameras, names. Nothing is drawn here."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from harness.errors import InputError
from harness.reid.data.synthetic.randomness import Purpose, stream

TRAIN, GALLERY, QUERY = "bounding_box_train", "bounding_box_test", "query"
STRANGERS_FROM = 100_000
"""Numbers from here on are people outside the identities: the parts seen in distractors."""


class Kind(IntEnum):
    """What a box shows: a person of the labelled ones, somebody or nobody else, or a person badly cut."""

    PERSON = 0
    DISTRACTOR = 1
    JUNK = 2


@dataclass(frozen=True)
class Person:
    """Whom a box shows; a sibling shares the look of another person of the same split but for one detail."""

    number: int
    sibling_of: int | None = None


@dataclass(frozen=True)
class Box:
    """One image to render. ``serial`` counts the person's boxes of this kind in this camera (from 1)."""

    folder: str
    name: str
    kind: Kind
    person: Person
    camera: int
    track: int
    serial: int
    size_px: tuple[int, int]
    hand_drawn: bool = False


@dataclass(frozen=True)
class Counts:
    """How many identities and images a set holds."""

    train_identities: int
    train_images: int
    query_identities: int
    queries: int
    gallery_images: int
    single_camera_identities: int = 0
    distractors: int = 0
    junk: int = 0

    @property
    def identities(self) -> int:
        """Identities of all splits."""
        return self.train_identities + self.query_identities + self.single_camera_identities

    @property
    def images(self) -> int:
        """Images of all folders."""
        return self.train_images + self.queries + self.gallery_images + self.distractors + self.junk

    @property
    def by_folder(self) -> dict[str, int]:
        """Images of each folder; distractors and junk lie in the gallery."""
        return {
            TRAIN: self.train_images,
            GALLERY: self.gallery_images + self.distractors + self.junk,
            QUERY: self.queries,
        }


@dataclass(frozen=True)
class Layout:
    """A released layout: its folder, cameras and numbers, and the counts of the full release.

    ``gallery_images`` of ``released`` counts labelled boxes only. ``tall_px`` is the range of heights; a range of one
    value means boxes of one size, half as wide as tall.
    """

    name: str
    cameras: int
    highest_pid: int
    tall_px: tuple[int, int]
    pattern: str
    released: Counts

    def file_name(self, pid: int, camera: int, track: int, frame: int, box: int) -> str:
        """The release's file name; pid 0 is a distractor, -1 junk."""
        label = "-1" if pid < 0 else f"{pid:04d}"
        return self.pattern.format(pid=label, camera=camera, track=track, frame=frame, box=box)

    def counts(self, identities: int) -> Counts:
        """The counts of a set smaller than the release.

        Identities are divided as in the release: about half for training, half for testing, and for DukeMTMC-reID a
        share that one camera alone has seen. Each training identity has 12 images on average, each test identity one
        query in each of its cameras (4.5 on average in Market-1501, 3.2 in DukeMTMC-reID) and 8 labelled gallery
        images, identities of one camera 3; where the release has distractors and junk there is one of each for every
        test identity.

        Raises:
            InputError: Fewer than six identities, or more than the four digits of a file name can number.
        """
        if not 6 <= identities <= 9999:
            raise InputError(f"identities: found {identities}, expected 6 to 9999 (file names have four digits)")
        full = self.released
        single = round(identities * full.single_camera_identities / full.identities)
        test = (identities - single) // 2
        return Counts(
            train_identities=identities - single - test,
            train_images=12 * (identities - single - test),
            query_identities=test,
            queries=round(test * full.queries / full.query_identities),
            gallery_images=8 * test + 3 * single,
            single_camera_identities=single,
            distractors=test if full.distractors else 0,
            junk=test if full.junk else 0,
        )

    def draw_size(self, generator: np.random.Generator) -> tuple[int, int]:
        """Width and height of a box in pixels."""
        low, high = self.tall_px
        if low == high:
            return low // 2, low
        tall = int(generator.integers(low, high + 1))
        return round(tall * float(generator.uniform(0.36, 0.52))), tall


MARKET1501 = Layout(
    name="market1501",
    cameras=6,
    highest_pid=1501,
    tall_px=(128, 128),
    pattern="{pid}_c{camera}s{track}_{frame:06d}_{box:02d}.jpg",
    released=Counts(
        train_identities=751,
        train_images=12_936,
        query_identities=750,
        queries=3_368,
        gallery_images=13_115,
        distractors=2_798,
        junk=3_819,
    ),
)
DUKEMTMC = Layout(
    name="dukemtmc-reid",
    cameras=8,
    highest_pid=7140,
    tall_px=(96, 208),
    pattern="{pid}_c{camera}_f{frame:07d}.jpg",
    released=Counts(
        train_identities=702,
        train_images=16_522,
        query_identities=702,
        queries=2_228,
        gallery_images=17_661,
        single_camera_identities=408,
    ),
)


def apportion(total: int, parts: int, low: int, high: int, generator: np.random.Generator) -> list[int]:
    """Divides a total at random into parts between two bounds (both included).

    Every part starts at ``low``; what is left goes by shares drawn from a gamma distribution, capped at ``high``.

    >>> sum(apportion(20, 4, 2, 9, np.random.default_rng(0)))
    20
    """
    if not parts * low <= total <= parts * high:
        raise ValueError(f"{total} cannot be divided into {parts} parts between {low} and {high}")
    shares = np.full(parts, low)
    weights = generator.gamma(2.0, size=parts)
    while (left := total - int(shares.sum())) > 0:
        open_weights = np.where(shares < high, weights, 0.0)
        if left < parts:
            chance = open_weights / open_weights.sum()
            drawn = generator.choice(parts, min(left, int((chance > 0).sum())), replace=False, p=chance)
            shares[drawn] += 1
        else:
            shares = np.minimum(shares + np.floor(left * open_weights / open_weights.sum()).astype(int), high)
            shares[int(np.argmax(np.where(shares < high, weights, 0.0)))] += int(shares.sum()) < total
    return [int(share) for share in shares]


def plan_boxes(layout: Layout, counts: Counts, seed: int) -> list[Box]:
    """Every box of a set, in an order that keeps a person's boxes together.

    Identities get scattered numbers. One in ten of a split's identities, every tenth by a random order, is a sibling of
    the one before it, so a fifth of them share everything but one detail with another. Every training and query
    identity is seen by at least two cameras and has a labelled gallery box and one query for each.
    """
    generator = stream(seed, Purpose.PLAN, layout.cameras)
    pids = 1 + generator.permutation(max(layout.highest_pid, counts.identities))[: counts.identities]
    ends = np.cumsum([counts.train_identities, counts.query_identities])
    train, test, single = (_people([int(pid) for pid in part]) for part in np.split(pids, ends))
    pairs = round(counts.train_identities * counts.queries / counts.query_identities)
    boxes = [*_labelled(layout, train, pairs, counts.train_images, TRAIN, generator)]
    single_images = min(counts.gallery_images - counts.queries, 3 * len(single))
    boxes += _labelled(layout, test, counts.queries, counts.gallery_images - single_images, GALLERY, generator)
    boxes += _labelled(layout, single, len(single), single_images, GALLERY, generator, one_camera=True)
    strangers = [Person(STRANGERS_FROM + index) for index in range(counts.distractors)]
    boxes += _unlabelled(layout, strangers, 0, Kind.DISTRACTOR, generator)
    cut = [test[int(index)] for index in generator.integers(len(test), size=counts.junk)]
    return [*boxes, *_unlabelled(layout, cut, -1, Kind.JUNK, generator)]


def _people(pids: list[int]) -> list[Person]:
    """The identities of a split by number, every tenth of the given order the sibling of the one before it."""
    people = [Person(pid, pids[index - 1] if index % 10 == 1 else None) for index, pid in enumerate(pids)]
    return sorted(people, key=lambda person: person.number)


def _labelled(
    layout: Layout,
    people: list[Person],
    pairs: int,
    images: int,
    folder: str,
    generator: np.random.Generator,
    one_camera: bool = False,
) -> Iterator[Box]:
    """Boxes of identities: ``pairs`` of identity and camera share the images; a test pair has a query besides."""
    if not people:
        return
    seen_by = [1] * len(people) if one_camera else apportion(pairs, len(people), 2, layout.cameras, generator)
    shares = iter(apportion(images, pairs, 1, 60, generator))
    for person, seen in zip(people, seen_by, strict=True):
        for camera in sorted(1 + generator.choice(layout.cameras, seen, replace=False)):
            asks = folder == GALLERY and not one_camera
            yield from _seen(layout, person, int(camera), next(shares), folder, asks, generator)


def _seen(
    layout: Layout, person: Person, camera: int, count: int, folder: str, asks: bool, generator: np.random.Generator
) -> Iterator[Box]:
    """One identity before one camera: one or two tracks of increasing frames, and perhaps a query among them."""
    total = count + asks
    tracks = np.sort(1 + generator.choice(6, 1 + int(total > 3 and generator.random() < 0.5), replace=False))
    frames = int(generator.integers(1, 70_000)) + np.cumsum(generator.integers(12, 60, total))
    query = int(generator.integers(total)) if asks else -1
    for index in range(total):
        track = int(tracks[index * len(tracks) // total])
        asked = index == query
        box = 0 if asked else int(generator.integers(1, 6))
        yield Box(
            folder=QUERY if asked else folder,
            name=layout.file_name(person.number, camera, track, int(frames[index]), box),
            kind=Kind.PERSON,
            person=person,
            camera=camera,
            track=track,
            serial=index + 1,
            size_px=layout.draw_size(generator),
            hand_drawn=asked,
        )


def _unlabelled(
    layout: Layout, people: list[Person], pid: int, kind: Kind, generator: np.random.Generator
) -> Iterator[Box]:
    """Gallery boxes under one label that is not an identity; frames differ, so names do."""
    frames = generator.choice(90_000, len(people), replace=False)
    for index, (person, frame) in enumerate(zip(people, frames, strict=True)):
        camera, track = int(generator.integers(1, layout.cameras + 1)), int(generator.integers(1, 7))
        box = int(generator.integers(1, 10))
        name = layout.file_name(pid, camera, track, int(frame), box)
        yield Box(GALLERY, name, kind, person, camera, track, index + 1, layout.draw_size(generator))
