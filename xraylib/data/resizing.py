"""Resize a radiograph of any shape to a square, as Keras does or antialiased."""

import functools
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scipy import sparse

Resize = Literal["bilinear", "area"]
Fit = Literal["stretch", "crop", "pad"]
Grey = NDArray[np.uint8]


def square(pixels: Grey, *, image_size: int, resize: Resize, fit: Fit) -> Grey:
    """Make one radiograph a square.

    Args:
        pixels: Grey uint8 in [0, 255], (height, width).
        image_size: Height and width of the result in pixels.
        resize: As `keras.utils.image_dataset_from_directory` has it as `interpolation`: of these
            two, only `"area"` antialiases.
        fit: `"stretch"` changes width / height, as that function does by default, `"crop"` cuts the
            longer side about the middle, `"pad"` adds black to the shorter one.

    Returns:
        Grey uint8 in [0, 255], (image_size, image_size).

    Example:
        >>> pixels = np.array([[0, 10, 20, 30], [2, 8, 20, 34]], np.uint8)
        >>> square(pixels, image_size=2, resize="area", fit="crop").tolist()
        [[10, 20], [8, 20]]
    """
    if fit == "pad":
        return _padded(pixels, image_size, resize)
    if fit == "crop":
        height, width = pixels.shape
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        pixels = pixels[top : top + side, left : left + side]
    return _resized(pixels, image_size, image_size, resize)


def _padded(pixels: Grey, size: int, resize: Resize) -> Grey:
    """Resize the longer side to `size`, and add black on both sides of the shorter one."""
    # In float32 as tf.image.resize_with_pad, whose rounding may leave the longer side 1 shorter.
    sides = np.array(pixels.shape, np.float32)
    exact = sides / np.max(sides / np.float32(size))
    height, width = np.maximum(exact.astype(int), 1)
    top, left = ((np.float32(size) - exact) / 2).astype(int)
    result = np.zeros((size, size), np.uint8)
    result[top : top + height, left : left + width] = _resized(pixels, height, width, resize)
    return result


def _resized(pixels: Grey, height: int, width: int, resize: Resize) -> Grey:
    if resize == "bilinear":
        return _bilinear(pixels, height, width)
    rows = _weights(pixels.shape[0], height) @ pixels.astype(np.float32)
    averages: NDArray[np.float32] = (_weights(pixels.shape[1], width) @ rows.T).T
    return np.rint(averages).astype(np.uint8, order="C")


def _weights(length: int, size: int) -> "sparse.csr_array":
    """Weights of `length` values in the averages of `size` equal parts, float32 (size, length).

    A value on the edge of two parts counts in each in proportion to its overlap.
    """
    from scipy import sparse  # a fifth of a second, which who predicts one file would wait for

    edges = np.linspace(0, length, size + 1)
    low, high = edges[:-1, np.newaxis], edges[1:, np.newaxis]
    first = low.astype(np.int32)
    near = first + np.arange((np.ceil(high) - first).max(), dtype=np.int32)
    overlap = np.minimum(high, near + 1) - np.maximum(low, near)
    weights = (np.maximum(overlap, 0) / (high - low)).astype(np.float32)
    places = np.minimum(near, length - 1)
    starts = np.arange(0, near.size + 1, near.shape[1], dtype=np.int32)
    return sparse.csr_array((weights.ravel(), places.ravel(), starts), shape=(size, length))


def _bilinear(pixels: Grey, height: int, width: int) -> Grey:
    """Interpolate bilinearly at half-pixel centres, without antialiasing, as `tf.image.resize`.

    Pillow and SciPy do it only with antialiasing or at a tenth of the speed.
    """
    upper_row, lower_row, down = _neighbours(pixels.shape[0], height)
    left_column, right_column, across = _neighbours(pixels.shape[1], width)
    upper, lower = pixels[upper_row], pixels[lower_row]

    def at(columns: NDArray[np.intp]) -> NDArray[np.float32]:
        # Columns are selected before the conversion: of a radiograph, one byte in nine is needed.
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
def _neighbours(
    length: int, size: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
    """For each of `size` samples along `length` pixels: both neighbours and the second's weight."""
    centre = np.clip((np.arange(size) + 0.5) * length / size - 0.5, 0, length - 1)
    first = np.floor(centre).astype(np.intp)
    return first, np.minimum(first + 1, length - 1), (centre - first).astype(np.float32)
