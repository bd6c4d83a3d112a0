import pandas as pd
import pytest

from xraylib.report.sentences import (
    found,
    found_in_baseline,
    found_in_files,
    found_in_shares,
    found_in_steps,
    interval,
    probability,
    protocol,
    short,
    signed,
)
from xraylib.report.tables import (
    calibrated,
    countermeasures,
    pairs,
    points,
    progression,
    protocols,
    resting,
    steps,
    wide,
)


def summary(*, validation=(0.9, 0.85, 0.95), test=(0.75, 0.7, 0.8), threshold=0.31):
    """As `thresholds.summary` makes it: value, low and high of the AUC, and others by hand."""
    rows = []
    for split, auc in (("validation", validation), ("test", test)):
        for rule, at in (("0.5", 0.5), ("validation", threshold)):
            metrics = {
                "AUC": auc,
                "accuracy": (0.625, 0.5, 0.7),
                "sensitivity": (1.0, 1.0, 1.0) if rule == "0.5" else (0.25, 0.2, 0.3),
                "specificity": (0.125, 0.0, 0.2),
            }
            rows += [[split, rule, at, name, *numbers] for name, numbers in metrics.items()]
    names = ["split", "rule", "threshold", "metric", "value", "low", "high"]
    return pd.DataFrame(rows, columns=names)


HISTORY = pd.DataFrame(
    {
        "epoch": [1, 1, 2, 2],
        "split": ["train", "validation"] * 2,
        "accuracy": [0.5, 0.6, 0.987654, 0.7],
    }
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.934, ".934"),
        (0.9996, "1.000"),
        (0.0004, ".000"),
        (1, "1.000"),
        (-0.25, "-.250"),
        (-0.0001, ".000"),
    ],
)
def test_short(value, text):
    assert short(value) == text


def test_an_interval():
    assert interval(0.934, 0.9123, 1) == ".934 [.912, 1.000]"


def test_what_is_not_defined():
    assert interval(float("nan"), float("nan"), float("nan")) == "nan [nan, nan]"


def test_wide_has_one_row_a_metric_and_one_column_a_threshold():
    table = wide(summary())
    assert list(table) == ["validation at .50", "validation at .31", "test at .50", "test at .31"]
    assert list(table.index) == ["AUC", "accuracy", "sensitivity", "specificity"]
    assert table.loc["AUC", "test at .50"] == ".750 [.700, .800]"
    assert table.loc["sensitivity", "test at .50"] == "1.000 [1.000, 1.000]"
    assert table.loc["sensitivity", "test at .31"] == ".250 [.200, .300]"


def test_wide_of_one_threshold_has_no_column_twice():
    assert list(wide(summary(threshold=0.5))) == ["validation at .50", "test at .50"]


def test_wide_tells_thresholds_apart_that_are_close():
    table = wide(summary(threshold=0.502))
    assert list(table)[:2] == ["validation at .500", "validation at .502"]
    assert table.loc["sensitivity", "test at .502"] == ".250 [.200, .300]"


def test_found_says_the_numbers_of_the_run():
    said = found(summary(), HISTORY)
    assert "After 2 epochs the training accuracy was .988." in said
    assert "on validation is .900 (95 % interval .850 to .950)" in said
    assert "on test .750 (95 % interval .700 to .800): lower on test by .150, and" in said
    assert "the accuracy on test is .625 (95 % interval .500 to .700)" in said
    assert "the sensitivity 1.000 (95 % interval 1.000 to 1.000)" in said
    assert "the specificity .125 (95 % interval .000 to .200)" in said


@pytest.mark.parametrize(
    ("test", "change", "overlap"),
    [
        ((0.75, 0.7, 0.84), "lower on test by .150", "do not overlap"),
        ((0.75, 0.7, 0.85), "lower on test by .150", "overlap"),
        ((0.98, 0.96, 0.99), "higher on test by .080", "do not overlap"),
        ((0.98, 0.94, 0.99), "higher on test by .080", "overlap"),
        ((0.9, 0.8, 0.99), "the same", "overlap"),
    ],
)
def test_found_compares_test_with_validation(test, change, overlap):
    assert f": {change}, and the two intervals {overlap}." in found(summary(test=test), HISTORY)


def shares(**more):
    columns = {"cue": ["shape", "exposure"], "value": [0.5, 0.25], "low": [0.375, 0.125]}
    return pd.DataFrame(columns | {"high": [0.625, 0.5]} | more)


def test_shares_are_told_from_the_strongest():
    said = found_in_shares(shares())
    assert "by **shape (.500 [.375, .625])**" in said
    assert "Then come exposure (.250 [.125, .500])." in said


def test_a_network_that_tells_nothing_apart_rests_on_nothing():
    nothing = [float("nan")] * 2
    assert "no distance between the classes" in found_in_shares(shares(value=nothing))


def test_findings_are_counted_and_named():
    findings = pd.DataFrame(
        {"check": ["a", "b", "c"], "severity": ["fine", "severe", "severe"], "meaning": "m"}
    )
    assert (
        found_in_files(findings) == "Of 3 checks of the files, severe: 2 (b, c); a warning: none."
    )


def test_the_baseline_says_its_two_numbers():
    said = found_in_baseline(summary())
    assert "AUC of .900 [.850, .950] within `train`" in said
    assert "of .750 [.700, .800] on `test`" in said


def test_progression_bears_what_has_no_epochs_beside_what_has():
    names = ["validation AUC", "test AUC", "test accuracy", "test sensitivity", "test specificity"]
    numbers = {f"{name}{end}": 0.5 for name in names for end in ("", " low", " high")}
    table = pd.DataFrame(
        [
            {"step": "00", "seed": 0, "epochs": None, "best_epoch": None, **numbers},
            {"step": "01", "seed": 0, "epochs": 4, "best_epoch": 3, "image_size": 64, **numbers},
        ]
    )
    shown = progression(table)
    assert shown["px"].tolist() == ["-", "64"]
    assert shown["epochs"].tolist() == ["-", "3 of 4"]


def test_the_protocol_of_what_is_no_network():
    record = {"network": None, "counts": [{"split": "validation", "images": 1200}]}
    record["counts"].append({"split": "test", "images": 624})
    said = protocol(record)
    assert "cross-validation by patient over 1,200 images, test the same 624 images" in said


def test_countermeasures_are_averaged_over_seeds():
    rows = [
        ("shape", "none", 1, "validation", "AUC", 0.9),
        ("shape", "none", 2, "validation", "AUC", 1.0),
        ("shape", "none", 1, "validation matched for aspect", "AUC", 0.5),
        ("shape", "none", 2, "validation matched for aspect", "AUC", 0.7),
        ("shape", "none", 2, "test", "AUC", 0.7),
        ("shape", "none", 1, "validation", "specificity", 0.1),
        ("shape", "none", 1, "validation", "rests on frame", 0.25),
        ("shape", "none", 1, "validation", "rests on shape", 0.75),
        ("shape", "none", 2, "validation", "rests on shape", 0.25),
        ("shape", "crop", 1, "validation", "AUC", 0.8),
    ]
    names = ["traps", "countermeasure", "seed", "on", "metric", "value"]
    results = pd.DataFrame(rows, columns=names)
    few = (results["on"] == "test").map({True: 19, False: 20})
    first, second = countermeasures(results.assign(images=few)).to_dict("records")
    assert first == {
        "traps": "shape",
        "countermeasure": "none",
        "seeds": 2,
        "validation AUC": ".950 [.900, 1.000]",
        "validation matched AUC": ".600 [.500, .700]",
        "test AUC": "-",
        "rests on": "shape .50, frame .25",
    }
    assert second["validation AUC"] == ".800"


def test_resting_names_each_cue_and_the_worst_for_the_specificity():
    rows = [
        ("a", "shape", "wider", "specificity", -0.1, -0.2, 0.0),
        ("a", "shape", "taller", "specificity", -0.25, -0.3, -0.2),
        ("a", "shape", "taller", "AUC", -0.5, -0.6, -0.4),
        ("b", "shape", "wider", "specificity", -0.9, -1.0, -0.8),
    ]
    names = ["run", "cue", "perturbation", "measure", "value", "low", "high"]
    (row,) = resting(shares(run="a"), pd.DataFrame(rows, columns=names)).to_dict("records")
    assert row == {
        "run": "a",
        "exposure": ".250 [.125, .500]",
        "shape": ".500 [.375, .625]",
        "specificity suffers most": "taller: -.250 [-.300, -.200]",
    }


def reached(name="01", runs=1, low=0.7):
    rows = [
        (name, split, metric, 0.75, low, 0.8, 0.02 if runs > 1 else float("nan"), runs)
        for split in ("validation", "test")
        for metric in ("AUC", "accuracy", "sensitivity", "specificity")
    ]
    names = ["step", "split", "metric", "value", "low", "high", "standard_deviation", "runs"]
    return pd.DataFrame(rows, columns=names)


def compared(p=0.01):
    names = ["first", "second", "metric", "first_value", "second_value", "difference", "low"]
    row = ["00", "01", "AUC", 0.5, 0.75, 0.25, -0.05, 0.3, p, p, "DeLong, clustered"]
    return pd.DataFrame([row], columns=[*names, "high", "p", "p_holm", "test"])


def test_steps_keep_patients_and_seeds_apart():
    (one,) = steps(reached()).to_dict("records")
    assert one == {
        "step": "01",
        "seeds": 1,
        "validation AUC": ".750 [.700, .800]",
        "test AUC": ".750 [.700, .800]",
        "test accuracy": ".750 [.700, .800]",
        "sensitivity": ".750 [.700, .800]",
        "specificity": ".750 [.700, .800]",
    }
    (three,) = steps(reached(runs=3)).to_dict("records")
    assert three["test AUC"] == ".750 [.700, .800] ± .020"


def test_pairs_say_difference_and_p():
    (row,) = pairs(compared()).to_dict("records")
    assert row == {
        "step": "01",
        "against": "00",
        "metric": "AUC",
        "values": ".750, .500",
        "difference": "+.250 [-.050, +.300]",
        "p, Holm": "p = .010",
        "by": "DeLong, clustered",
    }


@pytest.mark.parametrize(("p", "said"), [(0.01, "more than chance"), (0.2, "no more than chance")])
def test_steps_are_judged_by_the_paired_test(p, said):
    line = found_in_steps(reached(), compared(p))
    assert line.startswith("- **01** (one seed): AUC .750 on validation, .750 [.700, .800] on test")
    assert "above chance" in line
    assert f"Against 00: +.250 [-.050, +.300], {said} in the choice" in line


def test_a_step_at_chance():
    assert "not distinguishable from chance" in found_in_steps(reached(low=0.4), compared())


def test_points_have_one_row_a_rule():
    table = pd.DataFrame(
        [("0.5", ".5", 0.5, "PPV", 0.5, 0.4, 0.6), ("0.5", ".5", 0.5, "NPV", 1.0, 0.9, 1.0)],
        columns=["rule", "description", "threshold", "metric", "value", "low", "high"],
    )
    (row,) = points(table).to_dict("records")
    assert row == {
        "threshold by": ".5",
        "at": ".500",
        "PPV": ".500 [.400, .600]",
        "NPV": "1.000 [.900, 1.000]",
    }


def test_calibrated_has_one_row_a_split_and_temperature():
    nan = float("nan")
    table = pd.DataFrame(
        [("test", 1.5, "Brier", 0.25, 0.2, 0.3), ("test", 1.5, "resolution", 0.1, nan, nan)],
        columns=["split", "temperature", "metric", "value", "low", "high"],
    )
    (row,) = calibrated(table).to_dict("records")
    assert row == {
        "split": "test",
        "temperature": "1.50",
        "Brier": ".250 [.200, .300]",
        "resolution": ".100",
    }


@pytest.mark.parametrize(
    ("p", "said"), [(0.0004, "p < .001"), (0.034, "p = .034"), (float("nan"), "p not defined")]
)
def test_probabilities(p, said):
    assert probability(p) == said


@pytest.mark.parametrize(("value", "said"), [(0.012, "+.012"), (-0.012, "-.012"), (0.0, ".000")])
def test_differences_bear_their_sign(value, said):
    assert signed(value) == said


def judged_number(protocol, seed, metric, value, **more):
    about = {"data": "tiny", "protocol": protocol, "seed": seed, "images": 1234}
    return about | {"metric": metric, "value": value, "low": 0.25, "high": 0.75} | more


def judged(protocol, seed, value, **more):
    names = ("AUC", "accuracy", "sensitivity", "specificity", "Brier")
    return [judged_number(protocol, seed, name, value, **more) for name in names]


def test_one_seed_of_a_protocol_is_shown_with_its_interval():
    table = protocols(pd.DataFrame(judged("official test", 0, 0.5)))
    assert table.to_dict("records") == [
        {
            "protocol": "official test",
            "seeds": 1,
            "judged images": "1,234",
            "AUC": ".500 [.250, .750]",
            "accuracy": ".500 [.250, .750]",
            "sensitivity": ".500 [.250, .750]",
            "specificity": ".500 [.250, .750]",
        }
    ]


def test_several_seeds_of_a_protocol_are_shown_with_their_lowest_and_highest():
    results = [
        *judged("b", 0, 0.6),
        *judged("b", 1, 0.9),
        *judged("b", 2, 0.6),
        *judged("a", 0, 0.5),
    ]
    table = protocols(pd.DataFrame(results))
    assert table["protocol"].tolist() == ["b", "a"]
    assert table["seeds"].tolist() == [3, 1]
    assert table["AUC"].tolist() == [".700 [.600, .900]", ".500 [.250, .750]"]


def test_data_sets_are_not_mixed():
    results = [*judged("a", 0, 0.6), *judged("a", 0, 0.9, data="other")]
    assert protocols(pd.DataFrame(results))["AUC"].tolist() == [
        ".600 [.250, .750]",
        ".900 [.250, .750]",
    ]
