"""Chooses the executor that the options name: this machine's processes, a Ray cluster, or this process."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from harness.api.listener import Listener
from harness.errors import InputError

if TYPE_CHECKING:
    from harness.execute import Executor, Store

ExecutorName = Literal["local", "ray", "inprocess"]


@dataclass(frozen=True)
class Engine:
    """The options that say where stages run; None of it can change a result.

    Raises:
        InputError: If an option is given that the executor has no use for.
    """

    executor: ExecutorName = "local"
    workers: int | None = None
    """Most stages at once."""
    address: str | None = None
    """Of a Ray cluster."""
    stage_cpus: int | None = None
    stage_gpus: float | None = None
    """The resources that one stage requests from a Ray node."""

    def __post_init__(self) -> None:
        for_ray = {"--address": self.address, "--stage-cpus": self.stage_cpus, "--stage-gpus": self.stage_gpus}
        for option, value in for_ray.items():
            if value is not None and self.executor != "ray":
                raise InputError(f"{option} needs --executor ray, found --executor {self.executor}")
        if self.executor == "inprocess" and self.workers not in (None, 1):
            raise InputError(f"--workers {self.workers}: --executor inprocess runs one stage at a time")

    @contextmanager
    def start(self, store: "Store", listener: Listener) -> Iterator["Executor"]:
        """The executor, which ends with the block."""
        from harness.api.slots import slots_for
        from harness.execute import InProcessExecutor, LocalExecutor

        if self.executor == "inprocess":
            yield InProcessExecutor(store, slots_for(1)[0])
        elif self.executor == "local":
            with LocalExecutor(store, slots_for(self.workers)) as local:
                yield local
        else:
            from harness.execute.on_ray import RayExecutor

            with RayExecutor(
                store, address=self.address, workers=self.workers, cpus=self.stage_cpus, gpus=self.stage_gpus
            ) as cluster:
                listener.note(cluster.place)
                yield cluster
