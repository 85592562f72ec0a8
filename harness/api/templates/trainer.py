"""What the table ablates: any code that takes settings and a seed and returns metrics.

The harness calls ``train`` once for each row and seed. Settings come from the recipe, checked against the dataclass.
"""

from dataclasses import dataclass

import numpy as np
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier

from harness import Run


@dataclass
class Settings:
    """What the recipe may set."""

    hidden: int
    scale: bool
    epochs: int


def train(settings: Settings, run: Run) -> dict[str, np.ndarray]:
    """Trains a small classifier of handwritten digits; returns which test digits it gets right."""
    images, labels = load_digits(return_X_y=True)
    if settings.scale:
        images = images / 16
    order = np.random.default_rng(0).permutation(len(images))  # the split is the same in every row and seed
    test, rest = order[:400], order[400:]
    model = MLPClassifier((settings.hidden,), random_state=run.seed)
    for epoch in range(1, settings.epochs + 1):
        model.partial_fit(images[rest], labels[rest], classes=np.arange(10))
        run.log(epoch, steps=settings.epochs, loss=model.loss_)
    return {"accuracy": model.predict(images[test]) == labels[test]}
