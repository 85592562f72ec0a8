"""The declared inputs of settling as plain data, saved with the runs."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from harness.settle.costs import Costs
from harness.settle.path import Declared
from harness.settle.verdicts import Comparison

_TIES = ("comparisons", "rows", "seeds", "alpha")
"""Inputs that may not change after a result was looked at: the error bound holds for what was declared before."""


def to_record(declared: Declared) -> dict[str, Any]:
    """Plain JSON data."""
    return {
        "comparisons": [asdict(comparison) for comparison in declared.comparisons],
        "rows": list(declared.rows),
        "seeds": list(declared.seeds),
        "most": declared.most,
        "budget_s": declared.budget_s,
        "costs": {row: [list(stage) for stage in chain] for row, chain in declared.costs.chains.items()},
        "alpha": declared.alpha,
    }


def from_record(record: Mapping[str, Any]) -> Declared:
    """Reads what ``to_record`` wrote."""
    chains = {row: tuple((name, seconds) for name, seconds in chain) for row, chain in record["costs"].items()}
    return Declared(
        comparisons=tuple(Comparison(**comparison) for comparison in record["comparisons"]),
        rows=tuple(record["rows"]),
        seeds=tuple(record["seeds"]),
        most=record["most"],
        budget_s=record["budget_s"],
        costs=Costs(chains),
        alpha=record["alpha"],
    )


def changed(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Names what differs between two records of one table; empty if only limits of seeds and budget do."""
    if differing := [key for key in _TIES if before[key] != now[key]]:
        key = differing[0]
        if key != "comparisons":
            return f"its {key} were {_listed(before[key])} and are now {_listed(now[key])}"
        old, new = ([_comparison_text(entry) for entry in one[key]] for one in (before, now))
        gone, come = ([text for text in one if text not in other] for one, other in ((old, new), (new, old)))
        return "; ".join([f"gone: {text}" for text in gone[:1]] + [f"new: {text}" for text in come[:1]])
    return ""


def _comparison_text(comparison: Mapping[str, Any]) -> str:
    margin = "" if comparison["within"] is None else f" within {comparison['within']:g}"
    return f"{comparison['better']} vs {comparison['than']} ({comparison['metric']}){margin}"


def _listed(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
