"""The identity of a split: a digest of its images' contents, names and labels, not of where they lie or their age.

Digests of files are remembered in an index, so that asking again costs a look at sizes and times instead of reading.
"""

import hashlib
import json
import logging
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from harness.errors import InputError
from harness.files import regular_file, replace_text
from harness.reid.data.dataset import Split

_DIGEST_BYTES = 16
_INDEX_VERSION = 1
_SETTLED_NS = 2_000_000_000  # a file changed within the coarsest clock tick may change again without a trace
_THREADS = 8
_CHUNK = 64

_Stamp = list[int]
_Index = dict[str, tuple[_Stamp, str]]

_log = logging.getLogger(__name__)


def split_fingerprint(split: Split, root: Path, index_dir: Path) -> str:
    """A digest of the split's images and labels, 32 hexadecimal digits.

    Covers, for every image in order, its name relative to ``root``, its bytes, its identity and its camera; of an
    array, the pixels. Equal contents have equal fingerprints in any folder, process and machine.

    Args:
        split: The split.
        root: The data set's folder (``Dataset.root``).
        index_dir: Folder for the index. Several processes may share it; a damaged index is rebuilt.

    Raises:
        InputError: If a file cannot be read; names it.
    """
    digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    if split.files is not None:
        known = _digests(split.files, root, index_dir)
        for name in split.files:
            digest.update(f"{name}\0{known[name]}\n".encode())
    elif split.arrays is not None:
        digest.update(f"{split.arrays.shape}\n".encode())
        digest.update(split.arrays.tobytes() if not split.arrays.flags.c_contiguous else split.arrays.data)
    for labels in (split.identities, split.cameras):
        digest.update(b"none" if labels is None else labels.astype("<i8").tobytes())
    return digest.hexdigest()


def _digests(files: tuple[str, ...], root: Path, index_dir: Path) -> Mapping[str, str]:
    """The digest of each file; only files that the index does not know in their present state are read."""
    path = index_dir / f"{hashlib.blake2b(str(root.resolve()).encode(), digest_size=_DIGEST_BYTES).hexdigest()}.json"
    index = _load(path)
    now = time.time_ns()
    with ThreadPoolExecutor(_THREADS) as pool:
        stamps = dict(zip(files, pool.map(lambda name: _stamp(root / name), files, chunksize=_CHUNK), strict=True))
        changed = [name for name in files if name not in index or index[name][0] != stamps[name]]
        fresh = dict(zip(changed, pool.map(lambda name: _digest(root / name), changed, chunksize=_CHUNK), strict=True))
    settled: _Index = {
        name: (stamps[name], digest) for name, digest in fresh.items() if max(stamps[name][1:]) < now - _SETTLED_NS
    }
    if settled:
        # Another process may have written meanwhile: add to what is there now. Losing a race costs a reading, no more.
        _save(path, _load(path) | settled)
    return {name: fresh[name] if name in fresh else index[name][1] for name in files}


def _stamp(path: Path) -> _Stamp:
    """A key that changes whenever the file does: size, modification time, and change time of its entry, in ns."""
    try:
        status = regular_file(path).stat()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from None
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns]


def _digest(path: Path) -> str:
    try:
        return hashlib.blake2b(regular_file(path).read_bytes(), digest_size=_DIGEST_BYTES).hexdigest()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from None


def _load(path: Path) -> _Index:
    """The index; empty if there is none, or none that can be trusted."""
    try:
        content = json.loads(regular_file(path).read_text(encoding="utf-8"))
        if content["version"] != _INDEX_VERSION or content["check"] != _check(content["files"]):
            raise ValueError("its checksum does not match")
        return {name: (stamp, digest) for name, (stamp, digest) in content["files"].items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        _log.warning("%s: damaged index of file digests (%s); rebuilt", path, error)
        return {}


def _save(path: Path, index: _Index) -> None:
    """Replaces the index. An index that cannot be written (a full disk) costs time only."""
    files = {name: [stamp, digest] for name, (stamp, digest) in sorted(index.items())}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_text(path, json.dumps({"version": _INDEX_VERSION, "check": _check(files), "files": files}))
    except OSError as error:
        _log.warning("%s: the index of file digests was not written (%s)", path, error)


def _check(files: object) -> str:
    return hashlib.blake2b(json.dumps(files, sort_keys=True).encode(), digest_size=_DIGEST_BYTES).hexdigest()
