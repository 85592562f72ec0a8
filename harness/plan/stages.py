"""Cuts a resolved recipe into its chain of stages, each with exactly the settings that can change its result.

Owns the rule "a factor that is off leaves no trace": a setting that nothing reads is not in a stage, so that rows which
differ in it alone share the stage. Refuses knowing what is stored already, and everything that cannot change a result
(names, paths, devices, worker counts).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.errors import InputError
from harness.matrix.matrix import Row
from harness.plan.code import mentions
from harness.plan.fingerprint import fingerprint
from harness.plan.stage import Stage
from harness.reid.recipe import (
    ArithmeticSpec,
    CustomLossSpec,
    EvaluationSpec,
    ModelSpec,
    OptimizerSpec,
    Recipe,
    ScheduleSpec,
    Spec,
)

_METRIC = frozenset({"triplet", "quadruplet"})
_SCORED_SPLITS = {"market": ("query", "gallery"), "classification": ("test",)}


@dataclass(frozen=True)
class DataIdentity:
    """What a plan knows of a data set: contents and counts, never where it lies."""

    name: str
    splits: Mapping[str, str]
    """Fingerprint of each split's contents: train, query and gallery, or train and test."""
    images: Mapping[str, int]
    """Number of images of each split."""
    classes: int
    """Number of training identities (or classes)."""


class UntrainableRowError(InputError):
    """A row that turns on no loss from which a network can learn identities or classes."""


def stages_of(
    row: Row, seed: int, data: DataIdentity, code: Mapping[str, str], weights_identity: str
) -> tuple[Stage, ...]:
    """The chain of stages that gives a row's numbers under one seed: its trainings, then an evaluation.

    A stage runs with those of its losses that the row turns on; see ``Recipe.trained_stages`` for those it skips.

    Args:
        row: The row, its recipe resolved.
        seed: The run's seed. It is part of every training and, through its parent only, of the evaluation.
        data: Identity of the data set that ``row.recipe.data`` names.
        code: Code digest by kind of stage, and by reference for each of a user's own losses; see ``code_identity``.
        weights_identity: What identifies the contents of the initial weights.

    Raises:
        UntrainableRowError: If the recipe skips every stage.
        InputError: If ``data`` lacks a split that the recipe needs.
    """
    recipe = row.recipe
    stages: list[Stage] = []
    for name in recipe.trained_stages():
        parent = stages[-1].fingerprint if stages else None
        settings = _train_settings(recipe, name, data, code, from_scratch=parent is None)
        settings["seed"] = seed
        if parent is None:
            settings["weights"] = weights_identity
        stages.append(_stage("train", name, settings, parent))
    if not stages:
        on = ", ".join(factor for factor, is_on in row.factors.items() if is_on) or "none"
        raise UntrainableRowError(
            f'row "{row.id}" trains nothing: no stage has a loss on that it needs or can learn from (softmax, triplet, '
            f"quadruplet, or a custom one with supervised: true); factors on: {on}"
        )
    settings = _evaluate_settings(recipe, data, code)
    return (*stages, _stage("evaluate", "evaluate", settings, stages[-1].fingerprint))


def images_of(stage: Stage, recipe: Recipe, data: DataIdentity) -> int:
    """Images that a stage takes through the network, for cost estimates."""
    share = recipe.data.held_out.share if recipe.data.held_out else None
    train = data.images.get("train", 0)
    if stage.kind == "train":
        return stage.epochs * round(train * (1.0 - (share or 0.0)))
    if share is not None:
        return round(train * share)
    return sum(data.images.get(split, 0) for split in _SCORED_SPLITS[recipe.evaluation.protocol])


def _stage(kind: Any, name: str, settings: Mapping[str, Any], parent: str | None) -> Stage:
    identity = fingerprint({"kind": kind, "settings": settings, "parent": parent})
    return Stage(identity, kind, name, settings, parent)


def _train_settings(
    recipe: Recipe, name: str, data: DataIdentity, code: Mapping[str, str], *, from_scratch: bool
) -> dict[str, Any]:
    spec, losses = recipe.stages[name], recipe.active_losses(name)
    settings = {
        "name": name,  # the sampler and the augmentation draw from it
        "code": code["train"],
        "data": _data_settings(recipe, data, ("train",)),
        "augment": recipe.augment.model_dump(),
        "model": _model_settings(recipe.model),
        "classifier": any(_reads_logits(loss, options) for loss, options in losses.items()),
        "losses": {loss: _loss_settings(options, code) for loss, options in losses.items()},
        "sampler": spec.sampler.model_dump(),
        "optimizer": _optimizer_settings(spec.optimizer, from_scratch=from_scratch),
        "schedule": _schedule_settings(spec.schedule),
        "epochs": spec.epochs,
        "arithmetic": _arithmetic_settings(recipe.arithmetic, trained=True),
    }
    if spec.last_epoch < spec.epochs:
        settings["stop_after"] = spec.last_epoch
    if _METRIC & losses.keys():
        settings["normalize_embeddings"] = recipe.losses.normalize_embeddings
    return settings


def _evaluate_settings(recipe: Recipe, data: DataIdentity, code: Mapping[str, str]) -> dict[str, Any]:
    return {
        "code": code["evaluate"],
        "data": _data_settings(recipe, data, _SCORED_SPLITS[recipe.evaluation.protocol], scored=True),
        "mean": recipe.augment.mean,
        "std": recipe.augment.std,
        "model": _model_settings(recipe.model),
        "evaluation": _evaluation_settings(recipe.evaluation),
        "arithmetic": _arithmetic_settings(recipe.arithmetic, trained=False),
    }


def _data_settings(
    recipe: Recipe, data: DataIdentity, splits: tuple[str, ...], *, scored: bool = False
) -> dict[str, Any]:
    """Fingerprints of the splits that a stage reads, and the size it reads them at.

    Held-out identities are scored out of the training split: the test splits stay out of such a stage altogether.
    """
    held_out = recipe.data.held_out
    if scored and held_out is not None:
        splits = ("train",)
    for split in splits:
        if split not in data.splits:
            raise InputError(
                f'data set {data.name} has no split "{split}", which '
                f"{'evaluation.protocol: ' + recipe.evaluation.protocol if scored else 'training'} needs; "
                f"it has {', '.join(sorted(data.splits)) or 'none'}"
            )
    settings: dict[str, Any] = {
        "splits": {split: data.splits[split] for split in splits},
        "height_px": recipe.data.height_px,
        "width_px": recipe.data.width_px,
    }
    if held_out is not None:
        settings["held_out"] = held_out.model_dump()
    return settings


def _model_settings(model: ModelSpec) -> dict[str, Any]:
    """The architecture: keyword arguments of the network. What stage 6 is not there to read is 1 for all."""
    return {
        "backbone": model.backbone,
        "output_stride": model.output_stride,
        "stage6": model.stage6,
        "stage6_dilation": model.stage6_dilation if model.stage6 else 1,
        "multi_level": model.multi_level,
        "embedding_dim": model.embedding_dim,
    }


def _loss_settings(spec: Spec, code: Mapping[str, str]) -> dict[str, Any]:
    if isinstance(spec, CustomLossSpec):
        return {**spec.model_dump(exclude={"supervised"}), "code": code[spec.implementation]}
    return spec.model_dump()


def _optimizer_settings(spec: OptimizerSpec, *, from_scratch: bool) -> dict[str, Any]:
    settings = spec.model_dump(exclude={"lr_from_scratch"} if spec.kind == "sgd" else {"lr_from_scratch", "momentum"})
    if from_scratch and spec.lr_from_scratch is not None:
        settings["lr"] = spec.lr_from_scratch
    return settings


def _schedule_settings(spec: ScheduleSpec) -> dict[str, Any]:
    return spec.model_dump(exclude=set() if spec.kind == "step" else {"every", "factor"})


def _arithmetic_settings(spec: ArithmeticSpec, *, trained: bool) -> dict[str, Any]:
    """Only a training is ever compiled."""
    return spec.model_dump(exclude=set() if trained and spec.compile else {"compile"})


def _evaluation_settings(spec: EvaluationSpec) -> dict[str, Any]:
    if spec.protocol == "classification":
        return {"protocol": spec.protocol}
    settings = spec.model_dump(exclude={"rerank"})
    if spec.rerank.enabled:
        settings["rerank"] = spec.rerank.model_dump(by_alias=True)
    return settings


def _reads_logits(name: str, spec: Spec) -> bool:
    """Whether a loss needs the classifier: softmax does, and a user's own loss whose module speaks of ``logits``."""
    if isinstance(spec, CustomLossSpec):
        return mentions(spec.implementation, "logits")
    return name == "softmax"
