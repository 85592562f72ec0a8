"""Classifies scikit-learn's bundled digits with a small perceptron: an ablation of a user's own Python function."""

from typing import Any

import numpy as np
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler


def train(settings: Any, run: Any) -> dict[str, Any]:
    """Trains on one part of the digits and returns one value for each digit of the other."""
    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(images))
    parts = {"test": order[:400], "choose": order[400:600], "confirm": order[600:800]}
    scored = parts[settings.scored_on]
    train_on = np.sort(order[400:] if settings.scored_on == "test" else order[800:])
    if settings.scale:
        images = StandardScaler().fit(images[train_on]).transform(images)
    generator = np.random.default_rng(run.seed)
    noisy = images[train_on] + settings.noise * generator.standard_normal(images[train_on].shape)
    model = MLPClassifier(
        (settings.hidden,),
        alpha=settings.decay,
        learning_rate_init=settings.learning_rate,
        random_state=run.seed,
        batch_size=64,
    )
    for epoch in range(settings.epochs):
        model.partial_fit(noisy, labels[train_on], classes=np.unique(labels))
        run.log(epoch + 1, steps=settings.epochs, loss=model.loss_)
    chances = model.predict_proba(images[scored])
    run.units(scored, unit="digits")
    run.cost(parameters=sum(part.size for part in (*model.coefs_, *model.intercepts_)))
    own = chances[np.arange(len(scored)), labels[scored]]
    return {
        "accuracy": chances.argmax(axis=1) == labels[scored],
        "log_loss": -np.log(np.maximum(own, 1e-12)),
    }
