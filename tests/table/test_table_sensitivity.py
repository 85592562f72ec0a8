"""Sensitivity to assumptions: which verdicts change under which alternative, on a toy whose scores are known."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import warm

from harness import InputError, Report, Table

# The toy's score is gain + the mean of 0, 0.1, 0.2 and 0.3 + 0.01 seed, whatever the steps: pairs differ by the gains.
RECIPE: dict[str, Any] = {
    "trainer": "toy:train",
    "settings": {"gain": 0.5, "steps": 3, "wide": False},
    "metrics": {"score": {"title": "Score"}, "loss": {"better": "lower"}},
    "factors": {"Gain": {"levels": {"more": {"gain": 0.7}}}},
    "assumptions": {"steps": {"why": "not stated", "alternatives": [3, 2]}, "wide": "not stated"},
}
CLAIMS = [{"text": "more is more", "better": "more", "than": "plain", "metric": "score"}]
DECLARED: dict[str, Any] = {
    "name": "toy",
    "title": "A toy",
    "seeds": [0, 1, 2],
    "metrics": ["score"],
    "recipe": RECIPE,
    "rows": [{"id": "plain", "factors": []}, {"id": "more", "factors": ["Gain=more"]}, {"id": "idle", "factors": []}],
    "claims": CLAIMS,
}


def declare(**changes: Any) -> Table:
    return Table.declare(**{**DECLARED, **changes})


def test_each_alternative_is_tried_alone_on_the_rows_that_claims_need(folder: Path) -> None:
    found = declare().sensitivity(executor="inprocess", progress=False, out=folder / "out")
    assert found.assumption.tolist() == ["", "steps"]  # 3 is the value already
    assert found.value.tolist()[1] == 2
    assert found.gain.tolist() == pytest.approx([0.2, 0.2])
    page = json.loads((folder / "out" / "toy-sensitivity.json").read_text())
    assert [one["assumption"] for one in page["variations"]] == ["", "steps"]
    text = (folder / "out" / "toy-sensitivity.md").read_text()
    assert text.startswith("# A toy: every verdict survives its 1 alternative")
    declare().sensitivity(executor="inprocess", progress=False, out=folder / "page", formats=["html"])
    assert [path.name for path in (folder / "page").iterdir()] == ["toy-sensitivity.html"]
    with pytest.raises(InputError, match='--format "tex": '):
        declare().sensitivity(progress=False, formats=["tex"])


def test_the_command_says_the_cost_first_and_goes_on_where_it_stopped(folder: Path) -> None:
    (folder / "toy.yaml").write_text(json.dumps(DECLARED))

    def harness(*options: str) -> dict[str, Any]:
        ended = warm.run(["harness", "sensitivity", "toy.yaml", "--json", *options], folder, os.environ, timeout_s=900)
        assert ended.returncode == 0, ended.stderr
        answer: dict[str, Any] = json.loads(ended.stdout)
        return answer

    cost = harness("--dry-run")
    assert cost["rows"] == ["plain", "more"]  # idle is part of no claim
    assert cost["stages_to_run"] == 12  # two rows, three seeds, as assumed and with two steps
    assert [one["stages_to_run"] for one in cost["variations"]] == [6, 6]
    found = harness("--executor", "inprocess")
    assert found["survives"]
    assert [Path(file).suffix for file in found["reports"]] == [".md", ".html", ".json"]
    assert harness("--out", "page", "--format", "html")["reports"] == ["page/toy-sensitivity.html"]
    assert [path.name for path in (folder / "page").iterdir()] == ["toy-sensitivity.html"]
    wrong = ["harness", "sensitivity", "toy.yaml", "--format", "htm"]
    ended = warm.run(wrong, folder, os.environ, timeout_s=900)
    assert ended.returncode == 2
    assert ended.stderr.startswith('error: --format "htm": did you mean "html"?')
    assert harness("--dry-run")["stages_to_run"] == 0


DECISIVE = """
def train(settings, run):
    if settings.steps == 1:
        raise ValueError("one step is too few")
    sign = {3: 1, 2: -1}[settings.steps]
    return {"score": 0.5 + settings.gain * (sign * 0.1 + [0.01, -0.01, 0.0][run.seed]), "loss": 0.0}
"""


def decisive(alternatives: list[int]) -> Table:
    assumptions = {"steps": {"why": "not stated", "alternatives": alternatives}}
    changes = {"trainer": "decisive:train", "settings": {"gain": 0.0, "steps": 3}, "assumptions": assumptions}
    factors = {"Gain": {"levels": {"more": {"gain": 1.0}}}}
    return declare(recipe={**RECIPE, **changes, "factors": factors})


def test_a_verdict_that_an_alternative_turns_is_named_in_the_heading_and_beside_the_claim(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Differences 0.11, 0.09, 0.10: t = 0.1 / (0.01 / sqrt(3)) = 17.3, p(2) = 0.0033; with two steps the same below 0.
    (folder / "decisive.py").write_text(DECISIVE)
    monkeypatch.delitem(sys.modules, "decisive", raising=False)
    found = decisive([2]).sensitivity(executor="inprocess", progress=False, out=folder)
    assert found.finding.tolist() == ["holds", "contrary"]
    assert found.p_holm.tolist() == pytest.approx([0.0033, 0.0033], abs=1e-4)
    page = (folder / "toy-sensitivity.md").read_text()
    assert page.startswith("# A toy: 1 of 1 verdict changes with steps")
    assert '- `steps = 2`: "more is more" is contrary with it, and holds as assumed.' in page
    assert "| more is more | more vs plain | Score | holds +0.100 [+0.075, +0.125] | **contrary** −0.100" in page


def test_an_alternative_that_fails_survives_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "decisive.py").write_text(DECISIVE)
    monkeypatch.delitem(sys.modules, "decisive", raising=False)
    found = decisive([1]).sensitivity(executor="inprocess", progress=False, out=folder)
    assert found.finding.tolist() == ["holds", "open"]
    page = (folder / "toy-sensitivity.md").read_text()
    assert page.startswith("# A toy: 1 alternative, some without results")
    assert "one step is too few" in page
    assert not json.loads((folder / "toy-sensitivity.json").read_text())["survives"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"assumptions": ["stepz"]}, '--assumptions: "stepz" is not an assumption here; did you mean "steps"'),
        ({"assumptions": ["wide"]}, "--assumptions: wide declares no alternatives; add them to the recipe"),
        ({"claims": ["more is mor"]}, '--claims: "more is mor" is not a claim of toy; did you mean "more is more"'),
    ],
)
def test_a_wrong_name_is_refused_with_the_nearest(folder: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as refused:
        declare().sensitivity(executor="inprocess", progress=False, **options)
    assert str(refused.value).startswith(message)


def test_nothing_to_vary_is_said(folder: Path) -> None:
    recipe = {**RECIPE, "assumptions": {"wide": "not stated"}}
    with pytest.raises(InputError, match=r"toy: no assumption has an alternative to its value here"):
        declare(recipe=recipe).sensitivity(executor="inprocess", progress=False)
    wrong = {**RECIPE, "assumptions": {"steps": {"why": "not stated", "alternatives": ["many"]}}}
    with pytest.raises(InputError, match=r"the alternative many of the assumption steps: "):
        declare(recipe=wrong).sensitivity(executor="inprocess", progress=False)


def test_the_tables_heading_says_that_its_verdicts_survive_until_claims_or_seeds_change(folder: Path) -> None:
    inline: dict[str, Any] = {"executor": "inprocess", "progress": False, "out": folder / "out"}
    table = declare()
    table.run(**inline, formats=("md",))
    assert "under its assumptions" not in (folder / "out" / "toy.md").read_text()
    table.sensitivity(assumptions=["steps"], **inline)  # a part of the assumptions: nothing for the heading
    assert "under its assumptions" not in table.report()._repr_html_()
    table.sensitivity(**inline)
    said = "under its assumptions every verdict survives its 1 alternative"
    assert said in table.report()._repr_html_()
    table.run(**inline, formats=("md",))
    assert said in (folder / "out" / "toy.md").read_text()
    assert '"summary"' not in (folder / "out" / "toy.md").read_text()  # no raw fact in the provenance
    declare(claims=[{**CLAIMS[0], "text": "another claim"}]).run(**inline, formats=("md",))
    assert said not in (folder / "out" / "toy.md").read_text()
    assert (
        "<h1>A toy: every verdict survives its 1 alternative</h1>" in (folder / "out/toy-sensitivity.html").read_text()
    )


def test_removing_a_table_removes_what_sensitivity_kept_of_it(folder: Path) -> None:
    from harness.api.removal import plan_removal, remove_table

    inline: dict[str, Any] = {"executor": "inprocess", "progress": False, "formats": ("md",)}
    declare().run(**inline)
    declare().sensitivity(**inline)
    assert (folder / "reports" / "toy-sensitivity.md").is_file()
    removal = plan_removal("toy", None, str(folder / ".harness"))
    assert (
        len(removal.stages) == 12
    )  # plain (idle is the same) and more, as they are and with two steps, under three seeds
    remove_table(removal, str(folder / ".harness"))
    assert not list((folder / "reports").glob("toy*"))


def test_a_renamed_table_keeps_what_sensitivity_knows_of_it(folder: Path) -> None:
    from harness.api.removal import plan_removal, rename_table
    from harness.track import read_snapshot

    inline: dict[str, Any] = {"executor": "inprocess", "progress": False, "formats": ("md",)}
    store = str(folder / ".harness")
    declare().run(**inline)
    assert not rename_table("toy", "plain", store)
    assert not rename_table("plain", "toy", store)
    declare().sensitivity(**inline)
    assert rename_table("toy", "other", store)
    assert len(plan_removal("other", None, store).stages) == 12
    page = Report.of(read_snapshot(None, "other"))._repr_html_()
    assert "under its assumptions every verdict survives" in page
