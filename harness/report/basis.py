"""The basis of each number in a report: how many seeds, how many units of query sampling, and why there are none.

Owns the words for it, and which entries of a list rest on something else than their neighbours, which a reader must
see beside them. Does not compute intervals: ``statistics`` does.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from harness.formatting import counted


@dataclass(frozen=True)
class Basis:
    """The seeds and units behind an estimate and its interval."""

    seeds: tuple[int, ...]
    units: int = 0
    """Units of query sampling; 0: the interval is over the seeds alone."""
    unit: str = "units"
    """The name of the units, in the plural."""
    lacking: str = ""
    """Why there are no units, where others of the table have them."""

    @property
    def kind(self) -> tuple[int, int, str]:
        """A key that is equal for entries with the same basis."""
        return len(self.seeds), self.units, self.lacking

    @property
    def whatever_seeds(self) -> "Basis":
        """The same without the seeds, for entries whose seeds are shown beside them."""
        return replace(self, seeds=())


def basis_text(basis: Basis) -> str:
    """Formats what an interval is over.

    >>> basis_text(Basis((0, 1, 2), 150, "identities")), basis_text(Basis((4,)))
    ('3 seeds, 150 identities', '1 seed')
    """
    seeds = counted(len(basis.seeds), "seed") if basis.seeds else "seeds"
    return ", ".join([seeds, *([f"{basis.units:,} {basis.unit}"] if basis.units else [])])


def unlike_neighbours(entries: Iterable[tuple[str, str, Basis]]) -> list[str]:
    """A sentence for each entry that rests on something else than most of its neighbours do.

    Args:
        entries: What has the number (a row, two that are compared), which metric, and what it rests on. Entries of one
            subject that rest on the like are mentioned together.

    >>> usual, other = Basis((0, 1), 60, "identities"), Basis((0, 1), lacking="seed 1 has no values by identity")
    >>> unlike_neighbours([("1", "mAP", usual), ("2", "mAP", usual), ("3", "mAP", other)])
    ['3, mAP: 2 seeds alone, since seed 1 has no values by identity']
    """
    listed = list(entries)
    if not listed:
        return []
    kinds = Counter(basis.kind for _, _, basis in listed)
    usual = max(kinds, key=lambda kind: (kinds[kind], kind[1], kind[0]))
    metrics: dict[tuple[str, tuple[int, int, str]], list[str]] = {}
    bases: dict[tuple[str, tuple[int, int, str]], Basis] = {}
    for subject, metric, basis in listed:
        if basis.kind != usual:
            metrics.setdefault((subject, basis.kind), []).append(metric)
            bases[subject, basis.kind] = basis
    return [
        f"{subject}, {_joined(named)}: {_reason(bases[subject, kind])}" for (subject, kind), named in metrics.items()
    ]


def _reason(basis: Basis) -> str:
    if basis.units:
        return basis_text(basis)
    return f"{basis_text(basis)} alone" + (f", since {basis.lacking}" if basis.lacking else "")


def _joined(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]
