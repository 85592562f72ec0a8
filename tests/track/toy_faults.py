"""An MLflow that fails at one request: the delivering process dies there, or the answer is lost."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from mlflow.store.artifact import artifact_repository_registry

import harness.track.client
import harness.track.delivery
from harness.track.client import connect


class Death(BaseException):
    """Simulates kill -9: nothing in the deliverer may catch it."""


class Faulty:
    """A client whose requests fail from the n-th on, before or after they take effect."""

    def __init__(self, real: Any, calls: Iterator[int], error: BaseException, *, after: bool) -> None:
        self._real, self._calls, self._error, self._after = real, calls, error, after

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._real, name)
        if not callable(method):
            return method

        def call(*arguments: Any, **options: Any) -> Any:
            fails = next(self._calls, None) is None
            if fails and not self._after:
                raise self._error
            result = method(*arguments, **options)
            if fails:
                raise self._error
            return result

        return call


@contextmanager
def failing(uri: str, calls: int, error: BaseException, *, after: bool) -> Iterator[None]:
    """Lets the first ``calls`` requests to MLflow and its artifacts succeed, and the others fail.

    Death may also strike before or after a file is removed.
    """
    left, repository = iter(range(calls)), artifact_repository_registry.get_artifact_repository
    client = Faulty(connect(uri), left, error, after=after)
    with pytest.MonkeyPatch.context() as patch:
        for module in (harness.track.delivery, harness.track.client):
            patch.setattr(module, "connect", lambda _: client)
        patch.setattr(
            artifact_repository_registry,
            "get_artifact_repository",
            lambda *address: Faulty(repository(*address), left, error, after=after),
        )
        if isinstance(error, Death):
            patch.setattr(Path, "unlink", Faulty(Path, left, error, after=after).unlink)
        yield
