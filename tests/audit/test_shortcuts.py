import numpy as np
import pandas as pd
import pytest

from xraylib.audit import measurements, shortcuts
from xraylib.audit.separation import separation
from xraylib.data.words import CLASSES
from xraylib.evaluation import thresholds

NAMES = dict(enumerate(CLASSES))
METADATA = "shortcut: all file metadata together"
PIXELS = "shortcut: pixel statistics"
PROPERTIES = ["size", "shape", "frame", "colour", "bytes per pixel", "compression"]
CHECKS = [
    *(f"shortcut: {name}" for name in PROPERTIES),
    METADATA,
    PIXELS,
    *(f"shift: {name}" for name in PROPERTIES),
]


@pytest.fixture
def rows():
    """72 JPEGs of as many patients, 24 a class in train and 12 in test; no number differs."""
    counts = {("train", 0): 24, ("train", 1): 24, ("test", 0): 12, ("test", 1): 12}
    places = [place for place, count in counts.items() for _ in range(count)]
    table = pd.DataFrame(places, columns=["side", "label"])
    columns = (*measurements.FILE_FACTS, *measurements.PIXEL_FACTS, "frame")
    numbers = dict.fromkeys(columns, 85.0)
    path = [f"{number}.jpeg" for number in range(len(table))]
    return table.assign(
        path=path, patient=path, split=table["side"], problem="", format="JPEG", **numbers
    )


def findings_of(rows):
    table = pd.DataFrame(shortcuts.find(rows, NAMES))
    assert table["check"].tolist() == CHECKS
    return table.set_index("check")


def alarms(findings):
    return findings.loc[findings["severity"].isin(("severe", "warning")), "severity"].to_dict()


def test_numbers_that_do_not_differ_tell_nothing(rows):
    findings = findings_of(rows)
    assert set(findings["severity"]) == {"fine"}
    assert set(findings["count"]) == {72}
    assert "with AUC 0.50 (" in findings["meaning"]["shortcut: size"]
    assert " and 0.50 (" in findings["meaning"][METADATA]


def test_file_metadata_alone_are_severe(rows):
    findings = findings_of(rows.assign(width=rows["label"]))
    assert alarms(findings) == {METADATA: "severe"}
    expected = "NORMAL from PNEUMONIA with AUC 1.00 (0.92 to 1.00) in train"
    assert expected in findings["meaning"][METADATA]


def test_pixel_statistics_are_no_more_than_a_warning(rows):
    assert alarms(findings_of(rows.assign(black_share=rows["label"]))) == {PIXELS: "warning"}


@pytest.mark.usefixtures("no_models")
def test_less_of_a_property_tells_as_well_as_more(rows):
    findings = findings_of(rows.assign(aspect=2.0 - rows["label"]))
    assert alarms(findings) == {"shortcut: shape": "severe"}
    assert findings["meaning"]["shortcut: shape"].startswith(
        "Width/height alone separates NORMAL from PNEUMONIA with AUC 1.00 (0.92 to 1.00) in "
        "train and 1.00 (0.83 to 1.00) in test. Medians: train NORMAL 2, PNEUMONIA 1; test "
        "NORMAL 2, PNEUMONIA 1. It says nothing about disease"
    )


@pytest.mark.usefixtures("no_models")
def test_what_is_turned_round_in_test_falls_below_a_half(rows):
    less = rows["label"] == (rows["side"] == "train")
    findings = findings_of(rows.assign(quality=np.where(less, 40, 85))).loc["shortcut: compression"]
    assert findings["severity"] == "severe"
    assert "AUC 1.00 (0.92 to 1.00) in train and 0.00 (0.00 to 0.17) in test" in findings["meaning"]
    assert "train NORMAL 85, PNEUMONIA 40; test NORMAL 40, PNEUMONIA 85" in findings["meaning"]


@pytest.mark.usefixtures("no_models")
def test_without_jpegs_compression_does_not_apply(rows):
    findings = findings_of(rows.assign(format="PNG", quality=np.nan))
    for check in ("shortcut: compression", "shift: compression"):
        assert findings.loc[check, ["severity", "count"]].tolist() == ["note", 0]
        assert findings["meaning"][check] == "Does not apply: there are no JPEGs."


@pytest.mark.usefixtures("no_models")
def test_pngs_of_one_class_are_a_matter_of_compression(rows):
    sick = rows["label"] == 1
    rows = rows.assign(format=np.where(sick, "PNG", "JPEG"), quality=rows["quality"].where(~sick))
    findings = findings_of(rows).loc["shortcut: compression"]
    assert findings["severity"] == "severe"
    assert "train NORMAL 85, PNEUMONIA lossless; test" in findings["meaning"]


@pytest.mark.usefixtures("no_models")
def test_a_class_that_differs_between_the_splits_has_a_shift(rows):
    sick_in_train = (rows["side"] == "train") & (rows["label"] == 1)
    findings = findings_of(rows.assign(megapixels=np.where(sick_in_train, 1.5, 2)))
    assert alarms(findings) == {"shortcut: size": "severe", "shift: size": "warning"}
    meaning = findings["meaning"]["shift: size"]
    assert "separates train from test within NORMAL with AUC 0.50 (" in meaning
    assert "and within PNEUMONIA with AUC 1.00 (" in meaning
    assert "2. PNEUMONIA images of train were acquired differently from those of test" in meaning


@pytest.mark.usefixtures("no_models")
def test_without_a_test_there_is_no_shift(rows):
    findings = findings_of(rows.assign(split="all", side="all"))
    meaning = findings["meaning"]["shortcut: size"]
    assert "from PNEUMONIA with AUC 0.50 (" in meaning
    assert ") in all. Medians: all NORMAL 85, PNEUMONIA 85." in meaning
    shifts = findings[findings.index.str.startswith("shift")]
    assert set(shifts["meaning"]) == {"Not judged: there are no train and test splits."}


def test_four_patients_are_too_few(rows):
    findings = findings_of(rows.groupby(["side", "label"]).head(4))
    assert set(findings["severity"]) == {"note"}
    assert set(findings["meaning"]) == {
        "Not judged: fewer than 5 patients of NORMAL or PNEUMONIA outside test.",
        "Not judged: NORMAL has 4 patients outside test, and 5 folds need 5: give more images.",
        "Not judged: fewer than 5 patients of either class in train or in test.",
    }


@pytest.mark.usefixtures("no_models")
def test_four_patients_of_test_are_too_few_to_say(rows):
    rows = pd.concat([rows[rows["side"] == "train"], rows[rows["side"] == "test"].tail(4)])
    meaning = findings_of(rows)["meaning"]["shortcut: size"]
    assert ") in train; test has too few patients to judge. Medians: " in meaning


@pytest.mark.usefixtures("no_models")
def test_classes_go_by_the_names_that_are_given(rows):
    size, *_ = shortcuts.find(rows, {0: "well", 1: "ill"})
    assert "separates well from ill" in size.meaning
    assert "train well 85, ill 85; test well 85, ill 85" in size.meaning


def made(patients=20, *, test=True):
    """Two images a patient and side; `tell` tells the classes, `noise` does not."""
    rng = np.random.default_rng(0)
    rows = [
        (f"{split}/{label}/{patient}-{image}", label, split, f"{split}-{label}-{patient}")
        for split in ("train", "test")[: 1 + test]
        for label in (0, 1)
        for patient in range(patients)
        for image in range(2)
    ]
    table = pd.DataFrame(rows, columns=["path", "label", "split", "patient"])
    return table.assign(
        problem="", tell=table["label"] + rng.random(len(table)) / 2, noise=rng.random(len(table))
    )


def test_a_baseline_can_be_summed_up():
    measured = made()
    predictions = shortcuts.baseline(measured, ["tell"])
    assert tuple(predictions) == ("path", "patient", "split", "label", "score")
    assert predictions["split"].tolist() == ["validation"] * 80 + ["test"] * 80
    pd.testing.assert_series_equal(predictions["path"], measured["path"])
    summary = thresholds.summary(predictions, resamples=0)
    assert (summary.loc[summary["metric"] == "AUC", "value"] == 1).all()


@pytest.mark.slow
def test_a_baseline_on_noise_tells_nothing():
    predictions = shortcuts.baseline(made(100), ["noise"])
    summary = thresholds.summary(predictions, resamples=0)
    # With 100 patients a class, chance has a standard error of at most .04.
    assert summary.loc[summary["metric"] == "AUC", "value"].between(0.35, 0.65).all()


def test_a_baseline_never_learns_from_the_patient_that_it_scores():
    # Only the patient's own number is there to learn from: known, it tells the label.
    measured = made(50, test=False)
    measured["noise"] = pd.factorize(measured["patient"])[0] * 7919 % 1009
    predictions = shortcuts.baseline(measured, ["noise"])
    assert set(predictions["split"]) == {"validation"}
    sick = predictions["label"] == 1
    # With 50 patients a class, chance has a standard error of .06.
    assert separation(predictions["score"], sick, predictions["patient"]).auc < 0.65


def test_the_seed_of_a_baseline_decides():
    measured = made()
    first = shortcuts.baseline(measured, ["noise"], seed=1)
    assert first.equals(shortcuts.baseline(measured, ["noise"], seed=1))
    assert not first.equals(shortcuts.baseline(measured, ["noise"], seed=2))


def test_a_baseline_leaves_out_what_cannot_be_read():
    measured = made()
    measured.loc[[0, 100], "problem"] = "is empty"
    scored = shortcuts.baseline(measured, ["tell"])["path"]
    assert set(measured["path"]) - set(scored) == set(measured["path"][[0, 100]])


def test_a_baseline_bears_missing_numbers():
    measured = made().assign(none=np.nan)
    measured.loc[::3, "tell"] = np.nan
    assert shortcuts.baseline(measured, ["tell", "none"])["score"].between(0, 1).all()


@pytest.mark.parametrize(
    "patients, columns, match",
    [
        (20, ["none"], "no values in none: give a column with some"),
        (4, ["tell"], r"NORMAL has 4 patients outside test, .* need 5: give"),
        (20, ["tell", "nose"], "no column nose: give a table as measurements"),
    ],
)
def test_a_baseline_that_cannot_be(patients, columns, match):
    with pytest.raises(ValueError, match=match):
        shortcuts.baseline(made(patients).assign(none=np.nan), columns)


def test_one_jpeg_among_pngs_does_not_stop_the_trees():
    measured = made(test=False)
    measured["quality"] = [75.0] + [np.nan] * (len(measured) - 1)
    predictions = shortcuts.baseline(measured, ["quality", "tell"])
    scores = predictions.groupby("label")["score"]
    assert scores.min()[1] > scores.max()[0]
