"""``python -m mlflow``, whose server runs in this process instead of one more that imports everything again."""

import os
import runpy
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import mlflow.server


def become(command: Sequence[str], *, extra_env: Mapping[str, str], **_: Any) -> NoReturn:
    """Runs ``python -m MODULE ...`` here."""
    _, option, module, *words = command
    assert option == "-m"
    os.environ.update(extra_env)
    sys.argv[:] = [module, *words]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
    sys.exit()


if __name__ == "__main__":
    mlflow.server._exec_cmd = become
    runpy.run_module("mlflow", run_name="__main__", alter_sys=True)
