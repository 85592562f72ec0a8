"""Objects at an address elsewhere: the one door to fsspec, whose drivers do the transport.

Owns connecting, the few operations that a shared store needs, and telling a driver's errors in a sentence. Refuses
knowing what the objects are. Object stores put an object there whole or not at all; on other file systems a torn one
is found by the checksums of whoever reads it.
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
"""For S3. Its driver tries five times as well; together, a place that does not answer is given up in seconds."""
_BUCKETS = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs", "adl", "oss", "oci"})
"""Protocols of object stores: they need no folders, and their buckets are the user's to make."""
_SETTLING_S = 1.0
"""How long a file system without exclusive creation is given to show another's attempt."""


class Remote:
    """The objects under one address; connected to when first used.

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
        """The file system and the path that all names are below."""
        import fsspec

        protocol = self._protocol
        try:
            # A remembered listing would hide what other machines do.
            options = _OPTIONS if protocol in _EXTRAS else {}
            system, root = fsspec.core.url_to_fs(self.address, use_listings_cache=False, **options)
            return system, str(root)
        except ImportError as error:
            extra = _EXTRAS.get(protocol)
            how = f"run it with: uv run --extra {extra} ..." if extra else "install it beside this project"
            raise InputError(f"{self}: the driver of {protocol}:// is not installed ({error}); {how}") from error
        except ValueError as error:
            if protocol in fsspec.available_protocols():
                raise InputError(f"{self}: {error}") from error
            raise InputError(f"{self}: no such protocol; expected a folder, s3://bucket/prefix or the like") from error

    @property
    def lives_in_process(self) -> bool:
        """Whether no other process can see what is written here."""
        return bool("memory" in self._connected[0].protocol)

    @property
    def creates_exclusively(self) -> bool:
        """Whether of several that create one object at once, exactly one succeeds."""
        from fsspec.spec import AbstractFileSystem

        kind = type(self._connected[0])
        method = kind._pipe_file if kind.async_impl else kind.pipe_file
        return method is not AbstractFileSystem.pipe_file and "mode" in inspect.signature(method).parameters

    def reach(self) -> None:
        """Looks whether the place answers and may be read.

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
                # Else nothing was written below the prefix yet, which is well.
                bucket = root.partition("/")[0]
                if self._protocol in _BUCKETS and not system.exists(bucket):
                    raise InputError(f'{self}: there is no bucket "{bucket}"; make it, or name another') from error
            finally:
                if retries is not None:
                    system.retries = retries

    def sizes(self, below: str = "") -> dict[str, int]:
        """The bytes of every object below a name, by its name from there."""
        system, root = self._connected
        top = f"{root}/{below}".rstrip("/")
        with self._translating_errors():
            try:
                found = system.find(top, detail=True)
            except FileNotFoundError:
                return {}
            return {str(path)[len(top) + 1 :]: int(told["size"]) for path, told in found.items() if path != top}

    def read(self, name: str) -> bytes | None:
        """An object's contents; None if there is none."""
        system, root = self._connected
        with self._translating_errors():
            try:
                return bytes(system.cat_file(f"{root}/{name}"))
            except FileNotFoundError:
                return None

    def read_many(self, names: Iterable[str]) -> dict[str, bytes]:
        """The contents of many objects at once, by name; what cannot be read is left out."""
        system, root = self._connected
        paths = {f"{root}/{name}": name for name in names}
        if not paths:
            return {}
        with self._translating_errors():
            found = system.cat(list(paths), on_error="omit")
        return {paths[path]: bytes(content) for path, content in found.items()}

    def write(self, name: str, content: bytes) -> None:
        """Puts an object in place, whatever was there."""
        with self._translating_errors():
            self._put(name, lambda system, path: system.pipe_file(path, content))

    def create(self, name: str, content: bytes) -> bool:
        """Makes an object that must not be there yet; whether it is now ours.

        An attempt whose answer was lost is told by what is there afterwards, so ``content`` must be like no other's.
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
            time.sleep(_SETTLING_S)
        return self.read(name) == content

    def send(self, path: Path, name: str) -> None:
        """Copies a file there, whole.

        Raises:
            FileNotFoundError: If the file is gone.
        """
        with self._translating_errors(path):
            path.stat()
            self._put(name, lambda system, place: system.put_file(str(path), place))

    def fetch(self, name: str, path: Path) -> bool:
        """Copies an object here, renamed into place whole; whether there was one."""
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
        """An object's checksum; empty if there is none."""
        system, root = self._connected
        with self._translating_errors():
            try:
                with system.open(f"{root}/{name}", "rb") as file:
                    return checksum_of_stream(file)
            except FileNotFoundError:
                return ""

    def remove(self, names: Iterable[str]) -> None:
        """Removes objects, in this order; those that are gone already are passed over."""
        system, root = self._connected
        with self._translating_errors():
            for name in names:
                with suppress(FileNotFoundError):
                    system.rm_file(f"{root}/{name}")

    def _put(self, name: str, put: Callable[[Any, str], None]) -> None:
        """Calls ``put``, once more with its folder made on file systems that have folders."""
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
        """Turns whatever a driver raises into an ``InputError``, a full disk of this machine included."""
        try:
            yield
        except (InputError, FileNotFoundError, FileExistsError):
            raise
        except PermissionError as error:
            if error.errno is not None and path is not None:
                raise InputError(explain_os_error(error, path)) from error
            told = f"access denied ({first_line(error)}); expected credentials that may list, read, write and delete"
            raise InputError(f"{self}: {told}") from error
        except Exception as error:  # every driver has its own kinds
            full = explain_os_error(error, path) if isinstance(error, OSError) and path is not None else None
            raise InputError(full or f"{self}: {_explain(error)}") from error


def _explain(error: Exception) -> str:
    if "NoCredentials" in type(error).__name__:
        return "no credentials; set those that its driver reads (for s3: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY)"
    return (
        f"it does not answer as it should ({type(error).__name__}: {first_line(error)}); check the address and the "
        "network, then run the same command: it goes on where it was"
    )


def _without_password(address: str) -> str:
    parts = urlsplit(address)
    return address.replace(f":{parts.password}@", ":***@") if parts.password else address
