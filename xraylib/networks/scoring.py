"""Score images with a trained network: the one loop that asks it."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
from scipy.special import expit, logsumexp

from xraylib import backend, progress
from xraylib.backend import keras
from xraylib.data.loading import Batches, Images
from xraylib.networks import models


def logits(network: keras.Model, batches: Iterable[np.ndarray]) -> np.ndarray:
    """Compute a network's logit of PNEUMONIA for each image.

    Args:
        network: With a layer `"logit"`, as those of `models`. Of several classes the first is
            NORMAL, and the others together are PNEUMONIA.
        batches: Grey uint8 in [0, 255], each (batch, size, size, 1).

    Returns:
        float64 (images,).

    Raises:
        ValueError: `network` has no layer `"logit"`.
    """
    outputs = _outputs(models.logits(network), batches)
    if outputs.shape[1] == 1:
        return outputs[:, 0]
    return np.asarray(logsumexp(outputs[:, 1:], axis=1) - outputs[:, 0])


def scores(network: keras.Model, batches: Iterable[np.ndarray]) -> np.ndarray:
    """Score images with a network's probability of PNEUMONIA.

    Where the network has a layer `"logit"`, as those of `models` have, the probability is computed
    from it in float64: float32 makes every probability beyond a logit of 17 the same 1, a tie.

    Args:
        network: Gives the probability of PNEUMONIA, (batch, 1), or as `logits` takes it.
        batches: Grey uint8 in [0, 255], each (batch, size, size, 1).

    Returns:
        float64 in [0, 1], (images,).
    """
    if "logit" in {layer.name for layer in network.layers}:
        return np.asarray(expit(logits(network, batches)))
    return _outputs(network, batches)[:, 0]


def _outputs(network: keras.Model, batches: Iterable[np.ndarray]) -> np.ndarray:
    """What a network gives for each image: float64, (images, outputs)."""
    backend.pin()
    parts = [np.asarray(network.predict_on_batch(batch), float) for batch in batches]
    return np.concatenate([np.empty((0, network.output_shape[-1])), *parts])


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
