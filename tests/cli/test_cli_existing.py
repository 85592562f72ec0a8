"""``harness report`` of a file of runs that the harness did not make."""

import json
from pathlib import Path

import pytest
from conftest import Command

# Adam is 0.1 better than SGD under each seed: 0.7, 0.8 and 0.9 against 0.6, 0.7 and 0.8.
RUNS = "optimiser,seed,acc\n" + "".join(
    f"{name},{seed},{(base + seed) / 10}\n" for name, base in (("sgd", 6), ("adam", 7)) for seed in (0, 1, 2)
)
CLAIMS = 'claims: [{text: Adam helps, better: "optimiser=adam", than: "optimiser=sgd", metric: acc}]\n'
COLUMNS = ("--factors", "optimiser", "--seed", "seed", "--metric", "acc:percent")


@pytest.fixture
def results(place: Path) -> Path:
    (place / "results.csv").write_text(RUNS, encoding="utf-8")
    (place / "claims.yaml").write_text(CLAIMS, encoding="utf-8")
    return place


def test_a_file_of_runs_is_reported_as_a_table_is(harness: Command, results: Path) -> None:
    words = ("report", "results.csv", *COLUMNS, "--claims", "claims.yaml", "--format", "md", "--json")
    (table,) = json.loads(harness(*words).stdout)["tables"]
    means = {row["id"]: row["metrics"]["acc"]["measured"]["mean"] for row in table["rows"]}
    assert means == {"optimiser=sgd": pytest.approx(0.7), "optimiser=adam": pytest.approx(0.8)}
    (claim,) = table["claims"]
    assert claim["measured"]["mean"] == pytest.approx(0.1)
    assert table["provenance"]["dataset"] == "unknown"
    assert "Adam helps" in (results / "reports" / "results.md").read_text(encoding="utf-8")
    assert "80.0" in harness("report", "results.csv", *COLUMNS, "--format", "md").stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("results.csv", "--factors", "optimiser", "--metric", "acc"), "error: results.csv: expected --seed"),
        (("results.csv", *COLUMNS[:-1], "acd"), 'error: results.csv: "acd" (metric) is not a column; did you mean'),
        (("table1", *COLUMNS), "error: --factors optimiser: needs a CSV file or --from-mlflow EXPERIMENT"),
        (("results.csv", "--from-mlflow", "x", *COLUMNS), "error: --from-mlflow x: found results.csv as well"),
        (("nowhere.csv", *COLUMNS), "error: nowhere.csv: cannot be read: No such file or directory"),
    ],
)
def test_what_is_missing_or_misspelt_is_one_sentence(
    harness: Command, results: Path, words: tuple[str, ...], message: str
) -> None:
    assert harness("report", *words, code=2).stderr.startswith(message)
