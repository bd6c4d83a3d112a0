"""Say what looks wrong with decoded films: blank, half lost, two-tone, dim, negative or turned.

`looks` describes one film by a few numbers, and `faults` judges the films of a collection by them.
The audit and the loading of images for a network use the same two.
"""

import itertools
from collections.abc import Iterable
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xraylib.data import resizing

#: Side of the small picture that is compared with those of the other films.
MINIATURE: Final = 16
# The most rows and columns of which the edges are looked at, and the histogram is taken.
_LINES: Final = 224
_SAMPLE: Final = 512
# All limits were set on 7,569 files, three versions of the Kaggle set's 5,840 radiographs of train
# and test, so "all files" below are these. The lines at an edge that are one grey, or repeat each
# other: at most four fifths of these shares in all files.
_LOST: Final = {"top": 0.2, "bottom": 0.2, "left": 0.25, "right": 0.25}
# A line is one grey if all but a few of its pixels lie within so many levels; saving as JPEG leaves
# some.
_ONE_GREY: Final = 8
_TRIMMED: Final = 40  # of so many pixels, one may differ at either end
# A picture with a smaller standard deviation shows nothing.
_BLANK: Final = 1.0
# The share of the variance between the two sides of the best threshold: at most .93 in all files.
_TWO_TONE: Final = 0.97
# The exponential of the histogram's entropy: at least 61 in all files.
_FEW_LEVELS: Final = 34.0
# The levels that all but 1 % of the pixels take: at least 91 in all files.
_SMALL_RANGE: Final = 64.0
# Fewer films do not show what they have in common.
LEAST_FILMS: Final = 10
# The share of the variance that the common picture explains: .70 in radiographs, .05 in noise.
_COMMON: Final = 0.3
# The correlation of a film with the common picture: at least .23 in all files.
_OPPOSITE: Final = -0.2
_TURNED: Final = 0.5

FAULTS: Final = {
    "blank": "show nothing: all pixels have nearly the same grey",
    "two-tone": "have two greys, as masks and drawings have",
    "few grey levels": f"use fewer than {_FEW_LEVELS:.0f} of 256 grey levels",
    "small range": f"use fewer than {_SMALL_RANGE:.0f} of 256 grey values, too dark or too pale",
    "half pictures": "lack a part: the lines at one edge are one grey or repeat each other",
    "negatives": "have greys that run against a radiograph's: bone dark, air bright",
    "turned": "lie on their side",
}
COLUMNS: Final = ("grey_levels", "grey_range", "grey_spread", "two_tone", "lost", "frame")


def looks(pixels: NDArray[np.uint8]) -> dict[str, object]:
    """Describes one film, by at most 512 of its rows and columns, evenly spread.

    Args:
        pixels: Grey uint8 in [0, 255], (height, width), before it is resized for a network.

    Returns:
        By name, and with the float numbers of `COLUMNS`:
            grey_levels: The number of levels in use, as the exponential of the entropy, 1 to 256;
            grey_range: The levels between the lowest and the highest .5 % of the pixels;
            grey_spread: Their standard deviation;
            two_tone: The largest share of their variance that one threshold explains (Otsu, "A
                threshold selection method from gray-level histograms", 1979), 0 to 1;
            lost: The largest share of the lines at one edge that are one grey or repeat each other,
                divided by the share from which a part counts as lost;
            frame: The share of the picture in the lines at its edges that are one grey, 0 to 1;
            miniature: 256 bytes, the film at 16 x 16 pixels.

    Example:
        >>> film = np.full((64, 64), 128, np.uint8)
        >>> film[:32] = np.arange(64)
        >>> looks(film)["frame"]
        0.5
    """
    lines = _thinned(pixels, _LINES)
    small = resizing.square(lines, image_size=MINIATURE, resize="area", fit="stretch")
    return {**_histogram(_thinned(pixels, _SAMPLE)), **_edges(lines), "miniature": small.tobytes()}


def faults(described: pd.DataFrame) -> dict[str, NDArray[np.bool_] | None]:
    """Judges the films of one collection.

    Args:
        described: Table with what `looks` returns as columns, one row a film.

    Returns:
        For each of `FAULTS` which films have it, bool (films,). A film has only the first of those
        that concern its greys. None for negatives and turned films where fewer than ten films are
        left, or where they have too little in common.
    """
    blank = (described["grey_spread"] < _BLANK).to_numpy(bool)
    two_tone = (described["two_tone"] > _TWO_TONE).to_numpy(bool) & ~blank
    # In a dim film every line is nearly one grey.
    half = ((described["lost"] >= 1) & (described["grey_range"] >= _SMALL_RANGE)).to_numpy(bool)
    half = half & ~blank & ~two_tone
    # What is left of half a picture may well have few levels.
    other = ~blank & ~two_tone & ~half
    few = (described["grey_levels"] < _FEW_LEVELS).to_numpy(bool) & other
    small = (described["grey_range"] < _SMALL_RANGE).to_numpy(bool) & other & ~few
    against = _against_the_rest(described["miniature"][other])
    negative = turned = None
    if against:
        negative, turned = (np.zeros(len(described), bool) for _ in range(2))
        negative[other], turned[other] = against
    masks = (blank, two_tone, few, small, half, negative, turned)
    return dict(zip(FAULTS, masks, strict=True))


def _thinned(pixels: NDArray[np.uint8], most: int) -> NDArray[np.uint8]:
    """Every n-th row and column, so that there are at most so many of each."""
    down, across = (-(-length // most) for length in pixels.shape)
    return pixels[::down, ::across]


def _histogram(pixels: NDArray[np.uint8]) -> dict[str, float]:
    shares = np.bincount(pixels.ravel(), minlength=256) / pixels.size
    levels = np.arange(256)
    used = shares[shares > 0]
    below = np.cumsum(shares)
    low, high = np.searchsorted(below, (0.005, 0.995))
    sums = np.cumsum(shares * levels)
    variance = float((shares * (levels - sums[-1]) ** 2).sum())
    sides = np.maximum(below * (1 - below), 1e-12)
    between = float(((sums[-1] * below - sums) ** 2 / sides)[:-1].max())
    return {
        "grey_levels": float(np.exp(-(used * np.log(used)).sum())),
        "grey_range": float(high - low + 1),
        "grey_spread": variance**0.5,
        "two_tone": between / variance if variance else 0.0,
    }


def _edges(pixels: NDArray[np.uint8]) -> dict[str, float]:
    grey = pixels.astype(np.int16)
    views = {"top": grey, "bottom": grey[::-1], "left": grey.T, "right": grey.T[::-1]}
    lost, flat = 0.0, {}
    for side, lines in views.items():
        flat[side] = _count(np.sort(line) for line in lines) / len(lines)
        differences = (abs(line - after) for line, after in itertools.pairwise(lines))
        repeated = _count((np.sort(each) for each in differences), most=1) / len(lines)
        lost = max(lost, max(flat[side], repeated) / _LOST[side])
    kept = max(0.0, 1 - flat["top"] - flat["bottom"]) * max(0.0, 1 - flat["left"] - flat["right"])
    return {"lost": lost, "frame": 1 - kept}


def _count(lines: Iterable[NDArray[np.int16]], *, most: int | None = None) -> int:
    """The number of sorted lines up to the first that varies, or with `most`, exceeds it."""
    count = 0
    for line in lines:
        trimmed = len(line) // _TRIMMED
        low = line[trimmed] if most is None else 0
        if line[-1 - trimmed] - low > (_ONE_GREY if most is None else most):
            return count
        count += 1
    return count


def _against_the_rest(
    miniatures: pd.Series,
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]] | None:
    """Which films are negatives of what the films have in common, and which lie on their side.

    The common picture is the first principal component of the films without their means. It does
    not depend on how many are negatives, for a film and its negative count alike; of a radiograph,
    the middle is bright and the border dark.
    """
    if len(miniatures) < LEAST_FILMS:
        return None
    films = np.frombuffer(b"".join(miniatures), np.uint8).reshape(len(miniatures), -1)
    centred = films.astype(np.float32)
    centred -= centred.mean(axis=1, keepdims=True)
    centred /= np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-6)
    shares, components = np.linalg.eigh(centred.T @ centred / len(centred))
    common = components[:, -1].reshape(MINIATURE, MINIATURE)
    if shares[-1] < _COMMON:
        return None
    middle = slice(MINIATURE * 2 // 5, MINIATURE * 3 // 5)
    border = np.concatenate([common[:, :1], common[:, -1:]], axis=1)
    if common[:, middle].mean() < border.mean():
        common = -common
    upright = centred @ common.ravel()
    sideways = np.abs(centred @ np.rot90(common).ravel())
    on_side = (sideways > _TURNED) & (sideways > np.abs(upright))
    return (upright < _OPPOSITE) & ~on_side, on_side
