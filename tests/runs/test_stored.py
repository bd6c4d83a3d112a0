"""What any user may call a file or a patient goes to CSV and back."""

import io

import pandas as pd
import pytest

from xraylib.runs import stored

NAMES = [
    "plain.jpeg",
    *("NA", "nan", "null", "None", "True", "-", "#"),
    *("007", "1e5", "1_000", "inf"),
    *("a,b", 'q"uo"te', "'single'", ";semi", " before", "after ", "=1+1", "@sum"),
    *("tab\t", "new\nline", "carriage\rreturn", "both\r\n"),
    *("back\\slash", "\\", "\\x41", "\\\\"),
    *("R\udcf6ntgen.jpeg", "R\udcfcntgen.jpeg", "R\xf6ntgen.jpeg", "\ud800"),
    *("\u200fRTL", "line\u2028end", "e\u0301", "\u00e9", "\x85", "🫁", "\x1b[31m"),
]


def test_names_come_back_as_they_were():
    numbers = range(len(NAMES))
    table = pd.DataFrame({"path": NAMES, "patient": NAMES[::-1], "split": "test"})
    table = table.assign(label=[n % 2 for n in numbers], score=[n / 7 for n in numbers])
    text = stored.text(table.assign(subtype=""))
    text.encode("utf-8")
    assert len(text.splitlines()) == len(NAMES) + 1
    back = stored.read(io.StringIO(text))
    for column in table:
        assert back[column].tolist() == table[column].tolist()
    assert back["subtype"].tolist() == [""] * len(NAMES)
    assert stored.text(back) == text


def test_an_unknown_patient_and_a_missing_score_are_none_at_all():
    table = pd.DataFrame({"path": ["a", "b"], "patient": ["p", None], "score": [None, 0.5]})
    back = stored.read(io.StringIO(stored.text(table)))
    assert back["patient"].isna().tolist() == [False, True]
    assert back["score"].isna().tolist() == [True, False]


def test_the_top_folder_is_common_to_all_files():
    assert stored.top(["/d/train/A/1", "/d/test/B/2"]).as_posix() == "/d"
    assert stored.top(["/d/train/A/1"]).as_posix() == "/d/train/A"


def test_paths_and_patients_begin_at_the_folder():
    table = pd.DataFrame({"path": ["/d/a/1", "/d/b/2"], "patient": ["/d/a/1", "person 3"]})
    below = stored.below(table, stored.top(["/d/x"]))
    assert below["path"].tolist() == ["a/1", "b/2"]
    assert below["patient"].tolist() == ["a/1", "person 3"]


def test_a_file_outside_the_folder():
    table = pd.DataFrame({"path": ["/elsewhere/1"], "patient": ["a"]})
    with pytest.raises(ValueError, match="elsewhere"):
        stored.below(table, stored.top(["/d/x"]))
