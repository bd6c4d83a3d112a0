"""Scale grey values of more than eight bits: by what a file states, else by what its set holds.

Many converters write the 12 bits of a detector into 16, and few say so. Divided by 65,535, such a
film would be left with 17 of 256 grey levels.
"""

import re
from collections.abc import Sequence
from typing import Final

import numpy as np
from PIL import Image

from xraylib import errors

# The bits of detectors; a set has the fewest of them that hold its largest value.
BITS: Final = (8, 10, 12, 14, 16)
# Below a quarter of 16 bits, a film alone is unlikely to be what it looks like.
SUSPECT: Final = 2**14

_WIDE_MODES: Final = ("I", "F")
# Tags of TIFF 6.0.
_BITS_PER_SAMPLE, _PHOTOMETRIC, _LARGEST, _LARGEST_OF_TYPE = 258, 262, 281, 341
_WHITE_IS_ZERO: Final = 0
_MAXVAL: Final = re.compile(rb"P[2356]" + 3 * rb"(?:\s|#[^\n]*\n)+(\d+)")
# ISO 15444-1: the markers SOC and SIZ; the bits of the first component, less 1, 42 bytes on.
_CODESTREAM, _PRECISION_AT = b"\xff\x4f\xff\x51", 42


def is_wide(image: Image.Image) -> bool:
    """Tell whether Pillow gives the values of an image in more than eight bits."""
    return image.mode.startswith(_WIDE_MODES)


def of_set(bits: Sequence[int], largest: Sequence[int]) -> int | None:
    """Choose the bits of a set of files: the fewest that hold every value and what files state.

    Args:
        bits: Of each file, as `reading.Film` has it.
        largest: Of each file, the same.

    Returns:
        One of `BITS`; None where no file needs it.

    Example:
        >>> of_set([16, 16, 8], [900, 3871, 0]), of_set([16, 14], [4095, 0]), of_set([8], [0])
        (12, 14, None)
    """
    if not any(largest):
        return None
    # 16 stated bits may be 12 that Pillow has spread over 16, and say nothing of other files.
    stated = [2**of_file - 1 for of_file in bits if 8 < of_file < 16]
    return fewest(max(*largest, *stated, 0))


def fewest(value: int) -> int:
    """Find the fewest bits of a detector that hold a value up to 65,535."""
    return next(bits for bits in BITS if value < 2**bits)


def stated(image: Image.Image, content: bytes, largest: int) -> int | None:
    """Find out which bits a file itself states for the values that Pillow gives; None if none.

    - A PNG with the chunk sBIT, as long as its values fit; they do not where its writer has spread
      them over all 16 bits, as the standard demands.
    - A TIFF of 9 to 15 bits per sample, or with a MaxSampleValue that is all ones in binary. Other
      values of it are merely the brightest pixel of one film.
    - A PGM or JPEG 2000 of fewer than 16 bits, which Pillow has spread over all 16.
    """
    bits = 0
    if image.format == "PNG":
        at = content.find(b"sBIT", 0, content.find(b"IDAT"))
        bits = content[at + 4] if at > 0 else 0
        if bits and largest >= 2**bits:
            bits = 16
    elif image.format == "TIFF":
        tags = image.tag_v2  # type: ignore[attr-defined]
        bits = next((each for each in tags.get(_BITS_PER_SAMPLE, ()) if 8 < each < 16), 0)
        for tag in (_LARGEST, _LARGEST_OF_TYPE):
            value = np.ravel(tags.get(tag, 0))[0]
            if largest <= value <= 65_535 and value > 255 and np.log2(value + 1) % 1 == 0:
                bits = bits or int(np.log2(value + 1))
    elif bits_stored(image, content) < 16:
        bits = 16
    return bits or None


def bits_stored(image: Image.Image, content: bytes) -> int:
    """Find the bits of a stored value, which may be more than those that Pillow gives."""
    if image.format == "PNG":
        return content[24]
    if image.format == "TIFF":
        return int(max(image.tag_v2.get(_BITS_PER_SAMPLE, (1,))))  # type: ignore[attr-defined]
    if image.format == "PPM":
        maxval = _MAXVAL.match(content)
        return int(maxval[3]).bit_length() if maxval else 8
    if image.format == "JPEG2000":
        return (content[content.index(_CODESTREAM) + _PRECISION_AT] & 127) + 1
    return 8


def values(image: Image.Image) -> np.ndarray:
    """Get the wide values of an image, (height, width) int64, or float64 within [0, 1].

    Raises:
        UnreadableImage: Some are negative, no number, or above 65,535.
    """
    wide = np.array(image)
    if wide.dtype.kind == "f" and not np.isfinite(wide).all():
        raise errors.UnreadableImage("has pixels that are no number: save it as 16-bit grey")
    least, most = wide.min(), wide.max()
    if least < 0 or most > 65_535:
        raise errors.UnreadableImage(
            f"has values from {least:,} to {most:,}, of which nothing says which are black and "
            "white: save it as 16-bit grey, 0 to 65,535"
        )
    if wide.dtype.kind == "f" and most <= 1:
        return wide.astype(np.float64)
    return np.rint(wide).astype(np.int64)


def to_uint8(wide: np.ndarray, bits: int, image: Image.Image) -> np.ndarray:
    """Scale wide values to uint8 in [0, 255]: 2^bits - 1, or 1.0 of floats, becomes 255."""
    white = 1 if wide.dtype.kind == "f" else 2**bits - 1
    if image.format == "TIFF" and _is_inverted(image):
        wide = white - wide
    if wide.dtype.kind == "f":
        return np.rint(wide * 255).astype(np.uint8)
    return ((wide * 510 + white) // (2 * white)).astype(np.uint8)  # rounds


def _is_inverted(image: Image.Image) -> bool:
    """Tell whether 0 is white, which Pillow takes into account up to eight bits only."""
    tags = image.tag_v2  # type: ignore[attr-defined]
    return bool(tags.get(_PHOTOMETRIC, 1) == _WHITE_IS_ZERO)
