"""Weight images so that a covariate such as width/height no longer separates the classes."""

import numpy as np
import numpy.typing as npt
import pandas as pd

from xraylib.evaluation import checks


def weights(labels: npt.ArrayLike, values: npt.ArrayLike, *, bins: int | None = None) -> np.ndarray:
    """Compute weights under which a covariate no longer separates the classes.

    What scores still tell of the classes under these weights (`metrics.estimate`) is not due to
    the covariate. The images are binned by the rank of its values, equal ones together (coarsened
    exact matching: Iacus, King and Porro, Political Analysis 2012). In each bin both classes get
    the same share of their weight, in proportion to the smaller of their shares (matching weights:
    Li and Greene, International Journal of Biostatistics 2013), so a bin of one class gets 0.

    Args:
        labels: 0 or 1, (n,), both present.
        values: The covariate of each image, finite, (n,).
        bins: Number of bins. Finer bins leave less difference within a bin, and match fewer
            images. None takes the root of n: of two normal classes 1.5 standard deviations apart
            it leaves an AUC of .503 with 200 images, of .500 with 2000.

    Returns:
        float, 0 or more, (n,). The weights of each class sum to its number of images, so that the
        prevalence stays as it is; without a difference all are 1.

    Raises:
        ValueError: A value is not finite, or no bin has both classes.

    Example:
        >>> weights([0, 0, 0, 1, 0, 1, 1, 1], [1, 2, 3, 4, 6, 7, 8, 9], bins=2).round(2).tolist()
        [0.67, 0.67, 0.67, 2.0, 2.0, 0.67, 0.67, 0.67]
    """
    values = np.asarray(values, dtype=float).ravel()
    if np.size(labels) != len(values):
        raise ValueError(f"{np.size(labels)} labels and {len(values)} values: give one of each")
    labels = checks.both_classes(labels)
    if wrong := int((~np.isfinite(values)).sum()):
        raise ValueError(f"{wrong} of {len(values)} values are not finite: leave those images out")
    bins = checks.at_least(round(len(values) ** 0.5) if bins is None else bins, 1, "bins")
    codes = ((pd.Series(values).rank().to_numpy() - 0.5) / len(values) * bins).astype(int)
    counts = np.array([np.bincount(codes[labels == label], minlength=bins) for label in (0, 1)])
    shares = counts / counts.sum(axis=1, keepdims=True)
    matched = shares.min(axis=0)
    if not matched.any():
        raise ValueError(
            f"none of {bins} bins has both classes: they cannot be matched for values so "
            "different, unless with fewer bins"
        )
    return np.asarray((matched / matched.sum())[codes] / shares[labels, codes])


def effective_size(weights: npt.ArrayLike) -> float:
    """Compute the number of equally weighted images that would be as informative.

    It is (sum of weights)^2 / sum of weights^2, from 1 to n (Kish, Survey Sampling, 1965).

    Raises:
        ValueError: A weight is below 0 or not finite, or none is above 0.

    Example:
        >>> effective_size([3, 1])
        1.6
    """
    weights = checks.weights(weights)
    return float(weights.sum() ** 2 / (weights**2).sum())
