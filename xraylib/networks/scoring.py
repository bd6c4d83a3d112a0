"""Score images with a trained network: the one loop that asks it."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
from scipy.special import expit, logsumexp

from xraylib import backend, progress
from xraylib.backend import keras
from xraylib.data.loading import Batches, Images
from xraylib.networks import models


def outputs(network: keras.Model, batches: Iterable[np.ndarray]) -> np.ndarray:
    """Compute what a network gives for each image: float64, (images, outputs).

    `batches` are grey uint8 in [0, 255], each (batch, size, size, 1).
    """
    backend.pin()
    parts = [np.asarray(network.predict_on_batch(batch), float) for batch in batches]
    return np.concatenate([np.empty((0, network.output_shape[-1])), *parts])


def pneumonia(logits: np.ndarray) -> np.ndarray:
    """Join a network's logits into that of PNEUMONIA, which is every class but the first.

    Args:
        logits: float (images, classes), or (images, 1): already that of PNEUMONIA.

    Returns:
        float (images,).

    Example:
        >>> pneumonia(np.zeros((1, 3))).round(3)  # two to one
        array([0.693])
    """
    if logits.shape[1] == 1:
        return logits[:, 0]
    return np.asarray(logsumexp(logits[:, 1:], axis=1) - logits[:, 0])


def scores(network: keras.Model, batches: Iterable[np.ndarray]) -> np.ndarray:
    """Score images with a network's probability of PNEUMONIA.

    Where the network has a layer `"logit"`, as those of `models` have, the probability is computed
    from it in float64: float32 makes every probability beyond a logit of 17 the same 1, a tie.

    Args:
        network: Gives the probability of PNEUMONIA, (batch, 1), or one probability a class,
            of which the first is NORMAL.
        batches: Grey uint8 in [0, 255], each (batch, size, size, 1).

    Returns:
        float64 in [0, 1], (images,).
    """
    if "logit" in {layer.name for layer in network.layers}:
        return np.asarray(expit(pneumonia(outputs(models.logits(network), batches))))
    return outputs(network, batches)[:, 0]


def predictions(network: keras.Model, images: Images, *, batch_size: int) -> pd.DataFrame:
    """Score validation and test, the one time that test is looked at.

    Args:
        network: As `scores` takes it, for squares prepared as `images`.
        images: The decoded images of all splits.
        batch_size: Images that the network scores at a time.

    Returns:
        The rows of `images.table` in validation and test, with a fresh index and the column score,
        float64 in [0, 1].
    """
    rows = images.table[images.table["split"].isin(("validation", "test"))]
    served = rows.index.to_numpy()
    batches = Batches(images.pixels, images.table["label"], served, batch_size=batch_size)
    numbers = progress.bar(range(len(batches)), total=len(batches), description="scoring")
    score = scores(network, (batches[number][0] for number in numbers))
    return rows.assign(score=score).reset_index(drop=True)
