from xraylib.errors import one_line


def test_a_message_in_one_line():
    assert one_line(ValueError("the first\n  and the second.\n")) == "the first and the second"


def test_a_long_message_is_cut():
    assert one_line(ValueError(300 * "x")) == 200 * "x"


def test_without_a_message_the_name():
    assert one_line(KeyError()) == "KeyError"
