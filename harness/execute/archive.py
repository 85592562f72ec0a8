"""Where finished stages are kept: a folder of this machine, or a remote address with such a folder to work in.

Owns reading, listing and deleting them, and the records of tables. Refuses to know about locks and running stages.
"""

import shutil
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from harness.execute.disk import bytes_of, writing_to
from harness.execute.manifest import MANIFEST, Manifest, checksum_of, read_manifest
from harness.execute.remote import Remote
from harness.files import regular_file, replace_text

_ATTEMPTS = 2
"""Attempts to download a file whose checksum differs, since the transfer may be at fault."""
_WRONG_CHECKSUM = "its checksum differs from the manifest's"


def below(fingerprint: str) -> str:
    """Returns the path of a stage below a store's root."""
    return f"stages/{fingerprint[:2]}/{fingerprint}"


class Archive:
    """Stages in a folder of this machine."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.verified: set[tuple[str, str]] = set()
        """Files, by stage and name, that are local and whose checksums were verified."""

    def forget(self, fingerprint: str) -> None:
        """Forgets what was read and verified of a stage."""
        self.verified = {file for file in self.verified if file[0] != fingerprint}

    def place(self, fingerprint: str) -> str:
        """Returns the location of a stage, for messages."""
        return str(self.root / below(fingerprint))

    def read(self, fingerprint: str) -> tuple[Manifest | None, str]:
        """Returns a complete stage's manifest; or None and, if the stage was complete once, what is wrong with it."""
        folder = self.root / below(fingerprint)
        try:
            text = regular_file(folder / MANIFEST).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None, ""
        except OSError as error:
            return None, f"{folder / MANIFEST} is damaged: {error.strerror}"
        return read_manifest(fingerprint, str(folder), text, lambda name: _size(folder / name))

    def checksum(self, fingerprint: str, name: str) -> str:
        """Returns the checksum of a file of a complete stage."""
        return checksum_of(self.root / below(fingerprint) / name)

    def fetch(self, fingerprint: str, name: str, checksum: str) -> str:
        """Makes sure that a file of a complete stage is local and intact; returns what is wrong, empty for nothing."""
        return "" if self.checksum(fingerprint, name) == checksum else _WRONG_CHECKSUM

    def fingerprints(self) -> Iterator[str]:
        """Yields every stage with any file."""
        return (folder.name for folder in (self.root / "stages").glob("??/*") if folder.is_dir())

    def sizes(self) -> Iterator[tuple[str, int]]:
        """Yields every stage with any file, and its size in bytes."""
        return ((name, bytes_of(self.root / below(name))) for name in self.fingerprints())

    def delete(self, fingerprint: str) -> None:
        """Deletes a stage, its manifest first, so that half a deletion is never complete."""
        self.forget(fingerprint)
        folder = self.root / below(fingerprint)
        with writing_to(folder), suppress(FileNotFoundError):
            (folder / MANIFEST).unlink(missing_ok=True)
            if folder.exists():
                shutil.rmtree(folder)

    def write_record(self, name: str, text: str) -> None:
        """Writes or replaces a table's record."""
        path = self.root / "tables" / name
        with writing_to(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_text(path, text)

    def delete_record(self, name: str) -> None:
        """Deletes a table's record, if there is one."""
        with writing_to(self.root / "tables"):
            (self.root / "tables" / name).unlink(missing_ok=True)

    def records(self) -> Iterator[tuple[str, bytes]]:
        """Yields the location and the content of every table's record; raises an OSError that names a damaged one."""
        for path in sorted((self.root / "tables").glob("*.json")):
            try:
                yield str(path), regular_file(path).read_bytes()
            except OSError as error:
                raise OSError(error.errno, error.strerror, str(path)) from error


class RemoteArchive(Archive):
    """Stages at a remote address; ``root`` is the folder that they are downloaded to."""

    def __init__(self, remote: Remote, root: Path) -> None:
        super().__init__(root)
        self.known: dict[str, Manifest] = {}
        """Manifests of complete stages that were read: a complete stage stays complete."""
        self._remote = remote

    def forget(self, fingerprint: str) -> None:
        """As for a folder."""
        super().forget(fingerprint)
        self.known.pop(fingerprint, None)

    def place(self, fingerprint: str) -> str:
        """As for a folder."""
        return f"{self._remote}/{below(fingerprint)}"

    def read(self, fingerprint: str) -> tuple[Manifest | None, str]:
        """As for a folder; a manifest is read once."""
        if fingerprint in self.known:
            return self.known[fingerprint], ""
        return self.judge(fingerprint, self._remote.sizes(below(fingerprint)))

    def judge(
        self, fingerprint: str, sizes: Mapping[str, int], text: bytes | None = None
    ) -> tuple[Manifest | None, str]:
        """As ``read``, for a stage whose manifest was not read; ``sizes`` are those of its objects."""
        if text is None and MANIFEST in sizes:
            text = self._remote.read(f"{below(fingerprint)}/{MANIFEST}")
        if text is None:
            return None, ""
        manifest, damage = read_manifest(fingerprint, self.place(fingerprint), text, sizes.get)
        if manifest is not None:
            self.known[fingerprint] = manifest
        return manifest, damage

    def checksum(self, fingerprint: str, name: str) -> str:
        """As for a folder."""
        return self._remote.checksum(f"{below(fingerprint)}/{name}")

    def fetch(self, fingerprint: str, name: str, checksum: str) -> str:
        """As for a folder; a stage with a damaged file is no longer complete."""
        path = self.root / below(fingerprint) / name
        if path.is_file() and checksum_of(path) == checksum:
            return ""
        for _ in range(_ATTEMPTS):
            there = self._remote.fetch(f"{below(fingerprint)}/{name}", path)
            if there and checksum_of(path) == checksum:
                return ""
            path.unlink(missing_ok=True)
        self.forget(fingerprint)
        self._remote.remove([f"{below(fingerprint)}/{MANIFEST}"])
        return _WRONG_CHECKSUM if there else "it is missing"

    def fingerprints(self) -> Iterator[str]:
        """As for a folder."""
        return (fingerprint for fingerprint, _ in self.sizes())

    def sizes(self) -> Iterator[tuple[str, int]]:
        """As for a folder; reads all manifests at once."""
        listed = self.list()
        finished = {fingerprint for fingerprint, sizes in listed.items() if MANIFEST in sizes}
        unknown = {f"{below(fingerprint)}/{MANIFEST}": fingerprint for fingerprint in finished - self.known.keys()}
        for path, text in self._remote.read_many(unknown).items():
            self.judge(unknown[path], listed[unknown[path]], text)
        for fingerprint, sizes in listed.items():
            yield fingerprint, sum(sizes.values())

    def list(self) -> dict[str, dict[str, int]]:
        """Returns the names and sizes of all objects of every stage, by fingerprint."""
        found: dict[str, dict[str, int]] = defaultdict(dict)
        for path, size in self._remote.sizes("stages").items():
            _, fingerprint, name = path.split("/", 2)
            found[fingerprint][name] = size
        return found

    def delete(self, fingerprint: str) -> None:
        """As for a folder; deletes the downloaded files, too."""
        self.remove(fingerprint, self._remote.sizes(below(fingerprint)))
        shutil.rmtree(self.root / below(fingerprint), ignore_errors=True)

    def remove(self, fingerprint: str, names: Iterable[str]) -> None:
        """Removes a stage's objects of these names, the manifest first."""
        self.forget(fingerprint)
        place = below(fingerprint)
        self._remote.remove([f"{place}/{MANIFEST}", *(f"{place}/{name}" for name in names if name != MANIFEST)])

    def write_record(self, name: str, text: str) -> None:
        """As for a folder."""
        self._remote.write(f"tables/{name}", text.encode())

    def delete_record(self, name: str) -> None:
        """As for a folder."""
        self._remote.remove([f"tables/{name}"])

    def records(self) -> Iterator[tuple[str, bytes]]:
        """As for a folder."""
        for name in sorted(self._remote.sizes("tables")):
            content = self._remote.read(f"tables/{name}")
            if content is not None:
                yield f"{self._remote}/tables/{name}", content


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size if path.is_file() else None
    except OSError:
        return None
