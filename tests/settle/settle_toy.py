"""A function whose results are known but for the luck of the seed: the mean of a row, and a standard deviation."""

from pathlib import Path
from typing import Any

import numpy as np


def train(settings: Any, run: Any) -> dict[str, Any]:
    if Path("die").exists() and run.seed == 4:
        raise KeyboardInterrupt
    if Path("fail").exists() and run.seed == 3 and settings.gain:
        raise ValueError("no")
    if Path("edit").exists() and run.seed == 3:
        with Path(__file__).open("a") as file:
            file.write("EDITED = True\n")
    luck = np.random.default_rng([run.seed, int(10 * settings.gain), int(settings.other)]).standard_normal()
    return {"score": settings.gain + 0.1 * luck}
