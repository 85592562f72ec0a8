"""Why stages of a plan have to run, as plain data."""

from typing import Any

from harness.api.prepare import Prepared
from harness.plan import Comparison


def explain(prepared: Prepared) -> dict[str, dict[str, Any]]:
    """Returns for each stage to run, by fingerprint, why it is.

    ``damage`` says what is wrong with its own result, if there was one. ``nearest`` is the finished stage that is most
    like it (``fingerprint``, ``name``, ``tables``), None if the store holds none of its kind; ``differences`` are what
    the two differ in, ``libraries`` the versions that it ran with and that are others now (which is no reason to run).
    """
    from harness.execute import differences_from_installed
    from harness.execute.origins import origins_of, read_origins

    plan, store = prepared.plan, prepared.store
    if plan.assumed:
        return {}
    tables = store.tables()
    used = frozenset().union(*tables.values())
    stages = sorted(store.finished_stages(), key=lambda stage: (stage.fingerprint not in used, stage.fingerprint))
    finished = {stage.fingerprint: stage for stage in stages}
    comparison = Comparison(plan.stages, finished, read_origins(store, origins_of(plan.stages, prepared.inputs)))
    answer: dict[str, dict[str, Any]] = {}
    for stage in plan.to_run:
        nearest = comparison.nearest(stage)
        explained: dict[str, Any] = {"damage": store.verify(stage.fingerprint), "nearest": None}
        if nearest is not None:
            explained["nearest"] = {
                "fingerprint": nearest.fingerprint,
                "name": nearest.name,
                "tables": [table for table, own in tables.items() if nearest.fingerprint in own],
            }
            explained["differences"] = [vars(one) for one in comparison.differences(stage, nearest)]
            versions = differences_from_installed([store.versions(nearest.fingerprint)])
            explained["libraries"] = [{"library": one.library, "then": one.then, "now": one.now} for one in versions]
        answer[stage.fingerprint] = explained
    return answer
