import numpy as np
import pytest
from scipy import stats
from support.predictions import simulated

from xraylib.evaluation.intervals import patient_weights
from xraylib.evaluation.metrics import weighted_metrics
from xraylib.evaluation.significance import bootstrap, delong, holm, mcnemar

# Three images of class 1 and two of class 0.
LABELS = np.array([1, 1, 1, 0, 0])
FIRST = np.array([0.9, 0.4, 0.6, 0.5, 0.1])
SECOND = np.array([0.9, 0.8, 0.3, 0.5, 0.3])


# ------------------------------------------------------------------ delong


def test_delong_by_hand():
    # The share of class 0 below each of class 1, ties half:  first 1, 1/2, 1;  second 1, 1, 1/4.
    # The share of class 1 above each of class 0:             first 2/3, 1;     second 2/3, 5/6.
    # Both means are the AUC, 5/6 and 3/4. The differences are 0, 1/2, -3/4 and 0, -1/6; from
    # their mean of -1/12 they deviate by 1/12, 7/12, -8/12 and 1/12, -1/12.
    # Class 1: (1 + 49 + 64)/144 / 2 = 57/144, over 3 images 19/144.
    # Class 0: (1 + 1)/144 / 1 = 2/144, over 2 images 1/144. Together 20/144.
    result = delong(LABELS, FIRST, SECOND)
    assert result.difference == pytest.approx(-1 / 12)
    assert result.standard_error == pytest.approx((20 / 144) ** 0.5)
    z = 1 / 12 / (20 / 144) ** 0.5  # .2236
    assert result.p == pytest.approx(2 * (1 - stats.norm.cdf(z)))
    assert result.p == pytest.approx(0.8231, abs=1e-4)
    assert result.low == pytest.approx(-1 / 12 - 1.959964 * (20 / 144) ** 0.5)
    assert result.high == pytest.approx(-1 / 12 + 1.959964 * (20 / 144) ** 0.5)


def test_delong_of_clusters_by_hand():
    # The deviations above, summed up within patients a, b, c:
    # class 1 of a and b: 1/12, 7/12 - 8/12 = -1/12;  class 0 of a and c: 1/12, -1/12.
    # Class 1: 2/(2 - 1) * (1 + 1)/144 / 3 images = 4/3/144, over 3 images 4/9/144.
    # Class 0: 2/(2 - 1) * (1 + 1)/144 / 2 images = 2/144, over 2 images 1/144.
    # Both, of a alone: 3/(3 - 1) * 1/144 = 3/2/144, twice over 3 * 2 images 1/2/144.
    result = delong(LABELS, FIRST, SECOND, patients=list("abbac"))
    assert result.difference == pytest.approx(-1 / 12)
    assert result.standard_error**2 == pytest.approx((4 / 9 + 1 + 1 / 2) / 144)


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


@pytest.mark.slow
@pytest.mark.parametrize("images", [1, 3])
def test_the_standard_error_is_that_of_a_bootstrap(images):
    labels, first, second, patients = simulated(300, seed=2, images=images, gain=0.5)
    weights = patient_weights(patients, 2000, 0)
    resampled = [
        weighted_metrics(labels, stats.norm.cdf(scores), 0.5, weights)[:, 0]
        for scores in (first, second)
    ]
    result = delong(labels, first, second, patients=patients)
    assert result.standard_error == pytest.approx(np.std(resampled[1] - resampled[0]), rel=0.1)
    # That of two AUCs that have nothing to do with each other would be larger.
    assert result.standard_error < 0.95 * np.hypot(*np.std(resampled, axis=1))


@pytest.mark.parametrize("seed", range(5))
def test_the_difference_is_that_of_scikit_learn(seed):
    from sklearn.metrics import roc_auc_score

    labels, first, second, _ = simulated(50, seed=seed, gain=1)
    first, second = first.round(), second.round()  # with ties
    expected = roc_auc_score(labels, second) - roc_auc_score(labels, first)
    assert delong(labels, first, second).difference == pytest.approx(expected, abs=1e-12)


def test_delong_swapped():
    difference, low, high, error, p = delong(LABELS, FIRST, SECOND)
    assert delong(LABELS, SECOND, FIRST) == (-difference, -high, -low, error, p)


def test_seeds_are_averaged():
    labels, first, second, _ = simulated(60, seed=3)
    _, third, _, _ = simulated(60, seed=4)
    pair = [delong(labels, first, other) for other in (second, third)]
    result = delong(labels, first, np.stack([second, third]))
    assert result.difference == pytest.approx(np.mean([each.difference for each in pair]))
    # The average of two varies less than either.
    assert result.standard_error < min(each.standard_error for each in pair)


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


@pytest.mark.slow
@pytest.mark.parametrize("images", [1, 4])
def test_false_alarms_are_as_rare_as_the_level_says(images):
    result = []
    for seed in range(400):
        labels, first, second, patients = simulated(200 // images, seed=seed, images=images)
        result.append(delong(labels, first, second, patients=patients).p)
    assert 0.02 < np.mean(np.array(result) < 0.05) < 0.09


@pytest.mark.slow
def test_images_of_a_patient_taken_as_independent_raise_false_alarms():
    result = [delong(*simulated(50, seed=seed, images=4)[:3]).p for seed in range(200)]
    assert np.mean(np.array(result) < 0.05) > 0.12


@pytest.mark.parametrize(
    ("changed", "message"),
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
    ],
)
def test_what_delong_refuses(changed, message):
    arrays = {"labels": LABELS, "first": FIRST, "second": SECOND} | changed
    with pytest.raises(ValueError, match=message):
        delong(**arrays)


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


def test_no_discordant_image():
    assert mcnemar([0, 1], [True, True], [True, True]) == (0, 0, 1)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (([0, 1], [0, 1], [0]), "2 labels, 2 and 1 decisions: give one or more of each"),
        (([], [], []), "0 labels, 0 and 0 decisions"),
        (([0, 2], [0, 1], [0, 1]), r"labels must be 0 or 1\. Received: \[0, 2\]"),
        (([0, 1], [0.2, 0.7], [0, 1]), r"first must be 0 or 1\. Received: \[0\.2, 0\.7\]"),
        (([0, 1], [0, 1], [np.nan, 1]), r"second must be 0 or 1\. Received: \[nan, 1\.0\]"),
    ],
)
def test_what_mcnemar_refuses(arrays, message):
    with pytest.raises(ValueError, match=message):
        mcnemar(*arrays)


# ------------------------------------------------------------------ bootstrap


@pytest.mark.parametrize(
    ("differences", "p"),
    [
        ([1, 2, 3, -1], 2 * 2 / 5),  # one on the other side
        ([1, 2, 3, 0], 2 * 2 / 5),  # 0 is on both sides
        ([1] * 39, 2 / 40),  # never 0
        ([0, 0], 1),
        ([-1, 1], 1),
    ],
)
def test_p_of_the_bootstrap_by_hand(differences, p):
    differences = np.array(differences, dtype=float)
    assert bootstrap(differences)[2] == pytest.approx(p)
    assert bootstrap(-differences)[2] == pytest.approx(p)


def test_interval_of_the_bootstrap_by_hand():
    differences = np.append(np.arange(41.0), np.nan)
    assert bootstrap(differences)[:2] == pytest.approx((1, 39))
    assert np.isnan(bootstrap(np.array([np.nan]))).all()


# ------------------------------------------------------------------ holm


@pytest.mark.parametrize(
    ("p", "expected"),
    [
        # In order .01, .02, .03, .04, times 4, 3, 2, 1: .04, .06, .06, .04, and none below another.
        ([0.03, 0.01, 0.04, 0.02], [0.06, 0.04, 0.06, 0.06]),
        ([0.6, 0.7, 0.001], [1, 1, 0.003]),  # at most 1
        ([np.nan, 0.02, np.nan, 0.01], [np.nan, 0.02, np.nan, 0.02]),  # NaN is no test
        ([0.3], [0.3]),
        ([], []),
    ],
)
def test_holm_by_hand(p, expected):
    assert holm(p) == pytest.approx(expected, nan_ok=True)


def test_invalid_p():
    with pytest.raises(ValueError, match=r"p must be in \[0, 1\]; 2 are not\. .*\[-0\.1, 2\.0\]"):
        holm([0.5, -0.1, 2, np.nan])
