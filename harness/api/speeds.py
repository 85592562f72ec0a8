"""Speeds of devices that a store knows: from finished stages, and from probes on request, saved beside them."""

import json
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from harness.api.listener import Listener
from harness.files import regular_file, replace_text
from harness.plan import Plan, Speed, Stage, fingerprint, measured_speeds, speed_key, unmeasured

if TYPE_CHECKING:
    from harness.api.prepare import Prepared
    from harness.execute import Event, Slot, Store


def known_speeds(store: "Store") -> dict[tuple[str, str], Speed]:
    """Speeds by device and kind of work; speeds of finished stages win over probes."""
    probes: dict[tuple[str, str], list[Speed]] = {}
    for path in sorted(_folder(store).glob("*.json")):
        with suppress(OSError, ValueError, KeyError, TypeError):  # a damaged one is no speed
            kept = json.loads(regular_file(path).read_text(encoding="utf-8"))
            speed = Speed(float(kept["units_per_s"]), int(kept["steps"]))
            probes.setdefault((kept["device"], kept["key"]), []).append(speed)
    probed = {
        key: Speed(median(one.units_per_s for one in speeds), min(one.probe_steps for one in speeds))
        for key, speeds in probes.items()
    }
    entries = store.list_entries()
    return probed | measured_speeds((entry.stage, entry.result) for entry in entries if entry.stage and entry.result)


def probe_speeds(prepared: "Prepared", slots: "Sequence[Slot]", listener: Listener) -> None:
    """Measures, with a few steps each, the kinds of work whose speed on this machine's devices is unknown.

    A probe runs in all slots at once, since stages that run side by side slow each other down. Probes live in a store
    of their own, which is gone afterwards; their speeds are kept, each as soon as it is known. Failures are reported.
    """
    from harness.execute import LocalExecutor
    from harness.execute import Store as ProbeStore

    work = prepared.trainer.probe
    if not work:
        listener.note("this trainer has no probe: costs are known once a stage has finished")
        return
    lacking = _lacking(prepared.plan, known_speeds(prepared.store), slots)
    probes = {probe.fingerprint: (key, probe) for key, stage in lacking.items() for probe in _probes(key, stage, slots)}
    if not probes:
        return
    listener.note(f"probing {len(lacking)} kinds of stage, a few steps each in {len(slots)} at a time")
    failures: dict[str, str] = {}
    done: list[str] = []
    with (
        tempfile.TemporaryDirectory(prefix="harness-probe-") as place,
        LocalExecutor(ProbeStore(Path(place)), slots) as executor,
    ):

        def on_event(event: "Event") -> None:
            key, probe = probes[event.fingerprint]
            if event.kind == "succeeded":
                _keep(prepared.store, event.fingerprint, key, event.detail["result"])
            elif event.kind == "failed":
                failures[key] = f'the probe of stage "{probe.name}" failed: {event.detail["reason"]}'
            else:
                return
            done.append(event.fingerprint)
            listener.count("probing", len(done), len(probes))

        executor.execute([probe for _, probe in probes.values()], work, prepared.context, on_event)
    for failure in failures.values():
        listener.note(failure)


def _lacking(plan: Plan, known: Mapping[tuple[str, str], Speed], slots: "Sequence[Slot]") -> dict[str, Stage]:
    """A stage of each kind whose speed on one of the slots' devices is not known, by ``speed_key``."""
    from harness.devices import device_name

    devices = {device_name(slot.device) for slot in slots}
    return {speed_key(stage): stage for device in devices for stage in unmeasured(plan, known, device)}


def _probes(key: str, stage: Stage, slots: "Sequence[Slot]") -> list[Stage]:
    """The probe of a kind of work, once for each slot."""
    names = [fingerprint({"probe": key, "number": number}) for number in range(len(slots))]
    return [replace(stage, fingerprint=name, parent=None) for name in names]


def _keep(store: "Store", name: str, key: str, result: Mapping[str, Any]) -> None:
    """Stores a probe's record, in place of an older one of this kind of work on this device."""
    folder = _folder(store)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{fingerprint([result['device'], name])}.json"
    replace_text(path, json.dumps({"key": key, **result}))


def _folder(store: "Store") -> Path:
    return store.root / "cache" / "speeds"
