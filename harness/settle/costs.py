"""The cost of another seed of some rows, with shared stages counted once."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Costs:
    """The cost of one more seed of each row, in device seconds."""

    chains: Mapping[str, tuple[tuple[str, float], ...]] = field(default_factory=dict)
    """For each row its stages: a name, equal for stages that rows share under one seed, and seconds. Stages that do
    not depend on the seed are left out."""

    def of(self, runs: Iterable[tuple[str, int]]) -> float:
        """Seconds of runs (row, seed) together.

        >>> Costs({"a": (("first", 5.0), ("a", 1.0)), "b": (("first", 5.0), ("b", 2.0))}).of([("a", 7), ("b", 7)])
        8.0
        """
        stages = {(name, seed): seconds for row, seed in runs for name, seconds in self.chains.get(row, ())}
        return sum(stages.values())
