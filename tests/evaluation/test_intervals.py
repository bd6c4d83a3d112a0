import numpy as np
import pytest
from scipy.stats import binomtest

from xraylib.evaluation.intervals import (
    newcombe_auc,
    patient_weights,
    percentiles,
    wilson_at_edge,
)

# 1.96, squared.
SQUARED = 3.8415


def test_patients_are_drawn_with_all_their_images():
    weights = patient_weights(list("abcab"), 500, 0)
    assert weights.shape == (500, 5)
    assert (weights[:, 0] == weights[:, 3]).all()
    # As many patients as there are.
    assert (weights[:, :3].sum(axis=1) == 3).all()
    assert weights.mean(axis=0) == pytest.approx(np.ones(5), abs=0.15)


def test_percentiles_leave_undefined_resamples_out():
    nan = np.nan
    low, high = percentiles(np.array([[1, nan], [2, nan], [nan, nan], [3, nan]]))
    assert low == pytest.approx([1.05, nan], nan_ok=True)
    assert high == pytest.approx([2.95, nan], nan_ok=True)


@pytest.mark.parametrize("value", [0, 1])
@pytest.mark.parametrize("count", [1, 7, 1000])
def test_wilson_is_scipys(value, count):
    expected = binomtest(value * count, count).proportion_ci(method="wilson")
    assert wilson_at_edge(value, count) == pytest.approx(tuple(expected), abs=1e-12)


def test_newcombe_of_a_perfect_auc_of_five_and_five():
    # (1 - a)^2 = 1.96^2 a (1 - a) (1 + 4 ((1 - a) / (2 - a) + a / (1 + a))) / 25 at a = .6428.
    low, high = newcombe_auc(1.0, 5, 5)
    assert (round(low, 3), high) == (0.643, 1.0)


def test_newcombe_of_one_pair():
    # (1 - a)^2 = 1.96^2 a (1 - a), as of one success of one.
    assert newcombe_auc(1, 1, 1) == pytest.approx([1 / (1 + SQUARED), 1], abs=1e-4)


@pytest.mark.parametrize("value", [0.01, 0.5, 0.8, 0.999])
def test_newcombe_ends_where_the_value_is_so_many_errors_away(value):
    for auc in newcombe_auc(value, 20, 30):
        rest = 24 * ((1 - auc) / (2 - auc) + auc / (1 + auc))
        variance = auc * (1 - auc) * (1 + rest) / 600
        assert (value - auc) ** 2 / variance == pytest.approx(SQUARED, abs=1e-3)


@pytest.mark.parametrize("value", [0, 0.2, 0.5])
def test_newcombe_is_mirrored_with_the_auc_and_the_classes(value):
    low, high = newcombe_auc(value, 20, 30)
    assert 0 <= low <= value <= high <= 1
    assert newcombe_auc(1 - value, 20, 30) == pytest.approx((1 - high, 1 - low))
    assert newcombe_auc(value, 30, 20) == pytest.approx((low, high))


@pytest.mark.parametrize(
    ("interval", "message"),
    [
        (lambda: wilson_at_edge(0.5, 9), r"value must be 0 or 1\. Received: 0\.5"),
        (lambda: wilson_at_edge(1, 0), r"count must be 1 or more\. Received: 0"),
        (lambda: newcombe_auc(-0.1, 9, 9), r"value must be in \[0, 1\]"),
        (lambda: newcombe_auc(float("nan"), 9, 9), r"value must be in \[0, 1\]"),
        (lambda: newcombe_auc(0.5, 0, 9), r"positives must be 1 or more\. Received: 0"),
        (lambda: newcombe_auc(0.5, 9, 0), r"negatives must be 1 or more\. Received: 0"),
    ],
)
def test_numbers_out_of_range(interval, message):
    with pytest.raises(ValueError, match=message):
        interval()
