"""Checks, before anything is trained, that the nodes of a cluster can run a call's stages.

Owns what a node must have in common with this machine: code, libraries, store, data set. Refuses the connection
(``ray_cluster``) and running the stages (``on_ray``).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.code import code_digest
from harness.errors import InputError
from harness.execute.shared import SharedStore
from harness.execute.store import Store
from harness.execute.versions import library_versions
from harness.plan.stage import Stage

_NAMED = 5
"""Nodes with the same problem that a message names."""


@dataclass(frozen=True)
class Needs:
    """The requirements of a call's stages on every node."""

    store: Store
    token: Path | None
    """A file in the store's folder that every node must see; None for a store that is not a folder."""
    inputs: tuple[str, ...]
    """The files and folders that the work reads."""
    code: tuple[str, ...]
    """References to the code behind the results, which must be equal: fingerprints name it."""


def code_behind(work: str, stages: Iterable[Stage]) -> tuple[str, ...]:
    """Returns references to the code of a work and of the stages."""
    return (work, *sorted({reference for stage in stages for reference in stage.code}))


@dataclass(frozen=True)
class Found:
    """The requirements that a machine meets."""

    digest: str
    """Of the code; empty if some of it is missing (see ``lacks``)."""
    versions: Mapping[str, str]
    """Of Python and the libraries that the code imports; empty if some of the code is missing."""
    lacks: tuple[str, ...]
    """Unmet requirements; each continues a sentence that starts with the machine's name."""


def check_node(needs: Needs) -> Found:
    """Returns what this machine has; fast enough to call before every stage."""
    lacks = []
    if needs.token is not None and not needs.token.exists():
        lacks.append(
            f"does not see the store {needs.store.address}; expected a folder that all nodes share under one path, or "
            "an address such as s3://bucket/prefix"
        )
    lacks += [
        f"does not see the data {place}; expected it under one path on all nodes"
        for place in needs.inputs
        if not Path(place).exists()
    ]
    digest, versions = "", dict[str, str]()
    try:
        digest, versions = code_digest(needs.code), library_versions(needs.code)
    except InputError as error:
        lacks.append(f"lacks code: {error}")
    return Found(digest, versions, tuple(lacks))


def check_node_and_store(needs: Needs) -> Found:
    """As ``check_node``; also checks that a remote store answers this machine. Called once per node."""
    found, lacks = check_node(needs), []
    if isinstance(needs.store, SharedStore):
        try:
            needs.store.reach()
        except InputError as error:
            lacks.append(f"cannot reach the store: {error}")
    return Found(found.digest, found.versions, (*found.lacks, *lacks))


def differences(here: Found, there: Found) -> list[str]:
    """Returns why the machine ``there`` cannot run stages planned ``here``; each continues a sentence after its name.

    Ignores local version labels (``2.13.0+cu130``): a login node without a GPU may have another build.
    """
    problems = list(there.lacks)
    if there.digest not in ("", here.digest):
        problems.append("has different code from this machine; install the same version on both")
    versions = (
        (library, ours, there.versions.get(library, "not installed"))
        for library, ours in here.versions.items()
        if there.versions
    )
    unlike = [
        f"{library} {theirs} (here {ours})" for library, ours, theirs in versions if _public(theirs) != _public(ours)
    ]
    if unlike:
        problems.append(f"has {', '.join(unlike)}; install the same version on both")
    return problems


def refuse(problems: Mapping[str, Sequence[str]]) -> None:
    """Raises if any node has problems; the message groups the nodes with equal ones.

    Args:
        problems: Each node's problems, by its name.

    Raises:
        InputError: If there are any.
    """
    alike: dict[str, dict[str, None]] = {}
    for host, found in problems.items():
        for problem in found:
            alike.setdefault(problem, {})[host] = None
    if alike:
        lines = (f"{_names(list(hosts))}: {problem}" for problem, hosts in alike.items())
        raise InputError("the cluster cannot run these stages, and none was started:\n" + "\n".join(lines))


def _names(hosts: Sequence[str]) -> str:
    more = f" and {len(hosts) - _NAMED} more" if len(hosts) > _NAMED else ""
    return ", ".join(hosts[:_NAMED]) + more


def _public(version: str) -> str:
    return version.partition("+")[0]
