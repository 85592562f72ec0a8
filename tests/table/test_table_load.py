"""A row's network, loaded from Python: its features are those that the recorded metrics were computed from."""

import shutil
from pathlib import Path

import pytest
from conftest import ROOT

from harness import Table
from harness.reid.data import open_dataset
from harness.reid.evaluate import evaluate_ranking

SMALL = {
    "data": {"height_px": 32, "width_px": 16},
    "model": {"embedding_dim": 16},
    "stages.classify.epochs": 1,
}


def test_features_of_a_loaded_network_give_the_recorded_metric(folder: Path, photographs: Path) -> None:
    shutil.copytree(ROOT / "ablations", folder / "ablations")
    table = Table("ablations/table1.yaml", profile="demo", data=photographs, overrides=SMALL)
    assert table.run(rows=["1"], seeds=[0], executor="inprocess", progress=False, formats=()).failed == []
    trained = table["1"].load(seed=0)
    assert not trained.network.training
    splits = open_dataset("market1501", photographs).splits
    query, gallery = splits["query"], splits["gallery"]
    features = [
        trained.features([photographs / split.files[index] for index in range(len(split))], batch=7)
        for split in (query, gallery)
    ]
    result = evaluate_ranking(
        features[0], query.identities, query.cameras, features[1], gallery.identities, gallery.cameras
    )
    results = table.results()
    (recorded,) = results[(results.metric == "mAP") & (results.row == "1")].value
    assert result.metrics()["mAP"] == pytest.approx(recorded, abs=1e-6)
