import hypothesis
import numpy as np
import pandas as pd
import pytest
from hypothesis import strategies
from scipy.special import expit, logit
from support.predictions import predicted

from xraylib.evaluation import metrics
from xraylib.evaluation.calibration import (
    TEMPERATURES,
    net_benefit,
    reliability,
    rescaled,
    summary,
    temperature,
)

LABELS = np.array([0, 1, 1, 1])
SCORES = np.array([0.2, 0.4, 0.6, 1.0])
VALIDATION = predicted([0, 1], [0.2, 0.8], split="validation")
PARTS = ["reliability", "resolution", "uncertainty", "within"]


def measured(labels, scores, **more):
    """The rows of test of `summary`, as the scores are, by metric."""
    table = summary(pd.concat([VALIDATION, predicted(labels, scores)]), **more)
    return rows(table, "test", fitted=False)


def rows(table, split, *, fitted):
    part = table[(table["split"] == split) & ((table["temperature"] != 1) == fitted)]
    return part.set_index("metric")


# ------------------------------------------------------------------ summary


def test_parts_of_the_brier_score_by_hand():
    # Two bins: mean scores .3 and .8, shares 1/2 and 1, of all 3/4. The variance within them is
    # .01 and .04, the covariance with the labels .05 and 0.
    value = measured(LABELS, SCORES, bins=2, resamples=0)["value"]
    assert value["Brier"] == pytest.approx((0.04 + 0.36 + 0.16 + 0) / 4)
    assert value["reliability"] == pytest.approx((0.2**2 + 0.2**2) / 2)
    assert value["resolution"] == pytest.approx((0.25**2 + 0.25**2) / 2)
    assert value["uncertainty"] == pytest.approx(3 / 16)
    assert value["within"] == pytest.approx((0.01 + 0.04) / 2 - 2 * (0.05 + 0) / 2)


@pytest.mark.slow
@hypothesis.given(strategies.data())
@hypothesis.settings(max_examples=300, deadline=None, derandomize=True, database=None)
def test_the_parts_add_up(data):
    score = strategies.integers(0, data.draw(strategies.sampled_from([1, 4, 1000])))
    image = strategies.tuples(strategies.integers(0, 1), score)
    images = np.array(data.draw(strategies.lists(image, min_size=1, max_size=40)))
    bins = data.draw(strategies.integers(1, 50))
    labels, scores = images[:, 0], images[:, 1] / max(images[:, 1].max(), 1)
    value = measured(labels, scores, bins=bins, resamples=0)["value"]
    assert value["Brier"] == pytest.approx(((labels - scores) ** 2).mean(), abs=1e-12)
    total = value["reliability"] - value["resolution"] + value["uncertainty"] + value["within"]
    assert total == pytest.approx(value["Brier"], abs=1e-12)
    assert value[PARTS[:3]].min() >= 0
    assert value["resolution"] <= value["uncertainty"] + 1e-12


def test_one_score_per_bin_leaves_nothing_within():
    labels, scores = np.arange(30) % 2, np.arange(30) % 3 / 4
    value = measured(labels, scores, bins=30, resamples=0)["value"]
    assert value["within"] == pytest.approx(0, abs=1e-15)


@pytest.mark.parametrize(
    ("labels", "scores", "brier", "ece"),
    [
        ([0, 0, 1, 1], [0, 0, 1, 1], (0, 0, 1 / 4, 1 / 4, 0), 0),  # perfect
        ([0, 0, 1, 1], [1, 1, 0, 0], (1, 1, 1 / 4, 1 / 4, 0), 1),  # worst
        ([0, 0, 0, 1], [0.5] * 4, (1 / 4, 1 / 16, 0, 3 / 16, 0), 1 / 4),  # constant
        ([0, 0, 0, 1], [0.25] * 4, (3 / 16, 0, 0, 3 / 16, 0), 0),  # constant, at the prevalence
        ([1, 1], [0.8, 0.8], (0.04, 0.04, 0, 0, 0), 0.2),  # one class
        ([0, 0], [0.8, 0.8], (0.64, 0.64, 0, 0, 0), 0.8),
    ],
)
def test_brier_and_ece_at_their_ends(labels, scores, brier, ece):
    value = measured(labels, scores, resamples=0)["value"]
    assert value["Brier":"within"].tolist() == pytest.approx(brier)
    assert value["ECE"] == pytest.approx(ece)


@pytest.mark.parametrize(
    ("labels", "scores", "bins", "expected"),
    [
        (LABELS, SCORES, 2, 0.2),
        (LABELS, SCORES, 1, 0.2),  # the mean score .55 stands against 3/4
        (LABELS, SCORES, 4, (0.2 + 0.6 + 0.4 + 0) / 4),
        # Three images at .5, of which one is of class 1, and one at .9: bins count by images.
        ([0, 0, 1, 1], [0.5, 0.5, 0.5, 0.9], 2, 3 / 4 * (1 / 2 - 1 / 3) + 1 / 4 * 0.1),
    ],
)
def test_ece_by_hand(labels, scores, bins, expected):
    value = measured(labels, scores, bins=bins, resamples=0)["value"]
    assert value["ECE"] == pytest.approx(expected)


@pytest.mark.slow
def test_chance_makes_an_ece_as_large_as_the_docstring_says():
    rng, eces = np.random.default_rng(0), []
    for _ in range(50):
        scores = expit(rng.normal(0, 2, 800))
        labels = (rng.random(800) < scores).astype(int)
        eces.append(measured(labels, scores, resamples=0)["value"]["ECE"])
    assert np.mean(eces) == pytest.approx(0.03, abs=0.005)


@pytest.fixture
def predictions():
    # On validation .8 means .6, as .2 means .4; on test .8 means 0 and .2 as well.
    labels, scores = [1, 1, 1, 0, 0, 0, 0, 0, 1, 1], [0.8] * 5 + [0.2] * 5
    validation = predicted(labels, scores, split="validation")
    return pd.concat([predicted([0] * 4, [0.8, 0.8, 0.2, 0.2]), validation])


def test_summary_has_both_splits_at_both_temperatures(predictions):
    table = summary(predictions, resamples=10)
    assert list(table) == ["split", "temperature", "metric", "value", "low", "high"]
    parts = table[["split", "temperature"]].drop_duplicates()
    fitted = np.log(4) / np.log(1.5)
    assert parts["split"].tolist() == ["validation", "validation", "test", "test"]
    assert parts["temperature"].tolist() == pytest.approx([1, fitted, 1, fitted], rel=1e-5)
    names = ["Brier", *PARTS, "ECE", "mean score minus prevalence"]
    assert table["metric"].tolist() == names * 4


def test_a_fitted_temperature_of_1_has_its_rows_too():
    validation = predicted([0, 1], [0.5, 0.5], split="validation")
    table = summary(pd.concat([validation, predicted([0, 1], [0.2, 0.8])]), resamples=0)
    assert table["temperature"].tolist() == [1] * 28


def test_summary_by_hand(predictions):
    table = summary(predictions, resamples=10)
    # In both bins the score is .2 off, up in one and down in the other.
    assert rows(table, "validation", fitted=False)["value"].tolist() == pytest.approx(
        [(6 * 0.04 + 4 * 0.64) / 10, 0.04, 0.01, 0.25, 0, 0.2, 0], abs=1e-12
    )
    assert rows(table, "validation", fitted=True)["value"].tolist() == pytest.approx(
        [0.24, 0, 0.01, 0.25, 0, 0, 0], abs=1e-6
    )
    # What validation mends does not hold on test.
    for fitted, expected in ((False, (0.64 + 0.04) / 2), (True, (0.36 + 0.16) / 2)):
        value = rows(table, "test", fitted=fitted)["value"]
        assert value["ECE"] == pytest.approx(0.5)
        assert value["mean score minus prevalence"] == pytest.approx(0.5)
        assert value["reliability"] == pytest.approx(expected, abs=1e-6)


def test_test_has_no_say_in_the_temperature(predictions):
    other = predictions.assign(label=np.where(predictions["split"] == "test", 1, predictions.label))
    tables = [summary(each, resamples=0) for each in (predictions, other)]
    assert tables[0]["temperature"].tolist() == tables[1]["temperature"].tolist()
    assert tables[0]["value"].tolist() != tables[1]["value"].tolist()


def test_interval_of_brier_is_that_of_metrics(predictions):
    part = predictions[predictions["split"] == "validation"]
    arrays, bounds = (part["label"], part["score"]), ["value", "low", "high"]
    expected = metrics.estimate(*arrays, patients=part["patient"], resamples=100, seed=3)
    expected = expected.set_index("metric").loc["Brier", bounds].tolist()
    table = rows(summary(predictions, resamples=100, seed=3), "validation", fitted=False)
    assert table.loc["Brier", bounds].tolist() == pytest.approx(expected)


def test_interval_of_ece_takes_off_what_chance_adds():
    # Calibrated, so that the ECE is chance, and in a resample chance twice.
    rng = np.random.default_rng(0)
    scores = expit(rng.normal(0, 2, 400))
    ece = measured((rng.random(400) < scores).astype(int), scores, resamples=200).loc["ECE"]
    assert 0 <= ece["low"] < ece["value"] / 2
    assert ece["low"] < ece["high"] < 2 * ece["value"]


def test_only_the_parts_of_the_brier_score_have_no_interval(predictions):
    table = rows(summary(predictions, resamples=200), "validation", fitted=False)
    low, value, high = table.loc["mean score minus prevalence", ["low", "value", "high"]]
    assert low < value < high
    assert table.index[table["low"].isna()].tolist() == PARTS
    assert table.index[table["high"].isna()].tolist() == PARTS


def test_no_resamples_no_interval(predictions):
    assert summary(predictions, resamples=0)[["low", "high"]].isna().all(axis=None)


def test_validation_of_one_class(predictions):
    with pytest.raises(ValueError, match="temperature needs both classes: all labels are 0"):
        summary(predictions.assign(label=0))


# ------------------------------------------------------------------ reliability


def test_reliability_by_hand():
    labels = np.array([0, 0, 1, 0, 1, 1, 0, 1])
    scores = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8])
    table = reliability(labels, scores, bins=2)
    assert list(table) == ["images", "score", "observed"]
    assert table["images"].tolist() == [4, 4]
    assert table["score"].tolist() == pytest.approx([0.25, 0.65])
    assert table["observed"].tolist() == pytest.approx([1 / 4, 3 / 4])


def test_the_order_of_images_does_not_matter():
    rng = np.random.default_rng(0)
    labels, scores = np.arange(60) % 2, rng.integers(0, 20, 60) / 19
    order = rng.permutation(60)
    shuffled = reliability(labels[order], scores[order])
    pd.testing.assert_frame_equal(reliability(labels, scores), shuffled)


def test_bins_are_of_equal_mass_and_keep_ties_together():
    labels, scores = np.arange(100) % 2, np.arange(100) / 1000
    assert reliability(labels, scores)["images"].tolist() == [10] * 10
    scores[5:65] = 0.05
    table = reliability(labels, scores)
    assert table["images"].max() >= 60
    assert table["images"].sum() == 100
    assert table["score"].is_monotonic_increasing


# ------------------------------------------------------------------ temperature


@pytest.mark.parametrize("true", [0.5, 1.0, 2.5])
def test_a_known_temperature_is_recovered(true):
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, 20_000)
    labels = rng.random(20_000) < expit(logits / true)
    assert temperature(labels, expit(logits)) == pytest.approx(true, rel=0.05)


def test_temperature_by_hand():
    # Of those that say .8 are 3/5 of class 1: expit(logit(.8) / T) = .6.
    expected = np.log(4) / np.log(1.5)
    assert temperature([1, 1, 1, 0, 0], [0.8] * 5) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("labels", "scores", "expected"),
    [
        ([0, 0, 1, 1], [0.1, 0.4, 0.6, 0.9], TEMPERATURES[0]),  # perfect
        ([0, 0, 1, 1], [0.0, 0.0, 1.0, 1.0], TEMPERATURES[0]),  # perfect and saturated
        ([0, 0, 1, 1], [0.9, 0.6, 0.4, 0.1], TEMPERATURES[1]),  # worst
        ([0, 0, 1, 1], [1.0, 1.0, 0.0, 0.0], TEMPERATURES[1]),
        ([0, 0, 0, 1], [0.8] * 4, TEMPERATURES[1]),  # constant, on the wrong side
        ([0, 0, 0, 1], [0.5] * 4, 1),  # constant, where nothing changes it
    ],
)
def test_temperature_at_its_ends(labels, scores, expected):
    assert temperature(labels, scores) == pytest.approx(expected)


def test_one_saturated_error_counts_by_the_clipped_logit():
    # Three of four that say 1 are right: expit(logit(1 - 1e-6) / T) = 3/4.
    expected = logit(1 - 1e-6) / np.log(3)
    assert temperature([1, 1, 1, 0], [1.0] * 4) == pytest.approx(expected, rel=1e-5)


def test_rescaled_by_hand():
    # Half the logit is the root of the odds: 4 to 1 become 2 to 1.
    assert rescaled([0.8, 0.5, 0.2], 2) == pytest.approx([2 / 3, 1 / 2, 1 / 3])
    assert rescaled([2 / 3], 0.5) == pytest.approx([0.8])


def test_rescaled_at_1_clips_alone():
    scores = [0, 1e-9, 1e-6, 0.3, 0.99, 1]
    assert rescaled(scores, 1) == pytest.approx([1e-6, 1e-6, 1e-6, 0.3, 0.99, 1 - 1e-6], rel=1e-9)


@pytest.mark.parametrize("wrong", [0, -1, np.nan, np.inf])
def test_invalid_temperature(wrong):
    with pytest.raises(ValueError, match=f"above 0 and finite. Received: {wrong}"):
        rescaled(SCORES, wrong)


# ------------------------------------------------------------------ net_benefit


def test_net_benefit_by_hand():
    # From .2 on two of class 1 and one of class 0 are called, of ten; a false call costs 1/4.
    labels = np.array([1, 1, 1, 0, 0, 0, 0, 0, 0, 0])
    scores = np.array([0.9, 0.2, 0.1, 0.8, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1])
    table = net_benefit(labels, scores, thresholds=[0.2, 0.5, 0.95])
    assert list(table) == ["threshold", "scores", "all", "none"]
    assert table["threshold"].tolist() == [0.2, 0.5, 0.95]
    assert table["scores"].tolist() == pytest.approx([0.2 - 0.1 / 4, 0.1 - 0.1, 0])
    assert table["all"].tolist() == pytest.approx([0.3 - 0.7 / 4, 0.3 - 0.7, 0.3 - 0.7 * 19])
    assert table["none"].tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("labels", "scores", "expected"),
    [
        ([0, 0, 1, 1], [0, 0, 1, 1], 1 / 2),  # perfect: the prevalence
        ([0, 0, 1, 1], [1, 1, 0, 0], -1 / 2 / 4),  # worst: false calls alone
        ([0, 0, 0, 1], [0.5] * 4, 1 / 4 - 3 / 4 / 4),  # constant: as of calling all
        ([0, 0, 0, 1], [0.1] * 4, 0),  # constant: as of calling none
        ([1, 1], [0.1, 0.2], 1 / 2),  # one class, of which a score at .2 is called
        ([0, 0], [0.1, 0.9], -1 / 2 / 4),
    ],
)
def test_net_benefit_at_its_ends(labels, scores, expected):
    table = net_benefit(labels, scores, thresholds=[0.2])
    assert table["scores"].tolist() == pytest.approx([expected])


def test_at_0_all_are_called_for_nothing():
    assert net_benefit(LABELS, SCORES, thresholds=[0]).loc[0].tolist() == [0, 0.75, 0.75, 0]


@pytest.mark.parametrize("wrong", [1, -0.1, np.nan])
def test_invalid_thresholds(wrong):
    with pytest.raises(ValueError, match=rf"in \[0, 1\). Received: \[{float(wrong)}\]"):
        net_benefit(LABELS, SCORES, thresholds=[0.2, wrong])


@pytest.mark.parametrize(
    "call",
    [
        lambda scores: reliability([0, 1], scores),
        lambda scores: temperature([0, 1], scores),
        lambda scores: rescaled(scores, 2),
        lambda scores: net_benefit([0, 1], scores, thresholds=[0.5]),
    ],
)
def test_scores_out_of_range(call):
    with pytest.raises(ValueError, match=r"scores must be in \[0, 1\]; 1 are not"):
        call([0.5, 1.5])


def test_no_bins(predictions):
    for call in (lambda: reliability(LABELS, SCORES, bins=0), lambda: summary(predictions, bins=0)):
        with pytest.raises(ValueError, match=r"bins must be 1 or more\. Received: 0"):
            call()
