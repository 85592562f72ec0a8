"""The words between planning and executing: a stage, a run, a plan. Plain frozen data, picklable and JSON-able."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from harness.matrix.matrix import RefusedRow
from harness.plan.fingerprint import fingerprint
from harness.trainer import StageSpec


@dataclass(frozen=True)
class Stage:
    """The unit that is trained (or evaluated), checkpointed, cached and shared.

    ``fingerprint`` identifies the result: it covers ``kind``, ``settings`` and ``parent`` and nothing else.
    """

    fingerprint: str
    kind: str
    name: str
    """For display: the recipe's name of the stage."""
    settings: Mapping[str, Any]
    """Everything that can change the result, with the digest of the code under ``code``."""
    parent: str | None
    """Fingerprint of the stage whose result this one starts from."""
    epochs: int = 0
    """Epochs that the stage trains."""
    amount: int = 1
    """Units of work; see ``StageSpec``."""
    alike: Mapping[str, Any] = field(default_factory=dict)
    """The cost of a unit of work; see ``StageSpec``."""
    code: tuple[str, ...] = ()
    """References to the code whose digest is in ``settings``."""
    memory_advice: str = ""
    """Which setting to lower when memory runs out."""
    budget: Mapping[str, Any] = field(default_factory=dict)
    """Properties that a fair comparison keeps equal; see ``StageSpec``."""

    @classmethod
    def of(cls, spec: StageSpec, code_digest: str, parent: str | None) -> "Stage":
        """Gives a declared stage its identity."""
        settings = {**spec.settings, "code": code_digest}
        return cls(
            fingerprint({"kind": spec.kind, "settings": settings, "parent": parent}),
            spec.kind,
            spec.name,
            settings,
            parent,
            epochs=spec.epochs,
            amount=spec.amount,
            alike=spec.alike,
            code=spec.code,
            memory_advice=spec.memory_advice,
            budget=spec.budget,
        )


@dataclass(frozen=True)
class Run:
    """A row under one seed: the chain of stages that produces its numbers; the last one holds its metrics."""

    row: str
    seed: int
    stages: tuple[str, ...]

    @property
    def evaluation(self) -> str:
        """Fingerprint of the stage that holds the run's metrics."""
        return self.stages[-1]


@dataclass(frozen=True)
class Plan:
    """The fewest stages that fill a table: every stage once, in an order in which parents come first."""

    stages: Mapping[str, Stage]
    runs: tuple[Run, ...]
    cached: frozenset[str] = field(default_factory=frozenset)
    """Fingerprints of the stages whose results the store already holds."""
    refused: tuple[RefusedRow, ...] = ()
    """Rows that a constraint rejected, and rows that train nothing."""
    assumed: bool = False
    """Whether it assumes inputs that were not found: its fingerprints only distinguish stages, and what is cached is
    unknown."""

    @property
    def to_run(self) -> tuple[Stage, ...]:
        """The stages that must run, parents first.

        A training whose every use is cached already need not run, even if its own result is gone.
        """
        missing = {fingerprint for run in self.runs for fingerprint in self._open_end(run)}
        return tuple(stage for fingerprint, stage in self.stages.items() if fingerprint in missing)

    @property
    def to_execute(self) -> tuple[Stage, ...]:
        """The stages for an executor: those that must run, their cached parents, and all evaluations."""
        wanted = {stage.fingerprint for stage in self.to_run}
        wanted |= {stage.parent for stage in self.to_run if stage.parent is not None}
        wanted |= {run.evaluation for run in self.runs}
        return tuple(stage for fingerprint, stage in self.stages.items() if fingerprint in wanted)

    def runs_of(self, fingerprint: str) -> tuple[Run, ...]:
        """The runs that share a stage."""
        return tuple(self._runs_by_stage.get(fingerprint, ()))

    @cached_property
    def _runs_by_stage(self) -> Mapping[str, Sequence[Run]]:
        found: dict[str, list[Run]] = {}
        for run in self.runs:
            for name in run.stages:
                found.setdefault(name, []).append(run)
        return found

    def _open_end(self, run: Run) -> tuple[str, ...]:
        """The stages of a run behind its last cached one."""
        for position in reversed(range(len(run.stages))):
            if run.stages[position] in self.cached:
                return run.stages[position + 1 :]
        return run.stages
