"""Why stages are to run, on the terminal: stages of one reason together."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.display.console import answers
from harness.formatting import counted

_DIGEST = re.compile(r"[0-9a-f]{32}")
_MOST_DIFFERENCES = 12
_MOST_NAMES = 6


def show_why(stages: Sequence[Mapping[str, Any]]) -> None:
    """Prints for the stages to run what the nearest finished ones have otherwise.

    Args:
        stages: As ``plan --why --json`` prints them.
    """
    reasons: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    for stage in stages:
        if (why := stage.get("why")) is not None:
            reasons.setdefault(tuple(_lines(why)), []).append(stage)
    console = answers()
    if not reasons:
        console.print("Why: there is nothing to run.")
        return
    console.print("Why they have to run, compared with the nearest finished stages:")
    for lines, alike in reasons.items():
        console.print(f"  {_named(alike)}", soft_wrap=True)
        for line in lines:
            console.print(f"    {line}", soft_wrap=True)


def _named(stages: Sequence[Mapping[str, Any]]) -> str:
    """The stages of one reason: their names, rows and seeds."""
    names = list(dict.fromkeys(stage["name"] for stage in stages))
    rows = list(dict.fromkeys(row for stage in stages for row in stage["rows"]))
    seeds = sorted({seed for stage in stages for seed in stage["seeds"]})
    count = f" ({counted(len(stages), 'stage')})" if len(stages) > 1 else ""
    return f"{', '.join(names)}{count} · rows {_cut(rows)} · seeds {_cut(seeds)}"


def _lines(why: Mapping[str, Any]) -> Iterator[str]:
    if why["damage"]:
        yield f"its own result: {why['damage']}"
    if why["nearest"] is None:
        yield "no finished stage of its kind is in the store"
        return
    differences = why["differences"]
    for one in differences[:_MOST_DIFFERENCES]:
        yield _difference(one)
    if len(differences) > _MOST_DIFFERENCES:
        yield f"and {len(differences) - _MOST_DIFFERENCES} more differences: --json lists all"
    for library in why["libraries"]:
        then, now = library["then"], library["now"]
        yield f"library {library['library']}: {then} then, {now} now (by itself no reason to run again)"


def _difference(one: Mapping[str, Any]) -> str:
    """One difference in words.

    >>> _difference({"kind": "setting", "what": "lr", "then": 0.1, "now": 0.2, "parts": ()})
    'setting lr: 0.1 → 0.2'
    >>> _difference({"kind": "data", "what": "train", "then": 750, "now": 751, "parts": ()})
    'data train: other contents, 750 → 751 files'
    >>> _difference({"kind": "code", "what": "digits", "then": True, "now": True, "parts": ("train", "Net.forward")})
    'code digits: train, Net.forward'
    >>> _difference({"kind": "code", "what": "", "then": "ab", "now": "cd", "parts": ()})
    'code: changed; which parts was not recorded'
    """
    what, then, now = one["what"], one["then"], one["now"]
    if one["kind"] == "data":
        counts = f", {then:,} → {now:,} files" if then is not None and now is not None else ""
        return f"data {what}: other contents{counts or (f', {now:,} files now' if now is not None else '')}"
    if one["kind"] == "code":
        if not what:
            return "code: changed; which parts was not recorded"
        if then and now:
            return f"code {what}: {_cut(one['parts'])}"
        return f"code {what}: {'new' if now else 'gone'}"
    if one["kind"] == "parent":
        return f"parent {what}: a different result (see there)" if then == now else f"parent: {then} → {now}"
    if all(isinstance(side, str) and _DIGEST.fullmatch(side) for side in (then, now)):
        return f"{one['kind']} {what}: other contents"
    name = what if one["kind"] == "seed" else f"{one['kind']} {what}"
    return f"{name}: {_value(then)} → {_value(now)}"


def _value(value: Any) -> str:
    text = "not set" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _cut(items: Sequence[object]) -> str:
    rest = f" and {len(items) - _MOST_NAMES} more" if len(items) > _MOST_NAMES else ""
    return ", ".join(map(str, items[:_MOST_NAMES])) + rest
