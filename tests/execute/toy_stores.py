"""Stores of every kind for one suite: what lies in them, to look at and to damage."""

from pathlib import Path

from harness.execute import SharedStore, Store
from harness.execute.remote import Remote


class FolderShelf:
    """What lies in a plain store."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def reopened(self) -> Store:
        """The same store as another process sees it."""
        return Store(self.store.root)

    def place(self, name: str) -> str:
        """The location of a file, as messages show it."""
        return str(self.store.root / name)

    def names(self, below: str = "") -> list[str]:
        """The files below a name, but locks."""
        top = self.store.root / below
        found = sorted(path.relative_to(top).as_posix() for path in top.rglob("*") if path.is_file())
        return [name for name in found if not name.startswith("locks/")]

    def read(self, name: str) -> bytes:
        return (self.store.root / name).read_bytes()

    def write(self, name: str, content: bytes) -> None:
        path = self.store.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def remove(self, name: str) -> None:
        (self.store.root / name).unlink()


class RemoteShelf:
    """What lies at a shared store's address."""

    def __init__(self, store: SharedStore) -> None:
        self.store = store
        self.remote = Remote(store.address)

    def reopened(self) -> SharedStore:
        return SharedStore(self.store.address, self.store.root)

    def elsewhere(self, scratch: Path, patience_s: float = 60.0) -> SharedStore:
        """The same store as another machine sees it."""
        return SharedStore(self.store.address, scratch, patience_s)

    def place(self, name: str) -> str:
        return f"{self.store.address}/{name}"

    def names(self, below: str = "") -> list[str]:
        return sorted(self.remote.sizes(below))

    def read(self, name: str) -> bytes:
        content = self.remote.read(name)
        assert content is not None, name
        return content

    def write(self, name: str, content: bytes) -> None:
        self.remote.write(name, content)

    def remove(self, name: str) -> None:
        self.remote.remove([name])


Shelf = FolderShelf | RemoteShelf


def below(fingerprint: str) -> str:
    """What the names of a stage's files begin with."""
    return f"stages/{fingerprint[:2]}/{fingerprint}"
