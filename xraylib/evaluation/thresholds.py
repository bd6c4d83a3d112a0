"""A threshold chosen on validation, and what is reached at it."""

from enum import StrEnum
from typing import Final

import numpy as np
import pandas as pd

from xraylib.evaluation import checks, intervals, metrics

_OPERATING_METRICS: Final = ("sensitivity", "specificity", "balanced accuracy", "accuracy")


class Rule(StrEnum):
    """How a threshold is chosen. Tables and records hold the value, a plain string.

    Example:
        >>> Rule("validation").name
        'BEST_ON_VALIDATION'
    """

    HALF = "0.5"
    BEST_ON_VALIDATION = "validation"
    SENSITIVE_ON_VALIDATION = "sensitive"
    ORACLE = "oracle"


def summary(predictions: pd.DataFrame, *, resamples: int = 2000, seed: int = 0) -> pd.DataFrame:
    """The metrics of validation and test, at .5 and at the threshold chosen on validation.

    Args:
        predictions: One row an image, with the columns split (`"validation"`, `"test"`), label,
            score and patient, as for `metrics`.
        resamples: As for `metrics`.
        seed: As for `metrics`.

    Returns:
        The columns split, rule (`Rule.HALF` or `Rule.BEST_ON_VALIDATION`), threshold, metric,
        value, low, high.

    Raises:
        ValueError: As for `metrics`, or there is no validation or no test.
    """
    splits = checks.splits(predictions)
    chosen = best_threshold(splits["validation"]["label"], splits["validation"]["score"])
    parts = []
    for split in ("validation", "test"):
        for rule, threshold in ((Rule.HALF, 0.5), (Rule.BEST_ON_VALIDATION, chosen)):
            rows = splits[split]
            part = metrics.metrics(
                rows["label"].to_numpy(),
                rows["score"].to_numpy(),
                threshold=threshold,
                patients=rows["patient"].to_numpy(),
                resamples=resamples,
                seed=seed,
            )
            part.insert(0, "split", split)
            part.insert(1, "rule", rule.value)
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
        One row a rule and metric on test, with the columns rule (a value of `Rule`), description
        (the rule for readers), threshold, metric, value, low, high. `Rule.ORACLE` takes the
        threshold from the labels of test and is the most that any choice could have reached; it
        is there to be compared with, and not to be used. A value is NaN where it is
        not defined, as PPV where nobody is called. The intervals are those of `metrics`; at a PPV
        or NPV of exactly 0 or 1 they combine the bounds of sensitivity and specificity, which is
        wider than 95 %.

    Raises:
        ValueError: As for `summary`, a split lacks a class, or a number is out of its range.
    """
    splits = checks.splits(predictions)
    prevalence = checks.prevalence(prevalence)
    labels, scores = checks.labels_and_scores(splits["test"]["label"], splits["test"]["score"])
    patients = checks.patients(splits["test"]["patient"], len(labels))
    known = splits["validation"]["label"], splits["validation"]["score"]
    sensitive = sensitive_threshold(*known, sensitivity=sensitivity)
    target = f"{sensitivity:g}".removeprefix("0")
    best = best_threshold(*known)
    rules = (
        (Rule.HALF, ".5", 0.5),
        (Rule.BEST_ON_VALIDATION, "validation, best balanced accuracy", best),
        (Rule.SENSITIVE_ON_VALIDATION, f"validation, sensitivity >= {target}", sensitive),
        (Rule.ORACLE, "oracle on test, not to be used", best_threshold(labels, scores)),
    )
    counts = intervals.patient_weights(patients, resamples, seed)
    rates = ["sensitivity", "specificity"]
    parts = []
    for rule, description, threshold in rules:
        table, drawn = metrics.estimates(labels, scores, threshold, patients, counts)
        counted = table.set_index("metric")
        drawn_rates = drawn[:, [metrics.METRICS.index(name) for name in rates]]
        value, lowest, highest = (
            _predictive_values(counted.loc[rates, column].to_numpy(), prevalence)
            for column in ("value", "low", "high")
        )
        low, high = intervals.percentiles(_predictive_values(drawn_rates, prevalence))
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
        part.insert(0, "rule", rule.value)
        part.insert(1, "description", description)
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
    labels, scores = checks.labels_and_scores(labels, scores)
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


def _predictive_values(rates: np.ndarray, prevalence: float) -> np.ndarray:
    """Sensitivity and specificity -> PPV and NPV, both (..., 2), NaN where nobody is called so."""
    sensitivity, specificity = rates[..., 0], rates[..., 1]
    found, missed = sensitivity * prevalence, (1 - sensitivity) * prevalence
    cleared, alarmed = specificity * (1 - prevalence), (1 - specificity) * (1 - prevalence)
    with np.errstate(invalid="ignore"):
        return np.stack([found / (found + alarmed), cleared / (cleared + missed)], axis=-1)
