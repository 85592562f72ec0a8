"""The origins of the digests in a stage's identity: the functions of its code, the parts of its data.

A store has a small file for each digest, written when a table first uses it, so that a later plan can say what has
changed since. A digest without a file (of a stage made by an older version) is unknown. Owns the files' format and
folder; refuses to compare (``harness.plan.why``).
"""

import json
from collections.abc import Mapping
from typing import Any

from harness.code import code_parts
from harness.execute.disk import writing_to
from harness.execute.store import Store
from harness.files import regular_file, replace_text
from harness.names import file_name
from harness.plan.stage import Stage
from harness.plan.why import Known
from harness.trainer import Inputs

ORIGINS = "origins"
"""The store's folder of origins."""


def origins_of(stages: Mapping[str, Stage], inputs: Inputs) -> dict[str, dict[str, Any]]:
    """Returns the origin of each digest of these stages: ``code`` (by module and name), or ``part`` and ``count``."""
    found: dict[str, dict[str, Any]] = {}
    for stage in stages.values():
        digest = str(stage.settings["code"])
        if digest not in found and stage.code:
            found[digest] = {"code": code_parts(stage.code)}
    for part, digest in inputs.contents.items():
        if not inputs.assumed:
            found[digest] = {"part": part, "count": inputs.sizes.get(part)}
    return found


def keep_origins(store: Store, origins: Mapping[str, Mapping[str, Any]]) -> None:
    """Stores origins of digests, except those that are stored already.

    Raises:
        InputError: If the store cannot be written to.
    """
    folder = store.root / ORIGINS
    for digest, record in origins.items():
        path = folder / f"{file_name(digest)}.json"
        if not path.exists():
            with writing_to(folder):
                folder.mkdir(parents=True, exist_ok=True)
                replace_text(path, json.dumps({"digest": digest, **record}, sort_keys=True))
            store.publish(path)


def read_origins(store: Store, besides: Mapping[str, Mapping[str, Any]]) -> Known:
    """Returns all stored origins, and ``besides``; damaged files are ignored."""
    records = dict(besides)
    for path in sorted(store.fetch_published(ORIGINS).glob("*.json")):
        try:
            record = json.loads(regular_file(path).read_bytes())
            records.setdefault(record["digest"], record)
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return Known(
        code={digest: record["code"] for digest, record in records.items() if "code" in record},
        data={digest: (record["part"], record["count"]) for digest, record in records.items() if "part" in record},
    )
