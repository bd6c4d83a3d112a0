"""Prepare a radiograph for a network: one recipe, kept in the record and used by whoever scores."""

from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np

from xraylib.data import reading, resizing
from xraylib.data.depth import BITS
from xraylib.data.resizing import Fit, Resize


@dataclass(frozen=True)
class Preparation:
    """How a file becomes the square of pixels that a network takes.

    A network scores an image correctly only if the image was prepared as those it was trained on.
    `dataclasses.asdict` gives what a record stores, and `Preparation(**stored)` brings it back.

    Attributes:
        image_size: Height and width of the square in pixels, 1 or more.
        resize: `"bilinear"`, as `keras.utils.image_dataset_from_directory` does it, without
            antialiasing, or `"area"`, the average of what falls into a pixel.
        fit: `"stretch"` changes width / height, `"crop"` cuts the longer side about the middle,
            `"pad"` adds black to the shorter one.
        quality: JPEG quality, 1 to 100, at which the image is saved again at its own size before
            it is resized, so that the files' own qualities differ less; None leaves it as it is.
        depth: Bits of the grey values of files of more than 8 that do not state their own: 2^depth
            - 1 becomes 255; 8, 10, 12, 14 or 16. `loading.decode` finds it out for a set, so that
            a single file is later read as the set was. None of a set without such files.

    Raises:
        ValueError: A field is out of range.

    Example:
        >>> import numpy as np
        >>> Preparation(2, fit="pad").square(np.full((2, 4), 9, np.uint8)).tolist()
        [[9, 9], [0, 0]]
    """

    image_size: int
    resize: Resize = "bilinear"
    fit: Fit = "stretch"
    quality: int | None = None
    depth: int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.image_size, int) or self.image_size < 1:
            raise ValueError(f"image_size must be 1 or more pixels. Received: {self.image_size!r}")
        for name, known in (("resize", get_args(Resize)), ("fit", get_args(Fit))):
            value = getattr(self, name)
            if value not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}. Received: {value!r}")
        if self.quality is not None and self.quality not in range(1, 101):
            raise ValueError(
                f"quality must be None or a whole number 1 to 100. Received: {self.quality!r}"
            )
        if self.depth is not None and self.depth not in BITS:
            raise ValueError(f"depth must be None or one of {BITS} bits. Received: {self.depth!r}")

    def __str__(self) -> str:
        """The recipe in words, e.g. `"224 px, bilinear, stretch"`."""
        quality = [] if self.quality is None else [f"quality {self.quality}"]
        depth = [] if self.depth is None else [f"{self.depth} bits"]
        return ", ".join([f"{self.image_size} px", self.resize, self.fit, *quality, *depth])

    def square(self, pixels: np.ndarray) -> np.ndarray:
        """Turn grey uint8 pixels, (height, width), into uint8 (image_size, image_size)."""
        if self.quality is not None:
            from xraylib.data.augmentation import recompressed  # rarely needed, and SciPy with it

            pixels = recompressed(pixels, self.quality)
        return resizing.square(pixels, image_size=self.image_size, resize=self.resize, fit=self.fit)

    def read(self, path: Path | str) -> np.ndarray:
        """Turn one image file into grey uint8 pixels, (image_size, image_size).

        Raises:
            UnreadableImage: The file is missing, damaged or no image.
        """
        return self.square(reading.grey(path, bits=self.depth))
