"""How things are called in MLflow: tags and metrics of ours, in one place for the writer, the reader and the UI."""

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
