"""Data sets: finding and reading them, what identifies their contents, decoded images, batches, augmentation.

Owns everything between a folder of photographs and a batch of pixels on a device, and the synthetic data sets
(``harness.reid.data.synthetic``). Plain arguments in, arrays out; refuses to know of models, recipes, plans or
tracking.

What needs torch is imported from its own module, so that this package is light: ``harness.reid.data.augment``,
``harness.reid.data.batches`` and ``harness.reid.data.sampler``. So is what no stage runs, which a change of it need not
train anew: which data sets are known and how layouts are read (``harness.reid.data.known``), and what a check of one
says (``harness.reid.data.check``).
"""

from harness.reid.data.cache import cache_size_bytes, cached_images
from harness.reid.data.dataset import Dataset, Split, label_map
from harness.reid.data.fingerprint import split_fingerprint
from harness.reid.data.held_out import held_out_split
from harness.reid.data.readers import open_dataset

__all__ = [
    "Dataset",
    "Split",
    "cache_size_bytes",
    "cached_images",
    "held_out_split",
    "label_map",
    "open_dataset",
    "split_fingerprint",
]
