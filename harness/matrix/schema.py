"""What a table file and a recipe file may say, typed and strict. The recipe's own values are ``harness.recipe``'s.

A recipe file holds the values of a ``Recipe`` (all of them, or those that differ from the one that it ``extends``)
beside the keys of ``RecipeHeader``; a table file holds the keys of ``TableSpec``.
"""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from harness.errors import did_you_mean
from harness.matrix.naming import unfit_name

METRICS = {
    "market": ("mAP", "rank1", "rank5", "rank10", "rank20", "mINP", "attention_overlap"),
    "classification": ("error", "top5_error"),
}
"""The metrics that a table may show and a claim may name, by evaluation protocol."""

MAX_SEED = 2**32 - 1


def _row_id(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, float):
        raise _refused(f'found the number {value}, expected a row id as text: quote it ("{value}")')
    return value


def _readable_id(value: str) -> str:
    if problem := unfit_name(value):
        raise _refused(problem)
    return value


def _metric(value: str) -> str:
    known = [name for names in METRICS.values() for name in names]
    if value not in known:
        raise _refused(f'"{value}" is no metric; {did_you_mean(value, known)}')
    return value


def _seeds(value: list[int]) -> list[int]:
    if not value:
        raise _refused("found no seed, expected at least one")
    for seed in value:
        if not 0 <= seed <= MAX_SEED:
            raise _refused(f"found the seed {seed}, expected a whole number from 0 to {MAX_SEED}")
        if value.count(seed) > 1:
            raise _refused(f"found the seed {seed} twice, expected each seed once")
    return value


def _distinct(value: list[str]) -> list[str]:
    for name in value:
        if value.count(name) > 1:
            raise _refused(f'found "{name}" twice, expected each name once')
    return value


def _refused(message: str) -> PydanticCustomError:
    return PydanticCustomError("refused", "{message}", {"message": message})


RowId = Annotated[str, BeforeValidator(_row_id), AfterValidator(_readable_id)]
Metric = Annotated[str, AfterValidator(_metric)]
Percent = Annotated[float, Field(ge=0.0, le=100.0)]
Seeds = Annotated[list[int], AfterValidator(_seeds)]
Names = Annotated[list[str], AfterValidator(_distinct)]


class Declared(BaseModel):
    """A strict, frozen piece of a declaration."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False, defer_build=True)


class SyntheticSpec(Declared):
    """The synthetic data set of a profile, made when the user names no folder."""

    layout: Literal["market1501", "dukemtmc-reid", "cifar100"]
    identities: Annotated[int, Field(gt=0)]
    seed: Annotated[int, Field(ge=0, le=MAX_SEED)] = 0


class FactorSpec(Declared):
    """A named patch of the recipe: one toggle of the ablation."""

    description: str = ""
    patch: dict[str, Any] = {}
    """Dotted keys and the values that they take when the factor is on."""
    off: dict[str, Any] = {}
    """The same for when it is off; by default the recipe stays as it is."""
    requires: Names = []
    excludes: Names = []
    apply: str | None = None
    """``package.module:name`` of a function (recipe as dict) -> (recipe as dict), called after the patch."""


class ProfileSpec(Declared):
    """A named overlay of the recipe that changes its scale, not its question."""

    description: str = ""
    patch: dict[str, Any] = {}
    synthetic: SyntheticSpec | None = None


class RecipeHeader(Declared):
    """What a recipe file says besides the recipe's values."""

    extends: str | None = None
    """Another recipe file, relative to this one. Values, profiles and assumptions are laid over its own one by one;
    a factor of the same name replaces the other's."""
    factors: dict[str, FactorSpec] = {}
    profiles: dict[str, ProfileSpec] = {}
    assumptions: dict[str, str] = {}
    """The dotted keys of values that the paper does not give, and why they are what they are. ``seeds`` counts."""


class RowProfileSpec(Declared):
    """What a profile changes in one row."""

    set: dict[str, Any] = {}


class RowSpec(Declared):
    """One declared setting of all factors."""

    id: RowId
    label: str = ""
    note: str = ""
    factors: Names
    set: dict[str, Any] = {}
    paper: dict[Metric, Percent] = {}
    profiles: dict[str, RowProfileSpec] = {}


class FullFactorialSpec(Declared):
    """Every combination of ``factors``, with ``always`` on in each."""

    factors: Annotated[Names, Field(min_length=1)]
    always: Names = []


class LeaveOneOutSpec(Declared):
    """The full row, and for each of its factors the row without it."""

    from_: Annotated[Names, Field(alias="from", min_length=1)]


class AddOneInSpec(Declared):
    """The base row, and for each of ``factors`` the base row with it."""

    base: Names
    factors: Annotated[Names, Field(min_length=1)]


class GenerateSpec(Declared):
    """Rows that are worked out instead of listed; their ids say how."""

    full_factorial: FullFactorialSpec | None = None
    leave_one_out: LeaveOneOutSpec | None = None
    add_one_in: AddOneInSpec | None = None


class CitedSpec(Declared):
    """Another work's published numbers."""

    method: Annotated[str, Field(min_length=1)]
    values: dict[Metric, Percent]
    note: str = ""


class ClaimSpec(Declared):
    """A sentence of the paper as a comparison of two rows; ``better`` is the better one in that metric."""

    text: Annotated[str, Field(min_length=1)]
    better: RowId
    than: RowId
    metric: Metric
    by: Annotated[float, Field(gt=0.0, le=100.0)] | None = None


class TableProfileSpec(Declared):
    """What a profile changes in this table."""

    seeds: Seeds | None = None
    set: dict[str, Any] = {}


class TableSpec(Declared):
    """A table file."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,79}$")] | None = None
    """By default the file's name without its ending."""
    title: Annotated[str, Field(min_length=1)]
    recipe: Annotated[str, Field(min_length=1)]
    """The recipe file, relative to this one."""
    seeds: Seeds
    metrics: Annotated[list[Metric], Field(min_length=1), AfterValidator(_distinct)]
    set: dict[str, Any] = {}
    rows: list[RowSpec] = []
    generate: GenerateSpec | None = None
    cited: list[CitedSpec] = []
    claims: list[ClaimSpec] = []
    profiles: dict[str, TableProfileSpec] = {}
    assumptions: dict[str, str] = {}
    notes: list[str] = []
