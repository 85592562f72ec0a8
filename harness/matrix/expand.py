"""Expanding a declaration under a profile: every row's recipe, resolved and checked.

The order of the layers of a row's recipe: recipe file (with what it extends), profile, the table's ``set`` and its
profile's, factors in declared order (on: ``patch``, then ``apply``; off: ``off``), the row's ``set`` and its profile's,
``--set``. A ``--set`` on a key that a factor patches holds for the rows that turn such a factor on, and for no others:
a tick in the table stays true.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.errors import InputError, SettingError
from harness.matrix.assumed import assumptions_of
from harness.matrix.candidates import Candidate, candidates_of, selected, violated
from harness.matrix.checks import check_other_profiles, check_rows
from harness.matrix.controls import matched_controls
from harness.matrix.declaration import Declaration, read_declaration
from harness.matrix.levels import TOGGLE, mentioned, setting_of
from harness.matrix.levels import Setting as Factors
from harness.matrix.matrix import Cited, Claim, Control, Matrix, RefusedRow, Row
from harness.matrix.patch import Values, overlay
from harness.matrix.recipe import Profile
from harness.matrix.resolve import Resolver, resolver_of
from harness.matrix.schema import MAX_SEED
from harness.matrix.settling import settle_of
from harness.matrix.studies import Studies
from harness.matrix.validation_errors import located


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
    candidates = list(candidates_of(declaration, chosen))
    candidates = candidates if controlled else list(selected(declaration, candidates, rows))
    trainer, tree = declaration.recipe.trainer, declaration.recipe.tree
    found = Studies(studies, chosen.name, tree, searched or {})
    resolver = resolver_of(declaration, chosen, overrides, found)
    kept, refused = _judged(declaration, candidates, resolver)
    resolver.check_overrides()
    claims = tuple(Claim(**claim.model_dump()) for claim in table.claims)
    controls: tuple[Control, ...] = ()
    if controlled:
        with located(declaration.document, ("controls",)):
            added, controls = matched_controls(claims, kept, trainer)
        kept, refused = _asked_for(declaration, candidates, [*kept, *added], controls, refused, rows)
    measured = check_rows(declaration, chosen, (*resolver.settings, *resolver.overrides), kept)
    check_other_profiles(declaration, chosen, kept, overrides)
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
        assumptions=assumptions_of(declaration, chosen, resolver, kept, run_seeds),
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
    resolver = resolver_of(declaration, chosen, overrides, Studies(None, chosen.name, declaration.recipe.tree))
    rows = [candidate for candidate in candidates_of(declaration, chosen) if not violated(candidate, declaration)]
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
    """The data sets that rows with these settings name, as text; empty for none."""
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
    resolver = resolver_of(declaration, chosen, overrides, Studies(studies, chosen.name, declaration.recipe.tree))

    def judge(setting: Factors) -> bool:
        candidate = Candidate("one row more", {**setting_of((), declaration.recipe.levels), **setting}, ())
        try:
            kept, _ = _judged(declaration, [candidate], resolver)
            check_rows(declaration, chosen, (*resolver.settings, *resolver.overrides), [*beside[:1], *kept])
        except InputError:
            return False
        return bool(kept)

    return judge


def _judged(
    declaration: Declaration, candidates: Sequence[Candidate], resolver: Resolver
) -> tuple[list[Row], list[RefusedRow]]:
    """The candidates as rows with their recipes, and those that a constraint refuses."""
    kept: list[Row] = []
    refused: list[RefusedRow] = []
    for candidate in candidates:
        constraint = violated(candidate, declaration)
        recipe = None if constraint else resolver.recipe(candidate.id, candidate.factors, candidate.settings)
        if recipe is not None:
            try:
                constraint = declaration.recipe.trainer.untrainable(recipe)
            except SettingError as error:
                place = resolver.place(candidate.factors, candidate.settings, error.key)
                row = f'(in row "{candidate.id}" of {declaration.path})'
                raise InputError(f"{place}: {error.message}\n{row}") from None
        if constraint or recipe is None:
            reason = f"{declaration.document.place(candidate.source)}: {constraint}"
            refused.append(RefusedRow(candidate.id, mentioned(candidate.factors), reason))
            continue
        changed = {".".join(setting.key): setting.value for setting in candidate.settings}
        factors = {name: candidate.factors[name] for name in declaration.named_factors}
        paper = candidate.paper or {}
        kept.append(Row(candidate.id, factors, recipe, paper, candidate.label, candidate.note, changed))
    return kept, refused


def _asked_for(
    declaration: Declaration,
    candidates: Sequence[Candidate],
    kept: list[Row],
    controls: Sequence[Control],
    refused: list[RefusedRow],
    rows: Sequence[str] | None,
) -> tuple[list[Row], list[RefusedRow]]:
    """The rows that ``rows`` names, by itself or, for a control, by both sides of its comparison."""
    if rows is None:
        return kept, refused
    extra = [Candidate(row.id, row.factors, ()) for row in kept if row.control]
    wanted = {candidate.id for candidate in selected(declaration, [*candidates, *extra], rows)}
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
