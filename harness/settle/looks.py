r"""When the seeds of a comparison are looked at, and how much of the error each look may spend.

Looking again after every seed and stopping at the first small p-value is wrong far more often than each look by
itself. Here the k-th look (from 0) may spend the share

    g_k = c (1 - q) q^k,    q = 0.9,    c = 1.3

of the error alpha: it decides if its p-value, that of a fixed number of seeds, is at most g_k alpha. The *sequential
p-value*, the smallest p_k / g_k so far, is a p-value at every moment, and the interval of level 1 - g_k alpha around
the k-th mean covers the truth at every look at once with probability 1 - alpha (Jennison and Turnbull 1989, repeated
confidence intervals), however many looks there will be, and whatever made somebody stop. Since the shares never end,
more seeds may be added later by anybody.

Why the shares may add up to c > 1. By Bonferroni's inequality they could add up to 1 whatever the looks have to do
with each other. But looks at grown data agree, so that this spends hardly more than half of the error. For normal
differences the joint law of Student's t at all looks is known: it depends on nothing but the numbers of seeds. Over
endless looks the chance of a wrong one is then at most alpha for every alpha up to 5 %, for c as large as

    alpha      5 %    1 %    0.25 %  0.03 %
    c          1.99   1.64   1.46    1.35     (3 declared seeds; more with 4 or more)

(800,000 simulated ways to 2,000 seeds; ``tests/settle/test_settle_looks.py`` checks the c chosen). What is left is a
margin against results that are not normal, which ``tests/benchmarks/settle.py`` measures. It does not save what no t
test saves: of rows that are skewed and of very unequal spread, settling errs as often as a fixed number of seeds does.

The p-values are Student's (with the queries' part, see ``harness.report.statistics``), so they hold from the first
look on; boundaries from normal theory would be crossed too often with the few seeds that trainings can afford.

Looks come at the declared seeds (at least ``FIRST``), then at a quarter more each time: few looks at many seeds, and
rounds that keep several devices busy.
"""

FIRST = 3
"""Fewest seeds of the first look: with two, Student's quantiles at small levels are of no use."""
GROWTH = 4
"""Each look adds a quarter of the seeds that there are, at least one."""
KEPT = 0.9
"""q, the part of what a look finds unspent that it leaves to those after it."""
ALTOGETHER = 1.3
"""c, what the shares of all looks add up to."""


def look_sizes(first: int, most: int) -> tuple[int, ...]:
    """The numbers of seeds at which a comparison is looked at, none above ``most`` but the first.

    They do not depend on ``most`` otherwise: whoever allows more seeds later continues with the same looks.

    Args:
        first: Seeds that are declared.
        most: Seeds at most.

    >>> look_sizes(3, 17)
    (3, 4, 5, 6, 7, 8, 10, 12, 15)
    """
    sizes = [max(first, FIRST)]
    while (following := sizes[-1] + max(1, sizes[-1] // GROWTH)) <= most:
        sizes.append(following)
    return tuple(sizes)


def share(look: int) -> float:
    """The part of the error that a look may spend, counted from 0.

    >>> round(share(0), 4), round(share(1), 4), round(sum(map(share, range(200))), 6)
    (0.13, 0.117, 1.3)
    """
    return float(ALTOGETHER * (1 - KEPT) * KEPT**look)


def spent(looks: int) -> float:
    """The part of a comparison's error that so many looks have used.

    >>> round(spent(1), 4), round(spent(2), 4)
    (0.1, 0.19)
    """
    return 1.0 - float(KEPT**looks)


def share_at(seeds: int, first: int) -> float:
    """The share of the look at so many seeds; where there is none, of the next one.

    >>> share_at(3, 3) == share(0), share_at(9, 3) == share_at(10, 3) == share(6)
    (True, True)
    """
    look, size = 0, max(first, FIRST)
    while size < seeds:
        look, size = look + 1, size + max(1, size // GROWTH)
    return share(look)
