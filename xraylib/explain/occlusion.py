"""Draw heat maps without gradients: cover a part of the radiograph and see how the score falls.

This needs nothing but scores, so that it works for any classifier, at the price of some hundred
scores an image.
"""

from collections.abc import Callable
from typing import Final, Literal, get_args

import numpy as np
from scipy import ndimage

from xraylib import progress
from xraylib.explain import gradcam

Fill = Literal["mean", "black", "blur"]
Score = Callable[[np.ndarray], np.ndarray]

# Of the deviation of a blur that leaves no lesion, as a share of the side.
_BLUR: Final = 1 / 8


def heatmap(
    score: Score,
    pixels: np.ndarray,
    *,
    patch: int = 0,
    stride: int = 0,
    fill: Fill = "black",
) -> np.ndarray:
    """Draw heat maps from how much a score falls when a patch over a place is covered.

    Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014. The
    evidence at a pixel is the mean fall over all patches that cover it.

    Args:
        score: Takes uint8 (n, size, size, 1), and returns log-odds, (n,): `gradcam.log_odds` of a
            network, or the logits of any other classifier. A probability does not do, for near 0
            and 1 it hardly moves.
        pixels: Grey uint8 in [0, 255], (n, size, size) or (n, size, size, 1).
        patch: The side of the patch in pixels; 0 for a sixth of the image.
        stride: Pixels between one patch and the next; 0 for half a patch.
        fill: What covers the patch, see `covering`.

    Returns:
        Heat maps, float32 (n, size, size) in [0, 1], scaled as those of `gradcam.heatmap`.

    Raises:
        ValueError: The patch does not fit into the image, or `fill` is unknown.
    """
    pixels = pixels.reshape(*pixels.shape[:3], 1)
    size = pixels.shape[1]
    patch = patch or max(1, size // 6)
    stride = stride or max(1, patch // 2)
    if not 0 < patch <= size or stride < 0:
        raise ValueError(
            f"patch must be 1 to {size} pixels, stride 1 or more. Received: {patch} and {stride}"
        )
    windows = _windows(size, patch, stride)
    covered = windows.sum(0)
    evidence = np.zeros(pixels.shape[:3])
    bar = progress.bar(total=len(pixels), description="covering patches")
    with bar:
        for number, (picture, cover) in enumerate(zip(pixels, covering(pixels, fill), strict=True)):
            variants = np.where(windows[..., np.newaxis], cover, picture)
            falls = score(picture[np.newaxis]) - score(variants)
            evidence[number] = np.tensordot(falls, windows, 1) / covered
            bar.update()
    return gradcam.scaled(evidence, -evidence)


def covering(pixels: np.ndarray, fill: Fill) -> np.ndarray:
    """Make what takes the place of covered pixels.

    Args:
        pixels: Grey uint8 in [0, 255], (n, size, size, 1).
        fill: `"mean"`, the mean grey value of each image; `"black"`; or `"blur"`, the image
            blurred by a Gaussian with a deviation of an eighth of its side.

    Returns:
        uint8 in [0, 255], (n, size, size, 1).

    Raises:
        ValueError: `fill` is unknown.

    Example:
        >>> covering(np.array([0, 8], np.uint8).reshape(1, 1, 2, 1), "mean").ravel().tolist()
        [4, 4]
    """
    if fill not in get_args(Fill):
        raise ValueError(f"fill must be one of {', '.join(get_args(Fill))}. Received: {fill!r}")
    if fill == "blur":
        deviation = _BLUR * pixels.shape[1]
        blurred = ndimage.gaussian_filter(pixels.astype(float), (0, deviation, deviation, 0))
        return np.rint(blurred).astype(np.uint8)
    mean = pixels.mean((1, 2), keepdims=True) if fill == "mean" else 0
    return np.full_like(pixels, np.rint(mean))


def _windows(size: int, patch: int, stride: int) -> np.ndarray:
    """Every patch as a mask, bool (patches, size, size); together they cover the image."""
    starts = np.unique(np.append(np.arange(0, size - patch, stride), size - patch))
    places = np.arange(size)
    spans = (places >= starts[:, np.newaxis]) & (places < starts[:, np.newaxis] + patch)
    return (spans[:, np.newaxis, :, np.newaxis] & spans[np.newaxis, :, np.newaxis]).reshape(
        -1, size, size
    )
