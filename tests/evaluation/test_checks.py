import numpy as np
import pandas as pd
import pytest

from xraylib.evaluation import checks


@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [
        ([0, 1], [0.1, np.nan], r"scores must be in \[0, 1\]; 1 are not\. Received: \[nan\]"),
        ([0, 1], [-np.inf, np.inf], r"2 are not\. Received: \[-inf, inf\]"),
        ([0, 1], [0.1, 1.01], r"1 are not\. Received: \[1.01\]"),
        ([0, 2], [0.1, 0.2], r"labels must be 0 or 1\. Received: \[0, 2\]"),
        ([0, np.nan], [0.1, 0.2], r"labels must be 0 or 1\. Received: \[0.0, nan\]"),
        ([0, 1, 1], [0.1, 0.2], "3 labels and 2 scores: give one or more of each"),
        ([], [], "0 labels and 0 scores: give one or more of each"),
        ([1, 1], [0.1, 0.2], "a threshold needs both classes: all labels are 1"),
    ],
)
def test_invalid_labels_and_scores(labels, scores, message):
    with pytest.raises(ValueError, match=message):
        checks.labels_and_scores(labels, scores, both_for="a threshold")


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1, -1, np.nan], r"0 or more; 2 are not\. Received: \[-1\.0, nan\]"),
        ([1, 1, np.inf], r"0 or more; 1 are not\. Received: \[inf\]"),
        ([0, 0, 0], "none of 3 weights is above 0"),
        ([], "none of 0 weights is above 0"),
    ],
)
def test_invalid_weights(weights, message):
    with pytest.raises(ValueError, match=message):
        checks.weights(weights)


@pytest.mark.parametrize("labels", [[1, 1], [], [0, 1, 2], [0, 1, np.nan], ["0", "1"]])
def test_not_both_classes(labels):
    with pytest.raises(ValueError, match="labels must be 0 or 1, with both present"):
        checks.both_classes(labels)


@pytest.mark.parametrize(
    ("patients", "message"),
    [
        (["a", "b"], "2 patients for 3 labels: give one each"),
        (["a", "b", None], "1 of 3 images have no patient: give one each"),
        (["a", np.nan, np.nan], "2 of 3 images have no patient: give one each"),
    ],
)
def test_images_without_a_patient(patients, message):
    with pytest.raises(ValueError, match=message):
        checks.patients(patients, 3)


@pytest.mark.parametrize("value", [0, 1, -0.2, 95, np.nan])
def test_no_fraction(value):
    with pytest.raises(ValueError, match=f"prevalence must be between 0 and 1. Received: {value}"):
        checks.fraction(value, "prevalence")


def test_below_the_least():
    with pytest.raises(ValueError, match=r"bins must be 1 or more\. Received: 0"):
        checks.at_least(0, 1, "bins")


@pytest.mark.parametrize("split", ["validation", "test"])
def test_a_missing_split(split):
    predictions = pd.DataFrame({"split": ["train", "validation", "test"]})
    with pytest.raises(ValueError, match=f"no predictions of {split}: there are .*'train'"):
        checks.splits(predictions[predictions["split"] != split])
