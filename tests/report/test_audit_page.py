import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from support.pages import NASTY, Page

from xraylib.report import audit_page


@pytest.fixture
def findings():
    return pd.DataFrame(
        {
            "check": ["copies", "shortcut: shape", "unreadable"],
            "severity": ["severe", "warning", "fine"],
            "count": [1234, 2, 0],
            "meaning": ["The same file twice.", "The shape tells the class.", "All can be read."],
            "examples": [[NASTY, "train/b.jpeg"], [], []],
            "compared": ["bytes", "patients", "nothing"],
        }
    )


@pytest.fixture
def measured():
    table = pd.DataFrame(
        {
            "split": ["train"] * 3 + ["test"],
            "path": ["1.png", "2.png", "3.png", "4.png"],
            "class": ["<b>SICK</b>", "<b>SICK</b>", "WELL", "WELL"],
            "patient": ["a", "a", "b", "c"],
            "quality": [75.0, 95.0, np.nan, np.nan],
            "bytes_per_pixel": [0.1, 0.3, 0.05, 0.07],
        }
    )
    return table.assign(width=1200, height=1000, aspect=1.2, mean=120.0)


def test_verdict_counts_the_worst_first(findings):
    assert audit_page.verdict(findings) == "1 severe, 1 warning, 1 fine"
    assert audit_page.verdict(findings.tail(1)) == "0 severe, 1 fine"
    many = pd.concat([findings] * 2)
    assert audit_page.verdict(many) == "2 severe, 2 warnings, 2 fine"


def test_audit_shows_findings_counts_and_medians(findings, measured):
    tables = {"findings": findings, "measured": measured}
    page = Page(audit_page.audit("Audit of x", properties=Figure(figsize=(2, 1)), **tables))
    assert {"1 severe, 1 warning, 1 fine", "Findings in 4 images, worst first."} <= set(page.texts)
    # By word and mark, not by colour.
    marked = [text.split() for text in page.texts if text[0] in audit_page.MARKS.values()]
    assert marked == [["■", "severe"], ["▲", "warning"], ["○", "fine"]]
    assert f"The same file twice.\ne.g. {NASTY}, train/b.jpeg\ncompared: bytes" in page.texts
    first = page.texts.index("train <b>SICK</b>")
    assert page.texts[first + 1 : first + 9] == [*"21", "1,200", "1,000", "1.2", "0.2", "85", "120"]
    assert page.texts[page.texts.index("test WELL") + 7] == "–"
    assert page.all("img")[0]["alt"].startswith("For each split and class")
    assert "Counts, and medians of the files. 3 patients are known." in page.texts


def test_unknown_patients_are_not_counted(findings, measured):
    tables = {"findings": findings, "measured": measured.assign(patient=measured["path"])}
    page = Page(audit_page.audit("Audit of x", properties=Figure(figsize=(2, 1)), **tables))
    assert "patients" not in page.texts
    assert any("It is unknown whose the images are" in text for text in page.texts)
