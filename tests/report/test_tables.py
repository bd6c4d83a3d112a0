import numpy as np
import pandas as pd
import pytest
from support.runs import predictions, run, swap_effects

from xraylib.report import tables
from xraylib.runs import records, selection


def metrics(*, threshold=0.31):
    """As `thresholds.summary` makes it, by hand."""
    rows = [
        [split, rule, at, name, *numbers]
        for split, auc in (("validation", (0.9, 0.85, 0.95)), ("test", (0.75, 0.7, 0.8)))
        for rule, at, recall in (("0.5", 0.5, 1.0), ("validation", threshold, 0.25))
        for name, numbers in (("AUC", auc), ("sensitivity", (recall, 0.2, 1.0)))
    ]
    names = ["split", "rule", "threshold", "metric", "value", "low", "high"]
    return pd.DataFrame(rows, columns=names)


def test_a_summary_has_one_row_a_metric_and_one_column_a_threshold():
    table = tables.summary(metrics())
    assert list(table) == ["validation at .50", "validation at .31", "test at .50", "test at .31"]
    assert list(table.index) == ["AUC", "sensitivity"]
    assert table.loc["AUC", "test at .50"] == ".750 [.700, .800]"
    assert table.loc["sensitivity", "test at .50"] == "1.000 [.200, 1.000]"
    assert table.loc["sensitivity", "test at .31"] == ".250 [.200, 1.000]"


def test_a_summary_at_one_threshold_has_no_column_twice():
    assert list(tables.summary(metrics(threshold=0.5))) == ["validation at .50", "test at .50"]


def test_a_summary_tells_thresholds_apart_that_are_close():
    table = tables.summary(metrics(threshold=0.502))
    assert list(table)[:2] == ["validation at .500", "validation at .502"]


def test_runs_show_a_dash_for_what_does_not_apply(tmp_path):
    numbers = {"value": 0.75, "low": 0.5, "high": 1.0, "threshold": 0.5, "rule": "0.5"}
    auc = [numbers | {"split": "test", "metric": "AUC"}]
    run(tmp_path, "00_trees", predictions(0.1), network=None, metrics=auc)
    run(tmp_path, "01_cnn", predictions(0.1), seed=3, metrics=auc)
    baseline, network = tables.runs(records.read(tmp_path).records).to_dict("records")
    assert baseline == {
        "run": "00_trees-00000000",
        "px": "-",
        "epochs": "-",
        "seed": 0,
        "validation AUC": "-",
        "test AUC": ".750 [.500, 1.000]",
        "test accuracy": "-",
        "sensitivity": "-",
        "specificity": "-",
    }
    assert (network["px"], network["epochs"], network["seed"]) == ("64", "2 of 4", 3)


def test_runs_say_how_many_files_could_not_be_read(tmp_path):
    for seed, unreadable in enumerate([0, 2, None]):
        run(tmp_path, "01_cnn", predictions(0.1), seed=seed, unreadable=unreadable)
    table = tables.runs(records.read(tmp_path).records)
    assert table["unreadable"].tolist() == ["0", "2", "-"]


BASE = {"SOURCE": "/a/set", "IMAGE_SIZE": 64, "EPOCHS": 4, "LIMIT": 0, "SEED": 0, "RUN_DIR": "r"}


def two(folder, first=None, second=None, **more):
    """The table of two runs, the second of other parameters or another record."""
    run(folder, "01_cnn", predictions(0.1), name="a", parameters=BASE | (first or {}))
    run(folder, "01_cnn", predictions(0.1), name="b", parameters=BASE | (second or {}), **more)
    return tables.runs(records.read(folder).records)


@pytest.mark.parametrize(
    ("other", "shown"),
    [
        ({"LIMIT": 8}, ["-", "8"]),
        ({"LEARNING_RATE": 1e-4}, ["0.001", "0.0001"]),
        ({"RANDOM_SCALE": 0.35}, ["-", "0.35"]),
        ({"BATCH_SIZE": 16}, ["32", "16"]),
        ({"EPOCHS": 9}, ["4", "9"]),
        ({"SOURCE": "/b/other"}, ["set", "other"]),
        ({"SOURCE": "/b/set"}, ["/a/set", "/b/set"]),
        ({"POSITIVE": "sick"}, ["-", "sick"]),
        ({"WEIGHTS": "imagenet"}, ["-", "imagenet"]),
        ({"PATIENTS": "a\nb"}, ["auto", r"a\x0ab"]),
    ],
    ids=str,
)
def test_runs_show_each_parameter_that_tells_them_apart(tmp_path, other, shown):
    both = {"LEARNING_RATE": 1e-3, "RANDOM_SCALE": 0.0, "BATCH_SIZE": 32, "WEIGHTS": ""}
    both |= {"POSITIVE": "", "PATIENTS": "auto"}
    table = two(tmp_path, both, both | other)
    (name,) = other
    assert list(table)[:6] == ["run", "px", "epochs", "seed", name, "validation AUC"]
    assert table[name].tolist() == shown


@pytest.mark.parametrize("other", [{}, {"SEED": 1}, {"RUN_DIR": "s"}, {"IMAGE_SIZE": 96}], ids=str)
def test_what_does_not_differ_or_has_its_column_has_none(tmp_path, other):
    assert list(two(tmp_path, second=other))[4] == "validation AUC"


def test_a_parameter_that_did_not_exist_yet_was_off(tmp_path):
    table = two(tmp_path, {}, {"RANDOM_SCALE": 0.35})
    assert table["RANDOM_SCALE"].tolist() == ["-", "0.35"]


def test_a_parameter_that_another_step_lacks_does_not_differ(tmp_path):
    run(tmp_path, "00_trees", predictions(0.1), network=None, parameters={"SEED": 0})
    run(tmp_path, "01_cnn", predictions(0.1), parameters=BASE | {"BATCH_SIZE": 32})
    assert list(tables.runs(records.read(tmp_path).records))[4] == "validation AUC"


def test_runs_on_other_data_show_which_and_when(tmp_path):
    table = two(tmp_path, fingerprint="fedcba9876543210", finished="2026-01-02T03:04:05+00:00")
    assert table["data"].tolist() == ["01234567", "fedcba98"]
    assert table["finished"].tolist() == ["2026-01-01T00:00:00", "2026-01-02T03:04:05"]


def reached(runs=1):
    rows = [
        ("01", split, metric, 0.75, 0.7, 0.8, 0.02 if runs > 1 else np.nan, runs)
        for split in ("validation", "test")
        for metric in ("AUC", "accuracy", "sensitivity", "specificity")
    ]
    names = ["step", "split", "metric", "value", "low", "high", "standard_deviation", "runs"]
    return pd.DataFrame(rows, columns=names)


def test_cues_have_one_row_a_run_that_measured_them(tmp_path):
    run(tmp_path, "01_cnn", predictions(0.3), swap_effects=swap_effects(0.75, 0.125))
    run(tmp_path, "02_cnn", predictions(0.3))
    table = tables.cues(records.read(tmp_path).records)
    assert table["run"].str.startswith("01_cnn").tolist() == [True]
    assert table["shape"].tolist() == [".750 [.750, .750]"]
    assert tables.cues([]).columns.tolist() == ["run"]


def test_steps_keep_patients_and_seeds_apart():
    (one,) = tables.steps(reached()).to_dict("records")
    assert one == {
        "step": "01",
        "seeds": 1,
        "validation AUC": ".750 [.700, .800]",
        "test AUC": ".750 [.700, .800]",
        "test accuracy": ".750 [.700, .800]",
        "sensitivity": ".750 [.700, .800]",
        "specificity": ".750 [.700, .800]",
    }
    (three,) = tables.steps(reached(runs=3)).to_dict("records")
    assert three["test AUC"] == ".750 [.700, .800] ± .020"


def test_pairs_show_difference_and_p():
    names = ["first", "second", "metric", "first_value", "second_value", "difference", "low"]
    row = ["00", "01", "AUC", 0.5, 0.75, 0.25, -0.05, 0.3, 0.01, 0.01, "DeLong, clustered"]
    compared = pd.DataFrame([row], columns=[*names, "high", "p", "p_holm", "test"])
    (row_of_text,) = tables.pairs(compared).to_dict("records")
    assert row_of_text == {
        "step": "01",
        "against": "00",
        "metric": "AUC",
        "values": ".750, .500",
        "difference": "+.250 [-.050, +.300]",
        "p, Holm": "p = .010",
        "by": "DeLong, clustered",
    }
    assert tables.pairs(compared.assign(metric="accuracy")).empty
    assert tables.pairs(compared, unit="images")["by"].tolist() == ["DeLong"]
    over = tables.pairs(compared.assign(test="bootstrap over patients"), unit="images")
    assert over["by"].tolist() == ["bootstrap over images"]


def test_operating_points_have_one_row_a_rule():
    points = pd.DataFrame(
        [
            ("half", ".5", 0.5, "PPV", 0.5, 0.4, 0.6),
            ("half", ".5", 0.5, "NPV", 1.0, 0.9, 1.0),
        ],
        columns=["rule", "description", "threshold", "metric", "value", "low", "high"],
    )
    (row,) = tables.operating_points(points).to_dict("records")
    assert row == {
        "threshold by": ".5",
        "at": ".500",
        "PPV": ".500 [.400, .600]",
        "NPV": "1.000 [.900, 1.000]",
    }


def test_calibration_has_one_row_a_split_and_temperature():
    measured = pd.DataFrame(
        [("test", 1.5, "Brier", 0.25, 0.2, 0.3), ("test", 1.5, "resolution", 0.1, None, None)],
        columns=["split", "temperature", "metric", "value", "low", "high"],
    )
    (row,) = tables.calibration(measured).to_dict("records")
    assert row == {
        "split": "test",
        "temperature": "1.50",
        "Brier": ".250 [.200, .300]",
        "resolution": ".100",
    }


def test_subtypes_have_one_row_a_kind():
    test = pd.DataFrame(
        {
            "path": list("12345"),
            "label": [0, 0, 1, 1, 1],
            "score": [0.1, 0.2, 0.9, 0.8, 0.15],
            "patient": ["a", "b", "c", "c", "d"],
            "subtype": ["", "", "virus", "virus", "bacteria"],
        }
    )
    bacteria, virus = tables.subtypes(test).to_dict("records")
    assert (bacteria["kind"], bacteria["images"], bacteria["patients"]) == ("bacteria", 1, 1)
    assert (virus["kind"], virus["images"], virus["patients"]) == ("virus", 2, 1)
    # The bacterial image scores above one of two normal ones, and below the threshold.
    assert bacteria["AUC"].startswith(".500 [") and bacteria["sensitivity"].startswith(".000 [")
    assert virus["AUC"].startswith("1.000 [")
    assert "patients" not in tables.subtypes(test.assign(patient=test["path"]))
    some = tables.subtypes(test.assign(patient=[*"123", "c", "d"]))
    assert list(some)[:3] == ["kind", "images", "known patients and single images"]


def test_curves_are_those_of_test(tmp_path):
    run(tmp_path, "01_cnn", predictions(0.9))
    reliability, benefit = tables.curves(selection.comparable(tmp_path).first)
    assert list(reliability) == list(benefit) == ["01_cnn, 64 px"]
    # Half of the test images are sick: calling all of them is worth 0 at threshold .5.
    middle = benefit["01_cnn, 64 px"].set_index("threshold").loc[0.5]
    assert middle["all"] == 0 < middle["scores"]
