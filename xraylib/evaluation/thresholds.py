"""Choose a threshold on validation, and measure what it reaches."""

from enum import StrEnum
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from xraylib.evaluation import checks, intervals, metrics

_RATES: Final = ["sensitivity", "specificity"]


class Rule(StrEnum):
    """How a threshold is chosen. Tables and records hold the value, a plain string.

    Attributes:
        HALF: .5, whatever the scores.
        BEST_ON_VALIDATION: That of the highest balanced accuracy on validation.
        SENSITIVE_ON_VALIDATION: The highest that still reaches a sensitivity on validation.
        ORACLE: That of the highest balanced accuracy on test: for comparison, not for use.

    Example:
        >>> Rule("validation") is Rule.BEST_ON_VALIDATION, Rule.HALF == "0.5"
        (True, True)
    """

    HALF = "0.5"
    BEST_ON_VALIDATION = "validation"
    SENSITIVE_ON_VALIDATION = "sensitive"
    ORACLE = "oracle"


def summary(predictions: pd.DataFrame, *, resamples: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Measure validation and test at .5 and at the best threshold of validation.

    Returns:
        One row per split, rule and metric, with the columns split, rule (`Rule.HALF` or
        `Rule.BEST_ON_VALIDATION`), threshold, metric, value, low, high, as of `metrics.estimate`.

    Raises:
        ValueError: Validation lacks a class.
    """
    rows_of = checks.splits(predictions)
    best = best_threshold(rows_of["validation"]["label"], rows_of["validation"]["score"])
    parts = {}
    for split in ("validation", "test"):
        rows = rows_of[split]
        arrays, patients = (rows["label"], rows["score"]), rows["patient"]
        for rule, threshold in ((Rule.HALF, 0.5), (Rule.BEST_ON_VALIDATION, best)):
            parts[split, rule.value, threshold] = metrics.estimate(
                *arrays, threshold=threshold, patients=patients, resamples=resamples, seed=seed
            )
    keys = ["split", "rule", "threshold"]
    return pd.concat(parts, names=keys).reset_index(keys).reset_index(drop=True)


def operating_points(
    predictions: pd.DataFrame,
    *,
    prevalence: float,
    sensitivity: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Measure test at the threshold of every `Rule`, with PPV and NPV.

    PPV and NPV depend on prevalence, which in a test set is whatever its collectors chose. They
    are therefore computed by Bayes' theorem from sensitivity, specificity and a prevalence to be
    given (Altman and Bland, BMJ 1994). The intervals take the thresholds as fixed: they say what
    one threshold reaches on other patients, not how well it was chosen.

    Args:
        predictions, resamples, seed: See `xraylib.evaluation`.
        prevalence: The prevalence of class 1 for PPV and NPV, in (0, 1).
        sensitivity: The least sensitivity on validation that `Rule.SENSITIVE_ON_VALIDATION` asks
            for, in (0, 1].

    Returns:
        One row per rule and metric on test, with the columns rule (a value of `Rule`), description
        (the rule for readers), threshold, metric, value, low, high. A value is NaN where it is not
        defined, as PPV where no image is classified as class 1. The intervals are those of
        `metrics.estimate`; at a PPV or NPV of exactly 0 or 1 they combine the bounds of sensitivity
        and specificity, which is wider than 95 %.

    Raises:
        ValueError: A split lacks a class, or a number is out of its range.
    """
    rows_of = checks.splits(predictions)
    checks.fraction(prevalence, "prevalence")
    labels, scores = checks.labels_and_scores(rows_of["test"]["label"], rows_of["test"]["score"])
    patients = checks.patients(rows_of["test"]["patient"], len(labels))
    validation = rows_of["validation"]["label"], rows_of["validation"]["score"]
    sensitive = sensitive_threshold(*validation, sensitivity=sensitivity)
    target = f"{sensitivity:g}".removeprefix("0")
    best = best_threshold(*validation)
    rules = (
        (Rule.HALF, ".5", 0.5),
        (Rule.BEST_ON_VALIDATION, "validation, best balanced accuracy", best),
        (Rule.SENSITIVE_ON_VALIDATION, f"validation, sensitivity >= {target}", sensitive),
        (Rule.ORACLE, "oracle on test, not to be used", best_threshold(labels, scores)),
    )
    weights = intervals.patient_weights(patients, resamples, seed)
    parts = {}
    for rule, description, threshold in rules:
        table = metrics.estimate(
            labels, scores, threshold=threshold, patients=patients, resamples=resamples, seed=seed
        ).set_index("metric")
        resampled = metrics.weighted_metrics(labels, scores, threshold, weights)
        resampled_rates = resampled[:, [metrics.METRICS.index(name) for name in _RATES]]
        predictive = _predictive(table.loc[_RATES], resampled_rates, prevalence)
        counted = table.loc[[*_RATES, "balanced accuracy", "accuracy"]].reset_index()
        parts[rule.value, description, threshold] = pd.concat([counted, predictive])
    keys = ["rule", "description", "threshold"]
    return pd.concat(parts, names=keys).reset_index(keys).reset_index(drop=True)


def best_threshold(labels: npt.ArrayLike, scores: npt.ArrayLike) -> float:
    """Find the threshold of the highest balanced accuracy. Use validation data only.

    It lies in [0, 1], midway between two scores; among equally good ones it is the nearest to .5.

    Raises:
        ValueError: A class is missing.

    Example:
        >>> best_threshold([0, 0, 1, 1], [0.125, 0.25, 0.5, 0.75])
        0.375
    """
    labels, scores = checks.labels_and_scores(labels, scores, both_for="a threshold")
    candidates = _candidates(scores)
    positive, negative = np.sort(scores[labels == 1]), np.sort(scores[labels == 0])
    sensitivity = 1 - np.searchsorted(positive, candidates) / len(positive)
    specificity = np.searchsorted(negative, candidates) / len(negative)
    balanced = (sensitivity + specificity) / 2
    best = candidates[np.isclose(balanced, balanced.max(), rtol=0, atol=1e-12)]
    return float(best[np.argmin(np.abs(best - 0.5))])


def sensitive_threshold(
    labels: npt.ArrayLike, scores: npt.ArrayLike, *, sensitivity: float = 0.95
) -> float:
    """Find the highest threshold that reaches a sensitivity. Use validation data only.

    At least a share of `sensitivity`, in (0, 1], of class 1 scores at or above the threshold, which
    lies in [0, 1], midway between the lowest score at or above it and the next one below.

    Raises:
        ValueError: There is no class 1, or `sensitivity` is out of its range.

    Example:
        >>> sensitive_threshold([0, 1, 0, 1], [0.125, 0.25, 0.5, 0.75], sensitivity=0.5)
        0.625
    """
    labels, scores = checks.labels_and_scores(labels, scores)
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


def _predictive(rates: pd.DataFrame, resampled: np.ndarray, prevalence: float) -> pd.DataFrame:
    """PPV and NPV with their intervals, from `_RATES` and their resamples, (resamples, 2)."""
    value, lowest, highest = (
        _predictive_values(rates[column].to_numpy(), prevalence)
        for column in ("value", "low", "high")
    )
    low, high = intervals.percentiles(_predictive_values(resampled, prevalence))
    edge = np.isin(value, (0, 1))
    low, high = np.where(edge, lowest, low), np.where(edge, highest, high)
    return pd.DataFrame({"metric": ["PPV", "NPV"], "value": value, "low": low, "high": high})


def _predictive_values(rates: np.ndarray, prevalence: float) -> np.ndarray:
    """PPV and NPV of sensitivity and specificity, both (..., 2); NaN where neither is defined."""
    sensitivity, specificity = rates[..., 0], rates[..., 1]
    true_positive, false_negative = sensitivity * prevalence, (1 - sensitivity) * prevalence
    true_negative = specificity * (1 - prevalence)
    false_positive = (1 - specificity) * (1 - prevalence)
    with np.errstate(invalid="ignore"):
        ppv = true_positive / (true_positive + false_positive)
        return np.stack([ppv, true_negative / (true_negative + false_negative)], axis=-1)
