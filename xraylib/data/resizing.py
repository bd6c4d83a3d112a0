"""One radiograph of any shape -> a square, as Keras makes it or antialiased."""

import functools
from typing import Final, Literal

import numpy as np
from scipy import sparse

Resize = Literal["bilinear", "area"]
Fit = Literal["stretch", "crop", "pad"]

# Pixels that are float32 at once: 4 MB, whatever the size of the file.
_AT_ONCE: Final = 2**20


def square(pixels: np.ndarray, *, image_size: int, resize: Resize, fit: Fit) -> np.ndarray:
    """Makes one radiograph a square.

    Args:
        pixels: Grey uint8 in [0, 255], (height, width).
        image_size: Height and width of the result in pixels.
        resize: `"bilinear"` takes the pixels that `keras.utils.image_dataset_from_directory` takes,
            which does not antialias; `"area"` averages what falls into a pixel, as the same
            function does with `interpolation="area"`.
        fit: `"stretch"` changes the shape, as that function does unless told otherwise, `"crop"`
            cuts the longer side about the middle, `"pad"` adds black to the shorter one.

    Returns:
        Grey uint8 in [0, 255], (image_size, image_size).
    """
    if fit == "pad":
        return _padded(pixels, image_size, resize)
    if fit == "crop":
        height, width = pixels.shape
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        pixels = pixels[top : top + side, left : left + side]
    return _resized(pixels, image_size, image_size, resize)


def _padded(pixels: np.ndarray, size: int, resize: Resize) -> np.ndarray:
    """Resizes the longer side to `size` and puts black about the middle of the shorter one."""
    # In float32 as tf.image.resize_with_pad, whose rounding may leave the longer side 1 shorter.
    sides = np.array(pixels.shape, np.float32)
    exact = sides / np.max(sides / np.float32(size))
    height, width = np.maximum(exact.astype(int), 1)
    top, left = ((np.float32(size) - exact) / 2).astype(int)
    square = np.zeros((size, size), np.uint8)
    square[top : top + height, left : left + width] = _resized(pixels, height, width, resize)
    return square


def _resized(pixels: np.ndarray, height: int, width: int, resize: Resize) -> np.ndarray:
    if resize == "bilinear":
        return _bilinear(pixels, height, width)
    rows = _averages(pixels, height)
    return np.rint(_averages(rows.T, width).T).astype(np.uint8, order="C")


def _averages(values: np.ndarray, size: int) -> np.ndarray:
    """Average `size` equal parts of the first axis: float32 (size, columns).

    A value on the edge of two parts counts in each by the share of it that lies there.
    """
    parts = max(1, _AT_ONCE * size // values.size)
    averages = np.empty((size, values.shape[1]), np.float32)
    edges = np.linspace(0, len(values), size + 1)
    for first in range(0, size, parts):
        cut = edges[first : first + parts + 1]
        low, high = int(cut[0]), min(int(np.ceil(cut[-1])), len(values))
        shares = _shares(cut - low, high - low)
        averages[first : first + parts] = shares @ values[low:high].astype(np.float32)
    return averages


def _shares(edges: np.ndarray, length: int) -> sparse.csr_array:
    """Of `length` values, each's share in the average between two edges: (parts, length)."""
    low, high = edges[:-1, np.newaxis], edges[1:, np.newaxis]
    first = low.astype(np.int32)
    near = first + np.arange((np.ceil(high) - first).max(), dtype=np.int32)
    inside = np.minimum(high, near + 1) - np.maximum(low, near)
    shares = np.maximum(inside, 0) / (high - low)
    places = np.minimum(near, length - 1).ravel()
    starts = np.arange(0, near.size + 1, near.shape[1], dtype=np.int32)
    return sparse.csr_array(
        (shares.astype(np.float32).ravel(), places, starts), shape=(len(near), length)
    )


def _bilinear(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bilinear interpolation at half-pixel centres, without antialiasing, as `tf.image.resize`.

    Pillow and SciPy offer it only with antialiasing or at a tenth of the speed.
    """
    upper_row, lower_row, down = _neighbours(pixels.shape[0], height)
    left_column, right_column, across = _neighbours(pixels.shape[1], width)
    upper, lower = pixels[upper_row], pixels[lower_row]

    def at(columns: np.ndarray) -> np.ndarray:
        # Bytes are picked before they become numbers: of a radiograph, one in nine is needed.
        above = upper[:, columns].astype(np.float32)
        change = lower[:, columns] - above
        change *= down[:, np.newaxis]
        change += above
        return change

    left, result = at(left_column), at(right_column)
    result -= left
    result *= across
    result += left
    return np.rint(result, out=result).astype(np.uint8, order="C")


@functools.lru_cache(maxsize=512)
def _neighbours(length: int, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each of `size` samples along `length` pixels: both neighbours, the second's weight."""
    centre = np.clip((np.arange(size) + 0.5) * length / size - 0.5, 0, length - 1)
    first = np.floor(centre).astype(np.intp)
    return first, np.minimum(first + 1, length - 1), (centre - first).astype(np.float32)
