import warnings

import hypothesis
import numpy as np
import pandas as pd
import pytest
from hypothesis import strategies

from xraylib.evaluation import weighting
from xraylib.evaluation.metrics import METRICS, by_subtype, estimate
from xraylib.evaluation.thresholds import (
    best_threshold,
    operating_points,
    sensitive_threshold,
    summary,
)

LABELS = np.array([0, 0, 1, 1, 1, 0])
SCORES = np.array([0.1, 0.6, 0.5, 0.4, 0.9, 0.5])


def values(labels, scores, **more):
    table = estimate(labels, scores, resamples=0, **more)
    return dict(zip(table["metric"], table["value"], strict=True))


def interval(metric, labels, scores, **more):
    return (
        estimate(labels, scores, **more).set_index("metric").loc[metric, ["low", "high"]].tolist()
    )


@pytest.fixture(autouse=True)
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


# ------------------------------------------------------------------ values


def test_one_row_a_metric_in_a_fixed_order():
    table = estimate(LABELS, SCORES, resamples=10)
    assert list(table) == ["metric", "value", "low", "high"]
    assert tuple(table["metric"]) == METRICS


def test_every_metric_by_hand():
    # At .5 two of the three of class 1 are found and one of the three of class 0.
    assert values(LABELS, SCORES) == pytest.approx(
        {
            "AUC": (1.5 + 1 + 3) / 9,
            "accuracy": 3 / 6,
            "balanced accuracy": (2 / 3 + 1 / 3) / 2,
            "sensitivity": 2 / 3,
            "specificity": 1 / 3,
            "Brier": (0.01 + 0.36 + 0.25 + 0.36 + 0.01 + 0.25) / 6,
        }
    )


def test_another_threshold_by_hand():
    # At .55 one of three and two of three; what counts no threshold stays.
    assert values(LABELS, SCORES, threshold=0.55) == pytest.approx(
        {
            "AUC": 5.5 / 9,
            "accuracy": 3 / 6,
            "balanced accuracy": 1 / 2,
            "sensitivity": 1 / 3,
            "specificity": 2 / 3,
            "Brier": 1.24 / 6,
        }
    )


def test_balanced_accuracy_is_not_accuracy():
    found = values([1, 1, 1, 0], [0.9, 0.9, 0.9, 0.9])
    assert (found["accuracy"], found["balanced accuracy"]) == (0.75, 0.5)


def test_a_score_at_the_threshold_is_called_class_1():
    assert values([1, 0], [0.7, 0.2], threshold=0.7)["sensitivity"] == 1


def test_perfect():
    assert values([0, 0, 1], [0, 0, 1]) == dict.fromkeys(METRICS, 1) | {"Brier": 0}


def test_worst():
    assert values([0, 0, 1], [1, 1, 0]) == dict.fromkeys(METRICS, 0) | {"Brier": 1}


def test_constant():
    found = values([0, 0, 0, 1], [0.5] * 4)
    assert found == {
        "AUC": 0.5,
        "accuracy": 0.25,
        "balanced accuracy": 0.5,
        "sensitivity": 1,
        "specificity": 0,
        "Brier": 0.25,
    }


@pytest.mark.parametrize(("label", "defined"), [(1, "sensitivity"), (0, "specificity")])
def test_one_class_leaves_undefined_what_needs_two(label, defined):
    table = estimate([label] * 3, [0.2, 0.6, 0.9], resamples=20).set_index("metric")
    undefined = {"AUC", "balanced accuracy", "sensitivity", "specificity"} - {defined}
    assert set(table.index[table["value"].isna()]) == undefined
    assert set(table.index[table["low"].isna()]) == undefined
    assert set(table.index[table["high"].isna()]) == undefined


@hypothesis.given(strategies.data())
@hypothesis.settings(max_examples=1000, deadline=None, derandomize=True, database=None)
def test_auc_is_that_of_scikit_learn(data):
    from sklearn.metrics import roc_auc_score

    # Few levels make many ties.
    levels = data.draw(strategies.sampled_from([1, 2, 5, 1000]))
    level = strategies.lists(strategies.integers(0, levels), min_size=1, max_size=15)
    negative, positive = data.draw(level), data.draw(level)
    labels = np.repeat([0, 1], [len(negative), len(positive)])
    scores = np.array(negative + positive) / levels
    expected = roc_auc_score(labels, scores)
    assert values(labels, scores)["AUC"] == pytest.approx(expected, abs=1e-12)


def test_true_and_false_are_labels():
    assert values(LABELS == 1, SCORES) == values(LABELS, SCORES)


def test_columns_of_a_table_do_as_arrays():
    table = pd.DataFrame({"label": LABELS, "score": SCORES, "patient": list("aabbcc")})[::-1]
    by_column = estimate(table["label"], table["score"], patients=table["patient"], resamples=50)
    by_array = estimate(LABELS[::-1], SCORES[::-1], patients=list("ccbbaa"), resamples=50)
    pd.testing.assert_frame_equal(by_column, by_array)


# ------------------------------------------------------------------ intervals


def test_no_resamples_no_interval():
    assert estimate(LABELS, SCORES, resamples=0)[["low", "high"]].isna().all(axis=None)


def test_one_patient_is_always_drawn():
    table = estimate(LABELS, SCORES, patients=["a"] * 6, resamples=20)
    assert table["low"].tolist() == table["value"].tolist() == table["high"].tolist()


def test_two_patients_by_hand():
    # All of a is right, nothing of b: a quarter of the resamples has 0, half .5, a quarter 1.
    labels, scores, patients = [1, 0, 1, 0], [0.9, 0.1, 0.1, 0.9], list("aabb")
    assert interval("accuracy", labels, scores, patients=patients) == [0, 1]
    assert interval("accuracy", labels, scores, patients=patients, confidence=0.4) == [0.5, 0.5]


def test_a_resample_without_a_class_is_left_out():
    # b has no image of class 1 and is drawn alone in a quarter of the resamples.
    labels, scores, patients = [1, 1, 0], [0.9, 0.1, 0.1], list("aab")
    assert interval("sensitivity", labels, scores, patients=patients) == [0.5, 0.5]


def test_copies_of_a_patient_do_not_narrow_the_interval():
    rng = np.random.default_rng(0)
    labels = np.arange(40) % 2
    scores = np.clip(0.3 * labels + rng.uniform(0, 0.7, 40), 0, 1)
    low, high = interval("AUC", labels, scores)
    copied = [np.repeat(each, 9) for each in (labels, scores, np.arange(40))]
    assert interval("AUC", *copied[:2], patients=copied[2]) == [low, high]
    low_of_images, high_of_images = interval("AUC", *copied[:2])
    # Nine times the images: a third of the width.
    assert (high_of_images - low_of_images) / (high - low) == pytest.approx(1 / 3, rel=0.15)


def test_the_interval_is_that_of_a_plain_bootstrap():
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(1)
    patients = rng.integers(0, 30, 90)
    labels = patients % 2
    scores = np.clip(0.2 * labels + rng.uniform(0, 0.8, 90), 0, 1)
    drawn = []
    for _ in range(1000):
        rows = np.concatenate([np.flatnonzero(patients == p) for p in rng.integers(0, 30, 30)])
        drawn.append(roc_auc_score(labels[rows], scores[rows]))
    expected = np.percentile(drawn, [5, 95])
    found = interval("AUC", labels, scores, patients=patients, confidence=0.9)
    assert found == pytest.approx(expected, abs=0.02)


def test_more_confidence_is_wider():
    narrow = interval("AUC", LABELS, SCORES, confidence=0.5)
    wide = interval("AUC", LABELS, SCORES, confidence=0.9)
    assert wide[0] < narrow[0] < narrow[1] < wide[1]


def test_the_interval_depends_on_the_seed_alone():
    rng = np.random.default_rng(0)
    labels, scores = np.arange(60) % 2, rng.uniform(0, 1, 60)
    first = estimate(labels, scores, seed=3, resamples=100)
    np.random.seed(7)  # whoever else draws does not matter
    pd.testing.assert_frame_equal(estimate(labels, scores, seed=3, resamples=100), first)
    assert (estimate(labels, scores, seed=4, resamples=100)["low"] != first["low"]).all()


# ------------------------------------------------------------------ at 0 and at 1

# Ten images of five patients of class 1, four of two patients of class 0.
PATIENTS = np.repeat(np.arange(7), 2)
EDGE_LABELS = np.repeat([1, 0], [10, 4])


@pytest.mark.parametrize(
    ("metric", "patients"), [("accuracy", 7), ("sensitivity", 5), ("specificity", 2)]
)
def test_perfect_shares_have_wilsons_interval_of_the_patients(metric, patients):
    from scipy.stats import binomtest

    expected = binomtest(patients, patients).proportion_ci(method="wilson")
    found = interval(metric, EDGE_LABELS, EDGE_LABELS, patients=PATIENTS, resamples=20)
    assert found == pytest.approx([expected.low, 1])
    # n / (n + 1.96^2)
    assert found[0] == pytest.approx(patients / (patients + 3.8415), abs=1e-4)


@pytest.mark.parametrize("metric", ["AUC", "accuracy", "sensitivity", "specificity"])
def test_worst_mirrors_perfect(metric):
    low, high = interval(metric, EDGE_LABELS, EDGE_LABELS, patients=PATIENTS, resamples=20)
    found = interval(metric, EDGE_LABELS, 1 - EDGE_LABELS, patients=PATIENTS, resamples=20)
    assert found == pytest.approx([1 - high, 1 - low])


def test_interval_of_a_perfect_auc_by_hand():
    # (1 - a)^2 = 1.96^2 a (1 - a) (1 + 4 (a / (1 + a) + (1 - a) / (2 - a))) / 25 at a = .6428,
    # of five patients and five, however many images they have.
    labels, patients = np.repeat([0, 1], 15), np.repeat(np.arange(10), 3)
    assert interval("AUC", labels, labels, patients=patients) == pytest.approx(
        [0.6428, 1], abs=1e-4
    )


def test_interval_of_a_perfect_auc_is_about_that_of_one_nearly_so():
    labels = np.repeat([0, 1], 100)
    scores = np.concatenate([np.linspace(0.1, 0.4, 100), np.linspace(0.38, 0.9, 100)])
    nearly, perfect = interval("AUC", labels, scores), interval("AUC", labels, labels)
    assert perfect[0] < nearly[0] < 1
    assert perfect[0] == pytest.approx(nearly[0], abs=0.03)


def test_more_confidence_is_wider_at_1():
    (wide, _), (narrow, _) = (
        interval("AUC", EDGE_LABELS, EDGE_LABELS, confidence=each) for each in (0.99, 0.5)
    )
    assert wide < narrow < 1


def test_others_and_weighted_ones_keep_their_percentiles():
    assert interval("balanced accuracy", EDGE_LABELS, EDGE_LABELS) == [1, 1]
    assert interval("Brier", EDGE_LABELS, EDGE_LABELS) == [0, 0]
    assert interval("sensitivity", EDGE_LABELS, EDGE_LABELS, weights=np.ones(14)) == [1, 1]


def test_constant_scores_have_error_free_halves():
    found = estimate(EDGE_LABELS, [0.5] * 14, patients=PATIENTS, resamples=50).set_index("metric")
    assert found.loc["sensitivity", ["low", "high"]].tolist() == pytest.approx(
        [5 / 8.8415, 1], 1e-4
    )
    assert found.loc["specificity", ["low", "high"]].tolist() == pytest.approx(
        [0, 3.8415 / 5.8415], 1e-4
    )
    assert found.loc["AUC", ["low", "high"]].tolist() == [0.5, 0.5]


def test_one_class_all_right():
    found = estimate([1] * 3, [0.9] * 3, resamples=20).set_index("metric")
    assert found.loc[["accuracy", "sensitivity"], "low"].tolist() == pytest.approx(
        [3 / 6.8415] * 2, 1e-4
    )
    assert found.loc[["AUC", "specificity"], ["low", "high"]].isna().all(axis=None)


# ------------------------------------------------------------------ coverage


def clustered(rng):
    """150 patients of one to four images each, whose latent scores share a part of their chance.

    All pairs of the two classes are of two patients, so that the true AUC is that of two normal
    distributions 1.5 apart, and at their middle the true sensitivity is normal as well.
    """
    patients = np.repeat(np.arange(150), rng.integers(1, 5, 150))
    labels = rng.integers(0, 2, 150)[patients]
    shared, own = rng.normal(size=150)[patients], rng.normal(size=len(patients))
    latent = 1.5 * (labels - 0.5) + 0.6**0.5 * shared + 0.4**0.5 * own
    return labels, 1 / (1 + np.exp(-latent)), patients


def coverage(samples, *, by_patient):
    from scipy.stats import norm

    truth = pd.Series({"AUC": norm.cdf(1.5 / 2**0.5), "sensitivity": norm.cdf(0.75)})
    rng, held = np.random.default_rng(0), 0
    for sample in range(samples):
        labels, scores, patients = clustered(rng)
        found = estimate(
            labels,
            scores,
            patients=patients if by_patient else None,
            resamples=400,
            seed=sample,
        ).set_index("metric")
        held = held + found["low"][truth.index].le(truth) * found["high"][truth.index].ge(truth)
    return held / samples


def test_nineteen_of_twenty_intervals_hold_the_truth():
    assert coverage(1000, by_patient=True).between(0.93, 0.97).all()


def test_intervals_of_images_hold_it_too_seldom():
    assert (coverage(200, by_patient=False) < 0.9).all()


# ------------------------------------------------------------------ weights


def test_weights_by_hand():
    # Of class 1 the score .9 counts 2, of class 0 the score .6 nothing and .1 counts 3.
    found = values(LABELS, SCORES, weights=np.array([3, 0, 1, 1, 2, 1]))
    assert found == pytest.approx(
        {
            "AUC": (1 * 3.5 + 1 * 3 + 2 * 4) / (4 * 4),
            "accuracy": 6 / 8,
            "balanced accuracy": (3 / 4 + 3 / 4) / 2,
            "sensitivity": 3 / 4,
            "specificity": 3 / 4,
            "Brier": (3 * 0.01 + 0.25 + 0.36 + 2 * 0.01 + 0.25) / 8,
        }
    )


def test_an_image_of_weight_2_is_an_image_twice():
    weights = np.array([1, 2, 1, 3, 1, 2])
    patients = np.array(list("abcdef"))
    copied = [np.repeat(each, weights) for each in (LABELS, SCORES, patients)]
    pd.testing.assert_frame_equal(
        estimate(LABELS, SCORES, patients=patients, weights=weights, resamples=200),
        estimate(*copied[:2], patients=copied[2], resamples=200),
    )


def test_equal_weights_change_nothing():
    plain = estimate(LABELS, SCORES, resamples=200)
    pd.testing.assert_frame_equal(
        estimate(LABELS, SCORES, weights=np.full(6, 0.25), resamples=200), plain
    )


def test_a_class_of_no_weight_is_as_one_that_is_not_there():
    found = estimate(LABELS, SCORES, weights=1 - LABELS, resamples=20).set_index("metric")["value"]
    assert found[["AUC", "balanced accuracy", "sensitivity"]].isna().all()
    assert found["specificity"] == pytest.approx(1 / 3)


def test_weights_of_another_length():
    with pytest.raises(ValueError, match="5 weights for 6 labels: give one each"):
        estimate(LABELS, SCORES, weights=np.ones(5))


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ([1, -1, np.nan], r"0 or more; 2 are not\. Received: \[-1\.0, nan\]"),
        ([1, 1, np.inf], r"0 or more; 1 are not\. Received: \[inf\]"),
        ([0, 0, 0], "none of 3 weights is above 0"),
        ([], "none of 0 weights is above 0"),
    ],
)
def test_what_are_no_weights(weights, said):
    with pytest.raises(ValueError, match=said):
        weighting.effective_size(np.array(weights))
    with pytest.raises(ValueError, match=said):
        estimate([0, 1, 1], [0.1, 0.2, 0.3], weights=np.array(weights))


# ------------------------------------------------------------------ errors


@pytest.mark.parametrize(
    ("labels", "scores", "said"),
    [
        ([0, 1], [0.1, np.nan], r"scores must be in \[0, 1\]; 1 are not. Received: \[nan\]"),
        ([0, 1], [0.1, np.inf], r"scores must be in \[0, 1\]; 1 are not. Received: \[inf\]"),
        ([0, 1], [0.1, 1.01], r"scores must be in \[0, 1\]; 1 are not. Received: \[1.01\]"),
        ([0, 1], [-0.1, 7.0], r"scores must be in \[0, 1\]; 2 are not. Received: \[-0.1, 7.0\]"),
        ([0, 2], [0.1, 0.2], r"labels must be 0 or 1. Received: \[0, 2\]"),
        ([0, np.nan], [0.1, 0.2], r"labels must be 0 or 1. Received: \[0.0, nan\]"),
        ([0, 1, 1], [0.1, 0.2], "3 labels and 2 scores: give one or more of each"),
        ([], [], "0 labels and 0 scores: give one or more of each"),
    ],
)
@pytest.mark.parametrize("function", [estimate, best_threshold, sensitive_threshold])
def test_what_are_no_labels_and_scores(function, labels, scores, said):
    with pytest.raises(ValueError, match=said):
        function(np.array(labels), np.array(scores))


def test_patients_of_another_length():
    with pytest.raises(ValueError, match="5 patients for 6 labels: give one each"):
        estimate(LABELS, SCORES, patients=list("abcde"))


@pytest.mark.parametrize("missing", [None, np.nan])
def test_an_image_without_a_patient(missing):
    with pytest.raises(ValueError, match="1 of 6 images have no patient"):
        estimate(LABELS, SCORES, patients=["a", "b", "c", "d", "e", missing])


@pytest.mark.parametrize("wrong", [{"confidence": 0}, {"confidence": 1}, {"confidence": 95}])
def test_confidence_out_of_range(wrong):
    with pytest.raises(ValueError, match=f"between 0 and 1. Received: {wrong['confidence']}"):
        estimate(LABELS, SCORES, **wrong)


def test_resamples_below_0():
    with pytest.raises(ValueError, match=r"resamples must be 0 or more\. Received: -1"):
        estimate(LABELS, SCORES, resamples=-1)


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


@pytest.mark.parametrize("seed", range(10))
def test_no_threshold_is_better_as_metrics_counts(seed):
    rng = np.random.default_rng(seed)
    labels, scores = np.arange(15) % 2, rng.integers(0, 8, 15) / 7

    def balanced(threshold):
        return values(labels, scores, threshold=threshold)["balanced accuracy"]

    best = max(balanced(threshold) for threshold in scores)
    assert balanced(best_threshold(labels, scores)) == pytest.approx(max(best, 0.5))


@pytest.mark.parametrize("label", [0, 1])
def test_best_threshold_needs_both_classes(label):
    with pytest.raises(ValueError, match=f"needs both classes: all labels are {label}"):
        best_threshold(np.array([label, label]), np.array([0.1, 0.9]))


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
    found = sensitive_threshold(np.array(labels), np.array(scores), sensitivity=sensitivity)
    assert found == pytest.approx(expected)
    assert values(labels, scores, threshold=found)["sensitivity"] >= sensitivity


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


def predicted(split, labels, scores):
    return pd.DataFrame(
        {
            "split": split,
            "label": labels,
            "score": scores,
            "patient": [f"{split}{number // 2}" for number in range(len(labels))],
        }
    )


@pytest.fixture
def predictions():
    return pd.concat(
        [
            predicted("train", [0, 1], [0.5, 0.5]),
            predicted("test", LABELS, SCORES),
            predicted("validation", [0, 0, 1, 1], [0.1, 0.7, 0.8, 0.9]),
        ]
    )


def test_summary_has_both_splits_at_both_thresholds(predictions):
    table = summary(predictions, resamples=10)
    assert list(table) == [
        *("split", "rule", "threshold"),
        *("metric", "value", "low", "high"),
    ]
    assert len(table) == 4 * len(METRICS)
    parts = table[["split", "rule", "threshold"]].drop_duplicates().values.tolist()
    assert parts == [
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
    expected = estimate(LABELS, SCORES, patients=test["patient"], resamples=100, seed=5)
    found = table[(table["split"] == "test") & (table["rule"] == "0.5")]
    pd.testing.assert_frame_equal(found[list(expected)].reset_index(drop=True), expected)


def test_test_has_no_say_in_the_threshold(predictions):
    other = predictions.copy()
    other.loc[other["split"] == "test", "score"] = [0.9, 0.8, 0.3, 0.2, 0.1, 0.7]
    thresholds = [summary(table, resamples=0)["threshold"] for table in (predictions, other)]
    assert thresholds[0].tolist() == thresholds[1].tolist()


@pytest.mark.parametrize("split", ["validation", "test"])
def test_a_missing_split(predictions, split):
    with pytest.raises(ValueError, match=f"no predictions of {split}: there are .*'train'"):
        summary(predictions[predictions["split"] != split])


def test_validation_of_one_class(predictions):
    one_class = predictions[(predictions["split"] != "validation") | (predictions["label"] == 1)]
    with pytest.raises(ValueError, match="needs both classes"):
        summary(one_class)


# ------------------------------------------------------------------ operating_points


def test_rules_and_thresholds_by_hand(predictions):
    table = operating_points(predictions, prevalence=0.2, sensitivity=0.5, resamples=10)
    assert list(table) == ["rule", "description", "threshold", "metric", "value", "low", "high"]
    assert dict(zip(table["rule"], table["threshold"], strict=True)) == pytest.approx(
        {
            "0.5": 0.5,
            "validation": 0.75,
            "sensitive": 0.85,
            "oracle": 0.25,
        }
    )
    assert table["description"].unique().tolist() == [
        ".5",
        "validation, best balanced accuracy",
        "validation, sensitivity >= .5",
        "oracle on test, not to be used",
    ]
    assert table["metric"].tolist() == 4 * [
        *("sensitivity", "specificity", "balanced accuracy", "accuracy", "PPV", "NPV")
    ]


def test_operating_points_by_hand(predictions):
    table = operating_points(predictions, prevalence=0.2, resamples=10)
    found = table.set_index(["rule", "metric"])["value"]
    # Two of three of class 1 and one of three of class 0 are right; of 100 patients 20 are ill.
    assert found["0.5"].to_dict() == pytest.approx(
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
    at_chosen = found["validation"]
    assert at_chosen[["PPV", "NPV"]].tolist() == pytest.approx([1, 80 / (80 + 20 * 2 / 3)])
    # At .25 all of class 1 and one of three of class 0.
    at_oracle = found["oracle"]
    assert at_oracle[["PPV", "NPV"]].tolist() == pytest.approx([20 / (20 + 80 * 2 / 3), 1])


def test_only_ppv_and_npv_know_the_prevalence(predictions):
    rare, common = (
        operating_points(predictions, prevalence=each, resamples=50).set_index(["rule", "metric"])
        for each in (0.01, 0.5)
    )
    assert rare.loc[("0.5", "PPV"), "value"] < common.loc[("0.5", "PPV"), "value"]
    others = rare.index[~rare.index.isin(["PPV", "NPV"], level="metric")]
    pd.testing.assert_frame_equal(rare.loc[others], common.loc[others])


def test_operating_points_have_the_intervals_of_metrics(predictions):
    table = operating_points(predictions, prevalence=0.2, resamples=100, seed=5)
    test = predictions[predictions["split"] == "test"]
    expected = estimate(LABELS, SCORES, patients=test["patient"], resamples=100, seed=5)
    found = table[table["rule"] == "0.5"].set_index("metric").loc["sensitivity":"accuracy"]
    columns = ["value", "low", "high"]
    pd.testing.assert_frame_equal(
        found[columns], expected.set_index("metric").loc[found.index][columns]
    )


def test_interval_of_ppv_is_that_of_drawn_patients():
    # Only patient a has a false alarm: it is not drawn in a quarter of the resamples, with a PPV
    # of 1, drawn once in half, and drawn twice in a quarter, where class 1 is missing.
    test = pd.DataFrame(
        {
            "split": "test",
            "label": [0, 0, 1, 0],
            "score": [0.9, 0.1, 0.9, 0.1],
            "patient": list("aabb"),
        }
    )
    validation = predicted("validation", [0, 1], [0.2, 0.8])
    table = operating_points(pd.concat([test, validation]), prevalence=0.5)
    found = table.set_index(["rule", "metric"]).loc[("0.5", "PPV")]
    # Sensitivity 1 and specificity 2/3 in all and in what is drawn once.
    assert found[["value", "low", "high"]].tolist() == pytest.approx([3 / 4, 3 / 4, 1])


def test_a_perfect_ppv_has_an_interval():
    test = predicted("test", [0] * 6 + [1] * 4, [0.1] * 6 + [0.9] * 4)
    validation = predicted("validation", [0, 1], [0.2, 0.8])
    table = operating_points(pd.concat([test, validation]), prevalence=0.1, resamples=200)
    found = table.set_index(["rule", "metric"]).xs("0.5")
    # Three patients of class 0 and two of class 1.
    specificity, sensitivity = 3 / 6.8415, 2 / 5.8415
    ppv = 0.1 * sensitivity / (0.1 * sensitivity + 0.9 * (1 - specificity))
    npv = 0.9 * specificity / (0.9 * specificity + 0.1 * (1 - sensitivity))
    assert found.loc["PPV", ["value", "low", "high"]].tolist() == pytest.approx([1, ppv, 1], 1e-4)
    assert found.loc["NPV", ["value", "low", "high"]].tolist() == pytest.approx([1, npv, 1], 1e-4)


def test_nobody_called_leaves_ppv_undefined():
    test = predicted("test", [0, 0, 1, 1], [0.1, 0.2, 0.3, 0.4])
    validation = predicted("validation", [0, 1], [0.2, 0.8])
    table = operating_points(pd.concat([test, validation]), prevalence=0.3, resamples=20)
    found = table.set_index(["rule", "metric"])[["value", "low", "high"]].xs("0.5")
    assert found.loc["PPV"].isna().all()
    # Nobody is cleared by more than chance.
    assert found.loc["NPV", "value"] == pytest.approx(0.7)


def test_no_resamples_no_interval_of_operating_points(predictions):
    table = operating_points(predictions, prevalence=0.2, resamples=0)
    assert table[["low", "high"]].isna().all(axis=None)


@pytest.mark.parametrize("prevalence", [0, 1, -0.2, 20, np.nan])
def test_prevalence_out_of_range(predictions, prevalence):
    with pytest.raises(ValueError, match=f"between 0 and 1. Received: {prevalence}"):
        operating_points(predictions, prevalence=prevalence)


@pytest.mark.parametrize("split", ["validation", "test"])
def test_operating_points_need_both_splits_and_classes(predictions, split):
    with pytest.raises(ValueError, match=f"no predictions of {split}"):
        operating_points(predictions[predictions["split"] != split], prevalence=0.2)
    one_class = predictions[(predictions["split"] != split) | (predictions["label"] == 1)]
    with pytest.raises(ValueError, match="needs both classes"):
        operating_points(one_class, prevalence=0.2)


# ------------------------------------------------------------------ by_subtype

KINDS = ["", "", "virus", "bacteria", "virus", ""]


def test_by_subtype_by_hand():
    # Of class 0 are .1, .6, .5; the two viruses have .5 and .9, the bacterium .4.
    table = by_subtype(LABELS, SCORES, KINDS, patients=list("abccca"), resamples=10)
    assert list(table) == [
        *("subtype", "images", "patients"),
        *("metric", "value", "low", "high"),
    ]
    assert table[["subtype", "images", "patients", "metric"]].values.tolist() == [
        ["bacteria", 1, 1, "AUC"],
        ["bacteria", 1, 1, "sensitivity"],
        ["virus", 2, 1, "AUC"],
        ["virus", 2, 1, "sensitivity"],
    ]
    assert table["value"].tolist() == pytest.approx([1 / 3, 0, (1.5 + 3) / 6, 1])


def test_by_subtype_at_another_threshold():
    table = by_subtype(LABELS, SCORES, KINDS, threshold=0.55, resamples=0)
    assert table["value"].tolist() == pytest.approx([1 / 3, 0, 4.5 / 6, 1 / 2])


def test_one_subtype_is_all_of_class_1():
    table = by_subtype(LABELS, SCORES, ["virus"] * 6, patients=list("aabbcc"), seed=3)
    expected = estimate(LABELS, SCORES, patients=list("aabbcc"), seed=3)
    expected = expected[expected["metric"].isin(["AUC", "sensitivity"])].reset_index(drop=True)
    pd.testing.assert_frame_equal(table[list(expected)], expected)


@pytest.mark.parametrize("missing", ["", None, np.nan])
def test_a_subtype_that_is_not_known(missing):
    table = by_subtype(LABELS, SCORES, ["", "", missing, "virus", "virus", ""], resamples=0)
    assert table["subtype"].tolist() == ["unknown", "unknown", "virus", "virus"]
    assert table["images"].tolist() == [1, 1, 2, 2]


def test_subtypes_without_class_0_have_no_auc():
    table = by_subtype([1, 1], [0.2, 0.9], ["a", "b"], resamples=10).set_index(
        ["subtype", "metric"]
    )
    assert table.xs("AUC", level="metric")[["value", "low", "high"]].isna().all(axis=None)
    assert table.xs("sensitivity", level="metric")["value"].tolist() == [0, 1]


def test_subtypes_without_class_1():
    with pytest.raises(ValueError, match="no image of class 1"):
        by_subtype([0, 0], [0.2, 0.9], ["", ""])


def test_subtypes_of_another_length():
    with pytest.raises(ValueError, match="2 subtypes for 6 labels: give one each"):
        by_subtype(LABELS, SCORES, ["a", "b"])
