"""A table's report in Python: its text, its page in a notebook, its files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from harness.api import DEFAULT_REPORTS
from harness.files import regular_file
from harness.table.arguments import texts

if TYPE_CHECKING:
    import pandas as pd

    from harness.api.existing import Claims, Columns
    from harness.report import TableReport
    from harness.track import Snapshot


@dataclass(frozen=True)
class Report:
    """The report on a table's runs. Notebooks display it; ``write`` writes it as files."""

    model: "TableReport"
    """The numbers behind it."""
    snapshot: "Snapshot"
    """The runs that it reports."""

    @classmethod
    def from_frame(
        cls,
        frame: "pd.DataFrame",
        *,
        factors: Sequence[str],
        seed: str,
        metrics: Sequence[str] | Mapping[str, Mapping[str, Any]],
        units: Sequence[str] = (),
        claims: "Claims" = None,
        name: str = "results",
    ) -> "Report":
        """Makes the report of runs that already exist, no matter what made them.

        Args:
            frame: A line for each run, or for each run and unit; for example from ``mlflow.search_runs``.
            factors: The columns of factors: true and false, numbers, or names of levels.
            seed: The column of seeds; runs of one seed are compared in pairs.
            metrics: The columns of metrics: ``["val_acc", "val_loss:lower", "accuracy:percent"]``; or what a recipe
                says of each: ``{"val_loss": {"title": "Loss", "better": "lower", "decimals": 2}}``.
            units: The column of the units that a metric is a mean of (query, example), and that of groups resampled
                together.
            claims: Claims about the rows, which are named as in a factorial (``"scale + width=wide"``); or a YAML file.
            name: The name of the report's files.

        Raises:
            InputError: For a missing column, or a cell that cannot be read.
        """
        from harness.api.existing import snapshot_of_frame

        return cls.of(snapshot_of_frame(frame, _columns(factors, seed, metrics, units), claims, name))

    @classmethod
    def from_csv(
        cls,
        path: str | Path,
        *,
        factors: Sequence[str],
        seed: str,
        metrics: Sequence[str] | Mapping[str, Mapping[str, Any]],
        units: Sequence[str] = (),
        claims: "Claims" = None,
    ) -> "Report":
        """The same from a CSV file; errors name file and line."""
        from harness.api.existing import snapshot_of_file

        return cls.of(snapshot_of_file(Path(path), _columns(factors, seed, metrics, units), claims))

    @classmethod
    def from_mlflow(
        cls,
        experiment: str,
        *,
        factors: Sequence[str],
        seed: str,
        metrics: Sequence[str] | Mapping[str, Mapping[str, Any]],
        claims: "Claims" = None,
    ) -> "Report":
        """The same from the runs of an MLflow experiment (``factors=["params.lr"]``, ``seed="params.seed"``)."""
        from harness.api.existing import snapshot_of_experiment

        return cls.of(snapshot_of_experiment(experiment, _columns(factors, seed, metrics), claims))

    @classmethod
    def of(cls, snapshot: "Snapshot") -> "Report":
        """Makes the report of a snapshot."""
        from harness.report import build_report

        return cls(build_report(snapshot), snapshot)

    def results(self) -> "pd.DataFrame":
        """Returns one line for each row, seed and metric: ``row``, ``seed``, the factors, ``metric``, ``value``.

        Percentages are fractions, as everywhere but in print.
        """
        from harness.table.frames import results_frame

        return results_frame(self.model)

    def units(self, metric: str) -> "pd.DataFrame":
        """Returns a metric by unit (query, example, user): ``row``, ``seed``, ``unit``, ``group``, ``value``.

        Raises:
            InputError: If the metric is not measured, or no run kept it by unit.
        """
        from harness.table.frames import units_frame

        return units_frame(self.model, metric)

    def effects(self) -> "pd.DataFrame":
        """Returns the effects of the factors with their intervals: matched pairs, Shapley values, interactions."""
        from harness.table.frames import effects_frame

        return effects_frame(self.model)

    def claims(self) -> "pd.DataFrame":
        """Returns the claims with their verdicts."""
        from harness.table.frames import claims_frame

        return claims_frame(self.model)

    @property
    def markdown(self) -> str:
        """The report's text, without its figures."""
        with TemporaryDirectory() as folder:
            (text,) = self.write(folder, ("md",))
            return regular_file(text).read_text(encoding="utf-8")

    def write(
        self, out: str | Path = DEFAULT_REPORTS, formats: Sequence[str] = ("md", "html", "svg", "png")
    ) -> list[Path]:
        """Writes the report and its figures.

        Args:
            out: The folder.
            formats: Among ``md``, ``html``, ``tex``, ``csv``, ``json``, ``svg`` and ``png``.

        Returns:
            The files, the text first.
        """
        from harness.api.written import write_table

        return write_table(None, self.snapshot, self.model, Path(out), texts("formats", formats) or [])

    def __repr__(self) -> str:
        return f"Report({self.model.name}: {self.model.heading})"

    def _repr_html_(self) -> str:
        """The report as HTML with its figures, for a notebook."""
        with TemporaryDirectory() as folder:
            return regular_file(self.write(folder, ("html",))[0]).read_text(encoding="utf-8")


def _columns(
    factors: Sequence[str],
    seed: str,
    metrics: Sequence[str] | Mapping[str, Mapping[str, Any]],
    units: Sequence[str] = (),
) -> "Columns":
    from harness.api.existing import Columns

    measured = metrics if isinstance(metrics, Mapping) else texts("metrics", metrics) or []
    return Columns(texts("factors", factors) or [], seed, measured, texts("units", units) or [])
