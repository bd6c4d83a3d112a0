"""Conformal sets: the promised coverage on images of the same kind, and its loss on others."""

import numpy as np
import pytest

from xraylib.evaluation import conformal


def made(rng, count, shift=0.0):
    labels = (rng.uniform(size=count) < 0.7).astype(int)
    logits = rng.normal(3 * labels - 1.5 + shift, 1.5)
    return labels, 1 / (1 + np.exp(-logits))


@pytest.mark.parametrize("wanted", [0.8, 0.9, 0.95])
@pytest.mark.parametrize("by_class", [True, False])
def test_sets_hold_the_true_class_as_often_as_promised(wanted, by_class):
    rng = np.random.default_rng(0)
    reached = []
    for _ in range(200):
        limits = conformal.limits(*made(rng, 300), coverage=wanted, by_class=by_class)
        labels, scores = made(rng, 300)
        reached.append(conformal.coverage(labels, conformal.sets(scores, limits)))
    # At least that, and by 1 / (n + 1) at most more: of class 0 there are about 90.
    assert wanted - 0.005 < np.mean(reached) < wanted + 0.02


def test_each_class_is_covered_only_where_asked_for():
    rng = np.random.default_rng(1)
    calibration, (labels, scores) = made(rng, 20_000, shift=1.5), made(rng, 20_000, shift=1.5)
    of_normal = []
    for by_class in (True, False):
        limits = conformal.limits(*calibration, coverage=0.9, by_class=by_class)
        chosen = conformal.sets(scores, limits)[labels == 0]
        of_normal.append(conformal.coverage(np.zeros(len(chosen)), chosen))
    assert of_normal[0] == pytest.approx(0.9, abs=0.01)
    assert of_normal[1] < 0.8


def test_a_shift_breaks_the_promise():
    rng = np.random.default_rng(2)
    limits = conformal.limits(*made(rng, 5000), coverage=0.95)
    labels, scores = made(rng, 5000, shift=2)
    assert conformal.coverage(labels, conformal.sets(scores, limits)) < 0.9


def test_too_few_images_rule_nothing_out():
    assert conformal.limits([0, 1], [0.1, 0.9], coverage=0.9).tolist() == [1, 1]
    assert conformal.sets([0.0, 1.0], [1, 1]).all()


@pytest.mark.parametrize(
    ("labels", "scores", "wanted", "said"),
    [
        ([1, 1], [0.1, 0.9], 0.9, "needs both classes"),
        ([0, 1], [0.1, 0.9], 1.0, "coverage must be between 0 and 1"),
        ([0, 1], [0.1, 1.9], 0.9, r"scores must be in \[0, 1\]"),
    ],
)
def test_wrong_input_is_refused(labels, scores, wanted, said):
    with pytest.raises(ValueError, match=said):
        conformal.limits(labels, scores, coverage=wanted)
