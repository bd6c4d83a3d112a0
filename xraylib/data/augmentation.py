"""One square radiograph -> the same one as another machine might have made it.

What a file owes to its making (its shape, exposure, sharpness, noise and compression) may tell the
classes apart as well as the lungs do. `Augmentation` draws it anew, whatever the class, each time
that an image is trained on.
"""

import io
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from PIL import Image, ImageFilter

# The most of each field: beyond it little is left to be seen, or the unit was another.
_MOST: Final = {
    "scale": 1,
    "rotation": 180,
    "shift": 0.5,
    "gamma": 2,
    "contrast": 2,
    "blur": 16,
    "sharpen": 8,
    "noise": 64,
}
# As the files of the data set: from clearly blocky to hardly changed.
_LOWEST_QUALITY, _HIGHEST_QUALITY = 30, 95


@dataclass(frozen=True)
class Augmentation:
    """What to change of an image at random, and how far; nothing unless asked for.

    The fields are in the order in which they apply, that of a radiograph's making. Lengths are
    in pixels of the image as the network gets it.

    Attributes:
        scale: Width and height are each scaled about the middle by a factor of their own, drawn
            log-evenly from [1 / (1 + scale), 1 + scale]. What grows out of the image is cut; what
            is missing is its mirror image.
        gamma: The greys in [0, 1] are raised to a power drawn log-evenly from [1 / (1 + gamma),
            1 + gamma].
        contrast: The distances of the greys from their mean are multiplied by a factor drawn
            log-evenly from [1 / (1 + contrast), 1 + contrast].
        blur: A Gaussian of a standard deviation drawn evenly from [0, blur] px.
        sharpen: The difference to a Gaussian blur of 1 px is added, times a factor drawn evenly
            from [0, sharpen].
        noise: White Gaussian noise of a standard deviation drawn evenly from [0, noise] grey
            levels.
        recompress: Every other image, by chance, is saved as JPEG at a quality drawn evenly from
            30 to 95.

    Raises:
        ValueError: A field is out of range.
    """

    scale: float = 0.0
    rotation: float = 0.0
    shift: float = 0.0
    flip: bool = False
    gamma: float = 0.0
    contrast: float = 0.0
    blur: float = 0.0
    sharpen: float = 0.0
    noise: float = 0.0
    recompress: bool = False

    def __post_init__(self) -> None:
        for name, most in _MOST.items():
            value = getattr(self, name)
            if not 0 <= value <= most:
                raise ValueError(f"{name} must be from 0, for none, to {most}. Received: {value}")
        for name in ("flip", "recompress"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name} must be True or False. Received: {getattr(self, name)!r}")

    def __bool__(self) -> bool:
        """Whether anything is asked for."""
        return self != Augmentation()

    def apply(self, pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Changes one image.

        Args:
            pixels: Grey uint8 in [0, 255], (height, width) or (height, width, 1).
            rng: Source of chance.

        Returns:
            Grey uint8 of the same shape.

        Raises:
            ValueError: `pixels` is something else.
        """
        if pixels.dtype != np.uint8 or pixels.ndim < 2 or pixels.shape[2:] not in ((), (1,)):
            raise ValueError(
                "pixels must be uint8 (height, width) or (height, width, 1): give one image. "
                f"Received: {pixels.dtype} {pixels.shape}"
            )
        grey = pixels.reshape(pixels.shape[:2])
        if self.scale or self.rotation or self.shift:
            factors = np.array([_factor(self.scale, rng), _factor(self.scale, rng)])
            angle = np.radians(_even(self.rotation, rng))
            shares = np.array([_even(self.shift, rng), _even(self.shift, rng)])
            grey = _moved(grey, factors, angle, shares * grey.shape)
        if self.flip and rng.random() < 0.5:
            grey = grey[:, ::-1]
        if self.gamma or self.contrast:
            grey = _toned(grey, _factor(self.gamma, rng), _factor(self.contrast, rng))
        if self.blur:
            grey = _filtered(grey, ImageFilter.GaussianBlur(rng.uniform(0, self.blur)))
        if self.sharpen:
            percent = round(100 * rng.uniform(0, self.sharpen))
            grey = _filtered(grey, ImageFilter.UnsharpMask(1, percent, threshold=0))
        if self.noise:
            grain = rng.standard_normal(grey.shape, np.float32) * rng.uniform(0, self.noise)
            grey = _rounded(grey + grain)
        if self.recompress and rng.random() < 0.5:
            grey = recompressed(grey, int(rng.integers(_LOWEST_QUALITY, _HIGHEST_QUALITY + 1)))
        return grey.reshape(pixels.shape)


# What the experiments take: meant to outweigh what differs between two hospitals' files, and to
# leave a radiograph that could be one.
GEOMETRIC: Final = Augmentation(scale=0.35)
PHOTOMETRIC: Final = Augmentation(
    gamma=0.35, contrast=0.35, blur=1.0, sharpen=1.5, noise=8.0, recompress=True
)
ALL: Final = replace(PHOTOMETRIC, scale=GEOMETRIC.scale)


def recompressed(pixels: np.ndarray, quality: int) -> np.ndarray:
    """What is left of an image when it is saved as JPEG.

    Args:
        pixels: Grey uint8 in [0, 255], (height, width).
        quality: Of the Independent JPEG Group's library, 1 to 100.

    Returns:
        Grey uint8 of the same shape.
    """
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


def _factor(most: float, rng: np.random.Generator) -> float:
    return (1 + most) ** rng.uniform(-1, 1)


def _even(most: float, rng: np.random.Generator) -> float:
    return rng.uniform(-most, most) if most else 0.0


def _moved(pixels: np.ndarray, factors: np.ndarray, angle: float, offset: np.ndarray) -> np.ndarray:
    """Scaled, then turned (radians), then moved (px), in one resampling; each of (down, across)."""
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    # From a place in the result to that in the image, both from the middle.
    back = turn / factors[:, np.newaxis]
    middle = np.array(pixels.shape) / 2
    seen = back @ -offset
    reach = np.abs(seen) + np.abs(back) @ middle
    # A frame would show the factors, and so let a network undo them: of 900 radiographs extremely
    # randomized trees on row and column profiles read the logarithm of their ratio with an R2 of
    # .92 with black around, .90 with the edge repeated, .77 with the mirror image.
    margin = np.maximum(np.ceil(reach - middle), 0).astype(int)
    around = np.pad(pixels, [(m, m) for m in margin], mode="symmetric")
    image, size = Image.fromarray(around), pixels.shape[::-1]
    centre = np.array(around.shape) / 2 + seen
    if angle == 0:  # antialiased, as no other transform is
        # Pillow refuses what rounding may have put outside.
        top, left = np.maximum(centre - middle / factors, 0)
        bottom, right = np.minimum(centre + middle / factors, around.shape)
        return np.asarray(image.resize(size, Image.Resampling.BILINEAR, (left, top, right, bottom)))
    start = centre - back @ middle
    matrix = (back[1, 1], back[1, 0], start[1], back[0, 1], back[0, 0], start[0])
    return np.asarray(
        image.transform(size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)
    )


def _toned(pixels: np.ndarray, power: float, factor: float) -> np.ndarray:
    levels = 255 * (np.arange(256) / 255) ** power
    mean = levels[pixels].mean()
    return _rounded(mean + factor * (levels - mean))[pixels]


def _filtered(pixels: np.ndarray, kernel: ImageFilter.Filter) -> np.ndarray:
    return np.asarray(Image.fromarray(pixels).filter(kernel))


def _rounded(greys: np.ndarray) -> np.ndarray:
    return np.rint(greys).clip(0, 255).astype(np.uint8)
