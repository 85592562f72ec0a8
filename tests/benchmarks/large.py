"""Evaluation and re-ranking at MSMT17's size on a CPU: memory, and time compared with the bare product of the same run.

    python tests/benchmarks/large.py [--threads N] [--shrink N] [--json FILE]

Features as in ``evaluate.py``, with as many identities as MSMT17's test set. Each is called once, after a call on
a small problem that loads or compiles the inner loops, and then the bare product once. Memory is the peak of that call:
of the whole process (Python, torch and the features included), and above what the process held before.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from evaluate import bare_product, make_problem, seconds_of
from gpu_evaluate import DIMENSION, SIZES
from measure import arguments, keep, show

from harness.reid.evaluate import evaluate_ranking, evaluate_reranked
from harness.reid.evaluate.memory import PeakMemory

IDENTITIES = 3060
"""Test identities of MSMT17, which has no distractors."""
MOST_MB = 4000
TARGET = f"the whole process within {MOST_MB / 1000:g} GB"


def main() -> None:
    """Measures both, and saves each result at once."""
    options = arguments(__doc__, ("--shrink", {"type": int, "default": 1, "help": "divide the sizes by this"}))
    queries, gallery = (count // options.shrink for count in SIZES["MSMT17"])
    problem = problem_of(queries, gallery, max(2, IDENTITIES // options.shrink))
    small = problem_of(200, 1000, 20)
    rows: list[dict[str, Any]] = []
    for what, evaluate in (
        (f"distances, CMC, mAP, mINP: {queries:,} x {gallery:,}", evaluate_ranking),
        (f"the same, re-ranked: {queries + gallery:,} boxes", evaluate_reranked),
    ):
        evaluate(*small, device="cpu")
        with PeakMemory() as memory:
            seconds = seconds_of(partial(evaluate, *problem, device="cpu"))
        left, right = problem[0], problem[3]
        if evaluate is evaluate_reranked:
            left = right = np.concatenate([left, right])
        bare_seconds = seconds_of(bare_product(left, right, "cpu")[1])
        rows.append(
            {
                "what": what,
                "s": seconds,
                "bare product s": bare_seconds,
                "ratio": seconds / bare_seconds,
                "process MB": memory.peak_bytes / 1e6,
                "MB above": (memory.peak_bytes - memory.start_bytes) / 1e6,
            }
        )
        keep(rows, options, target=TARGET, note=summary(rows))
    show(rows, options, target=TARGET, note=summary(rows))


def problem_of(queries: int, gallery: int, identities: int) -> tuple[np.ndarray, ...]:
    """Features, identities and cameras of both sides, without distractors."""
    return make_problem(queries, gallery, DIMENSION, 0, distractors=0.0, identities=identities)


def summary(rows: Sequence[Mapping[str, Any]]) -> str:
    """Whether memory was within the limit."""
    most = max(row["process MB"] for row in rows)
    relation = "within" if most <= MOST_MB else "more than"
    return (
        f"at most {most:,.0f} MB, {relation} the {MOST_MB:,} asked for; "
        "each timed once, after a call of a small problem"
    )


if __name__ == "__main__":
    main()
