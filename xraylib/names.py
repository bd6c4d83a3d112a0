"""Write names of files as text, whatever bytes they hold, and read them back.

Linux takes any bytes as a name. Python keeps those that are no UTF-8 as lone surrogates, which no
UTF-8 file can hold; and a line break or a mark that turns the direction of writing makes a list of
names lie.
"""

import re
from typing import Final

_SURROGATE: Final = re.compile("[\ud800-\udfff]")
# Besides those: a backslash, control characters, ends of lines and marks of direction.
_HIDDEN: Final = re.compile(
    "[\\\\\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)
_ESCAPE: Final = re.compile(r"\\(?:\\|x([0-9a-f]{2})|u([0-9a-f]{4}))")


def shown(name: object) -> str:
    r"""Writes a name in one line that can be stored and shown anywhere; `original` reads it.

    Example:
        >>> print(shown("R\udcf6ntgen_1.jpeg"), shown("two\nlines"), shown("Röntgen 1.jpeg"))
        R\xf6ntgen_1.jpeg two\x0alines Röntgen 1.jpeg
    """
    return _HIDDEN.sub(_escape, str(name))


def original(text: str) -> str:
    r"""Reads a name that `shown` has written.

    Example:
        >>> original(shown("R\udcf6ntgen_1.jpeg")) == "R\udcf6ntgen_1.jpeg"
        True
    """
    return _ESCAPE.sub(_character, text)


def encodable(text: str) -> str:
    r"""Replaces in a text what no UTF-8 file can hold, as `shown` does, and nothing else.

    Example:
        >>> print(encodable("R\udcf6ntgen_1.jpeg is empty"))
        R\xf6ntgen_1.jpeg is empty
    """
    return _SURROGATE.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    if match[0] == "\\":
        return "\\\\"
    if 0xDC80 <= code <= 0xDCFF:  # a byte, as os.fsdecode keeps it
        code -= 0xDC00
    elif code >= 0x80:
        return f"\\u{code:04x}"
    return f"\\x{code:02x}"


def _character(match: re.Match[str]) -> str:
    byte, code = match.groups()
    if code:
        return chr(int(code, 16))
    if byte:
        return chr(int(byte, 16) + (0xDC00 if int(byte, 16) >= 0x80 else 0))
    return "\\"
