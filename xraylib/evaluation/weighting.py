"""Labels and a number of each image -> weights under which it tells nothing of the classes."""

import numpy as np
import pandas as pd

from xraylib.evaluation import checks


def weights(labels: np.ndarray, values: np.ndarray, *, bins: int | None = None) -> np.ndarray:
    """Weights of images under which a number no longer tells the classes apart.

    What scores tell about the classes under these weights (`metrics.metrics`) they do not owe to
    that number, say width/height of the file. The images are binned by the rank of `values`, equal
    ones together (coarsened exact matching: Iacus, King and Porro, Political Analysis 2012). In
    each bin both classes get the same share of their weight, in proportion to the smaller one of
    their shares (matching weights: Li and Greene, International Journal of Biostatistics 2013), so
    that a bin of one class only gets 0.

    Args:
        labels: 0 or 1, (n,), both present.
        values: What to match the classes for, finite, (n,).
        bins: How many; the finer, the less is left of a difference within a bin, and the fewer
            images match. None takes the root of n: of two normal classes 1.5 standard deviations
            apart an AUC of .503 is left with 200 images, of .500 with 2000.

    Returns:
        float, 0 or more, (n,). The weights of each class sum up to its number of images, so that
        the prevalence stays as it is; without a difference all are 1.

    Raises:
        ValueError: The arrays differ in length or hold something else than above, or no bin has
            both classes.
    """
    labels, values = np.asarray(labels).ravel(), np.asarray(values, dtype=float).ravel()
    if len(labels) != len(values):
        raise ValueError(f"{len(labels)} labels and {len(values)} values: give one of each")
    if set(np.unique(labels)) != {0, 1}:
        found = np.unique(labels)[:5].tolist()
        raise ValueError(f"labels must be 0 or 1, with both present. Received: {found}")
    if wrong := int((~np.isfinite(values)).sum()):
        raise ValueError(f"{wrong} of {len(values)} values are not finite: leave those images out")
    if bins is None:
        bins = round(len(values) ** 0.5)
    if bins < 1:
        raise ValueError(f"bins must be 1 or more. Received: {bins}")
    bin_of = ((pd.Series(values).rank().to_numpy() - 0.5) / len(values) * bins).astype(int)
    counts = np.array([np.bincount(bin_of[labels == label], minlength=bins) for label in (0, 1)])
    shares = counts / counts.sum(axis=1, keepdims=True)
    matched = shares.min(axis=0)
    if not matched.any():
        raise ValueError(
            f"none of {bins} bins has both classes: they cannot be matched for values so "
            "different, unless with fewer bins"
        )
    return (matched / matched.sum())[bin_of] / shares[labels.astype(int), bin_of]


def effective_size(weights: np.ndarray) -> float:
    """How many images of equal weight would tell as much: (sum of w)^2 / sum of w^2.

    Args:
        weights: 0 or more, (n,).

    Returns:
        From 1 to n (Kish, Survey Sampling, 1965).

    Raises:
        ValueError: A weight is below 0 or not finite, or none is above 0.
    """
    weights = checks.weights(weights)
    return float(weights.sum() ** 2 / (weights**2).sum())
