"""Names of the harness's tags and metrics in MLflow, shared by the tracker, the reader and the UI."""

TAG_KEY = "harness.key"
"""Identifies a run across processes: two runs opened under one key are one run."""
TAG_KIND = "harness.kind"
"""``table`` or ``study`` for a parent, ``run`` for a row under one seed or a trial."""
TAG_OWNER = "harness.owner"
TAG_REASON = "harness.reason"
TAG_TABLE = "harness.table"
TAG_OPENED = "harness.opened_ms"
TAG_PROVENANCE = "harness."
"""Prefix of provenance tags: ``harness.commit``, ``harness.profile``, ``harness.dataset``, ..."""
BOOKKEEPING = frozenset({TAG_KEY, TAG_KIND, TAG_OWNER, TAG_REASON, TAG_TABLE, TAG_OPENED})
"""Tags of the harness that are not provenance."""

PARENT = "mlflow.parentRunId"
DESCRIPTION = "mlflow.note.content"
DESCRIPTION_LIMIT = 8000

EXPERIMENT_TAGS = {TAG_KIND: "tables", "mlflow.experimentKind": "custom_model_development"}
"""Mark the harness's experiments on a shared server, and have MLflow show them as training runs."""

STEP_PREFIX = "train/"
"""Step-wise metrics are ``train/loss``, ``train/lr``, ...; final ones have no prefix."""
MARKER = STEP_PREFIX + "epoch"
"""Part of every spool record, so that its steps are the steps that MLflow has stored."""

DECLARATION = "declaration.json"
