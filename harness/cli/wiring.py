"""From a table's file to a plan: declaration, data, code and store wired together for the commands that need them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.cli.console import counting, notices
from harness.cli.places import choose
from harness.matrix import Matrix, Synthetic, declarable, expand, read_declaration
from harness.models import weights_anywhere, weights_identity
from harness.plan import CODE_VERSION, DataIdentity, Plan, build_plan, code_identity, version_identity

if TYPE_CHECKING:
    from harness.execute import Store, VersionDifference

STUDIES = "studies"
"""A store's folder for searches: their trials and their outcomes."""


@dataclass(frozen=True)
class Prepared:
    """A table, ready to run."""

    matrix: Matrix
    """What is to run: the rows and seeds that were asked for."""
    whole: Matrix
    """The same table with all its rows and its own seeds."""
    plan: Plan
    needed: frozenset[str]
    """Fingerprints of all stages that the whole table or this run of it needs."""
    store: "Store"
    data: DataIdentity
    root: Path
    """The data set's folder."""
    synthetic: bool
    code: Mapping[str, str]
    trusts_version: bool
    """Whether ``code`` is a hand-kept version, instead of digests of what runs."""
    version_differences: "tuple[VersionDifference, ...]"
    """Libraries that cached stages of the plan ran with in another version."""
    allowed: Callable[[Mapping[str, bool]], bool]
    """Whether a row with this setting of all factors could be added to the table."""

    @property
    def context(self) -> dict[str, Any]:
        """What stages are told of their circumstances; none of it can change a result."""
        return stage_context(self.matrix, self.root, self.store)


def stage_context(matrix: Matrix, root: Path, store: "Store") -> dict[str, Any]:
    """What the stages of a matrix are told of their circumstances; none of it can change a result."""
    models = [row.recipe.model for row in matrix.rows]
    return {
        "dataset": matrix.dataset,
        "root": str(root.absolute()),  # a worker may run in another folder
        "cache": str(store.root / "cache"),
        "weights": {
            weights_identity(model.backbone, model.weights): weights_anywhere(model.weights) for model in models
        },
        "checkpoint_activations": any(model.checkpoint_activations for model in models),
    }


def prepare(
    table: Path,
    *,
    profile: str | None,
    data: Path | None,
    rows: list[str] | None,
    seeds: list[int] | None,
    overrides: Mapping[str, str],
    store: str,
    trust_version: bool = False,
) -> Prepared:
    """Reads a table, finds (or makes) its data and plans its stages.

    Raises:
        InputError: For anything in the declaration, the options or the data that the user can mend.
    """
    from harness.data import find_dataset, open_dataset
    from harness.execute import open_store
    from harness.train.stage import CODE_ROOTS

    declaration = read_declaration(table)
    choice = choose(declaration, profile=profile, data=data, find=find_dataset)
    if choice.notice:
        notices().print(choice.notice)
    kept = open_store(store)
    found = kept.bring(STUDIES)
    matrix = expand(declaration, profile=choice.profile, rows=rows, seeds=seeds, overrides=overrides, studies=found)
    whole = matrix
    if rows or seeds:
        whole = expand(declaration, profile=choice.profile, overrides=overrides, studies=found)
    root = choice.root if choice.root is not None else synthetic_set(matrix.synthetic, kept.root)
    dataset = open_dataset(matrix.dataset, root)
    for note in dataset.notes:
        notices().print(f"{matrix.dataset}: {note}")
    identity = identify_data(dataset, kept.root / "cache" / "index")
    if trust_version:
        notices().print(
            f"--reuse version: a stage of the code's hand-kept version {CODE_VERSION} counts as done, whatever changed "
            "in the code since; the runs are marked so"
        )
        code = version_identity(whole.rows, CODE_ROOTS, CODE_VERSION)
    else:
        code = code_identity(whole.rows, CODE_ROOTS)
    is_complete = kept.survey()
    plan = build_plan(matrix, identity, code, weights_identity, is_complete)
    whole_plan = plan if whole is matrix else build_plan(whole, identity, code, weights_identity, is_complete)
    differences = kept.version_differences(sorted(plan.cached))
    for difference in differences:
        notices().print(f"note: {difference}")
    needed = frozenset(plan.stages) | frozenset(whole_plan.stages)
    allowed = declarable(declaration, profile=choice.profile, overrides=overrides, studies=found, beside=whole.rows)
    return Prepared(
        matrix=matrix,
        whole=whole,
        plan=plan,
        needed=needed,
        store=kept,
        data=identity,
        root=dataset.root,
        synthetic=dataset.synthetic,
        code=code,
        trusts_version=trust_version,
        version_differences=differences,
        allowed=allowed,
    )


def synthetic_set(synthetic: Synthetic | None, store: Path) -> Path:
    """The profile's synthetic data set: made once, found again afterwards."""
    from harness.data.synthetic import make

    if synthetic is None:
        raise ValueError("a profile without data has a synthetic set")
    with counting("rendering the synthetic data set") as progress:
        return make(
            synthetic.layout,
            synthetic_place(synthetic, store),
            identities=synthetic.identities,
            seed=synthetic.seed,
            progress=progress,
        )


def synthetic_place(synthetic: Synthetic, store: Path) -> Path:
    """Where a store keeps a profile's synthetic data set."""
    from harness.data.synthetic import GENERATOR_VERSION

    name = f"{synthetic.layout}-{synthetic.identities}-seed{synthetic.seed}-v{GENERATOR_VERSION}"
    return store / "data" / name


def identify_data(dataset: Any, index: Path) -> DataIdentity:
    """Contents and counts of the splits of an opened data set; ``index`` remembers the fingerprints of files."""
    from harness.data import label_map, split_fingerprint

    return DataIdentity(
        name=dataset.name,
        splits={name: split_fingerprint(split, dataset.root, index) for name, split in dataset.splits.items()},
        images={name: len(split) for name, split in dataset.splits.items()},
        classes=len(label_map(dataset.splits["train"].identities)),
    )
