"""Loads the trainer that a recipe declares."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from harness.errors import InputError
from harness.loaded import load_current
from harness.trainer import Metric, Trainer
from harness.trainers.declared import Declared
from harness.trainers.settings import settings_model
from harness.trainers.steps import Step, StepTrainer, command_step, function_step


class _StepSpec(BaseModel):
    """One step of a chain: a function or a command."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    function: str | None = None
    command: list[str] | None = Field(default=None, min_length=1)
    code: list[str] = []
    """The files and folders that decide a command's result; for a function, those that it does not import."""
    reads: list[str] | None = None
    """The settings that the step reads; default: all."""


class _TrainerSpec(_StepSpec):
    """A trainer as a mapping: one step, or several."""

    stages: dict[str, _StepSpec] | None = Field(default=None, min_length=1)


def load_trainer(declared: Declared) -> Trainer:
    """Loads or creates the trainer that a recipe names.

    Raises:
        InputError: If it does not exist, or the recipe declares something that it does not use.
    """
    if isinstance(declared.spec, str):
        found = load_current(declared.spec)
        if isinstance(found, type) and issubclass(found, Trainer):
            found = found()
        if isinstance(found, Trainer):
            for name in ("metrics", "inputs", "held_out"):
                if getattr(declared, name):
                    raise InputError(f"{declared.spec} declares its own {name}; found {name}: in the recipe as well")
            return found
        return _steps(declared, {"run": function_step("run", declared.spec, (), None)})
    try:
        spec = _TrainerSpec.model_validate(declared.spec)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "trainer"
        raise InputError(
            f"{place}: {first['msg']}; expected a reference, {{command: [...]}} or {{stages: ...}}"
        ) from None
    if spec.stages is None:
        return _steps(declared, {"run": _step("run", spec)})
    if spec.function or spec.command:
        raise InputError("found stages beside a function or a command, expected one of them")
    return _steps(declared, {name: _step(name, step) for name, step in spec.stages.items()})


def _step(name: str, spec: _StepSpec) -> Step:
    if (spec.function is None) == (spec.command is None):
        raise InputError(f"stage {name}: expected either a function or a command")
    reads = None if spec.reads is None else tuple(spec.reads)
    if spec.function is not None:
        return function_step(name, spec.function, tuple(spec.code), reads)
    return command_step(name, tuple(spec.command or ()), tuple(spec.code), reads)


def _steps(declared: Declared, steps: Mapping[str, Step]) -> Trainer:
    if not declared.metrics:
        raise InputError("expected metrics: the recipe declares none, and a function or a command cannot")
    metrics = {key: metric_from(key, spec) for key, spec in declared.metrics.items()}
    model = settings_model(declared.settings, [step.annotation for step in steps.values()])
    return StepTrainer(tuple(steps.values()), model, metrics, declared)


def metric_from(key: str, spec: Any) -> Metric:
    """Returns the metric that a recipe declares; ``spec`` has ``title``, ``better``, ``unit`` and ``decimals``."""
    percent = spec.unit == "percent"
    decimals = spec.decimals if spec.decimals is not None else 1 if percent else 3
    return Metric(key, spec.title or key, spec.better, percent, decimals)
