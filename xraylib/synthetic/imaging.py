"""Take the radiograph of a thorax: beam, scatter, noise, blur and digital processing.

1. Beer-Lambert: `primary = exp(-optical depth)`.
2. Scatter: a broadly blurred share of the primary, added to it [2].
3. Quantum noise: Poisson, approximated by a normal one, for a pixel counts 100 photons or more.
4. Focal spot and detector blur, one Gaussian.
5. Digital processing: logarithm, flattening of broad differences, edge enhancement, a sigmoid
   characteristic curve, 8 bits.

Sources, the first for every step:
    [1] J. T. Bushberg, J. A. Seibert, E. M. Leidholdt, J. M. Boone, The Essential Physics of
        Medical Imaging.
    [2] J. M. Boone and J. A. Seibert, An analytical model of the scattered radiation
        distribution in diagnostic radiology, Medical Physics 15 (1988).
"""

import math
from dataclasses import dataclass
from typing import NamedTuple, Self, get_args

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

from xraylib.synthetic.anatomy import Anatomy, Kind, Pose, project
from xraylib.synthetic.grid import FINEST_PITCH, Grid, Map

LEAD = 5.0  # optical depth of the marker: white whatever stands behind it


class Radiograph(NamedTuple):
    """A picture and the truth about it.

    Attributes:
        pixels: uint8 (height, width), from 0 (black, air) to 255 (white, bone or lead).
        lung: bool (height, width), True where a ray passes through enough lung, hidden neither
            by the heart nor by the diaphragm.
        lesion: bool (height, width), True in consolidated or infiltrated lung; all False in a
            normal picture.
    """

    pixels: np.ndarray
    lung: np.ndarray
    lesion: np.ndarray


# (low, high) of each field of an acquisition at two sites.
_RANGES = {
    "photons": {"ward": (2e3, 8e3), "clinic": (3e4, 6e4)},
    "scatter": {"ward": (0.35, 0.9), "clinic": (0.2, 0.4)},
    "contrast": {"ward": (3.0, 6.0), "clinic": (3.5, 5.0)},
    "level": {"ward": (0.38, 0.68), "clinic": (0.2, 0.33)},
    "blur": {"ward": (0.02, 0.045), "clinic": (0.015, 0.025)},
    "enhancement": {"ward": (0.0, 0.3), "clinic": (0.9, 1.4)},
}


@dataclass(frozen=True)
class Acquisition:
    """How a picture was taken."""

    photons: float  # mean count of an unattenuated pixel 0.034 cm wide (a short side of 512 px)
    scatter: float  # scatter-to-primary ratio at the detector, behind the grid
    contrast: float  # steepness of the characteristic curve
    level: float  # its middle, in [0, 1] from the thinnest to the thickest ray
    blur: float  # standard deviation in cm of focal spot and detector together
    enhancement: float  # share of the unsharp mask that the processing adds; 0 for none

    @classmethod
    def sample(
        cls, rng: np.random.Generator, *, exposure: str = "ward", sharpness: str = "ward"
    ) -> Self:
        """Samples an acquisition; either site uses the same random numbers.

        Args:
            rng: Random generator, advanced by six numbers.
            exposure: `"ward"` or `"clinic"`: the site of photons, scatter, contrast and level.
            sharpness: `"ward"` or `"clinic"`: the site of blur and enhancement.
        """
        sites = dict.fromkeys(_RANGES, exposure) | {"blur": sharpness, "enhancement": sharpness}
        return cls(**{name: rng.uniform(*_RANGES[name][site]) for name, site in sites.items()})


def _marker(width: int, height: int, p: Pose) -> Map:
    """Optical depth of the lead letter on the cassette: R, L or none."""
    canvas = Image.new("F", (width, height))
    if p.marker < 0.9:
        strokes = [[(0.0, 1.0), (0.0, 0.0)], [(0.0, 1.0), (0.6, 1.0)]]
        if p.marker < 0.7:
            bow = [(0.0, 0.0), (0.45, 0.0), (0.6, 0.12), (0.6, 0.38), (0.45, 0.5), (0.0, 0.5)]
            strokes = [strokes[0], bow, [(0.3, 0.5), (0.65, 1.0)]]
        letter = 0.055 * height
        left = 0.02 * width if p.marker < 0.7 else 0.97 * width - 0.7 * letter
        top = (0.03 + 0.45 * (p.marker * 97 % 1)) * height
        for stroke in strokes:
            line = [(left + letter * x, top + letter * y) for x, y in stroke]
            ImageDraw.Draw(canvas).line(line, fill=LEAD, width=max(1, round(letter / 6)))
    return np.asarray(canvas)


def _blur(values: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur by `sigma` pixels; a broad one is computed at a lower resolution."""
    factor = int(min(8, max(1, sigma / 2.5)))
    size = values.shape[::-1]
    small_size = size[0] // factor, size[1] // factor
    small = Image.fromarray(values).resize(small_size, Image.Resampling.BOX)
    blurred = ndimage.gaussian_filter(np.asarray(small), sigma / factor, mode="nearest", truncate=3)
    return np.asarray(Image.fromarray(blurred).resize(size, Image.Resampling.BICUBIC))


def _expose(
    optical_depth: Map, pitch: float, acquisition: Acquisition, rng: np.random.Generator
) -> np.ndarray:
    """Turns optical depth (height, width), with `pitch` cm a pixel, into uint8 pixels."""
    primary = np.exp(-optical_depth)
    signal = primary + acquisition.scatter * _blur(primary, 2.5 / pitch)
    # Fewer, larger pixels share the same beam: the count of each follows its area.
    photons = acquisition.photons * (pitch / 0.034) ** 2
    signal += np.sqrt(signal / photons) * rng.standard_normal(signal.shape, np.float32)
    signal = ndimage.gaussian_filter(np.maximum(signal, 1e-4), acquisition.blur / pitch, truncate=3)
    density = -np.log(signal)
    # Processing flattens what is broader than a rib, so that heart and lungs share the greys.
    density -= 0.4 * _blur(density, 1.5 / pitch)
    if acquisition.enhancement:
        density += acquisition.enhancement * (density - _blur(density, 0.25 / pitch))
    low, high = (float(v) for v in np.percentile(density[::4, ::4], (3, 97)))
    thick = np.clip((density - low) / max(high - low, 0.1), -0.2, 1.3)
    curve = 1 / (1 + np.exp(acquisition.contrast * (acquisition.level - thick)))
    black, white = (
        1 / (1 + math.exp(acquisition.contrast * (acquisition.level - v))) for v in (-0.05, 1.1)
    )
    return np.clip((curve - black) * (255 / (white - black)) + 0.5, 0, 255).astype(np.uint8)


def take(
    anatomy: Anatomy, pose: Pose, acquisition: Acquisition, *, kind: Kind, width: int, height: int
) -> Radiograph:
    """Takes the picture of one thorax.

    The field of view follows the shape of the picture (a wide one shows more of the arms and
    less of neck and belly); the thorax itself keeps its proportions.

    Args:
        anatomy: The patient.
        pose: The patient's pose and everything else that differs between two images.
        acquisition: Exposure and processing.
        kind: `"normal"`, `"bacteria"` or `"virus"`.
        width: Of the picture, in pixels.
        height: Of the picture, in pixels.

    Raises:
        ValueError: `kind` is none of the three.
    """
    if kind not in get_args(Kind):
        raise ValueError(f"kind must be one of {', '.join(get_args(Kind))}. Received: {kind!r}")
    field_width = 23.0 * (width / height / 1.4) ** 0.35 / pose.zoom  # cm
    pitch = field_width / width
    lean = math.radians(pose.lean)
    cos, sin = math.cos(lean), math.sin(lean)
    centre = np.array([pose.shift_x, 5.9 + pose.shift_y])
    bounds = np.array([cos * width + abs(sin) * height, abs(sin) * width + cos * height])
    extent = bounds * pitch / 2
    grid = Grid((*(centre - extent - 0.3), *(centre + extent + 0.3)), max(FINEST_PITCH, pitch))
    optical_depth, lung, water = project(grid, anatomy, pose, kind)

    scale, (x, y) = pitch / grid.pitch, grid.pixels(centre)
    left = x - scale * (cos * width - sin * height) / 2
    top = y - scale * (sin * width + cos * height) / 2
    frame = (scale * cos, -scale * sin, left, scale * sin, scale * cos, top)

    def cut(values: Map, filter: Image.Resampling = Image.Resampling.BILINEAR) -> Map:
        image = Image.fromarray(values.astype(np.float32, copy=False))
        return np.asarray(image.transform((width, height), Image.Transform.AFFINE, frame, filter))

    rng = np.random.default_rng([2, int(pose.texture)])
    depth = cut(optical_depth, Image.Resampling.BICUBIC) + _marker(width, height, pose)
    if pose.edge < 0.12:
        depth[:, : int(width * 0.35 * pose.edge)] += 1.5
    pixels = _expose(np.maximum(depth, 0), pitch, acquisition, rng)
    lung_mask = cut(lung) > 0.22 * 2 * anatomy.half_depth
    return Radiograph(pixels, lung_mask, lung_mask & (cut(water) > 0.8))
