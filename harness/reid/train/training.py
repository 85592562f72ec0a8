"""A stage of kind ``train``: weights in (or none), an epoch after another, weights out."""

import os
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from harness.devices import device_name
from harness.files import regular_file, replacing
from harness.reid.data import label_map
from harness.reid.files import LOSSES, STATE, WEIGHTS
from harness.reid.losses import build_modules, load_custom_losses, reads_classes
from harness.reid.models.network import Network, build_network
from harness.reid.recipe import IdentitySampler, ShuffledSampler
from harness.reid.train.checkpoint import copy_newest_checkpoint
from harness.reid.train.device import arithmetic, prepare_device
from harness.reid.train.images import feed, open_images
from harness.reid.train.loop import Emit, Training
from harness.reid.train.randomness import generator
from harness.reid.train.settings import Resources, TrainSettings
from harness.trainer import SPOOL


def train_stage(
    settings: Mapping[str, Any],
    context: Mapping[str, Any],
    folder: Path,
    parent_folder: Path | None,
    emit: Emit,
    *,
    begun: Path | None = None,
) -> dict[str, Any]:
    """Trains one stage and leaves ``WEIGHTS`` and ``SPOOL`` in ``folder``, and ``STATE`` if it stops early.

    ``LOSSES`` as well, if a loss keeps something for each training identity.

    Continues from the newest whole checkpoint in ``folder``, else from the state of the stage in ``begun``, which
    trained this one's first epochs and stopped: bit for bit as from the start, so that a ``begun`` that is gone
    costs time alone. Weights come from the parent stage, or else from where the recipe's ``model.weights`` says.

    Returns:
        What ``Training.run`` measured, with ``device``, ``threads``, ``parameters``, ``classes`` and ``notes``.
    """
    stage, resources = TrainSettings.read(settings), Resources.read(context)
    device = prepare_device(resources)
    if stage.arithmetic.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    emit({"doing": "checking the data set"})
    dataset = open_images(resources, stage.images, training=True)
    split = dataset.splits["train"]
    classes = label_map(split.identities)
    checkpoints = folder / "checkpoints"
    if begun is not None and not any(checkpoints.glob("*.pt")):
        _take_up(begun, folder, checkpoints)
    labels = np.searchsorted(classes, split.identities).astype(np.int64)
    stage, notes = fit_sampler(stage, identities=len(classes), images=len(split))
    with arithmetic(device, tf32=stage.arithmetic.tf32, deterministic=stage.arithmetic.deterministic):
        emit({"doing": "building the network and loading its weights"})
        network = starting_network(stage, resources, len(classes), parent_folder)
        modules = starting_modules(stage, network, len(classes), parent_folder)
        feeder = feed(dataset, split, resources, stage.images, device, emit, memory_limit_mb=resources.device_memory_mb)
        training = Training(
            network,
            feeder,
            labels,
            stage,
            device=device,
            checkpoints=checkpoints,
            spool=folder / SPOOL,
            custom=load_custom_losses(stage.losses),
            emit=emit,
            threads=resources.threads,
            log_every=resources.log_every,
            checkpoint_minutes=resources.checkpoint_minutes,
            modules=modules,
        )
        emit({"doing": "compiling the network" if stage.arithmetic.compile else "training the first steps"})
        measured = training.run()
    _save(training.network, folder / WEIGHTS)
    if training.modules.state_dict():
        _save(training.modules, folder / LOSSES)
    if stage.stop_after is not None:
        copy_newest_checkpoint(checkpoints, folder / STATE)
    return {
        **measured,
        "device": device_name(str(device)),
        "threads": resources.threads,
        "parameters": sum(parameter.numel() for parameter in training.network.parameters()),
        "classes": len(classes),
        "notes": notes,
    }


def _save(module: nn.Module, path: Path) -> None:
    with replacing(path) as aside:
        save_file({name: value.detach().cpu().contiguous() for name, value in module.state_dict().items()}, aside)


def _take_up(begun: Path, folder: Path, checkpoints: Path) -> None:
    """Puts another stage's state and spool where this one looks for its own; the checkpoint last."""
    if (begun / SPOOL).is_file():
        shutil.copyfile(begun / SPOOL, folder / SPOOL)
        copy_newest_checkpoint(begun / STATE, checkpoints)


def fit_sampler(stage: TrainSettings, *, identities: int, images: int) -> tuple[TrainSettings, list[str]]:
    """The settings with a sampler that the data can fill, and a note if its batches had to shrink.

    A user's own photographs may show fewer identities, or be fewer, than the recipe's batches ask for.
    """
    sampler: IdentitySampler | ShuffledSampler
    if isinstance(stage.sampler, IdentitySampler):
        what, there, wanted = "identities", identities, stage.sampler.identities
        sampler = stage.sampler.model_copy(update={"identities": identities})
    else:
        what, there, wanted = "images", images, stage.sampler.batch_size
        sampler = stage.sampler.model_copy(update={"batch_size": images})
    if there >= wanted:
        return stage, []
    note = f"batches of stage {stage.name} hold {there} {what} instead of {wanted}: all there are"
    return replace(stage, sampler=sampler), [note]


def starting_network(stage: TrainSettings, resources: Resources, classes: int, parent_folder: Path | None) -> Network:
    """The network before the stage's first step: the parent's weights, or else the recipe's."""
    network = build_network(
        **stage.model,
        weights="none" if stage.weights is None else resources.weights[stage.weights],
        classes=classes if stage.classifier else None,
        seed=stage.seed,
        height_px=stage.images.height_px,
        width_px=stage.images.width_px,
    )
    if parent_folder is not None:
        inherit(network, load_file(regular_file(parent_folder / WEIGHTS)))
    # A compiler chooses itself what to recompute, whatever another row of the run asked for.
    network.recompute = resources.checkpoint_activations and not stage.arithmetic.compile
    return network


def starting_modules(stage: TrainSettings, network: Network, classes: int, parent_folder: Path | None) -> nn.ModuleDict:
    """The losses that are modules before the stage's first step: each with the parent stage's state."""
    width = 0
    if reads_classes(stage.losses):
        width = _embedding_width(network, stage.images.height_px, stage.images.width_px)
    modules = build_modules(
        stage.losses, classes=classes, width=width, generator=lambda name: generator(stage.seed, "loss", name)
    )
    if parent_folder is not None and (parent_folder / LOSSES).is_file():
        left, own = load_file(regular_file(parent_folder / LOSSES)), modules.state_dict()
        modules.load_state_dict({**own, **{name: value for name, value in left.items() if name in own}})
    return modules


def _embedding_width(network: Network, height_px: int, width_px: int) -> int:
    """The size of the features of ``network``, found by one image that changes nothing in it."""
    network.eval()
    with torch.no_grad():
        embedding: torch.Tensor = network(torch.zeros(1, 3, height_px, width_px)).embedding
    network.train()
    return embedding.shape[1]


def inherit(network: Network, weights: Mapping[str, torch.Tensor]) -> None:
    """Loads a parent stage's weights into ``network``.

    A classifier is the one part that parent and child may differ in: a child without one drops the parent's, and a
    child whose parent had none starts with its own initial values.

    Raises:
        ValueError: If anything else differs, which a plan never lets happen.
    """
    missing, unexpected = network.load_state_dict(dict(weights), strict=False)
    strangers = [name for name in (*missing, *unexpected) if not name.startswith("classifier.")]
    if strangers:
        raise ValueError(f"the parent's weights do not fit the network: {', '.join(strangers)}")
