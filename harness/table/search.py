"""A search of settings as a Python object."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.api import DEFAULT_STORE
from harness.api.folders import DataArgument, folders_of
from harness.errors import InputError
from harness.table.arguments import listener_for

if TYPE_CHECKING:
    import pandas as pd

    from harness.api.engine import ExecutorName


class Search:
    """A search of settings on data held out from training, from its YAML file.

    Args:
        source: The search's file.
        profile: The profile; None as for a table.
        data: The folder of the data set, for a trainer that reads one; of several, folders by the data sets' names.
        trials: Instead of the declared number.
        store: Where stages are kept.

    Raises:
        InputError: For anything that is wrong in the file, by line and key.

    >>> search = Search("ablations/margins.yaml", profile="demo", trials=4)  # doctest: +SKIP
    >>> search.run()  # doctest: +SKIP
    >>> search.best  # doctest: +SKIP
    {'8': {'losses.quadruplet.epsilon1': 0.5, 'losses.quadruplet.epsilon2': 0.2}}
    """

    def __init__(
        self,
        source: str | Path,
        *,
        profile: str | None = None,
        data: DataArgument = None,
        trials: int | None = None,
        store: str | Path = DEFAULT_STORE,
    ) -> None:
        from harness.search.declaration import read_search

        self._path, self._profile, self._trials, self._store = Path(source), profile, trials, str(store)
        self._data = folders_of(data)
        self._name = read_search(self._path).name
        self._record: Mapping[str, Any] | None = None
        self.written: list[Path] = []
        """The report's files, once it has run."""

    def run(
        self,
        *,
        workers: int | None = None,
        executor: "ExecutorName" = "local",
        address: str | None = None,
        out: str | Path | None = None,
        progress: bool = True,
    ) -> "Search":
        """Continues the search until its trials are used up, and measures the best point with fresh seeds.

        Called again, it resumes where it stopped, and repeats no trial.

        Raises:
            InputError: For mistakes that you can fix, or if another process runs it.
            KeyboardInterrupt: On Ctrl-C; the same call resumes it later.
        """
        from harness.api.engine import Engine
        from harness.api.search import run_search
        from harness.api.studies import prepare_search

        listener = listener_for(progress=progress)
        prepared = prepare_search(
            self._path,
            profile=self._profile,
            data=self._data,
            trials=self._trials,
            store=self._store,
            listener=listener,
        )
        self._record, self.written = run_search(
            prepared, Engine(executor, workers, address), None if out is None else Path(out), listener
        )
        return self

    @property
    def record(self) -> Mapping[str, Any]:
        """The outcome as plain data, as ``harness search --json`` prints it.

        Raises:
            InputError: If it has not run.
        """
        if self._record is None:
            raise InputError(f"{self._name} has no outcome yet; run it first (it resumes where it stopped)")
        return self._record

    @property
    def best(self) -> Mapping[str, Mapping[str, Any] | None]:
        """The best point of each row by its settings; None for a row none of whose trials has a result."""
        return {study["row"]: study["best"] and study["best"]["params"] for study in self.record["studies"]}

    def trials(self) -> "pd.DataFrame":
        """Returns one line for each trial: ``row``, ``number``, ``state``, the settings, ``value`` (a mean)."""
        import pandas as pd

        lines = [
            {
                "row": study["row"],
                "number": trial["number"],
                "state": trial["state"],
                **trial["params"],
                "value": sum(trial["values"]) / len(trial["values"]) if trial["values"] else None,
            }
            for study in self.record["studies"]
            for trial in study["trials"]
        ]
        return pd.DataFrame(lines)

    def claims(self) -> "pd.DataFrame":
        """Returns the claims that the search names, at their rows' own values and after equal tuning.

        A line for each claim and ``effect`` (own, tuned, change): ``text``, ``gain``, ``low``, ``high``, ``p_holm``.
        Gains are positive in favour of the claim; ``change`` is what tuning adds.
        """
        import pandas as pd

        columns = ["text", "better", "than", "metric", "effect", "gain", "low", "high", "p_holm"]
        lines = [
            {**{key: claim[key] for key in columns[:4]}, "effect": effect, **claim[effect]}
            for claim in self.record["effects"]
            for effect in ("own", "tuned", "change")
        ]
        return pd.DataFrame(lines, columns=columns)

    def __repr__(self) -> str:
        return f"Search({self._name})"
