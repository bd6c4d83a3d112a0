from pathlib import Path

import pandas as pd
import pytest

from xraylib.report import sentences
from xraylib.runs.records import Record


def metrics(*, validation=(0.9, 0.85, 0.95), test=(0.75, 0.7, 0.8)):
    """As `thresholds.summary` makes it: value, low and high of the AUC, and others by hand."""
    rows = [
        [split, "0.5", name, *numbers]
        for split, auc in (("validation", validation), ("test", test))
        for name, numbers in (
            ("AUC", auc),
            ("accuracy", (0.625, 0.5, 0.7)),
            ("sensitivity", (1.0, 1.0, 1.0)),
            ("specificity", (0.125, 0.0, 0.2)),
        )
    ]
    other = [[split, "validation", "AUC", 0.1, 0.1, 0.1] for split in ("validation", "test")]
    return pd.DataFrame(other + rows, columns=["split", "rule", "metric", "value", "low", "high"])


HISTORY = pd.DataFrame(
    {
        "epoch": [1, 1, 2, 2],
        "split": ["train", "validation"] * 2,
        "accuracy": [0.5, 0.6, 0.987654, 0.7],
    }
)


# ------------------------------------------------------------------ numbers


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
    assert sentences.short(value) == text


def test_a_p_that_is_not_defined():
    assert sentences.probability(float("nan")) == "p not defined"


# ------------------------------------------------------------------ one run


def test_a_run_is_described_by_its_numbers():
    text = sentences.run(metrics(), HISTORY)
    assert "After 2 epochs the training accuracy was .988." in text
    assert "on validation is .900 (95 % interval .850 to .950)" in text
    assert "on test .750 (95 % interval .700 to .800): lower on test by .150, and" in text
    assert "the accuracy on test is .625 (95 % interval .500 to .700)" in text
    assert "the sensitivity 1.000 (95 % interval 1.000 to 1.000)" in text
    assert "the specificity .125 (95 % interval .000 to .200)" in text


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
def test_a_run_compares_test_with_validation(test, change, overlap):
    text = sentences.run(metrics(test=test), HISTORY)
    assert f": {change}, and the two intervals {overlap}." in text


def effects(**more):
    columns = {"cue": ["shape", "exposure"], "value": [0.5, 0.25], "low": [0.375, 0.125]}
    return pd.DataFrame(columns | {"high": [0.625, 0.5]} | more)


def test_effects_are_named_from_the_strongest():
    text = sentences.swaps(effects())
    assert "**shape** moves the scores most: .500 [.375, .625] of the gap between" in text
    assert "Then come exposure .250 [.125, .500]." in text
    assert "is not known" not in text


def test_an_effect_with_an_interval_wider_than_the_gap_has_no_number():
    text = sentences.swaps(effects(value=[1.511, 0.25], low=[0.737, 0.125], high=[5.491, 0.5]))
    assert "**exposure** moves the scores most: .250" in text and "1.511" not in text
    assert "With so few images the effect of shape is not known" in text
    wide = sentences.swaps(effects(low=[-1, -1], high=[1, 1]))
    assert wide.startswith("With so few images the effect of shape, exposure is not known")


def test_a_network_that_tells_nothing_apart_rests_on_nothing():
    nothing = [float("nan")] * 2
    assert "no gap between the classes" in sentences.swaps(effects(value=nothing))


def test_the_baseline_has_its_two_numbers():
    text = sentences.baseline(metrics())
    assert "AUC of .900 [.850, .950] within `train`" in text
    assert "of .750 [.700, .800] on `test`" in text


def test_findings_are_counted_and_named():
    findings = pd.DataFrame({"check": ["a", "b", "c"], "severity": ["fine", "severe", "severe"]})
    assert (
        sentences.audit(findings) == "Of 3 checks of the files, severe: 2 (b, c); a warning: none."
    )


def test_the_index_is_described_by_its_counts():
    table = pd.DataFrame(
        {
            "path": ["1.png", "2.png", "3.png", "4.png"],
            "split": ["train", "train", "val", "test"],
            "patient": ["a", "a", "b", "b"],
            "label": [1, 1, 0, 1],
        }
    )
    text = sentences.data(table)
    assert (
        "There are 4 images. 2 patients are known. PNEUMONIA is .667 of train and 1.000 of" in text
    )
    assert (
        "1 of the 2 known patients in train have several images, up to 2; 1 of them is in train"
        in text
    )
    text = sentences.data(table.assign(patient=["a", "2.png", "3.png", "c"]))
    assert "2 patients are known; 2 images are of unknown patients" in text
    assert "0 of the 1 known patients in train have several images, up to 1; none is in" in text
    text = sentences.data(table.assign(patient=table["path"]))
    assert "It is unknown whose the images are" in text
    assert text.endswith("that is the accuracy of always saying PNEUMONIA.")
    text = sentences.data(table.assign(**{"class": ["krank", "krank", "gesund", "krank"]}))
    assert text.count("krank") == 2 and "PNEUMONIA" not in text


# ------------------------------------------------------------------ steps


def reached(runs=1, low=0.7, high=0.8):
    rows = [("01", split, "AUC", 0.75, low, high, runs) for split in ("validation", "test")]
    names = ["step", "split", "metric", "value", "low", "high", "runs"]
    return pd.DataFrame(rows, columns=names)


def compared(p=0.01):
    row = {"first": "00", "second": "01", "metric": "AUC", "difference": 0.25}
    return pd.DataFrame([row | {"low": -0.05, "high": 0.3, "p_holm": p}])


@pytest.mark.parametrize(
    ("p", "verdict"), [(0.01, "more than chance"), (0.2, "no more than chance")]
)
def test_steps_are_judged_by_the_paired_test(p, verdict):
    text = sentences.steps(reached(), compared(p))["01"]
    assert text.startswith("AUC .750 on validation, .750 [.700, .800] on test (one seed), which")
    assert "is above chance." in text
    assert f"Against 00: +.250 [-.050, +.300], {verdict} in the choice" in text


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [(0.4, 0.8, "not distinguishable from chance"), (0.3, 0.45, "below chance")],
)
def test_a_step_at_or_below_chance(low, high, text):
    assert text in sentences.steps(reached(low=low, high=high), compared())["01"]


def test_seeds_are_counted():
    assert "(3 seeds)" in sentences.steps(reached(runs=3), compared())["01"]


# ------------------------------------------------------------------ how it was made


def record(**more):
    counts = pd.DataFrame({"split": ["train", "validation", "test"], "images": [5000, 1200, 624]})
    about = {"folder": Path("runs/01"), "step": "01", "parameters": {}, "fingerprint": ""}
    about |= {"finished": "", "metrics": pd.DataFrame(), "counts": counts}
    return Record(**about | more)


def test_the_protocol_of_a_network():
    text = sentences.protocol(record(network="tiny", precision="float32", device="a GPU"))
    assert text.startswith("5,000 images to train on, 1,200 of other patients to choose on,")
    assert "624 test images" in text and "float32 on a GPU" in text


def test_the_protocol_of_what_is_no_network():
    text = sentences.protocol(record())
    assert "cross-validation by patient over 1,200 images, test the same 624 images" in text


NOBODY = {"rule": "", "patients": 0, "unknown": 9}
SOME = {"rule": "nih", "patients": 5, "unknown": 4}


def test_the_protocol_claims_no_more_than_is_known_of_the_patients():
    network = {"network": "tiny", "precision": "float32", "device": "a GPU"}
    for more in ({}, network):
        assert "patient" not in sentences.protocol(record(patients=NOBODY, **more))
    text = sentences.protocol(record(patients=NOBODY, **network))
    assert "1,200 others to choose on," in text and "2,000 resamples of images" in text
    text = sentences.protocol(record(patients=SOME, **network))
    assert "of other patients" not in text
    assert "2,000 resamples of known patients and single images" in text


def test_steps_say_what_was_resampled():
    text = " ".join(sentences.steps(reached(), compared(), unit="images").values())
    assert "chance in the choice of images explains" in text and "patient" not in text


def test_a_record_without_counts_has_no_protocol():
    with pytest.raises(ValueError, match="the record in 01 does not say how many images"):
        sentences.protocol(record(counts=None))


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("kaggle", "real ones of children, the public data set of Kermany"),
        ("/home/someone/chest", "of a folder “chest”: whether they are radiographs of patients"),
        ("", "do not say what the images were"),
    ],
)
def test_the_origin_of_the_images(source, text):
    assert text in sentences.origin(source) and "someone" not in sentences.origin(source)


def test_a_folder_of_made_radiographs_is_told_from_others(tmp_path):
    (tmp_path / "made.json").touch()
    for source in (tmp_path, tmp_path / "chest_xray"):
        assert "Made radiographs say nothing about patients" in sentences.origin(str(source))


def test_the_origin_is_that_of_the_folder_that_the_run_found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "made.json").touch()  # lies here now, not when the run was made
    assert "do not say" in sentences.origin("set")
    assert "do not say" in sentences.origin("set", str(tmp_path / "elsewhere" / "set"))
    assert "made by a computer" in sentences.origin("set", str(tmp_path / "set"))
    assert f"“{tmp_path.name}”" in sentences.origin(".", str(tmp_path))
