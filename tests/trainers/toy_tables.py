"""A folder as a user has it: a table, a recipe, and code beside them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.api.run import TableRun

METRICS = {
    "score": {"title": "Score", "better": "higher", "unit": "plain"},
    "loss": {"title": "Loss", "better": "lower"},
}
RECIPE: dict[str, Any] = {
    "trainer": "toy:train",
    "settings": {"gain": 0.5, "steps": 3, "wide": False},
    "metrics": METRICS,
    "factors": {"Gain": {"patch": {"gain": 0.7}}, "Wide": {"patch": {"wide": True}}},
}
TABLE: dict[str, Any] = {
    "title": "A toy",
    "recipe": "recipe.yaml",
    "seeds": [0, 1],
    "metrics": ["score", "loss"],
    "rows": [{"id": "plain", "factors": []}, {"id": "gain", "factors": ["Gain"]}],
    "claims": [{"text": "gain helps", "better": "gain", "than": "plain", "metric": "score"}],
}

SCRIPT = """\
import json, os, sys
gain, seed = float(sys.argv[1]), int(sys.argv[2])
place = os.path.join(os.environ["HARNESS_CHECKPOINTS"], "done")
done = int(open(place).read()) if os.path.exists(place) else 0
for step in range(done, 3):
    with open(os.environ["HARNESS_LOG"], "a") as log:
        log.write(json.dumps({"step": step + 1, "loss": 1 / (step + 1)}) + "\\n")
    with open(place + ".tmp", "w") as file:
        file.write(str(step + 1))
    os.replace(place + ".tmp", place)
    if step == 1 and done == 0 and os.path.exists("die"):
        sys.exit("the machine was taken away")
json.dump({"score": [gain, gain + 0.01 * seed], "loss": done}, open(os.environ["HARNESS_METRICS"], "w"))
"""
"""A command that resumes from its checkpoint; its loss is the step that it resumed from."""
Declare = Callable[..., Path]
Runs = Callable[..., TableRun]
