"""Labels and scores -> metrics with intervals, and thresholds.

Images of one patient are not independent, so that intervals come from resampling patients.
"""

import functools
from typing import Final

import numpy as np
import pandas as pd

from xraylib import intervals

THRESHOLD_METRICS: Final = ("accuracy", "balanced accuracy", "sensitivity", "specificity")
METRICS: Final = ("AUC", *THRESHOLD_METRICS, "Brier")
_OPERATING_METRICS: Final = ("sensitivity", "specificity", "balanced accuracy", "accuracy")


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
        weights: How much each image counts, 0 or more, (n,), as `matching.weights` gives them;
            None for all alike. The interval takes them as given: they are not found anew in each
            resample.

    Returns:
        One row a metric in the order of `METRICS`, with the columns metric, value, low, high. AUC
        counts ties as half. What is not defined, such as the AUC of one class, is NaN.

    Raises:
        ValueError: The arrays differ in length, are empty, or hold something else than above.
    """
    labels, scores = _checked(labels, scores)
    patients = _checked_patients(patients, len(labels))
    if resamples < 0 or not 0 < confidence < 1:
        raise ValueError(
            "resamples must be 0 or more and confidence between 0 and 1. "
            f"Received: resamples={resamples}, confidence={confidence}"
        )
    if weights is not None:
        weights = _checked_weights(weights)
        if len(weights) != len(labels):
            raise ValueError(f"{len(weights)} weights for {len(labels)} labels: give one each")
    counts = patient_weights(patients, resamples, seed)
    return _estimates(labels, scores, threshold, patients, counts, confidence, weights)[0]


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
    splits = _splits(predictions)
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


def operating_points(
    predictions: pd.DataFrame,
    *,
    prevalence: float,
    sensitivity: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """What each way of choosing a threshold costs and gains on test.

    A share of right calls among the positive ones depends on how many of those who are asked are
    ill, which in a test split is the choice of whoever collected it. PPV and NPV therefore come
    by Bayes' theorem from sensitivity, specificity and a prevalence that is given (Altman and
    Bland, BMJ 1994). The intervals take the thresholds as given: they say what one threshold
    reaches on other patients, not how well it was chosen.

    Args:
        predictions: As for `summary`.
        prevalence: The share of class 1 for which PPV and NPV are wanted, in (0, 1).
        sensitivity: What the third rule asks of validation, in (0, 1].
        resamples: As for `metrics`.
        seed: As for `metrics`.

    Returns:
        The columns rule, threshold, metric, value, low, high, of the split test. The last rule
        takes the threshold from the labels of test and is the most that any choice could have
        reached; it is there to be compared with, and not to be used. A value is NaN where it is
        not defined, as PPV where nobody is called. The intervals are those of `metrics`; at a PPV
        or NPV of exactly 0 or 1 they combine the bounds of sensitivity and specificity, which is
        wider than 95 %.

    Raises:
        ValueError: As for `summary`, a split lacks a class, or a number is out of its range.
    """
    splits = _splits(predictions)
    prevalence = _checked_prevalence(prevalence)
    labels, scores = _checked(splits["test"]["label"], splits["test"]["score"])
    patients = _checked_patients(splits["test"]["patient"], len(labels))
    known = splits["validation"]["label"], splits["validation"]["score"]
    asked = f"{sensitivity:g}".removeprefix("0")
    thresholds = {
        ".5": 0.5,
        "validation, best balanced accuracy": best_threshold(*known),
        f"validation, sensitivity >= {asked}": sensitive_threshold(*known, sensitivity=sensitivity),
        "oracle on test, not to be used": best_threshold(labels, scores),
    }
    counts = patient_weights(patients, resamples, seed)
    rates = ["sensitivity", "specificity"]
    parts = []
    for rule, threshold in thresholds.items():
        table, drawn = _estimates(labels, scores, threshold, patients, counts)
        counted = table.set_index("metric")
        drawn_rates = drawn[:, [METRICS.index(name) for name in rates]]
        value, lowest, highest = (
            _predictive_values(counted.loc[rates, column].to_numpy(), prevalence)
            for column in ("value", "low", "high")
        )
        low, high = percentiles(_predictive_values(drawn_rates, prevalence))
        edge = np.isin(value, (0, 1))
        predictive = pd.DataFrame(
            {
                "value": value,
                "low": np.where(edge, lowest, low),
                "high": np.where(edge, highest, high),
            },
            index=pd.Index(["PPV", "NPV"], name="metric"),
        )
        part = pd.concat([counted.loc[list(_OPERATING_METRICS)], predictive]).reset_index()
        part.insert(0, "rule", rule)
        part.insert(1, "threshold", threshold)
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


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
    labels, scores = _checked(labels, scores)
    patients = _checked_patients(patients, len(labels))
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
    candidates = _candidates(scores)
    positive, negative = np.sort(scores[labels == 1]), np.sort(scores[labels == 0])
    sensitivity = 1 - np.searchsorted(positive, candidates) / len(positive)
    specificity = np.searchsorted(negative, candidates) / len(negative)
    balanced = (sensitivity + specificity) / 2
    best = candidates[np.isclose(balanced, balanced.max(), rtol=0, atol=1e-12)]
    return float(best[np.argmin(np.abs(best - 0.5))])


def sensitive_threshold(
    labels: np.ndarray, scores: np.ndarray, *, sensitivity: float = 0.95
) -> float:
    """The highest threshold that still finds so many of class 1; to be asked of validation.

    Args:
        labels: 0 or 1, (n,), with a 1.
        scores: Of class 1, in [0, 1], (n,).
        sensitivity: The least share of class 1 to be called so, in (0, 1].

    Returns:
        A number in [0, 1], midway between the lowest score that is called and the next one below.

    Raises:
        ValueError: As for `metrics`, there is no class 1, or `sensitivity` is out of range.
    """
    labels, scores = _checked(labels, scores)
    if not 0 < sensitivity <= 1:
        raise ValueError(f"sensitivity must be above 0 and at most 1. Received: {sensitivity}")
    if not labels.any():
        raise ValueError(f"sensitivity needs images of class 1: all {len(labels)} labels are 0")
    candidates = _candidates(scores)
    positive = np.sort(scores[labels == 1])
    missed = np.searchsorted(positive, candidates)
    # 19 of 20 are .95, whatever the last bit says.
    enough = len(positive) - missed >= sensitivity * len(positive) - 1e-9
    return float(candidates[enough].max())


def _candidates(scores: np.ndarray) -> np.ndarray:
    """Every threshold that makes a difference, ascending, between the scores."""
    levels = np.unique(scores)
    return np.concatenate([[0.0], (levels[1:] + levels[:-1]) / 2, [1.0]])


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


def _checked_patients(patients: np.ndarray | None, images: int) -> np.ndarray:
    if patients is None:
        return np.arange(images)
    if len(patients) != images:
        raise ValueError(f"{len(patients)} patients for {images} labels: give one each")
    if missing := int(pd.Series(patients).isna().sum()):
        raise ValueError(f"{missing} of {images} images have no patient: give one each")
    return np.asarray(patients)


def _checked_prevalence(prevalence: float) -> float:
    if not 0 < prevalence < 1:
        raise ValueError(f"prevalence must be between 0 and 1. Received: {prevalence}")
    return prevalence


def _splits(predictions: pd.DataFrame) -> dict[str, pd.DataFrame]:
    splits = {str(name): rows for name, rows in predictions.groupby("split")}
    for split in ("validation", "test"):
        if split not in splits:
            raise ValueError(f"no predictions of {split}: there are {sorted(splits)}")
    return splits


def _estimates(
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
    low, high = percentiles(drawn, confidence)
    if len(counts) and weights is None:
        low, high = _widened(value, low, high, labels, patients, confidence)
    return pd.DataFrame({"metric": METRICS, "value": value, "low": low, "high": high}), drawn


def _predictive_values(rates: np.ndarray, prevalence: float) -> np.ndarray:
    """Sensitivity and specificity -> PPV and NPV, both (..., 2), NaN where nobody is called so."""
    sensitivity, specificity = rates[..., 0], rates[..., 1]
    found, missed = sensitivity * prevalence, (1 - sensitivity) * prevalence
    cleared, alarmed = specificity * (1 - prevalence), (1 - specificity) * (1 - prevalence)
    with np.errstate(invalid="ignore"):
        return np.stack([found / (found + alarmed), cleared / (cleared + missed)], axis=-1)


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


def _widened(
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
