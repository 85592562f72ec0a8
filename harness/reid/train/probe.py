"""A probe: how fast a device takes images through a stage's work, measured in a few real steps on made-up images.

Owns the making-up and the timing; the steps are those of ``loop`` and ``scoring`` themselves, at the stage's model,
image size, batch, losses and precision. Reads no image, no weights and no other stage, and leaves nothing but numbers.
No stage runs this module, so no fingerprint depends on it.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.devices import device_name
from harness.reid.data.batches import Batch, Indices
from harness.reid.data.dataset import Ids
from harness.reid.losses import load_custom_losses
from harness.reid.models.network import build_network
from harness.reid.models.output import Output
from harness.reid.recipe import ShuffledSampler
from harness.reid.stages import CLASSES
from harness.reid.train.device import arithmetic, prepare_device
from harness.reid.train.features import BATCH, Extractor
from harness.reid.train.loop import Training
from harness.reid.train.scoring import rank
from harness.reid.train.settings import EvaluateSettings, ImageSettings, Resources, TrainSettings
from harness.reid.train.training import fit_sampler, starting_modules, starting_network
from harness.trainer import SPOOL, Emit, Task

_STEPS = 10
_LEAST_S, _MOST_S = 2.0, 20.0
_MOST_STEPS = 200
_QUERIES_OF_HELD_OUT = 4
"""Of held-out identities about every fourth image becomes a query; see ``held_out_split``."""


def run_probe(task: Task, emit: Emit) -> dict[str, Any]:
    """Measures the speed of ``task`` on the slot's device.

    At least ten steps and two seconds are timed after a first one that is not; on a device so slow that twenty seconds
    pass before, fewer are, and at worst the first one alone.

    Args:
        task: Its context holds the sizes of each data set: images by split, and classes.
        emit: Called with the steps done.

    Returns:
        ``units_per_s`` (images; of an evaluation with its ranking), ``steps`` that were timed, ``device``.
    """
    resources = Resources.read(task.context)
    data = ImageSettings.read(task.settings["data"])
    images = resources.place_of(data.splits).sizes
    classes = resources.place_of({"train": data.classes} if data.classes else data.splits).sizes[CLASSES]
    device, watch = prepare_device(resources), _Stopwatch(emit)
    if task.kind == "train":
        stage = _standing_still(TrainSettings.read(task.settings), images["train"], classes)
        speed = _training_speed(stage, resources, device, task.folder, classes, watch)
    else:
        scored = EvaluateSettings.read(task.settings)
        speed = _scoring_speed(scored, resources, device, images, classes, watch)
    return {"units_per_s": speed, "steps": len(watch.timed()), "device": device_name(str(device))}


class _TimedError(Exception):
    """Raised out of a loop that has been timed long enough."""


class _Stopwatch:
    """Times the steps of a loop that reports each of them, and ends it with ``_TimedError``."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._ticks: list[float] = []

    @contextmanager
    def over_loop(self) -> Iterator[None]:
        """Around the loop."""
        self._ticks = [time.monotonic()]
        with suppress(_TimedError):
            yield

    def __call__(self, _: Mapping[str, Any]) -> None:
        """Takes the end of a step."""
        self._ticks.append(time.monotonic())
        self._emit({"step": len(self._ticks) - 1, "steps": _STEPS + 1})
        spent_s = self._ticks[-1] - self._ticks[0]
        if spent_s > _MOST_S or (len(self._ticks) > _STEPS + 1 and spent_s > _LEAST_S):
            raise _TimedError

    def timed(self) -> list[float]:
        """Seconds of each step but the first, which warms up; of the first if there is no other."""
        steps = [end - start for start, end in pairwise(self._ticks)]
        return steps[1:] or steps


class _SameImages:
    """A feeder of the same made-up images for every batch: a real one reads ahead, behind the steps."""

    def __init__(self, count: int, size: ImageSettings, device: torch.device) -> None:
        generator = torch.Generator().manual_seed(0)
        shape = (count, size.height_px, size.width_px, 3)
        self._images = torch.randint(256, shape, generator=generator, dtype=torch.uint8).to(device)

    def batches(self, index_batches: Indices, labels: NDArray[np.int64]) -> Iterator[Batch]:
        for batch in index_batches:
            yield Batch(self._images[: len(batch)], None, torch.from_numpy(labels[batch]).to(self._images.device))


def _standing_still(stage: TrainSettings, images: int, classes: int) -> TrainSettings:
    """The stage with the batches that its data give, from random weights, at a rate of 0: it cannot diverge."""
    stage, _ = fit_sampler(stage, identities=classes, images=images)
    optimizer = stage.optimizer.model_copy(update={"lr": 0.0})
    return replace(stage, weights=None, epochs=1, optimizer=optimizer)


def _training_speed(
    stage: TrainSettings,
    resources: Resources,
    device: torch.device,
    folder: Path,
    classes: int,
    watch: _Stopwatch,
) -> float:
    """Images per second of training."""
    sampler = stage.sampler
    batch = sampler.batch_size if isinstance(sampler, ShuffledSampler) else sampler.identities * sampler.images
    with arithmetic(device, tf32=stage.arithmetic.tf32, deterministic=stage.arithmetic.deterministic):
        network = starting_network(stage, resources, classes, None)
        modules = starting_modules(stage, network, classes, None)
        training = Training(
            network,
            _SameImages(batch, stage.images, device),
            np.arange(_MOST_STEPS * batch, dtype=np.int64) % classes,
            stage,
            device=device,
            checkpoints=folder / "checkpoints",
            spool=folder / SPOOL,
            custom=load_custom_losses(stage.losses),
            emit=watch,
            threads=resources.threads,
            log_every=1,
            checkpoint_minutes=resources.checkpoint_minutes,
            modules=modules,
        )
        with watch.over_loop():
            training.run()
    return batch / median(watch.timed())


def _scoring_speed(
    stage: EvaluateSettings,
    resources: Resources,
    device: torch.device,
    images: Mapping[str, int],
    classes: int,
    watch: _Stopwatch,
) -> float:
    """Images per second of an evaluation: extraction from a few batches, a ranking of the data set's own size."""
    ranks, widths = stage.evaluation.protocol == "market", set[int]()

    def take(output: Output) -> list[Tensor]:
        widths.add(output.embedding.shape[1])
        return [output.embedding if output.logits is None else output.logits]

    size: dict[str, Any] = {"height_px": stage.images.height_px, "width_px": stage.images.width_px}
    network = build_network(**stage.model, **size, weights="none", classes=None if ranks else classes, seed=0)
    network = network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    with arithmetic(device, tf32=stage.arithmetic.tf32, deterministic=stage.arithmetic.deterministic):
        same = _SameImages(BATCH, stage.images, device)
        extractor = Extractor(network, stage, device, resources.threads, watch)
        with watch.over_loop():
            extractor.over(same, _MOST_STEPS * BATCH, take)
        speed = BATCH / median(watch.timed())
        if not ranks:
            return speed
        queries, gallery = images.get("query", 0), images.get("gallery", 0)
        if stage.images.held_out is not None:
            held_out = stage.images.held_out
            total = round(images["train"] * held_out.share / (2 if held_out.part else 1))
            queries = max(1, total // _QUERIES_OF_HELD_OUT)
            gallery = total - queries
        (width,) = widths
        _rank_made_up(stage, resources, 8, 64, width, classes)  # what is compiled is compiled by now
        ranked_s = _rank_made_up(stage, resources, queries, gallery, width, classes)
    return (queries + gallery) / ((queries + gallery) / speed + ranked_s)


def _rank_made_up(
    stage: EvaluateSettings, resources: Resources, queries: int, gallery: int, width: int, classes: int
) -> float:
    """Seconds that a ranking of random features takes."""
    generator = torch.Generator().manual_seed(0)

    def boxes(count: int, camera: int) -> tuple[Tensor, Ids, Ids]:
        identities = np.arange(count, dtype=np.int64) % classes
        return torch.randn(count, width, generator=generator), identities, np.full(count, camera, dtype=np.int64)

    query, others = boxes(queries, 1), boxes(gallery, 2)
    started = time.monotonic()
    rank(stage.evaluation, resources, query, others)
    return time.monotonic() - started
