"""Why a stage is to run: the nearest finished stage, and what makes the difference to it.

Owns what "nearest" means, and the differences in settings, data, code and parents. Pure functions over stages, and over
what their digests were computed from. Refuses looking into a store: ``harness.execute`` does.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations
from math import comb
from typing import Any, Literal

from harness.plan.fingerprint import fingerprint
from harness.plan.stage import Stage

Kind = Literal["setting", "seed", "data", "code", "parent"]
CodeParts = Mapping[str, Mapping[str, str]]
"""Digests of functions, classes and the like by name, by module; see ``harness.code.code_parts``."""

_ORDER: tuple[Kind, ...] = ("code", "data", "parent", "setting", "seed")
"""Of two stages equally far, the nearer: the one that is the same work but for its code comes first."""

_MOST_CODES = 4
"""Stages of different code that a table has at most, for its digest to be taken apart."""
_MOST_TRIED = 50_000


@dataclass(frozen=True)
class Difference:
    """One thing in which a stage differs from the nearest finished one."""

    kind: Kind
    what: str
    """The setting's dotted key, the part of the data, the module, the parent's name."""
    then: Any = None
    """The finished stage's value; of data how many files it had, where that was recorded."""
    now: Any = None
    parts: tuple[str, ...] = ()
    """Of a module, what changed in it; empty if that was not recorded."""


@dataclass(frozen=True)
class Known:
    """The sources of the digests in stages' settings."""

    code: Mapping[str, CodeParts] = field(default_factory=dict)
    """By digest of the code."""
    data: Mapping[str, tuple[str, int | None]] = field(default_factory=dict)
    """By digest of its contents: the part's name, and how many files (or whatever the trainer counts) it has."""


class Comparison:
    """A plan's stages beside the finished ones of a store."""

    def __init__(self, planned: Mapping[str, Stage], finished: Mapping[str, Stage], known: Known) -> None:
        """Takes stages by fingerprint (of equally near ones the first counts), and what is known of their digests."""
        self._stages = {**finished, **planned}
        self._finished = finished
        self._known = known
        self._leaves: dict[str, dict[str, str]] = {}
        self._distances: dict[tuple[str, str], int] = {}

    @cached_property
    def _by_kind(self) -> Mapping[str, Sequence[Stage]]:
        found: dict[str, list[Stage]] = {}
        for stage in self._finished.values():
            found.setdefault(stage.kind, []).append(stage)
        return found

    def nearest(self, stage: Stage) -> Stage | None:
        """The finished stage of the same kind that differs in the fewest things; None if there is none of its kind.

        What their parents differ in counts, too. Of several equally near ones, the one that differs in its code or data
        alone comes first, then one of the same name.
        """
        return min(self._by_kind.get(stage.kind, ()), key=lambda other: self._rank(stage, other), default=None)

    def differences(self, stage: Stage, other: Stage) -> tuple[Difference, ...]:
        """Lists how ``stage`` differs from ``other``: settings, data, code, then the parent."""
        found = [*self._in_settings(stage, other), *self._in_code(stage, other)]
        if stage.parent != other.parent:
            parents = [self._stages.get(name or "") for name in (other.parent, stage.parent)]
            then, now = ("none" if parent is None else parent.name for parent in parents)
            found.append(Difference("parent", now, then, now))
        return tuple(found)

    def _rank(self, stage: Stage, other: Stage) -> tuple[Any, ...]:
        kinds = {_ORDER.index(kind) for kind in self._kinds(stage, other)}
        return (
            self._distance(stage, other),
            max(kinds, default=0),
            stage.name != other.name,
            stage.settings.get("seed") != other.settings.get("seed"),
        )

    def _distance(self, stage: Stage, other: Stage) -> int:
        key = stage.fingerprint, other.fingerprint
        if key not in self._distances:
            mine, theirs = self._flat(stage), self._flat(other)
            count = len({name for name, _ in mine.items() ^ theirs.items()})
            if stage.parent != other.parent:
                above = self._stages.get(stage.parent or ""), self._stages.get(other.parent or "")
                count += 1 if above[0] is None or above[1] is None else self._distance(above[0], above[1])
            self._distances[key] = count
        return self._distances[key]

    def _kinds(self, stage: Stage, other: Stage) -> Iterator[Kind]:
        if stage.parent != other.parent:
            yield "parent"
        for key, _ in self._flat(stage).items() ^ self._flat(other).items():
            yield "code" if key == "code" else "seed" if key == "seed" else "setting"

    def _flat(self, stage: Stage) -> dict[str, str]:
        """The settings as dotted keys and their values' JSON."""
        if stage.fingerprint not in self._leaves:
            self._leaves[stage.fingerprint] = dict(_leaves(stage.settings, ""))
        return self._leaves[stage.fingerprint]

    def _in_settings(self, stage: Stage, other: Stage) -> Iterator[Difference]:
        mine, theirs = self._flat(stage), self._flat(other)
        for key in dict.fromkeys([*mine, *theirs]):
            if key == "code" or mine.get(key) == theirs.get(key):
                continue
            now, then = (json.loads(side[key]) if key in side else None for side in (mine, theirs))
            if isinstance(now, str) and now in self._known.data:
                part, count = self._known.data[now]
                _, before = self._known.data.get(str(then), (part, None))
                yield Difference("data", part, before, count)
            else:
                yield Difference("seed" if key == "seed" else "setting", key, then, now)

    def _in_code(self, stage: Stage, other: Stage) -> Iterator[Difference]:
        digests = str(other.settings.get("code")), str(stage.settings.get("code"))
        if digests[0] == digests[1]:
            return
        then, now = (self._known.code.get(digest) for digest in digests)
        if then is None or now is None:
            yield Difference("code", "", *digests)
            return
        yield from code_differences(then, now)


def code_behind(digest: str, known: Known) -> CodeParts | None:
    """The code of a whole table, whose digest is that of its stages' digests (``code_of``); None if it was not kept.

    A tracker keeps the one digest alone, so sets of kept digests are tried, the smallest first.
    """
    for size in range(1, _MOST_CODES + 1):
        if comb(len(known.code), size) > _MOST_TRIED:
            break
        for codes in combinations(sorted(known.code), size):
            if fingerprint(codes) == digest:
                return {module: parts for code in codes for module, parts in known.code[code].items()}
    return None


def code_differences(then: CodeParts, now: CodeParts) -> Iterator[Difference]:
    """The modules that differ, each with what in it does."""
    for module in sorted({*then, *now}):
        before, after = then.get(module), now.get(module)
        if before == after:
            continue
        if before is None or after is None:
            yield Difference("code", module, before is not None, after is not None)
            continue
        names = {name for name, _ in before.items() ^ after.items()}
        yield Difference("code", module, True, True, tuple(name for name in {**before, **after} if name in names))


def setting_differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Difference]:
    """The settings that differ, by dotted key; one that a side lacks is None there."""
    before, after = dict(_leaves(then, "")), dict(_leaves(now, ""))
    for key in dict.fromkeys([*before, *after]):
        if before.get(key) != after.get(key):
            old, new = (json.loads(side[key]) if key in side else None for side in (before, after))
            yield Difference("setting", key, old, new)


def _leaves(value: Any, place: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _leaves(inner, f"{place}.{key}" if place else str(key))
    else:
        yield place, json.dumps(value, sort_keys=True)
