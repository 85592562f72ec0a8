"""The report of a search: best values with their uncertainty, surface, importance, history, cost, and a verdict.

Owns the verdict on the values to beat (the paper's): the best point and the reference are both measured again under
seeds and on held-out data that chose nothing, and compared over seeds and queries in pairs. Where a trainer does not
divide what it holds out, the report says what that does to the verdict. Reads a search's outcome as plain data.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import stdev
from typing import Any

from harness.files import replace_text
from harness.names import file_name
from harness.report.basis import basis_text
from harness.report.confirmed import BEST, REFERENCE, measurements_of
from harness.report.formatting import interval_text, metric_text, p_text, spread_text, three_digits, value_text
from harness.report.marks import NOTHING, code, escaped, picture, pipe_table
from harness.report.measurements import Measurements
from harness.report.metrics import metric_of
from harness.report.statistics import ALPHA, Estimate
from harness.report.surface import draw_study
from harness.report.tuned import tuned_section
from harness.trainer import Metric


def write_study(record: Mapping[str, Any], out_dir: Path, endings: Sequence[str] = ("svg", "png")) -> list[Path]:
    """Writes ``<out_dir>/<name>.md`` and the surface of each study into ``<out_dir>/figures``.

    Args:
        record: A search's outcome; see ``harness.search.result``.
        out_dir: Made if need be.
        endings: Of the figures.
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    name = file_name(record["name"])
    drawn: list[Path] = []
    links: list[str] = []
    for number, study in enumerate(record["studies"]):
        paths = draw_study(record, study, out_dir / "figures" / f"{name}-surface-{number + 1}", endings)
        drawn += paths
        links.append(os.path.relpath(paths[0], out_dir).replace(os.sep, "/") if paths else "")
    path = out_dir / f"{name}.md"
    replace_text(path, study_to_markdown(record, links))
    return [path, *drawn]


def study_to_markdown(record: Mapping[str, Any], links: Sequence[str]) -> str:
    """The report as Markdown; ``links`` are the surfaces' files, a study each (empty: none is drawn)."""
    metric = metric_of(record["measured"], record["metric"])
    parts = [
        f"# {escaped(record['title'])}",
        f"Profile {escaped(record['profile'])}{record['dataset'] and ' on '}{escaped(record['dataset'])}"
        f"{' (synthetic)' if record['synthetic'] else ''}, "
        f"rows of {code(record['table'])}.",
    ]
    if record["synthetic"]:
        searched = " and ".join(map(code, record["space"]))
        parts.append(
            f"Synthetic data: this shows that the search runs; on real data other values of {searched} may be best."
        )
    parts += [_question(record, metric), *tuned_section(record, metric)]
    for study, link in zip(record["studies"], links, strict=True):
        parts += _study(record, study, link, metric)
    return "\n\n".join(parts) + "\n"


def compare(record: Mapping[str, Any], study: Mapping[str, Any]) -> tuple[str, Estimate | None]:
    """The verdict on the best point against the reference (better, worse, no difference ...), and the difference.

    Better and worse need a 95 % interval of the paired difference without 0; with one seed there is none.
    """
    difference = _measured(record, study).contrast({BEST: 1.0, REFERENCE: -1.0}, record["metric"])
    if not study["reference"]:
        return "nothing to compare with", None
    if study["best"] and study["best"]["params"] == study["reference"]:
        return "the same values", difference
    if difference is None or difference.p_value is None:
        return "not judged: these seeds give no variance", difference
    if difference.p_value > ALPHA:
        return "no difference that these seeds can show", difference
    return ("better" if difference.mean > 0 else "worse"), difference


def _question(record: Mapping[str, Any], metric: Metric) -> str:
    held_out, budget = record["held_out"], record["budget"]
    limits = [f"{budget['trials']} trials"]
    limits += [f"{budget[key]:g} {key.replace('_', ' ')}" for key in ("hours", "device_hours") if budget[key]]
    tuned = {
        "once": "Tuned once, on one row; a table that takes these values fixes them for all its rows.",
        "per-row": "Tuned per row: each row had its own study of the same budget.",
    }[record["tune"]]
    if record["claims"]:
        tuned += " The first trial of each has the row's own values; the others are drawn with the same seed."
    data = "data held out of training, as the recipe says"
    if "share" in held_out:
        drawn = f"{held_out['share']:.0%} of the training identities (drawn with seed {held_out.get('seed', 0)})"
        data = f"half of {drawn}, held out of training; the other half confirms; no test image was read"
    lines = [
        *(f"{code(key)}: {escaped(text)}" for key, text in record["space"].items()),
        *(f"only points with {code(rule)}; others were never trained" for rule in record["constraints"]),
        f"measured: {metric.title}, the mean over the {_seeds(record['seeds'])}, on {data}",
        f"sampler {record['sampler']}, {_pruner(record['pruner'])}, budget {', '.join(limits)} a study",
    ]
    return tuned + "\n\n" + "\n".join(f"- {line}" for line in lines)


def _pruner(pruner: Mapping[str, Any] | None) -> str:
    if pruner is None:
        return "no pruner"
    return (
        f"pruner {pruner['kind']} after every {pruner['every']} epochs of the last stage (a trial is pruned only if "
        "it is also behind the leader by more than the spread of the seeds explains)"
    )


def _study(record: Mapping[str, Any], study: Mapping[str, Any], link: str, metric: Metric) -> list[str]:
    parts = [f"## Row {escaped(study['row'])}"]
    if study["best"] is None:
        return [*parts, "No trial has a result.", "### Trials", _history(record, study, metric)]
    parts += [_verdict(record, study, metric), _points(record, study, metric)]
    if link:
        parts += ["### Surface", picture(f"{metric.title} over the searched values", link)]
    parts += [_noise(study, metric)]
    if len(study["importance"]) > 1:
        shares = [[code(key), metric_text(share, metric)] for key, share in study["importance"].items()]
        parts += [
            "### Importance",
            pipe_table(["value", "share of the variation (percent)"], shares),
            "By PED-ANOVA over the complete trials: what decides whether a trial is among the best."
            + (
                ""
                if _differ(study)
                else " The seeds show no difference among the trials, so these shares may be noise."
            ),
        ]
    return [*parts, "### Trials", _history(record, study, metric), "### Cost", _cost(study)]


def _verdict(record: Mapping[str, Any], study: Mapping[str, Any], metric: Metric) -> str:
    verdict, difference = compare(record, study)
    text = f"Best: {_point(study['best']['params'])}. Against the reference {_point(study['reference'])}: **{verdict}**"
    if not study["reference"]:
        text = f"Best: {_point(study['best']['params'])}"
    if difference is not None and difference.p_value is not None:
        size = metric_text(difference.mean, metric, signed=True)
        text += f" ({size} {interval_text(difference, metric, signed=True)}, p {p_text(difference.p_value)})"
    return text + "."


def _points(record: Mapping[str, Any], study: Mapping[str, Any], metric: Metric) -> str:
    measured = _measured(record, study)
    lines = []
    for name, params in ((BEST, study["best"]["params"]), (REFERENCE, study["reference"])):
        estimate = measured.row(name, metric.key) if params else None
        if estimate is not None:
            mean = f"{metric_text(estimate.mean, metric)} {spread_text(estimate, metric)}".strip()
            basis = measured.basis([name], metric.key)
            over = escaped(basis_text(basis)) if basis else ""
            lines.append([name, _point(params), mean, interval_text(estimate, metric), over])
    table = pipe_table(["point", "values", f"{metric.title} ± sd", "95 % interval", "over"], lines)
    chosen = metric_text(study["best"]["value"], metric)
    failed = [
        f"{name}, seed {result['seed']}: {escaped(result['reason'])}"
        for name in (BEST, REFERENCE)
        for result in study["confirmed"].get(name, ())
        if result["value"] is None
    ]
    below = (
        f"Measured with the fresh {_seeds(record['confirm'])}, since the value that chose the best point "
        f"({chosen}) flatters it, and {_confirmed_on(record, study)}. The difference is "
        "paired over all that both points have in common."
    )
    return "\n\n".join([table, below, *failed])


def _confirmed_on(record: Mapping[str, Any], study: Mapping[str, Any]) -> str:
    """Whether the data that confirmed a point is other data than chose it, and what follows where it is not."""
    if study["parts"]["choose"] == study["parts"]["confirm"]:
        return (
            "**on the same data that chose it**, which favours it: a point may seem better than it is. The "
            "recipe names no other data to confirm on (`held_out: {choose: {...}, confirm: {...}}`)"
        )
    if "share" in record["held_out"]:
        return "on the other half of what is held out, which chose nothing (so that the two values are not comparable)"
    return "on held-out data that chose nothing (so that the two values are not comparable)"


def _noise(study: Mapping[str, Any], metric: Metric) -> str:
    """Says whether the seeds show a difference among the trials, and which cannot be distinguished from the best."""
    noise = study["noise"]
    if noise is None:
        return "With one seed per trial the noise is unknown: differences between trials may be noise."
    complete = [trial for trial in study["trials"] if trial["state"] == "complete"]
    best = study["best"]
    others = [trial for trial in complete if trial["number"] != best["number"]]
    near = [trial for trial in others if metric.gain(best["value"] - trial["value"]) <= noise["allowed"]]
    listed = f" ({', '.join(str(trial['number']) for trial in near)})" if near else ""
    text = "the trials differ" if _differ(study) else "no difference among the trials that they can show"
    return (
        f"Seeds: a result varies by ±{metric_text(noise['sd'], metric)} beyond the effects of its trial and its seed; "
        f"**{text}** (p {p_text(noise['p_value'])}, analysis of variance). Two trials can be distinguished from "
        f"{metric_text(noise['allowed'], metric)} on; {len(near)} of the {len(others)} other complete trials{listed} "
        f"{'is' if len(near) == 1 else 'are'} nearer than that to the best."
    )


def _differ(study: Mapping[str, Any]) -> bool:
    """Whether the seeds show that some trials are better than others."""
    return study["noise"] is not None and bool(study["noise"]["p_value"] <= ALPHA)


def _history(record: Mapping[str, Any], study: Mapping[str, Any], metric: Metric) -> str:
    """All trials in their order, the best one so far marked."""
    keys = list(record["space"])
    lines, best = [], None
    for trial in study["trials"]:
        gain = None if trial["state"] != "complete" else metric.gain(trial["value"])
        improves = gain is not None and (best is None or gain > best)
        best = gain if improves else best
        values = [value_text(trial["params"][key]) for key in keys]
        lines.append(
            [str(trial["number"]), *values, _result(trial, metric), "best so far" if improves else "", _state(trial)]
        )
    return pipe_table(["trial", *map(code, keys), f"{metric.title} ± sd", "", "state"], lines)


def _result(trial: Mapping[str, Any], metric: Metric) -> str:
    """A trial's mean, and the spread of its seeds."""
    if trial["value"] is None:
        return NOTHING
    mean, values = metric_text(trial["value"], metric), trial["values"]
    return f"{mean} ± {metric_text(stdev(values), metric)}" if len(values) > 1 else mean


def _state(trial: Mapping[str, Any]) -> str:
    text = f"pruned after {trial['epoch']} epochs" if trial["state"] == "pruned" else str(trial["state"])
    return f"{text}: {escaped(trial['reason'])}" if trial["reason"] else text


def _cost(study: Mapping[str, Any]) -> str:
    cost = study["cost"]
    counts: dict[str, int] = {}
    for trial in study["trials"]:
        counts[trial["state"]] = counts.get(trial["state"], 0) + 1
    states = ", ".join(f"{count} {state}" for state, count in counts.items())
    text = (
        f"Trials: {states}. {cost['results']:.0f} results (trial x seed) took {three_digits(cost['seconds'] / 3600)} "
        f"hours on devices{_epochs(cost['epochs'])}."
    )
    if cost["unshared_seconds"] <= cost["seconds"]:
        return text
    share = cost["seconds"] / cost["unshared_seconds"]
    return (
        f"{text} Trained separately from scratch to the end, they would have taken "
        f"{three_digits(cost['unshared_seconds'] / 3600)} hours{_epochs(cost['unshared_epochs'])}: sharing "
        f"stages{' and pruning' if counts.get('pruned') else ''} leaves {share:.0%} of the time. Points that violate a "
        "constraint are in neither figure, and neither are the runs with fresh seeds."
    )


def _epochs(count: float) -> str:
    """The epochs behind a time; empty for a trainer that counts none."""
    return f" and {count:.0f} epochs" if count else ""


def _measured(record: Mapping[str, Any], study: Mapping[str, Any]) -> Measurements:
    """The confirming runs as the statistics know them: two rows, a run for each seed."""
    return measurements_of(record, study["confirmed"])


def _point(params: Mapping[str, Any]) -> str:
    return ", ".join(f"{code(key)} {value_text(value)}" for key, value in params.items())


def _seeds(values: Sequence[int]) -> str:
    return f"seed{'s' if len(values) > 1 else ''} {', '.join(map(str, values))}"
