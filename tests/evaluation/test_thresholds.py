import numpy as np
import pandas as pd
import pytest
from support.predictions import predicted

from xraylib.evaluation import metrics
from xraylib.evaluation.thresholds import (
    Rule,
    best_threshold,
    operating_points,
    sensitive_threshold,
    summary,
)

LABELS = np.array([0, 0, 1, 1, 1, 0])
SCORES = np.array([0.1, 0.6, 0.5, 0.4, 0.9, 0.5])
VALIDATION = predicted([0, 1], [0.2, 0.8], split="validation")


def reached(metric, labels, scores, threshold):
    table = metrics.estimate(labels, scores, threshold=threshold, resamples=0)
    return table.set_index("metric").loc[metric, "value"]


@pytest.fixture
def predictions():
    return pd.concat(
        [
            predicted([0, 1], [0.5, 0.5], split="train"),
            predicted(LABELS, SCORES),
            predicted([0, 0, 1, 1], [0.1, 0.7, 0.8, 0.9], split="validation"),
        ]
    )


def test_the_values_of_rules_are_those_in_the_records():
    # Changing one leaves every stored record.json unread.
    assert [Rule.HALF.value, Rule.BEST_ON_VALIDATION.value] == ["0.5", "validation"]


# ------------------------------------------------------------------ best_threshold


@pytest.mark.parametrize(
    ("labels", "scores", "expected"),
    [
        ([0, 0, 1, 1], [0.1, 0.3, 0.4, 0.8], 0.35),  # midway, where all is right
        ([0, 0, 0, 1], [0.1, 0.2, 0.9, 0.9], 0.55),  # a tie at .9: 2 of 3 and 1 of 1
        ([0, 1, 0, 1], [0.1, 0.2, 0.7, 0.9], 0.8),  # .15 is as good, and further from .5
        ([0, 1, 0, 1], [0.3, 0.4, 0.7, 0.9], 0.35),  # .8 is as good, and further from .5
        ([1, 0], [0.2, 0.8], 0.0),  # nothing is better than calling all the same
    ],
)
def test_best_threshold_by_hand(labels, scores, expected):
    assert best_threshold(np.array(labels), np.array(scores)) == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(5))
def test_no_threshold_is_better_as_metrics_counts(seed):
    rng = np.random.default_rng(seed)
    labels, scores = np.arange(15) % 2, rng.integers(0, 8, 15) / 7
    levels = np.unique(scores)
    best = max(reached("balanced accuracy", labels, scores, level) for level in levels)
    chosen = best_threshold(labels, scores)
    assert reached("balanced accuracy", labels, scores, chosen) == pytest.approx(max(best, 0.5))


# ------------------------------------------------------------------ sensitive_threshold


@pytest.mark.parametrize(
    ("sensitivity", "expected"),
    [
        (1, 0.15),  # the lowest of class 1 is .2, the next score below .1
        (0.75, 0.35),  # below .4 comes .3, of class 0
        (0.7, 0.35),
        (0.5, 0.6),  # of the two at .7
        (0.25, 0.6),  # a tie cannot be cut
        (0.01, 0.6),
    ],
)
def test_sensitive_threshold_by_hand(sensitivity, expected):
    labels, scores = [0, 1, 0, 1, 0, 1, 1], [0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 0.7]
    result = sensitive_threshold(np.array(labels), np.array(scores), sensitivity=sensitivity)
    assert result == pytest.approx(expected)
    assert reached("sensitivity", labels, scores, result) >= sensitivity


def test_19_of_20_are_95_percent():
    scores = np.linspace(0.05, 1, 20)
    assert sensitive_threshold(np.ones(20), scores) == pytest.approx(0.075)


def test_all_at_1_and_none_above():
    assert sensitive_threshold(np.array([1, 1, 0]), np.array([1.0, 1.0, 0.2])) == 1
    # Nothing lies below a constant, which therefore is called.
    assert sensitive_threshold(np.array([1, 0]), np.array([0.3, 0.3])) == 0


def test_sensitive_threshold_needs_class_1():
    with pytest.raises(ValueError, match="needs images of class 1: all 2 labels are 0"):
        sensitive_threshold(np.zeros(2), np.array([0.1, 0.9]))


@pytest.mark.parametrize("sensitivity", [0, -0.1, 1.01, np.nan])
def test_sensitivity_out_of_range(sensitivity):
    with pytest.raises(ValueError, match=f"above 0 and at most 1. Received: {sensitivity}"):
        sensitive_threshold(LABELS, SCORES, sensitivity=sensitivity)


# ------------------------------------------------------------------ summary


def test_summary_has_both_splits_at_both_thresholds(predictions):
    table = summary(predictions, resamples=10)
    assert list(table) == ["split", "rule", "threshold", "metric", "value", "low", "high"]
    assert table["metric"].tolist() == 4 * list(metrics.METRICS)
    assert table[["split", "rule", "threshold"]].drop_duplicates().values.tolist() == [
        ["validation", "0.5", 0.5],
        ["validation", "validation", 0.75],
        ["test", "0.5", 0.5],
        ["test", "validation", 0.75],
    ]


def test_summary_by_hand(predictions):
    table = summary(predictions, resamples=10).set_index(["split", "rule", "metric"])["value"]
    assert table["validation", "0.5", "specificity"] == 1 / 2
    assert table["validation", "validation", "specificity"] == 1
    assert table["test", "0.5", "sensitivity"] == pytest.approx(2 / 3)
    assert table["test", "validation", "sensitivity"] == pytest.approx(1 / 3)
    assert table["test", "0.5", "AUC"] == table["test", "validation", "AUC"]


def test_summary_draws_patients(predictions):
    table = summary(predictions, resamples=100, seed=5)
    test = predictions[predictions["split"] == "test"]
    expected = metrics.estimate(LABELS, SCORES, patients=test["patient"], resamples=100, seed=5)
    result = table[(table["split"] == "test") & (table["rule"] == "0.5")]
    pd.testing.assert_frame_equal(result[list(expected)].reset_index(drop=True), expected)


def test_test_has_no_say_in_the_threshold(predictions):
    other = predictions.copy()
    other.loc[other["split"] == "test", "score"] = [0.9, 0.8, 0.3, 0.2, 0.1, 0.7]
    thresholds = [summary(table, resamples=0)["threshold"] for table in (predictions, other)]
    assert thresholds[0].tolist() == thresholds[1].tolist()


# ------------------------------------------------------------------ operating_points


def test_rules_and_thresholds_by_hand(predictions):
    table = operating_points(predictions, prevalence=0.2, sensitivity=0.5, resamples=10)
    assert list(table) == ["rule", "description", "threshold", "metric", "value", "low", "high"]
    keys = ["rule", "description", "threshold"]
    assert table[keys].drop_duplicates().values.tolist() == [
        [Rule.HALF, ".5", 0.5],
        [Rule.BEST_ON_VALIDATION, "validation, best balanced accuracy", 0.75],
        [Rule.SENSITIVE_ON_VALIDATION, "validation, sensitivity >= .5", pytest.approx(0.85)],
        [Rule.ORACLE, "oracle on test, not to be used", 0.25],
    ]
    rates = ["sensitivity", "specificity", "balanced accuracy", "accuracy"]
    assert table["metric"].tolist() == 4 * [*rates, "PPV", "NPV"]


def test_operating_points_by_hand(predictions):
    table = operating_points(predictions, prevalence=0.2, resamples=10)
    result = table.set_index(["rule", "metric"])["value"]
    # Two of three of class 1 and one of three of class 0 are right; of 100 patients 20 are ill.
    assert result["0.5"].to_dict() == pytest.approx(
        {
            "sensitivity": 2 / 3,
            "specificity": 1 / 3,
            "balanced accuracy": 1 / 2,
            "accuracy": 1 / 2,
            "PPV": (20 * 2 / 3) / (20 * 2 / 3 + 80 * 2 / 3),
            "NPV": (80 / 3) / (80 / 3 + 20 / 3),
        }
    )
    # At .75 one of three of class 1 and all of class 0.
    at_chosen = result["validation"]
    assert at_chosen[["PPV", "NPV"]].tolist() == pytest.approx([1, 80 / (80 + 20 * 2 / 3)])
    # At .25 all of class 1 and one of three of class 0.
    at_oracle = result["oracle"]
    assert at_oracle[["PPV", "NPV"]].tolist() == pytest.approx([20 / (20 + 80 * 2 / 3), 1])


def test_operating_points_have_the_intervals_of_metrics(predictions):
    table = operating_points(predictions, prevalence=0.2, resamples=100, seed=5)
    test = predictions[predictions["split"] == "test"]
    expected = metrics.estimate(LABELS, SCORES, patients=test["patient"], resamples=100, seed=5)
    expected = expected.set_index("metric")
    result = table[table["rule"] == "0.5"].set_index("metric").loc["sensitivity":"accuracy"]
    pd.testing.assert_frame_equal(result[list(expected)], expected.loc[result.index])


def test_interval_of_ppv_is_that_of_drawn_patients():
    # Only patient a has a false alarm: it is not drawn in a quarter of the resamples, with a PPV
    # of 1, drawn once in half, and drawn twice in a quarter, where class 1 is missing.
    test = predicted([0, 0, 1, 0], [0.9, 0.1, 0.9, 0.1])
    table = operating_points(pd.concat([test, VALIDATION]), prevalence=0.5)
    result = table.set_index(["rule", "metric"]).loc[("0.5", "PPV")]
    # Sensitivity 1 and specificity 2/3 in all and in what is drawn once.
    assert result[["value", "low", "high"]].tolist() == pytest.approx([3 / 4, 3 / 4, 1])


def test_a_perfect_ppv_has_an_interval():
    test = predicted([0] * 6 + [1] * 4, [0.1] * 6 + [0.9] * 4)
    table = operating_points(pd.concat([test, VALIDATION]), prevalence=0.1, resamples=200)
    result = table.set_index(["rule", "metric"]).xs("0.5")
    # Three patients of class 0 and two of class 1.
    specificity, sensitivity = 3 / 6.8415, 2 / 5.8415
    ppv = 0.1 * sensitivity / (0.1 * sensitivity + 0.9 * (1 - specificity))
    npv = 0.9 * specificity / (0.9 * specificity + 0.1 * (1 - sensitivity))
    assert result.loc["PPV", ["value", "low", "high"]].tolist() == pytest.approx([1, ppv, 1], 1e-4)
    assert result.loc["NPV", ["value", "low", "high"]].tolist() == pytest.approx([1, npv, 1], 1e-4)


def test_a_ppv_of_0_has_an_interval():
    test = predicted([0] * 6 + [1] * 4, [0.9] * 6 + [0.1] * 4)
    table = operating_points(pd.concat([test, VALIDATION]), prevalence=0.1, resamples=200)
    result = table.set_index(["rule", "metric"]).loc[("0.5", "PPV")]
    specificity, sensitivity = 3.8415 / 6.8415, 3.8415 / 5.8415
    ppv = 0.1 * sensitivity / (0.1 * sensitivity + 0.9 * (1 - specificity))
    assert result[["value", "low", "high"]].tolist() == pytest.approx([0, 0, ppv], 1e-4)


def test_nobody_called_leaves_ppv_undefined():
    test = predicted([0, 0, 1, 1], [0.1, 0.2, 0.3, 0.4])
    table = operating_points(pd.concat([test, VALIDATION]), prevalence=0.3, resamples=20)
    result = table.set_index(["rule", "metric"])[["value", "low", "high"]].xs("0.5")
    assert result.loc["PPV"].isna().all()
    # Nobody is cleared by more than chance.
    assert result.loc["NPV", "value"] == pytest.approx(0.7)


@pytest.mark.parametrize("split", ["validation", "test"])
def test_splits_and_classes_that_are_missing(predictions, split):
    other = predictions["split"] != split
    for function in (summary, lambda table: operating_points(table, prevalence=0.2)):
        with pytest.raises(ValueError, match=f"no predictions of {split}"):
            function(predictions[other])
    with pytest.raises(ValueError, match="a threshold needs both classes: all labels are 1"):
        operating_points(predictions[other | (predictions["label"] == 1)], prevalence=0.2)


def test_prevalence_out_of_range(predictions):
    with pytest.raises(ValueError, match=r"prevalence must be between 0 and 1\. Received: 20"):
        operating_points(predictions, prevalence=20)
