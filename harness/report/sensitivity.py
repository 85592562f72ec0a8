"""Which verdicts depend on which assumption: a table's claims judged again under each alternative.

Every alternative is judged as the table itself is: the same claims, seeds and correction. Owns the comparison of
verdicts and the page; refuses to run anything.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from harness.formatting import counted
from harness.report.claim_text import sides_text
from harness.report.claims import Judgement
from harness.report.formatting import gain_text
from harness.report.marks import NOTHING, bullets, code, escaped, pipe_table
from harness.report.metrics import metric_of

Finding = Literal["holds", "open", "contrary"]
_FINDINGS: Mapping[str, Finding] = {"reproduced": "holds", "contradicted": "contrary"}


@dataclass(frozen=True)
class Variation:
    """The claims under one alternative of one assumption, or under none."""

    key: str
    """The assumption's setting; empty for the table as it is."""
    value: Any
    judged: tuple[Judgement, ...]
    unread: bool = False
    """Whether no stage of these rows reads the setting, so that nothing can change."""
    problems: tuple[str, ...] = ()
    """Runs without a result."""

    @property
    def name(self) -> str:
        """The alternative in readable form."""
        return f"{self.key} = {self.value}" if self.key else "as assumed"


@dataclass(frozen=True)
class Sensitivity:
    """A table under its assumptions and their alternatives."""

    table: str
    title: str
    heading: str
    not_comparable: str
    measured: Mapping[str, Mapping[str, Any]]
    base: Variation
    variations: tuple[Variation, ...]

    @property
    def columns(self) -> tuple[Variation, ...]:
        """The table as it is, then every alternative."""
        return (self.base, *self.variations)

    @property
    def whole(self) -> bool:
        """Whether no run lacks its result."""
        return not any(one.problems for one in self.columns)

    @property
    def changes(self) -> tuple[tuple[Variation, Judgement, Judgement], ...]:
        """Each verdict that an alternative changes: the alternative, the claim as assumed, and with it."""
        return tuple(
            (variation, before, after)
            for variation in self.variations
            for before, after in zip(self.base.judged, variation.judged, strict=True)
            if finding(before) != finding(after)
        )

    @property
    def summary(self) -> str:
        """The sentence for a heading."""
        tried = counted(len(self.variations), "alternative")
        if not self.whole:
            return f"{tried}, some without results"
        if not self.changes:
            return f"every verdict survives {'its' if len(self.variations) == 1 else 'all'} {tried}"
        claims = {before.text for _, before, _ in self.changes}
        keys = {variation.key for variation, _, _ in self.changes}
        verb = "changes" if len(claims) == 1 else "change"
        return f"{len(claims)} of {counted(len(self.base.judged), 'verdict')} {verb} with {', '.join(sorted(keys))}"


def finding(judged: Judgement) -> Finding:
    """Returns what the runs show of a claim, whether or not they are the paper's experiment."""
    return _FINDINGS.get(judged.verdict, "open")


def sensitivity_to_markdown(found: Sensitivity) -> str:
    """The page: which verdicts change, and every claim under every alternative."""
    claims = found.base.judged
    header = ["claim", "rows", "metric", *(escaped(one.name) for one in found.columns)]
    lines = []
    for index, claim in enumerate(claims):
        metric = metric_of(found.measured, claim.metric)
        line = [escaped(claim.text), escaped(sides_text(claim, metric)), escaped(metric.title)]
        for one in found.columns:
            judged = one.judged[index]
            changed = finding(judged) != finding(claim)
            gain = NOTHING if judged.measured is None else escaped(gain_text(judged, metric))
            line.append(f"**{finding(judged)}** {gain}" if changed else f"{finding(judged)} {gain}")
        lines.append(line)
    changes = [
        f'{code(one.name)}: "{escaped(before.text)}" {_said(after)} with it, and {_said(before)} as assumed.'
        for one, before, after in found.changes
    ]
    unread = [f"{code(one.name)}: no stage of these rows reads it." for one in found.variations if one.unread]
    problems = [f"{escaped(one.name)}: {escaped(text)}." for one in found.columns for text in one.problems]
    notice = ""
    if found.not_comparable:
        notice = f"> **These runs are not the paper's experiment ({escaped(found.not_comparable)}).**"
    parts = [
        f"# {escaped(found.title)}: {escaped(found.summary)}",
        f"{code(found.table)} · {escaped(found.heading)}",
        notice,
        pipe_table(header, lines),
        "*holds*: in favour of the claim, p ≤ 0.05; *contrary*: against it, p ≤ 0.02; *open*: neither. p is corrected "
        "for these claims (Holm), within each column. Gains with their 95 % interval. One assumption is changed at a "
        "time.",
        *(["## What changes", bullets(changes)] if changes else []),
        bullets([*unread, *problems]) if unread or problems else "",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _said(judged: Judgement) -> str:
    return "holds" if finding(judged) == "holds" else f"is {finding(judged)}"


def sensitivity_to_json(found: Sensitivity) -> dict[str, Any]:
    """The same as plain data; gains are fractions."""
    return {
        "table": found.table,
        "title": found.title,
        "heading": found.heading,
        "not_comparable": found.not_comparable,
        "summary": found.summary,
        "survives": found.whole and not found.changes,
        "variations": [_variation(one) for one in found.columns],
        "changes": [
            {
                "assumption": one.key,
                "value": one.value,
                "claim": before.text,
                "before": finding(before),
                "after": finding(after),
            }
            for one, before, after in found.changes
        ],
    }


def _variation(one: Variation) -> dict[str, Any]:
    return {
        "assumption": one.key,
        "value": one.value,
        "unread": one.unread,
        "problems": list(one.problems),
        "claims": [_judged(judged) for judged in one.judged],
    }


def _judged(judged: Judgement) -> dict[str, Any]:
    interval = judged.measured.interval if judged.measured else None
    return {
        "text": judged.text,
        "metric": judged.metric,
        "finding": finding(judged),
        "gain": judged.measured.mean if judged.measured else None,
        "low": interval[0] if interval else None,
        "high": interval[1] if interval else None,
        "p_holm": judged.p_holm,
    }


def sensitivity_lines(found: Sensitivity) -> Sequence[Mapping[str, Any]]:
    """One line for each claim under each alternative, for a data frame."""
    return [
        {"assumption": one.key, "value": one.value, **_judged(judged)} for one in found.columns for judged in one.judged
    ]
