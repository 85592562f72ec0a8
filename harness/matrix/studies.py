"""Recipe values that a search found: ``epsilon1: {from: margins}`` takes the best value of the study ``margins``.

Owns looking a value up in a study's kept outcome. Never searches, and never falls back: a study that is missing,
unfinished or of another profile is an error.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.errors import InputError, did_you_mean
from harness.files import regular_file
from harness.matrix.key_tree import Node, node_at
from harness.matrix.naming import study_file
from harness.matrix.source import Key

FROM = "from"


@dataclass
class Studies:
    """The outcomes of finished searches, and which of them were asked."""

    folder: Path | None
    """Where searches keep them; None: there is no store to look in."""
    profile: str
    tree: Node
    """The keys of the trainer's settings."""
    searched: Mapping[str, Any] = field(default_factory=dict)
    """Placeholders by dotted key for values that are about to be searched; they are used instead of a study's."""
    taken: dict[str, str] = field(default_factory=dict)
    """The values taken from each study, formatted for display, by the study's name."""

    def fill(self, values: Any, row: str, locate: Callable[[Key], str]) -> Any:
        """A recipe's values with every ``{from: STUDY}`` replaced by the best value that the study found.

        Args:
            values: The recipe as nested mappings.
            row: The row's id, for studies that were tuned per row.
            locate: Returns the place of a key, for messages.

        Raises:
            InputError: If a study has no such value.
        """
        return self._filled(values, (), row, locate)

    def _filled(self, values: Any, key: tuple[str, ...], row: str, locate: Callable[[Key], str]) -> Any:
        if not isinstance(values, Mapping):
            return values
        if set(values) == {FROM} and not node_at(self.tree, key).is_mapping:
            dotted = ".".join(key)
            return (
                self.searched[dotted] if dotted in self.searched else self._best(values[FROM], dotted, row, locate(key))
            )
        return {name: self._filled(inner, (*key, name), row, locate) for name, inner in values.items()}

    def _best(self, name: str, key: str, row: str, place: str) -> Any:
        record = self._outcome(name, place)
        studies = {study["row"]: study for study in record["studies"]}
        if record["tune"] == "per-row" and row not in studies:
            raise InputError(f'{place}: the study {name} has no search for row "{row}"; it has {", ".join(studies)}')
        study = studies[row] if record["tune"] == "per-row" else next(iter(studies.values()))
        if study["best"] is None:
            raise InputError(f"{place}: the study {name} has no trial with a result")
        best = study["best"]["params"]
        if key not in best:
            raise InputError(f"{place}: the study {name} did not search it; {did_you_mean(key, best)}")
        self.taken[name] = f"{study['study']}, tuned {record['tune']}"
        return best[key]

    def _outcome(self, name: str, place: str) -> Mapping[str, Any]:
        """The kept outcome of a study under this profile."""
        path = None if self.folder is None else self.folder / f"{study_file(name, self.profile)}.json"
        try:
            record: Mapping[str, Any] = json.loads(regular_file(path or Path()).read_bytes())
        except (OSError, ValueError):
            where = f" (looked for {path})" if path else ""
            raise InputError(
                f"{place}: the study {name} is not finished under the profile {self.profile}{where}; "
                f"expected one from: python -m harness search {name}.yaml --profile {self.profile}"
            ) from None
        return record
