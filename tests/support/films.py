"""Pictures with what chest radiographs have in common."""

import numpy as np
from PIL import Image


def chest(seed, size=96):
    """A bright middle between two dark lungs and a dark border, with some texture."""
    rng = np.random.default_rng(seed)
    across = np.linspace(-1, 1, size)
    bright = 90 + 90 * np.exp(-((across / 0.25) ** 2)) - 80 * (abs(across) > 0.85)
    coarse = Image.fromarray(rng.normal(0, 12, (12, 12)).astype(np.float32))
    texture = np.asarray(coarse.resize((size, size), Image.Resampling.BICUBIC))
    noise = rng.normal(0, 4, (size, size))
    return np.clip(
        bright + 20 * np.linspace(-1, 1, size)[:, None] + texture + noise, 0, 255
    ).astype(np.uint8)
