"""Which stages fill a table, what they share, what is cached, what they cost and which effects their rows identify.

Owns fingerprints, the graph of stages, cost estimates and identifiable effects. Refuses running anything; imports
neither torch nor the tracker, so that a plan is quick.
"""

from harness.plan.budgets import StageBudget, also_differs
from harness.plan.estimates import Speed, Speeds, estimate, measured_speeds, speed_key, unmeasured
from harness.plan.fingerprint import fingerprint
from harness.plan.identifiable import Identified
from harness.plan.plan import CodeDigest, budgets_of, build_plan, chain_of, code_of, identify_matrix, plan_to_json
from harness.plan.stage import Plan, Run, Stage
from harness.plan.suggest import Suggestion, most_informative_row, rows_to_add
from harness.plan.why import Comparison, Difference, code_behind, code_differences

__all__ = [
    "CodeDigest",
    "Comparison",
    "Difference",
    "Identified",
    "Plan",
    "Run",
    "Speed",
    "Speeds",
    "Stage",
    "StageBudget",
    "Suggestion",
    "also_differs",
    "budgets_of",
    "build_plan",
    "chain_of",
    "code_behind",
    "code_differences",
    "code_of",
    "estimate",
    "fingerprint",
    "identify_matrix",
    "measured_speeds",
    "most_informative_row",
    "plan_to_json",
    "rows_to_add",
    "speed_key",
    "unmeasured",
]
