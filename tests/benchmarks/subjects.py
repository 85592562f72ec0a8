"""What the benchmarks train and read: stages of Table 1 as a plan makes them, and a small synthetic data set."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from harness.matrix import Matrix, expand, read_declaration
from harness.plan import Plan, build_plan
from harness.reid.data.synthetic import make
from harness.reid.data.synthetic.plan import MARKET1501
from harness.reid.inputs import SyntheticSpec
from harness.reid.models.network import Network, build_network
from harness.reid.recipe import IdentitySampler, ShuffledSampler
from harness.reid.stages import CLASSES
from harness.reid.train.settings import TrainSettings
from harness.trainer import Inputs

Scale = Literal["demo", "paper"]

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "ablations" / "table1.yaml"
NETWORKS: Mapping[str, str] = {"plain": "3", "full": "8"}
"""Rows of Table 1: both losses on the plain network, and the full method."""
STAGES = ("classify", "metric")


def table_plan(profile: str, *, rows: list[str] | None = None) -> tuple[Matrix, Plan]:
    """Table 1's plan, for as many images as the profile's data set has; nothing is read, nothing is cached."""
    declaration = read_declaration(TABLE)
    matrix = expand(declaration, profile=profile, rows=rows)
    return matrix, build_plan(matrix, matrix.trainer, table_inputs(matrix), lambda _: "-", lambda _: False)


def table_inputs(matrix: Matrix) -> Inputs:
    """As many images as the data set of a table's profile has; nothing is read."""
    synthetic = matrix.synthetic
    counts = MARKET1501.released
    if isinstance(synthetic, SyntheticSpec):
        counts = MARKET1501.counts(synthetic.identities)
    gallery = counts.gallery_images + counts.distractors + counts.junk
    images = {"train": counts.train_images, "query": counts.queries, "gallery": gallery}
    return Inputs(matrix.dataset, dict.fromkeys(images, "-"), {**images, CLASSES: counts.train_identities})


def training_stage(network: str, stage: str, scale: Scale, *, batch: int | None = None) -> TrainSettings:
    """The settings of one of ``STAGES`` of one of ``NETWORKS``.

    Args:
        network: A key of ``NETWORKS``.
        stage: One of ``STAGES``.
        scale: The profile.
        batch: Images a batch instead of the recipe's; of four images an identity where the stage samples identities.
    """
    _, plan = table_plan(scale, rows=[NETWORKS[network]])
    chosen = next(planned for planned in plan.stages.values() if planned.name == stage)
    settings = TrainSettings.read({"weights": None, **chosen.settings})
    return settings if batch is None else with_batch(settings, batch)


def with_batch(settings: TrainSettings, batch: int) -> TrainSettings:
    """The same stage with so many images a batch; of four images an identity where it samples identities."""
    if isinstance(settings.sampler, IdentitySampler):
        return replace(settings, sampler=IdentitySampler(kind="identities", identities=batch // 4, images=4))
    return replace(settings, sampler=ShuffledSampler(kind="shuffled", batch_size=batch))


def batch_size(settings: TrainSettings) -> int:
    """Images a batch."""
    sampler = settings.sampler
    return sampler.identities * sampler.images if isinstance(sampler, IdentitySampler) else sampler.batch_size


def untrained(settings: TrainSettings, classes: int) -> Network:
    """The stage's network with the stage's own initial values, whatever weights the recipe names."""
    arguments: dict[str, Any] = {**settings.model, "weights": "none", "seed": settings.seed}
    return build_network(**arguments, classes=classes if settings.classifier else None)


def random_images(count: int, settings: TrainSettings, *, per_identity: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """Noise of the stage's size, uint8 (N, H, W, 3), and a label for each image, so many images an identity."""
    size = (count, settings.images.height_px, settings.images.width_px, 3)
    images = np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8)
    return images, np.arange(count, dtype=np.int64) // per_identity


def pedestrians(folder: Path, identities: int) -> Path:
    """A synthetic data set in Market-1501's layout."""
    return make("market1501", folder, identities=identities, seed=0)
