"""Cutting a recipe into stages: what is in a stage's identity, and what leaves no trace in it."""

from pathlib import Path
from typing import Any

import pytest
from plan_tables import DATA, TABLE1, code, recipe

from harness.code import reached_modules
from harness.errors import InputError
from harness.plan import Stage
from harness.reid.stages import CODE_ROOTS, stages_of
from harness.reid.trainer import TRAINER
from harness.trainer import Inputs, UntrainableError


def chain(
    factors: tuple[str, ...],
    patch: dict[str, Any] | None = None,
    seed: int = 0,
    data: Inputs = DATA,
    weights_identity: str = "w" * 32,
) -> list[Stage]:
    stages: list[Stage] = []
    for spec in stages_of(recipe(factors, patch), seed, data, weights_identity):
        stages.append(Stage.of(spec, code(spec.code), stages[-1].fingerprint if stages else None))
    return stages


def flat(value: Any, path: str = "") -> dict[str, Any]:
    if isinstance(value, dict):
        return {key: item for name in value for key, item in flat(value[name], f"{path}.{name}".lstrip(".")).items()}
    return {path: value}


def changed(left: Stage, right: Stage) -> set[str]:
    """Dotted settings in which two stages differ."""
    a, b = flat(dict(left.settings)), flat(dict(right.settings))
    return {key for key in a.keys() | b.keys() if a.get(key) != b.get(key) or (key in a) != (key in b)}


FULL = ("Softmax", "Quadruplet", "DIL", "SAC", "Multi")


def test_each_stage_starts_from_the_one_before() -> None:
    classify, metric, evaluate = chain(FULL)
    assert [stage.name for stage in (classify, metric, evaluate)] == ["classify", "metric", "evaluate"]
    assert (classify.parent, metric.parent, evaluate.parent) == (None, classify.fingerprint, metric.fingerprint)


def test_a_new_metric_or_data_set_changes_no_trainings_identity() -> None:
    covered = {name: reached_modules((CODE_ROOTS[name],)) for name in ("train", "evaluate")}
    unread = {"harness.reid.metrics", "harness.reid.evaluate.result", "harness.reid.data.known", "harness.reid.trainer"}
    assert not unread & covered["train"].keys()
    assert "harness.reid.metrics" in covered["evaluate"]


@pytest.mark.parametrize(
    ("row_id", "names"),
    [("1", ["classify"]), ("2", ["metric"]), ("3", ["classify", "metric"]), ("6", ["classify"]), ("7", ["metric"])],
)
def test_a_stage_without_a_loss_that_it_needs_is_skipped(row_id: str, names: list[str]) -> None:
    assert [stage.name for stage in chain(TABLE1[row_id])] == [*names, "evaluate"]


def test_a_stage_that_starts_from_scratch_takes_its_own_learning_rate_and_the_weights() -> None:
    alone, (_, after, _) = chain(("Quadruplet",))[0], chain(("Softmax", "Quadruplet"))
    assert (alone.settings["optimizer"]["lr"], after.settings["optimizer"]["lr"]) == (0.1, 0.0001)
    assert alone.settings["weights"] == "w" * 32
    assert "weights" not in after.settings
    assert "lr_from_scratch" not in alone.settings["optimizer"].keys() | after.settings["optimizer"].keys()


def test_only_losses_that_are_on_appear_with_their_own_parameters() -> None:
    classify, metric, _ = chain(FULL)
    assert classify.settings["losses"] == {"softmax": {"weight": 1.0, "label_smoothing": 0.0}, "sac": {"weight": 1.0}}
    assert set(metric.settings["losses"]) == {"softmax", "quadruplet", "sac"}
    assert metric.settings["losses"]["quadruplet"] == {"weight": 1.0, "epsilon1": 0.5, "epsilon2": 0.2}


@pytest.mark.parametrize(
    ("factors", "patch"),
    [
        (("Softmax",), {"losses": {"quadruplet": {"epsilon1": 0.9}}}),
        (("Softmax",), {"losses": {"triplet": {"epsilon": 0.9}}}),
        (("Softmax",), {"losses": {"normalize_embeddings": True}}),
        (("Softmax",), {"model": {"stage6_dilation": 4}}),
        (("Softmax",), {"stages": {"metric": {"epochs": 99}}}),
        (("Softmax",), {"stages": {"classify": {"optimizer": {"lr_from_scratch": 0.1}}}}),
        (("Softmax",), {"evaluation": {"rerank": {"k1": 9}}}),
        (("Softmax",), {"losses": {"custom": {"mine": {"implementation": "nowhere:loss"}}}}),
        (("Quadruplet",), {"losses": {"softmax": {"label_smoothing": 0.1}}}),
        (("Quadruplet",), {"stages": {"classify": {"epochs": 99}}}),
    ],
)
def test_what_nothing_reads_leaves_no_trace(factors: tuple[str, ...], patch: dict[str, Any]) -> None:
    assert chain(factors, patch) == chain(factors)


@pytest.mark.parametrize(
    ("base", "factor", "expected"),
    [
        (("Softmax",), "Multi", {"model.multi_level"}),
        (("Softmax",), "DIL", {"model.output_stride", "model.stage6", "model.stage6_dilation"}),
        (("Softmax", "DIL"), "SAC", {"losses.sac.weight"}),
        (("DIL", "SAC"), "Softmax", None),
    ],
)
def test_a_factor_changes_exactly_the_settings_that_it_patches(
    base: tuple[str, ...], factor: str, expected: set[str] | None
) -> None:
    if expected is None:
        with pytest.raises(UntrainableError):
            chain(base)
        return
    off, on = chain(base), chain((*base, factor))
    assert changed(off[0], on[0]) == expected
    assert changed(off[-1], on[-1]) == {key for key in expected if key.startswith("model.")}


def test_a_metric_loss_in_stage_2_leaves_stage_1_alone() -> None:
    softmax, quadruplet, triplet = (chain(TABLE1[name])[0] for name in ("1", "3", "3(T)"))
    assert softmax.fingerprint == quadruplet.fingerprint == triplet.fingerprint


def test_the_classifier_is_there_for_softmax_alone() -> None:
    assert [stage.settings["classifier"] for stage in chain(("Softmax", "Quadruplet"))[:-1]] == [True, True]
    assert chain(("Quadruplet",))[0].settings["classifier"] is False


@pytest.mark.parametrize(
    ("patch", "stage", "expected"),
    [
        ({"data": {"height_px": 96}}, "both", {"data.height_px"}),
        ({"augment": {"flip": 0.0}}, "train", {"augment.flip"}),
        ({"augment": {"mean": [0.0, 0.0, 0.0]}}, "both", {"augment.mean", "mean"}),
        ({"model": {"embedding_dim": 8}}, "both", {"model.embedding_dim"}),
        ({"stages": {"classify": {"schedule": {"every": 2}}}}, "train", {"schedule.every"}),
        ({"stages": {"classify": {"optimizer": {"momentum": 0.5}}}}, "train", {"optimizer.momentum"}),
        ({"stages": {"classify": {"epochs": 5}}}, "train", {"epochs"}),
        ({"arithmetic": {"tf32": True}}, "both", {"arithmetic.tf32"}),
        ({"arithmetic": {"compile": True}}, "train", {"arithmetic.compile"}),
        ({"model": {"checkpoint_activations": True}}, "neither", set()),
        ({"evaluation": {"metric": "cosine"}}, "evaluate", {"evaluation.metric"}),
    ],
)
def test_what_can_change_the_result_is_in_the_stage_that_reads_it(
    patch: dict[str, Any], stage: str, expected: set[str]
) -> None:
    (train, evaluate), (other_train, other_evaluate) = chain(("Softmax",)), chain(("Softmax",), patch)
    both = changed(train, other_train) | changed(evaluate, other_evaluate)
    assert both == expected
    assert (train.fingerprint != other_train.fingerprint) == (stage in ("train", "both"))
    assert (evaluate.fingerprint != other_evaluate.fingerprint) == (stage != "neither")


def test_compiling_leaves_no_trace_unless_it_is_on_and_none_in_an_evaluation() -> None:
    on = chain(("Softmax",), {"arithmetic": {"compile": True}})
    assert on[0].settings["arithmetic"]["compile"] is True
    assert "compile" not in on[-1].settings["arithmetic"]
    assert "compile" not in chain(("Softmax",))[0].settings["arithmetic"]


def test_optimisers_and_schedules_keep_only_what_they_use() -> None:
    adam = {"stages": {"classify": {"optimizer": {"kind": "adam"}, "schedule": {"kind": "cosine"}}}}
    settings = chain(("Softmax",), adam)[0].settings
    assert "momentum" not in settings["optimizer"]
    assert set(settings["schedule"]) == {"kind", "warmup_epochs"}


def test_re_ranking_appears_once_it_is_on_and_shares_the_training() -> None:
    plain, reranked = chain(("Softmax",)), chain(("Softmax",), {"evaluation": {"rerank": {"enabled": True}}})
    assert plain[0] == reranked[0]
    assert "rerank" not in plain[-1].settings["evaluation"]
    assert reranked[-1].settings["evaluation"]["rerank"] == {"enabled": True, "k1": 20, "k2": 6, "lambda": 0.3}


def test_the_seed_is_in_the_training_and_reaches_the_evaluation_through_its_parent() -> None:
    (train, evaluate), (other_train, other_evaluate) = chain(("Softmax",)), chain(("Softmax",), seed=1)
    assert changed(train, other_train) == {"seed"}
    assert changed(evaluate, other_evaluate) == set()
    assert evaluate.fingerprint != other_evaluate.fingerprint


def test_data_and_weights_are_part_of_the_identity() -> None:
    base = chain(("Softmax",))
    gallery = Inputs("x", {**DATA.contents, "gallery": "d" * 32}, DATA.sizes)
    assert chain(("Softmax",), weights_identity="v" * 32)[0] != base[0]
    assert chain(("Softmax",), data=gallery)[0] == base[0]
    assert chain(("Softmax",), data=gallery)[-1] != base[-1]


def test_names_and_counts_of_the_data_are_not_part_of_the_identity() -> None:
    renamed = Inputs("renamed", DATA.contents, {"train": 1, "query": 1, "gallery": 1})
    names = [stage.fingerprint for stage in chain(FULL)]
    assert [stage.fingerprint for stage in chain(FULL, data=renamed)] == names


TWO = Inputs(
    "market1501, duke",
    {},
    sets=(
        DATA,
        Inputs("dukemtmc-reid", {name: name[0].upper() * 32 for name in ("train", "query", "gallery")}, {"query": 7}),
    ),
)
"""Two data sets in one table."""


def test_rows_that_differ_in_the_test_set_alone_share_all_trainings() -> None:
    within, across = chain(FULL, data=TWO), chain(FULL, {"data": {"test": "dukemtmc-reid"}}, data=TWO)
    assert [stage.fingerprint for stage in across[:-1]] == [stage.fingerprint for stage in within[:-1]]
    assert changed(within[-1], across[-1]) == {"data.splits.query", "data.splits.gallery"}
    assert across[-1].settings["data"]["splits"] == {"query": "Q" * 32, "gallery": "G" * 32}
    assert across[-1].amount == 7
    assert [stage.fingerprint for stage in within] == [
        stage.fingerprint for stage in chain(FULL)
    ]  # as in its own table


def test_rows_that_train_on_another_set_share_nothing() -> None:
    within, across = chain(FULL, data=TWO), chain(FULL, {"data": {"train": "dukemtmc-reid"}}, data=TWO)
    assert not {stage.fingerprint for stage in within} & {stage.fingerprint for stage in across}
    assert changed(within[0], across[0]) == {"data.splits.train"}
    assert changed(within[-1], across[-1]) == set()  # it differs in its parent


def test_held_out_identities_are_those_of_the_set_that_is_trained_on() -> None:
    held_out = {"held_out": {"share": 0.25, "seed": 3}}
    within = chain(("Softmax",), {"data": held_out}, data=TWO)
    across = chain(("Softmax",), {"data": {**held_out, "test": "dukemtmc-reid"}}, data=TWO)
    assert [stage.fingerprint for stage in within] == [stage.fingerprint for stage in across]


def test_a_classification_on_another_set_names_the_classes_it_was_trained_on() -> None:
    sets = [
        Inputs(name, {part: f"{name} {part}" for part in ("train", "test")}, {}) for name in ("cifar10", "cifar100")
    ]
    both = Inputs("cifar10, cifar100", sets=tuple(sets))
    patch = {"data": {"dataset": "cifar10"}, "evaluation": {"protocol": "classification"}}
    within = chain(("Softmax",), patch, data=both)
    assert "classes" not in within[-1].settings["data"]
    across = chain(("Softmax",), {**patch, "data": {"dataset": "cifar10", "test": "cifar100"}}, data=both)
    assert across[-1].settings["data"]["classes"] == "cifar10 train"
    assert changed(within[-1], across[-1]) == {"data.splits.test", "data.classes"}


def test_held_out_identities_are_scored_out_of_the_training_split_alone() -> None:
    train_only = Inputs("m", {"train": "a" * 32}, {"train": 100})
    held_out = {"data": {"held_out": {"share": 0.25, "seed": 3}}}
    train, evaluate = chain(("Softmax",), held_out, data=train_only)
    for stage in (train, evaluate):
        assert stage.settings["data"]["splits"] == {"train": "a" * 32}
        assert stage.settings["data"]["held_out"] == {"share": 0.25, "seed": 3}
    assert train.amount == 4 * 75  # epochs x the identities kept
    assert evaluate.amount == 25


def test_the_parts_of_a_search_share_their_training_and_are_scored_apart() -> None:
    train_only = Inputs("m", {"train": "a" * 32}, {"train": 100})
    parts = {
        part: chain(("Softmax",), {"data": {"held_out": {"share": 0.25, "seed": 3, "part": part}}}, data=train_only)
        for part in ("choose", "confirm")
    }
    plain = chain(("Softmax",), {"data": {"held_out": {"share": 0.25, "seed": 3}}}, data=train_only)
    assert len({stages[0].fingerprint for stages in (*parts.values(), plain)}) == 1
    assert len({stages[1].fingerprint for stages in (*parts.values(), plain)}) == 3
    for part, (_, evaluate) in parts.items():
        assert evaluate.settings["data"]["held_out"] == {"share": 0.25, "seed": 3, "part": part}
        assert evaluate.amount == 12  # half of 25


def test_a_missing_split_is_named_with_what_needs_it() -> None:
    data = Inputs("mine", {"train": "a"})
    with pytest.raises(InputError, match=r'mine has no split "query", which evaluation.protocol: market needs'):
        chain(("Softmax",), data=data)


def test_classification_reads_the_test_split_and_no_retrieval_settings() -> None:
    data = Inputs("cifar100", {"train": "a", "test": "b"}, {"train": 10, "test": 5})
    patch = {"evaluation": {"protocol": "classification"}}
    evaluate = chain(("Softmax",), patch, data=data)[-1]
    assert evaluate.settings["data"]["splits"] == {"test": "b"}
    assert evaluate.settings["evaluation"] == {"protocol": "classification"}
    assert evaluate.amount == 5


def test_a_classification_whose_last_stage_leaves_no_classifier_is_refused() -> None:
    """Quadruplet brings the stage ``metric``, which alone reads no logits; softmax in it does."""
    patch = {"evaluation": {"protocol": "classification"}}
    refused = TRAINER.untrainable(recipe(("Quadruplet",), patch))
    assert refused == (
        "evaluation.protocol: classification needs a classifier, and stage metric trains none (quadruplet); add softmax"
    )
    assert TRAINER.untrainable(recipe(("Softmax",), patch)) == ""
    assert TRAINER.untrainable(recipe(("Quadruplet",))) == ""  # retrieval has no use for one


def test_a_recipe_without_a_loss_to_learn_from_is_refused() -> None:
    for factors in (("Multi",), ()):
        with pytest.raises(UntrainableError, match="trains nothing: no stage has a loss on"):
            chain(factors)


def test_what_to_lower_when_memory_runs_out_names_the_stages_own_batch() -> None:
    classify, metric, _ = chain(("Softmax", "Quadruplet"))
    assert "stages.classify.sampler.batch_size (now 16)" in classify.memory_advice
    assert "stages.metric.sampler.identities (now 4 x 4 images)" in metric.memory_advice


def test_a_users_own_loss_brings_its_code_and_its_need_of_logits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plan_toy_loss.py").write_text("def smooth(output, labels): return output.logits\n")
    (tmp_path / "plan_toy_pull.py").write_text("def pull(output, labels): return output.embedding\n")

    def patch(reference: str, **more: Any) -> dict[str, Any]:
        custom = {"implementation": reference, "weight": 0.5, "options": {"k": 3}, **more}
        return {"losses": {"custom": {"mine": custom}}, "stages": {"classify": {"losses": ["softmax", "mine"]}}}

    smooth = chain((), patch("plan_toy_loss:smooth"))[0]
    pull = chain((), patch("plan_toy_pull:pull"))[0]
    assert smooth.code == (CODE_ROOTS["train"], "plan_toy_loss:smooth")
    assert (smooth.settings["classifier"], pull.settings["classifier"]) == (True, False)
    assert smooth.settings["losses"]["mine"] == {
        "implementation": "plan_toy_loss:smooth",
        "weight": 0.5,
        "options": {"k": 3},
    }
    with pytest.raises(UntrainableError):
        chain((), patch("plan_toy_loss:smooth", supervised=False))


def test_the_code_of_a_users_own_network_is_part_of_every_stage() -> None:
    plain = stages_of(recipe(("Softmax",)), 0, DATA, "none")
    own = stages_of(recipe(("Softmax",), {"model": {"backbone": "my_nets:net"}}), 0, DATA, "none")
    assert [set(b.code) - set(a.code) for a, b in zip(plain, own, strict=True)] == [{"my_nets:net"}] * 2
