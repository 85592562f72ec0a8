"""A trained network run over images: it is rebuilt from a stage's folder, its output is collected on the CPU."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from harness.files import regular_file
from harness.reid.data.augment import normalize
from harness.reid.data.batches import Batch, Feeder
from harness.reid.data.dataset import Ids
from harness.reid.files import WEIGHTS
from harness.reid.models.network import Network, build_network
from harness.reid.models.output import Output
from harness.reid.train.device import HostCopy
from harness.reid.train.loop import Emit
from harness.reid.train.settings import EvaluateSettings
from harness.reid.train.training import inherit

BATCH = 256
"""Images that go through the network at once."""


class Extractor:
    """Runs the network over images in large batches, on the device, without gradients."""

    def __init__(
        self, network: Network, stage: EvaluateSettings, device: torch.device, threads: int, emit: Emit
    ) -> None:
        self.device = device
        self.images = 0
        self.seconds = 0.0
        self._network = network.eval()
        self._stage = stage
        self._threads = threads
        self.emit = emit

    @torch.inference_mode()
    def over(self, images: Feeder, count: int, take: Callable[[Output], Sequence[Tensor]]) -> list[Tensor]:
        """Returns what ``take`` picks from the network's output for ``count`` images, in their order, as float32."""
        started, done = time.monotonic(), 0
        parts = []
        for batch in batches_of(images, np.split(np.arange(count), range(BATCH, count, BATCH))):
            pixels = normalize(batch.images, self._stage.mean, self._stage.std, rows=batch.rows, threads=self._threads)
            bfloat16 = self._stage.arithmetic.precision == "bfloat16"
            with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=bfloat16):
                output = self._network(pixels)
            parts.append(HostCopy([values.float() for values in take(output)], self.device))
            self.images += len(pixels)
            done += len(pixels)
            seconds = self.seconds + time.monotonic() - started
            self.emit({"step": done, "steps": count, "images_per_s": self.images / seconds})
        results = [torch.cat(values) for values in zip(*(part.get() for part in parts), strict=True)]
        self.seconds += time.monotonic() - started
        return results


def batches_of(images: Feeder, batches: Sequence[Ids]) -> Iterator[Batch]:
    """The images of each batch of indices, without labels worth the name."""
    last = max(int(batch.max()) for batch in batches)
    return images.batches(batches, np.zeros(last + 1, dtype=np.int64))


def trained_network(model: Mapping[str, Any], height_px: int, width_px: int, folder: Path) -> Network:
    """Builds a network of ``model`` settings, for images of a size, with the weights of a stage in ``folder``."""
    weights = load_file(regular_file(folder / WEIGHTS))
    classifier = weights.get("classifier.weight")
    network = build_network(
        **model,
        weights="none",
        classes=None if classifier is None else len(classifier),
        seed=0,
        height_px=height_px,
        width_px=width_px,
    )
    inherit(network, weights)
    return network
