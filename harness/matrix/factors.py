"""Reading a recipe's factors: what each level lays over the settings, and what it requires and excludes."""

from collections.abc import Mapping
from dataclasses import dataclass

from harness.matrix.key_tree import Node
from harness.matrix.levels import Level, level_name, named, read_mention
from harness.matrix.naming import unfit_name
from harness.matrix.patch import Setting, read_patch
from harness.matrix.schema import FactorSpec
from harness.matrix.source import Document, Key
from harness.matrix.validation_errors import located


@dataclass(frozen=True)
class Factor:
    """A factor of the ablation, read and checked."""

    name: str
    description: str
    patches: Mapping[Level, tuple[Setting, ...]]
    """The patch of each level, the default first."""
    requires: tuple[str, ...]
    excludes: tuple[str, ...]
    apply: str | None
    document: Document
    source: Key


def read_factor(name: str, spec: FactorSpec, document: Document, tree: Node) -> Factor:
    """Reads one factor of a recipe file.

    Raises:
        InputError: For anything that is wrong in it, by file, line and key.
    """
    source: Key = ("factors", name)
    if problem := unfit_name(name):
        raise document.error(source, problem)
    if spec.apply is not None and not all(part.strip() for part in spec.apply.partition(":")):
        raise document.error((*source, "apply"), f'found "{spec.apply}", expected "package.module:name"')
    return Factor(
        name=name,
        description=spec.description,
        patches=_levels(name, spec, document, tree) if spec.levels else _toggle(spec, document, source, tree),
        requires=tuple(spec.requires),
        excludes=tuple(spec.excludes),
        apply=spec.apply,
        document=document,
        source=source,
    )


def _toggle(spec: FactorSpec, document: Document, source: Key, tree: Node) -> Mapping[Level, tuple[Setting, ...]]:
    return {
        False: read_patch(document, (*source, "off"), spec.off, tree),
        True: read_patch(document, (*source, "patch"), spec.patch, tree),
    }


def _levels(name: str, spec: FactorSpec, document: Document, tree: Node) -> Mapping[Level, tuple[Setting, ...]]:
    """The patches of a factor's levels, the default first: the level without settings, or none of them."""
    source: Key = ("factors", name)
    for key in ("patch", "off", "apply"):
        if getattr(spec, key):
            raise document.error((*source, key), "belongs to a factor that is on or off; this one has levels")
    if "=" in name:
        raise document.error(source, f'found "{name}", expected a name without "=" for a factor with levels')
    patches: dict[Level, tuple[Setting, ...]] = {}
    for level, patch in spec.levels.items():
        where: Key = (*source, "levels", level)
        if problem := unfit_name(level):
            raise document.error(where, problem)
        patches[level] = read_patch(document, where, patch, tree)
    unset = [level for level, patch in patches.items() if not patch]
    if len(unset) > 1:
        raise document.error((*source, "levels", unset[1]), f"sets nothing, as {unset[0]} does; one default is enough")
    default: Level = unset[0] if unset else False
    if len(patches) == len(unset):
        raise document.error((*source, "levels"), "found no level that sets anything, expected at least one")
    return {default: (), **patches}


def check_factors(factors: Mapping[str, Factor]) -> None:
    """Raises an InputError unless factors require and exclude only each other, under names that are clear."""
    levels = {name: tuple(factor.patches) for name, factor in factors.items()}
    for factor in factors.values():
        for kind, names in (("requires", factor.requires), ("excludes", factor.excludes)):
            for position, name in enumerate(names):
                key = (*factor.source, kind, position)
                with located(factor.document, key):
                    mention = read_mention(name, levels)
                if mention.factor == factor.name:
                    raise factor.document.error(key, f"{factor.name} {kind} itself")
        for other, own in levels.items():
            if any(level_name(other, level) == factor.name for level in named(own)):
                raise factor.document.error(factor.source, f'"{factor.name}" is already a level of {other}')
        if both := set(factor.requires) & set(factor.excludes):
            raise factor.document.error(factor.source, f"both requires and excludes {', '.join(sorted(both))}")
