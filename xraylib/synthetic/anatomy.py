"""Model a child's thorax as solids, and project it along the rays of an X-ray beam.

A thorax is a set of solids (superellipsoids, tubes, shells) in centimetres. Each has a closed
formula for the length of a ray inside it, so every map here is a true line integral of a
parallel, anterior-posterior beam. The lengths times the linear attenuation coefficients of the
tissues [1], summed up, are the optical depth that `imaging` makes a picture of.

Pneumonia replaces air in the lung by water: in a bacterial one as a consolidation of part of a
lobe, with a soft edge; in a viral one as a fine net on both sides, densest around the hila.

Axes: x grows to the right of the image (the patient's left), y downwards, z along the beam; the
origin is on the midline at the height of the lungs' tips. Lengths are those of a child whose rib
cage is about 19 cm wide; `Anatomy.size` scales the depths of all of them.

Sources:
    [1] J. H. Hubbell and S. M. Seltzer, Tables of X-Ray Mass Attenuation Coefficients, NISTIR
        5632: the ICRU-44 tissues at 60 keV, an effective energy of a chest examination.
"""

import math
from dataclasses import dataclass, field, fields
from typing import Any, Literal, Self

import numpy as np
from PIL import ImageDraw
from scipy import ndimage

from xraylib.synthetic.grid import Grid, Map, root, step

Kind = Literal["normal", "bacteria", "virus"]

# Linear attenuation coefficients in 1/cm: mass coefficient (cm2/g, [1], 60 keV) times density.
SOFT_TISSUE = 0.2048 * 1.06
BONE = 0.3148 * 1.92
LUNG_TISSUE = 0.2053  # per g/cm3: the density of a lung depends on how full of air it is


# The corners of a shoulder blade against the joint; x grows away from the midline.
_BLADE = np.array([[-1.2, -0.9], [0.6, 0.2], [0.5, 1.2], [-0.3, 3.2], [-1.6, 6.4], [-2.3, 1.5]])


def _between(low: float, high: float) -> Any:
    """A field that is sampled uniformly from [low, high]."""
    return field(metadata={"range": (low, high)})


class _Sampled:
    @classmethod
    def sample(cls, rng: np.random.Generator) -> Self:
        """Samples every field from its range."""
        return cls(**{f.name: rng.uniform(*f.metadata["range"]) for f in fields(cls)})  # type: ignore[arg-type]


@dataclass(frozen=True)
class Anatomy(_Sampled):
    """One patient: what all the patient's images share. Lengths in cm."""

    texture: float = _between(0, 2**32)  # the random seed of the vessels and of the lesion's place
    size: float = _between(0.8, 1.2)  # against the child of the module's text
    half_width: float = _between(8.8, 10.2)  # of the rib cage
    half_depth: float = _between(4.6, 5.8)
    shoulder: float = _between(0.6, 0.85)  # how slowly the cage widens from its top, no unit
    fat: float = _between(0.8, 2.2)  # between ribs and skin
    lung_density: float = _between(0.22, 0.34)  # g/cm3
    heart_x: float = _between(1.7, 2.6)
    heart_y: float = _between(8.2, 9.4)
    heart_long: float = _between(4.6, 6.0)
    heart_short: float = _between(3.6, 4.7)
    heart_tilt: float = _between(0.5, 0.9)  # radians
    mediastinum: float = _between(1.5, 2.1)  # half width
    thymus: float = _between(-0.6, 1.3)  # further half width in a small child; below 0 none
    dome: float = _between(9.8, 11.8)  # the right dome's height
    dome_step: float = _between(0.2, 1.6)  # how much lower the left one stands
    stomach: float = _between(-0.8, 2.4)  # radius of the bubble; below 0 none
    rib_spacing: float = _between(1.28, 1.6)
    rib_slope: float = _between(4.2, 6.6)
    rib_width: float = _between(0.2, 0.27)  # half, as a share of the spacing
    bone_density: float = _between(0.7, 1.25)  # share of adult mineral
    clavicle: float = _between(-2.4, -0.6)  # height of the outer end
    scoliosis: float = _between(-0.35, 0.35)
    vessels: float = _between(1.0, 2.6)  # how prominent


@dataclass(frozen=True)
class Pose(_Sampled):
    """One image of a patient: what changes between two images. Lengths in cm."""

    texture: float = _between(0, 2**32)  # the random seed of everything else
    zoom: float = _between(0.92, 1.1)
    shift_x: float = _between(-0.7, 0.7)
    shift_y: float = _between(-0.7, 0.7)
    lean: float = _between(-4, 4)  # degrees in the plane of the image
    turn: float = _between(-0.8, 0.8)  # sideways shift of the front against the back
    breath: float = _between(-0.7, 0.7)  # the domes' height against a mean breath
    arm: float = _between(-0.7, 1.5)  # radians above the horizontal
    chin: float = _between(-9.5, -2.8)  # its height
    severity: float = _between(0.85, 1.15)  # of a lesion, against the patient's mean
    marker: float = _between(0, 1)  # below .7 an R, below .9 an L, else none
    lead: float = _between(0, 1)  # below .25: an electrode and its wire lie on the patient
    edge: float = _between(0, 1)  # below .12: the collimator's shadow is in the picture


def _bone_shell(offset: Map) -> Map:
    """Profile of a hollow bone across itself: `offset` 0 on its axis, 1 at its surface."""
    return root(1 - offset**2) - 0.6 * root(1 - (offset / 0.75) ** 2)


def _cage(grid: Grid, a: Anatomy) -> tuple[Map, Map]:
    """Depth of the chest's cavity, and of rib bone, along each ray."""
    x, y = grid.x, grid.y
    height = np.clip((y + 1.3) / 12, 0.001, 1)
    width = a.half_width * (1 - (1 - height) ** 3) ** a.shoulder
    u = np.abs(x - a.scoliosis * np.sin(y / 4)) / width
    inside = np.clip(1 - u**2, 0, 1)
    depth = a.half_depth * (1 - np.exp(-np.maximum(y + 0.6, 0) / 2.2))
    wall = 0.055  # the cage's wall, as a share of its half width
    cavity = 2 * depth * root(1 - (u / (1 - wall)) ** 2)

    shell = a.half_depth * np.sqrt(inside) - (a.half_depth - 0.55) * root(1 - (u / (1 - wall)) ** 2)
    # A rib is a screw line on the cage: going round by `angle` it drops, so that all the ribs of
    # one wall are the integers of one field and the front ends join the back ones at the side.
    angle = np.arcsin(np.minimum(u, 1))
    slope = a.rib_slope * (0.4 + 0.6 * np.clip(y / 8, 0, 1))
    bone = np.zeros(grid.shape, np.float32)
    for front in (False, True):
        drop = slope * (1 - np.cos(np.pi - angle if front else angle)) / 2
        number = (y + 0.8 - drop) / a.rib_spacing
        offset = (number - np.round(number)) / a.rib_width
        ribs = shell * _bone_shell(offset) * ((number > -0.5) & (number < (7.5 if front else 11.5)))
        if front:  # cartilage, which hardly shows, takes the front ends to the sternum
            ribs = ribs * step((u - 0.5) / 0.03)
        bone += ribs
    return cavity, bone * 1.25


def _spine(grid: Grid, a: Anatomy) -> Map:
    """Bone of the vertebrae along each ray."""
    bone = np.zeros(grid.shape, np.float32)
    columns = np.abs(grid.x[0]) < 2.5
    x = np.abs(grid.x[:, columns] - a.scoliosis * np.sin(grid.y / 4))
    half = 1.15 + 0.015 * grid.y
    place = grid.y / (a.rib_spacing * 1.05)
    place = place - np.floor(place)  # 0 to 1 from one disc to the next
    body = step((place - 0.12) / 0.03) * step((0.88 - place) / 0.03)
    waist = half * (1 - 0.08 * np.sin(np.pi * place))
    column = root(1 - (x / waist) ** 6) * (0.22 + 0.42 * body)
    ring = np.hypot((x - 0.78) / 0.22, (place - 0.4) / 0.2)
    pedicles = 0.25 * np.exp(-(((ring - 0.9) / 0.3) ** 2))
    spinous = 0.25 * np.exp(-((x / 0.14) ** 2) - ((place - 0.75) / 0.16) ** 2)
    bone[:, columns] = column + pedicles + spinous
    return bone


def _shoulders(grid: Grid, a: Anatomy, p: Pose) -> tuple[Map, Map]:
    """Soft tissue of the arms, and bone of arms, clavicles and shoulder blades."""
    soft = np.zeros(grid.shape, np.float32)
    bone = np.zeros(grid.shape, np.float32)
    plates = grid.canvas()
    draw = ImageDraw.Draw(plates)
    for side in (-1, 1):
        joint = np.array([side * (a.half_width - 0.3), -0.6])
        elbow = joint + 12 * np.array([side * np.cos(p.arm), -np.sin(p.arm)])
        soft = np.maximum(soft, grid.tube(joint, elbow, 2.1))
        shaft = joint + 0.08 * (elbow - joint)
        hollow = grid.tube(shaft, elbow, 0.62) - 0.6 * grid.tube(shaft, elbow, 0.42)
        bone += 0.45 * np.maximum(hollow, 0.35 * grid.tube(joint, joint + 0.01, 0.95))
        # The raised arm takes the shoulder blade outwards with it.
        blade = _BLADE * (side, 1) + joint + (side * (0.4 + 0.5 * p.arm), 0.2)
        draw.polygon(grid.pixels(blade).ravel().tolist(), fill=0.1)
        edge = grid.pixels(np.vstack([blade, blade[:1]])).ravel().tolist()
        draw.line(edge, fill=0.24, width=max(1, round(0.25 / grid.pitch)))
    bone += ndimage.gaussian_filter(np.asarray(plates), 0.06 / grid.pitch)

    rows = slice(*np.searchsorted(grid.y[:, 0], (-5, 3)))
    x, y = np.abs(grid.x - 0.5 * p.turn), grid.y[rows]
    along = np.clip((x - 1.4) / (a.half_width - 2.5), 0, 1.02)
    line = 0.9 + (a.clavicle - 0.9) * along - 0.5 * np.sin(2 * np.pi * along) * along
    radius = 0.36 + 0.12 * np.abs(2 * along - 1)
    ends = step((x - 1.4) / 0.08) * step((a.half_width - 1.2 - x) / 0.1)
    bone[rows] += 0.75 * ends * _bone_shell((y - line) / radius)
    return soft, bone


def _vessel_tree(grid: Grid, rng: np.random.Generator, prominence: float) -> Map:
    """Depth of the vessels that branch from both hila, as lines."""
    canvas = grid.canvas()
    draw = ImageDraw.Draw(canvas)
    for side in (-1, 1):
        count = 10
        starts = np.tile([side * 2.3, 5.4], (count, 1)) + rng.normal(0, 0.5, (count, 2))
        heading = np.linspace(-1.4, 1.5, count) + rng.normal(0, 0.15, count)
        diameter = rng.uniform(0.3, 0.5, count)  # cm
        for _ in range(8):  # generations
            length = rng.uniform(0.5, 1.2, (len(starts), 1))
            ends = starts + length * np.column_stack([side * np.cos(heading), np.sin(heading)])
            lines = np.hstack([grid.pixels(starts), grid.pixels(ends)]).tolist()
            for line, wide in zip(lines, (diameter / grid.pitch).tolist(), strict=True):
                pixels = max(1, round(wide))
                depth = prominence * wide * grid.pitch * min(1.0, wide / pixels)
                draw.line(line, fill=depth, width=pixels)
            split = rng.random(len(starts)) < 0.42
            turn = rng.normal(0, 0.25, len(starts))
            starts = np.concatenate([ends, ends[split]])
            heading = np.concatenate([heading + turn, (heading - turn)[split] + 0.4])
            diameter = 0.8 * np.concatenate([diameter, diameter[split]])
    return ndimage.gaussian_filter(np.asarray(canvas), 0.05 / grid.pitch, truncate=3)


def _lesion(grid: Grid, a: Anatomy, p: Pose, kind: Kind, lung: Map, vessels: Map) -> Map:
    """Depth of water in place of air along each ray, in cm."""
    if kind == "normal":
        return np.zeros(grid.shape, np.float32)
    rng = np.random.default_rng([1, int(a.texture)])
    x, y = grid.x, grid.y
    shape = 0.9 * grid.noise(rng, 2.4) + 0.25 * grid.noise(rng, 0.8)
    if kind == "bacteria":
        side = -1 if rng.random() < 0.55 else 1  # the right lung is the larger one
        filled = np.zeros(grid.shape, np.float32)
        for share in (1.0, 0.6)[: 1 + (rng.random() < 0.25)]:
            centre = side * rng.uniform(3.5 if side < 0 else 4.2, 6.8), rng.uniform(2.5, 9.3)
            radius = [share**0.5 * rng.uniform(2.5, 4.2) for _ in "xy"]
            distance = np.hypot((x - centre[0]) / radius[0], (y - centre[1]) / radius[1])
            filled = np.maximum(filled, share * step((1 - distance + 0.2 * shape) / 0.15))
        return lung * filled * min(1.0, rng.uniform(0.65, 0.95) * p.severity)
    # The zero lines of smooth noise are a net: thickened septa. Two meshes, coarse and fine.
    net = sum(np.exp(-((grid.noise(rng, s) / 0.35) ** 2)) for s in (0.4, 0.7)) / 2
    hila = np.exp(-(((np.abs(x) - 3.8) / 3.6) ** 2) - ((y - 6.2) / 4.6) ** 2)
    patchy = hila * np.clip(0.75 + 0.35 * shape, 0, 1.4)
    amount = rng.uniform(0.9, 1.4) * p.severity
    return amount * (lung * patchy * (0.26 + 0.32 * net) + 1.4 * vessels * hila)


def _mediastinum(grid: Grid, a: Anatomy, p: Pose) -> Map:
    """Depth of heart, great vessels and mediastinum along each ray, in cm."""
    y = grid.y
    spread = grid.x - 0.6 * p.turn
    middle = a.mediastinum + max(a.thymus, 0.0) * np.exp(-(((y - 2.8) / 2.2) ** 2))
    middle = middle - 0.5 * step((0.8 - y) / 0.5)  # narrow between the lungs' tips
    middle = middle + 0.4 * np.exp(-(((y - 3.2) / 0.9) ** 2)) * (grid.x > 0)  # the aortic knob
    centre = 2.4 * a.half_depth * root(1 - ((spread - 0.2) / middle) ** 2)
    cos, sin = math.cos(a.heart_tilt), math.sin(a.heart_tilt)
    dx, dy = spread - a.heart_x, y - a.heart_y - 0.3 * p.breath
    along, across = cos * dx + sin * dy, cos * dy - sin * dx
    heart = 7.4 * root(1 - ((along / a.heart_long) ** 2 + (across / a.heart_short) ** 2))
    great = 6 * root(1 - ((spread - 1.2) / 2.3) ** 2 - ((y - 5.3) / 2.6) ** 2)  # great vessels
    return (heart**3 + centre**3 + great**3) ** (1 / 3)


def _gas(grid: Grid, a: Anatomy, p: Pose, rng: np.random.Generator) -> Map:
    """Depth of air in the airways and in the stomach along each ray, in cm."""
    gas = grid.tube((-0.2, -9), (-0.2 - 0.2 * p.turn, 4.4), 0.48)
    gas = np.maximum(gas, grid.tube((-0.3, 4.4), (-2.3, 6.2), 0.36))
    gas = np.maximum(gas, grid.tube((-0.2, 4.4), (2.4, 6.0), 0.32))
    if a.stomach > 0:
        x, y = grid.x - 4.6, grid.y - a.dome - a.dome_step - p.breath - 0.9 * a.stomach - 0.5
        bubble = root(1 - ((x / (1.5 * a.stomach)) ** 2 + (y / a.stomach) ** 2))
        gas = gas + 1.6 * a.stomach * bubble * np.clip(1 + 0.12 * grid.noise(rng, 1.5), 0, 2)
    return gas


def project(grid: Grid, a: Anatomy, p: Pose, kind: Kind) -> tuple[Map, Map, Map]:
    """Projects a thorax along the beam.

    Args:
        grid: The points to evaluate.
        a: The patient.
        p: The image of this patient.
        kind: `"normal"`, `"bacteria"` or `"virus"`.

    Returns:
        Optical depth (no unit), depth of lung in cm and depth of lesion in cm, each float32 of
        the grid's shape.
    """
    x, y = grid.x, grid.y
    rng = np.random.default_rng([0, int(p.texture)])
    cavity, bone = _cage(grid, a)
    top = a.dome + p.breath + a.dome_step * step((x - 0.5) / 0.5)
    top = top + 0.085 * (np.abs(x) - 4.4) ** 2
    abdomen = 2 * root((y - top) / 0.16)
    lung = np.maximum(cavity - _mediastinum(grid, a, p) - abdomen, 0)

    trunk = (a.half_width + a.fat) * (0.32 + 0.68 * step((y + 2.2) / 0.8))
    depth = 2 * (a.half_depth + 0.8 + 0.5 * a.fat) * (0.62 + 0.38 * step((y - 0.5) / 1.5))
    body = depth * root(1 - np.abs(x / trunk) ** 3)
    arms, shoulder_bone = _shoulders(grid, a, p)
    body = np.maximum(body, arms)
    head = root(1 - (x / 4.6) ** 2 - ((y - p.chin + 4) / 4) ** 2)
    body = np.maximum(body, 13 * head)
    soft = np.maximum(body - lung - _gas(grid, a, p, rng), 0)
    bone = bone + _spine(grid, a) + shoulder_bone + 0.9 * head

    filling = lung / (2 * a.half_depth)  # vessels lie where there is lung around them
    patient = np.random.default_rng([0, int(a.texture)])
    vessels = _vessel_tree(grid, patient, a.vessels) * filling
    grain = np.clip(1 + 0.5 * grid.noise(patient, 0.35), 0, 3) * 0.16 * a.vessels * filling
    water = _lesion(grid, a, p, kind, lung, vessels)
    lung_attenuation = LUNG_TISSUE * a.lung_density
    optical_depth = SOFT_TISSUE * soft + lung_attenuation * lung
    optical_depth += (SOFT_TISSUE - lung_attenuation) * (vessels + grain + water)
    optical_depth += (BONE - SOFT_TISSUE) * a.bone_density * bone
    optical_depth *= a.size
    if p.lead < 0.25:
        optical_depth += _electrode(grid, rng)
    return optical_depth, lung, water


def _electrode(grid: Grid, rng: np.random.Generator) -> Map:
    """Optical depth of a wire and its clip, lying on the patient."""
    canvas = grid.canvas()
    draw = ImageDraw.Draw(canvas)
    clip_at = rng.uniform((-8, 1), (8, 10))
    angle = rng.uniform(0, 2 * math.pi)  # in which the wire leaves the picture
    ends = np.stack([clip_at, clip_at + 30 * np.array([math.cos(angle), math.sin(angle)])])
    bend, t = ends.mean(0) + rng.normal(0, 8, 2), np.linspace(0, 1, 30)[:, None]
    path = (1 - t) ** 2 * ends[0] + 2 * t * (1 - t) * bend + t**2 * ends[1]
    draw.line(grid.pixels(path).ravel().tolist(), fill=0.5, width=max(1, round(0.12 / grid.pitch)))
    clip = grid.pixels(np.array([ends[0] - 0.45, ends[0] + 0.45]))
    draw.ellipse(clip.ravel().tolist(), fill=1.2)
    return np.asarray(canvas)
