"""Evaluate solids and noise on a grid of points, in centimetres."""

import numpy as np
from PIL import Image

Map = np.ndarray  # float32 (rows, columns): a thickness in cm along each ray, or a share
Point = tuple[float, float] | np.ndarray  # x and y in cm

LEFT, TOP, RIGHT, BOTTOM = -18.0, -12.0, 18.0, 24.0  # cm: no picture reaches further
FINEST_PITCH = 0.06  # cm between grid points


class Grid:
    """The points at which a thorax is evaluated.

    Attributes:
        x: float32 (1, columns) in cm, growing to the right of the image.
        y: float32 (rows, 1) in cm, growing downwards.
        pitch: Distance of two points in cm.
        shape: (rows, columns).
    """

    def __init__(self, box: tuple[float, float, float, float], pitch: float) -> None:
        self.left, self.top, right, bottom = box
        self.pitch = pitch
        self.x = np.arange(self.left, right, pitch, dtype=np.float32)[None, :]
        self.y = np.arange(self.top, bottom, pitch, dtype=np.float32)[:, None]
        self.shape = (self.y.size, self.x.size)

    def noise(self, rng: np.random.Generator, scale: float) -> Map:
        """Samples smooth noise of mean 0 and standard deviation about 1, spots `scale` cm wide.

        It is fixed to the body: every image of a patient shows its part of the same noise.
        """
        lattice = 0.6 * scale
        spots = (round((BOTTOM - TOP) / lattice) + 4, round((RIGHT - LEFT) / lattice) + 4)
        coarse = Image.fromarray(rng.standard_normal(spots, dtype=np.float32))
        corner = np.array([self.left - LEFT, self.top - TOP]) / lattice
        extent = np.array(self.shape[::-1]) * self.pitch / lattice
        box = (*corner, *np.minimum(corner + extent, coarse.size))
        return 1.25 * np.asarray(coarse.resize(self.shape[::-1], Image.Resampling.BICUBIC, box=box))

    def canvas(self) -> Image.Image:
        """Returns an empty map for lines and polygons."""
        return Image.new("F", self.shape[::-1])

    def pixels(self, points: np.ndarray) -> np.ndarray:
        """Converts (n, 2) points in cm to (n, 2) positions on a canvas."""
        return (points - (self.left, self.top)) / self.pitch

    def tube(self, start: Point, end: Point, radius: float) -> Map:
        """Length in cm of each ray inside a tube, computed in the box around it only."""
        chord = np.zeros(self.shape, np.float32)
        (x0, y0), (x1, y1) = start, end
        columns = slice(*np.searchsorted(self.x[0], (min(x0, x1) - radius, max(x0, x1) + radius)))
        rows = slice(*np.searchsorted(self.y[:, 0], (min(y0, y1) - radius, max(y0, y1) + radius)))
        x, y = self.x[:, columns] - x0, self.y[rows] - y0
        dx, dy = x1 - x0, y1 - y0
        along = np.clip((x * dx + y * dy) / (dx * dx + dy * dy), 0, 1)
        chord[rows, columns] = 2 * root(radius**2 - (x - along * dx) ** 2 - (y - along * dy) ** 2)
        return chord


def root(values: Map) -> Map:
    """Square root, or 0 where a ray misses the solid.

    Example:
        >>> root(np.array([-1.0, 4.0])).tolist()
        [0.0, 2.0]
    """
    return np.sqrt(np.maximum(values, 0))


def step(values: Map) -> Map:
    """Soft step from 0 to 1 around 0 (the logistic function).

    Example:
        >>> step(np.array([-99.0, 0.0, 99.0])).round(3).tolist()
        [0.0, 0.5, 1.0]
    """
    return 1 / (1 + np.exp(-np.clip(values, -30, 30)))
