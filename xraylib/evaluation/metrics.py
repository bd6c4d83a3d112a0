"""Measure how well scores separate the two classes, with confidence intervals."""

from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from xraylib.evaluation import checks, intervals

METRICS: Final = ("AUC", "accuracy", "balanced accuracy", "sensitivity", "specificity", "Brier")


def estimate(
    labels: npt.ArrayLike,
    scores: npt.ArrayLike,
    *,
    threshold: float = 0.5,
    patients: npt.ArrayLike | None = None,
    resamples: int = 2000,
    seed: int = 0,
    weights: npt.ArrayLike | None = None,
) -> pd.DataFrame:
    """Estimate every metric with its interval.

    Images of one patient are not independent. The interval is therefore the percentile bootstrap
    over patients (Field and Welsh, "Bootstrapping clustered data", JRSS B 2007): patients are drawn
    with replacement, with all their images. Resamples in which a metric is not defined, for want of
    a class, are left out of its interval.

    Without weights, the closed forms of `intervals` replace it where the AUC, accuracy,
    sensitivity or specificity is exactly 0 or 1. They count patients: taking all images of a
    patient as one makes the interval too wide rather than too narrow. Balanced accuracy and Brier
    score keep the percentiles.

    Args:
        labels, scores, threshold, patients, resamples, seed: See `xraylib.evaluation`.
        weights: Weight of each image, 0 or more, (n,), as from `weighting.weights`; None for equal
            weights. They are not computed anew in each resample.

    Returns:
        One row per metric in the order of `METRICS`, with the columns metric, value, low, high.
        AUC counts ties as half. What is not defined, such as the AUC of one class, is NaN.

    Example:
        >>> table = estimate([0, 0, 1, 1], [0.1, 0.6, 0.4, 0.9], resamples=0)
        >>> table["value"].round(3).tolist()
        [0.75, 0.5, 0.5, 0.5, 0.5, 0.185]
    """
    labels, scores = checks.labels_and_scores(labels, scores)
    patients = checks.patients(patients, len(labels))
    checks.at_least(resamples, 0, "resamples")
    image_weights = np.ones(len(labels)) if weights is None else checks.weights(weights)
    if len(image_weights) != len(labels):
        raise ValueError(f"{len(image_weights)} weights for {len(labels)} labels: give one each")
    counts = intervals.patient_weights(patients, resamples, seed)
    value = weighted_metrics(labels, scores, threshold, image_weights[np.newaxis])[0]
    resampled = weighted_metrics(labels, scores, threshold, image_weights * counts)
    if weights is None:
        low, high = bounds(value, resampled, labels, patients)
    else:
        low, high = intervals.percentiles(resampled)
    return pd.DataFrame({"metric": METRICS, "value": value, "low": low, "high": high})


def by_subtype(
    labels: npt.ArrayLike,
    scores: npt.ArrayLike,
    subtypes: npt.ArrayLike,
    *,
    patients: npt.ArrayLike | None = None,
    resamples: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Estimate how well each subtype of class 1 is separated from all of class 0.

    Args:
        labels, scores, patients, resamples, seed: See `xraylib.evaluation`.
        subtypes: str, (n,); those of class 0 do not matter. None, NaN and `""` of class 1 are a
            subtype of their own, `"unknown"`.

    Returns:
        Two rows per subtype, in alphabetical order: its AUC against all of class 0 and its
        sensitivity at .5, both as `estimate` gives them, with the columns subtype, images, patients
        (both of this subtype alone), metric, value, low, high.

    Raises:
        ValueError: There is no class 1.

    Example:
        >>> table = by_subtype([0, 1, 1], [0.5, 0.4, 0.9], ["", "virus", "bacteria"], resamples=0)
        >>> table[["subtype", "metric", "value"]].values.tolist()[2:]
        [['virus', 'AUC', 0.0], ['virus', 'sensitivity', 0.0]]
    """
    labels, scores = checks.labels_and_scores(labels, scores)
    patients = checks.patients(patients, len(labels))
    names = pd.Series(np.asarray(subtypes, dtype=object)).fillna("").replace("", "unknown")
    if len(names) != len(labels):
        raise ValueError(f"{len(names)} subtypes for {len(labels)} labels: give one each")
    if not labels.any():
        raise ValueError("there is no image of class 1, which alone has subtypes: give some")
    parts = {}
    for subtype in sorted(names[labels == 1].unique()):
        members = (labels == 1) & (names == subtype).to_numpy()
        rows = members | (labels == 0)
        arrays = labels[rows], scores[rows]
        table = estimate(*arrays, patients=patients[rows], resamples=resamples, seed=seed)
        size = members.sum(), len(pd.unique(patients[members]))
        parts[subtype, *size] = table[table["metric"].isin(["AUC", "sensitivity"])]
    keys = ["subtype", "images", "patients"]
    return pd.concat(parts, names=keys).reset_index(keys).reset_index(drop=True)


def by_group(
    labels: npt.ArrayLike,
    scores: npt.ArrayLike,
    groups: npt.ArrayLike,
    *,
    threshold: float = 0.5,
    patients: npt.ArrayLike | None = None,
    resamples: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Estimate AUC, sensitivity and specificity of each group of images for itself.

    Args:
        labels, scores, threshold, patients, resamples, seed: See `xraylib.evaluation`.
        groups: The name of each image's group, str, (n,); `""` for those of none.

    Returns:
        One row per group and metric, groups in alphabetical order, with the columns group, images,
        patients (both of the group alone), metric, value, low, high. A group of one class has no
        specificity or no sensitivity; its AUC is against all images of the other class, whatever
        their group.

    Example:
        >>> table = by_group([0, 0, 1], [0.1, 0.6, 0.4], ["a", "b", ""], resamples=0)
        >>> table[["group", "metric", "value"]].values.tolist()[:2]
        [['a', 'AUC', 1.0], ['a', 'specificity', 1.0]]
    """
    labels, scores = checks.labels_and_scores(labels, scores)
    patients = checks.patients(patients, len(labels))
    names = np.asarray(groups, dtype=object)
    if len(names) != len(labels):
        raise ValueError(f"{len(names)} groups for {len(labels)} labels: give one each")
    parts = {}
    for name in sorted(set(names) - {""}):
        own = names == name
        present = set(labels[own].tolist())
        rows = own if len(present) == 2 else own | ~np.isin(labels, list(present))
        table = estimate(
            labels[rows],
            scores[rows],
            threshold=threshold,
            patients=patients[rows],
            resamples=resamples,
            seed=seed,
        )
        wanted = ["AUC", *(["sensitivity"] * (1 in present)), *(["specificity"] * (0 in present))]
        size = int(own.sum()), len(pd.unique(patients[own]))
        parts[name, *size] = table[table["metric"].isin(wanted)]
    keys = ["group", "images", "patients"]
    if not parts:
        return pd.DataFrame(columns=[*keys, "metric", "value", "low", "high"])
    return pd.concat(parts, names=keys).reset_index(keys).reset_index(drop=True)


def best_epoch(history: pd.DataFrame) -> int:
    """Choose the epoch whose weights a training ends with, by its number from 1.

    It has the highest AUC on validation, of equal ones the lowest loss there, of equal ones again
    it is the first. `history` has the columns epoch, split, loss and auc, as from `training.fit`,
    and one epoch or more.

    Example:
        >>> validation = {"epoch": [1, 2], "split": "validation", "loss": [0.5, 0.4], "auc": 0.8}
        >>> best_epoch(pd.DataFrame(validation))
        2
    """
    validation = history[history["split"] == "validation"]
    ranked = validation.sort_values(["auc", "loss"], ascending=[False, True], kind="stable")
    return int(ranked["epoch"].iloc[0])


def bounds(
    value: np.ndarray, resampled: np.ndarray, labels: np.ndarray, patients: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Compute the low and the high bounds of all metrics, (metrics,) and (metrics,).

    They are percentiles or, where a value is exactly 0 or 1, a closed form of `intervals`.

    Args:
        value: Each metric, (metrics,), in the order of `METRICS`.
        resampled: Each metric in each resample, (resamples, metrics); none leaves all bounds NaN.
        labels, patients: See `xraylib.evaluation`.
    """
    low, high = intervals.percentiles(resampled)
    if not len(resampled):
        return low, high
    positives, negatives = (len(pd.unique(patients[labels == label])) for label in (1, 0))
    counts = {"sensitivity": positives, "specificity": negatives}
    counts["accuracy"] = len(pd.unique(patients))
    for column in np.flatnonzero(np.isin(value, (0, 1))):
        metric, edge = METRICS[column], value[column]
        if metric == "AUC":
            low[column], high[column] = intervals.newcombe_auc(edge, positives, negatives)
        elif metric in counts:
            low[column], high[column] = intervals.wilson_at_edge(edge, counts[metric])
    return low, high


def weighted_metrics(
    labels: np.ndarray, scores: np.ndarray, threshold: float, weights: np.ndarray
) -> np.ndarray:
    """Compute all metrics for many weightings of the same images at once.

    Args:
        labels, scores, threshold: See `xraylib.evaluation`.
        weights: Weight of each image, 0 or more, (rows, n).

    Returns:
        float (rows, metrics), in the order of `METRICS`; NaN where a metric is not defined.

    Example:
        >>> labels, scores = np.array([0, 1, 1]), np.array([0.2, 0.1, 0.9])
        >>> weighted_metrics(labels, scores, 0.5, np.array([[1, 1, 1], [1, 0, 1]]))[:, 0]
        array([0.5, 1. ])
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
    weight: np.ndarray = (level_positive * (below + level_negative / 2)).sum(axis=1)
    return weight
