"""One row of a table in Python: its settings, and what its runs left in the store."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import InputError

if TYPE_CHECKING:
    from pydantic import BaseModel

    from harness.api.prepare import Prepared


@dataclass(frozen=True)
class TableRow:
    """One row of a table: its settings, and what its runs saved."""

    id: str
    prepare: "Callable[[int | None], Prepared]"
    """Plans only this row under a seed; None: the table's first."""

    @property
    def settings(self) -> "BaseModel":
        """The trainer's settings of this row, fully resolved."""
        return self.prepare(None).matrix.rows[0].recipe

    @property
    def factors(self) -> Mapping[str, bool | str]:
        """The level of every factor."""
        return self.prepare(None).matrix.rows[0].factors

    def folders(self, seed: int | None = None) -> list[Path]:
        """Returns the folders of the run's stages in the store, in order.

        Args:
            seed: None: the table's first.

        Raises:
            InputError: If the row has not run under that seed.
        """
        return self._folders(self.prepare(seed))

    def load(self, seed: int | None = None) -> Any:
        """Returns what the row's run trained, ready to use.

        The paper's trainer returns a ``harness.reid.trained.Trained``: the network in evaluation mode with its
        preprocessing. A function or a command returns the folder with what it saved (``run.folder``).

        Args:
            seed: None: the table's first.

        Raises:
            InputError: If the row has not run under that seed.
        """
        prepared = self.prepare(seed)
        return prepared.trainer.load(prepared.matrix.rows[0].recipe, self._folders(prepared))

    def _folders(self, prepared: "Prepared") -> list[Path]:
        run = prepared.plan.runs[0]
        if not prepared.store.is_complete(run.evaluation):
            raise InputError(f'row "{self.id}" has no result under seed {run.seed}; run it first')
        return [prepared.store.fetch(stage) for stage in run.stages]

    def __repr__(self) -> str:
        return f"TableRow({self.id})"
