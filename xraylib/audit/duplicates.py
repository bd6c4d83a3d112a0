"""Find radiographs that are copies: the same bytes, or the same look, also mirrored or negative.

`perceptual_hash` gives a picture 256 bits, `near_copies` compares the pictures of one collection,
and `between` two collections, by bytes and by looks.
"""

from collections.abc import Iterable, Iterator
from typing import Final

import numpy as np
import pandas as pd
from PIL import Image

from xraylib import progress

# The largest number of different bits in two hashes of the same picture.
_NEAR: Final = 20
# The hash of a picture with a smaller standard deviation would consist of rounding errors.
_FLAT: Final = 1.0
# Hashes compared with as many others at a time: 1,024 times 1,024 float32 are 4 MB.
_BLOCK: Final = 1024
# Pairs counted bit by bit at a time: 16,384 times 256 bytes are 4 MB.
_PORTION: Final = 16384

# The eight symmetries of a square. Of the cosine transform, a reflection across the vertical axis
# changes the sign of the odd columns, one across the horizontal axis that of the odd rows, and one
# across the diagonal transposes it. A negative changes all signs.
_SYMMETRIES: Final = (
    "the same look",
    "mirrored",
    "flipped top to bottom",
    "turned by 180°",
    "mirrored and turned by 90°",
    "turned by 90°",
    "turned by 90°",
    "mirrored and turned by 90°",
)
# The signs of the four quarters of a transform, by parity of row and column: even-even, even-odd,
# odd-even, odd-odd; one line each for no reflection, the two reflections, and both.
_SIGNS: Final = np.array([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]], np.int16)
#: What `near_copies` compares, for sentences.
LOOKS: Final = (
    "as they are, mirrored, turned by 90°, 180° and 270°, and as negatives of all these; copies "
    "that were zoomed, cropped or turned by a few degrees are not looked for"
)


def perceptual_hash(pixels: np.ndarray) -> str:
    """Hashes a radiograph to 256 bits that saving again and resizing hardly change.

    Each bit is the sign of one of the lowest 16 x 16 coefficients of the cosine transform, at
    64 x 64 pixels, after Zauner, "Implementation and benchmarking of perceptual image hash
    functions", 2010, which compares them with their median. With their signs, the hash of the
    mirrored, the turned and the negative picture follow from that of the picture. The first bit,
    that of the mean, is always 0.

    Args:
        pixels: Grey uint8 in [0, 255], (height, width).

    Returns:
        64 hexadecimal digits; empty for a flat picture, which has no signs.

    Example:
        >>> len(perceptual_hash(255 * np.eye(300, dtype=np.uint8)))
        64
        >>> perceptual_hash(np.full((300, 300), 7, np.uint8))
        ''
    """
    from scipy.fft import dctn

    small = Image.fromarray(pixels).resize((64, 64), Image.Resampling.BILINEAR)  # antialiased
    grey = np.asarray(small, np.float32)
    if grey.std() < _FLAT:
        return ""
    bits = dctn(grey, type=2)[:16, :16] > 0
    bits[0, 0] = False
    return np.packbits(bits).tobytes().hex()


def near_copies(hashes: Iterable[str | None]) -> pd.DataFrame:
    """Finds all pairs of hashes that differ in at most 20 of 255 bits.

    One picture is compared with the other as it is, mirrored left to right and top to bottom,
    turned by 90, 180 and 270 degrees, and with the negatives of all these. A copy that was saved
    again differs in a few bits. Of 5,840 radiographs of the Kaggle set, the most similar two that
    are no copies differ in 38; in 54 if one is mirrored, and in 81 if it is turned or negative.
    Zoomed, cropped and slightly turned copies are not looked for: a zoom by 2 % changes 16 bits in
    the median, a turn by one degree 21, so that about half of these are missed; larger ones all.

    Args:
        hashes: 64 digits each, as `perceptual_hash` returns them. None or an empty one, of an
            unreadable or a flat picture, is like no other.

    Returns:
        One row a pair, sorted, with the int columns first and second, positions in `hashes` with
        first < second, distance, and the str column how, such as `"the same look"`, `"mirrored"`
        or `"turned by 90°, negative"`.

    Raises:
        ValueError: A hash has not 64 digits.

    Example:
        >>> near_copies(["0" * 64, "5" * 64])
           first  second  distance       how
        0      0       1         0  mirrored
    """
    places, packed = _known(hashes)
    pairs = _compared(packed, packed, once=True)
    return pairs.assign(first=places[pairs["first"]], second=places[pairs["second"]])


def between(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    """Finds the images of one table that are copies of images of another, by bytes and by looks.

    Args:
        first: Table with the columns sha256 and phash, as `measurements.measure` returns them.
        second: Another one, e.g. of the images that a network was trained on.

    Returns:
        One row a pair, sorted, with the int columns first and second, positions in the two tables,
        the str column how, `"same bytes"` or as `near_copies` says it, and the int column distance,
        of the hashes in bits.

    Example:
        >>> films = pd.DataFrame({"sha256": ["a", "b"], "phash": ["0" * 64, "4" + "0" * 63]})
        >>> between(films.head(1), films)
           first  second            how  distance
        0      0       0     same bytes         0
        1      0       1  the same look         1
    """
    numbered = [
        table[["sha256"]].assign(**{name: np.arange(len(table))})
        for name, table in (("first", first), ("second", second))
    ]
    left, right = (each[each["sha256"].fillna("") != ""] for each in numbered)
    same = left.merge(right, on="sha256")[["first", "second"]]
    same = same.assign(how="same bytes", distance=0)
    (left_places, left_hashes), (right_places, right_hashes) = (
        _known(table["phash"]) for table in (first, second)
    )
    pairs = _compared(left_hashes, right_hashes, once=False)
    alike = pairs.assign(first=left_places[pairs["first"]], second=right_places[pairs["second"]])
    both = pd.concat([same, alike], ignore_index=True)
    both = both.drop_duplicates(["first", "second"]).sort_values(["first", "second"])
    return both[["first", "second", "how", "distance"]].reset_index(drop=True)


def _known(hashes: Iterable[str | None]) -> tuple[np.ndarray, np.ndarray]:
    """The positions of the hashes that there are, int (n,), and their bytes, uint8 (n, 32)."""
    texts = [each if isinstance(each, str) else "" for each in hashes]
    places = np.flatnonzero([text != "" for text in texts])
    known = [texts[place] for place in places]
    for each in known:
        if len(each) != 64:
            raise ValueError(f"a hash must have 64 hexadecimal digits. Received: {each!r}")
    packed = np.frombuffer(bytes.fromhex("".join(known)), np.uint8).reshape(-1, 32)
    return places, packed


def _compared(first: np.ndarray, second: np.ndarray, *, once: bool) -> pd.DataFrame:
    """All near pairs of two lists of packed hashes; of one list with itself, each pair once."""
    pairs = [np.empty((0, 4), int)]
    tiles = [
        (top, left)
        for top in range(0, len(first), _BLOCK)
        for left in range(top if once else 0, len(second), _BLOCK)
    ]
    for top, left in progress.bar(tiles, total=len(tiles), description="comparing"):
        rows, columns = first[top : top + _BLOCK], second[left : left + _BLOCK]
        for above, beside in _candidates(rows, columns, once=once and top == left):
            distances, how = _distances(rows[above], columns[beside])
            near = distances <= _NEAR
            found = np.column_stack([above + top, beside + left, distances, how])
            pairs.append(found[near])
    table = pd.DataFrame(
        np.concatenate(pairs), columns=["first", "second", "distance", "how"]
    ).sort_values(["first", "second"], ignore_index=True)
    names = np.array([*_SYMMETRIES, *(f"{each}, negative" for each in _SYMMETRIES)], object)
    names[len(_SYMMETRIES)] = "negative"
    return table.assign(how=names[table["how"]])


def _candidates(
    rows: np.ndarray, columns: np.ndarray, *, once: bool
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields the positions of all pairs that may be near, in portions.

    The quarters even-odd and odd-odd keep the amount of their inner product when a picture is
    mirrored or negative. In 128 bits of which at most 20 differ, the amounts add up to 88, which
    hardly any two radiographs reach.
    """
    ours, theirs = (_signs(each).astype(np.float32) for each in (rows, columns))
    near = [
        _amount(ours, other, 0) + _amount(ours, other, 1) >= 128 - 2 * _NEAR
        for other in (theirs, theirs.swapaxes(1, 2))
    ]
    either = near[0] | near[1]
    above, beside = np.nonzero(np.triu(either, k=1) if once else either)
    for start in range(0, len(above), _PORTION):
        portion = slice(start, start + _PORTION)
        yield above[portion], beside[portion]


def _amount(ours: np.ndarray, theirs: np.ndarray, row: int) -> np.ndarray:
    """The amount of the inner products of a quarter with odd columns, float32."""
    product = _quarter(ours, row, 1) @ _quarter(theirs, row, 1).T
    return np.abs(product, out=product)


def _distances(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The smallest distance of each pair in bits, and the number of its symmetry, int (n,)."""
    ours, theirs = _signs(first), _signs(second)
    products = []
    for other in (theirs, theirs.swapaxes(1, 2)):
        same = ours * other
        quarters = [
            _quarter(same, row, column).sum(axis=1, dtype=np.int16)
            for row in (0, 1)
            for column in (0, 1)
        ]
        products.append(np.stack(quarters, axis=1) @ _SIGNS.T)
    upright = np.concatenate(products, axis=1)
    every = np.concatenate([upright, -upright], axis=1)
    how = every.argmax(axis=1)
    return (255 - np.take_along_axis(every, how[:, np.newaxis], axis=1)[:, 0]) // 2, how


def _signs(packed: np.ndarray) -> np.ndarray:
    """+1 and -1 for the bits, and 0 for the first, which tells nothing: int8 (n, 16, 16)."""
    signs = (2 * np.unpackbits(packed, axis=1).astype(np.int8) - 1).reshape(-1, 16, 16)
    signs[:, 0, 0] = 0
    return signs


def _quarter(signs: np.ndarray, row: int, column: int) -> np.ndarray:
    """The coefficients whose row and column are even (0) or odd (1), (n, 64)."""
    return signs[:, row::2, column::2].reshape(len(signs), -1)
