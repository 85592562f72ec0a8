"""Expansion: the order of the layers, constraints, generated rows, users' own functions."""

import sys
from pathlib import Path

import pytest

from harness.errors import InputError
from harness.matrix import declarable, expand, load_matrix, matrix_to_json, read_declaration
from harness.matrix.matrix import Assumption, Claim, RefusedRow
from harness.reid.inputs import SyntheticSpec
from harness.reid.stages import NO_STAGE

HEAD = "title: T\nrecipe: recipe.yaml\nseeds: [0]\nmetrics: [mAP]\n"


def epochs(path: Path, **options) -> int:
    return load_matrix(path, rows=["1"], **options).rows[0].recipe.stages["classify"].epochs


def test_a_small_table_is_expanded_as_declared(declare):
    matrix = load_matrix(declare(), profile="demo")
    assert (matrix.name, matrix.title, matrix.profile, matrix.dataset) == (
        "table",
        "A small table",
        "demo",
        "market1501",
    )
    assert matrix.synthetic == SyntheticSpec(layout="market1501", identities=20, seed=0)
    assert [row.id for row in matrix.rows] == ["1", "2", "full"]
    assert dict(matrix.rows[1].factors) == {"Softmax": True, "DIL": True, "SAC": False}
    assert matrix.rows[0].paper == {"mAP": 50.0}
    assert matrix.claims[0].than == "2"
    assert matrix.assumptions == (Assumption("stages.classify.epochs", 2, "not stated (here set by the profile demo)"),)
    assert matrix_to_json(matrix)["claims"][0]["by"] == 1.0


def test_the_first_profile_is_taken_where_none_is_named(declare):
    assert load_matrix(declare()).profile == "paper"
    without = declare(
        recipe={"profiles:\n  paper: {}\n  demo:\n    patch: {stages.classify.epochs: 2}\n": ""}
        | {"    synthetic: {layout: market1501, identities: 20}\n": ""}
    )
    assert list(read_declaration(without).profiles) == ["default"]
    assert load_matrix(without).profile == "default"


def test_each_layer_lies_over_the_one_before(declare):
    """Epochs: recipe 3, profile 2, table 4, the table's profile 5, factor 6, row 7, the row's profile 8, --set 9."""
    changes = {}
    assert epochs(declare(changes), profile="paper") == 3
    assert epochs(declare(changes), profile="demo") == 2
    changes["rows:\n"] = "set: {stages.classify.epochs: 4}\nrows:\n"
    assert epochs(declare(changes), profile="demo") == 4
    changes["rows:\n"] += "#\n"
    changes["claims:"] = "profiles: {demo: {set: {stages.classify.epochs: 5}}}\nclaims:"
    assert epochs(declare(changes), profile="demo") == 5
    assert epochs(declare(changes), profile="paper") == 4
    factor = {"{losses.softmax.weight: 1.0}": "{losses.softmax.weight: 1.0, stages.classify.epochs: 6}"}
    assert epochs(declare(changes, factor), profile="demo") == 6
    changes["[Softmax], paper"] = "[Softmax], set: {stages.classify.epochs: 7}, paper"
    assert epochs(declare(changes, factor), profile="demo") == 7
    changes["set: {stages.classify.epochs: 7}"] = (
        "set: {stages.classify.epochs: 7}, profiles: {demo: {set: {stages.classify.epochs: 8}}}"
    )
    assert epochs(declare(changes, factor), profile="demo") == 8
    assert epochs(declare(changes, factor), profile="paper") == 7
    plain = {"stages.classify.optimizer.momentum": "0.5"}
    assert load_matrix(declare(changes), overrides=plain).rows[0].recipe.stages["classify"].optimizer.momentum == 0.5
    assert epochs(declare(changes), profile="demo", overrides={"stages.classify.epochs": "9"}) == 9


def test_overrides_are_read_as_yaml_and_recorded(declare):
    overrides = {"losses.triplet.epsilon": "3e-4", "augment.mean": "[0.5, 0.5, 0.5]", "model.embedding_dim": 64}
    matrix = load_matrix(declare(), overrides=overrides)
    assert matrix.overrides == {
        "losses.triplet.epsilon": 0.0003,
        "augment.mean": [0.5, 0.5, 0.5],
        "model.embedding_dim": 64,
    }
    for row in matrix.rows:
        assert row.recipe.losses.triplet.epsilon == 0.0003
        assert row.recipe.augment.mean == [0.5, 0.5, 0.5]
        assert row.recipe.model.embedding_dim == 64


def test_an_override_of_what_a_factor_patches_holds_for_the_rows_that_turn_it_on(declare):
    matrix = load_matrix(declare(), overrides={"losses.sac.weight": "0.5"})
    assert [row.recipe.losses.sac.weight for row in matrix.rows] == [0.0, 0.0, 0.5]
    with pytest.raises(InputError) as refusal:
        load_matrix(declare(), rows=["1", "2"], overrides={"losses.sac.weight": "0.5"})
    assert str(refusal.value) == (
        "--set losses.sac.weight: changes no row of this table: losses.sac.weight belongs to SAC, which no row turns on"
    )


def test_an_override_by_mapping_is_taken_value_by_value(declare):
    matrix = load_matrix(declare(), overrides={"model": "{output_stride: 16, backbone: resnet18}"})
    assert matrix.overrides == {"model.output_stride": 16, "model.backbone": "resnet18"}
    assert [row.recipe.model.output_stride for row in matrix.rows] == [32, 16, 16]
    assert [row.recipe.model.backbone for row in matrix.rows] == ["resnet18"] * 3
    sampler = {"kind": "identities", "identities": 3, "images": 2}
    row = load_matrix(declare(), overrides={"stages.classify.sampler": sampler}).rows[0]
    assert row.recipe.stages["classify"].sampler.model_dump() == sampler


def test_rows_and_seeds_can_be_chosen_and_claims_stay(declare):
    matrix = load_matrix(declare(), rows=["full", "1"], seeds=[7, 3])
    assert [row.id for row in matrix.rows] == ["1", "full"]
    assert matrix.seeds == (7, 3)
    assert len(matrix.claims) == 1


def test_a_row_that_a_constraint_rejects_is_kept_with_the_constraint(declare):
    path = declare(
        table={
            "[Softmax, DIL, SAC]": "[Softmax, SAC]",
            "claims:": "  - {id: both, factors: [Plain, Softmax, DIL]}\n  - {id: nothing, factors: [DIL]}\nclaims:",
        }
    )
    matrix = load_matrix(path)
    assert [row.id for row in matrix.rows] == ["1", "2"]
    assert matrix.refused == (
        RefusedRow("full", ("Softmax", "SAC"), "table.yaml:8: SAC requires DIL (recipe.yaml:19)"),
        RefusedRow("both", ("Softmax", "DIL", "Plain"), "table.yaml:10: Plain excludes DIL (recipe.yaml:22)"),
        RefusedRow("nothing", ("DIL",), f"table.yaml:11: {NO_STAGE}"),
    )
    assert [row["id"] for row in matrix_to_json(matrix)["refused"]] == ["full", "both", "nothing"]


def test_a_table_whose_rows_are_all_refused_still_says_so(declare):
    matrix = load_matrix(declare(table_text=HEAD + "rows: [{id: a, factors: [SAC]}]\n"))
    assert matrix.rows == ()
    assert matrix.refused[0].constraint.startswith("table.yaml:5: SAC requires DIL")
    assert matrix.dataset == "market1501"
    assert matrix.assumptions[0].value == 3


def test_rows_of_one_recipe_are_allowed_and_noted(declare):
    matrix = load_matrix(declare(table={"id: 2, factors: [Softmax, DIL]": "id: 2, factors: [Softmax]"}))
    assert matrix.notes == ("rows 1, 2 have the same recipe and so the same results",)


def test_an_off_patch_holds_where_the_factor_is_off(declare):
    path = declare(recipe={"excludes: [DIL]": "off: {model.multi_level: true}"})
    matrix = load_matrix(path)
    assert [row.recipe.model.multi_level for row in matrix.rows] == [True, True, True]


def test_a_full_factorial_lists_every_combination_and_refuses_by_constraint(declare):
    text = HEAD + "generate: {full_factorial: {factors: [DIL, SAC], base: [Softmax]}}\n"
    matrix = load_matrix(declare(table_text=text))
    assert [row.id for row in matrix.rows] == ["Softmax", "Softmax + DIL", "Softmax + DIL + SAC"]
    assert [(row.id, row.constraint) for row in matrix.refused] == [
        ("Softmax + SAC", "table.yaml:5: SAC requires DIL (recipe.yaml:19)")
    ]


@pytest.mark.parametrize(
    ("generator", "expected"),
    [
        ("leave_one_out", {"full": "Softmax DIL SAC", "full - DIL": "Softmax SAC", "full - SAC": "Softmax DIL"}),
        ("add_one_in", {"base": "Softmax", "base + DIL": "Softmax DIL", "base + SAC": "Softmax SAC"}),
        (
            "full_factorial",
            {
                "Softmax": "Softmax",
                "Softmax + SAC": "Softmax SAC",
                "Softmax + DIL": "Softmax DIL",
                "Softmax + DIL + SAC": "Softmax DIL SAC",
            },
        ),
    ],
)
def test_every_generator_takes_the_same_two_keys(declare, generator, expected):
    text = HEAD + f"generate: {{{generator}: {{base: [Softmax], factors: [DIL, SAC]}}}}\n"
    matrix = load_matrix(declare(table_text=text))
    found = {row.id: " ".join(name for name, on in row.factors.items() if on) for row in matrix.rows}
    found |= {row.id: " ".join(row.factors) for row in matrix.refused}
    assert found == expected


@pytest.mark.parametrize("generator", ["leave_one_out", "add_one_in", "full_factorial"])
@pytest.mark.parametrize(("old", "new"), [("from", "factors"), ("always", "base")])
def test_an_old_key_of_a_generator_names_the_new_one(declare, generator, old, new):
    path = declare(table_text=HEAD + f"generate:\n  {generator}:\n    {old}: [Softmax]\n")
    with pytest.raises(InputError) as refusal:
        load_matrix(path)
    assert str(refusal.value) == f'table.yaml:7: generate.{generator}.{old}: "{old}" is now called "{new}"'


def test_leave_one_out_and_add_one_in_have_readable_ids(declare):
    text = HEAD + (
        "generate:\n  leave_one_out: {factors: [Softmax, DIL, SAC]}\n"
        "  add_one_in: {base: [Softmax], factors: [Softmax, DIL, Plain]}\n"
        "claims: [{text: c, better: full, than: full - DIL, metric: mAP}]\n"
    )
    matrix = load_matrix(declare(table_text=text))
    assert [row.id for row in matrix.rows] == ["full", "full - SAC", "base", "base + DIL", "base + Plain"]
    assert [(row.id, row.constraint.split(": ", 1)[1]) for row in matrix.refused] == [
        ("full - Softmax", NO_STAGE),
        ("full - DIL", "SAC requires DIL (recipe.yaml:19)"),
    ]
    assert [{name for name, on in row.factors.items() if on} for row in matrix.rows[1:3]] == [
        {"Softmax", "DIL"},
        {"Softmax"},
    ]
    assert matrix.notes[0] == "rows full - SAC, base + DIL have the same recipe and so the same results"


def test_generated_rows_join_declared_ones_and_may_not_repeat_an_id(declare):
    rows = "rows: [{id: base, factors: [Softmax]}]\n"
    generated = "generate: {leave_one_out: {factors: [Softmax, DIL]}}\n"
    matrix = load_matrix(declare(table_text=HEAD + rows + generated))
    assert [row.id for row in matrix.rows] == ["base", "full", "full - DIL"]
    path = declare(table_text=HEAD + rows.replace("base", "full") + generated)
    with pytest.raises(InputError) as refusal:
        load_matrix(path)
    assert str(refusal.value) == (
        'table.yaml:6: generate.leave_one_out: generates a second row "full" (the first: table.yaml:5)'
    )


def test_a_generated_matrix_is_bounded_and_names_known_factors(declare):
    path = declare(table_text=HEAD + "generate: {add_one_in: {base: [Softmax], factors: [SAK]}}\n")
    with pytest.raises(InputError, match=r'generate\.add_one_in\.factors\.0: "SAK" is not a factor; did you mean "SAC'):
        load_matrix(path)
    many = [f"F{n}" for n in range(14)]
    path = declare(
        table_text=HEAD + f"generate: {{full_factorial: {{factors: [{', '.join(many)}]}}}}\n",
        recipe={"factors:\n": "factors:\n" + "".join(f"  {name}: {{}}\n" for name in many)},
    )
    with pytest.raises(InputError) as refusal:
        load_matrix(path)
    assert str(refusal.value) == (
        "table.yaml:5: generate.full_factorial.factors: found 16384 combinations, expected at most 8192"
    )


def test_a_recipe_continues_the_one_that_it_extends(declare):
    declare()
    Path("child.yaml").write_text(
        "extends: recipe.yaml\n"
        "data: {height_px: 128}\n"
        "stages:\n  classify:\n    sampler: {kind: identities, identities: 4, images: 2}\n"
        "factors:\n  Plain: {patch: {augment.flip: 0.0}}\n"
        "profiles:\n  demo: {patch: {augment.erase: 0.5}}\n"
        "assumptions:\n  augment.flip: unknown\n"
    )
    table = HEAD.replace("recipe.yaml", "child.yaml") + "rows: [{id: a, factors: [Softmax, Plain, DIL]}]\n"
    Path("table.yaml").write_text(table)
    matrix = load_matrix(Path("table.yaml"), profile="demo")
    recipe = matrix.rows[0].recipe
    assert (recipe.data.height_px, recipe.data.width_px) == (128, 32)
    # A sampler of another kind replaces the old one whole: no batch_size is left over.
    assert recipe.stages["classify"].sampler.model_dump() == {"kind": "identities", "identities": 4, "images": 2}
    assert recipe.augment.flip == 0.0  # the child's Plain, which does not exclude DIL
    assert (recipe.stages["classify"].epochs, recipe.augment.erase) == (2, 0.5)  # both files' demo patches
    assert matrix.synthetic == SyntheticSpec(layout="market1501", identities=20, seed=0)
    assert [assumption.key for assumption in matrix.assumptions] == ["stages.classify.epochs", "augment.flip"]


def test_a_value_is_reported_by_the_file_that_set_it_last(declare):
    path = declare(table={"recipe: recipe.yaml": "recipe: child.yaml"})
    Path("child.yaml").write_text("extends: recipe.yaml\n\nstages: {classify: {epochs: 0}}\n")
    with pytest.raises(
        InputError, match=r"^child\.yaml:3: stages\.classify\.epochs: found 0, expected a number above 0"
    ):
        load_matrix(path)


@pytest.fixture
def user_module(tmp_path, monkeypatch):
    """A module of the user's own beside the declaration, forgotten afterwards."""
    monkeypatch.setattr(sys, "path", [*sys.path])

    def write(name: str, text: str) -> None:
        monkeypatch.delitem(sys.modules, name, raising=False)
        (tmp_path / f"{name}.py").write_text(text)

    return write


def test_a_factor_may_be_a_function_of_the_users_own(declare, user_module):
    user_module("my_factors", "def double(recipe):\n    recipe['data']['height_px'] *= 2\n    return recipe\n")
    path = declare(
        recipe={"patch: {model.multi_level: false}\n    excludes: [DIL]": "apply: my_factors:double"},
        table={"[Softmax, DIL, SAC]": "[Softmax, Plain]"},
    )
    matrix = load_matrix(path)
    assert [row.recipe.data.height_px for row in matrix.rows] == [64, 64, 128]
    assert load_matrix(path, overrides={"data.height_px": "16"}).rows[2].recipe.data.height_px == 16


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("    return None", "my_bad:apply returned NoneType, expected the recipe as a dict"),
        ("    raise ValueError('no')", "my_bad:apply failed: ValueError: no"),
        (
            "    recipe['model']['stage7'] = 1\n    return recipe",
            '(model.stage7): "stage7" is not a key here; did you mean "stage6"? (one of: backbone, '
            "checkpoint_activations, embedding_dim, multi_level, options, output_stride, pooling, preprocessing, "
            "stage6, stage6_dilation, weights)\n"
            '(in row "full" of table.yaml)',
        ),
        (
            "    recipe['model']['stage6'] = 'on'\n    return recipe",
            '(model.stage6): found the text "on", expected true or false (on, off, yes and no are plain text in '
            'YAML 1.2)\n(in row "full" of table.yaml)',
        ),
    ],
)
def test_what_a_users_function_gets_wrong_is_reported_by_its_line(declare, user_module, body, message):
    user_module("my_bad", f"def apply(recipe):\n{body}\n")
    path = declare(
        recipe={"patch: {model.multi_level: false}\n    excludes: [DIL]": "apply: my_bad:apply"},
        table={"[Softmax, DIL, SAC]": "[Softmax, Plain]"},
    )
    with pytest.raises(InputError) as refusal:
        load_matrix(path)
    place = "recipe.yaml:21: factors.Plain.apply"
    assert str(refusal.value) in (f"{place}: {message}", f"{place} {message}")


def test_a_reference_without_a_module_is_refused_before_anything_runs(declare):
    path = declare(recipe={"    excludes: [DIL]": "    apply: double"})
    with pytest.raises(InputError) as refusal:
        read_declaration(path)
    assert str(refusal.value) == 'recipe.yaml:22: factors.Plain.apply: found "double", expected "package.module:name"'


def test_a_declaration_is_expanded_any_number_of_times_with_equal_results(declare):
    declaration = read_declaration(declare())
    first = expand(declaration, profile="demo")
    expand(declaration, profile="paper", overrides={"model.embedding_dim": "8"})
    assert expand(declaration, profile="demo") == first


def test_a_users_own_loss_is_a_factor_in_yaml_alone(declare):
    path = declare(
        recipe={
            "losses: [softmax, sac]": "losses: [softmax, sac, ring]",
            "  triplet: {epsilon: 0.5}": "  triplet: {epsilon: 0.5}\n"
            "  custom: {ring: {implementation: harness.reid.losses:softmax_loss, options: {decay: 0.9, name: a}}}",
            "patch: {model.multi_level: false}\n    excludes: [DIL]": "patch: {losses.custom.ring.weight: 0.1}",
        },
        table={"[Softmax, DIL, SAC]": "[Softmax, Plain]"},
    )
    recipe = load_matrix(path).rows[2].recipe
    assert list(recipe.active_losses("classify")) == ["softmax", "ring"]
    assert recipe.losses.custom["ring"].options == {"decay": 0.9, "name": "a"}


def test_a_thousand_rows_expand(declare):
    """Ten two-valued factors: 1,024 rows, each validated; run for its result, its time is measured elsewhere."""
    names = [f"F{n}" for n in range(10)]
    keys = ["flip", "erase"] * 5
    factors = "".join(
        f"  {name}: {{patch: {{augment.{key}: 0.{n}}}}}\n"
        for n, (name, key) in enumerate(zip(names, keys, strict=True))
    )
    text = HEAD + f"generate: {{full_factorial: {{factors: [{', '.join(names)}], base: [Softmax]}}}}\n"
    matrix = load_matrix(declare(table_text=text, recipe={"factors:\n": "factors:\n" + factors}))
    assert len(matrix.rows) == 1024
    assert len({row.id for row in matrix.rows}) == 1024


def test_rows_have_the_factors_that_a_row_or_a_generator_names(declare):
    """``Plain`` is the recipe's, and no row of this table is about it: no column, no effect, no suggestion names it."""
    declaration = read_declaration(declare())
    assert declaration.named_factors == ("Softmax", "DIL", "SAC")
    whole = expand(declaration, profile="paper")
    assert {tuple(row.factors) for row in whole.rows} == {("Softmax", "DIL", "SAC")}
    part = expand(declaration, profile="paper", rows=["1"])  # what was left out is still the table's question
    assert [tuple(row.factors) for row in part.rows] == [("Softmax", "DIL", "SAC")]
    allowed = declarable(declaration, profile="paper", beside=whole.rows)
    assert allowed({"Softmax": True, "DIL": True, "SAC": True})
    assert not allowed({"Softmax": True, "DIL": False, "SAC": True})


def test_a_factor_that_a_generator_alone_names_counts_even_where_it_is_off(declare):
    generate = "generate: {add_one_in: {factors: [Plain], base: [Softmax]}}\nclaims:"
    declaration = read_declaration(declare({"claims:": generate}))
    assert declaration.named_factors == ("Softmax", "DIL", "SAC", "Plain")


CITED = "cited:\n  - {method: HAN, values: {mAP: 60.0}}\n  - {method: SVD, values: {mAP: 50.0}}\nclaims:\n"


def test_a_claim_may_compare_with_a_cited_method_and_carry_a_note(declare):
    claim = "better: full, than: HAN, note: as scanned, metric"
    matrix = load_matrix(declare(table={"claims:\n": CITED, "better: full, than: 2, metric": claim}))
    assert matrix.claims[0] == Claim("SAC helps", "full", "HAN", "mAP", by=1.0, note="as scanned")
    assert matrix.settle.claims == ()  # no seeds can be added to a published number


@pytest.mark.parametrize(
    ("sides", "metric", "message"),
    [
        ("better: full, than: HAM", "mAP", 'than: "HAM" is not a row or cited method; did you mean "HAN"?'),
        (
            "better: SVD, than: HAN",
            "mAP",
            'than: compares two cited methods, "SVD" and "HAN"; expected a row on one side',
        ),
        ("better: full, than: HAN", "rank1", 'than: the cited method "HAN" has no rank1; expected one of mAP'),
    ],
)
def test_a_mistake_in_a_claim_with_a_cited_method_names_its_place(declare, sides, metric, message):
    changes = {"claims:\n": CITED, "better: full, than: 2, metric: mAP": f"{sides}, metric: {metric}"}
    with pytest.raises(InputError) as refused:
        load_matrix(declare(table=changes))
    assert str(refused.value).startswith(f"table.yaml:14: claims.0.{message}")


def test_a_claim_with_a_cited_method_cannot_be_settled(declare):
    changes = {"claims:\n": CITED.replace("cited", "settle: {claims: [SAC helps]}\ncited"), "than: 2": "than: HAN"}
    with pytest.raises(InputError, match=r'"SAC helps" compares with a cited method, which no seeds can be added to'):
        load_matrix(declare(table=changes))


def assumed(declare, text: str):
    return load_matrix(declare({}, {"assumptions:\n  stages.classify.epochs: not stated\n": f"assumptions:\n{text}"}))


def test_an_assumption_may_be_a_choice_without_a_setting_and_a_setting_may_have_alternatives(declare):
    text = "  attention maps: {here: behind the ReLU, why: not stated}\n"
    text += "  model.pooling: {why: which is not stated, alternatives: [max, gem]}\n"
    matrix = assumed(declare, text)
    assert matrix.assumptions == (
        Assumption("attention maps", "behind the ReLU", "not stated", setting=False),
        Assumption("model.pooling", "average", "which is not stated", ("max", "gem")),
    )
    assert matrix_to_json(matrix)["assumptions"][1]["alternatives"] == ("max", "gem")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "model.pooling: {here: average, why: w}",
            "model.pooling.here: model.pooling is a setting, whose value is shown",
        ),
        ("attention maps: why", 'attention maps: "attention maps" is not a key'),
        ("attention maps: {here: x, why: ' '}", "attention maps: found no reason, expected a sentence"),
        (
            "attention maps: {here: x, why: w, alternatives: [y]}",
            "attention maps.alternatives: belongs to an assumption",
        ),
        ("seeds: {why: w, alternatives: [[3]]}", "seeds.alternatives: belongs to an assumption about a setting"),
        ("model.pooling: {why: w, alternative: [max]}", 'model.pooling.alternative: "alternative" is not a key here'),
        (
            "model: {why: w, alternatives: [{poolin: max}]}",
            'model.alternatives.model.poolin: "poolin" is not a key of model',
        ),
    ],
)
def test_a_mistake_in_an_assumption_names_its_place(declare, text, message):
    with pytest.raises(InputError) as refused:
        assumed(declare, f"  {text}\n")
    assert str(refused.value).startswith(f"recipe.yaml:29: assumptions.{message}"), str(refused.value)
