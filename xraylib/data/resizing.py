"""One radiograph of any shape -> a square, as Keras makes it or antialiased."""

import functools
from typing import Literal

import numpy as np
from PIL import Image

Resize = Literal["bilinear", "area"]
Fit = Literal["stretch", "crop", "pad"]


def square(pixels: np.ndarray, *, image_size: int, resize: Resize, fit: Fit) -> np.ndarray:
    """Makes one radiograph a square.

    Args:
        pixels: Grey uint8 in [0, 255], (height, width).
        image_size: Height and width of the result in pixels.
        resize: `"bilinear"` takes the pixels that `keras.utils.image_dataset_from_directory` takes,
            which does not antialias; `"area"` averages what falls into a pixel.
        fit: `"stretch"` changes the shape, as that function does unless told otherwise, `"crop"`
            cuts the longer side about the middle, `"pad"` adds black to the shorter one.

    Returns:
        Grey uint8 in [0, 255], (image_size, image_size).
    """
    height, width = pixels.shape
    if fit == "crop":
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        pixels = pixels[top : top + side, left : left + side]
    elif fit == "pad":
        return _padded(pixels, image_size, resize)
    return _resized(pixels, image_size, image_size, resize)


def _padded(pixels: np.ndarray, size: int, resize: Resize) -> np.ndarray:
    """Resizes the longer side to `size` and puts black about the middle of the shorter one."""
    # In float32 as tf.image.resize_with_pad, whose rounding may leave the longer side 1 shorter.
    shape = np.array(pixels.shape, np.float32)
    exact = shape / np.max(shape / np.float32(size))
    height, width = np.maximum(exact.astype(int), 1)
    top, left = ((np.float32(size) - exact) / 2).astype(int)
    square = np.zeros((size, size), np.uint8)
    square[top : top + height, left : left + width] = _resized(pixels, height, width, resize)
    return square


def _resized(pixels: np.ndarray, height: int, width: int, resize: Resize) -> np.ndarray:
    if resize == "area":
        return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BOX))
    return _bilinear(pixels, height, width)


def _bilinear(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bilinear interpolation at half-pixel centres, without antialiasing, as `tf.image.resize`.

    Pillow and SciPy offer it only with antialiasing or at a tenth of the speed.
    """
    upper_row, lower_row, down = _neighbours(pixels.shape[0], height)
    left_column, right_column, across = _neighbours(pixels.shape[1], width)
    upper = pixels[upper_row].astype(np.float32)
    rows = upper + down[:, np.newaxis] * (pixels[lower_row] - upper)
    left = rows[:, left_column]
    return np.rint(left + across * (rows[:, right_column] - left)).astype(np.uint8)


@functools.lru_cache(maxsize=512)
def _neighbours(length: int, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each of `size` samples along `length` pixels: both neighbours, the second's weight."""
    centre = np.clip((np.arange(size) + 0.5) * length / size - 0.5, 0, length - 1)
    first = np.floor(centre).astype(np.intp)
    return first, np.minimum(first + 1, length - 1), (centre - first).astype(np.float32)
