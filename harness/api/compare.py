"""Compares two rows, versions or runs: finds both sides in the tracker, their code, images to show."""

import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from harness.api.folders import Folders
from harness.api.report import image_loader, table_name
from harness.errors import InputError, did_you_mean, nearest
from harness.names import file_name

if TYPE_CHECKING:
    from harness.plan import Difference
    from harness.report import Comparison, Side
    from harness.report.pictures import LoadImage
    from harness.track import Snapshot, TableEntry

EXPECTED = "TABLE ROW ROW, TABLE@VERSION TABLE, TABLE@VERSION ROW TABLE ROW, or the ids of two runs"
_RUN = re.compile(r"[0-9a-f]{6,32}")
_SHORT = 7


def find_comparison(
    words: Sequence[str], store: str, *, profile: str | None = None, metric: str | None = None
) -> "Comparison":
    """Compares what the words name: two rows of a table, two versions of one, or two runs.

    A version is the start of a commit, of a code digest, or of a parent run's id; without it a table's newest.

    Args:
        words: See ``EXPECTED``.
        store: The store's address, which keeps what the code was.
        profile: Consider only runs of this profile.
        metric: The metric that is compared by unit; None: the table's first.

    Raises:
        InputError: For a table, row, run or version that the tracker does not hold, or sides that share nothing.
        TrackerError: The tracker cannot be queried.
    """
    from harness.execute import local_root

    downloads = local_root(store) / "downloads"
    if len(words) == 2 and all(_RUN.fullmatch(word) for word in words):
        return _compare_runs(words[0], words[1], store, downloads, metric)
    if len(words) == 2:
        return _compare_versions(words[0], words[1], store, downloads, profile, metric)
    if len(words) == 3:
        snapshot = _snapshots(words[:1], downloads, profile)[0]
        return compare_rows(snapshot, words[1], words[2], store, metric)
    if len(words) == 4:
        one, two = _snapshots((words[0], words[2]), downloads, profile)
        return _compare_across(one, words[1], two, words[3], store, metric)
    raise InputError(f"compare {' '.join(words)}: expected {EXPECTED}")


def compare_rows(snapshot: "Snapshot", first: str, second: str, store: str, metric: str | None = None) -> "Comparison":
    """Compares two rows of a table's runs.

    Raises:
        InputError: For a row that the table lacks or that has no finished run, or rows without a common seed.
    """
    from harness.report import Side, compare

    _check_row(snapshot, first)
    _check_row(snapshot, second)
    if first == second:
        raise InputError(f'table "{snapshot.table}": row "{first}" is named twice; expected two rows')
    sides = Side.of(first, snapshot, first), Side.of(second, snapshot, second)
    name = file_name(f"{snapshot.table}-{first}-{second}")
    return compare([sides], (f"row {first}", f"row {second}"), name, metric, _code(*sides, store))


def loader_for(comparison: "Comparison", data: Folders | None, store: str) -> "LoadImage | None":
    """Returns a function that reads the images of ranked queries; None if there are no rankings or no images.

    Raises:
        InputError: If ``data`` was named and does not hold them.
    """
    from harness.execute import local_root
    from harness.report.pictures import kept_rank_lists

    side = comparison.pairs[0].second
    if not all(kept_rank_lists(run) for pair in comparison.pairs for run in (pair.first.runs[0], pair.second.runs[0])):
        return None
    if data is not None:
        return image_loader(side.snapshot, str(side.row["id"]), data, local_root(store))
    with suppress(InputError):
        return image_loader(side.snapshot, str(side.row["id"]), None, local_root(store))
    return None


def _compare_versions(
    first: str, second: str, store: str, downloads: Path, profile: str | None, metric: str | None
) -> "Comparison":
    from harness.report import Side, compare

    one, two = _snapshots((first, second), downloads, profile)
    if one.parent_id == two.parent_id:
        raise InputError(
            f"compare {first} {second}: both are the same results of the table, recorded at commit "
            f"{one.provenance.get('commit', 'unknown')[:_SHORT]}; {_versions_text(_entries(first, profile))}"
        )
    names = _labels(one, two)
    rows = [[str(row["id"]) for row in each.declaration["rows"]] for each in (one, two)]
    shared = [row for row in rows[0] if row in rows[1]]
    pairs: list[tuple[Side, Side]] = []
    notes: list[str] = []
    for row in shared:
        try:
            pairs.append((Side.of(f"{row} at {names[0]}", one, row), Side.of(f"{row} at {names[1]}", two, row)))
        except InputError as error:
            notes.append(f"row {row} is left out: {error}")
    for name, own, others in ((names[0], *rows), (names[1], *rows[::-1])):
        notes += [f"row {row} is only in {name}" for row in own if row not in others]
    if not pairs:
        raise InputError("; ".join([f"compare {first} {second}: no row has finished runs in both", *notes]))
    titles = f"{one.table} at {names[0]}", f"{two.table} at {names[1]}"
    name = file_name(f"{one.table}-{names[0]}-{names[1]}")
    return compare(pairs, titles, name, metric, _code(*pairs[0], store), notes)


def _compare_across(
    one: "Snapshot", first: str, two: "Snapshot", second: str, store: str, metric: str | None
) -> "Comparison":
    from harness.report import Side, compare

    if one.parent_id == two.parent_id:
        return compare_rows(one, first, second, store, metric)
    _check_row(one, first)
    _check_row(two, second)
    labels = _labels(one, two)
    names = f"row {first} at {labels[0]}", f"row {second} at {labels[1]}"
    sides = Side.of(names[0], one, first), Side.of(names[1], two, second)
    name = file_name(f"{one.table}-{first}-{labels[0]}-{second}-{labels[1]}")
    return compare([sides], names, name, metric, _code(*sides, store))


def _compare_runs(first: str, second: str, store: str, downloads: Path, metric: str | None) -> "Comparison":
    from harness.report import Side, compare
    from harness.track import find_run, read_snapshot

    sides = []
    for word in (first, second):
        run_id, table, parent = find_run(None, word)
        snapshot = read_snapshot(None, table, parent_id=parent, downloads=downloads)
        run = next(run for run in snapshot.runs if run.run_id == run_id)
        sides.append(Side.of(f"run {run_id[:8]} (row {run.row}, seed {run.seed})", snapshot, run.row, run_id))
    if sides[0].runs[0].run_id == sides[1].runs[0].run_id:
        raise InputError(f"compare {first} {second}: both are one run; expected two")
    name = file_name(f"{sides[0].snapshot.table}-{'-'.join(side.runs[0].run_id[:8] for side in sides)}")
    return compare(
        [(sides[0], sides[1])], (sides[0].name, sides[1].name), name, metric, _code(sides[0], sides[1], store)
    )


def _snapshots(tables: Sequence[str], downloads: Path, profile: str | None) -> "list[Snapshot]":
    """The runs of tables, each perhaps of a version; one without is of the profile of the one with, if there is one."""
    from harness.track import read_snapshot

    found: dict[str, Snapshot] = {}
    for text in sorted(tables, key=lambda text: "@" not in text):
        name, _, version = _split(text)
        if version:
            entry = _entry_of(text, profile)
            snapshot = read_snapshot(None, name, parent_id=entry.parent_id, downloads=downloads)
        else:
            alike = [each.declaration["profile"] for each in found.values() if each.table == name]
            held = {entry.profile for entry in _entries(text, profile)}
            wanted = profile or next((each for each in alike if each in held), None)
            snapshot = read_snapshot(None, name, profile=wanted, downloads=downloads)
        found[text] = snapshot
    return [found[text] for text in tables]


def _split(text: str) -> tuple[str, str, str]:
    name, at, version = text.rpartition("@") if "@" in text else (text, "", "")
    return table_name(name), at, version


def _entries(text: str, profile: str | None) -> "list[TableEntry]":
    from harness.track import list_tables

    name, _, _ = _split(text)
    return [entry for entry in list_tables() if entry.table == name and profile in (None, entry.profile)]


def _entry_of(text: str, profile: str | None) -> "TableEntry":
    """The newest results of a version of a table."""
    from harness.track import read_snapshot

    name, _, version = _split(text)
    entries = _entries(text, profile)
    if not entries:
        read_snapshot(None, name, profile=profile)  # says what the tracker holds instead
    found = [
        entry
        for entry in entries
        if any(each.startswith(version) for each in (entry.commit, entry.code, entry.parent_id))
    ]
    if not found:
        near = nearest(version, [entry.commit[: max(_SHORT, len(version))] for entry in entries])
        meant = f'did you mean "{near}"? ' if near else ""
        raise InputError(f"{text}: the tracker has no results of that commit; {meant}{_versions_text(entries)}")
    return found[0]


def _versions_text(entries: "Sequence[TableEntry]") -> str:
    """Lists the versions, the newest first; a parent run's id names one where a commit names several."""
    commits = [entry.commit for entry in entries]
    versions = []
    for entry in entries:
        short = entry.commit[:_SHORT] or "unknown"
        changed = ", with changes" if entry.dirty else ""
        unclear = commits.count(entry.commit) > 1
        named = f"{entry.parent_id[:8]} at {short}" if unclear else short
        versions.append(f"{named} ({entry.profile}{changed})")
    return f"it holds {', '.join(versions)}"


def _labels(one: "Snapshot", two: "Snapshot") -> tuple[str, str]:
    """Short names of two versions: their commits, or their parent runs where the commit is one."""
    commits = [each.provenance.get("commit", "unknown")[:_SHORT] for each in (one, two)]
    if commits[0] != commits[1]:
        return commits[0], commits[1]
    return one.parent_id[:8], two.parent_id[:8]


def _check_row(snapshot: "Snapshot", row: str) -> None:
    known = [str(declared["id"]) for declared in snapshot.declaration["rows"]]
    if row not in known:
        raise InputError(f'table "{snapshot.table}": no row "{row}"; {did_you_mean(row, known)}')


def _code(first: "Side", second: "Side", store: str) -> "list[Difference]":
    """Returns the differences in the code of two sides, as far as the store kept what their digests are of."""
    from harness.execute import open_store
    from harness.execute.origins import read_origins
    from harness.plan import Difference, code_behind, code_differences

    digests = [side.runs[0].tags.get("harness.code_digest", "") for side in (first, second)]
    if digests[0] == digests[1]:
        return []
    known = read_origins(open_store(store), {})
    then, now = (code_behind(digest, known) for digest in digests)
    if then is None or now is None:
        return [Difference("code", "", digests[0], digests[1])]
    return list(code_differences(then, now))
