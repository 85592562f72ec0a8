"""A table's numbers as pandas data frames, one fact per line."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from harness.errors import InputError, did_you_mean

if TYPE_CHECKING:
    import pandas as pd

    from harness.report import TableReport


def results_frame(report: "TableReport") -> "pd.DataFrame":
    """One line for each finished run and metric: ``row``, ``seed``, the factors, ``metric``, ``value``.

    Percentages are fractions, as everywhere but in print.
    """
    import pandas as pd

    lines = [
        {
            "row": row.id,
            "seed": run.seed,
            **_factors(report, row.factors),
            "metric": metric,
            "value": run.metrics[metric],
        }
        for row in report.ours
        for run in row.runs
        if run.status == "finished"
        for metric in _measured(report)
        if metric in run.metrics
    ]
    return pd.DataFrame(lines, columns=["row", "seed", *report.factors, "metric", "value"])


def units_frame(report: "TableReport", metric: str) -> "pd.DataFrame":
    """One line for each row, seed and unit: ``row``, ``seed``, ``unit`` (its id), ``group``, ``value``.

    Raises:
        InputError: If no run kept values of the metric by unit.
    """
    import pandas as pd

    if metric not in _measured(report):
        raise InputError(f'"{metric}" is not measured here; {did_you_mean(metric, _measured(report))}')
    parts = []
    for row in report.ours:
        for run in row.runs:
            units = run.read_units() if run.status == "finished" else None
            if units is not None and metric in units.values:
                columns = {"unit": units.ids, "group": units.groups, "value": units.values[metric]}
                parts.append(pd.DataFrame({"row": row.id, "seed": run.seed, **columns}))
    if not parts:
        raise InputError(f"{report.name}: no run kept values of {metric} by unit")
    return pd.concat(parts, ignore_index=True)


def effects_frame(report: "TableReport") -> "pd.DataFrame":
    """One line for each effect and metric.

    ``kind`` (pair, shapley, interaction), ``effect``, ``on``, ``off``, ``metric``, ``gain`` (positive is better),
    ``low``, ``high``, ``p_holm``, ``effect_size``, ``seeds``.
    """
    import pandas as pd

    from harness.report import report_to_json

    effects = report_to_json(report)["effects"]
    lines: list[dict[str, Any]] = []
    for pair in effects["matched_pairs"]:
        named = {"kind": "pair", "effect": pair["change"], "on": pair["on"], "off": pair["off"]}
        lines += [{**named, **gain} for gain in _gains(pair["gains"])]
    for game in effects["factorials"]:
        for kind, found in (("shapley", game["shapley"]), ("interaction", game["interactions"])):
            for effect in found:
                named = {"kind": kind, "effect": " × ".join("+".join(player) for player in effect["players"])}
                lines += [{**named, **gain} for gain in _gains(effect["gains"])]
    names = ["kind", "effect", "on", "off", "metric", "gain", "low", "high", "p_holm", "effect_size", "seeds"]
    return pd.DataFrame(lines, columns=names)


def claims_frame(report: "TableReport") -> "pd.DataFrame":
    """One line for each claim.

    ``text``, ``better``, ``than``, ``metric``, ``verdict``, ``reason``, ``gain`` (positive favours the claim), ``low``,
    ``high``, ``p_holm``, ``effect_size``, ``seeds``.
    """
    import pandas as pd

    from harness.report import report_to_json

    lines = [{**claim, **_estimate(claim["measured"])} for claim in report_to_json(report)["claims"]]
    names = ["text", "better", "than", "metric", "verdict", "reason", "gain", "low", "high", "p_holm", "effect_size"]
    return pd.DataFrame(lines, columns=[*names, "seeds"])


def _measured(report: "TableReport") -> list[str]:
    return list(dict.fromkeys([*(metric.key for metric in report.metrics), *report.measured]))


def _factors(report: "TableReport", factors: Mapping[str, bool | str]) -> dict[str, bool | str]:
    return {factor: factors[factor] for factor in report.factors}


def _gains(gains: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for metric, gain in gains.items():
        rest = {name: gain[name] for name in ("p_holm", "effect_size")}
        yield {"metric": metric, **_estimate(gain["estimate"]), **rest}


def _estimate(estimate: Mapping[str, Any] | None) -> dict[str, Any]:
    if estimate is None:
        return {}
    low, high = estimate["interval"] or (None, None)
    return {"gain": estimate["mean"], "low": low, "high": high, "seeds": estimate["seeds"]}
