"""Compute confidence intervals: bootstrap over patients, and closed forms for values without error.

Resampling images that are all classified correctly never shows an error. The closed forms do, for
a proportion (Wilson) and an AUC (Newcombe). They take all that is counted for independent: where
patients have several images, count the patients.
"""

import statistics

import numpy as np
import numpy.typing as npt
import pandas as pd

from xraylib.evaluation import checks


def patient_weights(patients: npt.ArrayLike, resamples: int, seed: int) -> np.ndarray:
    """Draw patients with replacement, each with all images (the cluster bootstrap).

    Args:
        patients: The patient of each image, (n,), of any type that can be compared.
        resamples: Number of draws.
        seed: Random seed.

    Returns:
        How often each image is in each resample, float (resamples, n).

    Example:
        >>> patient_weights(["a", "a", "b"], resamples=3, seed=0).tolist()
        [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0], [0.0, 0.0, 2.0]]
    """
    codes = pd.factorize(np.asarray(patients))[0]
    count = codes.max() + 1
    draws = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), resamples)
    return draws[:, codes].astype(float)


def percentiles(resampled: np.ndarray, confidence: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """The percentile interval of each number from its resamples.

    Args:
        resampled: Each number in each resample, (resamples, numbers); NaN is left out.
        confidence: Of the intervals, in (0, 1).

    Returns:
        The low and the high bounds, (numbers,) and (numbers,), NaN where a number is not defined
        in any resample.

    Example:
        >>> low, high = percentiles(np.arange(101.0)[:, np.newaxis], confidence=0.9)
        >>> print(low, high)
        [5.] [95.]
    """
    low, high = np.full((2, resampled.shape[1]), np.nan)
    defined = ~np.isnan(resampled).all(axis=0)
    if defined.any():
        tail = 100 * (1 - confidence) / 2
        low[defined], high[defined] = np.nanpercentile(
            resampled[:, defined], [tail, 100 - tail], axis=0
        )
    return low, high


def proportion(
    successes: npt.ArrayLike, patients: np.ndarray, *, resamples: int, seed: int
) -> tuple[float, float, float]:
    """A proportion of images with its 95 % percentile interval over patients.

    Args:
        successes: 0 or 1, (n,).
        patients: The patient of each image, (n,).
        resamples: Of patients; 0 leaves the interval undefined.
        seed: Random seed.

    Returns:
        The proportion and the bounds of its interval, which at exactly 0 and 1 is that of
        `wilson_at_edge`, counting patients. NaN where there is none.

    Example:
        >>> proportion([1, 1, 0, 0], np.array(list("abab")), resamples=100, seed=0)
        (0.5, 0.5, 0.5)
    """
    successes = checks.binary(successes, "successes")
    value = float(successes.mean())
    if resamples and value in (0, 1):
        return value, *wilson_at_edge(value, len(pd.unique(patients)))
    weights = patient_weights(patients, resamples, seed)
    low, high = percentiles((weights @ successes / weights.sum(axis=1))[:, np.newaxis])
    return value, float(low[0]), float(high[0])


def wilson_at_edge(value: float, count: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's interval of a proportion that is exactly 0 or 1 ("Probable inference", JASA 1927).

    With z the normal quantile, 1.96 for 95 %, it reaches z^2 / (count + z^2) into the range.

    Args:
        value: 0 or 1.
        count: Number of trials, 1 or more.
        confidence: Of the interval, in (0, 1).

    Returns:
        The low and the high bound, in [0, 1].

    Raises:
        ValueError: A number is out of its range.

    Example:
        >>> [round(bound, 3) for bound in wilson_at_edge(1, 20)]
        [0.839, 1.0]
    """
    if value not in (0, 1):
        raise ValueError(f"value must be 0 or 1. Received: {value}")
    squared = _squared_quantile(confidence)
    width = squared / (checks.at_least(count, 1, "count") + squared)
    return (1 - width, 1.0) if value else (0.0, width)


def newcombe_auc(
    value: float, positives: int, negatives: int, *, confidence: float = 0.95
) -> tuple[float, float]:
    """The score interval of an AUC, which also holds for small classes and at an AUC of 0 or 1.

    It holds the AUCs that are within a normal quantile of their own standard errors (1.96 for
    95 %) of the observed one (Newcombe, "Confidence intervals for an effect size measure based on
    the Mann-Whitney statistic, part 2", Statistics in Medicine 2006, method 5).

    Args:
        value: The AUC, in [0, 1].
        positives: Number of class 1, 1 or more.
        negatives: Number of class 0, 1 or more.
        confidence: Of the interval, in (0, 1).

    Returns:
        The low and the high bound, in [0, 1]. The low bound of 0 is 0, the high bound of 1 is 1.

    Raises:
        ValueError: A number is out of its range.

    Example:
        >>> [round(bound, 3) for bound in newcombe_auc(1, 5, 5)]
        [0.643, 1.0]
    """
    checks.in_unit_interval(value, "value")
    checks.at_least(positives, 1, "positives")
    checks.at_least(negatives, 1, "negatives")
    squared = _squared_quantile(confidence)
    # By symmetry, low(value) = 1 - high(1 - value).
    low = 1 - _newcombe_high(1 - value, positives, negatives, squared) if value > 0 else 0.0
    return low, _newcombe_high(value, positives, negatives, squared) if value < 1 else 1.0


def _newcombe_high(value: float, positives: int, negatives: int, squared: float) -> float:
    from scipy.optimize import brentq

    def excess(auc: float) -> float:
        # Of (auc - value)^2 = z^2 variance(auc), divided by auc, which leaves one root for 0.
        distance = (auc - value) ** 2 / auc if value else auc
        pairs = (positives + negatives) / 2 - 1
        pairs = 1 + pairs * (auc / (1 + auc) + (1 - auc) / (2 - auc))
        return distance - squared * (1 - auc) * pairs / (positives * negatives)

    return float(brentq(excess, value, 1))


def _squared_quantile(confidence: float) -> float:
    """The squared two-sided normal quantile: 1.96^2 for 95 %."""
    upper = (1 + checks.fraction(confidence, "confidence")) / 2
    return float(statistics.NormalDist().inv_cdf(upper) ** 2)
