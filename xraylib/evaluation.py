"""Labels and scores -> metrics with intervals, and thresholds.

Images of one patient are not independent, so that intervals come from resampling patients.
"""

from typing import Final

import numpy as np
import pandas as pd

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

    Args:
        labels: 0 or 1, (n,).
        scores: Of class 1, in [0, 1], (n,).
        threshold: A score of at least this is called class 1.
        patients: Whose image each is, (n,) of anything that can be compared; None where each is
            a patient's only one.
        resamples: How many; 0 leaves the interval undefined.
        confidence: Of the interval, in (0, 1).
        seed: Of the resampling.
        weights: How much each image counts, 0 or more, (n,), as `matched_weights` gives them;
            None for all alike. The interval takes them as given: they are not found anew in each
            resample.

    Returns:
        One row a metric in the order of `METRICS`, with the columns metric, value, low, high. AUC
        counts ties as half. What is not defined, such as the AUC of one class, is NaN.

    Raises:
        ValueError: The arrays differ in length, are empty, or hold something else than above.
    """
    labels, scores = _checked(labels, scores)
    if patients is None:
        patients = np.arange(len(labels))
    if len(patients) != len(labels):
        raise ValueError(f"{len(patients)} patients for {len(labels)} labels: give one each")
    if missing := int(pd.Series(patients).isna().sum()):
        raise ValueError(f"{missing} of {len(labels)} images have no patient: give one each")
    if resamples < 0 or not 0 < confidence < 1:
        raise ValueError(
            "resamples must be 0 or more and confidence between 0 and 1. "
            f"Received: resamples={resamples}, confidence={confidence}"
        )
    weights = np.ones(len(labels)) if weights is None else _checked_weights(weights)
    if len(weights) != len(labels):
        raise ValueError(f"{len(weights)} weights for {len(labels)} labels: give one each")
    value = weighted_metrics(labels, scores, threshold, weights[np.newaxis])[0]
    low = high = np.full(len(METRICS), np.nan)
    if resamples:
        drawn = weighted_metrics(
            labels, scores, threshold, weights * patient_weights(patients, resamples, seed)
        )
        tail = 100 * (1 - confidence) / 2
        defined = ~np.isnan(drawn).all(axis=0)
        low, high = np.full((2, len(METRICS)), np.nan)
        low[defined], high[defined] = np.nanpercentile(
            drawn[:, defined], [tail, 100 - tail], axis=0
        )
    return pd.DataFrame({"metric": METRICS, "value": value, "low": low, "high": high})


def summary(predictions: pd.DataFrame, *, resamples: int = 2000, seed: int = 0) -> pd.DataFrame:
    """The metrics of validation and test, at .5 and at the threshold chosen on validation.

    Args:
        predictions: One row an image, with the columns split (`"validation"`, `"test"`), label,
            score and patient, as for `metrics`.
        resamples: As for `metrics`.
        seed: As for `metrics`.

    Returns:
        The columns split, rule (`"0.5"` or `"validation"`), threshold, metric, value, low, high.

    Raises:
        ValueError: As for `metrics`, or there is no validation or no test.
    """
    splits = dict(list(predictions.groupby("split")))
    for split in ("validation", "test"):
        if split not in splits:
            raise ValueError(f"no predictions of {split}: there are {sorted(splits)}")
    chosen = best_threshold(splits["validation"]["label"], splits["validation"]["score"])
    parts = []
    for split in ("validation", "test"):
        for rule, threshold in (("0.5", 0.5), ("validation", chosen)):
            rows = splits[split]
            part = metrics(
                rows["label"].to_numpy(),
                rows["score"].to_numpy(),
                threshold=threshold,
                patients=rows["patient"].to_numpy(),
                resamples=resamples,
                seed=seed,
            )
            part.insert(0, "split", split)
            part.insert(1, "rule", rule)
            part.insert(2, "threshold", threshold)
            parts.append(part)
    return pd.concat(parts, ignore_index=True)


def best_threshold(labels: np.ndarray, scores: np.ndarray) -> float:
    """The threshold of the highest balanced accuracy; to be asked of validation, never of test.

    Args:
        labels: 0 or 1, (n,), both present.
        scores: Of class 1, in [0, 1], (n,).

    Returns:
        A number in [0, 1], midway between two scores; of equally good ones the nearest to .5.

    Raises:
        ValueError: As for `metrics`, or one class is missing.
    """
    labels, scores = _checked(labels, scores)
    if labels.min() == labels.max():
        raise ValueError(f"a threshold needs both classes: all labels are {labels[0]}")
    levels = np.unique(scores)
    candidates = np.concatenate([[0.0], (levels[1:] + levels[:-1]) / 2, [1.0]])
    positive, negative = np.sort(scores[labels == 1]), np.sort(scores[labels == 0])
    sensitivity = 1 - np.searchsorted(positive, candidates) / len(positive)
    specificity = np.searchsorted(negative, candidates) / len(negative)
    balanced = (sensitivity + specificity) / 2
    best = candidates[np.isclose(balanced, balanced.max(), rtol=0, atol=1e-12)]
    return float(best[np.argmin(np.abs(best - 0.5))])


def matched_weights(
    labels: np.ndarray, values: np.ndarray, *, bins: int | None = None
) -> np.ndarray:
    """Weights of images under which a number no longer tells the classes apart.

    What scores tell about the classes under these weights (`metrics`) they do not owe to that
    number, say width/height of the file. The images are binned by the rank of `values`, equal ones
    together (coarsened exact matching: Iacus, King and Porro, Political Analysis 2012). In each
    bin both classes get the same share of their weight, in proportion to the smaller one of their
    shares (matching weights: Li and Greene, International Journal of Biostatistics 2013), so that
    a bin of one class only gets 0.

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
    weights = _checked_weights(weights)
    return float(weights.sum() ** 2 / (weights**2).sum())


def _checked_weights(weights: np.ndarray) -> np.ndarray:
    weights = np.asarray(weights, dtype=float).ravel()
    if wrong := weights[~(np.isfinite(weights) & (weights >= 0))].tolist():
        raise ValueError(
            f"weights must be finite and 0 or more; {len(wrong)} are not. Received: {wrong[:5]}"
        )
    if not weights.any():
        raise ValueError(f"none of {len(weights)} weights is above 0: give one that is")
    return weights


def _checked(labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    labels, scores = np.asarray(labels).ravel(), np.asarray(scores, dtype=float).ravel()
    if not len(labels) or len(labels) != len(scores):
        raise ValueError(f"{len(labels)} labels and {len(scores)} scores: give one or more of each")
    if not np.isin(labels, (0, 1)).all():
        raise ValueError(f"labels must be 0 or 1. Received: {np.unique(labels)[:5].tolist()}")
    if not (np.isfinite(scores).all() and scores.min() >= 0 and scores.max() <= 1):
        wrong = scores[~((scores >= 0) & (scores <= 1))]
        raise ValueError(
            f"scores must be in [0, 1]; {len(wrong)} are not. Received: {wrong[:5].tolist()}"
        )
    return labels.astype(int), scores


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
