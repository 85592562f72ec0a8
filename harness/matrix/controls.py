"""Controls of equal training: the rows that ``controls: matched`` adds to a table.

A claim may compare rows with unequal training, since a factor may add a stage. Its control is the row that trains less,
trained as the other one, by the trainer's own rule (``Trainer.matched``): the remaining difference is not due to longer
training. Rows with the same such training are one control. Refuses claims on cited methods.
"""

from collections.abc import Sequence
from dataclasses import replace

from pydantic import BaseModel

from harness.errors import InputError
from harness.matrix.matrix import Claim, Control, Row
from harness.matrix.naming import unfit_name
from harness.trainer import Trainer, UntrainableError


def matched_controls(
    claims: Sequence[Claim], rows: Sequence[Row], trainer: Trainer
) -> tuple[tuple[Row, ...], tuple[Control, ...]]:
    """The rows to add, and the control of each claim whose rows are trained unequally.

    Args:
        claims: The table's claims.
        rows: Its rows.
        trainer: The recipe's trainer.

    Raises:
        InputError: If the trainer makes no controls.
    """
    if type(trainer).matched is Trainer.matched:
        raise InputError("this recipe's trainer makes no matched controls")
    known = {row.id: row for row in rows}
    added: dict[str, Row] = {}
    controls: dict[tuple[str, str], Control] = {}
    for claim in claims:
        pair = (claim.better, claim.than)
        if pair in controls or not set(pair) <= known.keys():
            continue
        control, found = _control(known[claim.better], known[claim.than], trainer, [*rows, *added.values()])
        if control is not None:
            controls[pair] = control
            added |= {found.id: found} if found is not None else {}
    return tuple(added.values()), tuple(controls.values())


def _control(better: Row, than: Row, trainer: Trainer, rows: Sequence[Row]) -> tuple[Control | None, Row | None]:
    """The control of a comparison and its row, if it is to be added; None if the rows are trained alike."""
    reasons: list[str] = []
    alike = True
    for own, other in ((than, better), (better, than)):
        try:
            recipe = trainer.matched(own.recipe, other.recipe)
        except UntrainableError as error:
            alike = False
            reasons.append(f"row {own.id} cannot be trained as {other.id} is: {error}")
            continue
        if recipe == own.recipe:
            continue
        same = next((row for row in rows if row.recipe == recipe and row.factors == own.factors), None)
        row = same or _row(own, other, recipe, rows)
        return Control(better.id, than.id, own.id, row.id), None if same else row
    return (None, None) if alike else (Control(better.id, than.id, reason=reasons[0]), None)


def _row(own: Row, other: Row, recipe: BaseModel, rows: Sequence[Row]) -> Row:
    taken = {row.id for row in rows}
    name = f"{own.id} trained as {other.id}"
    number = 1
    while name in taken or unfit_name(name):
        name, number = f"control {number}", number + 1
    note = f"a control: row {own.id}, only its own losses, with the stages, steps and samplers of row {other.id}"
    return replace(own, id=name, recipe=recipe, paper={}, label="", note=note, control=True)
