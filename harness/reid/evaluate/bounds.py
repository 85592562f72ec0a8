"""How far a float32 product may be off, proven; what makes the ranking the same in every chunk and on every device.

Distances are ranked through ``score = |g|^2 / 2 - q.g``, which orders a query's gallery as the squared distance does,
since ``|q - g|^2 = |q|^2 + 2 score``. Products come from float32 matrix multiplication, whose last bits depend on the
block, the thread count and the device. So a float32 score decides only what it can prove; pairs nearer to a threshold
than its possible error are computed again in float64, one fixed order of summation for all. Equal gallery rows then
have equal distances, and the ranking is that of the float64 distances, ties by gallery order.
``scan.slack`` turns these bounds into the possible error of one score.
"""

import math
from typing import NamedTuple

UNIT_ROUNDOFF = 2.0**-24
SMALLEST_NORMAL = 2.0**-126


class Bounds(NamedTuple):
    """Error of a score, in the terms of ``scan.slack``. All zero: scores are exact."""

    product: float
    """Relative error of an inner product, of |q||g|."""
    rounding: float
    """Relative error of norms, sums and thresholds, of the squared radius."""
    underflow: float
    """Absolute error of products too small for normal float32 numbers."""
    largest_norm: float
    """Of the gallery's rows."""


EXACT = Bounds(0.0, 0.0, 0.0, 0.0)


def product_bounds(dimension: int, scale: float = 1.0, largest_norm: float = math.inf) -> Bounds:
    """Bounds for float32 products of ``dimension`` terms, summed in any order, with or without fused multiply-add.

    ``scale`` is the largest factor that a product is multiplied by afterwards, ``largest_norm`` that of any gallery
    row, so scaled.

    ``|fl(x.y) - x.y| <= gamma_n |x||y|`` with ``gamma_n = n u / (1 - n u)`` (Higham, Accuracy and Stability of
    Numerical Algorithms, 2nd ed., section 3.1), n being ``dimension`` plus 8 for scaling rows and columns, or
    for rounding them after a centre was taken off.
    """
    steps = (dimension + 8) * UNIT_ROUNDOFF
    underflow = dimension * SMALLEST_NORMAL * max(scale, 1.0)
    return Bounds(steps / (1.0 - steps), 8.0 * UNIT_ROUNDOFF, underflow, largest_norm)
