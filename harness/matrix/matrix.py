"""A declaration that was read, checked and expanded: plain frozen data for the packages downstream."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from harness.matrix.levels import Levels, Setting
from harness.trainer import Metric, Trainer


@dataclass(frozen=True)
class Assumption:
    """A choice that the paper leaves open."""

    key: str
    """The setting's dotted key, or the name of a choice that is not a setting."""
    value: Any
    """The setting's value, or what the code does."""
    reason: str
    alternatives: tuple[Any, ...] = ()
    """Other values of the setting that ``sensitivity`` tries."""
    setting: bool = True


@dataclass(frozen=True)
class Row:
    """One setting of all factors, with its recipe fully resolved."""

    id: str
    factors: Setting
    """Every factor that the table names, in declared order, and its level."""
    recipe: BaseModel
    """The trainer's settings."""
    paper: Mapping[str, float]
    """The paper's numbers for this row, as papers print them (percentages in percent), by metric."""
    label: str = ""
    """A name for people, where the id alone is not clear ("Ours + re-rank")."""
    note: str = ""
    """A note on this row for readers of the table ("ticks inferred")."""
    set: Mapping[str, Any] = field(default_factory=dict)
    """Settings that the row changes besides its factors, by dotted key."""
    control: bool = False
    """Whether it was added as a control: part of no effect of a factor."""


@dataclass(frozen=True)
class Control:
    """A comparison whose rows are trained unequally, and the row that removes the difference."""

    better: str
    than: str
    of: str = ""
    """The side that the control replaces."""
    row: str = ""
    """The control: the row ``of`` with the other's training; empty if there is none."""
    reason: str = ""
    """Why there is none."""


@dataclass(frozen=True)
class RefusedRow:
    """A row that a constraint rejected, kept so that nothing is dropped in silence."""

    id: str
    factors: tuple[str, ...]
    """As a declaration mentions them."""
    constraint: str


@dataclass(frozen=True)
class Claim:
    """A sentence of the paper as a comparison of two rows, or of a row with a method that the table cites.

    ``better`` is the better one of the two, whichever direction the metric has.

    >>> Claim("Scaling helps", better="scaled", than="plain", metric="accuracy").by is None
    True
    """

    text: str
    better: str
    than: str
    metric: str
    by: float | None = None
    """The size that is claimed, in the unit that tables print."""
    within: float | None = None
    """A difference smaller than this is practically none; in the unit that tables print, as ``by`` is."""
    note: str = ""
    """A note for readers of the claim ("the scan reads 'setting(6) and 4(8)'")."""


@dataclass(frozen=True)
class Settle:
    """Which comparisons of a table seeds are added for until they are decided."""

    claims: tuple[str, ...] = ()
    """The sentences of the claims."""
    pairs: bool = False
    """Whether the matched pairs of rows count, too, in the table's first metric."""
    within: Mapping[str, float] = field(default_factory=dict)
    """By metric, the margin of comparisons that declare none themselves."""
    max_seeds: int | None = None


@dataclass(frozen=True)
class Cited:
    """A number that the table cites from other work, in percent."""

    method: str
    values: Mapping[str, float]
    note: str = ""


@dataclass(frozen=True)
class Matrix:
    """A table, ready to plan."""

    name: str
    title: str
    profile: str
    rows: tuple[Row, ...]
    refused: tuple[RefusedRow, ...]
    seeds: tuple[int, ...]
    metrics: tuple[str, ...]
    """The metrics that the table shows, in order."""
    measured: Mapping[str, Metric]
    """Every metric that the rows measure, by key."""
    claims: tuple[Claim, ...]
    cited: tuple[Cited, ...]
    assumptions: tuple[Assumption, ...]
    overrides: Mapping[str, Any]
    """``--set`` values, by dotted key."""
    synthetic: BaseModel | None
    """The profile's synthetic data, as the trainer's own model."""
    dataset: str
    """The data set's name, the same for all rows; empty for a trainer that reads none."""
    trainer: Trainer
    levels: Levels = field(default_factory=dict)
    """The levels of the factors that are not just on or off."""
    notes: tuple[str, ...] = ()
    """Remarks for people: the table's own, and what was noticed while expanding (rows of one setting)."""
    studies: Mapping[str, str] = field(default_factory=dict)
    """The searches that values were taken from, by name: which study it was."""
    controls: tuple[Control, ...] = ()
    """Of the claims whose rows are trained unequally, where the table asks for them."""
    settle: Settle = field(default_factory=Settle)
    """The comparisons and limits of ``--settle``."""
