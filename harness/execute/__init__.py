"""Runs a plan's stages, on one machine or many, and stores their results.

Owns the executors behind one protocol, the artifact store, and the meaning of a failure. Does not know what a stage
computes; importing it needs neither torch nor the tracker.
"""

from harness.execute.address import local_root, open_store
from harness.execute.disk import bytes_of
from harness.execute.entries import Collected
from harness.execute.inprocess import InProcessExecutor
from harness.execute.local import LocalExecutor
from harness.execute.protocol import Event, Executor, Outcome
from harness.execute.shared import SharedStore
from harness.execute.slot import Slot, available_cores, share_out
from harness.execute.store import Store
from harness.execute.versions import VersionDifference, differences_from_installed

__all__ = [
    "Collected",
    "Event",
    "Executor",
    "InProcessExecutor",
    "LocalExecutor",
    "Outcome",
    "SharedStore",
    "Slot",
    "Store",
    "VersionDifference",
    "available_cores",
    "bytes_of",
    "differences_from_installed",
    "local_root",
    "open_store",
    "share_out",
]
