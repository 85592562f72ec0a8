"""How things are called in MLflow: tags, parameters and metrics, in one place for the writer, the reader and the UI."""

import re

TAG_KEY = "harness.key"
"""Identifies a run across processes: what is opened twice under one key is one run."""
TAG_KIND = "harness.kind"
"""``table`` or ``study`` for a parent, ``run`` for a row under one seed or a trial."""
TAG_OWNER = "harness.owner"
TAG_REASON = "harness.reason"
TAG_TABLE = "harness.table"
TAG_OPENED = "harness.opened_ms"
TAG_PROVENANCE = "harness."
"""What a table's results come from: ``harness.commit``, ``harness.profile``, ``harness.dataset``, ..."""
BOOKKEEPING = frozenset({TAG_KEY, TAG_KIND, TAG_OWNER, TAG_REASON, TAG_TABLE, TAG_OPENED})
"""Tags of ours that are no provenance."""

PARENT = "mlflow.parentRunId"
DESCRIPTION = "mlflow.note.content"
DESCRIPTION_LIMIT = 8000

EXPERIMENT_TAGS = {TAG_KIND: "tables", "mlflow.experimentKind": "custom_model_development"}
"""Tells our experiments from others on a shared server, and MLflow's pages that these are training runs."""

STEP_PREFIX = "train/"
"""Step-wise metrics are ``train/loss``, ``train/lr``, ...; final ones have no prefix."""
MARKER = STEP_PREFIX + "epoch"
"""Every record of a spool carries it, so its steps are the stored steps."""

DECLARATION = "declaration.json"


def clean_name(name: str) -> str:
    """A name that MLflow accepts for a metric, parameter or tag; other characters become underscores.

    >>> clean_name("Soft+Rerank (k=20)")
    'Soft_Rerank _k_20_'
    """
    return re.sub(r"[^\w\-. :/]", "_", name, flags=re.ASCII)


def step_metric(name: str) -> str:
    """The metric that a figure of a spool becomes.

    >>> step_metric("loss"), step_metric("gpu/utilization")
    ('train/loss', 'gpu/utilization')
    """
    return clean_name(name if "/" in name else STEP_PREFIX + name)


def is_final(metric: str) -> bool:
    """Whether a metric is a final one, rather than one of many steps.

    >>> is_final("mAP"), is_final("train/loss")
    (True, False)
    """
    return "/" not in metric
