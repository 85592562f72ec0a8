"""``harness report`` on a tracker whose runs contradict their claim: what continuous integration goes by."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner

from harness.cli.app import app
from harness.errors import InputError
from harness.track import Tracker

PROVENANCE = {"profile": "paper", "dataset": "market1501", "synthetic": "false", "code_digest": "c0de"}
ROWS = [{"id": row, "label": "", "note": "", "factors": {"SAC": row == "8"}, "paper": {}} for row in ("5", "8")]
DECLARATION = {
    **{"name": "table1", "title": "T", "profile": "paper", "dataset": "market1501", "seeds": [0, 1, 2]},
    **{"metrics": ["mAP"], "rows": ROWS},
    "claims": [{"text": "SAC helps", "better": "8", "than": "5", "metric": "mAP", "by": 3.2}],
}


def fill(uri: str, outbox: Path, with_sac: Sequence[float], code: Sequence[str] = ("c0de",) * 3) -> None:
    """A table of rows 5 (mAP 0.78) and 8 under three seeds."""
    tracker = Tracker(uri, outbox)
    tracker.open_table("T", table="table1", declaration=DECLARATION, provenance=PROVENANCE)
    for row, values in (("5", (0.78, 0.78, 0.78)), ("8", with_sac)):
        for seed, value in enumerate(values):
            key, provenance = f"{row}/{seed}", {**PROVENANCE, "code_digest": code[seed]}
            tracker.open_run(
                key,
                table_key="T",
                row=row,
                seed=seed,
                name=key,
                factors={"SAC": row == "8"},
                params={},
                recipe_yaml="model: {}\n",
                provenance=provenance,
            )
            tracker.finish_run(key, {"mAP": value})
    tracker.finish_table("T", succeeded=True)
    assert not tracker.close().undelivered


@pytest.mark.parametrize(
    ("with_sac", "code", "verdict"),
    [((0.75, 0.751, 0.752), 1, "contradicted"), ((0.81, 0.811, 0.812), 0, "reproduced")],
)
def test_strict_fails_on_a_contradicted_claim_alone(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_sac: Sequence[float], code: int, verdict: str
) -> None:
    fill(uri, tmp_path / "outbox", with_sac)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    command = ["report", "table1", "--out", str(tmp_path / "out"), "--store", str(tmp_path), "--format", "md"]
    assert CliRunner().invoke(app, [*command, "--strict"]).exit_code == code
    assert CliRunner().invoke(app, command).exit_code == 0
    assert f"**{verdict}**" in (tmp_path / "out" / "table1.md").read_text(encoding="utf-8")


def test_runs_of_two_code_versions_are_refused_with_which_differ_in_what(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(uri, tmp_path / "outbox", (0.8, 0.8, 0.8), code=("c0de", "c0de", "beef"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    refused = CliRunner().invoke(app, ["report", "table1", "--out", str(tmp_path / "out"), "--store", str(tmp_path)])
    assert isinstance(refused.exception, InputError)
    message = str(refused.exception)
    assert 'code version (code_digest): beef: rows "5" seed 2, "8" seed 2; c0de: rows "5" seed 0' in message
    assert not (tmp_path / "out").exists()
