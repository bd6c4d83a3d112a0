import numpy as np
import pandas as pd
import pytest

from xraylib.audit.separation import Separation, separation
from xraylib.evaluation import metrics


def test_interval_is_near_the_bootstrap_of_many_patients():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 150)
    scores = rng.beta(2 + labels, 2)
    auc = separation(pd.Series(scores), pd.Series(labels == 1), pd.Series(range(300)))
    expected = metrics.estimate(labels, scores).loc[0, ["value", "low", "high"]]
    assert list(auc) == pytest.approx(expected.tolist(), abs=0.015)


def test_a_patient_counts_once():
    values = pd.Series([5.0, 6, 7, 8, 9, 9, 9, 9, 1, 2, 3, 4, 10, 0])
    patients = pd.Series(list("abcdeeee") + list("fghijj"))
    positive = pd.Series([True] * 8 + [False] * 6)
    # 5, 6, 7, 8, 9 against 1, 2, 3, 4 and 5 of 10 and 0: 24 of 25 right and one tie.
    assert separation(values, positive, patients).auc == 24.5 / 25


def test_patients_without_a_value_do_not_count():
    values = pd.Series([5.0, 6, 7, 8, np.nan, 1, 2, 3, 4, 0])
    groups = pd.Series([True] * 5 + [False] * 5)
    assert separation(values, groups, pd.Series(range(10))) is None


@pytest.mark.parametrize(
    "auc, low, severity",
    [
        (0.75, 0.61, "severe"),
        (0.69, 0.61, "warning"),
        (0.75, 0.60, "warning"),
        (0.75, 0.55, "fine"),
    ],
)
def test_severity(auc, low, severity):
    assert Separation(auc, low, 1.0).severity == severity


def test_mirrored():
    mirrored = Separation(0.25, 0.125, 0.5).mirrored
    assert mirrored == (0.75, 0.5, 0.875)
    assert str(mirrored) == "0.75 (0.50 to 0.88)"
