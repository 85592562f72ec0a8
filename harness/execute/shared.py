"""A store that many machines share: at any address that fsspec reads, with a scratch folder on each machine.

Owns what is where: finished stages, the newest checkpoints, leases and table records are at the address; stages run in
the scratch folder, which is a plain store. Refuses the transport (``remote``).

Layout at the address, the same as in a plain store except for the locks::

    stages/ab/abcdef.../manifest.json   written last
    stages/ab/abcdef.../checkpoints/    the newest two of a running stage
    stages/ab/abcdef.../so-far/         and its logs
    locks/abcdef.../000000001           see ``lease``
    tables/NAME-....json
    studies/NAME.json                   a published file
"""

import logging
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from harness.errors import InputError
from harness.execute.archive import Archive, RemoteArchive, below
from harness.execute.disk import writing_to
from harness.execute.lease import LEASE_TIMEOUT_S, Lease
from harness.execute.manifest import CHECKPOINTS, MANIFEST, checksum_of
from harness.execute.relay import SO_FAR, Follower, Sender, checkpoints_in
from harness.execute.remote import Remote
from harness.execute.store import Store
from harness.files import regular_file
from harness.plan.stage import Stage

_LAST_UPLOAD_S = 2.0
"""Seconds that a stage without a result waits for running uploads."""

_log = logging.getLogger(__name__)


class SharedStore(Store):
    """See the module. Keeps all promises of ``Store``, across machines.

    A stage that is finished in the scratch folder but missing at the address (the machine was offline, or ran it for a
    plain store) is sent there instead of being trained again.

    Args:
        address: As fsspec reads it: ``s3://bucket/prefix``.
        root: The scratch folder; any number of processes and addresses may share it.
        lease_timeout_s: See ``lease``.
    """

    def __init__(self, address: str, root: Path, lease_timeout_s: float = LEASE_TIMEOUT_S) -> None:
        self._remote = Remote(address)
        self._there = RemoteArchive(self._remote, root.absolute())
        super().__init__(root, self._there)
        self._scratch = Archive(self.root)
        self._lease_timeout_s = lease_timeout_s
        self._held: dict[str, tuple[Lease, Sender]] = {}
        self._follower = Follower(self._renew)

    def __repr__(self) -> str:
        return f"SharedStore({str(self._remote)!r}, {str(self.root)!r})"

    def __reduce__(self) -> tuple[Callable[..., "SharedStore"], tuple[str, Path, float]]:
        if self._remote.lives_in_process:
            raise InputError(f"{self._remote} exists in one process only, and stages run in others; name another store")
        return open_shared, (self._remote.address, self.root, self._lease_timeout_s)

    @property
    def address(self) -> str:
        """The address that ``open_store`` opens the same store by."""
        return self._remote.address

    def reach(self) -> "SharedStore":
        """Checks that the address answers, and returns this store.

        Raises:
            InputError: If it does not.
        """
        self._remote.reach()
        return self

    # Finished stages.

    def completion_lookup(self) -> Callable[[str], bool]:
        """Returns a function that looks up whether a stage is complete; lists the remote objects once."""
        listed = self._there.list()
        return lambda fingerprint: (
            fingerprint in self._there.known
            or (MANIFEST in listed.get(fingerprint, ()) and self.is_complete(fingerprint))
        )

    def verify(self, fingerprint: str) -> str:
        """Compares all checksums of a finished stage; returns what is wrong, empty for nothing or if unfinished."""
        self._there.forget(fingerprint)
        return super().verify(fingerprint)

    # Running stages.

    @contextmanager
    def lock(self, fingerprint: str) -> Iterator[bool]:
        """Tries to lock a stage without waiting; yields whether it was free.

        Unlocks on leaving. After a kill it is free at once for this machine, for others after the lease's timeout.
        """
        with super().lock(fingerprint) as free:
            lease = Lease(self._remote, fingerprint, self.root, self._lease_timeout_s) if free else None
            if lease is None or not lease.acquire():
                yield False
                return
            sender = Sender(self._remote, self.folder(fingerprint), below(fingerprint), lambda: lease.is_held)
            self._held[fingerprint] = lease, sender
            try:
                self._send_left_over(fingerprint)
                yield True
            finally:
                del self._held[fingerprint]
                sender.stop(_LAST_UPLOAD_S)
                lease.release()

    def check_lock(self, fingerprint: str) -> None:
        """Checks that this machine still holds a running stage, and logs failed uploads.

        Raises:
            StageTakenError: If another machine has taken the stage over.
        """
        if fingerprint in self._held:
            lease, sender = self._held[fingerprint]
            for warning in sender.warnings():
                _log.warning(warning)
            lease.check()

    def begin(self, fingerprint: str) -> Path:
        """Prepares a stage's folder for a run, with the newest checkpoints, whichever machine wrote them."""
        sizes = self._remote.sizes(below(fingerprint))
        _, damage = self._there.judge(fingerprint, sizes)
        if damage:
            self._there.remove(fingerprint, sizes)
            sizes = {}
        folder = self.folder(fingerprint)
        with writing_to(folder):
            if (folder / MANIFEST).exists():
                shutil.rmtree(folder)  # an intact one would have been sent
            folder.mkdir(parents=True, exist_ok=True)
        there = {name: size for name, size in sizes.items() if name.startswith(f"{CHECKPOINTS}/")}
        here = checkpoints_in(folder)
        newer = [name for name, size in there.items() if name >= max(here, default="") and here.get(name) != size]
        if newer:
            logs = [name for name in sizes if name.startswith(f"{SO_FAR}/")]
            for name in [*logs, *newer]:
                self._remote.fetch(f"{below(fingerprint)}/{name}", folder / name.removeprefix(f"{SO_FAR}/"))
        if fingerprint in self._held:
            self._held[fingerprint][1].start(there)
        return folder

    def finish(self, stage: Stage, result: Mapping[str, Any]) -> None:
        """Completes a stage in the scratch folder, then at the address, the manifest last.

        Raises:
            TypeError: If the result is not JSON-able.
            InputError: If an upload fails. The stage is finished locally, and sent when this machine next runs it.
            StageTakenError: If another machine has taken the stage over.
        """
        if stage.fingerprint in self._held:
            lease, sender = self._held[stage.fingerprint]
            sender.stop()
            lease.check(now=True)
        super().finish(stage, result)
        if not self.is_complete(stage.fingerprint):
            self._send(stage.fingerprint)

    def sweep(self, fingerprint: str) -> None:
        """Removes what a finished stage no longer needs, locally and, if it is complete there, at the address."""
        super().sweep(fingerprint)
        if self.is_complete(fingerprint):
            needed = {MANIFEST, *self._there.known[fingerprint]["files"]}
            left = self._remote.sizes(below(fingerprint)).keys() - needed
            self._remote.remove(f"{below(fingerprint)}/{name}" for name in left)

    def _send_left_over(self, fingerprint: str) -> None:
        """Sends a stage that is complete locally but not at the address."""
        folder = self.folder(fingerprint)
        if (folder / MANIFEST).exists() and not self.is_complete(fingerprint):
            manifest, _ = self._scratch.read(fingerprint)
            if manifest and all(
                checksum_of(folder / name) == kept["blake2b"] for name, kept in manifest["files"].items()
            ):
                self._send(fingerprint)

    def _send(self, fingerprint: str) -> None:
        text = regular_file(self.folder(fingerprint) / MANIFEST).read_bytes()
        manifest, _ = self._scratch.read(fingerprint)
        if manifest is None:
            raise InputError(f"{self.folder(fingerprint)} changed during the upload; run the same command again")
        place = below(fingerprint)
        for name in manifest["files"]:
            if fingerprint in self._held:
                self._held[fingerprint][0].check()
            self._remote.send(self.folder(fingerprint) / name, f"{place}/{name}")
        sizes = self._remote.sizes(place)
        for name, kept in manifest["files"].items():
            if sizes.get(name) != kept["bytes"]:
                raise InputError(
                    f"{self._there.place(fingerprint)}/{name} arrived incomplete; run the same command again"
                )
        self._remote.write(f"{place}/{MANIFEST}", text)
        self._there.known[fingerprint] = manifest
        self._there.verified.update((fingerprint, name) for name in manifest["files"])
        self.sweep(fingerprint)

    # Files from other machines.

    def follow(self, fingerprint: str, name: str) -> Path:
        """Returns the local path of a file that grows while the stage runs; renews it while another machine runs it."""
        if fingerprint in self._there.known:
            self._follower.drop(fingerprint)
            self.fetch(fingerprint, [name])
        else:
            self._follower.follow(fingerprint, name)
        return super().follow(fingerprint, name)

    def _renew(self, fingerprint: str, name: str) -> None:
        """Downloads a file of a stage that runs on another machine, unless this machine runs, or ran, it too."""
        path = self.folder(fingerprint) / name
        here = path.stat().st_size if path.exists() else 0
        place = f"{below(fingerprint)}/{SO_FAR}"
        if self._remote.sizes(place).get(name, 0) == here or (path.parent / CHECKPOINTS).exists():
            return
        with super().lock(fingerprint) as free:
            if free and not (path.parent / MANIFEST).exists():
                self._remote.fetch(f"{place}/{name}", path)

    def publish(self, path: Path) -> None:
        """Makes a file below the root, as it is now, available to all users of the store (``fetch_published``)."""
        self._remote.send(path, path.relative_to(self.root).as_posix())

    def fetch_published(self, folder: str) -> Path:
        """Returns a folder below the root, with the files that were published there."""
        for name in self._remote.sizes(folder):
            self._remote.fetch(f"{folder}/{name}", self.root / folder / name)
        return self.root / folder


@lru_cache(maxsize=8)
def open_shared(address: str, root: Path, lease_timeout_s: float = LEASE_TIMEOUT_S) -> SharedStore:
    """Returns this process's shared store at an address; one instance each, since it caches manifests."""
    return SharedStore(address, root, lease_timeout_s)
