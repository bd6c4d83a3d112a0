"""A share or an AUC, and how many it rests on -> its interval, by a formula.

Unlike resampling, these also tell the interval of what has no error at all. They take every one
that is counted for independent: of images, count the patients.
"""

import statistics
from collections.abc import Callable

import numpy as np
import pandas as pd


def wilson_share(value: float, count: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """The interval of a share (Wilson, "Probable inference", JASA 1927).

    Args:
        value: The share, in [0, 1].
        count: Of how many, 1 or more.
        confidence: Of the interval, in (0, 1).

    Returns:
        The low and the high bound, in [0, 1]. The low one of 0 is 0, the high one of 1 is 1.

    Raises:
        ValueError: A number is out of its range.
    """
    _check(value, (count,), confidence)
    squared = _squared_deviations(confidence)

    def upper(value: float) -> float:
        half = (squared * (count * value * (1 - value) + squared / 4)) ** 0.5
        return (count * value + squared / 2 + half) / (count + squared)

    return _bounds(value, upper)


def newcombe_auc(
    value: float, positives: int, negatives: int, *, confidence: float = 0.95
) -> tuple[float, float]:
    """The interval of an AUC.

    Between the bounds lie the AUCs from which the observed one is no further than a normal number
    of their own standard errors, 1.96 for .95, which holds for few of a class and for an AUC of 1
    (Newcombe, "Confidence intervals for an effect size measure based on the Mann-Whitney
    statistic, part 2", Statistics in Medicine 2006, method 5).

    Args:
        value: The AUC, in [0, 1].
        positives: How many of class 1, 1 or more.
        negatives: How many of class 0, 1 or more.
        confidence: Of the interval, in (0, 1).

    Returns:
        The low and the high bound, in [0, 1]. The low one of 0 is 0, the high one of 1 is 1.

    Raises:
        ValueError: A number is out of its range.
    """
    from scipy.optimize import brentq

    _check(value, (positives, negatives), confidence)
    squared = _squared_deviations(confidence)

    def upper(value: float) -> float:
        def excess(auc: float) -> float:
            # Of (auc - value)^2 = z^2 variance(auc), divided by auc, which leaves one root for 0.
            distance = (auc - value) ** 2 / auc if value else auc
            pairs = (positives + negatives) / 2 - 1
            pairs = 1 + pairs * (auc / (1 + auc) + (1 - auc) / (2 - auc))
            return distance - squared * (1 - auc) * pairs / (positives * negatives)

        return float(brentq(excess, value, 1))

    return _bounds(value, upper)


def _bounds(value: float, upper: Callable[[float], float]) -> tuple[float, float]:
    """Both bounds by the upper one: the lower one is that of what is not, mirrored."""
    low = 1 - upper(1 - value) if value > 0 else 0.0
    return low, upper(value) if value < 1 else 1.0


def _squared_deviations(confidence: float) -> float:
    """Between which lies that share of a normal distribution, 1.96 for .95, squared."""
    return statistics.NormalDist().inv_cdf((1 + confidence) / 2) ** 2


def _check(value: float, counts: tuple[int, ...], confidence: float) -> None:
    if not (0 <= value <= 1 and min(counts) >= 1 and 0 < confidence < 1):
        raise ValueError(
            "value must be in [0, 1], each count 1 or more, and confidence between 0 and 1. "
            f"Received: value={value}, counts={counts}, confidence={confidence}"
        )


def percentiles(drawn: np.ndarray, confidence: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """The middle of many resamples.

    Args:
        drawn: Each number in each resample, (resamples, numbers); NaN is left out.
        confidence: How much of them, in (0, 1).

    Returns:
        The low and the high bound of each, (numbers,) and (numbers,), NaN where none is defined.
    """
    low, high = np.full((2, drawn.shape[1]), np.nan)
    defined = ~np.isnan(drawn).all(axis=0)
    if defined.any():
        tail = 100 * (1 - confidence) / 2
        low[defined], high[defined] = np.nanpercentile(
            drawn[:, defined], [tail, 100 - tail], axis=0
        )
    return low, high


def patient_weights(patients: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """Draws patients with replacement, with all their images.

    Args:
        patients: Whose image each is, (n,) of anything that can be compared.
        resamples: How many draws.
        seed: Of the drawing.

    Returns:
        How often each image is in each resample, float (resamples, n).
    """
    codes = pd.factorize(np.asarray(patients))[0]
    count = codes.max() + 1
    draws = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), resamples)
    return draws[:, codes].astype(float)
