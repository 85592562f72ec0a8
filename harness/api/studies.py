"""From a search file to trainable trials, and their tracking: a study is a parent run, every trial a child of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.api.folders import Folders
from harness.api.labels import label_of
from harness.api.listener import Listener
from harness.api.places import choose
from harness.api.prepare import STUDIES, open_inputs, stage_context
from harness.api.tracking import provenance_of
from harness.code import code_digest
from harness.errors import did_you_mean
from harness.matrix import Matrix, expand, matrix_to_json, recipe_to_yaml
from harness.matrix.naming import study_file
from harness.plan import Run, fingerprint
from harness.search import Search, read_search
from harness.search.result import Score
from harness.search.space import Params
from harness.search.trials import Trials, own_values
from harness.track import Tracker
from harness.trainer import Inputs, Metric, Part

if TYPE_CHECKING:
    from harness.execute import Executor, Outcome, Store


@dataclass(frozen=True)
class PreparedSearch:
    """A search, ready to run."""

    search: Search
    matrix: Matrix
    """The table under the chosen profile, with the rows that are searched on."""
    store: "Store"
    inputs: Inputs
    trials: tuple[Trials, ...]
    """One for each row."""

    @property
    def metric(self) -> Metric:
        """The metric that is searched for."""
        return self.matrix.measured[self.search.spec.metric]

    @property
    def label(self) -> str:
        """The name under which the store remembers the study's stages."""
        return label_of(f"study {self.search.name}", self.matrix.profile, self.matrix.dataset)

    @property
    def title(self) -> str:
        """The name of the study's files and of its lock."""
        return study_file(self.search.name, self.matrix.profile)

    @property
    def result_file(self) -> Path:
        """Where the outcome is kept."""
        return self.store.root / STUDIES / f"{self.title}.json"

    @property
    def journal(self) -> Path:
        """Where the trials are kept, unless the search names a database."""
        return self.store.root / STUDIES / f"{self.title}.journal"

    @property
    def context(self) -> dict[str, Any]:
        """The context of the stages; nothing in it can change a result."""
        return stage_context(self.matrix, self.inputs, self.store)


def prepare_search(
    path: Path,
    *,
    profile: str | None = None,
    data: Folders | None = None,
    trials: int | None = None,
    store: str,
    listener: Listener | None = None,
) -> PreparedSearch:
    """Reads a search file, its table and the *training* data; the test data may be absent.

    Raises:
        InputError: For anything in the files, the options or the data that the user can fix.
    """
    from harness.execute import SharedStore, open_store

    listener = listener or Listener()
    search = read_search(path)
    declaration = search.table
    for name in search.spec.profiles:
        if name not in declaration.profiles:
            message = did_you_mean(name, declaration.profiles)
            problem = f'"{name}" is not a profile of {declaration.path}; {message}'
            raise search.document.error(("profiles", name), problem)
    choice = choose(declaration, profile=profile, data=data, training_only=True)
    if choice.notice:
        listener.note(choice.notice)
    search = search.under(choice.profile, trials)
    # A table may take its values from this very study: a placeholder serves, since every trial sets its own.
    start = {key: dimension.ends()[0] for key, dimension in search.space.items()}
    end = {key: dimension.ends()[-1] for key, dimension in search.space.items()}
    kept = open_store(store)
    if isinstance(kept, SharedStore) and search.spec.storage is None:
        listener.note(
            f"the study's trials are kept only on this machine, in {kept.root / STUDIES}; for several machines at "
            f"once, name a database in {path} (storage:)"
        )
    studies = kept.fetch_published(STUDIES)
    whole = expand(declaration, profile=choice.profile, studies=studies, searched=start)
    rows = {row.id: row for row in whole.rows}
    for place, name in enumerate(search.rows):
        if name not in rows:
            message = f'"{name}" is not a row of {declaration.path}; {did_you_mean(name, rows)}'
            raise search.document.error(("claims",) if search.claims else ("rows", place), message)
    matrix = expand(declaration, profile=choice.profile, rows=search.rows, studies=studies, searched=start)
    if search.spec.metric not in matrix.measured:
        message = f'"{search.spec.metric}" is not measured here; {did_you_mean(search.spec.metric, matrix.measured)}'
        raise search.document.error(("metric",), message)
    if search.claims:
        _check_own_values(search, matrix, expand(declaration, profile=choice.profile, studies=studies, searched=end))
    inputs = open_inputs(matrix, choice.roots, kept, listener, training_only=True)
    digest = cache(code_digest)
    return PreparedSearch(
        search=search,
        matrix=matrix,
        store=kept,
        inputs=inputs,
        trials=tuple(Trials(search, matrix, rows[name], inputs, digest) for name in search.rows),
    )


def _check_own_values(search: Search, matrix: Matrix, other: Matrix) -> None:
    """Checks that rows have values of their own to compare tuned ones with.

    Args:
        search: The search.
        matrix: The table with one placeholder for values that it takes from this study.
        other: The same with another.
    """
    theirs = {row.id: own_values(row, search.space) for row in other.rows}
    for row in matrix.rows:
        for key, value in own_values(row, search.space).items():
            if theirs[row.id][key] != value:
                text = f'row "{row.id}" takes it from a study; expected a value of its own to compare with'
                raise search.document.error(("space", key), text)


class PointTrainer:
    """Trains and scores points of one row through an executor; see ``harness.search.loop.Trainer``.

    Of a point that is trained on, the store keeps the newest training alone.
    """

    def __init__(self, prepared: PreparedSearch, trials: Trials, executor: "Executor", listener: Listener) -> None:
        self._prepared = prepared
        self._trials = trials
        self._executor = executor
        self._listener = listener
        self._newest: dict[tuple[str, int], tuple[str, ...]] = {}
        """The newest chain of each point under each seed, by the point's name."""

    def evaluate(
        self, points: Mapping[str, Params], seeds: Sequence[int], part: Part = "choose"
    ) -> dict[tuple[str, int], Score]:
        """Returns a score on a part of the held-out data for every point under every seed."""
        from harness.execute.protocol import PREFIXES

        store, prepared = self._prepared.store, self._prepared
        plan = self._trials.plan(points.items(), seeds, store.is_complete, part)
        store.remember(prepared.label, {*store.tables().get(prepared.label, ()), *plan.stages})
        chains = {(run.row, run.seed): run.stages for run in plan.runs}
        prefixes = {
            new: old
            for job, chain in chains.items()
            for new, old in zip(chain[:-1], self._newest.get(job, chain)[:-1], strict=True)
            if new != old
        }
        context = {**prepared.context, PREFIXES: prefixes}
        with self._listener.watch(plan, prepared.search.name) as on_event:
            outcomes = self._executor.execute(plan.to_execute, prepared.matrix.trainer.work, context, on_event)
        for old in prefixes.values():
            store.drop(old)
        self._newest |= chains
        return {(run.row, run.seed): self._score(run, outcomes[run.evaluation]) for run in plan.runs}

    def release(self, name: str) -> None:
        """Drops the trainings of a point that nobody will resume."""
        for job in [job for job in self._newest if job[0] == name]:
            chain = self._newest.pop(job)
            if len(chain) > 1:
                self._prepared.store.drop(chain[-2])

    def _score(self, run: Run, outcome: "Outcome") -> Score:
        store, metric = self._prepared.store, self._prepared.search.spec.metric
        value = None if outcome.result is None else float(outcome.result["metrics"][metric])
        results = {name: store.result(name) for name in run.stages if store.is_complete(name)}
        spent = {name: (float(result["seconds"]), int(result.get("epochs", 0))) for name, result in results.items()}
        return Score(value, run.stages, outcome.reason, spent)


class StudyTracking:
    """Keeps the tracker informed of a search: every trial that has ended is a finished child run, sent once.

    A trial's run is opened when the trial has ended, under a key of study and number: sent again by a later call,
    it stays the one run that it is.
    """

    def __init__(self, tracker: Tracker, prepared: PreparedSearch) -> None:
        self._tracker, self._prepared = tracker, prepared
        search, matrix = prepared.search, prepared.matrix
        self.key = fingerprint([search.name, matrix.profile, [trials.identity for trials in prepared.trials]])
        code = fingerprint([trials.identity for trials in prepared.trials])
        self._provenance = provenance_of(
            matrix.profile,
            prepared.inputs,
            code,
            matrix.dataset,
            [stage for trials in prepared.trials for stage in trials.chain(trials.corner)],
        )
        self._sent: set[str] = set()

    def open(self) -> None:
        """Opens the study's parent run, and marks what dead processes left running."""
        search = self._prepared.search
        self._tracker.sweep_orphans([self.key])
        declaration = matrix_to_json(self._prepared.matrix) | {
            "name": search.name,
            "title": search.spec.title,
            "metrics": [search.spec.metric],
            "seeds": list(search.seeds),
            "claims": [],
        }
        self._tracker.open_study(
            self.key,
            study=search.name,
            declaration=declaration,
            provenance=self._provenance,
            metric=search.spec.metric,
            searched=_short_names(search),
            lower_is_better=self._prepared.metric.lower_is_better,
            dataset_source=self._prepared.inputs.places,
        )

    def send(self, trials: Trials, records: Sequence[Mapping[str, Any]]) -> None:
        """Brings the child runs up to date: those of trials that have ended since the last call."""
        for record in records:
            key = fingerprint([self.key, trials.row.id, record["number"]])
            if record["state"] not in {"running", "waiting"} and key not in self._sent:
                self._sent.add(key)
                self._send_trial(key, trials, record)

    def interrupt(self) -> None:
        """Marks the study as killed; the same command resumes it."""
        self._tracker.kill_run(self.key)

    def finish(self, report: str) -> None:
        """Ends the parent run, with the report as its description."""
        self._tracker.finish_table(self.key, succeeded=True, report=report)

    def _send_trial(self, key: str, trials: Trials, record: Mapping[str, Any]) -> None:
        search = self._prepared.search
        names = _short_names(search)
        values = {name: record["params"][key] for name, key in zip(names, search.space, strict=True)}
        text = " · ".join(f"{name} {value}" for name, value in values.items())
        self._tracker.open_run(
            key,
            table_key=self.key,
            row=trials.row.id,
            seed=search.seeds[0],
            name=f"{trials.row.id} · trial {record['number']} · {text}",
            factors=trials.row.factors,
            params={**values, "state": record["state"], "trial": record["number"], "epochs": record["epoch"] or 0},
            recipe_yaml=recipe_to_yaml(trials.recipe(record["params"])),
            provenance=self._provenance,
            dataset_source=self._prepared.inputs.places,
        )
        metric, final = search.spec.metric, str(record["epoch"]) if record["state"] == "complete" else ""
        by_seed = zip(search.seeds, record["values"], strict=False)  # a point that was never trained has no values
        metrics = {f"{metric} seed {seed}": value for seed, value in by_seed}
        metrics |= {
            f"{metric} after {epoch} epochs": value for epoch, value in record["curve"].items() if epoch not in final
        }
        if record["state"] == "complete":  # what another trial's value compares with
            metrics[metric] = record["value"]
        if record["state"] == "failed":
            self._tracker.fail_run(key, record["reason"] or "failed")
        else:
            self._tracker.finish_run(key, metrics)


def _short_names(search: Search) -> list[str]:
    """The last part of every key where those differ from each other and from a trial's own values, else whole keys."""
    short = [dimension.name for dimension in search.space.values()]
    return short if len({*short, "row", "seed", "state", "trial", "epochs"}) == len(short) + 5 else list(search.space)
