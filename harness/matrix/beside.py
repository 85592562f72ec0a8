"""Metrics and claims that a user declares for existing runs.

Such a file has ``claims:`` as in a table file and ``metrics:`` as in a recipe, and nothing else. Owns reading it, from
a file or from Python, and the short form of a metric on the command line. Refuses to look at results.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from harness.errors import InputError
from harness.matrix.matrix import Claim
from harness.matrix.schema import ClaimSpec, Declared, MetricSpec
from harness.matrix.source import Document, read_yaml
from harness.matrix.validation_errors import known, validated
from harness.trainer import Metric
from harness.trainers import metric_from

_MODES = {"lower": ("better", "lower"), "higher": ("better", "higher"), "percent": ("unit", "percent")}
"""Suffixes of a metric on the command line: ``val_loss:lower``, ``accuracy:percent``."""


class BesideSpec(Declared):
    """A file that is given beside runs that exist already."""

    title: Annotated[str, Field(min_length=1)] | None = None
    metrics: dict[str, MetricSpec] = Field(default_factory=dict)
    claims: list[ClaimSpec] = Field(default_factory=list)


class Beside:
    """The declaration for existing runs, read and checked as far as is possible without them."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._spec = validated(BesideSpec, document.value, document)

    @property
    def title(self) -> str | None:
        """The table's title; None if none is given."""
        return self._spec.title

    def metrics(self, named: Mapping[str, Mapping[str, Any]], decimals: Callable[[str], int]) -> dict[str, Metric]:
        """The metrics that somebody named, as they are to be shown; the file's word counts before theirs.

        Args:
            named: By key what is said of each, as a recipe says it.
            decimals: Chooses the decimals of a metric that is not a percentage, if none are given.

        Raises:
            InputError: If the file speaks of another metric, or what is said of one is wrong.
        """
        for key in self._spec.metrics:
            known(self._document, ("metrics", key), key, "metric of these runs", named)
        found = {}
        for key, modes in named.items():
            spec = self._spec.metrics.get(key) or validated(
                MetricSpec, dict(modes), Document(f"metric {key}", modes, {})
            )
            if spec.decimals is None and spec.unit == "plain":
                spec = spec.model_copy(update={"decimals": decimals(key)})
            found[key] = metric_from(key, spec)
        return found

    def claims(self, rows: Collection[str], metrics: Collection[str]) -> tuple[Claim, ...]:
        """The claims.

        Raises:
            InputError: If one names an unknown row or metric, by file and line.
        """
        for index, claim in enumerate(self._spec.claims):
            for side in ("better", "than"):
                known(self._document, ("claims", index, side), getattr(claim, side), "row of these runs", rows)
            if claim.better == claim.than:
                raise self._document.error(("claims", index, "than"), f'compares row "{claim.than}" with itself')
            known(self._document, ("claims", index, "metric"), claim.metric, "metric of these runs", metrics)
        return tuple(Claim(**claim.model_dump()) for claim in self._spec.claims)


def read_beside(source: str | Path | Sequence[Any] | None) -> Beside:
    """Reads what is said of runs that exist already.

    Args:
        source: The file; or the claims, as ``Claim`` or as mappings; None for nothing.

    Raises:
        InputError: For anything that is wrong in it, by file, line and key.
    """
    if isinstance(source, str | Path):
        return Beside(read_yaml(Path(source)))
    claims = [asdict(claim) if is_dataclass(claim) and not isinstance(claim, type) else claim for claim in source or ()]
    return Beside(Document("claims", {"claims": claims}, {}))


def read_modes(named: Sequence[str]) -> dict[str, dict[str, str]]:
    """Metrics as the command line names them, and what is said of each.

    Raises:
        InputError: If one is named twice.

    >>> read_modes(["val_acc:percent", "val_loss:lower", "a:b"])
    {'val_acc': {'unit': 'percent'}, 'val_loss': {'better': 'lower'}, 'a:b': {}}
    """
    found: dict[str, dict[str, str]] = {}
    for text in named:
        key, modes = text, list[str]()
        while (head := key.rpartition(":"))[0] and head[2] in _MODES:
            key, modes = head[0], [*modes, head[2]]
        if key in found:
            raise InputError(f'metric "{key}" is named twice')
        found[key] = dict(_MODES[mode] for mode in modes)
    return found
