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

Declare = Callable[..., Path]
Runs = Callable[..., TableRun]
