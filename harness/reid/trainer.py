"""The paper's trainer: what the method declares at the harness's door. Imports neither torch nor timm."""

import json
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

from pydantic import BaseModel, Field

from harness.errors import InputError
from harness.reid.data import label_map, open_dataset, split_fingerprint
from harness.reid.data.dataset import Dataset
from harness.reid.data.known import find_datasets, name_of, release_counts
from harness.reid.data.readers import Named
from harness.reid.files import ATTENTION, PER_QUERY
from harness.reid.metrics import METRICS
from harness.reid.models.sources import IMAGENET, is_own, plain_resnet, weights_anywhere, weights_identity
from harness.reid.objectives import LIBRARY_LOSSES
from harness.reid.recipe import Recipe
from harness.reid.spec import Spec
from harness.reid.stages import CLASSES, NO_STAGE, lacks_classifier, stages_of
from harness.trainer import InputRequest, Inputs, Metric, Part, StageSpec, Trainer, UntrainableError

if TYPE_CHECKING:
    from harness.reid.trained import Trained

_MAX_SEED = 2**32 - 1
SYNTHETIC = ("market1501", "dukemtmc-reid", "cifar100")
"""The data sets whose layout a profile can make."""


class SyntheticSpec(Spec):
    """The synthetic data set of a profile, rendered when the user names no folder."""

    layout: Literal["market1501", "dukemtmc-reid", "cifar100"]
    identities: Annotated[int, Field(gt=0)]
    seed: Annotated[int, Field(ge=0, le=_MAX_SEED)] = 0


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
            return f'model.weights: found "{IMAGENET}", which "{model.backbone}" has not; write none or a file\'s path'
        if is_own(model.backbone) and model.preprocessing == "timm":
            return f'model.preprocessing: found timm, which knows no "{model.backbone}"; write recipe and augment.mean'
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
        """Returns the name of ``data.dataset``."""
        return " → ".join(dict.fromkeys(map(name_of, _named(settings))))

    def misfit(self, settings: BaseModel, synthetic: BaseModel) -> tuple[str, str] | None:
        """A synthetic set has the layout of one data set; a reader or a layout of the user's own may read any."""
        dataset, layout = _recipe(settings).data.dataset, cast(SyntheticSpec, synthetic).layout
        if dataset == layout or not isinstance(dataset, str) or dataset not in SYNTHETIC:
            return None
        return "data.dataset", f'found "{dataset}", but the profile makes a synthetic "{layout}"; expected the same'

    def find(
        self, settings: Sequence[Mapping[str, Any]], candidates: Sequence[Path]
    ) -> tuple[Path | None, Sequence[Path]]:
        """Looks for the data set's folders in each candidate."""
        return find_datasets([name for row in settings for name in _named(row)], candidates)

    def release(self, settings: Sequence[Mapping[str, Any]]) -> Inputs | None:
        """Returns the counts of a built-in data set's release."""
        (name, *others) = {_key(name): name for row in settings for name in _named(row)}.values()
        counts = release_counts(name)
        if counts is None or others:
            return None
        sizes = {split: images for split, (images, _) in counts.items()}
        contents = dict.fromkeys(counts, "unknown")
        return Inputs(name_of(name), contents, {**sizes, CLASSES: counts["train"][1]}, assumed=True)

    def inputs(self, request: InputRequest) -> Inputs:
        """Opens the data set, after rendering a synthetic one where no folder is given."""
        name, root, made = _recipe(request.settings[0]).data.dataset, request.root, ""
        if root is None:
            spec = cast(SyntheticSpec, request.synthetic)
            if not isinstance(name, str) or (name != spec.layout and ":" not in name):
                called = name_of(name)
                message = f'the profile makes a synthetic "{spec.layout}", which is no {called}'
                raise InputError(f"data.dataset: {message}; name the folder of {called} with --data DIR")
            root = _render(spec, request)
        dataset = open_dataset(name, root, splits=("train",) if request.training_only else None)
        if dataset.synthetic:
            made = "synthetic"
            if request.root is None:
                spec = cast(SyntheticSpec, request.synthetic)
                kind = "classes" if spec.layout == "cifar100" else "identities"
                made = f"synthetic, {spec.identities} {kind}, seed {spec.seed}"
        return identify(dataset, request.store / "cache" / "index", made)

    def context(self, settings: Sequence[BaseModel], inputs: Inputs, cache: Path) -> dict[str, Any]:
        """Returns where images and weights lie, and whether activations are computed again."""
        models = [_recipe(one).model for one in settings]
        root = str(inputs.root.absolute()) if inputs.root else ""  # a worker may run in another folder
        return {
            "dataset": _recipe(settings[0]).data.model_dump()["dataset"] if settings else inputs.name,
            "root": root,
            "inputs": {inputs.name: root},
            "cache": str(cache),
            "weights": {
                weights_identity(model.backbone, model.weights): weights_anywhere(model.weights) for model in models
            },
            "checkpoint_activations": any(model.checkpoint_activations for model in models),
            "sizes": dict(inputs.sizes),
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
        if recipe.evaluation.rerank.enabled:
            params["rerank"] = "on"
        return params

    def load(self, settings: BaseModel, folders: Sequence[Path]) -> "Trained":
        """Returns the network that the row's last training stage left, with its preprocessing."""
        from harness.reid.trained import Trained

        return Trained(_prepared(_recipe(settings)), folders[-2])

    def cost_key(self, stages: Sequence[Mapping[str, Any]], inputs: Inputs) -> Any:
        """Returns the arguments of ``network_cost``: retrieval has no use for the classifier."""
        settings = stages[-1]
        classes = inputs.sizes[CLASSES] if settings["evaluation"]["protocol"] == "classification" else None
        size = {name: settings["data"][name] for name in ("height_px", "width_px")}
        return {**settings["model"], **size, "classes": classes}

    def costs(self, stages: Sequence[Mapping[str, Any]], inputs: Inputs) -> Mapping[str, int]:
        """Returns the network's parameters and multiply-adds of one image at test time."""
        from harness.reid.models import network_cost

        cost = network_cost(**self.cost_key(stages, inputs))
        return {"parameters": cost.parameters, "multiply_adds": cost.multiply_adds}


TRAINER = ReidTrainer()


def identify(dataset: Dataset, index: Path, made: str = "") -> Inputs:
    """Returns contents and counts of the splits of an opened data set; ``index`` remembers files' fingerprints."""
    sizes = {name: len(split) for name, split in dataset.splits.items()}
    return Inputs(
        name=dataset.name,
        contents={name: split_fingerprint(split, dataset.root, index) for name, split in dataset.splits.items()},
        sizes={**sizes, CLASSES: len(label_map(dataset.splits["train"].identities))},
        root=dataset.root,
        made=made,
        notes=dataset.notes,
    )


def synthetic_place(synthetic: SyntheticSpec, store: Path) -> Path:
    """Returns where a store keeps a profile's synthetic data set."""
    from harness.reid.data.synthetic import GENERATOR_VERSION

    name = f"{synthetic.layout}-{synthetic.identities}-seed{synthetic.seed}-v{GENERATOR_VERSION}"
    return store / "data" / name


def _render(synthetic: SyntheticSpec, request: InputRequest) -> Path:
    """Makes the profile's synthetic data set once; finds it again afterwards."""
    from harness.reid.data.synthetic import make

    return make(
        synthetic.layout,
        synthetic_place(synthetic, request.store),
        identities=synthetic.identities,
        seed=synthetic.seed,
        progress=lambda done, total: request.progress("rendering the synthetic data set", done, total),
    )


def _named(settings: Mapping[str, Any]) -> list[Named]:
    """The data sets that settings name, not yet validated."""
    data = settings.get("data")
    name = data.get("dataset") if isinstance(data, Mapping) else None
    return [name] if isinstance(name, str | Mapping) else []


def _key(name: Named) -> str:
    """The identity of a data set."""
    return name if isinstance(name, str) else json.dumps(name, sort_keys=True)


def _recipe(settings: BaseModel) -> Recipe:
    assert isinstance(settings, Recipe)
    return settings


def _prepared(recipe: Recipe) -> Recipe:
    """The recipe with the backbone's own mean and standard deviation where it asks for timm's preprocessing."""
    if recipe.model.preprocessing == "recipe":
        return recipe
    from harness.reid.models.weights import preprocessing

    mean, std = preprocessing(recipe.model.backbone)
    return recipe.model_copy(update={"augment": recipe.augment.model_copy(update={"mean": mean, "std": std})})
