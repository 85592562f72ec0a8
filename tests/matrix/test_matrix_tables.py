"""The four shipped tables, line by line against the paper's digest."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.errors import InputError
from harness.matrix import dataset_of, load_matrix, matrix_to_json, read_declaration, settings_of
from harness.matrix.source import read_yaml
from harness.reid.recipe import Recipe

ABLATIONS = Path(__file__).parents[2] / "ablations"
TABLES = ("table1", "table2", "table3", "table4")

# The digest's ticks and numbers: setting, S(oftmax) Q(uadruplet) T(riplet) D(IL) A(SAC) M(ulti), mAP, Rank-1.
TABLE1 = """
1    S..... 68.5 83.7
2    .Q.... 60.6 77.2
3    SQ.... 73.5 87.3
3(T) S.T... 71.6 84.3
4    S..D.M 72.7 85.6
5    SQ.D.M 78.4 90.5
6    S..DAM 76.7 88.2
7    .Q.DAM 66.0 80.3
8    SQ.DAM 81.6 92.8
"""


def tick(letter: str, on: bool) -> str:
    return letter if on else "."


def changed(old: dict, new: dict, key: str = "") -> dict:
    """What differs between two recipes, by dotted key."""
    found = {}
    for name in old:
        dotted = f"{key}.{name}" if key else name
        if isinstance(old[name], dict):
            found |= changed(old[name], new[name], dotted)
        elif old[name] != new[name]:
            found[dotted] = new[name]
    return found


@pytest.mark.parametrize("profile", ["paper", "demo"])
def test_table_1_has_the_ticks_and_numbers_of_the_digest(profile):
    matrix = load_matrix(ABLATIONS / "table1.yaml", profile=profile)
    assert matrix.refused == ()
    ticks = ["".join(map(tick, "SQTDAM", row.factors.values())) for row in matrix.rows]
    found = "\n".join(
        f"{row.id:<4} {ticked} {row.paper['mAP']} {row.paper['rank1']}"
        for row, ticked in zip(matrix.rows, ticks, strict=True)
    )
    assert found == TABLE1.strip()
    assert [list(row.factors) for row in matrix.rows] == [
        ["Softmax", "Quadruplet", "Triplet", "DIL", "SAC", "Multi"]
    ] * 9


def test_the_stages_that_each_setting_trains_are_those_of_the_digest():
    matrix = load_matrix(ABLATIONS / "table1.yaml", profile="paper")
    both = ("classify", "metric")
    assert {row.id: row.recipe.trained_stages() for row in matrix.rows} == {
        "1": ("classify",),
        "2": ("metric",),
        "3": both,
        "3(T)": both,
        "4": ("classify",),
        "5": both,
        "6": ("classify",),
        "7": ("metric",),
        "8": both,
    }
    full = matrix.rows[-1].recipe
    assert list(full.active_losses("classify")) == ["softmax", "sac"]  # stage 1: L_cls + L_sac
    assert list(full.active_losses("metric")) == ["softmax", "quadruplet", "sac"]  # stage 2: eq. 6


def test_the_full_method_is_the_papers_section_4_1():
    recipe = load_matrix(ABLATIONS / "table1.yaml", profile="paper", rows=["8"]).rows[0].recipe
    classify, metric = recipe.stages["classify"], recipe.stages["metric"]
    assert (recipe.data.height_px, recipe.data.width_px) == (256, 128)
    assert (recipe.model.backbone, recipe.model.weights, recipe.model.embedding_dim) == ("resnet50", "imagenet", 1024)
    assert (recipe.model.output_stride, recipe.model.stage6, recipe.model.multi_level) == (8, True, True)
    assert classify.sampler.model_dump() == {"kind": "shuffled", "batch_size": 128}
    assert metric.sampler.model_dump() == {"kind": "identities", "identities": 18, "images": 4}  # 72 = 18 x 4
    assert (classify.optimizer.kind, classify.optimizer.lr) == ("sgd", 0.1)
    assert (metric.optimizer.kind, metric.optimizer.lr) == ("sgd", 0.0001)
    assert classify.schedule == metric.schedule
    assert (classify.schedule.kind, classify.schedule.every, classify.schedule.factor) == ("step", 50, 0.1)
    assert (recipe.losses.quadruplet.epsilon1, recipe.losses.quadruplet.epsilon2) == (0.5, 0.2)
    assert [recipe.losses.softmax.weight, recipe.losses.quadruplet.weight, recipe.losses.sac.weight] == [1.0] * 3


def test_claims_are_the_digests_and_agree_with_the_numbers_of_their_rows():
    expected = {
        "table1": [
            ("8", "5", "mAP", 3.2),
            ("6", "4", "mAP", 4.0),
            ("4", "1", "mAP", 4.2),
            ("5", "3", "mAP", 4.9),
            ("3", "3(T)", "mAP", 1.9),
            ("3", "3(T)", "rank1", 3.0),
            ("1", "2", "mAP", 7.9),
            ("6", "7", "mAP", 10.7),
            ("3", "1", "mAP", 5.0),
            ("3", "2", "mAP", 12.9),
            ("8", "6", "mAP", 4.9),
            ("8", "7", "mAP", 15.6),
            ("8", "5", "attention_overlap", None),  # Figure 3: seen, not measured, by the paper
        ],
        "table2": [
            ("Ours + re-rank", "Ours", "mAP", 9.6),
            ("Ours + re-rank", "Ours", "rank1", 0.5),
            (
                "Ours + re-rank",
                "TRIP + re-rank",
                "mAP",
                10.1,
            ),  # section 4.4: "improving 10.1% in mAP and 2.1% in Rank-1"
            ("Ours + re-rank", "HAN", "rank1", 2.1),
            ("Ours", "TRIP + re-rank", "mAP", None),  # "even higher than the second best model with re-ranking"
        ],
        "table3": [
            ("Ours + re-rank", "Ours", "mAP", 7.5),
            ("Ours + re-rank", "Ours", "rank1", 3.0),
            ("Ours", "HAN", "mAP", 1.6),  # "higher than the second best model 1.6% in mAP and 1.1% in Rank-1"
            ("Ours", "MLFN", "rank1", 1.1),
        ],
        "table4": [
            ("ResNet50 (Soft+DIL+SAC)", "ResNet50 (Soft)", "error", 0.27),
            ("ResNet50 (Soft+DIL+SAC)", "ResNet101 (Soft)", "error", 0.2),
        ],
    }
    for table, claims in expected.items():
        matrix = load_matrix(ABLATIONS / f"{table}.yaml", profile="paper")
        assert [(claim.better, claim.than, claim.metric, claim.by) for claim in matrix.claims] == claims
        paper = {row.id: row.paper for row in matrix.rows} | {one.method: one.values for one in matrix.cited}
        for better, than, metric, by in claims:
            if by is None:
                continue
            sign = -1 if metric == "error" else 1
            assert sign * (paper[better][metric] - paper[than][metric]) == pytest.approx(by)


def test_the_claims_whose_rows_the_scan_leaves_open_say_so():
    claims = load_matrix(ABLATIONS / "table1.yaml", profile="paper").claims
    noted = {(claim.better, claim.than) for claim in claims if 'reads "setting(6) and 4(8)"' in claim.note}
    assert noted == {("4", "1"), ("5", "3")}


def test_cited_numbers_are_those_of_the_paper():
    cited = load_matrix(ABLATIONS / "table2.yaml", profile="paper").cited
    assert [(one.method, one.values["mAP"], one.values["rank1"]) for one in cited] == [
        ("re-rank", 63.6, 77.1),
        ("MLC", 64.4, 83.9),
        ("DML", 68.8, 87.7),
        ("TRIP", 69.1, 84.9),
        ("DPFL", 72.6, 88.6),
        ("MLFN", 74.3, 90.0),
        ("HAN", 75.7, 91.2),
        ("MLC + re-rank", 72.9, 88.8),
        ("TRIP + re-rank", 81.1, 86.7),
    ]
    cited = load_matrix(ABLATIONS / "table3.yaml", profile="paper").cited
    assert [(one.method, one.values["mAP"], one.values["rank1"]) for one in cited] == [
        ("SVDNET", 56.8, 76.7),
        ("DPFL", 60.6, 79.2),
        ("MLFN", 62.8, 81.0),
        ("HAN", 63.8, 80.5),
    ]


@pytest.mark.parametrize("table", ["table2", "table3"])
def test_re_ranking_is_an_evaluation_of_the_same_training(table):
    ours, reranked = load_matrix(ABLATIONS / f"{table}.yaml", profile="paper").rows
    difference = changed(ours.recipe.model_dump(), reranked.recipe.model_dump())
    assert difference == {"evaluation.rerank.enabled": True}


def test_tables_2_and_1_share_the_full_method():
    full = load_matrix(ABLATIONS / "table1.yaml", profile="demo", rows=["8"]).rows[0]
    assert load_matrix(ABLATIONS / "table2.yaml", profile="demo").rows[0].recipe == full.recipe


def test_the_duke_recipe_differs_from_market_in_the_data_set_alone():
    market = load_matrix(ABLATIONS / "table2.yaml", profile="paper").rows[0].recipe
    duke = load_matrix(ABLATIONS / "table3.yaml", profile="paper").rows[0].recipe
    assert changed(market.model_dump(), duke.model_dump()) == {"data.dataset": "dukemtmc-reid"}


def test_table_4_compares_backbones_and_demo_never_trains_the_large_one():
    paper = load_matrix(ABLATIONS / "table4.yaml", profile="paper")
    assert [row.recipe.model.backbone for row in paper.rows] == ["resnet50", "resnet50", "resnet101"]
    assert [row.paper["error"] for row in paper.rows] == [22.02, 21.75, 21.95]
    demo = load_matrix(ABLATIONS / "table4.yaml", profile="demo")
    assert [row.recipe.model.backbone for row in demo.rows] == ["test_resnet", "test_resnet", "resnet10t"]


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("profile", ["paper", "demo"])
def test_every_table_loads_under_both_profiles_and_survives_json(table, profile):
    matrix = load_matrix(ABLATIONS / f"{table}.yaml", profile=profile)
    assert matrix.refused == ()
    assert matrix.notes == ()
    exported = json.loads(json.dumps(matrix_to_json(matrix), allow_nan=False))
    assert exported["name"] == table
    assert exported["profile"] == profile
    assert [Recipe.model_validate(row["recipe"]) for row in exported["rows"]] == [row.recipe for row in matrix.rows]
    assert (matrix.synthetic is not None) == (profile == "demo")
    assert matrix.seeds == (0, 1, 2)


@pytest.mark.parametrize("table", TABLES)
def test_each_file_opens_with_purpose_source_cost_expectation_and_command(table):
    text = (ABLATIONS / f"{table}.yaml").read_text()
    header = text[: text.index("\n\n")]
    for part in (f"# Table {table[-1]}: ", "# Source: ", "# Cost: ", "# Expected: "):
        assert part in header
    assert f"# Command: python -m harness run ablations/{table}.yaml" in header


@pytest.mark.parametrize(
    ("factor", "patched"),
    [
        ("Softmax", {"losses.softmax.weight": 1.0}),
        ("Quadruplet", {"losses.quadruplet.weight": 1.0}),
        ("Triplet", {"losses.triplet.weight": 1.0}),
        ("DIL", {"model.output_stride": 8, "model.stage6": True}),
        ("SAC", {"losses.sac.weight": 1.0}),
        ("Multi", {"model.multi_level": True}),
    ],
)
def test_turning_a_factor_on_changes_exactly_what_it_patches(tmp_path, factor, patched):
    base = {"Softmax": ["Quadruplet"], "SAC": ["Softmax", "DIL"]}.get(factor, ["Softmax"])
    (tmp_path / "table.yaml").write_text(
        f"title: One factor\nrecipe: {ABLATIONS / 'recipes' / 'market1501.yaml'}\nseeds: [0]\nmetrics: [mAP]\n"
        f"rows:\n  - {{id: without, factors: {json.dumps(base)}}}\n"
        f"  - {{id: with, factors: {json.dumps([*base, factor])}}}\n"
    )
    without, with_factor = load_matrix(tmp_path / "table.yaml", profile="paper").rows
    assert changed(without.recipe.model_dump(), with_factor.recipe.model_dump()) == patched


def test_all_that_the_digest_lists_as_not_stated_is_an_assumption_with_a_value_and_a_reason():
    """One line for each item of the digest's list; table 4's part of it is 'input size and recipe on CIFAR-100'."""
    matrix = load_matrix(ABLATIONS / "table1.yaml", profile="paper")
    assumed = {assumption.key: assumption.value for assumption in matrix.assumptions}
    for key, value in {
        "stages.classify.epochs": 150,  # number of epochs per stage
        "stages.metric.epochs": 150,
        "stages.classify.optimizer.momentum": 0.9,
        "stages.metric.optimizer.momentum": 0.9,
        "stages.classify.optimizer.weight_decay": 5e-4,
        "stages.metric.optimizer.weight_decay": 5e-4,
        "augment.flip": 0.5,  # augmentation
        "losses.normalize_embeddings": False,  # whether features are normalised inside the metric losses
        "evaluation.metric": "euclidean",  # the distance at test time
        "stages.classify.optimizer.new_layers_multiplier": 1.0,  # the learning-rate multiplier of new layers
        "stages.metric.optimizer.new_layers_multiplier": 1.0,
        "seeds": [0, 1, 2],  # the random seed
        "evaluation.epoch": "last",  # which epoch is evaluated
        "stages.classify.needs_one_of": ["softmax"],  # what a row without a softmax loss does in stage 1
        "stages.metric.needs_one_of": ["triplet", "quadruplet"],  # whether a softmax-only row has a stage 2
        "stages.metric.optimizer.lr_from_scratch": 0.1,  # the learning rate of a stage that starts from scratch
        "model.stage6_dilation": 2,  # section 3.1: the dilation of stage 6
        "evaluation.ap": "step",  # section 4.2: which AP formula
    }.items():
        assert assumed[key] == value, key
    cifar = {
        assumption.key: assumption.value
        for assumption in load_matrix(ABLATIONS / "table4.yaml", profile="paper").assumptions
    }
    assert {"data.height_px": 224, "data.width_px": 224, "stages.classify.epochs": 150}.items() <= cifar.items()
    for table in TABLES:
        for assumption in load_matrix(ABLATIONS / f"{table}.yaml", profile="paper").assumptions:
            assert assumption.reason
            assert assumption.value is not None, assumption.key


def test_an_assumption_shows_the_value_in_force_and_who_gave_it():
    matrix = load_matrix(ABLATIONS / "table1.yaml", profile="demo", overrides={"augment.flip": "0.25"})
    found = {assumption.key: assumption for assumption in matrix.assumptions}
    assert found["stages.classify.epochs"].value == matrix.rows[0].recipe.stages["classify"].epochs
    assert found["stages.classify.epochs"].reason.endswith("(here set by the profile demo)")
    assert found["augment.flip"].value == 0.25
    assert found["augment.flip"].reason.endswith("(here set by --set)")
    backbones = load_matrix(ABLATIONS / "table4.yaml", profile="paper").assumptions[-1]
    assert backbones.value == (
        "varies: resnet50 (rows ResNet50 (Soft), ResNet50 (Soft+DIL+SAC)); resnet101 (rows ResNet101 (Soft))"
    )


def test_the_data_set_of_a_profile_is_known_without_expanding():
    declaration = read_declaration(ABLATIONS / "table3.yaml")
    assert list(declaration.profiles) == ["paper", "demo"]
    assert {dataset_of(declaration, settings_of(declaration, profile=name)) for name in ("paper", "demo")} == {
        "dukemtmc-reid"
    }
    synthetic = declaration.profiles["demo"].synthetic
    assert synthetic is not None
    assert synthetic.layout == "dukemtmc-reid"


@pytest.mark.parametrize(
    ("table", "recipe", "overrides", "expected"),
    [
        ({}, {}, {"data.dataset": "cifar100"}, "cifar100"),
        ({}, {}, {"data": "{dataset: cifar100}"}, "cifar100"),
        (
            {"metrics:": "set: {data.dataset: cifar100}\nmetrics:"},
            {},
            {"data.dataset": "dukemtmc-reid"},
            "dukemtmc-reid",
        ),
        ({"factors: [Softmax], paper": "set: {data.dataset: cifar100}, factors: [Softmax], paper"}, {}, {}, "cifar100"),
        ({}, {"{losses.softmax.weight: 1.0}": "{losses.softmax.weight: 1.0, data.dataset: cifar100}"}, {}, "cifar100"),
        ({}, {"epochs: 3": "epochs: much"}, {"data.dataset": "cifar100"}, "cifar100"),  # expand reports what is wrong
    ],
)
def test_the_data_set_is_the_one_that_the_rows_read(declare, table, recipe, overrides, expected):
    declaration = read_declaration(declare(table, recipe))
    first, *_ = settings_of(declaration, profile="paper", overrides=overrides)
    assert dataset_of(declaration, [first]) == expected


def test_the_data_set_that_a_factor_s_own_function_chooses_is_found(declare):
    table = declare({}, {"  DIL: {patch": "  Cifar: {apply: 'choose_data:cifar'}\n  DIL: {patch"})
    Path("choose_data.py").write_text(
        "def cifar(recipe):\n    recipe['data']['dataset'] = 'cifar100'\n    return recipe\n"
    )
    table.write_text(table.read_text().replace("[Softmax", "[Cifar, Softmax"))
    declaration = read_declaration(table)
    assert dataset_of(declaration, settings_of(declaration, profile="demo")) == "cifar100"


def test_what_set_mends_is_no_mistake_of_a_profile_that_is_not_chosen(declare):
    """The value is wrong in the file and given on the command line: every profile is then well."""
    table = declare(
        {}, {"epochs: 3": "epochs: much", "patch: {stages.classify.epochs: 2}": "patch: {augment.flip: 0.5}"}
    )
    assert load_matrix(table, profile="demo", overrides={"stages.classify.epochs": 4}).rows
    with pytest.raises(InputError, match="epochs"):
        load_matrix(table, profile="demo", overrides={"augment.flip": 0.1})


def test_the_room_is_imported_without_torch_numpy_or_mlflow():
    code = "import sys, harness.matrix; print([m for m in ('torch', 'numpy', 'mlflow') if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


PAPERS_TABLES = Path(__file__).parents[3] / "shared" / "paper" / "tables.yaml"


@pytest.mark.skipif(not PAPERS_TABLES.is_file(), reason="the paper's tables as data are not beside the repository")
def test_every_published_number_is_the_papers():
    """Also the other way round: no number of the paper's is missing, and every size that is claimed is a difference."""
    paper = read_yaml(PAPERS_TABLES).value
    for table in TABLES:
        matrix = load_matrix(ABLATIONS / f"{table}.yaml", profile="paper")
        own = [*paper[table].get("rows", ()), *paper[table].get("ours", ())]
        ours = {row["id"]: numbers_of(row) for row in own}
        cited = {one["method"]: numbers_of(one) for one in paper[table].get("cited", ())}
        assert {row.id: dict(row.paper) for row in matrix.rows} == ours
        assert {one.method: dict(one.values) for one in matrix.cited} == cited
        ticked = {row.id: {factor for factor, on in row.factors.items() if on} for row in matrix.rows}
        for row in own:
            assert "factors" not in row or ticked[row["id"]] == set(row["factors"])
        published = ours | cited
        for claim in matrix.claims:
            if claim.by is not None:
                sign = -1 if claim.metric == "error" else 1
                size = sign * (published[claim.better][claim.metric] - published[claim.than][claim.metric])
                assert size == pytest.approx(claim.by), claim.text
    recipe = load_matrix(ABLATIONS / "table2.yaml", profile="paper").rows[0].recipe
    assert recipe.losses.quadruplet.epsilon1 == paper["margins"]["epsilon1"]
    assert recipe.losses.quadruplet.epsilon2 == paper["margins"]["epsilon2"]
    rerank = recipe.evaluation.rerank.model_dump(by_alias=True)
    assert {key: rerank[key] for key in paper["rerank"]} == paper["rerank"]


def numbers_of(entry: dict) -> dict:
    return {key: value for key, value in entry.items() if key in ("mAP", "rank1", "error")}


def test_the_table_of_losses_has_one_shared_stage_and_one_more_for_each_added_loss() -> None:
    rows = {row.id: row.recipe for row in load_matrix(ABLATIONS / "losses.yaml", profile="demo").rows}
    assert [recipe.trained_stages() for recipe in rows.values()] == [("classify",), *[("classify", "metric")] * 6]
    added = {name: list(recipe.active_losses("metric")) for name, recipe in rows.items() if name != "softmax"}
    assert added == {name: ["softmax", name[1:]] for name in added}
    assert all(list(recipe.active_losses("classify")) == ["softmax"] for recipe in rows.values())


def test_rows_whose_losses_are_not_installed_are_refused_with_the_command_that_installs_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("harness.reid.trainer.find_spec", lambda _: None)
    matrix = load_matrix(ABLATIONS / "losses.yaml", profile="demo")
    assert [row.id for row in matrix.rows] == ["softmax", "+triplet", "+center"]
    assert [row.id for row in matrix.refused] == ["+circle", "+contrastive", "+arcface", "+cosface"]
    for row in matrix.refused:
        assert re.search(r"losses\.yaml:\d+: ", row.constraint)
        assert row.constraint.endswith(
            f"losses.{row.id[1:]} needs pytorch-metric-learning, which is not installed; add the extra losses "
            "(uv sync --extra losses, or pip install 'ablation-harness[losses]')"
        )


def test_a_loss_that_is_on_and_in_no_stage_is_refused_by_file_line_and_key(tmp_path: Path) -> None:
    table = tmp_path / "table.yaml"
    rows = [{"id": "plain", "factors": ["Softmax"]}]
    rows.append({"id": "circle", "factors": ["Softmax"], "set": {"losses.circle.weight": 1.0}})
    recipe = str(ABLATIONS / "recipes" / "market1501.yaml")
    declared = {"title": "T", "recipe": recipe, "seeds": [0], "metrics": ["mAP"], "rows": rows}
    table.write_text(json.dumps(declared, indent=1), encoding="utf-8")
    with pytest.raises(InputError) as refused:
        load_matrix(table, profile="demo")
    place, message = str(refused.value).split(": losses.circle.weight", 1)[0], str(refused.value)
    line = 1 + next(n for n, text in enumerate(table.read_text().splitlines()) if "losses.circle.weight" in text)
    assert place.startswith(f"{table}:{line}")
    assert (
        "the loss is on but no stage uses it; add circle to stages.classify.losses or stages.metric.losses" in message
    )
    assert '(in row "circle" of' in message


OWN_LOSS = {"implementation": "my_own:los", "weight": 1.0}
OWN_LAYOUT = {"name": "msmt17", "splits": {"all": "all/*"}, "pattern": "{identity}_{frame}"}


@pytest.mark.parametrize(
    ("patch", "key", "value", "message"),
    [
        ({"model.backbone": "resnet51"}, "model.backbone", "resnet51", "did you mean resnet51q, resnet50"),
        ({"data.dataset": "markt1501"}, "data.dataset", "markt1501", 'did you mean "market1501"?'),
        ({"data.train": "veri"}, "data.train", "veri", 'did you mean "veri-776"?'),
        ({"data.test": "dukemtmc"}, "data.test", "dukemtmc", 'did you mean "dukemtmc-reid"?'),
        ({"data.test": OWN_LAYOUT}, "data.test.name", "msmt17", "is the name of a known data set"),
        ({"data.test": "my_own:shpo"}, "data.test", "my_own:shpo", 'did you mean "shop"?'),
        ({"data.test": "my_one:shop"}, "data.test", "my_one:shop", 'there is no Python module "my_one"'),
        (
            {
                "losses.custom.near": OWN_LOSS,
                "stages.metric.losses": ["softmax", "triplet", "quadruplet", "sac", "near"],
            },
            "losses.custom.near.implementation",
            "my_own:los",
            'did you mean "loss"?',
        ),
        (
            {"evaluation.metrics.spread": {"implementation": "my_own:spraed"}},
            "evaluation.metrics.spread.implementation",
            "my_own:spraed",
            'did you mean "spread"?',
        ),
        ({"model.weights": "imagnet"}, "model.weights", "imagnet", 'did you mean "imagenet"?'),
        ({"model.weights": "none.pth"}, "model.weights", "none.pth", "expected "),
        (
            {"model.options": {"drop_pth_rate": 0.1}},
            "model.options.drop_pth_rate",
            "drop_pth_rate",
            'did you mean "drop_path_rate"?',
        ),
        (
            {"stages.metric.sampler": {"kind": "identitis", "identities": 4, "images": 4}},
            "stages.metric.sampler.kind",
            "identitis",
            'did you mean "identities"?',
        ),
    ],
)
def test_a_name_that_leads_nowhere_is_refused_by_file_line_and_key(
    patch: dict[str, Any], key: str, value: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "my_own.py").write_text("shop = loss = spread = lambda: None\n")
    monkeypatch.delitem(sys.modules, "my_own", raising=False)
    recipe = {
        "extends": str(ABLATIONS / "recipes" / "market1501.yaml"),
        "factors": {"Odd": {"patch": patch}},
        "profiles": {"demo": {"patch": {"model.backbone": "resnet18"}}},
    }
    rows = [{"id": "plain", "factors": ["Softmax"]}, {"id": "odd", "factors": ["Softmax", "Odd"]}]
    table = tmp_path / "table.yaml"
    declared = {"title": "T", "recipe": recipe, "seeds": [0], "metrics": ["mAP"], "rows": rows}
    table.write_text(json.dumps(declared, indent=1), encoding="utf-8")
    line = 1 + next(n for n, text in enumerate(table.read_text().splitlines()) if f'"{value}"' in text)
    with pytest.raises(InputError) as refused:
        load_matrix(table)
    found = str(refused.value)
    assert found.startswith(f"{table}:{line}: factors.Odd.patch.{key}: ")
    assert f'"{value}"' in found
    assert message in found
    assert found.endswith(f'(in row "odd" of {table})')
