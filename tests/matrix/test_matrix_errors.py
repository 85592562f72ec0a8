"""Mistakes in a declaration are reported by file, line and key: what was found, what was expected, the nearest name."""

from pathlib import Path

import pytest

from harness.errors import InputError
from harness.matrix import load_matrix
from harness.reid.optimisation import OPTIMIZERS

FACTORS = "one of: DIL, Plain, SAC, Softmax"
IN_ROW_1 = '\n(in row "1" of table.yaml)'


def refusal_of(path: Path, **options) -> str:
    with pytest.raises(InputError) as refusal:
        load_matrix(path, **options)
    return str(refusal.value)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "[Softmax, DIL]",
            "[Sofmax, DIL]",
            f'table.yaml:7: rows.1.factors.0: "Sofmax" is not a factor; did you mean "Softmax"? ({FACTORS})',
        ),
        (
            "[Softmax, DIL]",
            "[DIL, DIL]",
            'table.yaml:7: rows.1.factors: found "DIL" twice, expected each name once',
        ),
        ("[Softmax, DIL]", "Softmax", 'table.yaml:7: rows.1.factors: found the text "Softmax", expected a list'),
        (
            "id: 2",
            "id: 2.0",
            'table.yaml:7: rows.1.id: found the number 2.0, expected a row id as text: quote it ("2.0")',
        ),
        ("id: 2", "id: true", "table.yaml:7: rows.1.id: found true, expected text"),
        (
            "id: 2",
            'id: "a,b"',
            "table.yaml:7: rows.1.id: found 'a,b', "
            "expected 1 to 80 printable characters without commas, outer or double spaces",
        ),
        ("id: 2", "id: 1", 'table.yaml:7: rows.1.id: a second row "1" (the first: table.yaml:6)'),
        (
            "id: 2",
            'id: "a  b"',
            "table.yaml:7: rows.1.id: found 'a  b', "
            "expected 1 to 80 printable characters without commas, outer or double spaces",
        ),
        (
            "id: 2",
            'id: "a\\u0301"',
            'table.yaml:7: rows.1.id: found "a\u0301" with accents apart from their letters, '
            "expected composed letters (Unicode NFC)",
        ),
        (
            "id: 2",
            'id: "a\\ab"',
            "table.yaml:7:10: rows.1.id: found the control character U+0007, expected plain text",
        ),
        (
            "claims:",
            "cited: [{method: A, values: {mAP: 1.0}}, {method: full, values: {mAP: 1.0}}]\nclaims:",
            'table.yaml:10: cited.1.method: found "full", which is already the name of another method or row '
            "(the first: table.yaml:8)",
        ),
        ("id: 2, ", "", "table.yaml:7: rows.1.id: missing; a value is required here"),
        (
            "than: 2",
            "than: 3",
            'table.yaml:11: claims.0.than: "3" is not a row; expected one of: 1, 2, full',
        ),
        ("than: 2", "than: full", 'table.yaml:11: claims.0.than: compares row "full" with itself'),
        (
            "by: 1.0",
            'by: "1.0"',
            'table.yaml:11: claims.0.by: found the text "1.0", expected a number (write it without quotes)',
        ),
        ("by: 1.0", "by: .nan", "table.yaml:11: claims.0.by: found nan, expected a finite number"),
        ("by: 1.0", "by: -1", "table.yaml:11: claims.0.by: found -1, expected a number above 0"),
        (
            "metrics: [mAP]",
            "metrics: [map]",
            'table.yaml:4: metrics.0: "map" is not measured here; did you mean "mAP"? '
            "(one of: attention_overlap, mAP, mINP, rank1, rank10, rank20, rank5)",
        ),
        (
            "metrics: [mAP]",
            "metrics: [error]",
            'table.yaml:4: metrics.0: "error" is not measured here; '
            "expected one of: attention_overlap, mAP, mINP, rank1, rank10, rank20, rank5",
        ),
        ("metrics: [mAP]", "metrics: []", "table.yaml:4: metrics: found a list, expected at least 1"),
        ("{mAP: 50.0}", "{mAP: 500}", "table.yaml:6: rows.0.paper.mAP: found 500, expected a percentage from 0 to 100"),
        ("[0, 1]", "[]", "table.yaml:3: seeds: found no seed, expected at least one"),
        ("[0, 1]", "[0, 0]", "table.yaml:3: seeds: found the seed 0 twice, expected each seed once"),
        ("[0, 1]", "[-1]", "table.yaml:3: seeds: found the seed -1, expected a whole number from 0 to 4294967295"),
        ("[0, 1]", "[0.5]", "table.yaml:3: seeds.0: found 0.5, expected a whole number"),
        ("[0, 1]", "[true]", "table.yaml:3: seeds.0: found true, expected a whole number"),
        (
            "[0, 1]",
            "[012]",
            'table.yaml:3: seeds.0: found the text "012", expected a whole number '
            "(write a plain decimal number, as 12 or 3e-4)",
        ),
        ("seeds: [0, 1]\n", "", "table.yaml:1: seeds: missing; a value is required here"),
        (
            "seeds:",
            "seed:",
            "table.yaml:1: seeds: missing; a value is required here\n"
            'table.yaml:3: seed: "seed" is not a key here; did you mean "seeds"? (one of: assumptions, cited, claims, '
            "controls, generate, metrics, name, notes, profiles, recipe, rows, seeds, set, settle, title)",
        ),
        (
            "recipe: recipe.yaml",
            "recipe: recipes.yaml",
            'table.yaml:2: recipe: found the text "recipes.yaml", expected a recipe file (looked for "recipes.yaml")',
        ),
        (
            "rows:\n",
            "profiles: {dmeo: {seeds: [0]}}\nrows:\n",
            'table.yaml:5: profiles.dmeo: "dmeo" is not a profile; did you mean "demo"? (one of: demo, paper)',
        ),
        (
            "[Softmax], paper",
            "[Softmax], set: {model.bakcbone: resnet18}, paper",
            'table.yaml:6: rows.0.set.model.bakcbone: "bakcbone" is not a key of model; did you mean "backbone"? '
            "(one of: backbone, checkpoint_activations, embedding_dim, multi_level, options, output_stride, pooling, "
            "preprocessing, stage6, stage6_dilation, weights)",
        ),
        (
            "[Softmax], paper",
            "[Softmax], set: {model.backbone.depth: 3}, paper",
            'table.yaml:6: rows.0.set.model.backbone.depth: model.backbone is a single value; it has no key "depth"',
        ),
        (
            "[Softmax], paper",
            "[Softmax], set: {augment.mean.0: 3}, paper",
            "table.yaml:6: rows.0.set.augment.mean.0: augment.mean is a list, which is replaced as a whole; "
            'it has no key "0"',
        ),
        (
            "[Softmax], paper",
            "[Softmax], set: {model: 3}, paper",
            "table.yaml:6: rows.0.set.model: found 3, expected a mapping (key: value)",
        ),
        (
            "seeds: [0, 1]",
            'seeds: [0, 1]\nname: "../evil"',
            'table.yaml:4: name: found the text "../evil", '
            'expected at most 80 letters, digits, ".", "_" and "-", the first a letter or digit',
        ),
        (
            "[Softmax], paper",
            "[Softmax], set: {augment.mean: [1, 2]}, paper",
            "table.yaml:6: rows.0.set.augment.mean: expected 3 values, one a channel (R, G, B), found 2" + IN_ROW_1,
        ),
        (
            "[Softmax], paper",
            "[Softmax], set: {augment.std: [0.5, 0, -0.5]}, paper",
            "table.yaml:6: rows.0.set.augment.std.1: found 0, expected a number above 0\n"
            "table.yaml:6: rows.0.set.augment.std.2: found -0.5, expected a number above 0" + IN_ROW_1,
        ),
        (
            "than: 2",
            "then: 2, than: 2",
            'table.yaml:11: claims.0.then: "then" is not a key here; did you mean "than"? '
            "(one of: better, by, metric, note, text, than, within)",
        ),
        (
            "{mAP: 50.0}",
            "{rank-1: 50.0}",
            'table.yaml:6: rows.0.paper.rank-1: "rank-1" is not measured here; did you mean "rank1"? '
            "(one of: attention_overlap, mAP, mINP, rank1, rank10, rank20, rank5)",
        ),
        (
            "[Softmax], paper",
            "[Softmax], set: {stages.classify.epochs: 99999999999999999999}, paper",
            "table.yaml:6: rows.0.set.stages.classify.epochs: found 99999999999999999999, "
            "expected a number of at most 1000000" + IN_ROW_1,
        ),
        (
            "[Softmax], paper",
            "[Softmax], set: {model.stage6: on}, paper",
            'table.yaml:6: rows.0.set.model.stage6: found the text "on", expected true or false '
            "(on, off, yes and no are plain text in YAML 1.2)" + IN_ROW_1,
        ),
        (
            "[Softmax], paper",
            "[Softmax], set: {losses.sac.weight: 1.0}, paper",
            "table.yaml:6: rows.0.set.losses.sac.weight: the self-attention constraint needs maps of one size from "
            "stages 4, 5 and 6: model.output_stride 8 or 16 and model.stage6 true; found model.output_stride 32 and "
            "model.stage6 false" + IN_ROW_1,
        ),
    ],
)
def test_a_mistake_in_a_table_is_reported_whole(declare, old, new, message):
    assert refusal_of(declare(table={old: new})) == message


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "lr: 0.1",
            'lr: "3e-4"',
            'recipe.yaml:12: stages.classify.optimizer.lr: found the text "3e-4", expected a number '
            "(write it without quotes)" + IN_ROW_1,
        ),
        (
            "lr: 0.1",
            "lr: .inf",
            "recipe.yaml:12: stages.classify.optimizer.lr: found inf, expected a finite number" + IN_ROW_1,
        ),
        (
            "lr: 0.1",
            "momentum: 0.9",
            "recipe.yaml:12: stages.classify.optimizer.lr: missing; a value is required here" + IN_ROW_1,
        ),
        (
            "lr: 0.1",
            "lr: 0.1, kind: sdg",
            'recipe.yaml:12: stages.classify.optimizer.kind: "sdg" is not an optimiser; did you mean "sgd"? (one of: '
            + ", ".join(sorted(OPTIMIZERS))
            + ")"
            + IN_ROW_1,
        ),
        (
            "kind: shuffled",
            "kind: shufled",
            'recipe.yaml:11: stages.classify.sampler.kind: found "shufled", expected shuffled or identities; '
            'did you mean "shuffled"?' + IN_ROW_1,
        ),
        (
            "batch_size: 8",
            "batch_size: 8, images: 4",
            'recipe.yaml:11: stages.classify.sampler.images: "images" is not a key here; expected one of: '
            "batch_size, kind" + IN_ROW_1,
        ),
        (
            "batch_size: 8",
            "batch_size: 0",
            "recipe.yaml:11: stages.classify.sampler.batch_size: found 0, expected a number above 0" + IN_ROW_1,
        ),
        (
            "model.output_stride: 8",
            "model.output_stride: 7",
            "recipe.yaml:16: factors.DIL.patch.model.output_stride: found 7, expected 8, 16 or 32\n"
            '(in row "2" of table.yaml)',
        ),
        (
            "losses.softmax.weight: 1.0",
            "losses.sofmax.weight: 1.0",
            'recipe.yaml:15: factors.Softmax.patch.losses.sofmax.weight: "sofmax" is not a key of losses; did you mean '
            '"softmax"? (one of: arcface, center, circle, contrastive, cosface, custom, normalize_embeddings, '
            "quadruplet, sac, softmax, triplet)",
        ),
        (
            "losses.softmax.weight: 1.0",
            "losses.softmax.weight: -1",
            "recipe.yaml:15: factors.Softmax.patch.losses.softmax.weight: found -1, expected a number of at least 0"
            + IN_ROW_1,
        ),
        (
            "requires: [DIL]",
            "requires: [DILL]",
            f'recipe.yaml:19: factors.SAC.requires.0: "DILL" is not a factor; did you mean "DIL"? ({FACTORS})',
        ),
        ("requires: [DIL]", "requires: [SAC]", "recipe.yaml:19: factors.SAC.requires.0: SAC requires itself"),
        (
            "losses: [softmax, sac]",
            "losses: [softmx]",
            'recipe.yaml:9: stages.classify.losses: "softmx" is not a loss; did you mean "softmax"? '
            "(one of: arcface, center, circle, contrastive, cosface, quadruplet, sac, softmax, triplet)" + IN_ROW_1,
        ),
        (
            "epochs: 3",
            "epochs: 3\n    needs_one_of: [triplet]",
            'recipe.yaml:11: stages.classify.needs_one_of: "triplet" is not a loss of this stage; '
            "expected one of: sac, softmax" + IN_ROW_1,
        ),
        (
            "triplet: {epsilon: 0.5}",
            'custom: {mine: {implementation: "a:b", options: {x: [1]}}}',
            "recipe.yaml:6: losses.custom.mine.options.x: found a list, expected a finite number, text, true or false"
            + IN_ROW_1,
        ),
        (
            "triplet: {epsilon: 0.5}",
            'custom: {sac: {implementation: "a:b"}}',
            'recipe.yaml:6: losses.custom.sac: "sac" is the name of a built-in loss; choose another' + IN_ROW_1,
        ),
        (
            "  Softmax: {patch",
            '  "Soft  max": {patch',
            "recipe.yaml:15: factors.Soft  max: found 'Soft  max', "
            "expected 1 to 80 printable characters without commas, outer or double spaces",
        ),
        (
            "  demo:\n",
            '  "a\\u202eb":\n',
            "recipe.yaml:25: profiles.a\u202eb: found 'a\\u202eb', "
            "expected 1 to 80 printable characters without commas, outer or double spaces",
        ),
        (
            "triplet: {epsilon: 0.5}",
            'custom: {"my, loss": {implementation: "a:b"}}',
            "recipe.yaml:6: losses.custom.my, loss: no name for an entry of losses.custom: found 'my, loss', "
            "expected 1 to 80 printable characters without commas, outer or double spaces",
        ),
        ("model:\n", "models:\n", None),
        ("losses:\n  triplet: {epsilon: 0.5}", "losses:\n  triplet: 3", None),
        (
            "  stages.classify.epochs: not stated",
            "  stages.clasify.epoch: not stated",
            'recipe.yaml:29: assumptions.stages.clasify.epoch: "epoch" is not a key of stages.clasify; '
            'did you mean "epochs"? '
            "(one of: epochs, losses, needs_one_of, optimizer, sampler, schedule, stop_after)",
        ),
        (
            "  stages.classify.epochs: not stated",
            '  stages.classify.epochs: " "',
            "recipe.yaml:29: assumptions.stages.classify.epochs: found no reason, expected a sentence",
        ),
    ],
)
def test_a_mistake_in_a_recipe_is_reported_whole(declare, old, new, message):
    expected = message or {
        "models:\n": 'recipe.yaml:2: models: "models" is not a key of a recipe file; did you mean "model"? (one of: '
        "arithmetic, assumptions, augment, data, evaluation, extends, factors, losses, model, profiles, stages, "
        "trainer)",
        "losses:\n  triplet: 3": "recipe.yaml:6: losses.triplet: found 3, expected a mapping (key: value)",
    }.get(new)
    assert refusal_of(declare(recipe={old: new})) == expected


def test_a_profile_that_is_not_declared_is_refused(declare):
    assert refusal_of(declare(), profile="dem") == (
        'table.yaml: "dem" is not a profile of this table; did you mean "demo"? (one of: demo, paper)'
    )


def test_options_are_refused_by_their_names(declare):
    path = declare()
    assert refusal_of(path, rows=["9"]) == '--rows: "9" is not a row of table.yaml; expected one of: 1, 2, full'
    assert refusal_of(path, rows=["ful"]) == (
        '--rows: "ful" is not a row of table.yaml; did you mean "full"? (one of: 1, 2, full)'
    )
    assert refusal_of(path, rows=[]) == "--rows: found no row, expected at least one"
    assert refusal_of(path, seeds=[]) == "--seeds: found no seed, expected at least one"
    assert refusal_of(path, seeds=[0, -3]) == "--seeds: found -3, expected whole numbers from 0 to 4294967295"
    assert refusal_of(path, seeds=[1, 1]) == "--seeds: found 1, 1, expected each seed once"
    assert refusal_of(path, overrides={"model.backbon": "x"}) == (
        '--set: model.backbon: "backbon" is not a key of model; did you mean "backbone"? '
        "(one of: backbone, checkpoint_activations, embedding_dim, multi_level, options, output_stride, pooling, "
        "preprocessing, stage6, stage6_dilation, weights)"
    )
    assert refusal_of(path, overrides={"model.stage6": "yes"}) == (
        '--set: model.stage6: found the text "yes", expected true or false '
        '(on, off, yes and no are plain text in YAML 1.2)\n(in row "2" of table.yaml)'
    )
    assert refusal_of(path, overrides={"augment.mean": "[1, 2"}).startswith("--set augment.mean:1:6: not valid YAML:")


def test_several_mistakes_are_reported_at_once_and_many_are_cut(declare):
    message = refusal_of(declare(table={"seeds: [0, 1]": "seeds: [a]", "metrics: [mAP]": "metrics: 3"}))
    assert message == (
        'table.yaml:3: seeds.0: found the text "a", expected a whole number\n'
        "table.yaml:4: metrics: found 3, expected a list"
    )
    message = refusal_of(declare(table={"[0, 1]": "[" + ", ".join("abcdefghijklmnop") + "]"}))
    assert message.endswith("\nand 6 more")


def test_a_table_without_rows_is_refused(declare):
    path = declare(table_text="title: T\nrecipe: recipe.yaml\nseeds: [0]\nmetrics: [mAP]\n")
    assert refusal_of(path) == "table.yaml:1: rows: found no rows, expected some here or a generate: block"
    path = declare(table_text="title: T\nrecipe: recipe.yaml\nseeds: [0]\nmetrics: [mAP]\ngenerate: {}\n")
    assert refusal_of(path) == "table.yaml:5: generate: expected full_factorial, leave_one_out or add_one_in"


def test_recipes_that_extend_each_other_in_a_circle_are_refused(declare):
    path = declare(recipe={"data:": "extends: other.yaml\ndata:"})
    Path("other.yaml").write_text("extends: recipe.yaml\n")
    assert refusal_of(path) == (
        'other.yaml:1: extends: found the text "recipe.yaml", expected a recipe file that does not extend this one'
    )


@pytest.mark.parametrize("name", ['"a\\0b"', "x" * 5000, ".", "~/none.yaml", '""'])
def test_a_recipe_that_cannot_be_a_file_is_refused(declare, name):
    for path in (
        declare(table={"recipe: recipe.yaml": f"recipe: {name}"}),
        declare(recipe={"data:": f"extends: {name}\ndata:"}),
    ):
        assert ": found " in refusal_of(path)


def test_a_synthetic_set_of_another_layout_than_the_data_set_is_refused(declare):
    path = declare(recipe={"layout: market1501": "layout: cifar100"})
    load_matrix(path, profile="paper")
    assert refusal_of(path, profile="demo") == (
        'recipe.yaml:1: data.dataset: found "market1501", but the profile makes a synthetic "cifar100"; '
        "expected the same (profile demo)"
    )


def test_rows_of_different_data_sets_make_no_table(declare):
    path = declare(table={"[Softmax, DIL]}": "[Softmax, DIL], set: {data.dataset: cifar100}}"})
    assert refusal_of(path) == (
        'table.yaml: data.dataset: row "2" has "cifar100", row "1" "market1501"; expected one for all rows of a table'
    )


@pytest.mark.parametrize(
    ("table", "recipe", "message"),
    [
        (
            {},
            {"classify.epochs: 2": "classify.epochs: two"},
            'recipe.yaml:26: profiles.demo.patch.stages.classify.epochs: found the text "two", expected a whole number',
        ),
        (
            {"claims:": "profiles: {demo: {set: {augment.flip: 2}}}\nclaims:"},
            {},
            "table.yaml:10: profiles.demo.set.augment.flip: found 2, expected a number of at most 1",
        ),
    ],
)
def test_a_mistake_in_a_profile_that_is_not_chosen_is_reported(
    declare, table: dict, recipe: dict, message: str
) -> None:
    assert refusal_of(declare(table, recipe), profile="paper") == message + IN_ROW_1


def test_a_mistake_of_a_row_under_a_profile_that_is_not_chosen_is_reported(declare) -> None:
    path = declare({"factors: [Softmax, DIL]}": "factors: [Softmax, DIL], profiles: {demo: {set: {augment.flip: 2}}}}"})
    message = "table.yaml:7: rows.1.profiles.demo.set.augment.flip: found 2, expected a number of at most 1"
    assert refusal_of(path, profile="paper") == message + '\n(in row "2" of table.yaml)'
    load_matrix(path, profile="paper", rows=["1"])
