"""Whether the machines of a cluster can run a call's stages, asked before anything is trained.

Owns what a node must have in common with this machine: the code, the libraries, the store, the data set. Refuses the
connection (``ray_cluster``) and running the stages (``on_ray``).
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
"""How many nodes with the same trouble are named."""


@dataclass(frozen=True)
class Needs:
    """What the stages of a call need wherever they run."""

    store: Store
    token: Path | None
    """A file in the store's folder that every node must see; None for a store that is no folder."""
    inputs: tuple[str, ...]
    """The files and folders that the work reads."""
    code: tuple[str, ...]
    """References to the code behind the results: with other code, they would bear a wrong name."""


def code_behind(work: str, stages: Iterable[Stage]) -> tuple[str, ...]:
    """Returns references to the code of a work and of the stages."""
    return (work, *sorted({reference for stage in stages for reference in stage.code}))


@dataclass(frozen=True)
class Found:
    """What a machine has of what is needed."""

    digest: str
    """Of the code; empty if some of it is missing, which ``lacks`` tells."""
    versions: Mapping[str, str]
    lacks: tuple[str, ...]
    """What it has not got, each behind the machine's name a sentence."""


def look(needs: Needs) -> Found:
    """What this machine has; cheap enough to be asked before every stage."""
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
    digest = ""
    try:
        digest = code_digest(needs.code)
    except InputError as error:
        lacks.append(f"lacks code: {error}")
    return Found(digest, library_versions(), tuple(lacks))


def look_far(needs: Needs) -> Found:
    """As ``look``, and whether a store elsewhere answers this machine; asked once."""
    found, lacks = look(needs), []
    if isinstance(needs.store, SharedStore):
        try:
            needs.store.reach()
        except InputError as error:
            lacks.append(f"does not reach the store: {error}")
    return Found(found.digest, found.versions, (*found.lacks, *lacks))


def differences(here: Found, there: Found) -> list[str]:
    """Why the machine ``there`` must not run stages that were planned ``here``; each behind its name a sentence.

    A build's own mark counts for nothing (``2.13.0+cu130``): a login node without a GPU may have another one.
    """
    told = list(there.lacks)
    if there.digest not in ("", here.digest):
        told.append("has other code than this machine; install one version on both")
    versions = (
        (library, ours, there.versions.get(library, "not installed")) for library, ours in here.versions.items()
    )
    unlike = [
        f"{library} {theirs} (here {ours})" for library, ours, theirs in versions if _public(theirs) != _public(ours)
    ]
    if unlike:
        told.append(f"has {', '.join(unlike)}; install one version on both")
    return told


def refuse(trouble: Mapping[str, Sequence[str]]) -> None:
    """Names the machines with trouble and what it is, those with the same trouble together.

    Args:
        trouble: What is wrong with a node, by its name; nothing for one that is well.

    Raises:
        InputError: If anything is.
    """
    alike: dict[str, dict[str, None]] = {}
    for host, complaints in trouble.items():
        for complaint in complaints:
            alike.setdefault(complaint, {})[host] = None
    if alike:
        lines = (f"{_names(list(hosts))}: {complaint}" for complaint, hosts in alike.items())
        raise InputError("the cluster cannot run these stages, and none was started:\n" + "\n".join(lines))


def _names(hosts: Sequence[str]) -> str:
    more = f" and {len(hosts) - _NAMED} more" if len(hosts) > _NAMED else ""
    return ", ".join(hosts[:_NAMED]) + more


def _public(version: str) -> str:
    return version.partition("+")[0]
