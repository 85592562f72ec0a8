"""Data sets: finding and reading them, what identifies their contents, decoded images, batches, augmentation.

Owns everything between a folder of photographs and a batch of pixels on a device, and the synthetic data sets
(``harness.reid.data.synthetic``). Plain arguments in, arrays out; refuses to know of models, recipes, plans or
tracking.

What needs torch is imported from its own module, so that this package is light: ``harness.reid.data.augment``,
``harness.reid.data.batches`` and ``harness.reid.data.sampler``.
"""

from typing import TYPE_CHECKING, Any

from harness.reid.data.cache import cache_size_bytes, cached_images
from harness.reid.data.dataset import DISTRACTOR, JUNK, Dataset, Split, label_map
from harness.reid.data.fingerprint import split_fingerprint
from harness.reid.data.held_out import held_out_split
from harness.reid.data.readers import DATASETS, find_dataset, open_dataset, recognise, release_counts

if TYPE_CHECKING:
    from harness.reid.data.check import DatasetReport, check_dataset

__all__ = [
    "DATASETS",
    "DISTRACTOR",
    "JUNK",
    "Dataset",
    "DatasetReport",
    "Split",
    "cache_size_bytes",
    "cached_images",
    "check_dataset",
    "find_dataset",
    "held_out_split",
    "label_map",
    "open_dataset",
    "recognise",
    "release_counts",
    "split_fingerprint",
]


def __getattr__(name: str) -> Any:
    """Imports ``harness.reid.data.check`` on demand: how a report is worded is no part of what a stage runs."""
    if name in {"DatasetReport", "check_dataset"}:
        from importlib import import_module

        return getattr(import_module("harness.reid.data.check"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
