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
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from harness.errors import InputError
from harness.execute.disk import writing_to
from harness.execute.lease import LEASE_TIMEOUT_S, Lease
from harness.execute.manifest import CHECKPOINTS, MANIFEST, DamagedError, Manifest, checksum_of, read_manifest
from harness.execute.relay import SO_FAR, Follower, Sender, checkpoints_in
from harness.execute.remote import Remote
from harness.execute.store import Store
from harness.files import regular_file
from harness.plan.stage import Stage

_ATTEMPTS = 2
"""Attempts to download a file whose checksum differs, since the transfer may be at fault."""
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
        super().__init__(root)
        self._remote = Remote(address)
        self._lease_timeout_s = lease_timeout_s
        self._known: dict[str, Manifest] = {}
        """Cached manifests of complete stages: a complete stage stays complete."""
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
        listed = self._list()
        return lambda fingerprint: (
            fingerprint in self._known or (MANIFEST in listed.get(fingerprint, ()) and self.is_complete(fingerprint))
        )

    def verify(self, fingerprint: str) -> str:
        """Compares all checksums of a finished stage; returns what is wrong, empty for nothing or if unfinished."""
        self._known.pop(fingerprint, None)
        return super().verify(fingerprint)

    def _fetch_file(self, fingerprint: str, name: str, checksum: str) -> None:
        path = self.folder(fingerprint) / name
        if path.is_file() and checksum_of(path) == checksum:
            return
        place = f"{self._place(fingerprint)}/{name}"
        for _ in range(_ATTEMPTS):
            there = self._remote.fetch(f"{_below(fingerprint)}/{name}", path)
            if there and checksum_of(path) == checksum:
                return
            path.unlink(missing_ok=True)
        self._known.pop(fingerprint, None)
        self._remote.remove([f"{_below(fingerprint)}/{MANIFEST}"])
        found = "its checksum differs from the manifest's" if there else "it is missing"
        raise DamagedError(place, found)

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
            sender = Sender(self._remote, self.folder(fingerprint), _below(fingerprint), lambda: lease.is_held)
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
        sizes = self._remote.sizes(_below(fingerprint))
        _, damage = self._judge(fingerprint, sizes)
        if damage:
            self._remove(fingerprint, sizes)
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
                self._remote.fetch(f"{_below(fingerprint)}/{name}", folder / name.removeprefix(f"{SO_FAR}/"))
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
            needed = {MANIFEST, *self._known[fingerprint]["files"]}
            left = self._remote.sizes(_below(fingerprint)).keys() - needed
            self._remote.remove(f"{_below(fingerprint)}/{name}" for name in left)

    def _send_left_over(self, fingerprint: str) -> None:
        """Sends a stage that is complete locally but not at the address."""
        folder = self.folder(fingerprint)
        if (folder / MANIFEST).exists() and not self.is_complete(fingerprint):
            manifest, _ = super()._read(fingerprint)
            if manifest and all(
                checksum_of(folder / name) == kept["blake2b"] for name, kept in manifest["files"].items()
            ):
                self._send(fingerprint)

    def _send(self, fingerprint: str) -> None:
        text = regular_file(self.folder(fingerprint) / MANIFEST).read_bytes()
        manifest, _ = super()._read(fingerprint)
        if manifest is None:
            raise InputError(f"{self.folder(fingerprint)} changed during the upload; run the same command again")
        below = _below(fingerprint)
        for name in manifest["files"]:
            if fingerprint in self._held:
                self._held[fingerprint][0].check()
            self._remote.send(self.folder(fingerprint) / name, f"{below}/{name}")
        sizes = self._remote.sizes(below)
        for name, kept in manifest["files"].items():
            if sizes.get(name) != kept["bytes"]:
                raise InputError(f"{self._place(fingerprint)}/{name} arrived incomplete; run the same command again")
        self._remote.write(f"{below}/{MANIFEST}", text)
        self._known[fingerprint] = manifest
        self._here.update((fingerprint, name) for name in manifest["files"])
        self.sweep(fingerprint)

    # Files from other machines.

    def follow(self, fingerprint: str, name: str) -> Path:
        """Returns the local path of a file that grows while the stage runs; renews it while another machine runs it."""
        if fingerprint in self._known:
            self._follower.drop(fingerprint)
            self.fetch(fingerprint, [name])
        else:
            self._follower.follow(fingerprint, name)
        return super().follow(fingerprint, name)

    def _renew(self, fingerprint: str, name: str) -> None:
        """Downloads a file of a stage that runs on another machine, unless this machine runs, or ran, it too."""
        path = self.folder(fingerprint) / name
        here = path.stat().st_size if path.exists() else 0
        place = f"{_below(fingerprint)}/{SO_FAR}"
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

    # Overrides of what a plain store does on its disk.

    def _read(self, fingerprint: str) -> tuple[Manifest | None, str]:
        if fingerprint in self._known:
            return self._known[fingerprint], ""
        return self._judge(fingerprint, self._remote.sizes(_below(fingerprint)))

    def _judge(
        self, fingerprint: str, sizes: Mapping[str, int], text: bytes | None = None
    ) -> tuple[Manifest | None, str]:
        """As ``_read``, for a stage without a cached manifest; ``sizes`` are those of its objects."""
        if text is None and MANIFEST in sizes:
            text = self._remote.read(f"{_below(fingerprint)}/{MANIFEST}")
        if text is None:
            return None, ""
        manifest, damage = read_manifest(fingerprint, self._place(fingerprint), text, sizes.get)
        if manifest is not None:
            self._known[fingerprint] = manifest
        return manifest, damage

    def _checksum(self, fingerprint: str, name: str) -> str:
        return self._remote.checksum(f"{_below(fingerprint)}/{name}")

    def _place(self, fingerprint: str) -> str:
        return f"{self._remote}/{_below(fingerprint)}"

    def _list(self) -> dict[str, dict[str, int]]:
        """Returns the names and sizes of all objects of every stage, by fingerprint."""
        found: dict[str, dict[str, int]] = defaultdict(dict)
        for path, size in self._remote.sizes("stages").items():
            _, fingerprint, name = path.split("/", 2)
            found[fingerprint][name] = size
        return found

    def _fingerprints(self) -> Iterator[str]:
        return (fingerprint for fingerprint, _ in self._sizes())

    def _sizes(self) -> Iterator[tuple[str, int]]:
        listed = self._list()
        finished = {fingerprint for fingerprint, sizes in listed.items() if MANIFEST in sizes}
        unknown = {f"{_below(fingerprint)}/{MANIFEST}": fingerprint for fingerprint in finished - self._known.keys()}
        for path, text in self._remote.read_many(unknown).items():
            self._judge(unknown[path], listed[unknown[path]], text)
        for fingerprint, sizes in listed.items():
            yield fingerprint, sum(sizes.values())

    def _delete(self, fingerprint: str) -> None:
        self._remove(fingerprint, self._remote.sizes(_below(fingerprint)))
        shutil.rmtree(self.folder(fingerprint), ignore_errors=True)

    def _remove(self, fingerprint: str, names: Iterable[str]) -> None:
        """Removes a stage's objects, the manifest first, so that half a deletion is never complete."""
        self._known.pop(fingerprint, None)
        self._here = {here for here in self._here if here[0] != fingerprint}
        below = _below(fingerprint)
        self._remote.remove([f"{below}/{MANIFEST}", *(f"{below}/{name}" for name in names if name != MANIFEST)])

    def _keep_record(self, name: str, text: str) -> None:
        self._remote.write(f"tables/{name}", text.encode())

    def _drop_record(self, name: str) -> None:
        self._remote.remove([f"tables/{name}"])

    def _records(self) -> Iterator[tuple[str, bytes]]:
        for name in sorted(self._remote.sizes("tables")):
            content = self._remote.read(f"tables/{name}")
            if content is not None:
                yield f"{self._remote}/tables/{name}", content


def _below(fingerprint: str) -> str:
    """Returns the prefix of the names of a stage's objects."""
    return f"stages/{fingerprint[:2]}/{fingerprint}"


@lru_cache(maxsize=8)
def open_shared(address: str, root: Path, lease_timeout_s: float = LEASE_TIMEOUT_S) -> SharedStore:
    """Returns this process's shared store at an address; one instance each, since it caches manifests."""
    return SharedStore(address, root, lease_timeout_s)
