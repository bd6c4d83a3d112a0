"""Compute confidence intervals: bootstrap over patients, and closed forms for values without error.

Resampling images that are all classified correctly never shows an error. The closed forms do, for
a proportion (Wilson) and an AUC (Newcombe). They take all that is counted for independent: where
patients have several images, count the patients.
"""

import statistics
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from xraylib.evaluation import checks

_CONFIDENCE: Final = 0.95
# 1.96^2, the squared two-sided quantile of the normal distribution.
_SQUARED_QUANTILE: Final = statistics.NormalDist().inv_cdf((1 + _CONFIDENCE) / 2) ** 2


def patient_weights(patients: npt.ArrayLike, resamples: int, seed: int) -> np.ndarray:
    """Draw patients with replacement, each with all images (the cluster bootstrap).

    It returns how often each image, (n,), is in each resample: float (resamples, n).

    Example:
        >>> patient_weights(["a", "a", "b"], resamples=3, seed=0).tolist()
        [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0], [0.0, 0.0, 2.0]]
    """
    codes = pd.factorize(np.asarray(patients))[0]
    count = codes.max() + 1
    draws = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), resamples)
    return draws[:, codes].astype(float)


def percentiles(resampled: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Take the percentile interval of each number from its resamples.

    `resampled` has each number in each resample, (resamples, numbers), of which NaN is left out;
    the low and the high bounds are (numbers,), NaN where a number is defined in no resample.

    Example:
        >>> low, high = percentiles(np.arange(201.0)[:, np.newaxis])
        >>> print(low, high)
        [5.] [195.]
    """
    low, high = np.full((2, resampled.shape[1]), np.nan)
    defined = ~np.isnan(resampled).all(axis=0)
    if defined.any():
        tail = 100 * (1 - _CONFIDENCE) / 2
        ends = np.nanpercentile(resampled[:, defined], [tail, 100 - tail], axis=0)
        low[defined], high[defined] = ends
    return low, high


def wilson_at_edge(value: float, count: int) -> tuple[float, float]:
    """Compute Wilson's interval of a proportion `value` of exactly 0 or 1 in 1 or more trials.

    With z = 1.96 it reaches z^2 / (count + z^2) into the range ("Probable inference", JASA 1927).

    Raises:
        ValueError: A number is out of its range.

    Example:
        >>> [round(bound, 3) for bound in wilson_at_edge(1, 20)]
        [0.839, 1.0]
    """
    if value not in (0, 1):
        raise ValueError(f"value must be 0 or 1. Received: {value}")
    width = _SQUARED_QUANTILE / (checks.at_least(count, 1, "count") + _SQUARED_QUANTILE)
    return (1 - width, 1.0) if value else (0.0, width)


def newcombe_auc(value: float, positives: int, negatives: int) -> tuple[float, float]:
    """Compute the score interval of an AUC, which holds for small classes and at 0 or 1 as well.

    It holds the AUCs that are within 1.96 of their own standard errors of the observed `value`, for
    one or more `positives` and `negatives` (Newcombe, "Confidence intervals for an effect size
    measure based on the Mann-Whitney statistic, part 2", Statistics in Medicine 2006, method 5).
    The low bound of 0 is 0, the high bound of 1 is 1.

    Raises:
        ValueError: A number is out of its range.

    Example:
        >>> [round(bound, 3) for bound in newcombe_auc(1, 5, 5)]
        [0.643, 1.0]
    """
    checks.in_unit_interval(value, "value")
    checks.at_least(positives, 1, "positives")
    checks.at_least(negatives, 1, "negatives")
    # By symmetry, low(value) = 1 - high(1 - value).
    low = 1 - _newcombe_high(1 - value, positives, negatives) if value > 0 else 0.0
    return low, _newcombe_high(value, positives, negatives) if value < 1 else 1.0


def _newcombe_high(value: float, positives: int, negatives: int) -> float:
    from scipy.optimize import brentq

    def excess(auc: float) -> float:
        # Of (auc - value)^2 = z^2 variance(auc), divided by auc, which leaves one root for 0.
        distance = (auc - value) ** 2 / auc if value else auc
        pairs = (positives + negatives) / 2 - 1
        pairs = 1 + pairs * (auc / (1 + auc) + (1 - auc) / (2 - auc))
        return distance - _SQUARED_QUANTILE * (1 - auc) * pairs / (positives * negatives)

    return float(brentq(excess, value, 1))
