"""Change a radiograph at random, as if another machine had made it.

What a file owes to its making (shape, exposure, sharpness, noise, compression) may separate the
classes as well as the lungs do. `Augmentation` draws it anew each time an image is trained on.
"""

import io
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from xraylib.data.resizing import Grey

# The maximum of each field: beyond it little is left to see, or the unit was another.
_MOST: Final = {
    "crop": 1,
    "borrow": 1,
    "scale": 1,
    "rotation": 180,
    "shift": 0.5,
    "gamma": 2,
    "contrast": 2,
    "blur": 16,
    "sharpen": 8,
    "noise": 64,
}
# The JPEG qualities that occur in the data set: from clearly blocky to hardly changed.
_LOWEST_QUALITY, _HIGHEST_QUALITY = 30, 95


@dataclass(frozen=True)
class Augmentation:
    """Random changes to an image and their strengths; nothing changes by default.

    The changes apply in the order of the fields, which is that of a radiograph's making. Lengths
    are in pixels of the image as the network gets it.

    Attributes:
        crop: A box at a random place becomes the whole image. Its share of the area is uniform in
            [crop, 1] and its width / height log-uniform in [3/4, 4/3] (Szegedy et al., "Going
            deeper with convolutions", CVPR 2015); in [0, 1], 0 for none. It takes the shape of the
            file away as `scale` does, and more.
        size: Height and width of the result in pixels, 0 for those of the image. Only with `crop`,
            which cuts its boxes out of a larger image.
        borrow: This share of the images gets grey values of an image of the other class: the value
            at each quantile moves half to all of the way to that image's (`apply`'s `donor`), so
            that exposure tells less; in [0, 1].
        scale: Width and height are scaled about the middle, each by a factor of its own that is
            log-uniform in [1 / (1 + scale), 1 + scale]; in [0, 1]. What grows out of the image is
            cut; what is missing is its mirror image, as after a rotation and a shift.
        rotation: The image is rotated about the middle by an angle uniform in [-rotation, rotation]
            degrees; in [0, 180].
        shift: The image moves down and across, each by a fraction of its side uniform in
            [-shift, shift]; in [0, .5].
        flip: Half of the images are mirrored left to right.
        gamma: Grey values in [0, 1] are raised to a power log-uniform in [1 / (1 + gamma),
            1 + gamma]; in [0, 2].
        contrast: Differences from the mean grey value are multiplied by a factor log-uniform in
            [1 / (1 + contrast), 1 + contrast]; in [0, 2].
        blur: A Gaussian blur with a standard deviation uniform in [0, blur] px; in [0, 16].
        sharpen: The difference from a Gaussian blur of 1 px is added, times a factor uniform in
            [0, sharpen]; in [0, 8].
        noise: White Gaussian noise with a standard deviation uniform in [0, noise] grey levels; in
            [0, 64].
        recompress: Half of the images are saved as JPEG, at a quality uniform in 30 to 95.

    Raises:
        ValueError: A field is out of range.

    Example:
        >>> image = np.full((2, 2), 128, np.uint8)
        >>> Augmentation(gamma=0.5).apply(image, np.random.default_rng(0)).shape
        (2, 2)
    """

    crop: float = 0.0
    size: int = 0
    borrow: float = 0.0
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
        if self.size < 0 or (self.size and not self.crop):
            raise ValueError(
                f"size must be 0 or, together with crop, the side in pixels. Received: {self.size}"
            )
        for name in ("flip", "recompress"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name} must be True or False. Received: {getattr(self, name)!r}")

    def __bool__(self) -> bool:
        """Whether anything changes."""
        return self != Augmentation()

    def apply(
        self, pixels: np.ndarray, rng: np.random.Generator, donor: np.ndarray | None = None
    ) -> np.ndarray:
        """Change one image, grey uint8 in [0, 255], (height, width) or (height, width, 1).

        Args:
            pixels: The image.
            rng: Where the changes are drawn.
            donor: An image of the other class, for `borrow`.

        Returns:
            The changed image, uint8, with as many axes; its height and width are `size`, if set.

        Raises:
            ValueError: `pixels` is not one such image, or `donor` is missing.
        """
        if pixels.dtype != np.uint8 or pixels.ndim < 2 or pixels.shape[2:] not in ((), (1,)):
            raise ValueError(
                "pixels must be uint8 (height, width) or (height, width, 1): give one image. "
                f"Received: {pixels.dtype} {pixels.shape}"
            )
        grey = pixels.reshape(pixels.shape[:2])
        if self.crop:
            grey = _cropped(grey, self.crop, self.size, rng)
        if self.borrow and rng.random() < self.borrow:
            if donor is None:
                raise ValueError("borrow needs a donor, an image of the other class")
            grey = _regreyed(grey, donor, rng.uniform(0.5, 1))
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
        return grey.reshape(*grey.shape[:2], *pixels.shape[2:])


def recompressed(pixels: np.ndarray, quality: int) -> np.ndarray:
    """Save grey uint8 (height, width) as JPEG, at a libjpeg quality of 1 to 100, and read it again.

    Example:
        >>> recompressed(np.full((2, 2), 128, np.uint8), 50).tolist()
        [[128, 128], [128, 128]]
    """
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


def _cropped(pixels: np.ndarray, least: float, size: int, rng: np.random.Generator) -> np.ndarray:
    height, width = pixels.shape
    for _ in range(10):
        area, ratio = rng.uniform(least, 1), (3 / 4) ** rng.uniform(-1, 1)
        across, down = np.sqrt(area * ratio), np.sqrt(area / ratio)
        if max(across, down) <= 1:
            break
    else:
        across = down = np.sqrt(least)
    left, top = rng.uniform(0, 1 - across) * width, rng.uniform(0, 1 - down) * height
    box = (left, top, min(left + across * width, width), min(top + down * height, height))
    shape = (size or width, size or height)
    return np.asarray(Image.fromarray(pixels).resize(shape, Image.Resampling.BILINEAR, box))


def _regreyed(pixels: np.ndarray, donor: np.ndarray, strength: float) -> np.ndarray:
    """Moves the grey value at each quantile towards that of another image."""
    own, other = (
        np.cumsum(np.bincount(image.ravel(), minlength=256)) / image.size
        for image in (pixels, donor)
    )
    levels = np.arange(256)
    # Sums of the same fractions may differ in their last digit.
    matched = np.searchsorted(other, own - 1e-9).clip(max=255)
    return _rounded((1 - strength) * levels + strength * matched)[pixels]


def _factor(most: float, rng: np.random.Generator) -> float:
    return float((1 + most) ** rng.uniform(-1, 1))


def _even(most: float, rng: np.random.Generator) -> float:
    return rng.uniform(-most, most) if most else 0.0


def _moved(pixels: np.ndarray, factors: np.ndarray, angle: float, offset: np.ndarray) -> np.ndarray:
    """Scale, rotate (radians) and shift (px) in one resampling; pairs are (down, across)."""
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    # Maps a place in the result to one in the image, both relative to the middle.
    back = turn / factors[:, np.newaxis]
    middle = np.array(pixels.shape) / 2
    seen = back @ -offset
    reach = np.abs(seen) + np.abs(back) @ middle
    # A frame would show the factors, and so let a network undo them: from row and column profiles
    # of 900 radiographs, extremely randomized trees predict the logarithm of their ratio with an R2
    # of .92 with black around, .90 with the edge repeated, .77 with the mirror image.
    margin = np.maximum(np.ceil(reach - middle), 0).astype(int)
    around = np.pad(pixels, [(m, m) for m in margin], mode="symmetric")
    image, size = Image.fromarray(around), pixels.shape[::-1]
    centre = np.array(around.shape) / 2 + seen
    if angle == 0:  # this one antialiases, unlike every other transform
        # Pillow refuses a box that rounding has moved outside.
        top, left = np.maximum(centre - middle / factors, 0)
        bottom, right = np.minimum(centre + middle / factors, around.shape)
        return np.asarray(image.resize(size, Image.Resampling.BILINEAR, (left, top, right, bottom)))
    start = centre - back @ middle
    matrix = (back[1, 1], back[1, 0], start[1], back[0, 1], back[0, 0], start[0])
    return np.asarray(
        image.transform(size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)
    )


def _toned(pixels: Grey, power: float, factor: float) -> Grey:
    levels = 255 * (np.arange(256) / 255) ** power
    mean = levels[pixels].mean()
    return _rounded(mean + factor * (levels - mean))[pixels]


def _filtered(pixels: np.ndarray, kernel: ImageFilter.Filter) -> np.ndarray:
    return np.asarray(Image.fromarray(pixels).filter(kernel))


def _rounded(greys: NDArray[np.floating[Any]]) -> Grey:
    return np.asarray(np.rint(greys).clip(0, 255), np.uint8)
