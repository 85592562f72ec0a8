"""Estimates the cost of the stages that must run: measured speeds, and sums over a plan.

Owns which stages cost alike and the arithmetic of estimates. Refuses measuring: speeds come from the results of
finished stages, and from probes that somebody else carried out.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

from harness.plan.fingerprint import fingerprint
from harness.plan.stage import Plan, Stage


@dataclass(frozen=True)
class Speed:
    """How fast a device does one kind of work."""

    units_per_s: float
    """Units of ``Stage.amount`` a second."""
    probe_steps: int = 0
    """Steps of the probe that measured it; 0: finished stages did."""


Speeds = Mapping[tuple[str, str], Speed]
"""Speeds by device, as results name it, and ``speed_key``."""


def speed_key(stage: Stage) -> str:
    """Returns what stages of one speed have in common."""
    return fingerprint({"kind": stage.kind, "alike": stage.alike})


def measured_speeds(finished: Iterable[tuple[Stage, Mapping[str, Any]]]) -> dict[tuple[str, str], Speed]:
    """The speeds that finished stages had, the median over those that cost alike.

    Read from a result: ``device`` and ``seconds`` of all of the stage. A result without one of them, or without a
    positive speed, is passed over.
    """
    seen: dict[tuple[str, str], list[float]] = {}
    for stage, result in finished:
        seconds = result.get("seconds")
        if "device" not in result or not isinstance(seconds, int | float):
            continue
        if math.isfinite(seconds) and seconds > 0 and stage.amount > 0:
            seen.setdefault((str(result["device"]), speed_key(stage)), []).append(stage.amount / seconds)
    return {key: Speed(median(speeds)) for key, speeds in seen.items()}


def unmeasured(plan: Plan, speeds: Speeds, device: str) -> tuple[Stage, ...]:
    """Of the stages that must run, one of each kind of work whose speed on ``device`` is not known."""
    kinds: dict[str, Stage] = {}
    for stage in plan.to_run:
        kinds.setdefault(speed_key(stage), stage)
    return tuple(stage for key, stage in kinds.items() if (device, key) not in speeds)


@dataclass(frozen=True)
class Estimate:
    """The estimated cost of the stages that must run on one kind of device."""

    device: str
    device_seconds: float
    """Time on devices, summed over the stages of known speed (GPU-hours are this over 3600)."""
    wall_seconds: float
    """Time to wait: no shorter than the longest chain, nor than the work shared evenly by all slots."""
    unknown: tuple[str, ...]
    """Fingerprints of stages whose like was never measured on this device; their cost is in no figure."""
    probed: tuple[str, ...]
    """Fingerprints of stages whose speed is that of a probe."""
    probe_steps: int
    """Steps of the shortest of these probes; 0 without one."""


def estimate(
    plan: Plan, speeds: Speeds, device: str, slots: int = 1, done: Mapping[str, float] | None = None
) -> Estimate:
    """The cost of what must run, from measured speeds.

    Args:
        plan: The plan.
        speeds: What is known; of other devices, too.
        device: The device's name as results record it.
        slots: Stages that run at once.
        done: The share of a stage's work that an interruption has left, by fingerprint.
    """
    done = done or {}
    seconds: dict[str, float] = {}
    unknown: list[str] = []
    probes: dict[str, int] = {}
    ends: dict[str, float] = {}
    for stage in plan.to_run:
        name = stage.fingerprint
        speed = speeds.get((device, speed_key(stage)))
        if speed is None:
            unknown.append(name)
        elif speed.probe_steps:
            probes[name] = speed.probe_steps
        left = stage.amount * (1.0 - done.get(name, 0.0))
        seconds[name] = left / speed.units_per_s if speed else 0.0
        ends[name] = ends.get(stage.parent or "", 0.0) + seconds[name]
    total = sum(seconds.values())
    wall = max([total / slots, *ends.values()])
    return Estimate(device, total, wall, tuple(unknown), tuple(probes), min(probes.values(), default=0))
