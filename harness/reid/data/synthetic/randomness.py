"""Random streams of the generator: one per thing drawn, so that neither order nor process can change a byte."""

from enum import IntEnum

import numpy as np

_KEY_WORDS = 6


class Purpose(IntEnum):
    """What a stream is for; the first word of its key after the seed, never zero."""

    PLAN = 1
    APPEARANCE = 2
    SIBLING = 3
    CAMERAS = 4
    BACKGROUND = 5
    TRACK = 6
    BOX = 7
    OBJECT = 8


def stream(seed: int, purpose: Purpose, *key: int) -> np.random.Generator:
    """A fresh generator for one thing, the same in any process.

    Args:
        seed: Seed of the whole data set, in [0, 2**32).
        purpose: What the numbers are for.
        key: Up to four non-negative words that identify this among others of its purpose; padded with zeros, since
            ``SeedSequence`` takes a key and the same key with zeros behind it for equal.
    """
    words = (seed, int(purpose), *key)
    return np.random.default_rng(np.random.SeedSequence([*words, *[0] * (_KEY_WORDS - len(words))]))
