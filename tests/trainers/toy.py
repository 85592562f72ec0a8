"""Functions of a user, as trainers: one that behaves, and one for each way in which it may not."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Settings:
    gain: float = 0.5
    steps: int = 3
    wide: bool = False


def train(settings: Settings, run: Any) -> dict[str, Any]:
    """Four units, whose values rise with the gain; resumes from its checkpoint."""
    done = int((run.resumed / "done").read_text()) if run.resumed else 0
    for step in range(done, settings.steps):
        run.log(step + 1, steps=settings.steps, loss=1.0 / (step + 1))
        with run.checkpoint() as folder:
            (folder / "done").write_text(str(step + 1))
        if step == 1 and not run.resumed and Path("die").exists():
            raise KeyboardInterrupt
    (run.folder / "began_at").write_text(str(done))
    run.units(["a", "b", "c", "d"], groups=[0, 0, 1, 1], unit="examples", group="authors")
    values = settings.gain + 0.1 * np.arange(4) + 0.01 * run.seed
    run.cost(parameters=10)
    run.note("a note of the run")
    return {"score": values, "loss": float(values.mean())}


def pretrain(settings: Any, run: Any) -> None:
    (run.folder / "weights").write_text(str(settings.gain))


def tune(settings: Any, run: Any) -> dict[str, float]:
    gain = float((run.parent / "weights").read_text())
    return {"score": gain + settings.steps, "loss": 0.0}


def nothing(settings: Any, run: Any) -> None:
    pass


def undeclared(settings: Any, run: Any) -> dict[str, float]:
    return {"score": 1.0, "loss": 1.0, "scor": 1.0}


def missing(settings: Any, run: Any) -> dict[str, float]:
    return {"score": 1.0}


def not_a_number(settings: Any, run: Any) -> dict[str, float]:
    return {"score": math.nan, "loss": 1.0}


def not_a_unit(settings: Any, run: Any) -> dict[str, Any]:
    return {"score": [1.0, math.inf], "loss": 1.0}


def two_lengths(settings: Any, run: Any) -> dict[str, Any]:
    return {"score": [1.0, 2.0], "loss": [1.0, 2.0, 3.0]}


def ids_twice(settings: Any, run: Any) -> dict[str, Any]:
    run.units(["a", "a"])
    return {"score": [1.0, 2.0], "loss": 1.0}


def text(settings: Any, run: Any) -> dict[str, Any]:
    return {"score": "high", "loss": 1.0}


def raises(settings: Any, run: Any) -> dict[str, float]:
    raise ValueError("no such corpus")


def asks_for_more(settings: Any, run: Any) -> dict[str, float]:
    return {"score": settings.depth, "loss": 1.0}


def takes_three(settings: Any, run: Any, more: Any) -> dict[str, float]:
    return {}
