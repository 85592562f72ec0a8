"""Objects at a remote address. The only module that uses fsspec, whose drivers do the transport.

Owns the connection, the few operations that a shared store needs, and the translation of drivers' errors. Refuses to
know what the objects are. Object stores write an object whole or not at all; on other file systems, readers detect a
torn one by its checksum.
"""

import inspect
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from harness.errors import InputError
from harness.execute.disk import explain_os_error
from harness.execute.manifest import checksum_of_stream
from harness.files import replacing
from harness.formatting import first_line

_EXTRAS = {"s3": "s3", "s3a": "s3"}
"""Protocols whose driver an extra of this project installs."""
_OPTIONS: Mapping[str, Any] = {"config_kwargs": {"retries": {"total_max_attempts": 2}}}
"""For S3, whose driver makes five attempts itself: together they give up on a dead address within seconds."""
_BUCKETS = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs", "adl", "oss", "oci"})
"""Protocols of object stores: they need no folders, and users create their buckets."""
SETTLING_S = 1.0
"""How long a file system without exclusive creation may take to show another machine's attempt."""


class Remote:
    """The objects below one address; connects on first use.

    Args:
        address: As fsspec reads it: ``s3://bucket/prefix``.
    """

    def __init__(self, address: str) -> None:
        self.address = address.rstrip("/")

    def __str__(self) -> str:
        return _without_password(self.address)

    @property
    def _protocol(self) -> str:
        return self.address.partition("://")[0]

    @cached_property
    def _connected(self) -> tuple[Any, str]:
        """Returns the file system and the path below which all names are."""
        import fsspec

        protocol = self._protocol
        try:
            # A cached listing would hide what other machines do.
            options = _OPTIONS if protocol in _EXTRAS else {}
            system, root = fsspec.core.url_to_fs(self.address, use_listings_cache=False, **options)
            return system, str(root)
        except ImportError as error:
            extra = _EXTRAS.get(protocol)
            how = f"run the command with: uv run --extra {extra} ..." if extra else "install it in this environment"
            raise InputError(f"{self}: the driver of {protocol}:// is not installed ({error}); {how}") from error
        except ValueError as error:
            if protocol in fsspec.available_protocols():
                raise InputError(f"{self}: {error}") from error
            raise InputError(f"{self}: no such protocol; expected a folder, s3://bucket/prefix or the like") from error

    @property
    def lives_in_process(self) -> bool:
        """Whether the objects are invisible to other processes."""
        return bool("memory" in self._connected[0].protocol)

    @property
    def creates_exclusively(self) -> bool:
        """Whether exactly one succeeds if several create one object at once."""
        from fsspec.spec import AbstractFileSystem

        kind = type(self._connected[0])
        method = kind._pipe_file if kind.async_impl else kind.pipe_file
        return method is not AbstractFileSystem.pipe_file and "mode" in inspect.signature(method).parameters

    def reach(self) -> None:
        """Checks that the address answers and can be read.

        Raises:
            InputError: If not, within seconds.
        """
        system, root = self._connected
        retries = getattr(system, "retries", None)
        with self._translating_errors():
            try:
                if retries is not None:
                    system.retries = 1
                system.ls(root, detail=False)
            except FileNotFoundError as error:
                # With a bucket, nothing has been written below the prefix yet.
                bucket = root.partition("/")[0]
                if self._protocol in _BUCKETS and not system.exists(bucket):
                    raise InputError(f'{self}: there is no bucket "{bucket}"; create it, or name another') from error
            finally:
                if retries is not None:
                    system.retries = retries

    def sizes(self, below: str = "") -> dict[str, int]:
        """Returns the size in bytes of every object below a name, by the rest of its name."""
        system, root = self._connected
        top = f"{root}/{below}".rstrip("/")
        with self._translating_errors():
            try:
                found = system.find(top, detail=True)
            except FileNotFoundError:
                return {}
            return {str(path)[len(top) + 1 :]: int(entry["size"]) for path, entry in found.items() if path != top}

    def read(self, name: str) -> bytes | None:
        """Returns an object's content; None if it does not exist."""
        system, root = self._connected
        with self._translating_errors():
            try:
                return bytes(system.cat_file(f"{root}/{name}"))
            except FileNotFoundError:
                return None

    def read_many(self, names: Iterable[str]) -> dict[str, bytes]:
        """Returns the contents of many objects at once, by name, without those that cannot be read."""
        system, root = self._connected
        paths = {f"{root}/{name}": name for name in names}
        if not paths:
            return {}
        with self._translating_errors():
            found = system.cat(list(paths), on_error="omit")
        return {paths[path]: bytes(content) for path, content in found.items()}

    def write(self, name: str, content: bytes) -> None:
        """Writes an object, replacing an old one."""
        with self._translating_errors():
            self._put(name, lambda system, path: system.pipe_file(path, content))

    def create(self, name: str, content: bytes) -> bool:
        """Creates an object that must not exist yet; returns whether this call created it.

        If the answer is lost, the object's content decides, so ``content`` must be unique to the caller.
        """
        with self._translating_errors():
            try:
                self._put(name, lambda system, path: system.pipe_file(path, content, mode="create"))
            except FileExistsError:
                pass
            except OSError:
                if self.read(name) is None:
                    raise
        if not self.creates_exclusively:
            time.sleep(SETTLING_S)
        return self.read(name) == content

    def send(self, path: Path, name: str) -> None:
        """Uploads a file.

        Raises:
            FileNotFoundError: If the file does not exist.
        """
        with self._translating_errors(path):
            path.stat()
            self._put(name, lambda system, place: system.put_file(str(path), place))

    def fetch(self, name: str, path: Path) -> bool:
        """Downloads an object, whole or not at all; returns whether it exists."""
        system, root = self._connected
        try:
            with self._translating_errors(path):
                path.parent.mkdir(parents=True, exist_ok=True)
                with replacing(path) as aside:
                    system.get_file(f"{root}/{name}", str(aside))
        except FileNotFoundError:
            return False
        return True

    def checksum(self, name: str) -> str:
        """Returns an object's checksum; empty if it does not exist."""
        system, root = self._connected
        with self._translating_errors():
            try:
                with system.open(f"{root}/{name}", "rb") as file:
                    return checksum_of_stream(file)
            except FileNotFoundError:
                return ""

    def remove(self, names: Iterable[str]) -> None:
        """Removes objects in this order; ignores those that do not exist."""
        system, root = self._connected
        with self._translating_errors():
            for name in names:
                with suppress(FileNotFoundError):
                    system.rm_file(f"{root}/{name}")

    def _put(self, name: str, put: Callable[[Any, str], None]) -> None:
        """Calls ``put``; on file systems with folders, creates a missing folder and tries again."""
        system, root = self._connected
        path = f"{root}/{name}"
        try:
            put(system, path)
        except FileNotFoundError:
            if self._protocol in _BUCKETS:
                raise
            system.makedirs(path.rpartition("/")[0], exist_ok=True)
            put(system, path)

    @contextmanager
    def _translating_errors(self, path: Path | None = None) -> Iterator[None]:
        """Turns any error of a driver, or of this machine's disk, into an ``InputError``."""
        try:
            yield
        except (InputError, FileNotFoundError, FileExistsError):
            raise
        except PermissionError as error:
            if error.errno is not None and path is not None:
                raise InputError(explain_os_error(error, path)) from error
            expected = "expected credentials that may list, read, write and delete"
            raise InputError(f"{self}: access denied ({first_line(error)}); {expected}") from error
        except Exception as error:  # every driver raises its own classes
            full = explain_os_error(error, path) if isinstance(error, OSError) and path is not None else None
            raise InputError(full or f"{self}: {_explain(error)}") from error


def _explain(error: Exception) -> str:
    if "NoCredentials" in type(error).__name__:
        return "no credentials; set those that its driver reads (for s3: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY)"
    return (
        f"it does not answer as expected ({type(error).__name__}: {first_line(error)}); check the address and the "
        "network, then run the same command: it resumes where it stopped"
    )


def _without_password(address: str) -> str:
    parts = urlsplit(address)
    return address.replace(f":{parts.password}@", ":***@") if parts.password else address
