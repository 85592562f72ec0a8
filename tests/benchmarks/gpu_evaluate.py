"""Evaluation and re-ranking on the device: against the bare product, and against the CPU's numbers.

    python tests/benchmarks/gpu_evaluate.py [--device cuda] [--shrink N] [--json FILE]

Features as in ``evaluate.py``, at Market-1501's and at MSMT17's size. The bare product is of the same run and on the
same device, in float32. The CPU then does the same, and every query's average precision must be the same number. Each
line is saved as soon as it is measured, with the CPU's columns empty until the CPU is done.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from evaluate import bare_product, make_problem, measure
from measure import arguments, keep, show

from harness.reid.evaluate import RankingResult, evaluate_ranking, evaluate_reranked

SIZES: Mapping[str, tuple[int, int]] = {"Market-1501": (3368, 19732), "MSMT17": (11659, 82161)}
"""Queries and gallery boxes."""
DIMENSION = 1024
TARGET = "the CPU's numbers, to the last bit"


def main() -> None:
    """Measures each size with and without re-ranking, then on the CPU."""
    options = arguments(
        __doc__,
        ("--shrink", {"type": int, "default": 1, "help": "divide the sizes by this"}),
        ("--rounds", {"type": int, "default": 3}),
    )
    rows: list[dict[str, Any]] = []
    for name, (queries, gallery) in SIZES.items():
        problem = make_problem(queries // options.shrink, gallery // options.shrink, DIMENSION, 0)
        both = np.concatenate([problem[0], problem[3]])
        device = str(options.device)
        for what, evaluate, sides in (
            ("CMC, mAP", evaluate_ranking, (problem[0], problem[3])),
            ("re-ranked", evaluate_reranked, (both, both)),
        ):
            asked = _Asked(evaluate, problem, device)
            rounds = options.rounds if evaluate is evaluate_ranking else 1
            timed = measure(what, asked, bare_product(*sides, device), rounds)
            rows.append(
                {
                    "size": f"{name}: {len(problem[0]):,} x {len(problem[3]):,}",
                    "what": what,
                    "s": timed["seconds"],
                    "bare product s": timed["bare_seconds"],
                    "ratio": timed["ratio"],
                    "first call s": timed["first_call_seconds"],
                    "CPU s": None,
                    "equal to the CPU's": None,
                    "largest difference": None,
                }
            )
            keep(rows, options, target=TARGET, note=summary(rows))
            started = time.perf_counter()
            on_cpu = evaluate(*problem, device="cpu")
            rows[-1] |= {"CPU s": time.perf_counter() - started, **compared(asked.result, on_cpu)}
            keep(rows, options, target=TARGET, note=summary(rows))
    show(rows, options, target=TARGET, note=summary(rows))


@dataclass
class _Asked:
    """A repeatable evaluation of a problem on a device; keeps its newest result."""

    evaluate: Callable[..., RankingResult]
    problem: Sequence[np.ndarray]
    device: str

    def __call__(self) -> None:
        self.result = self.evaluate(*self.problem, device=self.device)


def compared(found: RankingResult, expected: RankingResult) -> dict[str, Any]:
    """Whether every query has the same average precision and nearest images, and the largest difference."""
    left, right = found.average_precision, expected.average_precision
    equal = np.array_equal(left, right, equal_nan=True) and np.array_equal(found.top_indices, expected.top_indices)
    largest = float(np.nanmax(np.abs(left - right), initial=0.0))
    return {"equal to the CPU's": "yes" if equal else "no", "largest difference": largest}


def summary(rows: Sequence[Mapping[str, Any]]) -> str:
    """The figures in one sentence."""
    asked = [row for row in rows if row["equal to the CPU's"] is not None]
    equal = sum(row["equal to the CPU's"] == "yes" for row in asked)
    return f"{len(rows)} measured, {equal} of {len(asked)} equal to the CPU's"


if __name__ == "__main__":
    main()
