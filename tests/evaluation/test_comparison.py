import numpy as np
import pandas as pd
import pytest
from scipy import stats
from support import predictions
from support.predictions import simulated

from xraylib.evaluation.comparison import (
    averages,
    common_errors,
    difference,
    differences,
    discordances,
)
from xraylib.evaluation.metrics import METRICS, estimate
from xraylib.evaluation.significance import delong, holm

# Three images of class 1 and two of class 0.
LABELS = np.array([1, 1, 1, 0, 0])
FIRST = np.array([0.9, 0.4, 0.6, 0.5, 0.1])
SECOND = np.array([0.9, 0.8, 0.3, 0.5, 0.3])


def predicted(scores=FIRST, labels=LABELS, patients="abcde", split="test"):
    return predictions.predicted(labels, scores, patients, split)


def many(seed, images=2, **more):
    """Predictions of two runs on 30 patients."""
    labels, first, second, patients = simulated(30, seed=seed, images=images, **more)
    return [predicted(stats.norm.cdf(scores - 0.5), labels, patients) for scores in (first, second)]


# ------------------------------------------------------------------ averages


def test_the_mean_and_the_spread_of_seeds_by_hand():
    step = {"one": [predicted(FIRST), predicted(SECOND)], "two": [predicted(FIRST)]}
    result = averages(step, splits=["test"], resamples=0).set_index(["step", "metric"])
    auc = result.loc[("one", "AUC")]
    # Of class 1 against class 0 are right 1, 1/2, 1 and 1, 1, 1/4.
    assert auc["each"] == pytest.approx([5 / 6, 3 / 4])
    assert auc["value"] == pytest.approx(19 / 24)
    assert auc["standard_deviation"] == pytest.approx((5 / 6 - 3 / 4) / 2**0.5)
    assert auc["runs"] == 2
    assert np.isnan(result.loc[("two", "AUC"), "standard_deviation"])
    assert result["low"].isna().all()


def test_one_run_has_the_interval_of_its_metrics():
    run = many(seed=0)[0].assign(path=[f"{place:02}" for place in range(60)])
    result = averages({"one": [run]}, splits=["test"], resamples=300, seed=4)
    arrays = run["label"], run["score"]
    alone = estimate(*arrays, patients=run["patient"], resamples=300, seed=4)
    pd.testing.assert_frame_equal(result[list(alone)], alone)


def test_seeds_may_validate_on_other_patients():
    runs = [
        predicted(FIRST, patients=names, split="validation").assign(
            path=lambda rows, seed=seed: f"{seed}/" + rows["path"]
        )
        for seed, names in enumerate(("abcde", "vwxyz"))
    ]
    result = averages({"one": runs}, splits=["validation"], resamples=50)
    assert result["value"].tolist()[0] == pytest.approx(5 / 6)


def test_each_run_has_a_threshold_of_its_own():
    runs = [predicted(np.array([0.1, 0.2, 0.3, 0.4, 0.6])), predicted(LABELS.astype(float))]
    thresholds = {"one": [0.15, 0.5]}
    result = averages({"one": runs}, splits=["test"], threshold=thresholds, resamples=0)
    alone = [
        estimate(run["label"], run["score"], threshold=at, resamples=0)["value"]
        for run, at in zip(runs, thresholds["one"], strict=True)
    ]
    assert result["value"].to_numpy() == pytest.approx(np.mean(alone, axis=0))


@pytest.mark.parametrize("threshold", [{"one": [0.5]}, {"two": [0.5, 0.5]}])
def test_too_few_thresholds(threshold):
    with pytest.raises(ValueError, match=r"[01] thresholds for 2 runs of one"):
        averages({"one": [predicted()] * 2}, splits=["test"], threshold=threshold)


# ------------------------------------------------------------------ difference


def test_each_metric_has_its_test():
    first, second = many(1)
    table = difference([first], [second, first], resamples=50)
    assert list(table)[:4] == ["metric", "first_value", "second_value", "difference"]
    assert list(table)[4:] == ["low", "high", "p", "test"]
    assert tuple(table["metric"]) == METRICS
    assert table["test"].tolist() == ["DeLong, clustered"] + ["bootstrap over patients"] * 5
    scores = np.stack([second["score"], first["score"]])
    expected = delong(first["label"], first["score"], scores, patients=first["patient"])
    assert table.loc[0, ["difference", "low", "high", "p"]].tolist() == pytest.approx(
        [expected.difference, expected.low, expected.high, expected.p]
    )


def test_the_values_are_those_of_metrics():
    first, second = many(0)
    table = difference([first, second], [second], resamples=20)
    one, other = (
        estimate(run["label"], run["score"], resamples=0)["value"] for run in (first, second)
    )
    assert table["first_value"].to_numpy() == pytest.approx((one + other) / 2)
    assert table["second_value"].to_numpy() == pytest.approx(other)
    assert table["difference"].to_numpy() == pytest.approx((other - one) / 2)


def test_the_bootstrap_by_hand():
    # Of patient a the second gets both images right, of b none, of the first it is the other way
    # round. 1/4 of the resamples have a difference of 1, half 0, 1/4 -1.
    labels, patients = [1, 0, 1, 0], "aabb"
    first = predicted([0.1, 0.9, 0.9, 0.1], labels, patients)
    second = predicted([0.9, 0.1, 0.1, 0.9], labels, patients)
    table = difference([first], [second], resamples=400).set_index("metric")
    assert table.loc["accuracy", ["difference", "low", "high", "p"]].tolist() == [0, -1, 1, 1]


def test_the_interval_of_a_difference_is_that_of_a_plain_bootstrap():
    first, second = many(2, gain=1)
    patients, labels = first["patient"].to_numpy(), first["label"].to_numpy()
    change = ((second["score"] >= 0.5) == labels).astype(int) - (
        (first["score"] >= 0.5) == labels
    ).astype(int)
    rng = np.random.default_rng(5)
    # All patients have two images: their mean is that of the images.
    sums = np.bincount(patients, weights=change) / 2
    resampled = sums[rng.integers(0, 30, (4000, 30))].mean(axis=1)
    row = difference([first], [second], resamples=4000).set_index("metric").loc["accuracy"]
    assert [row["low"], row["high"]] == pytest.approx(
        np.percentile(resampled, [2.5, 97.5]), abs=0.02
    )


def test_the_same_runs_do_not_differ():
    runs = [run for seed in range(3) for run in many(seed)[:1]]
    table = difference(runs, runs[::-1], resamples=200)
    assert table[["difference", "low", "high"]].eq(0).all(axis=None)
    assert table["p"].eq(1).all()


def test_the_order_of_rows_and_other_splits_do_not_matter():
    first, second = many(5)
    expected = difference([first], [second], resamples=100)
    other = pd.concat([predicted(split="validation"), second[::-1]])
    shuffled = first.sample(frac=1, random_state=0)
    pd.testing.assert_frame_equal(difference([shuffled], [other], resamples=100), expected)


def test_steps_can_be_compared_on_validation():
    first = pd.concat([predicted(), predicted(SECOND, split="validation")])
    second = pd.concat([predicted(), predicted(LABELS, split="validation")])
    row = difference([first], [second], split="validation", resamples=0).iloc[0]
    assert (row["first_value"], row["second_value"]) == (pytest.approx(3 / 4), 1)


def test_no_resamples_leave_auc_alone():
    table = difference([predicted()], [predicted(SECOND)], resamples=0).set_index("metric")
    assert table[["low", "high", "p"]].isna().all(axis=1).drop("AUC").all()
    assert table.loc["AUC", ["low", "high", "p"]].notna().all()


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (predicted().drop(columns="label"), "run 1 of the second has no column label"),
        (predicted(split="train"), r"has no images of test: there are \['train'\]"),
        (pd.concat([predicted(), predicted()[:2]]), "2 of 7 paths of run 1 .* are repeated"),
        (predicted(patients=["a", None, "c", "d", None]), "2 of 5 images of .* have no patient"),
        (predicted(labels=[1] * 5), "labels of run 1 of the second must be 0 or 1, with both"),
        (predicted([0.1, np.nan, 1.5, 0.2, 0]), "scores of run 1 of the second must be in"),
        (predicted().assign(path=[*"vwxyz"]), "has other images .* lacks 5 of 5 and has 5 more"),
        (predicted(labels=[0, 1, 1, 0, 1]), "has another label .* for 2 of 5 images"),
        (predicted(patients="abcdx"), "has another patient than run 0 of the first for 1 of 5"),
    ],
)
def test_runs_that_cannot_be_compared(run, message):
    with pytest.raises(ValueError, match=message):
        difference([predicted()] * 2, [predicted(), run])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"first": []}, "the first has no runs: give one or more"),
        ({"resamples": -1}, r"resamples must be 0 or more\. Received: -1"),
    ],
)
def test_what_difference_refuses(wrong, message):
    with pytest.raises(ValueError, match=message):
        difference(**{"first": [predicted()], "second": [predicted()] * 2} | wrong)


# ------------------------------------------------------------------ differences


def test_each_step_against_the_one_before():
    one, two = many(0)
    table = differences({"b": [one], "a": [one, two], "c": [two]}, resamples=50, seed=1)
    assert list(table)[:5] == ["first", "second", "runs_first", "runs_second", "metric"]
    assert list(table)[5:10] == ["first_value", "second_value", "difference", "low", "high"]
    assert list(table)[10:] == ["p", "p_holm", "test"]
    pairs = table[["first", "second", "runs_first", "runs_second"]].drop_duplicates()
    assert pairs.values.tolist() == [["b", "a", 1, 2], ["a", "c", 2, 1]]
    expected = difference([one, two], [two], resamples=50, seed=1)
    result = table[table["first"] == "a"].reset_index(drop=True)
    pd.testing.assert_frame_equal(result[list(expected)], expected)
    # One step has none before it.
    assert list(differences({"b": [one]})) == list(table)
    assert differences({"b": [one]}).empty


def test_each_metric_is_a_family():
    runs = [many(seed, gain=gain)[1] for seed, gain in ((0, 0), (0, 1), (0, 3))]
    table = differences({name: [run] for name, run in zip("abc", runs, strict=True)}, resamples=99)
    for _, family in table.groupby("metric"):
        assert len(family) == 2
        assert family["p_holm"].tolist() == holm(family["p"]).tolist()
    assert (table["p_holm"] > table["p"]).any()


def test_the_steps_that_cannot_be_compared_are_named():
    steps = {"one": [predicted()], "two": [predicted()], "three": [predicted(patients="abcdx")]}
    message = r"two \(first\) and three \(second\): run 0 of the second"
    with pytest.raises(ValueError, match=message):
        differences(steps, resamples=10)


def test_chosen_pairs_are_one_family():
    one, two = many(0)
    three, _ = many(1)
    steps = {"a": [one], "b": [two], "c": [three]}
    table = differences(steps, [("a", "b"), ("a", "c")], resamples=50, seed=1)
    auc = table[table["metric"] == "AUC"]
    assert auc[["first", "second"]].values.tolist() == [["a", "b"], ["a", "c"]]
    assert auc["p_holm"].tolist() == holm(auc["p"]).tolist()


def test_a_pair_with_a_step_that_is_not_there():
    steps = {"a": [predicted()]}
    with pytest.raises(ValueError, match=r"no such steps: \['b'\]; there are \['a'\]"):
        differences(steps, [("a", "b")], resamples=10)


# ------------------------------------------------------------------ discordances


def test_discordances_by_hand():
    # At .5 the first is right on 1, 0, 1, 0, 1, the second on 1, 1, 0, 0, 1.
    table = discordances([predicted(), predicted()], [predicted(SECOND)[::-1], predicted(LABELS)])
    assert list(table) == ["run", "only_first", "only_second", "p", "test"]
    test = "McNemar, exact"
    assert table.values.tolist() == [[0, 1, 1, 1.0, test], [1, 0, 2, 0.5, test]]


def test_discordances_at_the_threshold_of_each_run():
    runs = [predicted()] * 2
    table = discordances(runs, runs, thresholds=(0.5, [0.4, 0.5]))
    # A score of .4 is called class 1 at .4, which is right.
    assert table["only_second"].tolist() == [1, 0]
    assert table["only_first"].tolist() == [0, 0]


@pytest.mark.parametrize(
    ("thresholds", "message"),
    [
        ((0.5,), r"give two thresholds, of first and second\. Received: \(0\.5,\)"),
        ((0.5, [0.5]), "1 thresholds for 2 runs of the second"),
        (([0.5] * 3, 0.5), "3 thresholds for 2 runs of the first"),
        ((0.5, [0.5, np.nan]), r"thresholds must be in \[0, 1\]; 1 are not"),
    ],
)
def test_thresholds_that_do_not_fit_the_runs(thresholds, message):
    with pytest.raises(ValueError, match=message):
        discordances([predicted()] * 2, [predicted()] * 2, thresholds=thresholds)


def test_runs_that_have_no_counterpart():
    with pytest.raises(ValueError, match="2 and 1 runs cannot be paired: give as many of both"):
        discordances([predicted()] * 2, [predicted()])


# ------------------------------------------------------------------ common_errors


def test_what_every_run_gets_wrong_the_worst_first():
    # Called at .5: the first misses places 1 and 3, the second 2 and 3; a third 1, 2 and 3.
    third = predicted(np.array([0.9, 0.2, 0.1, 0.7, 0.1]))
    result = common_errors({"one": [predicted(FIRST)], "two": [predicted(SECOND), third]})
    assert result["path"].tolist() == ["test/3.jpeg"]
    assert result.loc[0, ["patient", "label"]].tolist() == ["d", 0]
    assert result.loc[0, "score"] == pytest.approx((0.5 + 0.5 + 0.7) / 3)
    two = common_errors({"one": [predicted(FIRST)], "two": [third]})
    assert two["path"].tolist() == ["test/1.jpeg", "test/3.jpeg"]


def test_nobody_misses_what_one_gets_right():
    right = predicted(LABELS.astype(float))
    assert common_errors({"one": [predicted(FIRST)], "two": [right]}).empty


def test_no_steps_have_no_errors_in_common():
    with pytest.raises(ValueError, match="no steps to compare: give one or more"):
        common_errors({})
