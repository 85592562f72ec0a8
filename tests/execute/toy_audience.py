"""What listens to the toy stages: their journal, and the events of an executor."""

from collections import Counter
from pathlib import Path

from harness.execute import Event


class Journal:
    """What the toy stages noted: who began, who ended, in which process."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def context(self) -> dict[str, str]:
        return {"journal": str(self.path)}

    def lines(self) -> list[list[str]]:
        return [line.split() for line in self.path.read_text().splitlines()] if self.path.exists() else []

    def began(self) -> list[str]:
        return [name for name, word, _ in self.lines() if word == "begin"]

    def count(self, word: str) -> Counter[str]:
        return Counter(name for name, noted, _ in self.lines() if noted == word)

    def pids(self) -> set[int]:
        return {int(pid) for _, _, pid in self.lines()}


class Events(list[Event]):
    """Records all events of an executor."""

    def kinds(self, fingerprint: str) -> list[str]:
        """Of a stage's events; whether a process was started for it depends on what ran before."""
        kinds = [event.kind for event in self if event.fingerprint == fingerprint]
        return [kind for kind in kinds if kind != "starting"]
