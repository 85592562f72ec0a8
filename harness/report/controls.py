"""Claims whose rows are trained unequally, split by their controls: what equal training leaves, and what training adds.

With the control C of the row that trains less (its own losses with the other's training), better - than is
(better - C) + (C - than): the effect under equal training, and that of the training alone; with a control of the better
row, (C - than) + (better - C). Owns that split; refuses verdicts, which are on what the paper compares.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from harness.report.measurements import Measurements
from harness.report.statistics import Estimate, holm


@dataclass(frozen=True)
class Controlled:
    """A claim and its parts; differences are fractions, positive where they favour the claim."""

    text: str
    metric: str
    better: str
    than: str
    control: str
    """The control's row; empty if there is none."""
    of: str
    """The side that it controls for."""
    reason: str
    """Why there is none."""
    whole: Estimate | None
    equal: Estimate | None
    """Under equal training."""
    training: Estimate | None
    """The effect of the training alone."""
    p_holm: float | None
    """Of the effect under equal training, corrected for all of them in the table."""


def controlled_claims(declaration: Mapping[str, Any], measurements: Measurements) -> tuple[Controlled, ...]:
    """The claims of a declaration whose rows are trained unequally; none where the table asks for no controls.

    Args:
        declaration: The matrix as JSON.
        measurements: The table's runs.
    """
    controls = {(one["better"], one["than"]): one for one in declaration.get("controls", ())}
    found = [
        _controlled(claim, controls[pair], measurements)
        for claim in declaration.get("claims", ())
        if (pair := (str(claim["better"]), str(claim["than"]))) in controls
    ]
    adjusted = holm([one.equal.p_value if one.equal else None for one in found])
    return tuple(replace(one, p_holm=p_holm) for one, p_holm in zip(found, adjusted, strict=True))


def _controlled(claim: Mapping[str, Any], control: Mapping[str, str], measurements: Measurements) -> Controlled:
    """The split of one claim, its p-value not yet corrected."""
    better, than, row = str(claim["better"]), str(claim["than"]), control["row"]

    def difference(first: str, second: str) -> Estimate | None:
        return measurements.contrast({first: 1.0, second: -1.0}, claim["metric"]) if first and second else None

    equal, training = difference(better, row), difference(row, than)
    if control["of"] != than:
        equal, training = training, equal
    return Controlled(
        text=claim["text"],
        metric=claim["metric"],
        better=better,
        than=than,
        control=row,
        of=control["of"],
        reason=control["reason"],
        whole=difference(better, than),
        equal=equal,
        training=training,
        p_holm=None,
    )
