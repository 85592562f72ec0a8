"""A table as a Python object: plan it, run it, read its numbers, load what it trained."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.api import REPORT_FORMATS, SENSITIVITY_FORMATS
from harness.api.listener import Listener
from harness.errors import InputError, did_you_mean
from harness.table.arguments import check_settling, listener_for, seed_list, texts
from harness.table.declared import DeclaredTable
from harness.table.report import Report
from harness.table.row import TableRow

if TYPE_CHECKING:
    import pandas as pd

    from harness.api.engine import ExecutorName
    from harness.api.run import TableRun
    from harness.execute import Event
    from harness.table.compare import Compared
    from harness.table.plan import PlanView


class Table(DeclaredTable):
    """A declared table, from its YAML file or from Python.

    Args:
        source: The table's file; see ``declare`` for a table in Python.
        profile: The profile; None: ``paper`` if its data is found, else one with synthetic data.
        data: The folder of the data set, for a trainer that reads one; of several, folders by the data sets' names.
        overrides: Settings by dotted key, laid over every row: ``--set``.
        store: Where stages are kept: a folder, or an fsspec address as ``s3://bucket/folder``.

    Raises:
        InputError: For anything that is wrong in the declaration, by file, line and key.

    >>> table = Table("ablations/digits.yaml")  # doctest: +SKIP
    >>> table.run(seeds=[0])  # doctest: +SKIP
    >>> table.results().groupby("row").value.mean()  # doctest: +SKIP
    """

    def plan(
        self,
        *,
        rows: Sequence[str] | None = None,
        seeds: Sequence[int] | None = None,
        workers: int | None = None,
        why: bool = False,
        settle: bool = False,
        max_seeds: int | None = None,
        progress: bool = True,
    ) -> "PlanView":
        """Returns what a run would do, without running anything.

        Args:
            rows: The ids of rows; None: all.
            seeds: Instead of the declared ones.
            workers: Stages at a time, for the estimate of how long it takes.
            why: Whether to show how each stage to run differs from the nearest finished one (``.why``).
            settle: Whether to work out what settling would take (``.settling``).
            max_seeds: With ``settle``: most seeds of a row.
            progress: Whether to show what is done.

        Raises:
            InputError: For mistakes that you can fix.
        """
        from harness.api.plan import describe_plan, describe_settling
        from harness.api.slots import slots_for
        from harness.table.plan import PlanView

        check_settling(settle, {"rows": rows, "seeds": seeds}, {"max_seeds": max_seeds})
        listener, slots = listener_for(progress=progress), slots_for(workers)
        prepared = self._prepare(rows, seeds, listener)
        answer = describe_plan(prepared, slots, listener, why=why)
        return PlanView({**answer, "settle": describe_settling(prepared, max_seeds, slots)} if settle else answer)

    def run(
        self,
        *,
        rows: Sequence[str] | None = None,
        seeds: Sequence[int] | None = None,
        workers: int | None = None,
        executor: "ExecutorName" = "local",
        address: str | None = None,
        out: str | Path | None = None,
        formats: Sequence[str] = REPORT_FORMATS,
        settle: bool = False,
        max_seeds: int | None = None,
        budget_s: float | None = None,
        on_event: "Callable[[Event], None] | None" = None,
        progress: bool = True,
    ) -> "TableRun":
        """Trains what the table still lacks, tracks every run and writes the report.

        Called again, it resumes where it stopped. A failing row does not affect the others; the result says why it
        failed.

        Args:
            rows: The ids of rows; None: all.
            seeds: Instead of the declared ones.
            workers: Stages at a time.
            executor: ``local`` (processes of this machine), ``ray`` or ``inprocess``.
            address: Of a Ray cluster.
            out: The folder of the report; None: ``reports``, unless that would overwrite a better report.
            formats: Formats of the report besides Markdown, as for ``harness report``.
            settle: Whether to add seeds where a comparison is open, until it is decided.
            max_seeds: With ``settle``: most seeds of a row.
            budget_s: With ``settle``: device seconds for seeds beyond the declared ones.
            on_event: Called with every event of the executor: a stage starts, advances, ends.
            progress: Whether to show bars, in a terminal or a notebook.

        Raises:
            InputError: For mistakes that you can fix.
            KeyboardInterrupt: On Ctrl-C, once workers have ended; the same call resumes it later.
        """
        from harness.api.engine import Engine
        from harness.api.run import report_formats, run_table
        from harness.api.settle import Settling

        check_settling(settle, {"rows": rows, "seeds": seeds}, {"max_seeds": max_seeds, "budget_s": budget_s})
        wanted = report_formats(texts("formats", formats) or ())
        listener = listener_for(progress=progress)
        prepared = self._prepare(rows, seeds, listener)
        return run_table(
            prepared,
            Engine(executor, workers, address),
            None if out is None else Path(out),
            listener,
            on_event=on_event,
            settling=Settling(prepared, max_seeds, budget_s, listener) if settle else None,
            formats=wanted,
        )

    def sensitivity(
        self,
        *,
        assumptions: Sequence[str] | None = None,
        claims: Sequence[str] | None = None,
        seeds: Sequence[int] | None = None,
        workers: int | None = None,
        executor: "ExecutorName" = "local",
        address: str | None = None,
        out: str | Path | None = None,
        formats: Sequence[str] = SENSITIVITY_FORMATS,
        progress: bool = True,
    ) -> "pd.DataFrame":
        """Judges the claims again under each alternative of each assumption, one at a time, and writes the page.

        One line for each claim under each alternative, the unchanged table first (``assumption`` is empty):
        ``assumption``, ``value``, ``text``, ``metric``, ``finding`` (holds, open, contrary), ``gain``, ``low``,
        ``high``, ``p_holm``.

        Args:
            assumptions: Their settings; None: all that declare alternatives.
            claims: The texts of claims; None: all.
            seeds: Instead of the declared ones.
            workers: Stages at a time.
            executor: ``local``, ``ray`` or ``inprocess``.
            address: Of a Ray cluster.
            out: The folder of the page; None: as for reports.
            formats: Formats of the page, among ``md``, ``html`` and ``json``.
            progress: Whether to show bars, in a terminal or a notebook.

        Raises:
            InputError: For mistakes that you can fix, and if there is nothing to vary.
        """
        import pandas as pd

        from harness.api.engine import Engine
        from harness.api.sensitivity import prepare_sensitivity, run_sensitivity
        from harness.report.sensitivity import sensitivity_lines

        listener = listener_for(progress=progress)
        prepared = prepare_sensitivity(
            self._declaration,
            assumptions=texts("assumptions", assumptions),
            claims=texts("claims", claims),
            seeds=seed_list(seeds),
            overrides=self._overrides,
            formats=texts("formats", formats) or [],
            listener=listener,
            profile=self._profile,
            data=self._data,
            store=self._store,
        )
        engine = Engine(executor, workers, address)
        found, _ = run_sensitivity(prepared, engine, None if out is None else Path(out), listener)
        return pd.DataFrame(sensitivity_lines(found))

    def report(self) -> Report:
        """Returns the report of what has run so far. Notebooks display it.

        Raises:
            InputError: If nothing has run, or the tracker does not answer.
        """
        from harness.api.tracking import table_key
        from harness.track import read_snapshot

        prepared = self._prepare(None, None, Listener())
        downloads = prepared.store.root / "downloads"
        snapshot = read_snapshot(None, self.name, key=table_key(prepared), downloads=downloads)
        return Report.of(snapshot)

    def compare(self, first: str, second: str, *, metric: str | None = None) -> "Compared":
        """Returns how the second row differs from the first. Notebooks display it.

        Settings, metrics paired over seeds and units with intervals, the units that gained and lost most, costs.

        Args:
            first: A row.
            second: Another.
            metric: The metric to compare by unit; None: the table's first.

        Raises:
            InputError: For an unknown row or one that has not run, rows without a common seed, or if nothing has run.
        """
        from harness.api.compare import compare_rows
        from harness.table.compare import Compared

        found = compare_rows(self.report().snapshot, first, second, self._store, metric)
        return Compared(found, self._store, self._data)

    def results(self) -> "pd.DataFrame":
        """Returns one line for each row, seed and metric: ``row``, ``seed``, the factors, ``metric``, ``value``.

        Percentages are fractions, as everywhere but in print.
        """
        return self.report().results()

    def units(self, metric: str) -> "pd.DataFrame":
        """Returns a metric by unit (query, example, user): ``row``, ``seed``, ``unit``, ``group``, ``value``.

        Raises:
            InputError: If the metric is not measured, or no run kept it by unit.
        """
        return self.report().units(metric)

    def effects(self) -> "pd.DataFrame":
        """Returns the effects of the factors with their intervals: matched pairs, Shapley values, interactions."""
        return self.report().effects()

    def claims(self) -> "pd.DataFrame":
        """Returns the claims with their verdicts."""
        return self.report().claims()

    def __getitem__(self, row: str) -> TableRow:
        if row not in self.rows:
            shown = f'"{row}"' if isinstance(row, str) else repr(row)
            raise InputError(f"{shown} is not a row of {self.name}; {did_you_mean(str(row), self.rows)}")
        return TableRow(row, lambda seed: self._prepare([row], None if seed is None else [seed], Listener()))
