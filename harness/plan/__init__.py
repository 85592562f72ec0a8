"""Which stages fill a table, what they share, what is cached, what they cost and what their rows can tell.

Owns fingerprints, the graph of stages, cost estimates and identifiable effects. Refuses running anything; imports
neither torch nor the tracker, so that a plan is quick.
"""

from harness.plan.code import CODE_VERSION, code_digest, reached_modules
from harness.plan.effects import Identified, identify
from harness.plan.estimates import Estimate, Speed, Speeds, estimate, measured_speeds, speed_key, unmeasured
from harness.plan.fingerprint import fingerprint
from harness.plan.plan import (
    Sharing,
    build_plan,
    code_identity,
    identify_matrix,
    plan_to_json,
    sharing_of,
    version_identity,
)
from harness.plan.stage import Plan, Run, Stage
from harness.plan.stages import DataIdentity, stages_of
from harness.plan.suggest import Suggestion, most_telling_row, rows_to_add

__all__ = [
    "CODE_VERSION",
    "DataIdentity",
    "Estimate",
    "Identified",
    "Plan",
    "Run",
    "Sharing",
    "Speed",
    "Speeds",
    "Stage",
    "Suggestion",
    "build_plan",
    "code_digest",
    "code_identity",
    "estimate",
    "fingerprint",
    "identify",
    "identify_matrix",
    "measured_speeds",
    "most_telling_row",
    "plan_to_json",
    "reached_modules",
    "rows_to_add",
    "sharing_of",
    "speed_key",
    "stages_of",
    "unmeasured",
    "version_identity",
]
