"""Measure how much of a network's score rests on each property of the files, by swapping it.

The steps of `perturbations` are as large as somebody chose them. Here each is as large as the
difference between the classes: every radiograph gets the other class's compression, shape,
sharpness or exposure, one at a time, and is scored again. If swapping the shape alone moves healthy
chests a third of the way to the scores of the sick ones, the shape has an effect of 1/3. So cues
can be compared, and where the files do not differ there is no effect.

What a coarse JPEG has lost does not come back: the class with the coarser files stays where it is,
and compression has an effect of at most about a half.

Only shape and compression are certain to be shortcuts. Grey values and sharpness belong in part to
the lungs: consolidation is white.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from PIL import Image
from scipy import fft

from xraylib import errors, progress
from xraylib.audit import measurements
from xraylib.backend import keras
from xraylib.data import reading
from xraylib.data.augmentation import recompressed
from xraylib.data.preparation import Preparation
from xraylib.data.resizing import Grey
from xraylib.evaluation import intervals
from xraylib.explain import perturbations

CUES: Final = ("compression", "shape", "sharpness", "exposure")

# Images of a class that are enough for its profile.
_IMAGES: Final = 100
# The side in pixels of the image whose spectrum is computed, and its bands in cycles per side.
_SIZE: Final = 224
_BANDS: Final = np.array([1, 4, 8, 12, 16, 24, 32, 48, 64, 88, 112], dtype=float)
_CENTRES: Final = np.sqrt(_BANDS[1:] * _BANDS[:-1])
# Bands that show heart and diaphragm: what is finer is measured against them.
_BROAD: Final = 2


@dataclass(frozen=True)
class Profile:
    """The properties that the files of one class share, whatever is in the lungs.

    Attributes:
        quality: Median JPEG quality, 1 to 100; NaN without JPEGs.
        aspect: Median width / height.
        greys: Mean cumulative histogram: the fraction of pixels at most as bright as each level,
            (256,), in [0, 1].
        spectrum: Logarithm of the amplitude in ten bands of spatial frequency, (10,), minus that of
            the lowest ones.
    """

    quality: float
    aspect: float
    greys: np.ndarray
    spectrum: np.ndarray


def profiles(table: pd.DataFrame, *, seed: int = 0) -> tuple[Profile, Profile]:
    """Measure the profile of each class.

    Args:
        table: Rows of the index, of both classes: those of train, which the network learned from.
        seed: Random seed of the sample of 100 images of each class.

    Returns:
        The profiles of label 0 and label 1.

    Raises:
        ValueError: A class is missing, or none of its images can be read.
    """
    _check_classes(table)
    bits = table.attrs.get("depth", {}).get("bits")
    negative, positive = (
        profile(table.loc[table["label"] == label, "path"], seed=seed, bits=bits)
        for label in (0, 1)
    )
    return negative, positive


def profile(paths: Iterable[Path | str], *, seed: int = 0, bits: int | None = None) -> Profile:
    """Measure the profile of some files: of a sample of 100, where there are more.

    Unreadable files are left out. `bits` are those of the set, as `reading.film` takes them.

    Raises:
        ValueError: Not one can be read.
    """
    paths = [Path(path) for path in paths]
    numbers = np.sort(np.random.default_rng(seed).permutation(len(paths))[:_IMAGES])
    sample = [paths[number] for number in numbers]
    qualities, aspects, greys, spectra = [], [], [], []
    for path in progress.bar(sample, total=len(sample), description="measuring profiles"):
        try:
            film = reading.film(path, bits=bits, colour=False)
        except errors.UnreadableImage:
            continue
        qualities.append(measurements.jpeg_quality(film.quantization))
        pixels = film.pixels
        aspects.append(pixels.shape[1] / pixels.shape[0])
        greys.append(np.bincount(pixels.ravel(), minlength=256) / pixels.size)
        spectra.append(_spectrum(pixels))
    if not greys:
        raise ValueError(f"not one of {len(sample)} images can be read: {paths[:1]}")
    known = [quality for quality in qualities if not np.isnan(quality)]
    spectrum = np.mean(spectra, axis=0)
    return Profile(
        quality=float(np.median(known)) if known else np.nan,
        aspect=float(np.median(aspects)),
        greys=np.cumsum(np.mean(greys, axis=0)),
        spectrum=spectrum - spectrum[:_BROAD].mean(),
    )


def towards(own: Profile, other: Profile) -> tuple[perturbations.Perturbation, ...]:
    """Make the perturbations that turn files of one profile into files of another, one per cue.

    Returns:
        - `compression`: saved again at the other quality, which brings nothing back that a lower
          one has lost; missing where a quality is not known.
        - `shape`: cut to the other width / height; a network that takes stretched squares sees
          only that the content is stretched.
        - `sharpness`: amplitudes of fine structure as in the other spectrum.
        - `exposure`: grey values mapped to the other distribution.
    """
    changes: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "shape": partial(_cut, aspect=other.aspect / own.aspect),
        "sharpness": partial(_filtered, gain=other.spectrum - own.spectrum),
        "exposure": _levels(own.greys, other.greys).take,
    }
    if np.isfinite([own.quality, other.quality]).all():
        changes["compression"] = partial(recompressed, quality=round(other.quality))
    return tuple(
        perturbations.Perturbation(f"{cue} of the other class", cue, changes[cue])
        for cue in CUES
        if cue in changes
    )


def rescore(
    network: keras.Model,
    table: pd.DataFrame,
    preparation: Preparation,
    profiles: tuple[Profile, Profile],
    *,
    images: int = 0,
    batch_size: int = 32,
    seed: int = 0,
) -> pd.DataFrame:
    """Score every image as it is and with each property of the other class, one at a time.

    Args:
        network: As `models` builds them, with a layer named `"logit"`.
        table: Rows of the index, of both classes, such as validation's.
        preparation: How the images that the network was trained on were prepared.
        profiles: Of label 0 and label 1, as the function `profiles` returns them.
        images: Maximum number of images, sampled with `seed`, half of each class; 0 for all.
        batch_size: Images that the network scores at a time.
        seed: Random seed of the samples.

    Returns:
        One row for each image and swap, as `perturbations.rescore` returns them.

    Raises:
        ValueError: A class is missing, none of its images can be read, or the network has no layer
            `"logit"`.
    """
    _check_classes(table)
    parts = [
        perturbations.rescore(
            network,
            table[table["label"] == label],
            preparation,
            perturbations=towards(profiles[label], profiles[1 - label]),
            images=-(-images // 2),
            batch_size=batch_size,
            seed=seed,
        )
        for label in (0, 1)
    ]
    return pd.concat(parts, ignore_index=True)


def effects(scored: pd.DataFrame, *, resamples: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Measure how much of the gap between the classes' scores each cue accounts for.

    Args:
        scored: What `rescore` returns.
        resamples: Bootstrap resamples of patients, for percentile intervals of 95 %; 0 for none.
        seed: Random seed of the bootstrap.

    Returns:
        One row per cue, the strongest first: cue, value, low, high, class 0, class 1. "class 0" is
        the mean change of the logit of that class's images towards the other class's mean, divided
        by the gap between the two means: 0 is no change, 1 all the way, below 0 away from it.
        "value" is the mean of both classes, "low" and "high" are its interval. All are NaN where
        the network does not put class 1 above class 0. Effects need not add up to 1: cues overlap.

    Raises:
        ValueError: There are no unchanged images, or only one class.
    """
    logits, labels, weights = perturbations.paired_logits(
        scored, by="cue", resamples=resamples, seed=seed
    )
    before = logits[""].to_numpy()
    negative, positive = perturbations.class_means(before, labels, weights)
    gap = np.where(positive > negative, positive - negative, np.nan)
    rows = []
    for cue in (name for name in CUES if name in logits):
        changes = perturbations.class_means(logits[cue].to_numpy() - before, labels, weights)
        first, second = changes[0] / gap, -changes[1] / gap
        both = (first + second) / 2
        low, high = intervals.percentiles(both[1:, np.newaxis])
        rows.append((cue, both[0], low[0], high[0], first[0], second[0]))
    table = pd.DataFrame(rows, columns=["cue", "value", "low", "high", "class 0", "class 1"])
    return table.sort_values("value", ascending=False, kind="stable", ignore_index=True)


def _check_classes(table: pd.DataFrame) -> None:
    if set(table["label"]) != {0, 1}:
        labels = sorted(set(table["label"]))
        raise ValueError(f"a swap needs images of both classes. Received: the labels {labels}")


def _radius(height: int, width: int) -> np.ndarray:
    """The spatial frequency of each coefficient of `fft.rfft2`, in cycles per side."""
    down, across = fft.fftfreq(height, 1 / height), fft.rfftfreq(width, 1 / width)
    return np.asarray(np.hypot(down[:, np.newaxis], across), np.float32)


def _spectrum(pixels: np.ndarray) -> np.ndarray:
    """Logarithm of the amplitude in each band, (10,)."""
    small = Image.fromarray(pixels).resize((_SIZE, _SIZE), Image.Resampling.BOX)
    values = np.asarray(small, dtype=float)
    # A window, for the edges of an image are steps that are no structure.
    window = np.hanning(_SIZE)
    energy = np.abs(fft.rfft2((values - values.mean()) * np.outer(window, window))) ** 2
    band = np.digitize(_radius(_SIZE, _SIZE), _BANDS) - 1
    return np.array([np.log1p(energy[band == each].mean()) / 2 for each in range(len(_CENTRES))])


def _cut(pixels: np.ndarray, *, aspect: float) -> np.ndarray:
    """Cut the longer side so that width / height is multiplied by `aspect`."""
    height, width = pixels.shape
    rows, columns = round(height * min(1, 1 / aspect)), round(width * min(1, aspect))
    top, left = (height - rows) // 2, (width - columns) // 2
    return pixels[top : top + rows, left : left + columns]


def _filtered(pixels: np.ndarray, *, gain: np.ndarray) -> np.ndarray:
    """Multiply amplitudes by exp(gain), given at the centres of the bands, (10,)."""
    broad = np.where(np.arange(len(gain)) < _BROAD, 0, gain)
    radius = np.maximum(_radius(*pixels.shape), 0.5)
    factor = np.exp(np.interp(np.log(radius), np.log(_CENTRES), broad)).astype(np.float32)
    values = fft.irfft2(fft.rfft2(pixels.astype(np.float32)) * factor, s=pixels.shape)
    return np.asarray(np.clip(np.rint(values), 0, 255), np.uint8)


def _levels(own: np.ndarray, other: np.ndarray) -> Grey:
    """Map each grey level to that of the same quantile in the other distribution, (256,)."""
    return np.clip(np.searchsorted(other, own - 1e-9), 0, 255).astype(np.uint8)
