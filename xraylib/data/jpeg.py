"""Decode a JPEG strictly: what makes libjpeg warn is an error, for its warnings mean lost pixels.

Pillow hides these warnings. `simplejpeg` has libjpeg-turbo as Pillow has, gives the same pixels in
less time, and raises where libjpeg warns.
"""

import re
from collections.abc import Iterator
from typing import Final

import numpy as np
import simplejpeg

# What ends the entropy-coded data of a scan: a marker other than a stuffed zero or a restart.
_MARKER: Final = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
# The header of the picture's data: SOF0 to SOF15, without the tables DHT, JPG and DAC.
_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE: Final = 0xC2
_SCAN: Final = 0xDA
# simplejpeg's words for a whole file that its interface does not cover.
_UNKNOWN: Final = ("could not determine", "unsupported")
_REDUCTION: Final = 8


def luma(content: bytes) -> np.ndarray | None:
    """Decode the brightness of a JPEG, and all of its data.

    Returns:
        (height, width) uint8 in [0, 255]: the Y that the file stores, or .299 R + .587 G + .114 B.
        None for ink (CMYK) and for sampling that libjpeg-turbo's interface does not know, of which
        a less strict decoder may make something.

    Raises:
        ValueError: The data end before the picture does, or are damaged otherwise, in libjpeg's
            words.
    """
    _check_progression(content)
    try:
        space = simplejpeg.decode_jpeg_header(content)[2]
        ink = space in ("CMYK", "YCCK")
        pixels = simplejpeg.decode_jpeg(content, "CMYK" if ink else "GRAY", strict=True)
    except ValueError as error:
        if any(word in str(error).lower() for word in _UNKNOWN):
            return None
        raise
    return None if ink else pixels[..., 0]


def miniature(content: bytes) -> np.ndarray:
    """Decode a colour JPEG that `luma` decodes at an eighth of its size, (h, w, 3) uint8 RGB."""
    return simplejpeg.decode_jpeg(
        content, "RGB", min_height=1, min_width=1, min_factor=_REDUCTION, strict=False
    )


def bits(content: bytes) -> int:
    """Find the bits of a stored value, which no decoder here knows above 8; 0 if it is not told."""
    for code, segment in _segments(content):
        if code in _FRAMES:
            return segment[0] if segment else 0
    return 0


def _check_progression(content: bytes) -> None:
    """Raise ValueError where a progressive JPEG lacks scans, of which libjpeg does not warn.

    Only the first component counts, the brightness: every bit of its 64 coefficients is in one of
    the scans (ITU-T T.81, Annex G).
    """
    first = -1
    missing = np.full(64, 255)  # by coefficient, the lowest bit that a scan has brought
    for code, segment in _segments(content):
        if code in _FRAMES and code != _PROGRESSIVE:
            break
        if code == _PROGRESSIVE and len(segment) > 6:
            first = segment[6]
        elif code == _SCAN:
            count = segment[0] if segment else 0
            if len(segment) < 2 * count + 4:
                raise ValueError("the header of a scan is damaged")
            begin, end, low = segment[2 * count + 1 : 2 * count + 4]
            if first in segment[1 : 2 * count + 1 : 2]:
                missing[begin : end + 1] = low & 15
    if first >= 0 and missing.any():
        raise ValueError("its last scans are missing")


def _segments(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the code of each marker, up to that of the end, and what its segment holds."""
    at = 2
    while marker := _MARKER.search(content, at):
        code, at = content[marker.start() + 1], marker.end()
        if code == 0xD9:  # the end
            return
        size = int.from_bytes(content[at : at + 2], "big")
        yield code, content[at + 2 : at + size]
        at += size
