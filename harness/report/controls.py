"""Claims whose rows are trained unequally, split by their controls: what equal training leaves, and what training adds.

With the control C of the row that trains less (its own losses with the other's training), better - than is
(better - C) + (C - than): the effect under equal training, and that of the training alone; with a control of the better
row, (C - than) + (better - C). Owns that split; refuses verdicts, which are on what the paper compares.
"""

from collections.abc import Mapping
from dataclasses import dataclass
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
    """The side that it stands for."""
    reason: str
    """Why there is none."""
    whole: Estimate | None
    equal: Estimate | None
    """Under equal training."""
    training: Estimate | None
    """What the training makes alone."""
    p_holm: float | None
    """Of the effect under equal training, corrected for all of them in the table."""


def controlled_claims(declaration: Mapping[str, Any], measurements: Measurements) -> tuple[Controlled, ...]:
    """The claims of a declaration whose rows are trained unequally; none where the table asks for no controls.

    Args:
        declaration: The matrix as JSON.
        measurements: The table's runs.
    """
    controls = {(one["better"], one["than"]): one for one in declaration.get("controls", ())}
    claims = [one for one in declaration.get("claims", ()) if (str(one["better"]), str(one["than"])) in controls]
    parts = [_parts(claim, controls[str(claim["better"]), str(claim["than"])], measurements) for claim in claims]
    adjusted = holm([equal.p_value if equal else None for _, equal, _ in parts])
    return tuple(
        Controlled(
            text=claim["text"],
            metric=claim["metric"],
            better=str(claim["better"]),
            than=str(claim["than"]),
            control=control["row"],
            of=control["of"],
            reason=control["reason"],
            whole=whole,
            equal=equal,
            training=training,
            p_holm=p_holm,
        )
        for claim, (whole, equal, training), p_holm in zip(claims, parts, adjusted, strict=True)
        for control in [controls[str(claim["better"]), str(claim["than"])]]
    )


def _parts(
    claim: Mapping[str, Any], control: Mapping[str, str], measurements: Measurements
) -> tuple[Estimate | None, Estimate | None, Estimate | None]:
    better, than, row = str(claim["better"]), str(claim["than"]), control["row"]

    def difference(first: str, second: str) -> Estimate | None:
        return measurements.contrast({first: 1.0, second: -1.0}, claim["metric"])

    if not row:
        return difference(better, than), None, None
    if control["of"] == than:
        return difference(better, than), difference(better, row), difference(row, than)
    return difference(better, than), difference(row, than), difference(better, row)
