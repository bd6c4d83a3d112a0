"""Say whether pixels can be a chest radiograph at all, before a network is asked."""

from typing import Final

import numpy as np

# The smallest side of which a lung can be told from a heart.
_LEAST_SIDE: Final = 48
# Width / height of anything that shows a chest; those of the Kaggle set are .8 to 3.4.
_SHAPES: Final = (0.4, 4.0)
# Grey levels between the 1st and the 99th percentile, and different ones: fewer show no lungs.
_LEAST_RANGE: Final = 24
_LEAST_LEVELS: Final = 16
# Share of pixels of a colour; a mark of the reader, or a label, is less.
_MOST_COLOURED: Final = 0.05
# Pixels that are looked at, for a film has millions.
_SAMPLE: Final = 512


def problem(pixels: np.ndarray, *, coloured: float = 0.0) -> str:
    """Say why an image can be no chest radiograph, in words; empty where it may be one.

    Args:
        pixels: Grey uint8 in [0, 255], (height, width), as `reading` gives them.
        coloured: The share of pixels in which the file has a colour, in [0, 1].

    Example:
        >>> problem(np.zeros((1, 1), np.uint8))
        'too small: 1 x 1 pixels'
    """
    height, width = pixels.shape
    if min(height, width) < _LEAST_SIDE:
        return f"too small: {width} x {height} pixels"
    if not _SHAPES[0] <= width / height <= _SHAPES[1]:
        return f"the shape of no radiograph: {width} x {height} pixels"
    if coloured > _MOST_COLOURED:
        return f"a colour picture: {coloured:.0%} of its pixels are coloured"
    sample = pixels[:: -(-height // _SAMPLE), :: -(-width // _SAMPLE)]
    counts = np.bincount(sample.ravel(), minlength=256)
    shares = np.cumsum(counts) / sample.size
    low, high = np.searchsorted(shares, (0.01, 0.99))
    if high - low < _LEAST_RANGE:
        return f"blank: nearly all greys lie between {low} and {high} of 255"
    if (levels := int((counts > 0).sum())) < _LEAST_LEVELS:
        return f"a mask or a drawing: only {levels} grey levels"
    return ""


def thumbnail(square: np.ndarray, *, side: int = 16) -> np.ndarray:
    """Reduce a square to how bright it is where: mean 0 and length 1, float32 (side * side,).

    The product of two is their correlation. That of a radiograph with the mean of many is high,
    and below 0 where its greys are inverted.

    Args:
        square: Grey uint8 (n, n), n at least `side`; what is left over at the right and the bottom
            does not count.
        side: Height and width of the result.
    """
    part = len(square) // side
    blocks = square[: part * side, : part * side].reshape(side, part, side, part)
    means = blocks.mean(axis=(1, 3), dtype=np.float32).ravel()
    centred = means - means.mean()
    return np.asarray(centred / max(float(np.linalg.norm(centred)), 1e-6), np.float32)
