"""What every trainer promises to the harness, on each implementation of the door: see ``harness.trainer.Trainer``.

A trainer of another kind is held to the same by one more entry of ``CASES``.
"""

import json
import math
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from toy_tables import SCRIPT, Declare

from harness.api.prepare import Prepared, prepare
from harness.errors import InputError
from harness.execute import InProcessExecutor, Outcome
from harness.execute.slot import Slot
from harness.plan import Stage
from harness.plugins import load_object
from harness.trainer import Metric, Trainer
from harness.trainers.run import COSTS
from harness.units import UNITS, read_units

ABLATIONS = Path(__file__).parents[2] / "ablations"

STEADY = SCRIPT.replace('"loss": done', '"loss": gain')
"""The command whose numbers do not show that it went on from a checkpoint."""

NO_FACTORS: dict[str, Any] = {"factors": {}}
TINY = {
    "title": "A tiny table",
    "recipe": "recipes/market1501.yaml",
    "seeds": [0],
    "metrics": ["mAP", "rank1"],
    "rows": [{"id": "plain", "factors": ["Softmax"]}],
    "profiles": {
        "demo": {
            "set": {
                "data": {"height_px": 32, "width_px": 16},
                "model": {"embedding_dim": 16},
                "stages": {"classify": {"epochs": 2}},
            }
        }
    },
}


@dataclass(frozen=True)
class Case:
    """A trainer at toy size."""

    table: Path
    change: Mapping[str, Any]
    """A setting that the first stage reads."""
    options: Mapping[str, Any] = field(default_factory=dict)
    edit: Callable[[], object] | None = None
    """Changes the code of every stage; None where it is the harness's own."""

    def prepare(self, store: str = "store", **options: Any) -> Prepared:
        """The table's plan."""
        return prepare(self.table, store=store, **{**self.options, **options})


def function(folder: Path, declare: Declare) -> Case:
    def edit() -> None:
        path = folder / "toy.py"
        path.write_text(path.read_text().replace("0.1 * np.arange(4)", "0.2 * np.arange(4)"))

    return Case(declare(NO_FACTORS, **one_row()), {"gain": 0.9}, edit=edit)


def command(folder: Path, declare: Declare) -> Case:
    (folder / "script.py").write_text(STEADY)
    trainer = {"command": [sys.executable, "script.py", "{gain}", "{seed}"], "code": ["script.py"]}
    return Case(
        declare({"trainer": trainer, **NO_FACTORS}, **one_row()),
        {"gain": 0.9},
        edit=lambda: (folder / "script.py").write_text(STEADY.replace("0.01", "0.02")),
    )


def stages(folder: Path, declare: Declare) -> Case:
    chain = {
        "pretrain": {"function": "toy:pretrain", "reads": ["gain"]},
        "tune": {"function": "toy:tune", "reads": ["steps"]},
    }

    def edit() -> None:
        path = folder / "toy.py"
        path.write_text(path.read_text().replace("gain + settings.steps", "gain - settings.steps"))

    return Case(declare({"trainer": {"stages": chain}, **NO_FACTORS}, **one_row()), {"gain": 0.9}, edit=edit)


def paper(folder: Path, declare: Declare) -> Case:
    shutil.copytree(ABLATIONS / "recipes", folder / "recipes")
    (folder / "tiny.json.yaml").write_text(json.dumps(TINY))
    return Case(
        folder / "tiny.json.yaml", {"model.embedding_dim": 8}, {"profile": "demo", "data": folder / "photographs"}
    )


def one_row() -> dict[str, Any]:
    return {"rows": [{"id": "plain", "factors": []}], "claims": [], "seeds": [0]}


CLASS = """
from pydantic import BaseModel, ConfigDict

from harness.trainer import Metric, StageSpec, Trainer


class Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    gain: float = 0.5


class Mine(Trainer):
    settings = Settings
    work = "my_class:work"

    def metrics(self, settings):
        return {name: Metric(name, name.title(), percent=False) for name in ("score", "loss")}

    def stages(self, settings, seed, inputs):
        return [StageSpec("train", "run", {"gain": settings.gain, "seed": seed}, code=("my_class:work",))]


def work(task, emit):
    for step in (1, 2, 3):
        emit({"step": step, "steps": 3})
    return {"metrics": {"score": task.settings["gain"] + 0.01 * task.settings["seed"], "loss": 1.0}}
"""


def subclass(folder: Path, declare: Declare) -> Case:
    path = folder / "my_class.py"
    path.write_text(CLASS)
    table = declare({"trainer": "my_class:Mine", "metrics": {}, "settings": {"gain": 0.5}, **NO_FACTORS}, **one_row())
    return Case(table, {"gain": 0.9}, edit=lambda: path.write_text(CLASS.replace("0.01 *", "0.02 *")))


CASES = {"function": function, "command": command, "stages": stages, "subclass": subclass, "paper": paper}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest, folder: Path, declare: Declare, photographs: Path) -> Case:
    (folder / "photographs").symlink_to(photographs)
    return CASES[request.param](folder, declare)


def carry_out(prepared: Prepared, on_event: Callable[[Any], None] = lambda _: None) -> dict[str, Outcome]:
    with_threads = Slot("cpu", 1)
    executor = InProcessExecutor(prepared.store, with_threads)
    return executor.execute(prepared.plan.to_execute, prepared.trainer.work, prepared.context, on_event)


def chain(prepared: Prepared) -> list[Stage]:
    (run,) = prepared.plan.runs
    return [prepared.plan.stages[name] for name in run.stages]


def test_the_same_declaration_gives_the_same_stages_whatever_the_store(case: Case) -> None:
    first = case.prepare()
    again = case.prepare(store="another-store")
    assert [stage.fingerprint for stage in chain(first)] == [stage.fingerprint for stage in chain(again)]
    assert first.context != again.context or not any("store" in str(value) for value in first.context.values())
    json.dumps([dict(stage.settings) for stage in chain(first)])  # plain data
    json.dumps(first.context, default=str)


def test_a_seed_a_setting_and_the_code_change_the_identity(case: Case) -> None:
    def names(**options: Any) -> list[str]:
        return [stage.fingerprint for stage in chain(case.prepare(**options))]

    known = [names(), names(seeds=[1]), names(overrides=case.change)]
    if case.edit is not None:
        case.edit()
        known.append(names())
    last = [chain_of[-1] for chain_of in known]
    assert len(set(last)) == len(known), "the last stage is another for each"
    assert len({known[0][0], known[1][0], known[2][0]}) == 3, "so is the first, which reads the seed and the setting"


def test_code_that_is_edited_before_its_stages_begin_fails_them_and_the_next_plan_runs_it(case: Case) -> None:
    if case.edit is None:
        pytest.skip("its code is the harness's own")
    prepared = case.prepare()
    case.edit()
    outcomes = carry_out(prepared)
    reasons = [outcome.reason for outcome in outcomes.values() if outcome.status == "failed"]
    assert len(reasons) == 1, "the stage behind it does not begin"
    assert reasons[0].endswith("was changed after this run was planned; run the same command again")
    assert {outcome.status for outcome in carry_out(case.prepare()).values()} == {"succeeded"}


def test_every_column_is_measured_and_a_result_is_plain_data(case: Case) -> None:
    prepared = case.prepare()
    outcomes = carry_out(prepared)
    assert {outcome.status for outcome in outcomes.values()} == {"succeeded"}, outcomes
    last = chain(prepared)[-1].fingerprint
    result = outcomes[last].result
    assert result is not None
    declared = prepared.trainer.metrics(prepared.matrix.rows[0].recipe)
    assert set(prepared.matrix.metrics) <= set(result["metrics"])
    assert set(prepared.matrix.metrics) <= set(declared)
    assert all(isinstance(value, int | float) and math.isfinite(value) for value in result["metrics"].values())
    assert all(isinstance(metric, Metric) and metric.key == key for key, metric in declared.items())
    for outcome in outcomes.values():
        assert outcome.result is not None
        assert json.loads(json.dumps(outcome.result)) == outcome.result
        assert all(math.isfinite(float(outcome.result[cost])) for cost in COSTS if cost in outcome.result)
        assert outcome.result.get("seconds", 0) >= 0
        assert all(isinstance(note, str) for note in outcome.result.get("notes", ()))
    place = prepared.store.fetch(last)
    if (place / UNITS).exists():
        for name, values in read_units(place / UNITS).values.items():
            assert name not in declared or values.mean() == pytest.approx(result["metrics"][name])


def test_a_stage_that_is_interrupted_goes_on_to_the_same_numbers(case: Case) -> None:
    whole = case.prepare(store="whole")
    expected = carry_out(whole)
    prepared = case.prepare()
    seen = 0

    def interrupt(event: Any) -> None:
        nonlocal seen
        seen += event.kind == "progress" and "step" in event.detail
        if seen == 2:
            seen += 1
            raise KeyboardInterrupt

    try:
        carry_out(prepared, interrupt)
    except KeyboardInterrupt:
        prepared = case.prepare()
    outcomes = carry_out(prepared)
    last = chain(prepared)[-1].fingerprint
    ended, known = outcomes[last].result, expected[last].result
    assert ended is not None
    assert known is not None
    assert ended["metrics"] == known["metrics"]
    if not any("command" in stage.settings for stage in chain(prepared)):
        assert ended.get("steps") == known.get(
            "steps"
        )  # a command's log is read now and then: its last lines may be lost


def test_the_rest_of_the_door_answers_in_its_own_types(case: Case) -> None:
    prepared = case.prepare()
    trainer, settings = prepared.trainer, prepared.matrix.rows[0].recipe
    assert isinstance(trainer, Trainer)
    assert isinstance(settings, trainer.settings)
    assert callable(load_object(trainer.work))
    assert not trainer.probe or callable(load_object(trainer.probe))
    assert trainer.untrainable(settings) == ""
    assert all(isinstance(value, bool | int | float | str) for value in trainer.params(settings).values())
    stage_settings = [stage.settings for stage in chain(prepared)]
    assert all(isinstance(count, int) for count in trainer.costs(stage_settings, prepared.inputs).values())
    assert isinstance(trainer.dataset(settings.model_dump(by_alias=True)), str)


def test_held_out_data_is_another_identity_or_refused_in_a_sentence(case: Case) -> None:
    prepared = case.prepare()
    trainer, settings = prepared.trainer, prepared.matrix.rows[0].recipe
    if not case.options:
        with pytest.raises(InputError, match=r"held.out"):
            trainer.hold_out(settings, {}, "choose")
        return
    held = trainer.hold_out(settings, {"share": 0.4, "seed": 1}, "choose")
    known, other = (trainer.stages(each, 0, prepared.inputs) for each in (settings, held))
    assert [dict(spec.settings) for spec in known] != [dict(spec.settings) for spec in other]
