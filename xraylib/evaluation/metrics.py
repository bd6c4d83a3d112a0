"""Labels and scores -> metrics with intervals, and thresholds.

Images of one patient are not independent, so that intervals come from resampling patients.
"""

import functools
from typing import Final

import numpy as np
import pandas as pd

from xraylib.evaluation import checks, intervals

THRESHOLD_METRICS: Final = ("accuracy", "balanced accuracy", "sensitivity", "specificity")
METRICS: Final = ("AUC", *THRESHOLD_METRICS, "Brier")


def metrics(
    labels: np.ndarray,
    scores: np.ndarray,
    *,
    threshold: float = 0.5,
    patients: np.ndarray | None = None,
    resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
    weights: np.ndarray | None = None,
) -> pd.DataFrame:
    """How well scores tell the classes apart, each number with its interval.

    The interval is the percentile bootstrap over patients (Field and Welsh, "Bootstrapping
    clustered data", JRSS B 2007): patients are drawn with replacement, with all their images.
    Resamples in which a metric is not defined, for want of a class, are left out of its interval.

    Without weights, an AUC, accuracy, sensitivity or specificity of exactly 0 or 1 gets another
    interval, for resampling what has no error never shows one. Of a proportion it is Wilson's
    (JASA 1927), of the AUC Newcombe's score interval (Statistics in Medicine 2006, part 2,
    method 5). Both count patients, not images: this takes all images of a patient for one, which
    makes the interval wide rather than narrow. Balanced accuracy and Brier keep the percentiles.

    Args:
        labels: 0 or 1, (n,).
        scores: Of class 1, in [0, 1], (n,).
        threshold: A score of at least this is called class 1.
        patients: Whose image each is, (n,) of anything that can be compared; None where each is
            a patient's only one.
        resamples: How many; 0 leaves the interval undefined.
        confidence: Of the interval, in (0, 1).
        seed: Of the resampling.
        weights: How much each image counts, 0 or more, (n,), as `weighting.weights` gives them;
            None for all alike. The interval takes them as given: they are not found anew in each
            resample.

    Returns:
        One row a metric in the order of `METRICS`, with the columns metric, value, low, high. AUC
        counts ties as half. What is not defined, such as the AUC of one class, is NaN.

    Raises:
        ValueError: The arrays differ in length, are empty, or hold something else than above.
    """
    labels, scores = checks.labels_and_scores(labels, scores)
    patients = checks.patients(patients, len(labels))
    if resamples < 0 or not 0 < confidence < 1:
        raise ValueError(
            "resamples must be 0 or more and confidence between 0 and 1. "
            f"Received: resamples={resamples}, confidence={confidence}"
        )
    if weights is not None:
        weights = checks.weights(weights)
        if len(weights) != len(labels):
            raise ValueError(f"{len(weights)} weights for {len(labels)} labels: give one each")
    counts = intervals.patient_weights(patients, resamples, seed)
    return estimates(labels, scores, threshold, patients, counts, confidence, weights)[0]


def by_subtype(
    labels: np.ndarray,
    scores: np.ndarray,
    subtypes: np.ndarray,
    *,
    patients: np.ndarray | None = None,
    threshold: float = 0.5,
    resamples: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """How well each kind of class 1 is told from all of class 0.

    Args:
        labels: 0 or 1, (n,), with a 1.
        scores: As for `metrics`.
        subtypes: str, the kind of each image, (n,), as `index.patient_of` tells it. Those of
            class 0 do not count. None, NaN and `""` of class 1 are one more kind, `"unknown"`.
        patients: As for `metrics`.
        threshold: As for `metrics`.
        resamples: As for `metrics`.
        seed: As for `metrics`.

    Returns:
        Two rows a kind, in the order of their names: its AUC, against all of class 0, and its
        sensitivity, as `metrics` counts them, in the columns subtype, images, patients (both of
        this kind alone), metric, value, low, high.

    Raises:
        ValueError: As for `metrics`, there are not as many subtypes as labels, or no class 1.
    """
    labels, scores = checks.labels_and_scores(labels, scores)
    patients = checks.patients(patients, len(labels))
    if len(subtypes) != len(labels):
        raise ValueError(f"{len(subtypes)} subtypes for {len(labels)} labels: give one each")
    if not labels.any():
        raise ValueError("there is no image of class 1, which alone has subtypes: give some")
    kinds = pd.Series(np.asarray(subtypes, dtype=object)).fillna("").replace("", "unknown")
    parts = []
    for kind in sorted(kinds[labels == 1].unique()):
        of_kind = (labels == 1) & (kinds == kind).to_numpy()
        rows = of_kind | (labels == 0)
        part = metrics(
            labels[rows],
            scores[rows],
            threshold=threshold,
            patients=patients[rows],
            resamples=resamples,
            seed=seed,
        )
        part = part[part["metric"].isin(["AUC", "sensitivity"])]
        part.insert(0, "subtype", kind)
        part.insert(1, "images", of_kind.sum())
        part.insert(2, "patients", len(pd.unique(patients[of_kind])))
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def estimates(
    labels: np.ndarray,
    scores: np.ndarray,
    threshold: float,
    patients: np.ndarray,
    counts: np.ndarray,
    confidence: float = 0.95,
    weights: np.ndarray | None = None,
) -> tuple[pd.DataFrame, np.ndarray]:
    """What `metrics` returns, and each metric in each resample, whose `counts` are given."""
    given = np.ones(len(labels)) if weights is None else weights
    value = weighted_metrics(labels, scores, threshold, given[np.newaxis])[0]
    drawn = weighted_metrics(labels, scores, threshold, given * counts)
    low, high = intervals.percentiles(drawn, confidence)
    if len(counts) and weights is None:
        low, high = widened(value, low, high, labels, patients, confidence)
    return pd.DataFrame({"metric": METRICS, "value": value, "low": low, "high": high}), drawn


def widened(
    value: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    labels: np.ndarray,
    patients: np.ndarray,
    confidence: float,
) -> tuple[np.ndarray, np.ndarray]:
    """The bounds of all metrics, with other ones of those that have no error or no success."""
    ill, well = (len(pd.unique(patients[labels == label])) for label in (1, 0))
    of_share = intervals.wilson_share
    interval_of = {
        "AUC": functools.partial(intervals.newcombe_auc, positives=ill, negatives=well),
        "accuracy": functools.partial(of_share, count=len(pd.unique(patients))),
        "sensitivity": functools.partial(of_share, count=ill),
        "specificity": functools.partial(of_share, count=well),
    }
    low, high = low.copy(), high.copy()
    for name, interval in interval_of.items():
        column = METRICS.index(name)
        if value[column] in (0, 1):
            low[column], high[column] = interval(value[column], confidence=confidence)
    return low, high


def weighted_metrics(
    labels: np.ndarray, scores: np.ndarray, threshold: float, weights: np.ndarray
) -> np.ndarray:
    """All metrics for many weightings of the same images at once.

    Args:
        labels: 0 or 1, int (n,).
        scores: Of class 1, in [0, 1], (n,).
        threshold: A score of at least this is called class 1.
        weights: Of each image, 0 or more, (rows, n).

    Returns:
        (rows, metrics), in the order of `METRICS`; NaN where one is not defined.
    """
    positive, called = labels == 1, scores >= threshold
    right = (positive == called).astype(float)
    with np.errstate(invalid="ignore", divide="ignore"):
        positives = weights @ positive.astype(float)
        negatives = weights @ (~positive).astype(float)
        sensitivity = weights @ (positive & called).astype(float) / positives
        specificity = weights @ (~positive & ~called).astype(float) / negatives
        columns = {
            "AUC": _weighted_auc(positive, scores, weights) / (positives * negatives),
            "accuracy": weights @ right / weights.sum(axis=1),
            "balanced accuracy": (sensitivity + specificity) / 2,
            "sensitivity": sensitivity,
            "specificity": specificity,
            "Brier": weights @ (scores - labels) ** 2 / weights.sum(axis=1),
        }
    return np.column_stack([columns[name] for name in METRICS])


def _weighted_auc(positive: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weight of the pairs in the right order, ties half, for each row of weights, (rows,)."""
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.diff(scores[order], prepend=-1.0))
    sorted_weights = weights[:, order]
    level_positive = np.add.reduceat(sorted_weights * positive[order], starts, axis=1)
    level_negative = np.add.reduceat(sorted_weights * ~positive[order], starts, axis=1)
    below = np.cumsum(level_negative, axis=1) - level_negative
    return (level_positive * (below + level_negative / 2)).sum(axis=1)
