"""Effects after equal tuning: a claim at its rows' own values beside the same claim with both sides tuned.

With the confirming runs of the better row's best point B and own values b, and of the other row's T and t, the effect
is b - t at their own values and B - T after tuning; tuning adds (B - T) - (b - t). All three are paired over seeds and
units. Owns the three estimates and their section. Refuses verdicts on the paper: data held out of training is not its
test set.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.formatting import counted
from harness.report.basis import basis_text
from harness.report.claim_text import versus
from harness.report.confirmed import BEST, REFERENCE, measurements_of
from harness.report.formatting import interval_text, metric_text, p_text, three_digits, value_text
from harness.report.marks import NOTHING, bullets, code, escaped, pipe_table
from harness.report.statistics import Estimate, holm
from harness.trainer import Metric


@dataclass(frozen=True)
class Effect:
    """A difference, positive where it favours the claim, and its p-value corrected over the claims of the search."""

    estimate: Estimate | None
    p_holm: float | None


@dataclass(frozen=True)
class TunedClaim:
    """A claim at its rows' own values and after equal tuning."""

    text: str
    better: str
    than: str
    own: Effect
    tuned: Effect
    change: Effect
    """The change of the effect through tuning."""
    basis: str
    """The basis of the intervals."""


def tuned_claims(record: Mapping[str, Any]) -> tuple[TunedClaim, ...]:
    """The claims of a search's outcome; none where it searched on rows alone."""
    claims, metric = record["claims"], record["metric"]
    if not claims:
        return ()
    measured = measurements_of(
        record,
        {_name(study["row"], point): runs for study in record["studies"] for point, runs in study["confirmed"].items()},
    )
    weights = [
        (
            {_name(claim["better"], REFERENCE): 1.0, _name(claim["than"], REFERENCE): -1.0},
            {_name(claim["better"], BEST): 1.0, _name(claim["than"], BEST): -1.0},
        )
        for claim in claims
    ]
    columns = [
        _effects(measured.contrast(own, metric) for own, _ in weights),
        _effects(measured.contrast(tuned, metric) for _, tuned in weights),
        _effects(
            measured.contrast({**tuned, **{row: -weight for row, weight in own.items()}}, metric)
            for own, tuned in weights
        ),
    ]
    found = []
    for claim, (before, after, change), (own, tuned) in zip(claims, zip(*columns, strict=True), weights, strict=True):
        basis = measured.basis([*own, *tuned], metric)
        text = basis_text(basis) if basis else ""
        found.append(TunedClaim(claim["text"], claim["better"], claim["than"], before, after, change, text))
    return tuple(found)


def _effects(estimates: Iterable[Estimate | None]) -> list[Effect]:
    listed = list(estimates)
    adjusted = holm([one.p_value if one else None for one in listed])
    return [Effect(one, p_holm) for one, p_holm in zip(listed, adjusted, strict=True)]


def _name(row: str, point: str) -> str:
    return f"{row} ({point})"


def tuned_section(record: Mapping[str, Any], metric: Metric) -> list[str]:
    """The section, in Markdown; nothing where the search names no claims."""
    claims = tuned_claims(record)
    if not claims:
        return []
    header = [
        "claim",
        "rows",
        "at their own values",
        "p (Holm)",
        "tuned",
        "p (Holm)",
        "tuning adds",
        "p (Holm)",
        "over",
    ]
    lines = [
        [escaped(one.text), escaped(versus(one.better, one.than))]
        + [cell for effect in (one.own, one.tuned, one.change) for cell in _cells(effect, metric)]
        + [escaped(one.basis) or NOTHING]
        for one in claims
    ]
    budget = record["budget"]["trials"]
    message = (
        f"{escaped(metric.title)}, positive in favour of the claim, with 95 % intervals, on held-out data that chose "
        f"nothing. Both sides had {counted(budget, 'trial')} of {counted(len(record['seeds']), 'seed')} each. Tuned "
        "effects are those of the values chosen here: another search might choose others, which no interval covers. "
        "p (Holm): corrected for these claims, within each column."
    )
    parts = ["## Effects after equal tuning", pipe_table(header, lines), message, _choices(record)]
    warnings = [text for study in record["studies"] for text in _warnings(study)]
    return [*parts, *([bullets(warnings)] if warnings else [])]


def _cells(effect: Effect, metric: Metric) -> list[str]:
    return [effect_text(effect, metric), NOTHING if effect.p_holm is None else escaped(p_text(effect.p_holm))]


def effect_text(effect: Effect, metric: Metric) -> str:
    """``+3.2 [+1.1, +5.3]``."""
    if effect.estimate is None:
        return NOTHING
    size = metric_text(effect.estimate.mean, metric, signed=True)
    return f"{size} {interval_text(effect.estimate, metric, signed=True)}".strip()


def _choices(record: Mapping[str, Any]) -> str:
    """Each row's own and chosen values, and what its search took."""
    keys = list(record["space"])
    header = ["row", *(f"{code(key)}: own → tuned" for key in keys), "trials", "device hours"]
    lines = []
    for study in record["studies"]:
        best = study["best"]["params"] if study["best"] else {}
        values = [f"{value_text(study['reference'][key])} → {value_text(best.get(key, NOTHING))}" for key in keys]
        states = [trial["state"] for trial in study["trials"] if trial["state"] != "infeasible"]
        counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
        lines.append([escaped(study["row"]), *values, counts, three_digits(study["cost"]["seconds"] / 3600)])
    return pipe_table(header, lines)


def _warnings(study: Mapping[str, Any]) -> Sequence[str]:
    """Returns warnings about one row's tuning."""
    row = escaped(study["row"])
    if study["best"] is None:
        return [f"Row {row}: no trial has a result, so there is no effect after tuning."]
    found = [
        f"**Row {row}: {code(key)} {value_text(study['best']['params'][key])} lies at the {edge} end of its range**: "
        "better values may lie beyond it, and the tuned effect may be that of the range."
        for key, edge in study["edges"].items()
    ]
    if lost := sum(trial["state"] == "failed" for trial in study["trials"]):
        found.append(f"Row {row}: {counted(lost, 'trial')} failed, so it chose among fewer values than its budget has.")
    if study["units_checked"] is False:
        found.append(
            f"Row {row}: its results name no units (`run.units`), so that it cannot be checked whether some both chose "
            "and confirmed."
        )
    return found


def tuned_to_json(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The claims as plain data; gains are fractions, positive in favour of the claim."""
    return [
        {
            "text": one.text,
            "better": one.better,
            "than": one.than,
            "metric": record["metric"],
            "own": _effect(one.own),
            "tuned": _effect(one.tuned),
            "change": _effect(one.change),
        }
        for one in tuned_claims(record)
    ]


def _effect(effect: Effect) -> dict[str, float | None]:
    interval = effect.estimate.interval if effect.estimate else None
    return {
        "gain": effect.estimate.mean if effect.estimate else None,
        "low": interval[0] if interval else None,
        "high": interval[1] if interval else None,
        "p_holm": effect.p_holm,
    }
