import pandas as pd
import pytest

from xraylib.audit import patient_checks


def rows(*images, rule="kaggle"):
    """Rows as `measure` returns them, from pairs of split and patient; None is an unknown one."""
    table = pd.DataFrame(
        [
            (f"/data/{split}/NORMAL/{at}.png", f"{split}/NORMAL/{at}.png", split, patient)
            for at, (split, patient) in enumerate(images)
        ],
        columns=["path", "name", "split", "patient"],
    )
    table["patient"] = table["patient"].fillna(table["name"])
    table.attrs["patients"] = {"rule": rule, "patients": 0, "unknown": 0}
    return table


def test_each_pair_of_splits_is_compared():
    images = [
        ("train", "a"),
        ("train", "b"),
        ("val", "b"),
        ("val", "c"),
        ("test", "a"),
        ("test", "c"),
    ]
    finding = patient_checks.across_splits(rows(*images, ("test", "d")))
    assert (finding.severity, finding.count, finding.examples) == ("severe", 3, ["a", "b", "c"])
    assert finding.meaning.startswith(
        "3 patients have images in more than one split: 1 in train and val, 1 in train and test, "
        "1 in val and test."
    )


def test_a_patient_in_train_and_val_alone_is_a_warning():
    finding = patient_checks.across_splits(rows(("train", "a"), ("val", "a"), ("test", "b")))
    assert (finding.severity, finding.count) == ("warning", 1)
    assert finding.meaning.startswith("1 patient has images in more than one split: 1 in train and")


def test_no_patient_in_two_splits_says_what_was_compared():
    finding = patient_checks.across_splits(rows(("train", "a"), ("val", "b"), ("test", "c")))
    assert (finding.severity, finding.count) == ("fine", 0)
    assert finding.meaning == "No known patient has images in two splits."
    assert finding.compared == (
        "the known patients of train with val, train with test, val with test"
    )


def test_images_of_unknown_patients_are_not_compared():
    images = [("train", None), ("test", None), ("train", "a"), ("test", "b")]
    assert patient_checks.across_splits(rows(*images)).count == 0
    finding = patient_checks.across_splits(rows(*images[:2]))
    assert (finding.severity, finding.count) == ("note", 0)
    assert finding.meaning == "Not judged: it is unknown whose the images are."
    finding = patient_checks.across_splits(rows(*images[1:3]))
    assert finding.meaning.startswith("Not judged: there are no two splits with images of known")


def test_one_split_cannot_be_compared():
    finding = patient_checks.across_splits(rows(("all", "a"), ("all", "b")))
    assert finding.meaning.startswith("Not judged: there are no two splits")


def test_bacterial_and_viral_patients_of_one_number_are_two():
    finding = patient_checks.across_splits(rows(("train", "bacteria-25"), ("test", "virus-25")))
    assert (finding.severity, finding.count) == ("fine", 0)
    assert "The number after 'person' alone would suggest 1, but" in finding.meaning


def test_equal_ends_of_other_keys_are_no_numbers():
    finding = patient_checks.across_splits(rows(("train", "IM-25"), ("test", "NORMAL2-IM-25")))
    assert "person" not in finding.meaning


def test_known_patients_are_counted_with_their_rule():
    finding = patient_checks.unknown(rows(("train", "a"), ("train", "a"), ("test", "b")))
    assert (finding.severity, finding.count) == ("fine", 0)
    assert finding.meaning == "2 patients are told apart by file names like Kaggle's."
    finding = patient_checks.unknown(rows(("train", "a"), ("train", "b"), rule="list.csv:who"))
    assert finding.meaning == "2 patients are told apart by list.csv:who."


@pytest.mark.parametrize("known, severity", [(8, "warning"), (9, "note")])
def test_unknown_patients_are_counted(known, severity):
    finding = patient_checks.unknown(rows(("train", None), *[("train", "a")] * known))
    assert (finding.severity, finding.count) == (severity, 1)
    assert finding.examples == ["train/NORMAL/0.png"]
    assert "1 image is of an unknown patient, each counted as a patient of" in finding.meaning


def test_where_nobody_is_known():
    finding = patient_checks.unknown(rows(("train", None), ("test", None), rule=""))
    assert (finding.severity, finding.count) == ("warning", 2)
    assert finding.meaning.startswith("It is unknown whose the images are: no rule for patients")
