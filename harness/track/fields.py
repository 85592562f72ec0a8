"""The fields of runs in MLflow, made from the harness's values: tags, texts, data set, description."""

import json
import re
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from harness.names import writable
from harness.track.accepted import (
    MOST_OF_A_DATASET_NAME,
    MOST_OF_A_RUN_NAME,
    MOST_OF_A_TAG,
    fitted,
    key_name,
    shortened,
)
from harness.track.state import Kind, RunState
from harness.track.tags import (
    DECLARATION,
    DESCRIPTION_LIMIT,
    TAG_OPENED,
    TAG_PROVENANCE,
    TAG_TABLE,
)

_PICTURE = re.compile(r"^!\[(.*)\]\((.*)\)$", flags=re.M)
"""A picture on its own line in Markdown: caption and path."""


def parent_run(
    key: str, kind: Kind, name: str, declaration: Mapping[str, Any], provenance: Mapping[str, str], source: str
) -> RunState:
    """Returns the state of a table's or a study's parent run."""
    profile = provenance.get("profile", "")
    tags, whole = provenance_tags(name, provenance)
    return RunState(
        key=key,
        kind=kind,
        experiment=name,
        name=shortened(writable(f"{name} · {profile}" if profile else name), MOST_OF_A_RUN_NAME),
        started_ms=now_ms(),
        tags={**tags, TAG_OPENED: str(now_ms())},
        texts={DECLARATION: writable(json.dumps(declaration, indent=2, ensure_ascii=False)), **whole},
        dataset=dataset_fields(provenance, source),
    )


def provenance_tags(table: str, provenance: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Returns provenance as tags, and the full texts of those that exceed MLflow's limit."""
    tags = {TAG_PROVENANCE + key_name(name): text_of(value) for name, value in provenance.items()}
    if "commit" in provenance:
        tags["mlflow.source.git.commit"] = provenance["commit"]
    return fitted({**tags, TAG_TABLE: table}, "tags", MOST_OF_A_TAG)


def dataset_fields(provenance: Mapping[str, str], source: str) -> dict[str, str]:
    """Returns the data set as MLflow identifies it: by its name and a digest of at most 36 characters."""
    if not provenance.get("dataset"):
        return {}
    return {
        "name": shortened(writable(provenance["dataset"]), MOST_OF_A_DATASET_NAME),
        "digest": provenance.get("dataset_fingerprint", "unknown")[:16],
        "source": writable(source),
    }


def text_of(value: Any) -> str:
    """Formats a value for people and queries: true, not True.

    >>> text_of(True), text_of(0.5), text_of("resnet50")
    ('true', '0.5', 'resnet50')
    """
    return str(value).lower() if isinstance(value, bool) else str(value)


def description(report: str) -> str:
    """Truncates a report at a line to MLflow's limit for descriptions.

    A description cannot show the run's own artifacts, so pictures are replaced by their names.

    >>> description("![A curve](figures/t-curves.svg)")
    '- A curve: the artifact `figures/t-curves.svg`'
    """
    report = _PICTURE.sub(lambda found: f"- {found[1]}: the artifact `{unquote(found[2])}`", report)
    if len(report) <= DESCRIPTION_LIMIT:
        return report
    more = "\n\n… the rest is in the artifact report.md"
    return report[: DESCRIPTION_LIMIT - len(more)].rpartition("\n")[0] + more


def now_ms() -> int:
    """Returns the Unix time in milliseconds."""
    return time.time_ns() // 1_000_000
