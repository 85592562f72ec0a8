"""Cuts a recipe into its chain of stages, each with exactly the settings that can change its result.

Owns the rule "a factor that is off leaves no trace": a setting that nothing reads is not in a stage, so that rows which
differ in it alone share the stage. Refuses knowing what is stored already, and everything that cannot change a result
(names, paths, devices, worker counts).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from harness.code import mentions
from harness.errors import InputError
from harness.reid.layout import Named, name_of
from harness.reid.models.sources import is_own
from harness.reid.objectives import LIBRARY_LOSSES, ON_DISTANCES, CustomLossSpec
from harness.reid.optimisation import OptimizerSpec
from harness.reid.recipe import (
    ArithmeticSpec,
    EvaluationSpec,
    ModelSpec,
    Recipe,
    ShuffledSampler,
)
from harness.reid.spec import Spec
from harness.trainer import Inputs, StageSpec, UntrainableError

SCORED_SPLITS = {"market": ("query", "gallery"), "classification": ("test",)}
"""The splits that each protocol scores."""


CODE_ROOTS = {"train": "harness.reid.train.training", "evaluate": "harness.reid.train.scoring"}
"""The module whose code (and whatever it imports) decides a stage's result, by kind of stage."""
LIBRARY_ROOT = "harness.reid.losses.library"
"""Another such module, of the stages with a loss of pytorch-metric-learning."""
CLASSES = "classes"
"""Among the sizes of the inputs: the number of training identities or classes; every other size is a split's images."""


def stages_of(recipe: Recipe, seed: int, inputs: Inputs, weights_identity: str) -> tuple[StageSpec, ...]:
    """Returns the chain of stages that gives a run's numbers: its trainings, then an evaluation.

    A stage runs with those of its losses whose weight is above 0; see ``Recipe.trained_stages`` for those it skips.

    Args:
        recipe: The recipe of the row.
        seed: The run's seed. It is part of every training and, through its parent only, of the evaluation.
        inputs: The data sets of the table.
        weights_identity: What identifies the contents of the initial weights.

    Raises:
        UntrainableError: If the recipe skips every stage.
        InputError: If ``inputs`` lacks a split that the recipe needs.
    """
    trained, tested = set_of(inputs, recipe.data.trained_on), set_of(inputs, recipe.data.tested_on)
    stages: list[StageSpec] = []
    for name in recipe.trained_stages():
        settings = _train_settings(recipe, name, trained, from_scratch=not stages)
        settings["seed"] = seed
        if not stages:
            settings["weights"] = weights_identity
        stages.append(
            StageSpec(
                kind="train",
                name=name,
                settings=settings,
                code=(CODE_ROOTS["train"], *_own_network(recipe.model), *_implementations(recipe, name)),
                epochs=recipe.stages[name].last_epoch,
                amount=recipe.stages[name].last_epoch * _training_images(recipe, trained),
                alike=_alike(settings),
                memory_advice=_memory_advice(recipe, name),
                budget={"sampler": recipe.stages[name].sampler.model_dump()},
            )
        )
    if not stages:
        raise UntrainableError(NO_STAGE)
    settings = _evaluate_settings(recipe, trained, tested)
    evaluation = StageSpec(
        kind="evaluate",
        name="evaluate",
        settings=settings,
        code=(
            CODE_ROOTS["evaluate"],
            *_own_network(recipe.model),
            *sorted({own.implementation for own in recipe.evaluation.metrics.values()}),
        ),
        amount=_scored_images(recipe, trained, tested),
        alike=_alike(settings),
        memory_advice="run fewer workers on this device (--workers)",
    )
    return (*stages, evaluation)


NO_STAGE = (
    "trains nothing: no stage has a loss on that it needs or can learn from (any but sac, center and a custom "
    "loss with supervised: false)"
)


def set_of(inputs: Inputs, declared: Named) -> Inputs:
    """The part of a table's inputs that is a data set's; all of them where the table reads one set."""
    return next((one for one in inputs.sets if one.name == name_of(declared)), inputs)


def trained_set(inputs: Inputs, training: Mapping[str, Any]) -> Inputs:
    """The part of a table's inputs that a training stage with these settings reads."""
    read = training["data"]["splits"]["train"]
    return next((one for one in inputs.sets if one.contents.get("train") == read), inputs)


def _training_images(recipe: Recipe, trained: Inputs) -> int:
    share = recipe.data.held_out.share if recipe.data.held_out else 0.0
    return round(trained.sizes.get("train", 0) * (1.0 - share))


def _scored_images(recipe: Recipe, trained: Inputs, tested: Inputs) -> int:
    if recipe.data.held_out is not None:
        held_out = recipe.data.held_out
        return round(trained.sizes.get("train", 0) * held_out.share / (2 if held_out.part else 1))
    return sum(tested.sizes.get(split, 0) for split in SCORED_SPLITS[recipe.evaluation.protocol])


def _alike(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that decide the cost of an image, whatever the data, the seed or the learning rate."""
    read = {name: settings.get(name) for name in ("model", "classifier", "sampler", "arithmetic", "evaluation")}
    size = {name: settings["data"][name] for name in ("height_px", "width_px")}
    return {**read, "size": size, "losses": sorted(settings.get("losses", ()))}


def _memory_advice(recipe: Recipe, name: str) -> str:
    sampler, place = recipe.stages[name].sampler, f"stages.{name}.sampler"
    if isinstance(sampler, ShuffledSampler):
        batch = f"{place}.batch_size (now {sampler.batch_size})"
    else:
        batch = f"{place}.identities (now {sampler.identities} x {sampler.images} images)"
    return f"lower {batch}, set arithmetic.precision to bfloat16, or run fewer workers on this device (--workers)"


def _own_network(model: ModelSpec) -> Sequence[str]:
    """The reference to a user's own network, whose code decides what is trained and scored."""
    return [model.backbone] if is_own(model.backbone) else []


def _implementations(recipe: Recipe, stage: str) -> Sequence[str]:
    """References to the users' own losses that are on in a stage, and the library's module if it is used."""
    losses = recipe.active_losses(stage)
    own = sorted({loss.implementation for loss in losses.values() if isinstance(loss, CustomLossSpec)})
    return [*own, *[LIBRARY_ROOT] * bool(LIBRARY_LOSSES & losses.keys())]


def _train_settings(recipe: Recipe, name: str, trained: Inputs, *, from_scratch: bool) -> dict[str, Any]:
    spec, losses = recipe.stages[name], recipe.active_losses(name)
    settings = {
        "name": name,  # the sampler and the augmentation draw from it
        "data": _data_settings(recipe, trained, ("train",)),
        "augment": recipe.augment.model_dump(),
        "model": model_settings(recipe.model),
        "classifier": _trains_classifier(recipe, name),
        "losses": {loss: _loss_settings(options) for loss, options in losses.items()},
        "sampler": spec.sampler.model_dump(),
        "optimizer": _optimizer_settings(spec.optimizer, from_scratch=from_scratch),
        "schedule": spec.schedule.settings(),
        "epochs": spec.epochs,
        "arithmetic": _arithmetic_settings(recipe.arithmetic, trained=True),
    }
    if spec.last_epoch < spec.epochs:
        settings["stop_after"] = spec.last_epoch
    if ON_DISTANCES & losses.keys():
        settings["normalize_embeddings"] = recipe.losses.normalize_embeddings
    return settings


def _evaluate_settings(recipe: Recipe, trained: Inputs, tested: Inputs) -> dict[str, Any]:
    """Identities held out of training are those of the set that is trained on."""
    if recipe.data.held_out is not None:
        data = _data_settings(recipe, trained, ("train",), scored=True)
    else:
        data = _data_settings(recipe, tested, SCORED_SPLITS[recipe.evaluation.protocol], scored=True)
        if recipe.evaluation.protocol == "classification" and trained is not tested:
            data["classes"] = trained.contents["train"]
    return {
        "data": data,
        "mean": recipe.augment.mean,
        "std": recipe.augment.std,
        "model": model_settings(recipe.model),
        "evaluation": _evaluation_settings(recipe.evaluation),
        "arithmetic": _arithmetic_settings(recipe.arithmetic, trained=False),
    }


def _data_settings(recipe: Recipe, inputs: Inputs, splits: tuple[str, ...], *, scored: bool = False) -> dict[str, Any]:
    """Fingerprints of the splits that a stage reads, and the size it reads them at.

    Held-out identities are scored out of the training split: the test splits stay out of such a stage altogether.
    """
    held_out = recipe.data.held_out
    for split in splits:
        if split not in inputs.contents:
            raise InputError(
                f'data set {inputs.name} has no split "{split}", which '
                f"{'evaluation.protocol: ' + recipe.evaluation.protocol if scored else 'training'} needs; "
                f"it has {', '.join(sorted(inputs.contents)) or 'none'}"
            )
    settings: dict[str, Any] = {
        "splits": {split: inputs.contents[split] for split in splits},
        "height_px": recipe.data.height_px,
        "width_px": recipe.data.width_px,
    }
    if held_out is not None:
        unread = () if scored and held_out.part else ("part",)  # what is trained on is the same for each part
        settings["held_out"] = held_out.model_dump(exclude=set(unread))
    return settings


def model_settings(model: ModelSpec) -> dict[str, Any]:
    """The architecture: keyword arguments of the network. What stage 6 is not there to read is 1 for all."""
    pooling = {} if model.pooling == "average" else {"pooling": model.pooling}  # as before there was a choice
    options = {"options": dict(model.options)} if model.options else {}
    return {
        "backbone": model.backbone,
        "output_stride": model.output_stride,
        "stage6": model.stage6,
        "stage6_dilation": model.stage6_dilation if model.stage6 else 1,
        "multi_level": model.multi_level,
        "embedding_dim": model.embedding_dim,
        **pooling,
        **options,
    }


def _loss_settings(spec: Spec) -> dict[str, Any]:
    return spec.model_dump(exclude={"supervised"} if isinstance(spec, CustomLossSpec) else set())


def _optimizer_settings(spec: OptimizerSpec, *, from_scratch: bool) -> dict[str, Any]:
    settings = spec.settings()
    if from_scratch and spec.lr_from_scratch is not None:
        settings["lr"] = spec.lr_from_scratch
    return settings


def _arithmetic_settings(spec: ArithmeticSpec, *, trained: bool) -> dict[str, Any]:
    """Only a training is ever compiled."""
    return spec.model_dump(exclude=set() if trained and spec.compile else {"compile"})


def _evaluation_settings(spec: EvaluationSpec) -> dict[str, Any]:
    settings: dict[str, Any] = {"protocol": spec.protocol}
    if spec.protocol == "market":
        settings = spec.model_dump(exclude={"rerank", "metrics"})
        if spec.rerank.enabled:
            settings["rerank"] = spec.rerank.model_dump(by_alias=True)
    if spec.metrics:
        computed = {"implementation", "options"}
        settings["metrics"] = {key: own.model_dump(include=computed) for key, own in spec.metrics.items()}
    return settings


def lacks_classifier(recipe: Recipe) -> str:
    """Returns why a classification cannot be scored: the last stage leaves no classifier; empty if it can."""
    last = recipe.trained_stages()[-1]
    if recipe.evaluation.protocol != "classification" or _trains_classifier(recipe, last):
        return ""
    losses = ", ".join(recipe.active_losses(last))
    return (
        f"evaluation.protocol: classification needs a classifier, and stage {last} trains none ({losses}); add softmax"
    )


def _trains_classifier(recipe: Recipe, stage: str) -> bool:
    return any(_reads_logits(loss, options) for loss, options in recipe.active_losses(stage).items())


def _reads_logits(name: str, spec: Spec) -> bool:
    """Whether a loss needs the classifier: softmax does, and a user's own loss whose module speaks of ``logits``."""
    if isinstance(spec, CustomLossSpec):
        return mentions(spec.implementation, "logits")
    return name == "softmax"
