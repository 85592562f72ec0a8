"""A trained network with its preprocessing: features of any images, as the evaluation computes them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from harness.reid.data.augment import normalize
from harness.reid.data.decode import decode_image, resized
from harness.reid.recipe import Recipe
from harness.reid.stages import model_settings
from harness.reid.train.features import trained_network

Picture = str | Path | Image.Image
"""An image file, or an image."""


class Trained:
    """A network in evaluation mode on the CPU, and what images go through before it.

    Args:
        recipe: The row's recipe.
        folder: The folder of its last training stage.
    """

    def __init__(self, recipe: Recipe, folder: Path) -> None:
        self.recipe = recipe
        self.network = trained_network(
            model_settings(recipe.model), recipe.data.height_px, recipe.data.width_px, folder
        ).eval()

    def preprocess(self, images: Sequence[Picture]) -> Tensor:
        """Returns images as the network takes them, (B, 3, H, W) float32: RGB, resized, normalised.

        Raises:
            InputError: If a file cannot be decoded.
        """
        data, augment = self.recipe.data, self.recipe.augment
        pixels = []
        for image in images:
            picture = image.convert("RGB") if isinstance(image, Image.Image) else decode_image(Path(image))[0]
            pixels.append(resized(picture, data.height_px, data.width_px))
        return normalize(torch.from_numpy(np.stack(pixels)), augment.mean, augment.std)

    @torch.inference_mode()
    def features(self, images: Sequence[Picture], batch: int = 64) -> Tensor:
        """Returns the embeddings of images, (B, D) float32: those that the evaluation compares.

        Args:
            images: Files or images.
            batch: How many go through the network at once.
        """
        parts = (images[first : first + batch] for first in range(0, len(images), batch))
        return torch.cat([self.network(self.preprocess(part)).embedding.float() for part in parts])
