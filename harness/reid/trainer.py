"""The paper's trainer: what the method declares to the harness. Imports neither torch nor timm."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from pydantic import BaseModel

from harness.errors import InputError, SettingError
from harness.loaded import refresh
from harness.plugins import check_reference
from harness.reid.files import ATTENTION, PER_QUERY
from harness.reid.inputs import SYNTHETIC, SyntheticSpec, find_sets, named_sets, open_inputs, released_inputs, sets_of
from harness.reid.layout import LayoutSpec, name_of
from harness.reid.metrics import METRICS
from harness.reid.models.sources import (
    IMAGENET,
    NONE,
    is_own,
    plain_resnet,
    weights_anywhere,
    weights_file,
    weights_identity,
)
from harness.reid.objectives import LIBRARY_LOSSES, CustomLossSpec
from harness.reid.recipe import Recipe
from harness.reid.stages import CLASSES, NO_STAGE, lacks_classifier, stages_of, trained_set
from harness.trainer import Found, InputRequest, Inputs, Metric, Part, StageSpec, Trainer, UntrainableError

if TYPE_CHECKING:
    from harness.reid.trained import Trained


class ReidTrainer(Trainer):
    """Trains a network in stages of losses, then scores it by retrieval or classification."""

    settings = Recipe
    work = "harness.reid.train.stage:run_stage"
    probe = "harness.reid.train.probe:run_probe"
    synthetic = SyntheticSpec
    uniform = ("data.dataset", "evaluation.protocol", "evaluation.metrics")
    measuring = ("data", "evaluation")
    artifacts = (PER_QUERY, ATTENTION)

    def metrics(self, settings: BaseModel) -> Mapping[str, Metric]:
        """Returns the metrics of the recipe's evaluation protocol, and the user's own."""
        evaluation = _recipe(settings).evaluation
        own = {
            key: Metric(key, spec.title or key, spec.better, spec.unit == "percent", 1 if spec.unit == "percent" else 3)
            for key, spec in evaluation.metrics.items()
        }
        return {**METRICS[evaluation.protocol], **own}

    def stages(self, settings: BaseModel, seed: int, inputs: Inputs) -> Sequence[StageSpec]:
        """Returns the trainings of the recipe and their evaluation."""
        recipe = _prepared(_recipe(settings))
        return stages_of(recipe, seed, inputs, weights_identity(recipe.model.backbone, recipe.model.weights))

    def untrainable(self, settings: BaseModel) -> str:
        """Returns why no stage would be trained, or what a loss or a factor needs and is not there."""
        recipe = _recipe(settings)
        _check_metric_names(recipe)
        _check_references(recipe)
        if not recipe.trained_stages():
            return NO_STAGE
        wanted = sorted(LIBRARY_LOSSES & recipe.losses.active().keys())
        if wanted and find_spec("pytorch_metric_learning") is None:
            return (
                f"losses.{wanted[0]} needs pytorch-metric-learning, which is not installed; add the extra losses "
                "(uv sync --extra losses, or pip install 'ablation-harness[losses]')"
            )
        if reason := lacks_classifier(recipe):
            return reason
        model = recipe.model
        if is_own(model.backbone) and model.weights == IMAGENET:
            return f'model.weights: found "{IMAGENET}", which "{model.backbone}" does not have; write none or a path'
        if is_own(model.backbone) and model.preprocessing == "timm":
            message = f'found timm, which does not know "{model.backbone}"; write recipe and augment.mean'
            return f"model.preprocessing: {message}"
        if plain_resnet(model.backbone) and not model.options:  # fits every factor: nothing has to be imported
            return ""
        from harness.reid.models.fit import misfit

        return misfit(
            backbone=model.backbone,
            options=dict(model.options),
            size=(recipe.data.height_px, recipe.data.width_px),
            output_stride=model.output_stride,
            stage6=model.stage6,
            multi_level=model.multi_level,
            sac=any("sac" in recipe.active_losses(stage) for stage in recipe.trained_stages()),
            checkpoint_activations=model.checkpoint_activations,
        )

    def dataset(self, settings: Mapping[str, Any]) -> str:
        """Returns the name of the data set; of two, "the one trained on → the one tested on"."""
        return " → ".join(dict.fromkeys(map(name_of, sets_of(settings))))

    def misfit(self, settings: BaseModel, synthetic: BaseModel) -> tuple[str, str] | None:
        """A synthetic set has the layout of one data set; a reader or a layout of the user's own may read any."""
        data, made = _recipe(settings).data, cast(SyntheticSpec, synthetic)
        for key, found in (("train", data.trained_on), ("test", data.tested_on)):
            if isinstance(found, str) and found in SYNTHETIC and made.of(found) is None:
                layouts = " and ".join(f'"{one.layout}"' for one in made.made)
                message = f'found "{found}", but the profile makes a synthetic {layouts}; expected the same'
                return f"data.{key if getattr(data, key) is not None else 'dataset'}", message
        return None

    def find(
        self,
        settings: Sequence[Mapping[str, Any]],
        candidates: Sequence[Path],
        named: Mapping[str, Path],
        *,
        training_only: bool = False,
    ) -> Found:
        """Looks for each data set's folders where the user says it lies, or else in each candidate."""
        return find_sets(named_sets(settings, training_only=training_only), candidates, named)

    def release(self, settings: Sequence[Mapping[str, Any]]) -> Inputs | None:
        """Returns the counts of built-in data sets' releases."""
        return released_inputs(named_sets(settings))

    def inputs(self, request: InputRequest) -> Inputs:
        """Opens the data sets, after rendering synthetic ones where no folder was found."""
        return open_inputs([_recipe(one) for one in request.settings], request)

    def context(self, settings: Sequence[BaseModel], inputs: Inputs, cache: Path) -> dict[str, Any]:
        """Returns where images and weights lie, and whether activations are computed again."""
        recipes = [_recipe(one) for one in settings]
        models = [recipe.model for recipe in recipes]
        declared = {
            name_of(one): one.model_dump() if isinstance(one, LayoutSpec) else one
            for recipe in recipes
            for one in (recipe.data.trained_on, recipe.data.tested_on)
        }
        data = [
            {
                "dataset": declared.get(one.name, one.name),
                "root": str(one.root.absolute()) if one.root else "",  # a worker may run in another folder
                "contents": dict(one.contents),
                "sizes": dict(one.sizes),
            }
            for one in inputs.sets or (inputs,)
        ]
        return {
            "data": data,
            "inputs": {one.name: place["root"] for one, place in zip(inputs.sets or (inputs,), data, strict=True)},
            "cache": str(cache),
            "weights": {
                weights_identity(model.backbone, model.weights): weights_anywhere(model.weights) for model in models
            },
            "checkpoint_activations": any(model.checkpoint_activations for model in models),
        }

    def hold_out(self, settings: BaseModel, held_out: Mapping[str, Any], part: Part) -> BaseModel:
        """Returns the recipe with a share of the training identities held out: ``{share, seed}``; half is each part."""
        if "part" in held_out:
            raise InputError("found part, which the search sets: one half chooses, the other confirms")
        values = settings.model_dump(by_alias=True)
        return Recipe.model_validate({**values, "data": {**values["data"], "held_out": {**held_out, "part": part}}})

    def stops(self, settings: BaseModel, every: int) -> Mapping[int, Mapping[str, Any]]:
        """Where a recipe's last stage stops is one of its values: ``stages.NAME.stop_after``."""
        recipe = _recipe(settings)
        stage = recipe.trained_stages()[-1]
        last = recipe.stages[stage].last_epoch
        return {epoch: {f"stages.{stage}.stop_after": epoch} for epoch in range(every, last, every)} | {last: {}}

    def matched(self, settings: BaseModel, other: BaseModel) -> BaseModel:
        """Returns the recipe with the other's stages, each with those of its losses that the recipe turns on.

        For a row of softmax alone beside one with a metric loss: stage 2 is trained, too, on batches of identities and
        at its own learning rate, with the losses that stage 1 had. So all that differs is the metric loss.
        """
        own, wanted = _recipe(settings), _recipe(other)
        stages = wanted.trained_stages()
        if lacking := [stage for stage in own.trained_stages() if stage not in stages]:
            raise UntrainableError(f"it trains stage {' and '.join(lacking)}, which the other does not")
        added = [stage for stage in stages if stage not in own.trained_stages()]
        free = {stage: wanted.stages[stage].model_copy(update={"needs_one_of": []}) for stage in added}
        taken = {stage: wanted.stages[stage] for stage in stages} | free
        matched = own.model_copy(update={"stages": {**own.stages, **taken}})
        if silent := [stage for stage in stages if stage not in matched.trained_stages()]:
            raise UntrainableError(f"with its losses off, stage {' and '.join(silent)} has nothing to learn from")
        return matched

    def params(self, settings: BaseModel) -> Mapping[str, Any]:
        """Returns backbone, image size, epochs, margins and re-ranking."""
        recipe = _recipe(settings)
        params: dict[str, Any] = {
            "backbone": recipe.model.backbone,
            "image": f"{recipe.data.height_px}x{recipe.data.width_px}",
            "epochs": "+".join(str(recipe.stages[name].last_epoch) for name in recipe.trained_stages()),
        }
        if recipe.losses.quadruplet.weight > 0.0:
            params["epsilon1"] = recipe.losses.quadruplet.epsilon1
            params["epsilon2"] = recipe.losses.quadruplet.epsilon2
        if recipe.data.trained_on != recipe.data.tested_on:
            params["data"] = self.dataset(recipe.model_dump())
        if recipe.evaluation.rerank.enabled:
            params["rerank"] = "on"
        return params

    def load(self, settings: BaseModel, folders: Sequence[Path]) -> "Trained":
        """Returns the network that the row's last training stage left, with its preprocessing."""
        from harness.reid.trained import Trained

        return Trained(_prepared(_recipe(settings)), folders[-2])

    def cost_key(self, stages: Sequence[Mapping[str, Any]], inputs: Inputs) -> Any:
        """Returns the arguments of ``network_cost``: retrieval has no use for the classifier."""
        settings, trained = stages[-1], trained_set(inputs, stages[0])
        classes = trained.sizes[CLASSES] if settings["evaluation"]["protocol"] == "classification" else None
        size = {name: settings["data"][name] for name in ("height_px", "width_px")}
        return {**settings["model"], **size, "classes": classes}

    def costs(self, stages: Sequence[Mapping[str, Any]], inputs: Inputs) -> Mapping[str, int]:
        """Returns the network's parameters and multiply-adds of one image at test time."""
        from harness.reid.models import network_cost

        cost = network_cost(**self.cost_key(stages, inputs))
        return {"parameters": cost.parameters, "multiply_adds": cost.multiply_adds}


TRAINER = ReidTrainer()


def _recipe(settings: BaseModel) -> Recipe:
    assert isinstance(settings, Recipe)
    return settings


def _check_metric_names(recipe: Recipe) -> None:
    """Refuses a metric of the user's own that has a built-in one's name.

    The recipe's own checks leave this to the trainer: they are part of each training's code, which has no metrics.
    """
    for key in recipe.evaluation.metrics:
        if key in METRICS[recipe.evaluation.protocol]:
            message = f'"{key}" is a metric of the protocol {recipe.evaluation.protocol}; choose another name'
            raise SettingError(f"evaluation.metrics.{key}", message)


def _check_references(recipe: Recipe) -> None:
    """Looks for the user's own functions and file of weights: a wrong name shows before anything is trained.

    Raises:
        SettingError: If a reference or a path leads nowhere.
    """
    of_data = ((f"data.{key}", getattr(recipe.data, key)) for key in ("dataset", "train", "test"))
    references = {key: name for key, name in of_data if isinstance(name, str) and ":" in name}
    for name, loss in recipe.losses.active().items():
        if isinstance(loss, CustomLossSpec):
            references[f"losses.custom.{name}.implementation"] = loss.implementation
    for name, metric in recipe.evaluation.metrics.items():
        references[f"evaluation.metrics.{name}.implementation"] = metric.implementation
    for key, reference in references.items():
        try:
            check_reference(reference)
        except InputError as error:
            raise SettingError(key, str(error)) from error
        refresh((reference,))
    if is_own(recipe.model.backbone):
        with suppress(InputError):  # which says more where the network is built
            refresh((recipe.model.backbone,))
    if recipe.model.weights not in {IMAGENET, NONE}:
        weights_file(recipe.model.weights)


def _prepared(recipe: Recipe) -> Recipe:
    """The recipe with the backbone's own mean and standard deviation where it asks for timm's preprocessing."""
    if recipe.model.preprocessing == "recipe":
        return recipe
    from harness.reid.models.weights import preprocessing

    mean, std = preprocessing(recipe.model.backbone)
    return recipe.model_copy(update={"augment": recipe.augment.model_copy(update={"mean": mean, "std": std})})
