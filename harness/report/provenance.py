"""Where runs come from: what they must share, whether they are comparable with the paper, what a report says about it.

Refuses to average runs of different code, data or profile.
"""

from collections import defaultdict

from harness.errors import InputError
from harness.report.recorded import SENSITIVITY
from harness.track.provenance import LIBRARY
from harness.track.snapshot import RunRecord, Snapshot

PAPER = "paper"
"""The profile whose results may be held against the paper's."""

SAME = {
    "code_digest": "code version",
    "profile": "profile",
    "dataset": "data set",
    "dataset_fingerprint": "fingerprint of the data",
    "synthetic": "synthetic data",
}
"""The tags in which all runs of a table must agree, and their names for people."""

_FACTS = (
    *("origin", "profile", "dataset", "dataset_fingerprint", "synthetic", "code_digest", "commit", "dirty", "started"),
    *("device", "cpu", "platform", "python", "mlflow"),
)
"""The facts of provenance in the order in which they are shown; others follow by name."""


def is_synthetic(snapshot: Snapshot) -> bool:
    """Whether the runs trained on rendered images; the run's own word counts before the declaration's."""
    flag = snapshot.provenance.get("synthetic")
    return snapshot.declaration.get("synthetic") is not None if flag is None else flag.lower() == "true"


def comparability(snapshot: Snapshot) -> str:
    """Why a snapshot's numbers cannot be held against the published ones; empty if they can, or if there are none.

    Only runs of the profile ``paper`` on real data are the paper's experiment.
    """
    if is_synthetic(snapshot):
        return "synthetic data"
    declared = snapshot.declaration
    published = declared.get("cited") or any(row.get("paper") for row in declared["rows"])
    profile = declared["profile"]
    return f"profile {profile}, not {PAPER}" if published and profile != PAPER else ""


def refuse_mixing(table: str, finished: list[RunRecord]) -> None:
    """Raises unless all runs were made by the same code on the same data under the same profile."""
    differences = []
    for key, name in SAME.items():
        holders: dict[str, list[str]] = defaultdict(list)
        for run in finished:
            value = provenance_of(run, key)
            if value is not None:
                holders[value].append(f'"{run.row}" seed {run.seed}')
        if len(holders) > 1:
            listed = "; ".join(f"{value}: {some_of(runs)}" for value, runs in sorted(holders.items()))
            differences.append(f"  {name} ({key}): {listed}")
    if differences:
        raise InputError(
            f'table "{table}": its runs differ and are not averaged; expected one code version, one profile and one '
            "data set, found\n" + "\n".join(differences) + "\nRun the table again to remeasure all rows."
        )


def provenance_of(run: RunRecord, key: str) -> str | None:
    """A fact of where a run comes from, as it was tagged; None if it was not."""
    return run.tags.get(f"harness.{key}")


def libraries_of(run: RunRecord) -> list[str]:
    """Returns the facts of provenance that are versions of libraries."""
    return [key.removeprefix("harness.") for key in run.tags if key.startswith(f"harness.{LIBRARY}")]


def some_of(names: list[str], shown: int = 4) -> str:
    """Returns the first names of a list of rows, and how many more there are."""
    rest = len(names) - shown
    return "rows " + ", ".join(names[:shown]) + (f" and {rest} more" if rest > 0 else "")


def provenance_facts(snapshot: Snapshot) -> dict[str, str]:
    """Returns what is known of where the runs come from, by name, in the order in which reports show it."""
    facts = dict(snapshot.provenance)
    facts.pop(SENSITIVITY, None)
    devices = {device for run in snapshot.runs if (device := provenance_of(run, "device"))}
    if devices:
        facts["device"] = "; ".join(sorted(devices))
    return {name: facts[name] for name in (*_FACTS, *sorted(facts.keys() - set(_FACTS))) if facts.get(name)}
