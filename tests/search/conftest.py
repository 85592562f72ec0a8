import os

import pytest


@pytest.fixture(autouse=True)
def _unsynced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves a journal's lines to the system: these tests end processes, never the machine."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
