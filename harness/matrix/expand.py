"""Expanding a declaration under a profile: every row's recipe, resolved and checked.

The order in which a row's recipe is laid: recipe file (with what it extends), profile, the table's ``set`` and its
profile's, factors in declared order (on: ``patch``, then ``apply``; off: ``off``), the row's ``set`` and its profile's,
``--set``. A ``--set`` on a key that a factor patches holds for the rows that turn such a factor on, and for no others:
a tick in the table stays true.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from harness.errors import InputError, did_you_mean
from harness.matrix.controls import matched_controls
from harness.matrix.declaration import Declaration, read_declaration
from harness.matrix.generate import generated_rows
from harness.matrix.levels import TOGGLE, holds, mentioned, read_mention, setting_of
from harness.matrix.levels import Setting as Factors
from harness.matrix.matrix import Assumption, Cited, Claim, Control, Matrix, RefusedRow, Row
from harness.matrix.patch import Setting, Values, locate_origin, overlay, touches, value_at
from harness.matrix.recipe import Factor, Profile, located
from harness.matrix.resolve import Resolver, read_overrides
from harness.matrix.schema import MAX_SEED
from harness.matrix.settling import named_margins, settle_of
from harness.matrix.source import Key
from harness.matrix.studies import Studies
from harness.trainer import Metric


@dataclass(frozen=True)
class _Candidate:
    """A row before its constraints are checked and its recipe is resolved."""

    id: str
    factors: Factors
    source: Key
    settings: tuple[Setting, ...] = ()
    paper: Mapping[str, float] | None = None
    label: str = ""
    note: str = ""


def load_matrix(
    path: Path,
    *,
    profile: str | None = None,
    rows: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
    overrides: Mapping[str, Any] | None = None,
    studies: Path | None = None,
) -> Matrix:
    """Reads a table file and expands it: ``read_declaration`` and ``expand`` in one."""
    declaration = read_declaration(path)
    return expand(declaration, profile=profile, rows=rows, seeds=seeds, overrides=overrides, studies=studies)


def expand(
    declaration: Declaration,
    *,
    profile: str | None = None,
    rows: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
    overrides: Mapping[str, Any] | None = None,
    studies: Path | None = None,
    searched: Mapping[str, Any] | None = None,
) -> Matrix:
    """The table under one profile, every row's recipe resolved.

    Claims are kept whole, also those that name a refused row or one that ``rows`` leaves out.

    Args:
        declaration: What ``read_declaration`` read.
        profile: The profile's name; None: the first one declared.
        rows: The ids to keep, in the table's order; None: all.
        seeds: Instead of the declared ones.
        overrides: Recipe values by dotted key, laid last; text is read as YAML reads it ("3e-4" is a number).
        studies: The folder with the outcomes of searches, which a value ``{from: STUDY}`` is taken from.
        searched: Placeholders for such values by dotted key, for a search that is about to look for them.

    Raises:
        InputError: for an unknown profile, row or key, and for every value that the recipe refuses, by file and line.
    """
    chosen = declaration.profile(profile)
    table = declaration.table
    controlled = table.controls == "matched"
    candidates = list(_candidates(declaration, chosen))
    candidates = candidates if controlled else list(_selected(declaration, candidates, rows))
    trainer, tree = declaration.recipe.trainer, declaration.recipe.tree
    found = Studies(studies, chosen.name, tree, searched or {})
    resolver = _resolver(declaration, chosen, overrides, found)
    kept, refused = _judged(declaration, candidates, resolver)
    resolver.check_overrides()
    claims = tuple(Claim(**claim.model_dump()) for claim in table.claims)
    controls: tuple[Control, ...] = ()
    if controlled:
        with located(declaration.document, ("controls",)):
            added, controls = matched_controls(claims, kept, trainer)
        kept, refused = _asked_for(declaration, candidates, [*kept, *added], controls, refused, rows)
    measured = _check_rows(declaration, chosen, (*resolver.settings, *resolver.overrides), kept)
    _check_other_profiles(declaration, chosen, kept, overrides)
    run_seeds = _seeds(declaration, chosen, seeds)
    named_levels = {name: declaration.recipe.levels[name] for name in declaration.named_factors}
    return Matrix(
        name=declaration.name,
        title=table.title,
        profile=chosen.name,
        rows=tuple(kept),
        refused=tuple(refused),
        seeds=run_seeds,
        metrics=tuple(table.metrics),
        measured=measured,
        claims=claims,
        controls=controls,
        cited=tuple(Cited(**cited.model_dump()) for cited in table.cited),
        assumptions=_assumptions(declaration, chosen, resolver, kept, run_seeds),
        overrides={".".join(setting.key): setting.value for setting in resolver.overrides},
        synthetic=chosen.synthetic,
        dataset=dataset_of(
            declaration, [row.recipe.model_dump() for row in kept] or [overlay(resolver.base, resolver.overrides)]
        ),
        trainer=trainer,
        levels={name: own for name, own in named_levels.items() if own != TOGGLE},
        notes=(*table.notes, *_same_settings(kept), *_searched(found)),
        studies=dict(found.taken),
        settle=settle_of(table, declaration.document),
    )


def settings_of(
    declaration: Declaration, *, profile: str | None, overrides: Mapping[str, Any] | None = None
) -> tuple[Values, ...]:
    """The settings of a table's rows under a profile, ``--set`` laid over them, to find by them what the rows read.

    Rows that a constraint refuses are left out. Where no row is left, what all have in common; where a recipe is not
    valid, its values unchecked: ``expand`` reports what is wrong.

    Raises:
        InputError: For an unknown profile, or a key of ``overrides`` that the recipe does not have.
    """
    chosen = declaration.profile(profile)
    resolver = _resolver(declaration, chosen, overrides, Studies(None, chosen.name, declaration.recipe.tree))
    rows = [candidate for candidate in _candidates(declaration, chosen) if not _violated(candidate, declaration)]
    if not rows:
        return (overlay(resolver.base, resolver.overrides),)
    settings = list[Values]()
    for row in rows:
        try:
            settings.append(resolver.recipe(row.id, row.factors, row.settings).model_dump())
        except InputError:
            settings.append(resolver.values(row.factors, row.settings))
    return tuple(settings)


def dataset_of(declaration: Declaration, settings: Iterable[Mapping[str, Any]]) -> str:
    """The data sets that rows with these settings name, for people; empty for none."""
    return ", ".join(dict.fromkeys(filter(None, map(declaration.recipe.trainer.dataset, settings))))


def declarable(
    declaration: Declaration,
    *,
    profile: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    studies: Path | None = None,
    beside: Sequence[Row] = (),
) -> Callable[[Factors], bool]:
    """Returns whether one more row could be declared, as a function of its setting of all factors.

    It could if the constraints allow it, its recipe is valid, a stage would train, and it has the data set and the
    protocol of the rows ``beside`` it. The other arguments are those of ``expand``.
    """
    chosen = declaration.profile(profile)
    resolver = _resolver(declaration, chosen, overrides, Studies(studies, chosen.name, declaration.recipe.tree))

    def judge(setting: Factors) -> bool:
        candidate = _Candidate("one row more", {**setting_of((), declaration.recipe.levels), **setting}, ())
        try:
            kept, _ = _judged(declaration, [candidate], resolver)
            _check_rows(declaration, chosen, (*resolver.settings, *resolver.overrides), [*beside[:1], *kept])
        except InputError:
            return False
        return bool(kept)

    return judge


def _resolver(
    declaration: Declaration, profile: Profile, overrides: Mapping[str, Any] | None, studies: Studies
) -> Resolver:
    recipe, settings = declaration.recipe, declaration.settings(profile.name)
    laid_last = read_overrides(overrides or {}, recipe.tree)
    return Resolver(declaration.path, recipe.trainer.settings, recipe.factors, settings, laid_last, studies)


def _judged(
    declaration: Declaration, candidates: Sequence[_Candidate], resolver: Resolver
) -> tuple[list[Row], list[RefusedRow]]:
    """The candidates as rows with their recipes, and those that a constraint refuses."""
    kept: list[Row] = []
    refused: list[RefusedRow] = []
    for candidate in candidates:
        constraint = _violated(candidate, declaration)
        recipe = None if constraint else resolver.recipe(candidate.id, candidate.factors, candidate.settings)
        if recipe is not None:
            constraint = declaration.recipe.trainer.untrainable(recipe)
        if constraint or recipe is None:
            reason = f"{declaration.document.place(candidate.source)}: {constraint}"
            refused.append(RefusedRow(candidate.id, mentioned(candidate.factors), reason))
            continue
        changed = {".".join(setting.key): setting.value for setting in candidate.settings}
        factors = {name: candidate.factors[name] for name in declaration.named_factors}
        paper = candidate.paper or {}
        kept.append(Row(candidate.id, factors, recipe, paper, candidate.label, candidate.note, changed))
    return kept, refused


def _candidates(declaration: Declaration, profile: Profile) -> Iterator[_Candidate]:
    """Declared rows, then generated ones."""
    levels = declaration.recipe.levels
    for index, row in enumerate(declaration.table.rows):
        key: Key = ("rows", index)
        own = declaration.sets.get((*key, "profiles", profile.name, "set"), ())
        settings = (*declaration.sets[(*key, "set")], *own)
        factors = setting_of(row.factors, levels)
        yield _Candidate(row.id, factors, key, settings, row.paper, row.label, row.note)
    if declaration.table.generate is not None:
        for generated in generated_rows(declaration.table.generate, levels):
            yield _Candidate(generated.id, setting_of(generated.factors, levels), generated.source)


def _selected(
    declaration: Declaration, candidates: list[_Candidate], rows: Sequence[str] | None
) -> Sequence[_Candidate]:
    if rows is None:
        return candidates
    ids, wanted = {candidate.id: None for candidate in candidates}, set(rows)
    for row in rows:
        if row not in ids:
            raise InputError(f'--rows: "{row}" is no row of {declaration.path}; {did_you_mean(row, ids)}')
    if not rows:
        raise InputError("--rows: found no row, expected at least one")
    return [candidate for candidate in candidates if candidate.id in wanted]


def _asked_for(
    declaration: Declaration,
    candidates: Sequence[_Candidate],
    kept: list[Row],
    controls: Sequence[Control],
    refused: list[RefusedRow],
    rows: Sequence[str] | None,
) -> tuple[list[Row], list[RefusedRow]]:
    """The rows that ``rows`` names, by itself or, for a control, by both sides of its comparison."""
    if rows is None:
        return kept, refused
    extra = [_Candidate(row.id, row.factors, ()) for row in kept if row.control]
    wanted = {candidate.id for candidate in _selected(declaration, [*candidates, *extra], rows)}
    wanted |= {one.row for one in controls if {one.better, one.than} <= wanted}
    return [row for row in kept if row.id in wanted], [row for row in refused if row.id in wanted]


def _seeds(declaration: Declaration, profile: Profile, seeds: Sequence[int] | None) -> tuple[int, ...]:
    if seeds is None:
        changes = declaration.table.profiles.get(profile.name)
        return tuple(changes.seeds if changes and changes.seeds else declaration.table.seeds)
    if not seeds:
        raise InputError("--seeds: found no seed, expected at least one")
    for seed in seeds:
        if not 0 <= seed <= MAX_SEED:
            raise InputError(f"--seeds: found {seed}, expected whole numbers from 0 to {MAX_SEED}")
    if len(set(seeds)) < len(seeds):
        raise InputError(f"--seeds: found {', '.join(map(str, seeds))}, expected each seed once")
    return tuple(seeds)


def _violated(candidate: _Candidate, declaration: Declaration) -> str | None:
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


def _check_rows(
    declaration: Declaration, profile: Profile, settings: Sequence[Setting], rows: Sequence[Row]
) -> Mapping[str, Metric]:
    """Checks what rows must have in common, and that they measure what the table names; returns what they measure."""
    trainer = declaration.recipe.trainer
    for row in rows[1:]:
        for key in trainer.uniform:
            first, found = (_lookup(of.recipe, key) for of in (rows[0], row))
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
        misfit = trainer.misfit(rows[0].recipe, profile.synthetic)
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


def _check_other_profiles(
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
        resolver = _resolver(declaration, profile, None, studies)
        for candidate in _candidates(declaration, profile):
            own = declaration.sets.get((*candidate.source, "profiles", profile.name, "set"))
            if candidate.id == rows[0].id or (own and candidate.id in ids):
                try:
                    resolver.recipe(candidate.id, candidate.factors, candidate.settings)
                except InputError:
                    mended = _resolver(declaration, profile, overrides, studies)
                    if not overrides or not _resolves(mended, candidate):
                        raise


def _resolves(resolver: Resolver, candidate: _Candidate) -> bool:
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


def _assumptions(
    declaration: Declaration, profile: Profile, resolver: Resolver, rows: Sequence[Row], seeds: tuple[int, ...]
) -> tuple[Assumption, ...]:
    """The assumptions with their values as the rows use them; a value that the profile or --set gave says so."""
    assumptions: list[Assumption] = []
    for key, source in declaration.assumptions.items():
        if source.here:
            assumptions.append(Assumption(key, source.here, source.reason, setting=False))
            continue
        if key == "seeds":
            assumptions.append(Assumption(key, list(seeds), source.reason))
            continue
        value = _assumed(resolver.base, rows, key)
        path = tuple(key.split("."))
        changed_by = [
            name
            for name, settings in ((f"the profile {profile.name}", profile.settings), ("--set", resolver.overrides))
            if any(touches(setting, path) for setting in settings)
        ]
        reason = f"{source.reason} (here set by {' and '.join(changed_by)})" if changed_by else source.reason
        alternatives = tuple(setting.value for setting in source.alternatives)
        assumptions.append(Assumption(key, value, reason, alternatives))
    return tuple(assumptions)


def _assumed(base: Values, rows: Sequence[Row], key: str) -> Any:
    if not rows:
        return value_at(base, key.split("."))
    found: dict[str, tuple[Any, list[str]]] = {}
    for row in rows:
        value = _lookup(row.recipe, key)
        found.setdefault(repr(value), (value, []))[1].append(row.id)
    if len(found) == 1:
        return next(iter(found.values()))[0]
    values = (f"{value} (rows {', '.join(ids)})" for value, ids in found.values())
    return f"varies: {'; '.join(values)}"


def _lookup(recipe: BaseModel, key: str) -> Any:
    """The value of a dotted key in a resolved recipe, defaults included."""
    value: Any = recipe
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else getattr(value, _field(value, part), None)
    return value.model_dump(by_alias=True) if hasattr(value, "model_dump") else value


def _field(model: Any, part: str) -> str:
    """The attribute behind a key: a field may have another name in YAML."""
    return _aliases(type(model)).get(part, part) if isinstance(model, BaseModel) else part


@cache
def _aliases(model: type[BaseModel]) -> Mapping[str, str]:
    """The names of the fields that have another name in YAML, by that name."""
    return {field.alias: name for name, field in model.model_fields.items() if field.alias is not None}


def _searched(studies: Studies) -> Iterator[str]:
    """Remarks on values that a search found."""
    for name, origin in studies.taken.items():
        yield f"values from the study {name} ({origin}), found on held-out training identities"


def _same_settings(rows: Sequence[Row]) -> Iterator[str]:
    """Remarks on rows whose recipes are equal: they are allowed, share every stage and so cost nothing."""
    seen: dict[str, list[str]] = {}
    for row in rows:
        seen.setdefault(row.recipe.model_dump_json(), []).append(row.id)
    for ids in seen.values():
        if len(ids) > 1:
            yield f"rows {', '.join(ids)} have the same recipe and so the same results"
