"""Test whether two classifiers differ on the same images: DeLong, McNemar, bootstrap, Holm."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from xraylib.evaluation import checks, intervals


class AucDifference(NamedTuple):
    """The result of `delong`: second - first, its interval, standard error and p-value."""

    difference: float
    low: float
    high: float
    standard_error: float
    p: float


class Discordance(NamedTuple):
    """The result of `mcnemar`: how many images only one of the two gets right, and the p-value."""

    only_first: int
    only_second: int
    p: float


def delong(
    labels: npt.ArrayLike,
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    *,
    patients: npt.ArrayLike | None = None,
) -> AucDifference:
    """Compare two AUCs measured on the same images.

    The variance is that of DeLong, DeLong and Clarke-Pearson (Biometrics 1988), by midranks (Sun
    and Xu, IEEE Signal Processing Letters 2014). With patients it is that of Obuchowski for
    clustered data (Biometrics 1997): the deviations of the images are summed within each patient
    before they are squared, and n/(n - 1) counts patients. With one image per patient the two are
    the same, and k copies of every image change nothing. Interval and p-value take the difference
    as normal. With several seeds AUCs and deviations are averaged.

    Args:
        labels, patients: See `xraylib.evaluation`; two or more patients of each class.
        first: Finite scores of class 1, (n,) or (seeds, n).
        second: The scores to compare with it, (n,) or (seeds, n); the numbers of seeds may differ.

    Returns:
        The difference second - first in [-1, 1], its interval, its standard error, and the
        two-sided p-value. Where no image contributes a difference, p is 1. Where all contribute
        the same, as between a constant and a perfect score, the estimated standard error is 0
        although the difference is not: p is then 0, the interval has no width, and neither says
        anything about certainty.

    Raises:
        ValueError: All images of a class are of one patient, or a score is not finite.

    Example:
        >>> result = delong([1, 1, 1, 0, 0], [0.9, 0.4, 0.6, 0.5, 0.1], [0.9, 0.8, 0.3, 0.5, 0.3])
        >>> round(result.difference, 3), round(result.p, 3)
        (-0.083, 0.823)
    """
    labels = checks.both_classes(labels)
    codes, _ = pd.factorize(checks.patients(patients, len(labels)))
    positive = labels == 1
    first_seeds, first_placements = _placements(positive, first, "first")
    second_seeds, second_placements = _placements(positive, second, "second")

    # Whole numbers up to the last division, so that equal scores differ by exactly 0.
    changes = first_seeds * second_placements - second_seeds * first_placements
    total = changes[positive].sum()
    scale = 2 * first_seeds * second_seeds * int(positive.sum()) * int((~positive).sum())
    difference = total / scale
    deviations, sizes = {}, {}
    for label in (1, 0):
        members = labels == label
        counts = np.bincount(codes, weights=members)
        sums = np.bincount(codes, weights=np.where(members, changes, 0))
        deviations[label] = (members.sum() * sums - counts * total) / scale / members.sum()
        sizes[label] = int((counts > 0).sum())
        if sizes[label] < 2:
            raise ValueError(
                f"all {members.sum()} images of class {label} are of one patient: the standard "
                "error needs two or more of each class"
            )
    variance = (
        _covariance(deviations[1], deviations[1], sizes[1])
        + _covariance(deviations[0], deviations[0], sizes[0])
        + 2 * _covariance(deviations[1], deviations[0], int(codes.max()) + 1)
    )
    error = max(variance, 0.0) ** 0.5
    margin = float(stats.norm.ppf(0.975)) * error
    p = 2 * float(stats.norm.sf(abs(difference) / error)) if error else float(difference == 0)
    low, high = float(difference - margin), float(difference + margin)
    return AucDifference(float(difference), low, high, error, p)


def mcnemar(labels: npt.ArrayLike, first: npt.ArrayLike, second: npt.ArrayLike) -> Discordance:
    """Test whether two decisions on the same images are right equally often.

    McNemar's test (Psychometrika 1947) in its exact form: each image that only one of the two gets
    right is equally likely to be either's. The test takes images as independent; where patients
    have several, p is too small.

    Args:
        labels: 0 or 1, (n,).
        first: Whether each image is classified as class 1, bool (n,).
        second: The decisions to compare with them, bool (n,).

    Returns:
        How many images only the first and only the second gets right, and the two-sided p-value; 1
        where there is no such image.

    Example:
        >>> mcnemar([1, 0, 0, 1], [True, False, True, False], [False, True, True, True])
        Discordance(only_first=2, only_second=1, p=1.0)
    """
    lengths = [np.size(array) for array in (labels, first, second)]
    if not lengths[0] or len(set(lengths)) > 1:
        counts = "{} labels, {} and {} decisions".format(*lengths)
        raise ValueError(f"{counts}: give one or more of each")
    truth = checks.binary(labels)
    first_right = checks.binary(first, "first") == truth
    second_right = checks.binary(second, "second") == truth
    only_first = int((first_right & ~second_right).sum())
    only_second = int((second_right & ~first_right).sum())
    discordant = only_first + only_second
    p = float(stats.binomtest(only_first, discordant, 0.5).pvalue) if discordant else 1.0
    return Discordance(only_first, only_second, p)


def bootstrap(differences: np.ndarray) -> tuple[float, float, float]:
    """Take the percentile interval and the p-value of a difference from its resamples.

    The p-value is twice the smaller share of resamples in which the difference is 0 or on the
    other side, (1 + count)/(1 + resamples) (Davison and Hinkley, Bootstrap Methods and their
    Application, 1997). It is therefore never below 2/(1 + resamples).

    Of `differences`, (resamples,), NaN is left out. The low bound, the high bound and p are NaN
    without a resample.

    Example:
        >>> bootstrap(np.ones(99))
        (1.0, 1.0, 0.02)
    """
    differences = differences[~np.isnan(differences)]
    if not len(differences):
        return np.nan, np.nan, np.nan
    (low,), (high,) = intervals.percentiles(differences[:, np.newaxis])
    other_side = min(int((differences <= 0).sum()), int((differences >= 0).sum()))
    return float(low), float(high), min(1.0, 2 * (1 + other_side) / (1 + len(differences)))


def holm(p: npt.ArrayLike) -> np.ndarray:
    """Adjust the p-values of one family for how many there are.

    Calling all with an adjusted p of at most alpha significant, the chance of one false finding or
    more is at most alpha, however the tests depend on each other (Holm, Scandinavian Journal of
    Statistics 1979).

    The p-values are in [0, 1], (n,), before and after. NaN is no test, does not count, and stays.

    Raises:
        ValueError: A p-value is out of [0, 1].

    Example:
        >>> holm([0.01, 0.04, 0.02]).round(2).tolist()
        [0.03, 0.04, 0.04]
    """
    p = np.asarray(p, dtype=float).ravel()
    tests = np.flatnonzero(~np.isnan(p))
    checks.in_unit_interval(p[tests], "p")
    order = tests[np.argsort(p[tests])]
    adjusted = np.full(len(p), np.nan)
    adjusted[order] = np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)).clip(max=1)
    return adjusted


def _placements(positive: np.ndarray, scores: npt.ArrayLike, name: str) -> tuple[int, np.ndarray]:
    """The number of seeds, and each image's placement value, summed over the seeds, float (n,).

    It counts the images of the other class on the right side, ties half. Doubled it is whole.
    """
    scores = np.atleast_2d(np.asarray(scores, dtype=float))
    if scores.ndim != 2 or not len(scores) or scores.shape[1] != len(positive):
        raise ValueError(
            f"{name} must be ({len(positive)},) or (seeds, {len(positive)}), as the labels are. "
            f"Received: {scores.shape}"
        )
    if wrong := int((~np.isfinite(scores)).sum()):
        raise ValueError(f"{wrong} of {scores.size} scores of {name} are not finite")
    below = stats.rankdata(scores, axis=1)
    for members in (positive, ~positive):
        below[:, members] -= stats.rankdata(scores[:, members], axis=1)
    placements = np.where(positive, below, positive.sum() - below)
    return len(scores), 2 * placements.sum(axis=0)


def _covariance(one: np.ndarray, other: np.ndarray, patients: int) -> float:
    return float(one @ other) * patients / (patients - 1)
