"""The loop: batches in, weights out. No step waits for the device; losses are read back once in a while."""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from harness.errors import StageError
from harness.reid.data.augment import AugmentationDraws, augment, draw_augmentation
from harness.reid.data.batches import Batch, Feeder
from harness.reid.data.sampler import identity_batches, shuffled_batches
from harness.reid.losses import BatchError, CustomLoss, check_batch, compute_losses
from harness.reid.models.network import Network
from harness.reid.recipe import IdentitySampler
from harness.reid.train.checkpoint import CheckpointWriter, load_newest_checkpoint
from harness.reid.train.device import DeviceMeter
from harness.reid.train.optimizer import make_optimizer
from harness.reid.train.randomness import derive_seed, generator, seed_global
from harness.reid.train.schedule import learning_rate_factor
from harness.reid.train.settings import TrainSettings
from harness.spool import SpoolWriter

Emit = Callable[[Mapping[str, Any]], None]

_DRAWN_STEPS = 32
"""Steps whose augmentation is drawn at once; part of what decides a result."""


@dataclass
class Progress:
    """How far a stage has come; travels in its checkpoints."""

    epoch: int = 0
    """Epochs done."""
    step: int = 0
    """Steps done in the epoch after them."""
    steps: int = 0
    """Steps done in all."""
    images: int = 0
    seconds: float = 0.0
    """Time spent in the loop, over all processes that worked on this stage."""
    last: dict[str, float] = field(default_factory=dict)
    """The losses of the newest reading."""


class Training:
    """One stage's training, from its newest checkpoint (if there is one) to its last epoch.

    Args:
        network: With the weights to start from, on the CPU or the device.
        feeder: The training images.
        labels: Class of each training image, 0 .. classes - 1, shape (N,), int64.
        settings: What decides the result.
        device: Where to train.
        checkpoints: Folder for checkpoints.
        spool: File for the losses by step.
        custom: The functions of the user's own losses among ``settings.losses``.
        modules: Those among them that are modules, with the state to start from, on the CPU or the device.
        emit: Called with epoch, step, loss and images/s at every reading of the losses.
        threads: Threads that augment on a CPU; no result depends on them.
        log_every: Steps between two readings. Readings also end every epoch.
        checkpoint_minutes: A checkpoint follows a reading once this long after the last; and every epoch. All but the
            last are left out while an earlier one is still being written.
    """

    def __init__(
        self,
        network: Network,
        feeder: Feeder,
        labels: np.ndarray,
        settings: TrainSettings,
        *,
        device: torch.device,
        checkpoints: Path,
        spool: Path,
        custom: Mapping[str, CustomLoss],
        emit: Emit,
        threads: int,
        log_every: int,
        checkpoint_minutes: float,
        modules: nn.ModuleDict | None = None,
    ) -> None:
        self.network = network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.progress = Progress()
        self._feeder = feeder
        self._labels = labels
        self._settings = settings
        self._device = device
        self._checkpoints = CheckpointWriter(checkpoints, device)
        self._spool = SpoolWriter(spool)
        self._custom = custom
        self.modules = (nn.ModuleDict() if modules is None else modules).to(device)
        self._emit = emit
        self._threads = threads
        self._log_every = log_every
        self._checkpoint_s = 60.0 * checkpoint_minutes
        self._pixels: Tensor | None = None
        self._optimizer = make_optimizer(network, settings.optimizer, self.modules.parameters())
        self._base_rates = [group["lr"] for group in self._optimizer.param_groups]
        self._resume(checkpoints)
        if settings.arithmetic.compile:
            self.network.compile()

    def run(self) -> dict[str, float]:
        """Trains to the last epoch.

        Returns:
            ``epochs``, ``steps``, ``images``, ``seconds``, ``images_per_s``, peak memory and, where the device reports
            them, utilisation and energy; and the last reading of each loss as ``final_...``.

        Raises:
            StageError: If a loss is not finite; names the step, every term and the learning rate.
        """
        meter = DeviceMeter(self._device)
        settings, progress = self._settings, self.progress
        self.network.train()
        with closing(self._checkpoints):
            while progress.epoch < settings.last_epoch:
                batches = self._batches(progress.epoch)
                self._check(batches)
                for readings in self._epoch(batches):
                    self._record(readings, len(batches))
                    meter.sample()
                progress.epoch, progress.step = progress.epoch + 1, 0
                self._save(needed=progress.epoch == settings.last_epoch)
            self._checkpoints.wait()
        return {
            "epochs": progress.epoch,
            "steps": progress.steps,
            "images": progress.images,
            "seconds": progress.seconds,
            "images_per_s": progress.images / progress.seconds if progress.seconds else 0.0,
            **meter.result(),
            **{f"final_{name}": value for name, value in progress.last.items()},
        }

    def _epoch(self, batches: np.ndarray) -> Iterator[list[dict[str, float]]]:
        """Trains the rest of an epoch; yields the losses of each step since the last yield."""
        window: list[Tensor] = []
        names: tuple[str, ...] = ()
        steps, size = batches.shape
        draws = self._draws(range(self.progress.step, steps), size)
        started = saved = time.monotonic()
        for batch, drawn in zip(self._feeder.batches(batches[self.progress.step :], self._labels), draws, strict=True):
            self._set_learning_rate(steps)
            terms = self._step(batch, drawn)
            names = tuple(terms)
            window.append(torch.stack(tuple(terms.values())))
            self.progress.step += 1
            self.progress.steps += 1
            self.progress.images += size
            if len(window) == self._log_every or self.progress.step == steps:
                values = torch.stack(window).tolist()  # the one synchronisation
                window.clear()
                now = time.monotonic()
                self.progress.seconds += now - started
                started = now
                yield [dict(zip(names, row, strict=True)) for row in values]
                if now - saved > self._checkpoint_s and self.progress.step < steps:
                    self._save()
                    saved = time.monotonic()

    def _draws(self, steps: range, images: int) -> Iterator[AugmentationDraws]:
        """The augmentation of each of the epoch's steps, drawn for many at once, which takes little longer than one."""
        settings = self._settings
        for step in steps:
            block, place = divmod(step, _DRAWN_STEPS)
            if place == 0 or step == steps.start:
                draws = draw_augmentation(
                    images * _DRAWN_STEPS,
                    height=settings.images.height_px,
                    width=settings.images.width_px,
                    flip=settings.augment.flip,
                    pad_px=settings.augment.pad_px,
                    erase=settings.augment.erase,
                    generator=generator(settings.seed, "augment", settings.name, self.progress.epoch, block),
                ).to(self._device)
            yield draws.part(place * images, (place + 1) * images)

    def _step(self, batch: Batch, draws: AugmentationDraws) -> dict[str, Tensor]:
        """One optimiser step on a uint8 batch; the detached losses, ``loss`` (their weighted sum) first."""
        settings = self._settings
        # Nothing here reads global random state; a user's own loss or a backbone with dropout may.
        position = (settings.name, self.progress.epoch, self.progress.step)
        seed_global(self._device, derive_seed(settings.seed, "global", *position))
        pixels = augment(
            batch.images,
            draws,
            settings.augment.mean,
            settings.augment.std,
            rows=batch.rows,
            out=self._buffer(len(batch.labels)),
            threads=self._threads,
        )
        bfloat16 = settings.arithmetic.precision == "bfloat16"
        with torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=bfloat16):
            output = self.network(pixels)
        total, terms = compute_losses(
            output,
            batch.labels,
            settings.losses,
            normalize_embeddings=settings.normalize_embeddings,
            custom=self._custom,
            modules=self.modules,
        )
        total.backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        return {"loss": total.detach(), **{f"loss_{name}": term.detach() for name, term in terms.items()}}

    def _buffer(self, batch: int) -> Tensor:
        """The memory of the last batch of this size, to be written over: fresh pages cost a CPU more than the work."""
        shape = (batch, 3, self._settings.images.height_px, self._settings.images.width_px)
        if self._pixels is None or self._pixels.shape != shape:
            self._pixels = torch.empty(shape, device=self._device, memory_format=torch.channels_last)
        return self._pixels

    def _batches(self, epoch: int) -> np.ndarray:
        """Indices of the epoch's batches, shape (steps, B)."""
        sampler, draw = self._settings.sampler, generator(self._settings.seed, "sampler", self._settings.name, epoch)
        if isinstance(sampler, IdentitySampler):
            return identity_batches(self._labels, sampler.identities, sampler.images, draw)
        return shuffled_batches(len(self._labels), sampler.batch_size, draw)

    def _check(self, batches: np.ndarray) -> None:
        """Refuses batches that a metric loss cannot mine, while the labels are still available without waiting."""
        for batch in batches:
            try:
                check_batch(torch.from_numpy(self._labels[batch]), self._settings.losses)
            except BatchError as error:
                raise StageError(f'stage "{self._settings.name}": {error}') from error

    def _set_learning_rate(self, steps: int) -> None:
        progress, settings = self.progress, self._settings
        factor = learning_rate_factor(settings.schedule, progress.epoch, settings.epochs, progress.step, steps)
        for group, rate in zip(self._optimizer.param_groups, self._base_rates, strict=True):
            group["lr"] = rate * factor

    def _record(self, readings: list[dict[str, float]], steps_per_epoch: int) -> None:
        """Spools and reports the mean of the readings; raises if any is not finite."""
        progress, settings = self.progress, self._settings
        rate = self._optimizer.param_groups[0]["lr"]
        for back, reading in enumerate(reversed(readings)):
            if not all(math.isfinite(value) for value in reading.values()):
                values = ", ".join(f"{name} = {value:g}" for name, value in reading.items())
                raise StageError(
                    f'stage "{settings.name}" diverged at step {progress.steps - back} (epoch {progress.epoch + 1} of '
                    f"{settings.epochs}): {values}; learning rate {rate:g}. A lower learning rate "
                    f"(stages.{settings.name}.optimizer.lr), a warm-up or float32 precision usually fixes this."
                )
        mean = {name: math.fsum(r[name] for r in readings) / len(readings) for name in readings[0]}
        progress.last = mean
        epoch = progress.epoch + progress.step / steps_per_epoch
        speed = progress.images / progress.seconds if progress.seconds else 0.0
        self._spool.write(progress.steps, epoch, {**mean, "learning_rate": rate}, time.time_ns() // 1_000_000)
        self._emit(
            {
                "epoch": epoch,
                "epochs": settings.last_epoch,
                "step": progress.steps,
                "steps": progress.steps - progress.step + steps_per_epoch * (settings.last_epoch - progress.epoch),
                "loss": mean["loss"],
                "images_per_s": speed,
            }
        )

    def _save(self, *, needed: bool = False) -> None:
        state = {
            "network": self.network.state_dict(),
            "losses": dict(self.modules.state_dict()),
            "optimizer": self._optimizer.state_dict(),
            "progress": vars(self.progress),
            "spool": self._spool.position(),
        }
        self._checkpoints.save(self.progress.steps, state, needed=needed)

    def _resume(self, checkpoints: Path) -> None:
        state = load_newest_checkpoint(checkpoints)
        if state is None:
            self._spool.truncate(0)
            return
        self.network.load_state_dict(state["network"])
        self.modules.load_state_dict(state["losses"])
        self._optimizer.load_state_dict(state["optimizer"])
        self.progress = Progress(**state["progress"])
        self._spool.truncate(state["spool"])
