"""Settling: which comparisons of a table are decided, and which seeds to train next until they are.

Owns when results are looked at, how much of the error each look may spend, verdicts and the order of trainings. Pure
functions of what was declared and of results; runs nothing, and does not know where results come from.
"""

from harness.settle.costs import Costs
from harness.settle.expect import EFFECTS, expected, most_runs
from harness.settle.holm import holm
from harness.settle.looks import share_at, spent
from harness.settle.path import Declared, Line, Path, Run, replay
from harness.settle.record import changed, from_record, to_record
from harness.settle.verdicts import ALPHA, Comparison, Evidence

__all__ = [
    "ALPHA",
    "EFFECTS",
    "Comparison",
    "Costs",
    "Declared",
    "Evidence",
    "Line",
    "Path",
    "Run",
    "changed",
    "expected",
    "from_record",
    "holm",
    "most_runs",
    "replay",
    "share_at",
    "spent",
    "to_record",
]
