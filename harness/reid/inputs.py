"""The data sets that rows read: which they name, where they lie or how they are made, what identifies their contents.

A row trains on one set and tests on the same or on another. Owns opening each set once for a table, and no more of it
than its rows read. Imports neither torch nor timm.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, cast

from pydantic import Field, model_validator

from harness.errors import InputError, did_you_mean
from harness.reid.data import label_map, open_dataset, split_fingerprint
from harness.reid.data.dataset import Dataset
from harness.reid.data.known import find_dataset, is_valid, release_counts
from harness.reid.layout import Named, name_of
from harness.reid.recipe import DataSpec, Recipe
from harness.reid.spec import Spec, refusal
from harness.reid.stages import CLASSES, SCORED_SPLITS
from harness.trainer import Found, InputRequest, Inputs

_MAX_SEED = 2**32 - 1
SYNTHETIC = ("market1501", "dukemtmc-reid", "cifar100")
"""The data sets whose layout a profile can make."""


class MadeSpec(Spec):
    """A synthetic data set."""

    layout: Literal["market1501", "dukemtmc-reid", "cifar100"]
    identities: Annotated[int, Field(gt=0)]
    seed: Annotated[int, Field(ge=0, le=_MAX_SEED)] = 0

    @property
    def description(self) -> str:
        """A description of the rendered set."""
        kind = "classes" if self.layout == "cifar100" else "identities"
        return f"synthetic, {self.identities} {kind}, seed {self.seed}"


class SyntheticSpec(MadeSpec):
    """The synthetic data of a profile, rendered when the user names no folder."""

    also: list[MadeSpec] = Field(default_factory=list)
    """Further sets, for rows that test on another one. Of another seed: equal seeds draw the same people."""

    @model_validator(mode="after")
    def _apart(self) -> "SyntheticSpec":
        for place, other in enumerate(self.also):
            for earlier in self.made[: place + 1]:
                if other.layout == earlier.layout:
                    raise refusal("also", f'"{other.layout}" is made twice; expected each layout once')
                if other.seed == earlier.seed and "cifar100" not in (other.layout, earlier.layout):
                    message = f"{earlier.layout} and {other.layout} have the seed {other.seed}, and so the same people"
                    raise refusal("also", f"{message}; expected another seed")
        return self

    @property
    def made(self) -> tuple[MadeSpec, ...]:
        """All sets."""
        return (self, *self.also)

    def of(self, name: Named) -> MadeSpec | None:
        """Returns the set to use for ``name``: of its layout, or the first for a user's own reader; else None."""
        if isinstance(name, str) and ":" in name:
            return self
        return next((one for one in self.made if one.layout == name), None)


def sets_of(settings: Mapping[str, Any], *, training_only: bool = False) -> list[Named]:
    """The data sets that settings name, not yet validated: to train on, to test on."""
    data = settings.get("data")
    if not isinstance(data, Mapping):
        return []
    found = [data.get(key) or data.get("dataset") for key in ("train", "test")[: 1 if training_only else 2]]
    return [name for name in found if isinstance(name, str | Mapping)]


def named_sets(settings: Sequence[Mapping[str, Any]], *, training_only: bool = False) -> dict[str, Named]:
    """The data sets that rows' settings name, each once, by what they are called."""
    sets: dict[str, Named] = {}
    for row in settings:
        for dataset in sets_of(row, training_only=training_only):
            sets.setdefault(name_of(dataset), dataset)
    return sets


def find_sets(sets: Mapping[str, Named], candidates: Sequence[Path], named: Mapping[str, Path]) -> Found:
    """Looks for each set in the folder that the user named for it, or else in each candidate.

    A set that cannot be is looked for nowhere and counts as found: it is refused by its line when rows are resolved.

    Raises:
        InputError: If ``named`` has a name that is none of the sets'.
    """
    for name in named:
        if name not in sets:
            raise InputError(f"--data {name}={named[name]}: no row reads {name}; {did_you_mean(name, sets)}")
    roots: dict[str, Path] = {}
    searched: list[Path] = []
    for name, dataset in sets.items():
        places = [named[name]] if name in named else candidates
        root, looked = find_dataset(dataset, places) if is_valid(dataset) else (places[0], ())
        searched += looked
        if root is not None:
            roots[name] = root
    return Found(roots, tuple(dict.fromkeys(searched)), tuple(name for name in sets if name not in roots))


def released_inputs(sets: Mapping[str, Named]) -> Inputs | None:
    """Facts about released data sets; None if one is unknown."""
    parts = []
    for name, dataset in sets.items():
        counts = release_counts(dataset)
        if counts is None:
            return None
        sizes = {split: images for split, (images, _) in counts.items()} | {CLASSES: counts["train"][1]}
        unknown = f"unknown, of {name}" if len(sets) > 1 else "unknown"  # rows of two sets share no training
        parts.append(Inputs(name, dict.fromkeys(counts, unknown), sizes, assumed=True))
    return joined(parts)


def open_inputs(recipes: Sequence[Recipe], request: InputRequest) -> Inputs:
    """Opens what rows read of each data set, after rendering the synthetic ones where no folder was found.

    Raises:
        InputError: If something is missing or damaged, or a row trains and tests on sets that do not go together.
    """
    sets: dict[str, Named] = {}
    for data in (recipe.data for recipe in recipes):
        for read in (data.trained_on,) if request.training_only else (data.trained_on, data.tested_on):
            if sets.setdefault(name_of(read), read) != read:
                raise InputError(f'data: two different layouts are called "{name_of(read)}"; rename one')
    opened: dict[str, Dataset] = {}
    parts = []
    for name, dataset in sets.items():
        root, made = request.roots.get(name), None
        if root is None:
            made = _made(dataset, request)
            root = _render(made, request)
        opened[name] = open_dataset(dataset, root, splits=_read(name, recipes, training_only=request.training_only))
        description = made.description if made else "synthetic" if opened[name].synthetic else ""
        parts.append(identify(opened[name], request.store / "cache" / "index", description))
    for recipe in () if request.training_only else recipes:
        _check_together(recipe.data, opened)
    return joined(parts)


def _read(name: str, recipes: Sequence[Recipe], *, training_only: bool) -> tuple[str, ...] | None:
    """The splits of a set that rows read; None for all of them."""
    trained = any(name_of(recipe.data.trained_on) == name for recipe in recipes)
    protocols = {recipe.evaluation.protocol for recipe in recipes if name_of(recipe.data.tested_on) == name}
    if training_only or not protocols:
        return ("train",)
    return None if trained else tuple(split for each in sorted(protocols) for split in SCORED_SPLITS[each])


def _check_together(data: DataSpec, opened: Mapping[str, Dataset]) -> None:
    """Refuses to train on people and to test on classes, or to test on other classes than those trained on."""
    train, test = (opened[name_of(name)] for name in (data.trained_on, data.tested_on))
    pair = f"data.train is {train.name} and data.test {test.name}"
    if train.task != test.task:
        kinds = {"reid": "identities", "classification": "classes"}
        message = f"{kinds[train.task]} cannot be scored as {kinds[test.task]}"
        raise InputError(f"{pair}: {message}; expected two sets of one kind")
    if train.task == "classification" and train.class_names != test.class_names:
        odd = sorted({*train.class_names} ^ {*test.class_names}) or ["their order"]
        raise InputError(f"{pair}: their classes differ ({odd[0]}); expected the same names")


def joined(parts: Sequence[Inputs]) -> Inputs:
    """The inputs of a table from those of its data sets; those of one alone are the table's."""
    if len(parts) == 1:
        return parts[0]
    described = {one.name: one.made for one in parts if one.made}
    return Inputs(
        name=", ".join(one.name for one in parts),
        contents=dict(_prefixed(parts, "contents")),
        sizes=dict(_prefixed(parts, "sizes")),
        made="; ".join(f"{name} {made}" for name, made in described.items()),
        assumed=any(one.assumed for one in parts),
        sets=tuple(parts),
    )


def _prefixed(parts: Sequence[Inputs], what: Literal["contents", "sizes"]) -> Iterator[tuple[str, Any]]:
    for one in parts:
        for key, value in getattr(one, what).items():
            yield f"{one.name}/{key}", value


def identify(dataset: Dataset, index: Path, made: str = "") -> Inputs:
    """Returns contents and counts of the splits of an opened data set; ``index`` remembers files' fingerprints."""
    sizes = {name: len(split) for name, split in dataset.splits.items()}
    labelled = dataset.splits.get("train") or next(iter(dataset.splits.values()))
    return Inputs(
        name=dataset.name,
        contents={name: split_fingerprint(split, dataset.root, index) for name, split in dataset.splits.items()},
        sizes={**sizes, CLASSES: len(label_map(labelled.identities))},
        root=dataset.root,
        made=made,
        notes=dataset.notes,
    )


def synthetic_place(made: MadeSpec, store: Path) -> Path:
    """Returns where a store keeps a synthetic data set."""
    from harness.reid.data.synthetic import GENERATOR_VERSION

    return store / "data" / f"{made.layout}-{made.identities}-seed{made.seed}-v{GENERATOR_VERSION}"


def _made(dataset: Named, request: InputRequest) -> MadeSpec:
    """The synthetic set in a data set's place."""
    spec = cast(SyntheticSpec, request.synthetic)
    made, called = spec.of(dataset), name_of(dataset)
    if made is None:
        layouts = " and ".join(f'"{one.layout}"' for one in spec.made)
        message = f"the profile makes a synthetic {layouts}, which is not {called}"
        raise InputError(f"data: {message}; name the folder of {called} with --data DIR")
    return made


def _render(made: MadeSpec, request: InputRequest) -> Path:
    """Makes a synthetic data set once; finds it again afterwards."""
    from harness.reid.data.synthetic import make

    return make(
        made.layout,
        synthetic_place(made, request.store),
        identities=made.identities,
        seed=made.seed,
        progress=lambda done, total: request.progress("rendering the synthetic data set", done, total),
    )
