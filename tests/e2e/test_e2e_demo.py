"""The demo's problem is worth solving: training beats colours, and colours beat an untrained network."""

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ABLATIONS, answer, run_harness

from harness.reid.data import Split, cached_images, open_dataset
from harness.reid.data.augment import normalize
from harness.reid.evaluate import evaluate_ranking
from harness.reid.models import build_network

ROOT = ABLATIONS.parent
_MEAN_STD = ([0.5] * 3, [0.25] * 3)


def colours(images: np.ndarray) -> np.ndarray:
    """A colour histogram (4 x 4 x 4 bins) of the middle of each of six stripes: where the clothes are."""
    middle = (images[:, :, images.shape[2] // 4 : -images.shape[2] // 4] // 64).astype(np.int64)
    bins = middle[..., 0] * 16 + middle[..., 1] * 4 + middle[..., 2]
    stripes = np.array_split(bins, 6, axis=1)
    counted = [np.apply_along_axis(np.bincount, 1, s.reshape(len(s), -1), None, 64) for s in stripes]
    return np.sqrt(np.concatenate(counted, axis=1)).astype(np.float32)


def untrained(images: np.ndarray) -> np.ndarray:
    network = build_network(
        backbone="test_resnet",
        weights="none",
        output_stride=8,
        stage6=True,
        stage6_dilation=2,
        multi_level=True,
        embedding_dim=128,
        classes=None,
        seed=0,
    ).eval()
    with torch.inference_mode():
        batches = torch.split(torch.from_numpy(np.array(images)), 256)
        return torch.cat([network(normalize(batch, *_MEAN_STD)).embedding for batch in batches]).numpy()


@pytest.mark.slow
def test_the_full_method_beats_colours_and_colours_beat_an_untrained_network(tmp_path: Path) -> None:
    """Trains nothing where the README's first command has filled Table 1."""
    words = ["run", "ablations/table1.yaml", "--profile", "demo", "--rows", "8", "--seeds", "0", "--json"]
    (row,) = answer(run_harness(ROOT, *words, "--out", tmp_path))["rows"]
    trained = row["metrics"]["rank1"]

    (folder,) = (ROOT / ".harness" / "data").glob("market1501-*300*")
    dataset = open_dataset("market1501", folder)
    query, gallery = dataset.splits["query"], dataset.splits["gallery"]

    def images(split: Split) -> np.ndarray:
        return cached_images(split, dataset.root, 64, 32, tmp_path, workers=2)

    def rank1(features: object) -> float:
        of_query, of_gallery = features(images(query)), features(images(gallery))  # type: ignore[operator]
        cameras = query.cameras, gallery.cameras
        return evaluate_ranking(
            of_query, query.identities, cameras[0], of_gallery, gallery.identities, cameras[1]
        ).metrics()["rank1"]

    assert rank1(untrained) < rank1(colours) < trained / 2
    assert 0.40 < trained < 0.95
