"""Writes the released layouts of Market-1501 and DukeMTMC-reID, filled with rendered pedestrians."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.errors import InputError
from harness.reid.data.synthetic.folder import Origin, Progress, new_folder, share_out
from harness.reid.data.synthetic.plan import DUKEMTMC, MARKET1501, Box, Layout, plan_boxes
from harness.reid.data.synthetic.render import World, render

JPEG_QUALITY = 90
_BATCH = 64  # images of a task: enough to hide its cost, few enough that progress moves


@dataclass(frozen=True)
class _Task:
    world: World
    folder: Path
    boxes: tuple[Box, ...]


def make_market1501(
    out: Path,
    *,
    identities: int = 300,
    seed: int = 0,
    full: bool = False,
    progress: Progress | None = None,
    workers: int | None = None,
) -> Path:
    """Writes ``out/market1501`` in the layout of Market-1501 and returns that folder.

    Args:
        out: Folder in which the set's own folder is made.
        identities: Identities of both splits together, 6 to 9999; about half are for training. ``Layout.counts`` gives
            the numbers of images that follow.
        seed: Seed of everything drawn, in [0, 2**32): equal arguments give equal bytes, in any number of processes.
        full: Write exactly the released counts (1,501 identities), whatever ``identities`` says.
        progress: Called with images written and images in all, after every batch.
        workers: Processes to render in; None for one per available core if the set is large enough to gain.

    Raises:
        InputError: Arguments out of range, or a folder that exists and is not this very set.
    """
    return _make(MARKET1501, out, identities, seed, full, progress, workers)


def make_dukemtmc(
    out: Path,
    *,
    identities: int = 300,
    seed: int = 0,
    full: bool = False,
    progress: Progress | None = None,
    workers: int | None = None,
) -> Path:
    """Writes ``out/dukemtmc-reid`` in the layout of DukeMTMC-reID and returns that folder.

    Arguments and errors as for ``make_market1501``; ``full`` has 1,812 identities, 408 of them seen by one camera only.
    """
    return _make(DUKEMTMC, out, identities, seed, full, progress, workers)


def _make(
    layout: Layout, out: Path, identities: int, seed: int, full: bool, progress: Progress | None, workers: int | None
) -> Path:
    check_seed(seed)
    counts = layout.released if full else layout.counts(identities)
    target = out / layout.name
    origin = Origin(layout.name, counts.identities, seed, full, counts.by_folder)
    with new_folder(target, origin) as folder:
        if folder is None:
            return target
        for name in counts.by_folder:
            (folder / name).mkdir()
        boxes = plan_boxes(layout, counts, seed)
        world, done = World(seed, layout.cameras), 0
        tasks = [_Task(world, folder, batch) for batch in _batches(boxes)]
        for written in share_out(_write, tasks, len(boxes), workers):
            done += written
            if progress is not None:
                progress(done, len(boxes))
    return target


def check_seed(seed: int) -> None:
    """Raises InputError unless the seed fits one word of a random stream's key."""
    if not 0 <= seed < 2**32:
        raise InputError(f"seed: found {seed}, expected 0 to 4294967295")


def _batches(boxes: list[Box]) -> Iterator[tuple[Box, ...]]:
    for start in range(0, len(boxes), _BATCH):
        yield tuple(boxes[start : start + _BATCH])


def _write(task: _Task) -> int:
    """Renders and saves the boxes of a task; returns how many."""
    for box in task.boxes:
        picture = render(task.world, box)
        picture.save(task.folder / box.folder / box.name, "JPEG", quality=JPEG_QUALITY, subsampling="4:2:0")
    return len(task.boxes)
