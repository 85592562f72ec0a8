"""Rows before their recipes are resolved: those that a table declares, then those that it generates.

Owns which rows exist, which are requested, and what the constraints of their factors forbid.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from harness.errors import InputError, did_you_mean
from harness.matrix.declaration import Declaration
from harness.matrix.factors import Factor
from harness.matrix.generate import generated_rows
from harness.matrix.levels import Setting as Factors
from harness.matrix.levels import holds, read_mention, setting_of
from harness.matrix.patch import Setting
from harness.matrix.recipe import Profile
from harness.matrix.source import Key


@dataclass(frozen=True)
class Candidate:
    """A row before its constraints are checked and its recipe is resolved."""

    id: str
    factors: Factors
    source: Key
    settings: tuple[Setting, ...] = ()
    paper: Mapping[str, float] | None = None
    label: str = ""
    note: str = ""


def candidates_of(declaration: Declaration, profile: Profile) -> Iterator[Candidate]:
    """Declared rows, then generated ones."""
    levels = declaration.recipe.levels
    for index, row in enumerate(declaration.table.rows):
        key: Key = ("rows", index)
        own = declaration.sets.get((*key, "profiles", profile.name, "set"), ())
        settings = (*declaration.sets[(*key, "set")], *own)
        factors = setting_of(row.factors, levels)
        yield Candidate(row.id, factors, key, settings, row.paper, row.label, row.note)
    if declaration.table.generate is not None:
        for generated in generated_rows(declaration.table.generate, levels):
            yield Candidate(generated.id, setting_of(generated.factors, levels), generated.source)


def selected(declaration: Declaration, candidates: list[Candidate], rows: Sequence[str] | None) -> Sequence[Candidate]:
    """The candidates whose ids are asked for, in the table's order; all where ``rows`` is None.

    Raises:
        InputError: For an id that no candidate has, or none at all.
    """
    if rows is None:
        return candidates
    ids, wanted = {candidate.id: None for candidate in candidates}, set(rows)
    for row in rows:
        if row not in ids:
            raise InputError(f'--rows: "{row}" is not a row of {declaration.path}; {did_you_mean(row, ids)}')
    if not rows:
        raise InputError("--rows: found no row, expected at least one")
    return [candidate for candidate in candidates if candidate.id in wanted]


def violated(candidate: Candidate, declaration: Declaration) -> str | None:
    """The constraints that a row's factors violate, as one sentence."""
    levels = declaration.recipe.levels

    def has(mention: str) -> bool:
        return holds(read_mention(mention, levels), candidate.factors, levels)

    violations: list[str] = []
    for name, factor in declaration.recipe.factors.items():
        if candidate.factors[name] == levels[name][0]:
            continue
        missing = [needed for needed in factor.requires if not has(needed)]
        barred = [excluded for excluded in factor.excludes if has(excluded)]
        violations += [f"{name} requires {needed} ({_rule(factor, 'requires')})" for needed in missing]
        violations += [f"{name} excludes {excluded} ({_rule(factor, 'excludes')})" for excluded in barred]
    return "; ".join(violations) or None


def _rule(factor: Factor, kind: str) -> str:
    return factor.document.place((*factor.source, kind))
