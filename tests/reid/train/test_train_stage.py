"""A training stage: what it leaves, that it resumes bit for bit, and how it fails."""

import copy
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode
from torch.func import functional_call
from torch.utils._python_dispatch import TorchDispatchMode

from harness.errors import InputError, StageError
from harness.reid.data import open_dataset, split_fingerprint
from harness.reid.data.augment import AugmentationDraws, augment
from harness.reid.files import STATE, WEIGHTS
from harness.reid.losses import compute_losses
from harness.reid.models import build_network
from harness.reid.train.training import train_stage
from harness.trainer import SPOOL


class Killed(BaseException):
    """Simulates a kill: nothing catches it, nothing cleans up."""


def silent(_: Mapping[str, Any]) -> None:
    pass


def train(settings: dict[str, Any], context: dict[str, Any], folder: Path, emit: Any = silent) -> dict[str, Any]:
    folder.mkdir(exist_ok=True)
    return train_stage(settings, context, folder, None, emit)


def lying_in(root: Path, contents: Mapping[str, str] | None = None) -> dict[str, Any]:
    return {"data": [{"dataset": "market1501", "root": str(root), "contents": dict(contents or {})}]}


Whole = tuple[Path, Mapping[str, Any]]
"""The folder of the stage that was trained without interruption, and its result."""


def spooled(folder: Path) -> list[dict[str, Any]]:
    """The spool's records without their timestamps."""
    records = [json.loads(line) for line in (folder / SPOOL).read_text().splitlines()]
    return [{key: value for key, value in record.items() if key != "time_ms"} for record in records]


def test_a_stage_leaves_weights_a_spool_and_measured_figures(whole: Whole) -> None:
    folder, result = whole
    assert result["epochs"] == 2
    assert result["images"] == result["steps"] * 8  # 4 identities x 2 images per batch
    assert result["images_per_s"] > 0
    assert set(spooled(folder)[0]["metrics"]) == {
        "loss",
        "loss_softmax",
        "loss_quadruplet",
        "loss_sac",
        "learning_rate",
    }
    assert [record["metrics"]["learning_rate"] for record in spooled(folder)][::-1][0] == 0.01
    assert load_file(folder / WEIGHTS)["classifier.weight"].shape[0] == result["classes"]


@pytest.mark.parametrize("kill_at", [1, 2, 3, 5])
def test_a_stage_killed_at_any_reading_resumes_bit_for_bit(
    settings: dict[str, Any], context: dict[str, Any], tmp_path: Path, whole: Whole, kill_at: int
) -> None:
    context["checkpoint_minutes"] = 0.0  # a checkpoint after every reading
    readings = 0

    def kill(_: Mapping[str, Any]) -> None:
        nonlocal readings
        readings += 1
        if readings == kill_at:
            raise Killed

    with pytest.raises(Killed):
        train(settings, context, tmp_path / "killed", kill)
    torch.rand(7)  # the state of the global generator must not matter
    resumed = train(settings, context, tmp_path / "killed")

    folder, result = whole
    assert (tmp_path / "killed" / WEIGHTS).read_bytes() == (folder / WEIGHTS).read_bytes()
    assert spooled(tmp_path / "killed") == spooled(folder)
    for name in ("steps", *(name for name in result if name.startswith("final_"))):
        assert resumed[name] == result[name]


def test_a_stage_reports_what_it_does_before_its_first_step(
    settings: dict[str, Any], context: dict[str, Any], tmp_path: Path
) -> None:
    details: list[Mapping[str, Any]] = []
    train(settings, {**context, "cache": str(tmp_path / "cache")}, tmp_path / "stage", details.append)
    steps = [place for place, each in enumerate(details) if "step" in each]
    doing = [each["doing"] for each in details if "doing" in each]
    assert all("doing" in each for each in details[: steps[0]])
    assert list(dict.fromkeys(doing)) == [
        "checking the data set",
        "building the network and loading its weights",
        "opening the decoded images of train",
        "decoding the images of train",
        "training the first steps",
    ]
    images = len(open_dataset("market1501", Path(context["data"][0]["root"])).splits["train"])
    assert [(each["done"], each["of"]) for each in details if "done" in each][-1] == (images, images)


@pytest.mark.parametrize("lost", [None, STATE, SPOOL, "all of it"])
def test_a_stage_continues_one_that_stopped_early_bit_for_bit(
    settings: dict[str, Any], context: dict[str, Any], tmp_path: Path, whole: Whole, lost: str | None
) -> None:
    folder, result = whole
    rung = train({**settings, "stop_after": 1}, context, tmp_path / "rung")
    assert (rung["epochs"], rung["steps"]) == (1, result["steps"] // 2)
    learned = [record["metrics"]["learning_rate"] for record in spooled(tmp_path / "rung")]
    assert set(learned) == {0.02}  # the first epoch of the whole schedule, not a schedule of one epoch
    begun = tmp_path / "rung"
    if lost == "all of it":
        shutil.rmtree(begun)
    elif lost is not None:
        (begun / lost).rename(begun / "lost")
    epochs: list[float] = []
    (tmp_path / "rest").mkdir()
    rest = train_stage(
        settings,
        context,
        tmp_path / "rest",
        None,
        lambda detail: epochs.extend([detail["epoch"]] if "epoch" in detail else []),
        begun=begun,
    )
    assert (min(epochs) > 1.0) is (lost is None)  # what is already trained is not trained again
    assert (tmp_path / "rest" / WEIGHTS).read_bytes() == (folder / WEIGHTS).read_bytes()
    assert spooled(tmp_path / "rest") == spooled(folder)
    assert (rest["steps"], rest["images"]) == (result["steps"], result["images"])
    assert not (tmp_path / "rest" / STATE).exists()


class Reads(TorchDispatchMode):
    """Records every operation that makes a program wait for a device: its result is a number or decides a shape."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.__name__.partition(".")[0] in {"_local_scalar_dense", "nonzero", "masked_select", "equal"}:
            self.found.append(str(func))
        return func(*args, **(kwargs or {}))


def test_no_step_reads_a_value_back(settings: dict[str, Any], context: dict[str, Any], tmp_path: Path) -> None:
    with Reads() as reads:
        assert bool(torch.ones(())), "it does see a reading"
        train(settings, context, tmp_path / "stage")
    assert reads.found == ["aten._local_scalar_dense.default"]


def test_a_step_on_a_gpu_never_waits_and_takes_nothing_from_the_cpu(settings: dict[str, Any]) -> None:
    """Fake tensors take the place of a GPU's: reading a value back, or using one on the CPU, is an error."""
    network = build_network(**settings["model"], weights="none", classes=10, seed=0)
    losses = {**settings["losses"], "triplet": {"weight": 1.0, "epsilon": 0.3}}
    with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad():

        def on_gpu(dtype: torch.dtype, *shape: int) -> Tensor:
            return torch.empty(shape, dtype=dtype, device="cuda")

        with pytest.raises(DataDependentOutputException):
            on_gpu(torch.float32).item()
        weights = {name: on_gpu(value.dtype, *value.shape) for name, value in network.state_dict().items()}
        images, rows, labels = on_gpu(torch.uint8, 99, 32, 16, 3), *(on_gpu(torch.int64, 8) for _ in range(2))
        draws = AugmentationDraws(on_gpu(torch.bool, 8), on_gpu(torch.int64, 8, 2), 2, on_gpu(torch.int64, 8, 4))
        # A mean that no other test uses: its constants are cached, here without contents.
        pixels = augment(images, draws, [0.1, 0.2, 0.3], [0.4, 0.5, 0.6], rows=rows)
        output = functional_call(network, weights, (pixels,))
        total, _ = compute_losses(output, labels, losses, normalize_embeddings=True)
        assert total.device.type == "cuda"


def test_the_same_settings_train_the_same_weights_and_another_seed_different_ones(
    settings: dict[str, Any], context: dict[str, Any], tmp_path: Path
) -> None:
    settings["epochs"] = 1
    other = {**copy.deepcopy(settings), "seed": 6}
    for name, chosen in (("a", settings), ("b", settings), ("c", other)):
        train(chosen, context, tmp_path / name)
    a, b, c = (load_file(tmp_path / name / WEIGHTS) for name in "abc")
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert not all(torch.equal(a[name], c[name]) for name in a)


def test_a_child_starts_from_its_parents_weights_and_may_drop_the_classifier(
    settings: dict[str, Any], context: dict[str, Any], tmp_path: Path
) -> None:
    settings["epochs"] = 1
    train(settings, context, tmp_path / "parent")
    child = {**settings, "classifier": False, "losses": {"quadruplet": settings["losses"]["quadruplet"]}}
    del child["weights"]
    child["optimizer"] = {**settings["optimizer"], "lr": 1e-30}  # does not change a single bit
    (tmp_path / "child").mkdir()
    train_stage(child, context, tmp_path / "child", tmp_path / "parent", silent)
    parent, found = load_file(tmp_path / "parent" / WEIGHTS), load_file(tmp_path / "child" / WEIGHTS)
    assert not any(name.startswith("classifier.") for name in found)
    assert torch.equal(parent["embedding.weight"], found["embedding.weight"])


def test_a_loss_that_is_not_finite_ends_the_stage_and_reports_step_terms_and_rate(
    settings: dict[str, Any], context: dict[str, Any], tmp_path: Path
) -> None:
    settings["optimizer"]["lr"] = 1e18
    with pytest.raises(StageError) as caught:
        train(settings, context, tmp_path / "stage")
    message = str(caught.value)
    assert 'stage "metric" diverged at step ' in message
    for word in ("loss_softmax", "loss_quadruplet", "loss_sac", "learning rate 1e+18", "stages.metric.optimizer.lr"):
        assert word in message


@pytest.mark.parametrize(
    ("sampler", "expected"),
    [
        ({"kind": "identities", "identities": 50, "images": 4}, "{classes} identities instead of 50"),
        ({"kind": "shuffled", "batch_size": 9999}, "{images} images instead of 9999"),
    ],
)
def test_a_set_smaller_than_a_batch_is_used_whole_and_a_note_says_so(
    settings: dict[str, Any],
    context: dict[str, Any],
    market: Path,
    tmp_path: Path,
    sampler: dict[str, Any],
    expected: str,
) -> None:
    settings["sampler"], settings["epochs"] = sampler, 1
    result = train(settings, context, tmp_path / "stage")
    images = len(open_dataset("market1501", market, splits=("train",)).splits["train"])
    hold = expected.format(classes=result["classes"], images=images)
    assert result["notes"] == [f"batches of stage metric hold {hold}: all there are"]


@pytest.mark.parametrize("change", ["remove", "add", "replace"])
def test_images_that_changed_since_the_plan_are_refused(
    settings: dict[str, Any], context: dict[str, Any], market: Path, tmp_path: Path, change: str
) -> None:
    root = Path(shutil.copytree(market, tmp_path / "own"))
    (root / "synthetic.json").unlink()  # as in a real set, nothing says how many images there should be
    split = open_dataset("market1501", root, splits=("train",)).splits["train"]
    planned = {"train": split_fingerprint(split, root, tmp_path / "index")}
    settings["data"]["splits"] = planned
    train(settings, {**context, **lying_in(root, planned)}, tmp_path / "before")
    first, second, *_ = sorted((root / "bounding_box_train").glob("*.jpg"))
    if change == "remove":
        first.unlink()
    elif change == "add":
        shutil.copy(first, first.with_name(first.name.replace(first.stem[-2:] + ".jpg", "99.jpg")))
    else:
        shutil.copy(second, first)
    with pytest.raises(InputError, match="the images of train are not those that this run was planned with"):
        train(settings, {**context, **lying_in(root, planned)}, tmp_path / "after")


@pytest.mark.parametrize("decoded_once", [True, False])
def test_an_unreadable_training_image_is_named(
    settings: dict[str, Any], context: dict[str, Any], market: Path, tmp_path: Path, decoded_once: bool
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(market, broken)
    victim = sorted((broken / "bounding_box_train").glob("*.jpg"))[0]
    victim.write_bytes(victim.read_bytes()[:200])
    with pytest.raises(InputError, match=victim.name):
        train(settings, {**context, **lying_in(broken), "decoded_once": decoded_once}, tmp_path / "stage")


def test_checkpointing_activations_changes_no_bit(
    settings: dict[str, Any], context: dict[str, Any], tmp_path: Path
) -> None:
    settings["epochs"] = 1
    train(settings, context, tmp_path / "kept")
    train(settings, {**context, "checkpoint_activations": True}, tmp_path / "recomputed")
    kept, recomputed = (load_file(tmp_path / name / WEIGHTS) for name in ("kept", "recomputed"))
    assert any(name.endswith("num_batches_tracked") for name in kept)
    assert all(torch.equal(kept[name], recomputed[name]) for name in kept)
    assert spooled(tmp_path / "kept") == spooled(tmp_path / "recomputed")


def test_images_decoded_every_time_train_the_same_weights_and_leave_no_cache(
    settings: dict[str, Any], context: dict[str, Any], tmp_path: Path
) -> None:
    settings["epochs"] = 1
    train(settings, context, tmp_path / "cached")
    anew = {**context, "decoded_once": False, "cache": str(tmp_path / "unused")}
    train(settings, anew, tmp_path / "anew")
    cached, decoded = (load_file(tmp_path / name / WEIGHTS) for name in ("cached", "anew"))
    assert all(torch.equal(cached[name], decoded[name]) for name in cached)
    assert not list((tmp_path / "unused").rglob("*.npy"))


def test_a_compiled_stage_trains_and_leaves_weights_of_the_same_names(
    settings: dict[str, Any], context: dict[str, Any], tmp_path: Path
) -> None:
    settings["epochs"] = 1
    train(settings, context, tmp_path / "plain")
    settings["arithmetic"]["compile"] = True
    with torch.compiler.set_stance("force_eager"):  # the compiler's output is torch's own concern
        train(settings, context, tmp_path / "compiled")
    plain, compiled = (load_file(tmp_path / name / WEIGHTS) for name in ("plain", "compiled"))
    assert all(torch.equal(plain[name], compiled[name]) for name in plain)
