import numpy as np
import pytest
from scipy.stats import binomtest

from xraylib.evaluation.intervals import newcombe_auc, wilson_share

# 1.96, squared.
SQUARED = 3.8415


@pytest.mark.parametrize(("successes", "count"), [(0, 1), (3, 10), (5, 10), (99, 100), (4, 4)])
@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.999])
def test_wilson_is_scipys(successes, count, confidence):
    expected = binomtest(successes, count).proportion_ci(confidence, method="wilson")
    found = wilson_share(successes / count, count, confidence=confidence)
    assert found == pytest.approx([expected.low, expected.high], abs=1e-12)


@pytest.mark.parametrize("count", [1, 7, 1000])
def test_wilson_of_no_error_and_of_no_success(count):
    low, high = wilson_share(1, count)
    assert (low, high) == (pytest.approx(count / (count + SQUARED), abs=1e-4), 1)
    assert wilson_share(0, count) == (0, pytest.approx(SQUARED / (count + SQUARED), abs=1e-4))


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
    assert newcombe_auc(1 - value, 20, 30) == pytest.approx((1 - high, 1 - low))
    assert newcombe_auc(value, 30, 20) == pytest.approx((low, high))


@pytest.mark.parametrize("value", [0, 0.7, 1])
@pytest.mark.parametrize("interval", [wilson_share, lambda *of, **how: newcombe_auc(*of, 9, **how)])
def test_more_confidence_is_wider_and_holds_the_value(interval, value):
    widths = []
    for confidence in (1e-4, 0.5, 0.95, 0.9999):
        low, high = interval(value, 9, confidence=confidence)
        assert 0 <= low <= value <= high <= 1
        widths.append(high - low)
    assert (np.diff(widths) > 0).all()


@pytest.mark.parametrize(
    ("interval", "wrong"),
    [
        (lambda: wilson_share(1.5, 9), r"value=1\.5, counts=\(9,\), confidence=0\.95"),
        (lambda: wilson_share(float("nan"), 9), "value=nan"),
        (lambda: wilson_share(0.5, 0), r"counts=\(0,\)"),
        (lambda: newcombe_auc(-0.1, 9, 9), "value=-0.1"),
        (lambda: newcombe_auc(0.5, 9, 0), r"counts=\(9, 0\)"),
        (lambda: newcombe_auc(0.5, 9, 9, confidence=1), "confidence=1"),
    ],
)
def test_numbers_out_of_range(interval, wrong):
    with pytest.raises(ValueError, match=rf"each count 1 or more, .* Received: .*{wrong}"):
        interval()
