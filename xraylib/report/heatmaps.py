"""Draw heat maps over their radiographs, readable in grey and for the colour-blind."""

from collections.abc import Sequence
from typing import Any, Final

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# In grey, colour over a radiograph cannot be told from its own brightness; lines can.
_LEVELS: Final = (0.25, 0.5, 0.75)
_WIDTHS: Final = (0.5, 1.0, 1.6)


def overlays(
    pixels: np.ndarray,
    maps: np.ndarray,
    titles: Sequence[str],
    *,
    lesions: np.ndarray | None = None,
) -> Figure:
    """Radiographs above, and below them the same with their heat maps.

    Args:
        pixels: Grey uint8 in [0, 255], (n, size, size) or (n, size, size, 1).
        maps: Heat maps, (n, size, size) in [0, 1].
        titles: One for each image.
        lesions: True masks where they are known, bool (n, size, size).

    Returns:
        The figure: the stronger the evidence, the less of the radiograph shines through its colour;
        white lines at a quarter, a half and three quarters of the strongest, each thicker than the
        one before; true lesions with a dashed outline. An empty map is said to be empty.

    Raises:
        ValueError: There are no images, or not as many maps or titles as images.

    Example:
        >>> figure = overlays(np.zeros((2, 8, 8), np.uint8), np.zeros((2, 8, 8)), ["a", "b"])
        >>> len(figure.axes)
        5
    """
    count = len(pixels)
    if not count or len(maps) != count or len(titles) != count:
        raise ValueError(
            f"{count} images, {len(maps)} maps and {len(titles)} titles: give one or more each"
        )
    pixels = pixels.reshape(maps.shape)
    size = (2.1 * count + 1.0, 4.7)
    figure, axes = plt.subplots(2, count, figsize=size, squeeze=False, layout="constrained")
    for number, (above, below) in enumerate(axes.T):
        for ax in (above, below):
            ax.imshow(pixels[number], cmap="gray", vmin=0, vmax=255)
            ax.axis("off")
            if lesions is not None:
                _outline(ax, lesions[number])
        above.set_title(titles[number], fontsize=8, parse_math=False)  # of a file name
        heat = _heat(below, maps[number])
    bar = figure.colorbar(heat, ax=axes.ravel().tolist(), shrink=0.5, ticks=[0, *_LEVELS, 1])
    bar.set_label("evidence, 1 = the strongest", fontsize=8)
    return figure


def _heat(ax: Axes, heat: np.ndarray) -> Any:
    image = ax.imshow(heat, cmap="inferno", vmin=0, vmax=1, alpha=np.clip(1.4 * heat, 0, 0.8))
    for level, width in zip(_LEVELS, _WIDTHS, strict=True):
        if heat.min() < level <= heat.max():
            ax.contour(heat, [level], colors="white", linewidths=width)
    if not heat.any():
        ax.set_title("empty: nothing for the class", fontsize=7)
    return plt.cm.ScalarMappable(image.norm, image.cmap)


def _outline(ax: Axes, mask: np.ndarray) -> None:
    if mask.any() and not mask.all():
        # Dashes of two colours show on black and on white.
        ax.contour(mask, [0.5], colors="black", linewidths=1.4)
        ax.contour(mask, [0.5], colors="#56B4E9", linewidths=1.2, linestyles="dashed")
