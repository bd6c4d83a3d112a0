import numpy as np
import pytest

from xraylib.evaluation import weighting


def test_weights_by_hand():
    # Below 5 are 3 of 4 of class 0 and 1 of 4 of class 1: the smaller share is 1/4 on both sides.
    labels = [0, 0, 0, 1, 0, 1, 1, 1]
    result = weighting.weights(labels, [1, 2, 3, 4, 6, 7, 8, 9], bins=2)
    assert result == pytest.approx([2 / 3, 2 / 3, 2 / 3, 2, 2, 2 / 3, 2 / 3, 2 / 3])


def test_a_bin_of_one_class_has_no_weight():
    result = weighting.weights([0, 0, 0, 1, 1, 1], [1, 2, 3, 4, 5, 6], bins=3)
    assert result.tolist() == [0, 0, 3, 3, 0, 0]


def test_matching_keeps_the_prevalence():
    rng = np.random.default_rng(0)
    labels = (np.arange(200) < 150).astype(int)
    weights = weighting.weights(labels, rng.normal(size=200) + labels)
    assert weights.min() >= 0
    assert weights[labels == 1].sum() == pytest.approx(150)
    assert weights[labels == 0].sum() == pytest.approx(50)


@pytest.mark.parametrize("rare", [0, 1])
def test_equal_values_stay_together_and_apart_from_others(rare):
    # The rare value is that of 1 of 8 of class 0 and of 3 of 8 of class 1: the smaller shares are
    # 1/8 of it and 5/8 of the other, together 3/4.
    labels = np.array([0, 1, 1, 1] + [0] * 7 + [1] * 5)
    values = np.array([rare] * 4 + [1 - rare] * 12)
    expected = [4 / 3, 4 / 9, 4 / 9, 4 / 9] + [20 / 21] * 7 + [4 / 3] * 5
    assert weighting.weights(labels, values, bins=2) == pytest.approx(expected)


def test_the_same_values_in_both_classes_leave_nothing_to_match():
    values = np.repeat([-3.0, 0.5, 7.0], 2)
    assert weighting.weights([0, 1] * 3, values) == pytest.approx(np.ones(6))


@pytest.mark.parametrize(("count", "share"), [(200, 0.75), (2000, 0.5)])
def test_matched_values_tell_nothing_of_the_classes(count, share):
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(0)
    labels = (np.arange(count) < share * count).astype(int)
    aucs, sizes = [], []
    for _ in range(30):
        values = rng.normal(size=count) + 1.5 * labels
        weights = weighting.weights(labels, values)
        aucs.append(roc_auc_score(labels, values, sample_weight=weights))
        sizes.append(weighting.effective_size(weights))
    # Unmatched it is .86.
    assert np.mean(aucs) == pytest.approx(0.5, abs=0.01)
    assert np.mean(sizes) > count / 3


@pytest.mark.parametrize(
    ("labels", "values", "message"),
    [
        ([0, 1, 1], [1, 2], "3 labels and 2 values: give one of each"),
        ([0, 0], [1, 2], r"with both present\. Received: \[0\]"),
        ([], [], r"with both present\. Received: \[\]"),
        ([0, 1, 2], [1, 2, 3], r"with both present\. Received: \[0, 1, 2\]"),
        ([0, 1, 1], [1, np.nan, np.inf], "2 of 3 values are not finite"),
        ([0, 0, 1, 1], [1, 2, 3, 4], "none of 2 bins has both classes: they cannot be matched"),
    ],
)
def test_classes_that_cannot_be_matched(labels, values, message):
    with pytest.raises(ValueError, match=message):
        weighting.weights(np.array(labels), np.array(values))


def test_no_bins():
    with pytest.raises(ValueError, match=r"bins must be 1 or more\. Received: 0"):
        weighting.weights([0, 1], [1, 2], bins=0)


@pytest.mark.parametrize(
    ("weights", "size"), [([2, 2, 2], 3), ([1, 0, 0], 1), ([3, 1], 1.6), ([0.5], 1)]
)
def test_effective_size_by_hand(weights, size):
    assert weighting.effective_size(np.array(weights)) == pytest.approx(size)
