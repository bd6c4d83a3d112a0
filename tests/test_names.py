import os

import pytest

from xraylib import names

ODD = [
    os.fsdecode(b"R\xf6ntgen_1.jpeg"),
    os.fsdecode(b"\xff\xfe\x80.png"),
    "two\nlines.jpeg",
    "carriage\rreturn\r\n.jpeg",
    "tab\t.jpeg",
    "back\\slash\\x41\\\\.jpeg",
    "\u200fright to left\u202e.jpeg",
    "line\u2028end\u2029\x85.jpeg",
    "\ud800half a pair",
    "\x1b[31mred",
    "\ufeffmark",
]
PLAIN = [
    "IM-0001-0001.jpeg",
    "Röntgen\u00a01.jpeg",
    "e\u0301.png",
    "肺炎/🫁.jpg",
    '=1+1,"a"',
    " b ",
    "",
]


@pytest.mark.parametrize("name", ODD, ids=ascii)
def test_a_name_of_any_bytes_is_one_line_of_utf_8_and_comes_back(name):
    text = names.shown(name)
    assert len(text.splitlines()) == 1
    text.encode("utf-8")
    assert names.original(text) == name


@pytest.mark.parametrize("name", PLAIN, ids=ascii)
def test_a_name_that_can_be_shown_stays_as_it_is(name):
    assert names.shown(name) == name == names.original(name) == names.encodable(name)


def test_names_that_differ_stay_different():
    assert len({names.shown(name) for name in ODD + PLAIN}) == len(ODD + PLAIN)
    assert names.shown("\udcf6") != names.shown("\\xf6") != names.shown("\xf6")


def test_a_text_keeps_all_but_what_no_file_can_hold():
    assert names.encodable("a\\b\n\udcf6") == "a\\b\n\\xf6"
