"""The trainer for a user's own code: a chain of steps, each a function or a command; usually one step.

Owns a step's identity: the settings that it reads, the seed, the contents of the declared inputs, its code. Refuses to
run a step: ``work`` does that, in a worker.
"""

import inspect
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from harness.errors import InputError, did_you_mean
from harness.formatting import first_line
from harness.loaded import load_current
from harness.trainer import PARTS, InputRequest, Inputs, Metric, Part, StageSpec, Trainer
from harness.trainers.contents import contents_digest
from harness.trainers.declared import Declared
from harness.trainers.placeholders import check_placeholders
from harness.trainers.settings import annotation_of, settings_for

WORK = "harness.trainers.work:run_step"
_SUMMED, _COMPARED = ("epochs", "steps", "iterations"), ("batch_size", "sampler")
"""Names of settings that a fair comparison keeps equal, if a user's code has them."""


@dataclass(frozen=True)
class Step:
    """One stage of a chain, as the recipe declares it."""

    name: str
    how: Mapping[str, Any]
    """``{"function": reference}`` or ``{"command": [...]}``."""
    code: tuple[str, ...]
    """References whose code, with all that it imports, is part of the step's identity."""
    files: tuple[str, ...]
    """Files and folders whose contents are part of it, too."""
    reads: tuple[str, ...] | None
    """The settings that it reads; None: all."""
    annotation: type | None = None
    """The type of a function's settings."""


def function_step(name: str, reference: str, files: tuple[str, ...], reads: tuple[str, ...] | None) -> Step:
    """Returns the step of a Python function ``package.module:name`` that takes ``(settings, run)``.

    Raises:
        InputError: If it does not exist, or takes other arguments.
    """
    function = load_current(reference)
    if not callable(function):
        raise InputError(f'"{reference}" is {type(function).__name__}, expected a function of (settings, run)')
    _check_arguments(reference, function)
    return Step(name, {"function": reference}, (reference,), files, reads, annotation_of(function))


def command_step(name: str, command: tuple[str, ...], files: tuple[str, ...], reads: tuple[str, ...] | None) -> Step:
    """Returns the step of a command with placeholders.

    Raises:
        InputError: If the program does not exist, or no code is named.
    """
    if "{" not in command[0] and _program(command[0]) is None:
        raise InputError(f'stage {name}: there is no program "{command[0]}" here (looked in {Path.cwd()} and on PATH)')
    if not files:
        raise InputError(f"stage {name}: expected code: the files and folders that decide what the command computes")
    return Step(name, {"command": list(command)}, (), files, reads)


def _budget(values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the settings of a step that a fair comparison keeps equal; see ``StageSpec.budget``."""
    return {
        **{name: values[name] for name in _SUMMED if isinstance(values.get(name), int | float)},
        **{name: str(values[name]) for name in _COMPARED if name in values},
    }


def _program(name: str) -> str | None:
    return sys.executable if name in {"python", "python3"} else shutil.which(name)


def _check_arguments(reference: str, function: Callable[..., Any]) -> None:
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return  # written in C: only the call can show
    try:
        signature.bind(None, None)
    except TypeError as error:
        raise InputError(f'"{reference}" takes {signature}, expected (settings, run): {error}') from None


class StepTrainer(Trainer):
    """Runs a user's steps; see the module."""

    work = WORK

    def __init__(
        self, steps: tuple[Step, ...], settings: type[BaseModel], metrics: Mapping[str, Metric], declared: Declared
    ) -> None:
        self.settings = settings
        self._steps = steps
        self._metrics = metrics
        self._declared = declared
        for step in steps:
            for name in step.reads or ():
                if name not in settings.model_fields:
                    known = did_you_mean(name, settings.model_fields)
                    raise InputError(f'stage {step.name}: reads "{name}", which is not a setting; {known}')
            if "command" in step.how:
                check_placeholders(step.how["command"], settings, self._read_by(step), step.name)

    def metrics(self, settings: BaseModel) -> Mapping[str, Metric]:  # noqa: ARG002
        """Returns the recipe's ``metrics:``."""
        return self._metrics

    def inputs(self, request: InputRequest) -> Inputs:  # noqa: ARG002
        """Returns digests of the declared inputs, relative to the recipe's folder, and of the steps' files of code."""
        contents = {
            name: contents_digest(self._declared.folder / name, f"inputs: {name}") for name in self._declared.inputs
        }
        code = {
            name: contents_digest(Path(name), f"stage {step.name}: code") for step in self._steps for name in step.files
        }
        return Inputs(contents=contents, code=code, root=self._declared.folder.absolute())

    def stages(self, settings: BaseModel, seed: int, inputs: Inputs) -> Sequence[StageSpec]:
        """Returns a stage for each step."""
        values = settings.model_dump(mode="json")
        return [
            StageSpec(
                kind="step",
                name=step.name,
                settings={
                    **step.how,
                    "settings": {name: values[name] for name in self._read_by(step)},
                    "files": {name: inputs.code[name] for name in step.files},
                    "inputs": dict(inputs.contents),
                    "seed": seed,
                    "metrics": list(self._metrics) if step is self._steps[-1] else [],
                },
                code=step.code,
                alike={"step": step.name, **step.how},
                memory_advice="run fewer workers on this device (--workers)",
                budget=_budget({name: values[name] for name in self._read_by(step)}),
            )
            for step in self._steps
        ]

    def context(self, settings: Sequence[BaseModel], inputs: Inputs, cache: Path) -> dict[str, Any]:  # noqa: ARG002
        """Returns the paths of the inputs, and the folder where commands run."""
        root = inputs.root or Path.cwd()
        places = {name: str((root / name).absolute()) for name in self._declared.inputs}
        return {"inputs": places, "working_folder": str(Path.cwd())}

    def load(self, settings: BaseModel, folders: Sequence[Path]) -> Path:  # noqa: ARG002
        """Returns the folder with the files that the last step kept."""
        from harness.trainers.run import KEPT

        return folders[-1] / KEPT

    def hold_out(self, settings: BaseModel, held_out: Mapping[str, Any], part: Part) -> BaseModel:  # noqa: ARG002
        """Overrides settings with the recipe's ``held_out:``: one patch, or ``{choose: patch, confirm: patch}``."""
        patch = self._declared.held_out
        if set(patch) == set(PARTS) and all(isinstance(each, Mapping) for each in patch.values()):
            patch = patch[part]
        if not patch:
            raise InputError(
                "the recipe declares no held_out: the settings with which its code scores on data held out of training"
            )
        values = deepcopy(settings.model_dump(mode="json"))
        for key, value in patch.items():
            inner, (*above, last) = values, key.split(".")
            for name in above:
                inner = inner.get(name, {}) if isinstance(inner, dict) else {}
            if last not in inner:
                raise InputError(f'held_out: "{key}" is not a setting; {did_you_mean(key, inner or values)}')
            inner[last] = value
        try:
            return self.settings.model_validate(values)
        except ValidationError as error:
            first = error.errors()[0]
            raise InputError(f"held_out: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None

    def untrainable(self, settings: BaseModel) -> str:
        """Returns the errors of the dataclass's or model's own validation of the settings."""
        values = settings.model_dump(mode="json")
        for step in self._steps:
            if step.annotation is not None:
                try:
                    settings_for({name: values[name] for name in self._read_by(step)}, step.annotation)
                except ValidationError as error:
                    first = error.errors()[0]
                    place = ".".join(map(str, first["loc"]))
                    return f"settings{place and '.'}{place}: {first['msg'].removeprefix('Value error, ')}"
                except Exception as error:
                    return f"settings: {step.annotation.__name__}: {first_line(error)}"
        return ""

    def params(self, settings: BaseModel) -> Mapping[str, Any]:
        """Returns the scalar settings."""
        return {
            name: value
            for name, value in settings.model_dump(mode="json").items()
            if isinstance(value, bool | int | float | str)
        }

    def _read_by(self, step: Step) -> tuple[str, ...]:
        return tuple(self.settings.model_fields) if step.reads is None else step.reads
