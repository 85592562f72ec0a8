"""Formats a table's sensitivity result for the table's own heading.

The result is a fact of the parent run, which belongs to one declaration, one data set and one code: other code has
another parent, and no result yet. Claims and seeds may change under one parent: a result on others is stale, and
refused.
"""

import json
from collections.abc import Mapping
from typing import Any

from harness.plan import fingerprint
from harness.track.snapshot import Snapshot

SENSITIVITY = "sensitivity"


def recorded_sensitivity(declaration: Mapping[str, Any], summary: str) -> str:
    """The fact to record with a table's parent run.

    Args:
        declaration: The matrix as JSON, of the table as it is.
        summary: What the sensitivity page's heading says.
    """
    return json.dumps({"summary": summary, "of": _question(declaration)})


def survival_of(snapshot: Snapshot) -> str:
    """The sensitivity result as a part of a heading; empty where there is none of these claims and seeds."""
    kept = snapshot.provenance.get(SENSITIVITY)
    if kept is None:
        return ""
    found = json.loads(kept)
    return f"under its assumptions {found['summary']}" if found["of"] == _question(snapshot.declaration) else ""


def _question(declaration: Mapping[str, Any]) -> str:
    return fingerprint(json.loads(json.dumps([declaration["claims"], declaration["seeds"]])))
