import hypothesis
import numpy as np
import pandas as pd
import pytest
from hypothesis import strategies

from xraylib.evaluation.metrics import METRICS, by_group, by_subtype, estimate

LABELS = np.array([0, 0, 1, 1, 1, 0])
SCORES = np.array([0.1, 0.6, 0.5, 0.4, 0.9, 0.5])


def values(labels, scores, **more):
    table = estimate(labels, scores, resamples=0, **more)
    return dict(zip(table["metric"], table["value"], strict=True))


def interval(metric, labels, scores, **more):
    table = estimate(labels, scores, **more).set_index("metric")
    return table.loc[metric, ["low", "high"]].tolist()


# ------------------------------------------------------------------ values


def test_every_metric_by_hand():
    # At .5 two of the three of class 1 are right and one of the three of class 0.
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
    result = values(LABELS, SCORES, threshold=0.55)
    assert list(result.values()) == pytest.approx([5.5 / 9, 3 / 6, 1 / 2, 1 / 3, 2 / 3, 1.24 / 6])


@pytest.mark.parametrize(
    ("labels", "scores", "expected"),
    [
        ([0, 0, 1], [0, 0, 1], (1, 1, 1, 1, 1, 0)),  # perfect
        ([0, 0, 1], [1, 1, 0], (0, 0, 0, 0, 0, 1)),  # worst
        ([0, 0, 0, 1], [0.5] * 4, (0.5, 0.25, 0.5, 1, 0, 0.25)),  # constant
        ([1, 1], [0.2, 0.6], (np.nan, 0.5, np.nan, 0.5, np.nan, (0.64 + 0.16) / 2)),  # one class
        ([0, 0], [0.2, 0.6], (np.nan, 0.5, np.nan, np.nan, 0.5, (0.04 + 0.36) / 2)),
    ],
)
def test_metrics_at_their_ends(labels, scores, expected):
    table = estimate(labels, scores, resamples=20)
    assert list(table) == ["metric", "value", "low", "high"]
    assert tuple(table["metric"]) == METRICS
    assert table["value"].tolist() == pytest.approx(expected, nan_ok=True)
    for bound in ("low", "high"):
        assert table[bound].isna().tolist() == table["value"].isna().tolist()


@pytest.mark.slow
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


def test_a_resample_without_a_class_is_left_out():
    # b has no image of class 1 and is drawn alone in a quarter of the resamples.
    labels, scores, patients = [1, 1, 0], [0.9, 0.1, 0.1], list("aab")
    assert interval("sensitivity", labels, scores, patients=patients) == [0.5, 0.5]


def test_copies_of_a_patient_do_not_narrow_the_interval():
    rng = np.random.default_rng(0)
    labels = np.arange(40) % 2
    scores = np.clip(0.3 * labels + rng.uniform(0, 0.7, 40), 0, 1)
    low, high = interval("AUC", labels, scores, resamples=400)
    copied = [np.repeat(each, 9) for each in (labels, scores, np.arange(40))]
    assert interval("AUC", *copied[:2], patients=copied[2], resamples=400) == [low, high]
    low_of_images, high_of_images = interval("AUC", *copied[:2], resamples=400)
    # Nine times the images: a third of the width.
    assert (high_of_images - low_of_images) / (high - low) == pytest.approx(1 / 3, rel=0.15)


@pytest.mark.slow
def test_the_interval_is_that_of_a_plain_bootstrap():
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(1)
    patients = rng.integers(0, 30, 90)
    labels = patients % 2
    scores = np.clip(0.2 * labels + rng.uniform(0, 0.8, 90), 0, 1)
    resampled = []
    for _ in range(1000):
        rows = np.concatenate([np.flatnonzero(patients == p) for p in rng.integers(0, 30, 30)])
        resampled.append(roc_auc_score(labels[rows], scores[rows]))
    result = interval("AUC", labels, scores, patients=patients)
    assert result == pytest.approx(np.percentile(resampled, [2.5, 97.5]), abs=0.02)


def test_the_interval_depends_on_the_seed_alone():
    rng = np.random.default_rng(0)
    labels, scores = np.arange(60) % 2, rng.uniform(0, 1, 60)
    first = estimate(labels, scores, seed=3, resamples=100)
    np.random.seed(7)  # whoever else draws does not matter
    pd.testing.assert_frame_equal(estimate(labels, scores, seed=3, resamples=100), first)
    assert (estimate(labels, scores, seed=4, resamples=100)["low"] != first["low"]).all()


# ------------------------------------------------------------------ intervals at 0 and at 1

# Ten images of five patients of class 1, four of two patients of class 0.
PATIENTS = np.repeat(np.arange(7), 2)
EDGE_LABELS = np.repeat([1, 0], [10, 4])


@pytest.mark.parametrize(
    ("metric", "patients"), [("accuracy", 7), ("sensitivity", 5), ("specificity", 2)]
)
def test_perfect_shares_have_wilsons_interval_of_the_patients(metric, patients):
    result = interval(metric, EDGE_LABELS, EDGE_LABELS, patients=PATIENTS, resamples=20)
    # n / (n + 1.96^2)
    assert result == pytest.approx([patients / (patients + 3.8415), 1], abs=1e-4)


@pytest.mark.parametrize("metric", ["AUC", "accuracy", "sensitivity", "specificity"])
def test_worst_mirrors_perfect(metric):
    low, high = interval(metric, EDGE_LABELS, EDGE_LABELS, patients=PATIENTS, resamples=20)
    result = interval(metric, EDGE_LABELS, 1 - EDGE_LABELS, patients=PATIENTS, resamples=20)
    assert result == pytest.approx([1 - high, 1 - low])


def test_interval_of_a_perfect_auc_by_hand():
    # (1 - a)^2 = 1.96^2 a (1 - a) (1 + 4 (a / (1 + a) + (1 - a) / (2 - a))) / 25 at a = .6428,
    # of five patients and five, however many images they have.
    labels, patients = np.repeat([0, 1], 15), np.repeat(np.arange(10), 3)
    assert interval("AUC", labels, labels, patients=patients) == pytest.approx(
        [0.6428, 1], abs=1e-4
    )


def test_others_and_weighted_ones_keep_their_percentiles():
    assert interval("balanced accuracy", EDGE_LABELS, EDGE_LABELS) == [1, 1]
    assert interval("Brier", EDGE_LABELS, EDGE_LABELS) == [0, 0]
    assert interval("sensitivity", EDGE_LABELS, EDGE_LABELS, weights=np.ones(14)) == [1, 1]


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
        patients = patients if by_patient else None
        table = estimate(labels, scores, patients=patients, resamples=400, seed=sample)
        result = table.set_index("metric").loc[truth.index]
        held = held + result["low"].le(truth) * result["high"].ge(truth)
    return held / samples


@pytest.mark.slow
def test_nineteen_of_twenty_intervals_hold_the_truth():
    assert coverage(1000, by_patient=True).between(0.93, 0.97).all()


@pytest.mark.slow
def test_intervals_of_images_hold_it_too_seldom():
    assert (coverage(200, by_patient=False) < 0.9).all()


# ------------------------------------------------------------------ weights


def test_weights_by_hand():
    # Of class 1 the score .9 counts 2, of class 0 the score .6 nothing and .1 counts 3.
    result = values(LABELS, SCORES, weights=np.array([3, 0, 1, 1, 2, 1]))
    assert result == pytest.approx(
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


def test_a_class_of_no_weight_is_as_one_that_is_not_there():
    result = estimate(LABELS, SCORES, weights=1 - LABELS, resamples=20).set_index("metric")["value"]
    assert result[["AUC", "balanced accuracy", "sensitivity"]].isna().all()
    assert result["specificity"] == pytest.approx(1 / 3)


# ------------------------------------------------------------------ errors


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"labels": [0, 0, 1, 1, 1, 2]}, "labels must be 0 or 1"),
        ({"patients": list("abcde")}, "5 patients for 6 labels: give one each"),
        ({"weights": np.ones(5)}, "5 weights for 6 labels: give one each"),
        ({"weights": np.zeros(6)}, "none of 6 weights is above 0"),
        ({"resamples": -1}, "resamples must be 0 or more"),
    ],
)
def test_what_estimate_refuses(wrong, message):
    with pytest.raises(ValueError, match=message):
        estimate(**{"labels": LABELS, "scores": SCORES} | wrong)


# ------------------------------------------------------------------ by_subtype

KINDS = ["", "", "virus", "bacteria", "virus", ""]


def test_by_subtype_by_hand():
    # Of class 0 are .1, .6, .5; the two viruses have .5 and .9, the bacterium .4.
    table = by_subtype(LABELS, SCORES, KINDS, patients=list("abccca"), resamples=10)
    assert list(table) == ["subtype", "images", "patients", "metric", "value", "low", "high"]
    assert table[["subtype", "images", "patients", "metric"]].values.tolist() == [
        ["bacteria", 1, 1, "AUC"],
        ["bacteria", 1, 1, "sensitivity"],
        ["virus", 2, 1, "AUC"],
        ["virus", 2, 1, "sensitivity"],
    ]
    assert table["value"].tolist() == pytest.approx([1 / 3, 0, (1.5 + 3) / 6, 1])


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
    table = by_subtype([1, 1], [0.2, 0.9], ["a", "b"], resamples=10)
    table = table.set_index(["subtype", "metric"])
    assert table.xs("AUC", level="metric")[["value", "low", "high"]].isna().all(axis=None)
    assert table.xs("sensitivity", level="metric")["value"].tolist() == [0, 1]


def test_what_by_subtype_refuses():
    with pytest.raises(ValueError, match="no image of class 1"):
        by_subtype([0, 0], [0.2, 0.9], ["", ""])
    with pytest.raises(ValueError, match="2 subtypes for 6 labels: give one each"):
        by_subtype(LABELS, SCORES, ["a", "b"])


def test_groups_are_measured_for_themselves():
    labels = [0, 0, 1, 1, 1, 0]
    scores = [0.1, 0.6, 0.4, 0.9, 0.7, 0.2]
    groups = ["x", "y", "x", "", "y", "z"]
    table = by_group(labels, scores, groups, threshold=0.65, resamples=20)
    values = table.set_index(["group", "metric"])["value"].to_dict()
    assert values == {
        ("x", "AUC"): 1,
        ("x", "sensitivity"): 0,
        ("x", "specificity"): 1,
        ("y", "AUC"): 1,
        ("y", "sensitivity"): 1,
        ("y", "specificity"): 1,
        ("z", "AUC"): 1,  # against all of class 1
        ("z", "specificity"): 1,
    }
    assert table.groupby("group")["images"].first().tolist() == [2, 2, 1]


def test_no_groups_are_no_rows_and_too_few_are_refused():
    table = by_group([0, 1], [0.1, 0.9], ["", ""], resamples=0)
    assert table.empty and "value" in table
    with pytest.raises(ValueError, match="1 groups for 2 labels"):
        by_group([0, 1], [0.1, 0.9], ["a"], resamples=0)
