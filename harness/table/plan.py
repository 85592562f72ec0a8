"""A plan in Python: what a run would do, as data frames and numbers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class PlanView:
    """A plan of a run. Notebooks display its stages."""

    answer: Mapping[str, Any]
    """Everything, as ``harness plan --json`` prints it."""

    @property
    def rows(self) -> "pd.DataFrame":
        """One line for each row: ``id``, ``label``, ``factors`` and, where they are known, its costs."""
        import pandas as pd

        return pd.DataFrame([{name: row[name] for name in row if name != "runs"} for row in self.answer["rows"]])

    @property
    def stages(self) -> "pd.DataFrame":
        """One line for each stage: ``name``, the ``rows`` that share it, ``epochs``, ``state`` and more."""
        import pandas as pd

        names = ["fingerprint", "kind", "name", "parent", "rows", "seeds", "epochs", "amount", "state"]
        return pd.DataFrame(self.answer["stages"], columns=names)

    @property
    def why(self) -> "pd.DataFrame":
        """One line for each difference of a stage to run from the nearest finished one, of a plan made with ``why``.

        ``fingerprint``, ``name``, ``nearest`` (its fingerprint), ``kind`` (setting, seed, data, code, parent),
        ``what``, ``then``, ``now``, ``parts`` (of code, what changed in a module).
        """
        import pandas as pd

        lines = [
            {"fingerprint": stage["fingerprint"], "name": stage["name"], "nearest": nearest["fingerprint"], **one}
            for stage in self.answer["stages"]
            if (why := stage.get("why")) and (nearest := why["nearest"])
            for one in why["differences"]
        ]
        return pd.DataFrame(
            lines, columns=["fingerprint", "name", "nearest", "kind", "what", "then", "now", "parts"], dtype=object
        )

    @property
    def settling(self) -> Mapping[str, Any]:
        """The maximal and expected cost of settling, for a plan made with ``settle``; empty otherwise.

        As ``harness plan --settle --json`` prints it under ``settle``.
        """
        settling: Mapping[str, Any] = self.answer.get("settle", {})
        return settling

    @property
    def to_run(self) -> int:
        """How many stages are still to run."""
        return sum(stage["state"] == "to run" for stage in self.answer["stages"])

    @property
    def refused(self) -> Mapping[str, str]:
        """The rows that a constraint refuses, and which."""
        return {row["id"]: row["constraint"] for row in self.answer["refused"]}

    @property
    def hours(self) -> Mapping[str, float]:
        """Estimated device hours, by each device whose speed is known."""
        return {estimate["device"]: estimate["device_hours"] for estimate in self.answer["estimates"]}

    def __repr__(self) -> str:
        total = len(self.answer["stages"])
        return (
            f"PlanView({self.answer['table']}: {len(self.answer['rows'])} rows, {self.to_run} of {total} stages to run)"
        )

    def _repr_html_(self) -> str:
        return f"<p>{self!r}</p>{self.stages.to_html(index=False)}"
