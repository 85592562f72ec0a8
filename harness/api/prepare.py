"""From a table's file to a plan: combines declaration, trainer, inputs, code and store."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.api.folders import Folders
from harness.api.listener import Listener
from harness.api.places import choose
from harness.code import CODE_VERSION, code_digest, hand_kept_version
from harness.matrix import Declaration, Matrix, declarable, expand, read_declaration
from harness.plan import CodeDigest, Plan, build_plan, code_of
from harness.trainer import InputRequest, Inputs, Trainer

if TYPE_CHECKING:
    from harness.execute import Store, VersionDifference

STUDIES = "studies"
"""A store's folder for searches: their trials and their outcomes."""


@dataclass(frozen=True)
class Prepared:
    """A table, ready to run."""

    matrix: Matrix
    """The requested rows and seeds."""
    whole: Matrix
    """The same table with all its rows and its own seeds."""
    plan: Plan
    whole_plan: Plan
    store: "Store"
    inputs: Inputs
    trusts_version: bool
    digest: CodeDigest
    """The code as it was when the table was read, which is what this process runs even if it is edited meanwhile."""
    """Whether stages are known by the code's hand-kept version, instead of digests of what runs."""
    version_differences: "tuple[VersionDifference, ...]"
    """Libraries that cached stages of the plan ran with in another version."""
    allowed: Callable[[Mapping[str, bool | str]], bool]
    """Whether a row with this setting of all factors could be added to the table."""
    settling: Mapping[str, Any] | None = None
    """The record of the table's settling (``harness.settle``), if it was settled."""

    def with_runs(self, runs: Iterable[tuple[str, int]], settling: Mapping[str, Any] | None) -> "Prepared":
        """The table with a plan of these rows and seeds, as its settling asks for them."""
        plan = build_plan(self.whole, self.trainer, self.inputs, self.digest, self.store.completion_lookup(), runs)
        return replace(self, plan=plan, settling=settling)

    @property
    def trainer(self) -> Trainer:
        """The recipe's trainer."""
        return self.matrix.trainer

    @property
    def needed(self) -> frozenset[str]:
        """Fingerprints of all stages that the whole table or this run of it needs."""
        return frozenset(self.plan.stages) | frozenset(self.whole_plan.stages)

    @property
    def code(self) -> str:
        """One digest of all code that the whole table's stages run."""
        return code_of(self.whole_plan)

    @property
    def context(self) -> dict[str, Any]:
        """The context of the stages; nothing in it can change a result."""
        return stage_context(self.matrix, self.inputs, self.store)


def stage_context(matrix: Matrix, inputs: Inputs, store: "Store") -> dict[str, Any]:
    """Returns the context of a matrix's stages; nothing in it can change a result."""
    return matrix.trainer.context([row.recipe for row in matrix.rows], inputs, store.root / "cache")


def prepare(
    table: Path | Declaration,
    *,
    profile: str | None = None,
    data: Folders | None = None,
    rows: list[str] | None = None,
    seeds: list[int] | None = None,
    overrides: Mapping[str, Any] | None = None,
    store: str,
    trust_version: bool = False,
    may_assume: bool = False,
    listener: Listener | None = None,
) -> Prepared:
    """Reads a table, finds (or makes) what its trainer reads, and plans its stages.

    With ``may_assume``, only for plans, a data set that is not found is assumed to be its release.

    Raises:
        InputError: For anything in the declaration, the options or the data that the user can fix.
    """
    from harness.execute import open_store

    listener = listener or Listener()
    declaration = read_declaration(table) if isinstance(table, Path) else table
    choice = choose(declaration, profile=profile, data=data, overrides=overrides, may_assume=may_assume)
    if choice.notice:
        listener.note(choice.notice)
    kept = open_store(store)
    found = kept.fetch_published(STUDIES)
    matrix = expand(declaration, profile=choice.profile, rows=rows, seeds=seeds, overrides=overrides, studies=found)
    whole = matrix
    if rows or seeds:
        whole = expand(declaration, profile=choice.profile, overrides=overrides, studies=found)
    inputs = choice.assumed or open_inputs(whole, choice.roots, kept, listener)
    digest: CodeDigest = cache(code_digest)
    if trust_version:
        listener.note(
            f"--reuse version: a stage of the code's hand-kept version {CODE_VERSION} counts as done, whatever changed "
            "in the code since; the runs are marked so"
        )
        digest = hand_kept_version
    is_complete = kept.completion_lookup()
    plan = build_plan(matrix, matrix.trainer, inputs, digest, is_complete)
    whole_plan = plan if whole is matrix else build_plan(whole, matrix.trainer, inputs, digest, is_complete)
    differences = kept.version_differences(sorted(plan.cached))
    for difference in differences:
        listener.note(f"note: {difference}")
    allowed = declarable(declaration, profile=choice.profile, overrides=overrides, studies=found, beside=whole.rows)
    return Prepared(
        matrix=matrix,
        whole=whole,
        plan=plan,
        whole_plan=whole_plan,
        store=kept,
        inputs=inputs,
        trusts_version=trust_version,
        digest=digest,
        version_differences=differences,
        allowed=allowed,
    )


def open_inputs(
    matrix: Matrix, roots: Mapping[str, Path], store: "Store", listener: Listener, *, training_only: bool = False
) -> Inputs:
    """Opens what the matrix's trainer reads, and passes on what is worth knowing of it.

    Raises:
        InputError: If something is missing or damaged.
    """
    request = InputRequest(
        settings=[row.recipe for row in matrix.rows],
        roots=roots,
        synthetic=matrix.synthetic,
        store=store.root,
        training_only=training_only,
        progress=listener.count,
    )
    inputs = matrix.trainer.inputs(request)
    for one in inputs.sets or (inputs,):
        for note in () if one.made and not roots else one.notes:  # of made data its declaration says all
            listener.note(f"{one.name}: {note}")
    return inputs
