import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from xraylib.evaluation.comparison import (
    averages,
    common_errors,
    difference,
    differences,
    discordances,
)
from xraylib.evaluation.intervals import patient_weights
from xraylib.evaluation.metrics import METRICS, estimate, weighted_metrics
from xraylib.evaluation.significance import delong, holm, mcnemar

# Three images of class 1 and two of class 0.
LABELS = np.array([1, 1, 1, 0, 0])
FIRST = np.array([0.9, 0.4, 0.6, 0.5, 0.1])
SECOND = np.array([0.9, 0.8, 0.3, 0.5, 0.3])


@pytest.fixture(autouse=True)
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def simulated(count, *, seed, images=1, gain=0.0, effect=1.0):
    """Labels, two scores that correlate, and patients, of whom each has some images."""
    rng = np.random.default_rng(seed)
    patients = np.repeat(np.arange(count), images)
    labels = patients % 2
    common = labels + rng.normal(size=len(patients))
    scores = [
        common + shift * labels + rng.normal(size=len(patients)) + effect * own[patients]
        for shift, own in zip((0, gain), rng.normal(size=(2, count)), strict=True)
    ]
    return labels, *scores, patients


def predicted(scores=FIRST, labels=LABELS, patients="abcde", split="test"):
    return pd.DataFrame(
        {
            "path": [f"{split}/{number}.jpeg" for number in range(len(labels))],
            "patient": list(patients),
            "split": split,
            "label": labels,
            "score": scores,
        }
    )


def many(seed, images=2, **more):
    """Predictions of two runs on 30 patients."""
    labels, first, second, patients = simulated(30, seed=seed, images=images, **more)
    return [predicted(stats.norm.cdf(scores - 0.5), labels, patients) for scores in (first, second)]


# ------------------------------------------------------------------ delong


def test_delong_by_hand():
    # The share of class 0 below each of class 1, ties half:  first 1, 1/2, 1;  second 1, 1, 1/4.
    # The share of class 1 above each of class 0:             first 2/3, 1;     second 2/3, 5/6.
    # Both means are the AUC, 5/6 and 3/4. The differences are 0, 1/2, -3/4 and 0, -1/6; from
    # their mean of -1/12 they deviate by 1/12, 7/12, -8/12 and 1/12, -1/12.
    # Class 1: (1 + 49 + 64)/144 / 2 = 57/144, over 3 images 19/144.
    # Class 0: (1 + 1)/144 / 1 = 2/144, over 2 images 1/144. Together 20/144.
    found = delong(LABELS, FIRST, SECOND)
    assert found.difference == pytest.approx(-1 / 12)
    assert found.standard_error == pytest.approx((20 / 144) ** 0.5)
    z = 1 / 12 / (20 / 144) ** 0.5  # .2236
    assert found.p == pytest.approx(2 * (1 - stats.norm.cdf(z)))
    assert found.p == pytest.approx(0.8231, abs=1e-4)
    assert found.low == pytest.approx(-1 / 12 - 1.959964 * (20 / 144) ** 0.5)
    assert found.high == pytest.approx(-1 / 12 + 1.959964 * (20 / 144) ** 0.5)


def test_delong_of_clusters_by_hand():
    # The deviations above, summed up within patients a, b, c:
    # class 1 of a and b: 1/12, 7/12 - 8/12 = -1/12;  class 0 of a and c: 1/12, -1/12.
    # Class 1: 2/(2 - 1) * (1 + 1)/144 / 3 images = 4/3/144, over 3 images 4/9/144.
    # Class 0: 2/(2 - 1) * (1 + 1)/144 / 2 images = 2/144, over 2 images 1/144.
    # Both, of a alone: 3/(3 - 1) * 1/144 = 3/2/144, twice over 3 * 2 images 1/2/144.
    found = delong(LABELS, FIRST, SECOND, patients=list("abbac"))
    assert found.difference == pytest.approx(-1 / 12)
    assert found.standard_error**2 == pytest.approx((4 / 9 + 1 + 1 / 2) / 144)


def test_patients_of_one_image_are_no_patients():
    labels, first, second, patients = simulated(40, seed=0)
    assert delong(labels, first, second, patients=patients[::-1]) == pytest.approx(
        delong(labels, first, second), rel=1e-12
    )


@pytest.mark.parametrize("copies", [2, 5])
def test_copies_of_images_change_nothing(copies):
    labels, first, second, patients = simulated(20, seed=1, images=2)
    once = delong(labels, first, second, patients=patients)
    arrays = [np.repeat(each, copies) for each in (labels, first, second, patients)]
    assert delong(*arrays[:3], patients=arrays[3]) == pytest.approx(once, rel=1e-9)
    naive = delong(*arrays[:3])
    assert naive.standard_error < once.standard_error / copies**0.5


@pytest.mark.parametrize("images", [1, 3])
def test_the_standard_error_is_that_of_a_bootstrap(images):
    labels, first, second, patients = simulated(300, seed=2, images=images, gain=0.5)
    weights = patient_weights(patients, 2000, 0)
    drawn = [
        weighted_metrics(labels, stats.norm.cdf(scores), 0.5, weights)[:, 0]
        for scores in (first, second)
    ]
    found = delong(labels, first, second, patients=patients)
    assert found.standard_error == pytest.approx(np.std(drawn[1] - drawn[0]), rel=0.1)
    # That of two AUCs that have nothing to do with each other would be larger.
    assert found.standard_error < 0.95 * np.hypot(*np.std(drawn, axis=1))


@pytest.mark.parametrize("seed", range(5))
def test_the_difference_is_that_of_scikit_learn(seed):
    from sklearn.metrics import roc_auc_score

    labels, first, second, _ = simulated(50, seed=seed, gain=1)
    first, second = first.round(), second.round()  # with ties
    expected = roc_auc_score(labels, second) - roc_auc_score(labels, first)
    assert delong(labels, first, second).difference == pytest.approx(expected, abs=1e-12)


def test_delong_swapped():
    found, swapped = delong(LABELS, FIRST, SECOND), delong(LABELS, SECOND, FIRST)
    assert (swapped.difference, swapped.low, swapped.high) == (
        -found.difference,
        -found.high,
        -found.low,
    )
    assert (swapped.standard_error, swapped.p) == (found.standard_error, found.p)


def test_only_the_order_of_scores_counts():
    assert delong(LABELS, FIRST**3, 100 * SECOND) == delong(LABELS, FIRST, SECOND)


def test_seeds_are_averaged():
    labels, first, second, _ = simulated(60, seed=3)
    _, third, _, _ = simulated(60, seed=4)
    pair = [delong(labels, first, other).difference for other in (second, third)]
    found = delong(labels, first, np.stack([second, third]))
    assert found.difference == pytest.approx(np.mean(pair))
    # The average of two varies less than either.
    assert found.standard_error < min(
        delong(labels, first, other).standard_error for other in (second, third)
    )


def test_the_same_seed_twice_is_one_seed():
    once = delong(LABELS, FIRST, SECOND)
    assert delong(LABELS, [FIRST] * 2, [SECOND] * 3) == pytest.approx(once, rel=1e-12)


@pytest.mark.parametrize("seeds", [1, 3, 7])
def test_the_same_scores_differ_by_nothing(seeds):
    scores = np.random.default_rng(0).uniform(size=(seeds, 5))
    # In another order: a sum of fractions would leave something behind.
    assert delong(LABELS, scores, scores[::-1]) == (0, 0, 0, 0, 1)


def test_a_difference_without_variance():
    constant, perfect = np.full(5, 0.5), LABELS
    assert delong(LABELS, constant, perfect) == (0.5, 0.5, 0.5, 0, 0)
    assert delong(LABELS, 1 - perfect, perfect) == (1, 1, 1, 0, 0)


def test_perfect_against_imperfect_by_hand():
    # The first has 1, 1/2, 1 and 2/3, 1 as above: the differences are 0, 1/2, 0 and 1/3, 0.
    # Variances (1 + 4 + 1)/36 / 2 / 3 = 1/36 and (1 + 1)/36 / 1 / 2 = 1/36.
    found = delong(LABELS, FIRST, LABELS)
    assert found.difference == pytest.approx(1 / 6)
    assert found.standard_error == pytest.approx((2 / 36) ** 0.5)


def test_more_confidence_is_wider_and_p_the_same():
    narrow, wide = (delong(LABELS, FIRST, SECOND, confidence=c) for c in (0.5, 0.9))
    assert wide.low < narrow.low < narrow.high < wide.high
    assert wide.p == narrow.p


@pytest.mark.parametrize("images", [1, 4])
def test_false_alarms_are_as_rare_as_said(images):
    found = []
    for seed in range(400):
        labels, first, second, patients = simulated(200 // images, seed=seed, images=images)
        found.append(delong(labels, first, second, patients=patients).p)
    assert 0.02 < np.mean(np.array(found) < 0.05) < 0.09


def test_images_of_a_patient_taken_as_independent_raise_false_alarms():
    found = [delong(*simulated(50, seed=seed, images=4)[:3]).p for seed in range(200)]
    assert np.mean(np.array(found) < 0.05) > 0.12


def test_what_differs_is_found():
    labels, first, second, patients = simulated(200, seed=0, gain=1.5)
    assert delong(labels, first, second, patients=patients).p < 1e-3


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"labels": [1, 1, 1, 1, 1]}, r"labels must be 0 or 1, with both present\. .*\[1\]"),
        ({"labels": [0, 1, 2, 0, 1]}, r"labels must be 0 or 1.*\[0, 1, 2\]"),
        ({"labels": []}, r"with both present\. Received: \[\]"),
        ({"first": FIRST[1:]}, r"first must be \(5,\) or \(seeds, 5\).*Received: \(1, 4\)"),
        ({"second": np.empty((0, 5))}, r"second must be \(5,\).*Received: \(0, 5\)"),
        ({"second": np.empty((1, 1, 5))}, r"second must be \(5,\).*Received: \(1, 1, 5\)"),
        ({"second": [[0.5] * 4 + [np.nan]] * 2}, "2 of 10 scores of second are not finite"),
        ({"patients": list("abcd")}, "4 patients for 5 labels: give one each"),
        ({"patients": ["a", "b", None, "c", "d"]}, "1 of 5 images have no patient"),
        ({"patients": list("aaabc")}, "all 3 images of class 1 are of one patient"),
        ({"patients": list("abcdd")}, "all 2 images of class 0 are of one patient"),
        ({"confidence": 95}, r"confidence must be between 0 and 1\. Received: 95"),
    ],
)
def test_what_delong_refuses(changed, said):
    given = {"labels": LABELS, "first": FIRST, "second": SECOND} | changed
    with pytest.raises(ValueError, match=said):
        delong(**given)


# ------------------------------------------------------------------ mcnemar


def test_mcnemar_by_hand():
    # 10 images of class 1: one only the first calls so, seven only the second, two both.
    first = np.array([1] + [0] * 7 + [1, 1], dtype=bool)
    second = np.array([0] + [1] * 7 + [1, 1], dtype=bool)
    # No or one head in 8 throws of a coin, or as few tails.
    assert mcnemar(np.ones(10), first, second) == (1, 7, pytest.approx(2 * (1 + 8) / 2**8))


def test_mcnemar_counts_what_is_right_in_both_classes():
    labels, first, second = [1, 0, 0, 1], [True, False, True, False], [False, True, True, True]
    # Right: the first 1, 1, 0, 0; the second 0, 0, 0, 1.
    assert mcnemar(labels, first, second) == (2, 1, 1)


def test_mcnemar_swapped():
    labels, first, second = np.array([1] * 9), np.arange(9) < 2, np.arange(9) >= 2
    assert mcnemar(labels, first, second)[:2] == mcnemar(labels, second, first)[:2][::-1] == (2, 7)
    assert mcnemar(labels, first, second).p == mcnemar(labels, second, first).p


def test_no_discordant_image():
    assert mcnemar([0, 1], [True, True], [True, True]) == (0, 0, 1)


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        (([0, 1], [0, 1], [0]), "2 labels, 2 and 1 decisions: give one or more of each"),
        (([], [], []), "0 labels, 0 and 0 decisions"),
        (([0, 2], [0, 1], [0, 1]), r"labels must be 0 or 1\. Received: \[0, 2\]"),
        (([0, 1], [0.2, 0.7], [0, 1]), r"first must be 0 or 1\. Received: \[0\.2, 0\.7\]"),
        (([0, 1], [0, 1], [np.nan, 1]), r"second must be 0 or 1\. Received: \[nan, 1\.0\]"),
    ],
)
def test_what_mcnemar_refuses(arrays, said):
    with pytest.raises(ValueError, match=said):
        mcnemar(*arrays)


# ------------------------------------------------------------------ paired


def test_one_row_a_metric():
    table = difference(*[[run] for run in many(0)], resamples=50)
    assert list(table) == [
        *("metric", "first_value", "second_value", "difference"),
        "low",
        "high",
        "p",
        "test",
    ]
    assert tuple(table["metric"]) == METRICS
    assert table["test"].tolist() == ["DeLong, clustered"] + ["bootstrap over patients"] * 5


def test_the_values_are_those_of_evaluation():
    first, second = many(0)
    table = difference([first, second], [second], thresholds=(0.4, 0.6), resamples=20)
    one, other, of_second = (
        estimate(run["label"], run["score"], threshold=threshold, resamples=0)["value"]
        for run, threshold in ((first, 0.4), (second, 0.4), (second, 0.6))
    )
    assert table["first_value"].to_numpy() == pytest.approx((one + other) / 2)
    assert table["second_value"].to_numpy() == pytest.approx(of_second)
    assert table["difference"].to_numpy() == pytest.approx(of_second - (one + other) / 2)


def test_the_auc_is_compared_by_delong():
    first, second = many(1)
    row = difference([first], [second, first], resamples=0, confidence=0.8).iloc[0]
    expected = delong(
        first["label"],
        first["score"],
        np.stack([second["score"], first["score"]]),
        patients=first["patient"],
        confidence=0.8,
    )
    assert row[["difference", "low", "high", "p"]].tolist() == pytest.approx(
        [expected.difference, expected.low, expected.high, expected.p]
    )


def test_the_bootstrap_by_hand():
    # Of patient a the second gets both images right, of b none, of the first it is the other way
    # round. 1/4 of the resamples have a difference of 1, half 0, 1/4 -1.
    labels, patients = [1, 0, 1, 0], "aabb"
    first = predicted([0.1, 0.9, 0.9, 0.1], labels, patients)
    second = predicted([0.9, 0.1, 0.1, 0.9], labels, patients)
    table = difference([first], [second], resamples=400).set_index("metric")
    assert table.loc["accuracy", ["difference", "low", "high", "p"]].tolist() == [0, -1, 1, 1]
    half = difference([first], [second], resamples=400, confidence=0.4).set_index("metric")
    assert half.loc["accuracy", ["low", "high"]].tolist() == [0, 0]


def test_p_counts_resamples_on_the_other_side():
    # The second gets a and b right and c wrong, of the first it is the other way round: c is
    # drawn twice or more of three times in (1 + 3 * 2)/27 of the resamples.
    labels, patients = [1, 0] * 3, "aabbcc"
    first = predicted([0.1, 0.9] * 2 + [0.9, 0.1], labels, patients)
    second = predicted([0.9, 0.1] * 2 + [0.1, 0.9], labels, patients)
    table = difference([first], [second], resamples=4000).set_index("metric")
    assert table.loc["accuracy", "p"] == pytest.approx(2 * 7 / 27, abs=0.05)


def test_p_of_the_bootstrap_is_never_0():
    first, second = predicted([0.2] * 3 + [0.8] * 2), predicted(LABELS)
    table = difference([first], [second], resamples=39).set_index("metric")
    assert table.loc[["accuracy", "Brier"], "p"].tolist() == [2 / 40, 2 / 40]


def test_the_interval_of_a_difference_is_that_of_a_plain_bootstrap():
    first, second = many(2, gain=1)
    patients, labels = first["patient"].to_numpy(), first["label"].to_numpy()
    change = ((second["score"] >= 0.5) == labels).astype(int) - (
        (first["score"] >= 0.5) == labels
    ).astype(int)
    rng = np.random.default_rng(5)
    # All patients have two images: their mean is that of the images.
    sums = np.bincount(patients, weights=change) / 2
    drawn = sums[rng.integers(0, 30, (4000, 30))].mean(axis=1)
    row = difference([first], [second], resamples=4000).set_index("metric").loc["accuracy"]
    assert [row["low"], row["high"]] == pytest.approx(np.percentile(drawn, [2.5, 97.5]), abs=0.02)


def test_pairing_narrows_the_interval():
    first, second = many(3)
    better = second.assign(score=(0.9 * first["score"] + 0.1 * second["score"]))
    row = difference([first], [better], resamples=500).set_index("metric").loc["Brier"]
    alone = estimate(first["label"], first["score"], patients=first["patient"], resamples=500)
    alone = alone.set_index("metric").loc["Brier"]
    assert row["high"] - row["low"] < (alone["high"] - alone["low"]) / 2


def test_the_same_runs_do_not_differ():
    runs = [run for seed in range(3) for run in many(seed)[:1]]
    table = difference(runs, runs[::-1], resamples=200)
    assert table[["difference", "low", "high"]].eq(0).all(axis=None)
    assert table["p"].eq(1).all()


def test_paired_swapped():
    first, second = many(4)
    found = difference([first], [second], resamples=200)
    swapped = difference([second], [first], resamples=200)
    assert (swapped["difference"] == -found["difference"]).all()
    assert swapped["low"].to_numpy() == pytest.approx(-found["high"].to_numpy())
    assert (swapped["p"] == found["p"]).all()


def test_the_order_of_rows_and_other_splits_do_not_matter():
    first, second = many(5)
    expected = difference([first], [second], resamples=100)
    other = pd.concat([predicted(split="validation"), second[::-1]])
    shuffled = first.sample(frac=1, random_state=0)
    pd.testing.assert_frame_equal(difference([shuffled], [other], resamples=100), expected)


def test_another_split():
    first = pd.concat([predicted(), predicted(SECOND, split="validation")])
    second = pd.concat([predicted(), predicted(LABELS, split="validation")])
    row = difference([first], [second], split="validation", resamples=0).iloc[0]
    assert (row["first_value"], row["second_value"]) == (pytest.approx(3 / 4), 1)


def test_thresholds_of_each_run():
    runs = [predicted([0.3, 0.3, 0.3, 0.1, 0.1]), predicted([0.8, 0.8, 0.8, 0.6, 0.6])]
    table = difference(runs, runs, thresholds=([0.2, 0.7], 0.5), resamples=0).set_index("metric")
    # At .5 nothing of the first run and all of the second is called class 1.
    assert table.loc["accuracy", ["first_value", "second_value"]].tolist() == [
        1,
        pytest.approx(1 / 2),
    ]


def test_no_resamples_leave_auc_alone():
    table = difference([predicted()], [predicted(SECOND)], resamples=0).set_index("metric")
    assert table[["low", "high", "p"]].isna().all(axis=1).drop("AUC").all()
    assert table.loc["AUC", ["low", "high", "p"]].notna().all()


def test_resamples_without_a_class_are_left_out():
    table = difference([predicted()], [predicted(LABELS)], resamples=200)
    assert table[["low", "high", "p"]].notna().all(axis=None)


def test_paired_depends_on_the_seed_alone():
    pair = [[run] for run in many(6)]
    found = difference(*pair, resamples=100, seed=3)
    np.random.seed(7)  # whoever else draws does not matter
    pd.testing.assert_frame_equal(difference(*pair, resamples=100, seed=3), found)
    assert (difference(*pair, resamples=100, seed=4)["low"] != found["low"])[1:].any()


@pytest.mark.parametrize(
    ("run", "said"),
    [
        (
            predicted()[1:].drop(columns=["label", "score"]),
            "run 1 of the second has no column label, score",
        ),
        (
            predicted(split="validation"),
            r"run 1 of the second has no images of test: there are \['validation'\]",
        ),
        (
            pd.concat([predicted(), predicted()[:2]]),
            "2 of 7 paths of run 1 of the second are there before: give each once",
        ),
        (
            predicted(patients=["a", None, "c", "d", None]),
            "2 of 5 images of run 1 of the second have no patient",
        ),
        (
            predicted(labels=[1] * 5),
            r"labels of run 1 of the second must be 0 or 1, with both present\. Received: \[1\]",
        ),
        (predicted(labels=[1, 0, 1, 0, 2]), r"must be 0 or 1, .* Received: \[1, 0, 2\]"),
        (
            predicted([0.1, np.nan, 1.5, 0.2, -0.1]),
            r"scores of run 1 of the second must be in \[0, 1\]; 3 are not\. "
            r"Received: \[nan, 1\.5, -0\.1\]",
        ),
        (
            pd.concat([predicted()[2:], predicted().assign(path=[*"vwxyz"])]),
            "run 1 of the second has other images than run 0 of the first: it lacks 2 of 5 and "
            "has 5 more",
        ),
        (
            predicted(labels=[0, 1, 1, 0, 1]),
            "run 1 of the second has another label than run 0 of the first for 2 of 5 images",
        ),
        (
            predicted(patients="abcdx"),
            "run 1 of the second has another patient than run 0 of the first for 1 of 5 images",
        ),
    ],
)
@pytest.mark.parametrize("function", [difference, discordances])
def test_runs_that_cannot_be_compared(function, run, said):
    with pytest.raises(ValueError, match=said):
        function([predicted()] * 2, [predicted(), run])


@pytest.mark.parametrize(
    ("sides", "said"),
    [
        (([], [predicted()]), "the first has no runs"),
        (([predicted()], []), "the second has no runs"),
    ],
)
def test_no_runs(sides, said):
    with pytest.raises(ValueError, match=said):
        difference(*sides)


@pytest.mark.parametrize(
    ("thresholds", "said"),
    [
        ((0.5,), r"give two thresholds, of first and second\. Received: \(0\.5,\)"),
        ((0.5, [0.5]), "1 thresholds for 2 runs of the second"),
        (([0.5, 0.5], 0.5), "2 thresholds for 1 runs of the first"),
        ((0.5, 1.5), r"thresholds must be in \[0, 1\]; 1 are not\. Received: \[1\.5\]"),
        ((0.5, [0.5, np.nan]), r"thresholds must be in \[0, 1\]; 1 are not\. Received: \[nan\]"),
    ],
)
def test_wrong_thresholds(thresholds, said):
    with pytest.raises(ValueError, match=said):
        difference([predicted()], [predicted()] * 2, thresholds=thresholds)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"resamples": -1}, r"resamples must be 0 or more\. Received: -1"),
        ({"confidence": 1}, r"confidence must be between 0 and 1\. Received: 1"),
    ],
)
def test_wrong_resampling(wrong, said):
    with pytest.raises(ValueError, match=said):
        difference([predicted()], [predicted()], **wrong)


# ------------------------------------------------------------------ decisions


def test_decisions_by_hand():
    # At .5 the first is right on 1, 0, 1, 0, 1, the second on 1, 1, 0, 0, 1.
    table = discordances([predicted(), predicted()], [predicted(SECOND)[::-1], predicted(LABELS)])
    assert list(table) == ["run", "only_first", "only_second", "p", "test"]
    assert table.values.tolist() == [
        [0, 1, 1, 1.0, "McNemar, exact"],
        [1, 0, 2, 0.5, "McNemar, exact"],
    ]


def test_decisions_at_the_threshold_of_each_run():
    runs = [predicted()] * 2
    table = discordances(runs, runs, thresholds=(0.5, [0.4, 0.5]))
    # A score of .4 is called class 1 at .4, which is right.
    assert table["only_second"].tolist() == [1, 0]
    assert table["only_first"].tolist() == [0, 0]


def test_runs_that_have_no_counterpart():
    with pytest.raises(ValueError, match="2 and 1 runs cannot be paired: give as many of both"):
        discordances([predicted()] * 2, [predicted()])


# ------------------------------------------------------------------ neighbours


def test_each_step_against_the_one_before():
    one, two = many(0)
    steps = {"b": [one], "a": [one, two], "c": [two]}
    table = differences(steps, resamples=50, seed=1)
    assert list(table) == [
        *("first", "second", "runs_first", "runs_second", "metric", "first_value"),
        *("second_value", "difference", "low", "high", "p", "p_holm", "test"),
    ]
    pairs = table[["first", "second", "runs_first", "runs_second"]].drop_duplicates()
    assert pairs.values.tolist() == [["b", "a", 1, 2], ["a", "c", 2, 1]]
    expected = difference([one, two], [two], resamples=50, seed=1)
    found = table[table["first"] == "a"].reset_index(drop=True)
    pd.testing.assert_frame_equal(found[list(expected)], expected)


def test_neighbours_of_another_split():
    steps = {name: [predicted(split="validation")] for name in ("one", "two")}
    assert differences(steps, split="validation", resamples=10)["p"].eq(1).all()


def test_each_metric_is_a_family():
    runs = [many(seed, gain=gain)[1] for seed, gain in ((0, 0), (0, 1), (0, 3))]
    table = differences({name: [run] for name, run in zip("abc", runs, strict=True)}, resamples=99)
    for _, family in table.groupby("metric"):
        assert len(family) == 2
        assert family["p_holm"].tolist() == holm(family["p"]).tolist()
    assert (table["p_holm"] > table["p"]).any()


def test_the_steps_that_cannot_be_compared_are_named():
    steps = {"one": [predicted()], "two": [predicted()], "three": [predicted(patients="abcdx")]}
    with pytest.raises(
        ValueError, match=r"two \(first\) and three \(second\): run 0 of the second"
    ):
        differences(steps, resamples=10)


def test_chosen_pairs_are_one_family():
    one, two = many(0)
    three, _ = many(1)
    steps = {"a": [one], "b": [two], "c": [three]}
    table = differences(steps, [("a", "b"), ("a", "c")], resamples=50, seed=1)
    auc = table[table["metric"] == "AUC"]
    assert auc[["first", "second"]].values.tolist() == [["a", "b"], ["a", "c"]]
    assert auc["p_holm"].tolist() == holm(auc["p"]).tolist()
    alone = difference([one], [three], resamples=50, seed=1).set_index("metric")
    assert auc["difference"].iloc[1] == alone.loc["AUC", "difference"]


def test_a_pair_with_a_step_that_is_not_there():
    steps = {"a": [predicted()]}
    with pytest.raises(ValueError, match=r"no such steps: \['b'\]; there are \['a'\]"):
        differences(steps, [("a", "b")], resamples=10)


def test_each_run_has_a_threshold_of_its_own():
    runs = [predicted(np.array([0.1, 0.2, 0.3, 0.4, 0.6])), predicted(LABELS.astype(float))]
    given = {"one": [0.15, 0.5]}
    found = averages({"one": runs}, splits=["test"], threshold=given, resamples=0)
    alone = [
        averages({"one": [run]}, splits=["test"], threshold=at, resamples=0)["value"].to_numpy()
        for run, at in zip(runs, given["one"], strict=True)
    ]
    np.testing.assert_allclose(found["value"], np.mean(alone, axis=0))


@pytest.mark.parametrize("given", [{"one": [0.5]}, {"two": [0.5, 0.5]}])
def test_too_few_thresholds(given):
    with pytest.raises(ValueError, match=r"[01] thresholds for 2 runs of one"):
        averages({"one": [predicted()] * 2}, splits=["test"], threshold=given)


def test_one_step_has_no_neighbour():
    found = differences({"one": [predicted()]})
    assert found.empty
    assert list(found) == list(differences({"one": [predicted()], "two": [predicted()]}))


# ------------------------------------------------------------------ holm


def test_holm_by_hand():
    # In order .01, .02, .03, .04, times 4, 3, 2, 1: .04, .06, .06, .04, and none below another.
    assert holm([0.03, 0.01, 0.04, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])


def test_holm_is_at_most_1():
    assert holm([0.6, 0.7, 0.001]).tolist() == pytest.approx([1, 1, 0.003])


def test_nan_is_no_test():
    assert holm([np.nan, 0.02, np.nan, 0.01]) == pytest.approx(
        [np.nan, 0.02, np.nan, 0.02], nan_ok=True
    )


@pytest.mark.parametrize(("p", "expected"), [([], []), ([0.3], [0.3]), ([0, 1], [0, 1])])
def test_holm_of_few(p, expected):
    assert holm(p).tolist() == expected


def test_what_is_no_p():
    with pytest.raises(ValueError, match=r"p must be in \[0, 1\]; 2 are not\. .*\[-0\.1, 2\.0\]"):
        holm([0.5, -0.1, 2, np.nan])


# ------------------------------------------------------------------ together


def test_the_mean_and_the_spread_of_seeds_by_hand():
    step = {"one": [predicted(FIRST), predicted(SECOND)], "two": [predicted(FIRST)]}
    found = averages(step, splits=["test"], resamples=0).set_index(["step", "metric"])
    auc = found.loc[("one", "AUC")]
    # 5/6 and 3/4, as above.
    assert auc["each"] == pytest.approx([5 / 6, 3 / 4])
    assert auc["value"] == pytest.approx(19 / 24)
    assert auc["standard_deviation"] == pytest.approx((5 / 6 - 3 / 4) / 2**0.5)
    assert auc["runs"] == 2
    assert np.isnan(found.loc[("two", "AUC"), "standard_deviation"])
    assert found["low"].isna().all()


def test_one_run_has_the_interval_of_its_metrics():
    run = many(seed=0)[0].assign(path=[f"{place:02}" for place in range(60)])
    found = averages({"one": [run]}, splits=["test"], resamples=300, seed=4)
    columns = [run[name].to_numpy() for name in ("label", "score")]
    alone = estimate(*columns, patients=run["patient"].to_numpy(), resamples=300, seed=4)
    pd.testing.assert_frame_equal(found[["value", "low", "high"]], alone[["value", "low", "high"]])


def test_the_same_run_twice_is_no_more_certain():
    run, _ = many(seed=0)
    once, twice = (
        averages({"one": [run] * times}, splits=["test"], resamples=200)[["low", "high"]]
        for times in (1, 2)
    )
    pd.testing.assert_frame_equal(once, twice)


def test_a_perfect_value_is_not_certain():
    found = averages({"one": [predicted(LABELS.astype(float))]}, splits=["test"])
    bounds = found.set_index("metric")[["value", "low", "high"]]
    assert bounds.loc["specificity", "value"] == bounds.loc["specificity", "high"] == 1
    # Wilson's interval of two successes in two patients.
    assert bounds.loc["specificity", "low"] == pytest.approx(2 / (2 + 1.959964**2))


def test_seeds_may_validate_on_other_patients():
    runs = [
        predicted(FIRST, patients=names, split="validation").assign(
            path=lambda rows, seed=seed: f"{seed}/" + rows["path"]
        )
        for seed, names in enumerate(("abcde", "vwxyz"))
    ]
    found = averages({"one": runs}, splits=["validation"], resamples=50)
    assert found["value"].tolist()[0] == pytest.approx(5 / 6)


def test_a_step_without_runs():
    with pytest.raises(ValueError, match="one has no runs"):
        averages({"one": []})


# ------------------------------------------------------------------ missed


def test_what_every_run_gets_wrong_the_worst_first():
    # Called at .5: the first misses places 1 and 3, the second 2 and 3; a third 1, 2 and 3.
    third = predicted(np.array([0.9, 0.2, 0.1, 0.7, 0.1]))
    found = common_errors({"one": [predicted(FIRST)], "two": [predicted(SECOND), third]})
    assert found["path"].tolist() == ["test/3.jpeg"]
    assert found.loc[0, ["patient", "label"]].tolist() == ["d", 0]
    assert found.loc[0, "score"] == pytest.approx((0.5 + 0.5 + 0.7) / 3)
    two = common_errors({"one": [predicted(FIRST)], "two": [third]})
    assert two["path"].tolist() == ["test/1.jpeg", "test/3.jpeg"]


def test_nobody_misses_what_one_gets_right():
    right = predicted(LABELS.astype(float))
    assert common_errors({"one": [predicted(FIRST)], "two": [right]}).empty
