import builtins
import re

from xraylib import errors
from xraylib.errors import one_line


def test_the_tree_in_the_docstring_is_the_tree():
    tree = re.findall(r"── (\w+) +\((\w+)\)", errors.__doc__)
    assert {name for name, _ in tree} == {
        each.__name__ for each in errors.XraylibError.__subclasses__()
    }
    for name, builtin in tree:
        assert issubclass(getattr(errors, name), getattr(builtins, builtin)), name


def test_a_message_in_one_line():
    assert one_line(ValueError("the first\n  and the second.\n")) == "the first and the second"


def test_a_long_message_is_cut():
    assert one_line(ValueError(300 * "x")) == 200 * "x"


def test_without_a_message_the_name():
    assert one_line(KeyError()) == "KeyError"
