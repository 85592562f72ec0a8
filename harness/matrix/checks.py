"""Checks of resolved rows: against each other, and against the names in the table."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.errors import InputError, did_you_mean
from harness.matrix.assumed import value_of
from harness.matrix.candidates import Candidate, candidates_of
from harness.matrix.declaration import Declaration
from harness.matrix.matrix import Row
from harness.matrix.patch import Setting, locate_origin
from harness.matrix.recipe import Profile
from harness.matrix.resolve import Resolver, resolver_of
from harness.matrix.settling import named_margins
from harness.matrix.source import Key
from harness.matrix.studies import Studies
from harness.trainer import Metric


def check_rows(
    declaration: Declaration, profile: Profile, settings: Sequence[Setting], rows: Sequence[Row]
) -> Mapping[str, Metric]:
    """Checks what rows must have in common, and that they measure what the table names; returns what they measure."""
    trainer = declaration.recipe.trainer
    for row in rows[1:]:
        for key in trainer.uniform:
            first, found = (value_of(of.recipe, key) for of in (rows[0], row))
            if first != found:
                message = f'row "{row.id}" has "{found}", row "{rows[0].id}" "{first}"'
                raise InputError(f"{declaration.path}: {key}: {message}; expected one for all rows of a table")
    if not rows:
        return {}
    measured = trainer.metrics(rows[0].recipe)
    for where, name in _named_metrics(declaration):
        if name not in measured:
            raise declaration.document.error(where, f'"{name}" is not measured here; {did_you_mean(name, measured)}')
    for where, name, value in _published(declaration):
        if measured[name].percent and not 0.0 <= value <= 100.0:
            raise declaration.document.error(where, f"found {value:g}, expected a percentage from 0 to 100")
    if profile.synthetic is not None:
        misfits = (trainer.misfit(row.recipe, profile.synthetic) for row in rows)
        misfit = next(filter(None, misfits), None)
        if misfit is not None:
            key, message = misfit
            raise InputError(f"{locate_origin(settings, tuple(key.split('.')))}: {message} (profile {profile.name})")
    return measured


def _named_metrics(declaration: Declaration) -> Iterator[tuple[Key, str]]:
    """Every place in a table that names a metric."""
    table = declaration.table
    yield from ((("metrics", index), name) for index, name in enumerate(table.metrics))
    yield from ((("claims", index, "metric"), claim.metric) for index, claim in enumerate(table.claims))
    yield from ((where, name) for where, name, _ in _published(declaration))
    yield from named_margins(table)


def _published(declaration: Declaration) -> Iterator[tuple[Key, str, float]]:
    """Every published number of a table: where it is, its metric, its value."""
    table = declaration.table
    for index, row in enumerate(table.rows):
        yield from ((("rows", index, "paper", name), name, value) for name, value in row.paper.items())
    for index, cited in enumerate(table.cited):
        yield from ((("cited", index, "values", name), name, value) for name, value in cited.values.items())
    for index, claim in enumerate(table.claims):
        if claim.by is not None:
            yield ("claims", index, "by"), claim.metric, claim.by


def check_other_profiles(
    declaration: Declaration, chosen: Profile, rows: Sequence[Row], overrides: Mapping[str, Any] | None
) -> None:
    """A mistake in a profile that is not chosen shows now, and not on the day that it is needed.

    Resolved under each of them are the first row and those with settings of their own there. What a search is to find
    under that profile may not be known yet: the chosen profile's values are used instead. What ``overrides`` mend is no
    mistake; that they would not fit another profile is none either.
    """
    if not rows:
        return
    stand_ins = dict(_dotted(rows[0].recipe.model_dump(by_alias=True)))
    ids = {row.id for row in rows}
    for profile in declaration.profiles.values():
        if profile.name == chosen.name:
            continue
        studies = Studies(None, profile.name, declaration.recipe.tree, stand_ins)
        resolver = resolver_of(declaration, profile, None, studies)
        for candidate in candidates_of(declaration, profile):
            own = declaration.sets.get((*candidate.source, "profiles", profile.name, "set"))
            if candidate.id == rows[0].id or (own and candidate.id in ids):
                try:
                    resolver.recipe(candidate.id, candidate.factors, candidate.settings)
                except InputError:
                    mended = resolver_of(declaration, profile, overrides, studies)
                    if not overrides or not _resolves(mended, candidate):
                        raise


def _resolves(resolver: Resolver, candidate: Candidate) -> bool:
    try:
        resolver.recipe(candidate.id, candidate.factors, candidate.settings)
    except InputError:
        return False
    return True


def _dotted(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of nested mappings, and every mapping, by its dotted key."""
    for name, value in values.items():
        yield f"{above}{name}", value
        if isinstance(value, Mapping):
            yield from _dotted(value, f"{above}{name}.")
