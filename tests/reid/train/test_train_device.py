"""A stage measures its own GPU and no other. The driver is fake, so that no GPU is needed."""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace

import pytest
import torch

from harness.reid.train.device import DeviceMeter


class NVMLError(Exception):
    pass


@dataclass
class Driver:
    """Two GPUs, with a record of the queries; each reading adds 3.6 J of energy, which is a milliwatt-hour."""

    uuids: tuple[str, ...] = ("aaaa", "bbbb")
    knows_energy: bool = True
    asked: list[str] = field(default_factory=list)
    energy_mj: int = 1_000

    def init(self) -> None:
        pass

    def handle(self, uuid: str) -> str:
        if uuid.removeprefix("GPU-") not in self.uuids:
            raise NVMLError("not found")
        return uuid

    def utilisation(self, handle: str) -> SimpleNamespace:
        self.asked.append(handle)
        return SimpleNamespace(gpu=80 if handle == "GPU-bbbb" else 5)

    def energy(self, handle: str) -> int:
        self.asked.append(handle)
        if not self.knows_energy:
            raise NVMLError("not supported")
        self.energy_mj += 3_600
        return self.energy_mj


Install = Callable[..., Driver]


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Install:
    """Replaces NVML by a driver, and torch's CUDA devices by ones with these UUIDs."""

    def put(driver: Driver, visible: tuple[str, ...]) -> Driver:
        nvml = ModuleType("pynvml")
        vars(nvml).update(
            NVMLError=NVMLError,
            nvmlInit=driver.init,
            nvmlDeviceGetHandleByUUID=driver.handle,
            nvmlDeviceGetUtilizationRates=driver.utilisation,
            nvmlDeviceGetTotalEnergyConsumption=driver.energy,
        )
        monkeypatch.setitem(sys.modules, "pynvml", nvml)
        properties = [SimpleNamespace(uuid=uuid) for uuid in visible]
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: properties[device.index])
        monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda device: None)
        monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 2_000_000 * (1 + device.index))
        return driver

    return put


@pytest.mark.parametrize(
    ("visible", "index"),
    [(("aaaa", "bbbb"), 1), (("bbbb",), 0), (("bbbb", "aaaa"), 0)],
    ids=["all visible", "CUDA_VISIBLE_DEVICES=1", "CUDA_VISIBLE_DEVICES=1,0"],
)
def test_only_the_stages_own_gpu_is_queried_however_devices_are_numbered(
    install: Install, visible: tuple[str, ...], index: int
) -> None:
    driver = install(Driver(), visible)
    measured = DeviceMeter(torch.device("cuda", index)).result()
    assert set(driver.asked) == {"GPU-bbbb"}
    # Energy is read at the start and at the end, 3,600 mJ apart; 3.6e6 mJ are a watt-hour.
    assert measured == {
        "peak_memory_mb": 2.0 * (1 + index),
        "gpu_utilisation": pytest.approx(0.8),
        "energy_wh": pytest.approx(0.001),
    }


def test_a_driver_without_an_energy_counter_leaves_energy_out(install: Install) -> None:
    install(Driver(knows_energy=False), ("aaaa",))
    assert DeviceMeter(torch.device("cuda", 0)).result().keys() == {"peak_memory_mb", "gpu_utilisation"}


def test_a_slice_of_a_gpu_is_not_charged_for_the_whole_gpu(install: Install) -> None:
    """A MIG slice has its own UUID, which the driver does not know as a GPU."""
    driver = install(Driver(), ("a-slice",))
    assert DeviceMeter(torch.device("cuda", 0)).result() == {"peak_memory_mb": 2.0}
    assert driver.asked == []


def test_only_memory_is_measured_without_a_driver(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    driver = install(Driver(), ("aaaa",))

    def missing() -> None:
        raise NVMLError("driver not loaded")

    monkeypatch.setattr(sys.modules["pynvml"], "nvmlInit", missing)
    assert DeviceMeter(torch.device("cuda", 0)).result() == {"peak_memory_mb": 2.0}
    assert driver.asked == []


def test_a_stage_on_a_cpu_queries_no_gpu(install: Install) -> None:
    driver = install(Driver(), ("aaaa",))
    assert DeviceMeter(torch.device("cpu")).result().keys() == {"peak_memory_mb"}
    assert driver.asked == []


@pytest.mark.parametrize("has_driver", [True, False])
def test_the_meters_readings_become_both_run_metrics_and_report_columns_or_neither(
    install: Install, has_driver: bool
) -> None:
    """One run's training and evaluation: energy adds up, utilisation is that of training, memory is the maximum."""
    from harness.api.tracking import final_metrics
    from harness.report import build_report
    from harness.report.markdown import to_markdown
    from harness.track.snapshot import RunRecord, Snapshot

    install(Driver(), ("bbbb",))
    meters = [DeviceMeter(torch.device("cuda", 0) if has_driver else torch.device("cpu")) for _ in range(2)]
    training, evaluation = ({"seconds": 1800.0, **meter.result()} for meter in meters)
    cost = {"parameters": 25e6, "multiply_adds": 4.1e9, "metrics": {"mAP": 0.5}}
    metrics = final_metrics([{**training, "images": 100}, {**evaluation, **cost}])
    assert ("energy_wh" in metrics, "gpu_utilisation" in metrics) == (has_driver, has_driver)
    if has_driver:
        # The fake counter advances by 3,600 mJ per reading: with readings 1, 2, 3, 4, each meter sees two steps.
        assert metrics["energy_wh"] == pytest.approx(0.004)
        assert metrics["gpu_utilisation"] == pytest.approx(0.8)
        assert metrics["peak_memory_mb"] == 2.0
    rows = [{"id": "1", "factors": {"SAC": True}}]
    declaration = {"title": "T", "profile": "paper", "dataset": "market1501", "metrics": ["mAP"], "rows": rows}
    finished = RunRecord("r", "1", 0, "finished", "", metrics, {}, {"harness.device": "H100"}, None, None)
    text = to_markdown(build_report(Snapshot("p", "t", declaration, {}, (finished,))))
    assert ("| energy (mWh) | GPU utilisation (%) |" in text) == has_driver
    assert ("4.00 | 80.0 |" in text) == has_driver
    assert "| device | H100 |" in text
