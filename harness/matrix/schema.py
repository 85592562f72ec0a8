"""The schema of table files and recipe files, typed and strict. The settings of a recipe are its trainer's own.

A recipe file holds the trainer's settings (all of them, or those that differ from the one that it ``extends``) beside
the keys of ``RecipeHeader``; a table file holds the keys of ``TableSpec``.
"""

from collections import Counter
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from harness.matrix.naming import unfit_name
from harness.matrix.source import describe

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


def _seeds(value: list[int]) -> list[int]:
    if not value:
        raise _refused("found no seed, expected at least one")
    counts = Counter(value)
    for seed in value:
        if not 0 <= seed <= MAX_SEED:
            raise _refused(f"found the seed {seed}, expected a whole number from 0 to {MAX_SEED}")
        if counts[seed] > 1:
            raise _refused(f"found the seed {seed} twice, expected each seed once")
    return value


def _distinct(value: list[str]) -> list[str]:
    for name, count in Counter(value).items():
        if count > 1:
            raise _refused(f'found "{name}" twice, expected each name once')
    return value


def _chosen_claims(value: Any) -> Any:
    if value in ("all", "none", None):
        return value
    if not isinstance(value, list) or not value or not all(isinstance(text, str) for text in value):
        raise _refused("expected all, none, or a list of claims by their text")
    return _distinct(value)


def _refused(message: str, *path: str) -> PydanticCustomError:
    return PydanticCustomError("refused", "{message}", {"message": message, "path": path})


def _recipe(value: Any) -> Any:
    if (isinstance(value, str) and value) or isinstance(value, dict):
        return value
    raise _refused(f"found {describe(value)}, expected the name of a recipe file, or the recipe as a mapping")


def _mentions(value: Any) -> Any:
    """A mapping of factors to their levels, as the list of what it mentions."""
    if not isinstance(value, dict):
        return value
    mentions: list[str] = []
    for factor, level in value.items():
        if isinstance(level, bool):
            mentions.append(factor if level else f"{factor}=off")
        elif isinstance(level, str | int | float):
            mentions.append(f"{factor}={level}")
        else:
            raise _refused(f"found {describe(level)}, expected true, false or the name of a level", factor)
    return mentions


RowId = Annotated[str, BeforeValidator(_row_id), AfterValidator(_readable_id)]
Side = Annotated[str, BeforeValidator(_row_id)]
"""A row or a cited method, whose name may be longer than a row's id."""
Seeds = Annotated[list[int], AfterValidator(_seeds)]
Names = Annotated[list[str], AfterValidator(_distinct)]
Mentions = Annotated[list[str], BeforeValidator(_mentions), AfterValidator(_distinct)]
"""Factors as a row names them: ``[Softmax, Width=wide]`` or ``{Softmax: true, Width: wide}``."""


class Declared(BaseModel):
    """A strict, frozen piece of a declaration."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False, defer_build=True)


class FactorSpec(Declared):
    """A named patch of the recipe, on or off; or several, its levels, of which a row has one."""

    description: str = ""
    patch: dict[str, Any] = {}
    """Dotted keys and the values that they take when the factor is on."""
    off: dict[str, Any] = {}
    """The same for when it is off; by default the recipe stays as it is."""
    levels: dict[str, dict[str, Any]] = {}
    """Instead of ``patch``: patches by the names of levels. A row that mentions none leaves the recipe as it is; a
    level without settings gives that default its name."""
    requires: Names = []
    """Factors that must be on (``Softmax``), at a level (``Width=wide``) or not at their default (``Width``)."""
    excludes: Names = []
    apply: str | None = None
    """``package.module:name`` of a function (recipe as dict) -> (recipe as dict), called after the patch."""


class ProfileSpec(Declared):
    """A named overlay of the recipe that changes its scale, not its question."""

    description: str = ""
    patch: dict[str, Any] = {}
    synthetic: dict[str, Any] | None = None
    """The synthetic data that the trainer makes when the user names no folder."""


class MetricSpec(Declared):
    """A metric that a function or a command gives."""

    title: str = ""
    """By default the metric's key."""
    better: Literal["higher", "lower"] = "higher"
    unit: Literal["percent", "plain"] = "plain"
    """``percent``: values are fractions, shown as percentages."""
    decimals: Annotated[int, Field(ge=0, le=10)] | None = None
    """Digits behind the point: by default 1 of a percentage, else 3."""


def _assumption(value: Any) -> Any:
    return {"why": value} if isinstance(value, str) else value


class AssumptionSpec(Declared):
    """A choice that the paper leaves open: ``key: why``, or ``key: {why: ..., ...}``."""

    why: str
    here: str = ""
    """What the code does, for a choice without a setting; its key is then a name for people."""
    alternatives: list[Any] = []
    """Other values of the setting, which ``sensitivity`` tries one at a time."""


Assumptions = dict[str, Annotated[AssumptionSpec, BeforeValidator(_assumption)]]
"""By dotted key of a setting, ``seeds``, or the name of a choice that is not a setting."""


class RecipeHeader(Declared):
    """The keys of a recipe file besides the trainer's settings."""

    extends: str | None = None
    """Another recipe file, relative to this one. Values, profiles and assumptions are laid over its own one by one;
    a factor of the same name replaces the other's."""
    trainer: str | dict[str, Any] | None = None
    """``package.module:name``, or a mapping; see ``harness.trainers``. By default the paper's, whose settings are keys
    of the file itself."""
    settings: dict[str, Any] = {}
    """The settings of a trainer that is named."""
    metrics: dict[str, MetricSpec] = {}
    """The metrics of a trainer that declares none itself (a function, a command)."""
    inputs: Names = []
    """Files and folders that such a trainer reads, relative to the recipe file, identified by their contents."""
    held_out: dict[str, Any] = {}
    """Settings, by dotted key, with which such a trainer scores on data held out of training, for a search.

    ``{choose: {...}, confirm: {...}}``, or one patch for both, whose confirmation then favours what was chosen.
    """
    factors: dict[str, FactorSpec] = {}
    profiles: dict[str, ProfileSpec] = {}
    assumptions: Assumptions = {}
    """A value that the paper does not give, and the reason for the choice."""


class RowProfileSpec(Declared):
    """The changes of a profile to one row."""

    set: dict[str, Any] = {}


class RowSpec(Declared):
    """One declared setting of all factors."""

    id: RowId
    label: str = ""
    note: str = ""
    factors: Mentions
    set: dict[str, Any] = {}
    paper: dict[str, float] = {}
    profiles: dict[str, RowProfileSpec] = {}


class GeneratorSpec(Declared):
    """The factors that a generator varies, and those that are on in each of its rows.

    A factor with levels is varied over all of them (``Width``), or between its default and one (``Width=wide``).
    """

    factors: Annotated[Names, Field(min_length=1)]
    base: Names = []

    @model_validator(mode="before")
    @classmethod
    def _old_keys(cls, value: Any) -> Any:
        for old, new in _RENAMED.items() if isinstance(value, dict) else ():
            if old in value:
                raise _refused(f'"{old}" is now called "{new}"', old)
        return value


_RENAMED = {"from": "factors", "always": "base"}
"""Keys of generators that had another name in earlier versions."""


class GenerateSpec(Declared):
    """Rows that are worked out instead of listed; their ids say how."""

    full_factorial: GeneratorSpec | None = None
    """``base`` with every combination of ``factors``."""
    leave_one_out: GeneratorSpec | None = None
    """The full row, ``base`` and all ``factors``, and for each of ``factors`` the full row without it."""
    add_one_in: GeneratorSpec | None = None
    """The base row, ``base`` alone, and for each of ``factors`` the base row with it."""


class CitedSpec(Declared):
    """Another work's published numbers."""

    method: Annotated[str, Field(min_length=1)]
    values: dict[str, float]
    note: str = ""


class ClaimSpec(Declared):
    """A sentence of the paper as a comparison; ``better`` is the better one in that metric.

    Either side names a row; one of the two may name a method of ``cited:`` instead, whose published number then is the
    constant to beat.
    """

    text: Annotated[str, Field(min_length=1)]
    better: Side
    than: Side
    metric: str
    by: Annotated[float, Field(gt=0.0)] | None = None
    within: Annotated[float, Field(gt=0.0)] | None = None
    """A smaller difference is practically none."""
    note: str = ""
    """A note for readers of the claim."""


class SettleSpec(Declared):
    """The comparisons of ``--settle``: by default all claims, or all matched pairs where there are no claims."""

    claims: Annotated[Any, AfterValidator(_chosen_claims)] = None
    """``all``, ``none``, or the texts of some."""
    pairs: Literal["all", "none"] = "none"
    """``all``: the matched pairs of rows, in the table's first metric."""
    within: dict[str, Annotated[float, Field(gt=0.0)]] = {}
    """By metric, the margin below which a difference is practically none, where a claim declares none itself."""
    max_seeds: Annotated[int, Field(ge=3)] | None = None


class TableProfileSpec(Declared):
    """The changes of a profile to this table."""

    seeds: Seeds | None = None
    set: dict[str, Any] = {}


class TableSpec(Declared):
    """A table file."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,79}$")] | None = None
    """By default the file's name without its ending."""
    title: Annotated[str, Field(min_length=1)]
    recipe: Annotated[Any, AfterValidator(_recipe)]
    """The recipe file, relative to this one; or the recipe itself, a mapping."""
    seeds: Seeds
    metrics: Annotated[list[str], Field(min_length=1), AfterValidator(_distinct)]
    set: dict[str, Any] = {}
    rows: list[RowSpec] = []
    generate: GenerateSpec | None = None
    cited: list[CitedSpec] = []
    claims: list[ClaimSpec] = []
    controls: Literal["none", "matched"] = "none"
    """``matched``: for each claim whose rows are trained unequally, one row more that removes the difference."""
    settle: SettleSpec | None = None
    profiles: dict[str, TableProfileSpec] = {}
    assumptions: Assumptions = {}
    notes: list[str] = []
