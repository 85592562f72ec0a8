"""Holm's correction of p-values for the number of comparisons."""

from collections.abc import Sequence


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's adjusted p-values over one family of comparisons (Holm 1979); None stays None and does not count.

    Sorted ascending, the i-th of m (from 0) is multiplied by m - i, then made monotone and cut at 1.

    >>> holm([0.01, 0.04, None, 0.03])
    [0.03, 0.06, None, 0.06]
    """
    order = sorted((p, index) for index, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    worst = 0.0
    for position, (p, index) in enumerate(order):
        worst = max(worst, min(1.0, p * (len(order) - position)))
        adjusted[index] = worst
    return adjusted
