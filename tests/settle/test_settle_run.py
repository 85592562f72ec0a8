"""A table that is run until its claims are decided: killed, failed, added to by hand, declared otherwise."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Settle

import harness
from harness.api.run import TableRun
from harness.api.settle import Settling
from harness.errors import InputError
from harness.report import report_to_json

pytestmark = pytest.mark.slow

Declare = Callable[..., Path]


def verdicts(ended: TableRun) -> dict[str, tuple[str, int]]:
    assert ended.report is not None
    assert ended.report.settlement is not None
    lines = ended.report.settlement.path.lines
    return {line.comparison.text or line.comparison.better: (line.verdict, line.seeds) for line in lines}


def decisions(settling: Settling | None) -> list[tuple[str, list[int]]]:
    assert settling is not None
    assert settling.path is not None
    return [(line.verdict, [look.evidence.seeds for look in line.looks]) for line in settling.path.lines]


def test_a_table_is_settled_and_its_report_says_how(declare: Declare, settle: Settle) -> None:
    ended, settling, notes = settle(declare())
    found = verdicts(ended)
    assert found["gain helps"][0] == "better"
    assert found["other helps"][0] == "practically equal"
    assert max(seeds for _, seeds in found.values()) < 27
    assert [verdict for verdict, _ in decisions(settling)] == [verdict for verdict, _ in found.values()]
    assert ended.report is not None
    assert [claim.verdict for claim in ended.report.claims] == ["reproduced", "practically equal"]
    assert ended.report.heading.endswith("settled: 1 better, 1 practically equal")
    text = ended.written[0].read_text()
    assert "## How it was settled" in text
    assert "was settled: after 3 declared seeds" in text
    assert any(path.name == "table-settled.svg" for path in ended.written)
    assert "settling, round 1: " in " ".join(notes)
    seeds = {row.id: row.seeds_done for row in ended.report.ours}
    assert seeds["both"] == 3
    assert seeds["gain"] == found["gain helps"][1]
    settled = report_to_json(ended.report)["settled"]
    assert settled["complete"] is True
    assert json.loads(json.dumps(settled)) == settled
    compared = harness.Table("table.yaml", store="store").compare("plain", "gain")
    assert any("repeated looks" in note for note in compared.model.notes)


def test_a_table_in_which_nothing_differs_ends_practically_equal_before_the_last_seed(
    declare: Declare, settle: Settle
) -> None:
    same = [{"id": "plain", "factors": []}, {"id": "other", "factors": ["Other"]}]
    ended, _, _ = settle(declare(rows=same, claims=[], settle={"within": {"score": 0.4}}))
    assert verdicts(ended) == {"other": ("practically equal", verdicts(ended)["other"][1])}
    assert verdicts(ended)["other"][1] < 27


def test_run_again_it_trains_nothing_and_says_the_same(declare: Declare, settle: Settle) -> None:
    first, one, _ = settle(declare())
    again, two, _ = settle(declare())
    assert again.trained == 0
    assert decisions(one) == decisions(two)
    assert first.written[0].read_bytes() == again.written[0].read_bytes()


def test_killed_it_goes_on_to_the_same_decisions(
    declare: Declare, settle: Settle, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = declare(claims=[{"text": "a little", "better": "other", "than": "plain", "metric": "score"}])
    Path("die").touch()
    with pytest.raises(KeyboardInterrupt):
        settle(table, most=12)
    Path("die").unlink()
    ended, resumed, _ = settle(table, most=12)
    store = Path("store").rename("first")
    assert store.exists()
    _, whole, _ = settle(table, most=12)
    assert decisions(resumed) == decisions(whole)
    assert verdicts(ended) == {"a little": ("open", 12)}


def test_two_processes_at_once_take_the_same_decisions(declare: Declare) -> None:
    declare()
    command = [sys.executable, "-m", "harness", "run", "table.yaml", "--settle", "--store", "store", "--out"]
    both = [subprocess.Popen([*command, out], stdout=subprocess.PIPE, text=True) for out in ("one", "two")]
    answers = [process.communicate()[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert all("gain vs plain, Score: better" in answer for answer in answers)
    assert Path("one/table.md").read_bytes() == Path("two/table.md").read_bytes()


def test_code_that_is_edited_meanwhile_counts_from_the_next_command_on(declare: Declare, settle: Settle) -> None:
    claims = [{"text": "a little", "better": "other", "than": "plain", "metric": "score"}]
    table = declare(claims=claims)
    Path("edit").touch()
    ended, settling, _ = settle(table, most=5)
    assert decisions(settling) == [("open", [3, 4, 5])]
    assert {run.evaluation for run in ended.prepared.plan.runs} == set(ended.outcomes)
    assert ended.to_json()["rows"]
    Path("edit").unlink()
    again, _, _ = settle(table, most=5)
    assert again.trained == len(again.prepared.plan.runs)


def test_a_run_that_failed_leaves_its_claim_open_until_it_is_mended(declare: Declare, settle: Settle) -> None:
    claims = [{"text": "gain helps", "better": "gain", "than": "both", "metric": "score"}]
    table = declare(claims=claims)
    Path("fail").touch()
    ended, settling, _ = settle(table, most=5)
    assert decisions(settling) == [("open", [3])]
    assert ended.report is not None
    assert ended.report.claims[0].reason == 'row "gain" has no result under seed 3'
    Path("fail").unlink()
    _, settling, _ = settle(table, most=5)
    assert decisions(settling)[0][1] == [3, 4, 5]


def test_more_seeds_go_on_where_fewer_ended(declare: Declare, settle: Settle) -> None:
    claims = [{"text": "a little", "better": "other", "than": "plain", "metric": "score"}]
    _, few, _ = settle(declare(claims=claims), most=4)
    _, many, _ = settle(declare(claims=claims), most=6)
    assert decisions(few) == [("open", [3, 4])]
    assert decisions(many) == [("open", [3, 4, 5, 6])]


def test_seeds_added_by_hand_are_reported_and_count_in_no_number(declare: Declare, settle: Settle) -> None:
    ended, _, _ = settle(declare())
    more, _, notes = settle(declare(), settles=False, seeds=[0, 40, 41])
    assert ended.report is not None
    assert more.report is not None
    assert "The seeds 40, 41 are not in any number of its report" in " ".join(notes)
    assert more.report.claims == ended.report.claims
    assert [row.cells for row in more.report.ours] == [row.cells for row in ended.report.ours]
    assert more.report.heading.endswith("1 practically equal (without 8 runs added by hand)")
    assert "Added by hand, and not counted in any number here: 8 runs under the seeds 40" in more.written[0].read_text()


def test_other_claims_after_a_look_are_refused_and_other_seeds_begin_anew(declare: Declare, settle: Settle) -> None:
    settle(declare(), most=4)
    claims = [{"text": "gain helps", "better": "gain", "than": "plain", "metric": "score", "within": 5.0}]
    with pytest.raises(InputError, match=r"gone: gain vs plain \(score\); new: gain vs plain \(score\) within 5"):
        settle(declare(claims=claims), most=4)
    _, settling, _ = settle(declare(claims=claims, seeds=[7, 8, 9]), most=4)
    assert decisions(settling)[0][0] == "practically equal"


def test_fewer_seeds_than_declared_and_nothing_to_compare_are_refused(declare: Declare, settle: Settle) -> None:
    with pytest.raises(InputError, match="--max-seeds 3: expected at least 4, since the table declares 4 seeds"):
        settle(declare(seeds=[0, 1, 2, 3]), most=3)
    with pytest.raises(InputError, match="nothing to settle"):
        settle(declare(rows=[{"id": "plain", "factors": []}], claims=[]))
