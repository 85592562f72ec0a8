"""The owner of trials in a study that several machines search: a store on a host, wherever the store is moved."""

import json
import os
import secrets
from contextlib import suppress
from pathlib import Path

from harness.files import regular_file, replace_text

_NAME = "owner"


def owner_of(studies: Path) -> str:
    """The name under which the store with this folder of studies asks for trials.

    It is drawn once and kept in the folder, so that a store that was moved takes up the trials that it left; a copy
    of a store that is still there is another one.
    """
    path, here = studies / _NAME, str(studies.absolute())
    name, at = "", ""
    with suppress(OSError, ValueError, KeyError, TypeError):
        kept = json.loads(regular_file(path).read_text(encoding="utf-8"))
        name, at = str(kept["name"]), str(kept["at"])
    if at != here:
        if not name or (Path(at) / _NAME).exists():
            name = secrets.token_hex(8)
        studies.mkdir(parents=True, exist_ok=True)
        replace_text(path, json.dumps({"name": name, "at": here}) + "\n")
    return f"{os.uname().nodename}:{name}"
