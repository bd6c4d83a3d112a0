"""A packed classifier of a tiny network, for whoever asks one."""

import functools
import shutil
import tempfile
from pathlib import Path

import keras
import numpy as np
import pandas as pd
from keras import layers

from xraylib.data.loading import Images
from xraylib.data.preparation import Preparation
from xraylib.networks import packing

SIZE = 32
PREPARATION = Preparation(SIZE)


def network(classes=1, size=SIZE):
    """Gives bright images a high score; its layers have the names of those in `models`."""
    pixels = keras.Input((size, size, 1), dtype="uint8", name="pixels")
    x = layers.Rescaling(1 / 255, name="scaled")(pixels)
    x = layers.Conv2D(4, 3, strides=2, padding="same", activation="relu", name="first")(x)
    x = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu", name="last")(x)
    x = layers.GlobalAveragePooling2D(name="average")(x)
    x = layers.Dense(classes, name="logit")(x)
    made = keras.Model(pixels, layers.Activation("sigmoid", name="score")(x), name="tiny")
    rng = np.random.default_rng(0)
    made.set_weights([rng.uniform(0, 0.3, each.shape) for each in made.get_weights()])
    return made


def film(label, rng, size=SIZE):
    """A body that is brighter in its middle than at its edges, and brighter yet with disease."""
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    body = 60 + 90 * np.exp(-2 * x**2 - y**2) + label * 50 * (y > 0) * (np.abs(x) < 0.5)
    made = body + rng.normal(0, 6, (size, size)) + rng.normal(0, 2)
    return np.clip(made, 0, 255).astype(np.uint8)


def images():
    """Decoded squares of both splits, as `loading.decode` gives them."""
    rng = np.random.default_rng(1)
    labels = np.arange(240) % 2
    pixels = np.stack([film(label, rng) for label in labels])[..., np.newaxis]
    splits = np.where(np.arange(240) < 120, "train", "validation")
    table = pd.DataFrame({"label": labels, "split": splits})
    return Images(table, pixels, PREPARATION, "0" * 16, {})


@functools.cache
def _made():
    folder = Path(tempfile.mkdtemp())
    packing.pack(network(), images(), folder, name="tiny", version="1", date="2026-11-26")
    return folder


def copied(folder):
    """A folder with a packed classifier, which a test may change."""
    shutil.copytree(_made(), folder)
    return folder
