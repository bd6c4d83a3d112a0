"""How much of a network's verdict rests on the look of the files, cue by cue.

The changes of `perturbations` are as large as somebody chose them. Here each is as large as the
difference between the classes: every radiograph is given the other class' look in one respect,
its compression, shape, sharpness or exposure, and scored again. A healthy chest that goes a third
of the way to the sick ones' scores by their shape alone says that a third of what the network
tells apart is shape. So cues can be compared, and with no difference in the files there is no
share.

What a coarse JPEG has lost does not come back, so that the class with the coarser files stays where
it is, and the share of compression goes up to about a half.

Grey values and sharpness are partly the lungs' own: consolidation is white. Only what no lung has a
part in, shape and compression, is a shortcut for certain.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import keras
import numpy as np
import pandas as pd
from PIL import Image
from scipy import fft

from xraylib import errors, progress
from xraylib.audit import measurements
from xraylib.data import reading
from xraylib.data.augmentation import recompressed
from xraylib.data.preparation import Preparation
from xraylib.evaluation import intervals
from xraylib.explain import perturbations

CUES: Final = ("compression", "shape", "sharpness", "exposure")
COLUMNS: Final = ("cue", "value", "low", "high", "class 0", "class 1")

# The picture that a spectrum is taken of, in pixels, and its bands in cycles per picture.
_SIZE: Final = 224
_BANDS: Final = np.array([1, 4, 8, 12, 16, 24, 32, 48, 64, 88, 112], dtype=float)
_CENTRES: Final = np.sqrt(_BANDS[1:] * _BANDS[:-1])
# Bands that show heart and diaphragm: what is finer is measured against them.
_BROAD: Final = 2


@dataclass(frozen=True)
class Look:
    """What the files of one class look like, whatever is in the lungs.

    Attributes:
        quality: Median JPEG quality, 1 to 100 as `measurements.measure` estimates it; NaN without
            JPEGs.
        aspect: Median width / height.
        greys: Share of the pixels at most as bright as each level, (256,), an average picture's.
        spectrum: Logarithm of the amplitude in ten bands of spatial frequency, (10,), less that of
            the lowest ones.
    """

    quality: float
    aspect: float
    greys: np.ndarray
    spectrum: np.ndarray


def looks(table: pd.DataFrame, *, images: int = 100, seed: int = 0) -> tuple[Look, Look]:
    """Measures what the files of each class look like.

    Args:
        table: Rows of `index`' table of both classes: train's, which the network learned from.
        images: At most so many of each class, drawn by `seed`.
        seed: Of the drawing.

    Returns:
        The `Look` of label 0 and that of label 1.

    Raises:
        ValueError: A class is missing, or none of its images can be read.
    """
    _check_classes(table)
    negative, positive = (
        look(table.loc[table["label"] == label, "path"], images=images, seed=seed)
        for label in (0, 1)
    )
    return negative, positive


def look(paths: Iterable[Path | str], *, images: int = 100, seed: int = 0) -> Look:
    """Measures what some files look like.

    Args:
        paths: Of radiographs of one class.
        images: At most so many, drawn by `seed`.
        seed: Of the drawing.

    Returns:
        Their `Look`. Files that cannot be read are left out.

    Raises:
        ValueError: Not one can be read.
    """
    paths = [Path(path) for path in paths]
    drawn = np.sort(np.random.default_rng(seed).permutation(len(paths))[:images])
    qualities, aspects, greys, spectra = [], [], [], []
    for path in progress.bar(
        [paths[each] for each in drawn], total=len(drawn), description="looking"
    ):
        try:
            content = reading.stored(path)
            pixels = reading.grey(path, content=content)
        except errors.UnreadableImage:
            continue
        qualities.append(measurements.jpeg_quality(path, content=content))
        aspects.append(pixels.shape[1] / pixels.shape[0])
        greys.append(np.bincount(pixels.ravel(), minlength=256) / pixels.size)
        spectra.append(_spectrum(pixels))
    if not greys:
        raise ValueError(f"not one of {len(drawn)} images can be read: {paths[:1]}")
    known = [each for each in qualities if not np.isnan(each)]
    spectrum = np.mean(spectra, axis=0)
    return Look(
        quality=float(np.median(known)) if known else np.nan,
        aspect=float(np.median(aspects)),
        greys=np.cumsum(np.mean(greys, axis=0)),
        spectrum=spectrum - spectrum[:_BROAD].mean(),
    )


def towards(own: Look, other: Look) -> tuple[perturbations.Intervention, ...]:
    """The changes that give files of one look another, one a cue.

    Args:
        own: What they look like.
        other: What they are to look like.

    Returns:
        `compression`: saved again at the other quality, which brings nothing back that a lower one
        took; missing where a quality is not known. `shape`: cut to the other width/height, of which
        a network that takes squares sees no more than that it is stretched. `sharpness`: amplitudes
        of fine structure as in the other spectrum. `exposure`: grey values replaced so that they
        are distributed as the other ones.
    """
    steps = {
        "shape": partial(_cut, aspect=other.aspect / own.aspect),
        "sharpness": partial(_filtered, gain=other.spectrum - own.spectrum),
        "exposure": partial(_replaced, levels=_levels(own.greys, other.greys)),
    }
    if np.isfinite([own.quality, other.quality]).all():
        steps["compression"] = partial(recompressed, quality=round(other.quality))
    return tuple(
        perturbations.Intervention(f"{cue} of the other class", cue, steps[cue])
        for cue in CUES
        if cue in steps
    )


def rescore(
    model: keras.Model,
    table: pd.DataFrame,
    preparation: Preparation,
    looks: tuple[Look, Look],
    *,
    images: int = 0,
    batch_size: int = 32,
    seed: int = 0,
) -> pd.DataFrame:
    """Scores every image as it is and with the other class' look, one cue at a time.

    Args:
        model: As for `perturbations.rescore`.
        table: Rows of `index`' table to score, of both classes, such as validation's.
        preparation: How the images that the network was trained on were prepared.
        looks: Of label 0 and of label 1, as `looks` returns them.
        images: At most so many of `table`, drawn by `seed`, half of each class; 0 for all.
        batch_size: Images that the network scores at a time.
        seed: Of all drawing.

    Returns:
        As `perturbations.rescore`.

    Raises:
        ValueError: As there, or a class is missing.
    """
    _check_classes(table)
    return pd.concat(
        [
            perturbations.rescore(
                model,
                table[table["label"] == label],
                preparation,
                interventions=towards(looks[label], looks[1 - label]),
                images=-(-images // 2),
                batch_size=batch_size,
                seed=seed,
            )
            for label in (0, 1)
        ],
        ignore_index=True,
    )


def shares(scored: pd.DataFrame, *, resamples: int = 2000, seed: int = 0) -> pd.DataFrame:
    """The part of the distance between the classes that each cue accounts for.

    Args:
        scored: As `rescore` returns it.
        resamples: Of patients, for the percentile intervals of 95 %; 0 for none.
        seed: Of the resampling.

    Returns:
        One row a cue, the strongest first, with `COLUMNS`. "class 0" is the mean change of the
        logit of that class' images towards the other class' mean, as a share of the distance of
        the two means: 0 is no change, 1 all the way, below 0 away from it. "value" is the mean of
        both, "low" and "high" are its interval. All are NaN where the network does not put class 1
        above class 0. Cues overlap, so that shares need not add up to 1.

    Raises:
        ValueError: There are no unchanged images, or only one class.
    """
    wide = scored.pivot_table(
        index=["path", "patient", "label"], columns="cue", values="logit", sort=False
    )
    if "" not in wide:
        raise ValueError("there are no unchanged images to compare with: see rescore")
    labels = wide.index.get_level_values("label").to_numpy()
    if set(labels) != {0, 1}:
        raise ValueError(f"shares need images of both classes: all labels are {labels[0]}")
    patients = wide.index.get_level_values("patient").to_numpy()
    weights = np.vstack(
        [np.ones(len(labels)), intervals.patient_weights(patients, resamples, seed)]
    )
    before = wide[""].to_numpy()

    def means(values: np.ndarray, label: int) -> np.ndarray:
        """Of one class, for each row of weights."""
        with np.errstate(invalid="ignore"):
            return weights @ (values * (labels == label)) / (weights @ (labels == label))

    distance = means(before, 1) - means(before, 0)
    distance = np.where(distance > 0, distance, np.nan)
    rows = []
    for cue in (name for name in CUES if name in wide):
        moved = wide[cue].to_numpy() - before
        by_class = means(moved, 0) / distance, -means(moved, 1) / distance
        both = (by_class[0] + by_class[1]) / 2
        drawn = both[1:][np.isfinite(both[1:])]
        ends = np.percentile(drawn, [2.5, 97.5]) if len(drawn) else [np.nan, np.nan]
        rows.append((cue, both[0], *ends, by_class[0][0], by_class[1][0]))
    found = pd.DataFrame(rows, columns=list(COLUMNS))
    return found.sort_values("value", ascending=False, kind="stable", ignore_index=True)


def _check_classes(table: pd.DataFrame) -> None:
    if set(table["label"]) != {0, 1}:
        raise ValueError(
            "an exchange needs images of both classes: the labels are "
            f"{sorted(set(table['label']))}"
        )


def _radius(height: int, width: int) -> np.ndarray:
    """Of each coefficient of `fft.rfft2`, its cycles per picture."""
    return np.hypot(
        fft.fftfreq(height, 1 / height)[:, np.newaxis], fft.rfftfreq(width, 1 / width)
    ).astype(np.float32)


def _spectrum(pixels: np.ndarray) -> np.ndarray:
    small = Image.fromarray(pixels).resize((_SIZE, _SIZE), Image.Resampling.BOX)
    values = np.asarray(small, dtype=float)
    # A window, for the picture's edges are steps that are no structure.
    window = np.hanning(_SIZE)
    energy = np.abs(fft.rfft2((values - values.mean()) * np.outer(window, window))) ** 2
    band = np.digitize(_radius(_SIZE, _SIZE), _BANDS) - 1
    return np.array([np.log1p(energy[band == each].mean()) / 2 for each in range(len(_CENTRES))])


def _cut(pixels: np.ndarray, *, aspect: float) -> np.ndarray:
    """Cuts so that width/height becomes `aspect` times what it is."""
    height, width = pixels.shape
    rows, columns = round(height * min(1, 1 / aspect)), round(width * min(1, aspect))
    top, left = (height - rows) // 2, (width - columns) // 2
    return pixels[top : top + rows, left : left + columns]


def _filtered(pixels: np.ndarray, *, gain: np.ndarray) -> np.ndarray:
    """Multiplies amplitudes by exp(gain), given at the centres of the bands."""
    broad = np.where(np.arange(len(gain)) < _BROAD, 0, gain)
    radius = np.maximum(_radius(*pixels.shape), 0.5)
    factor = np.exp(np.interp(np.log(radius), np.log(_CENTRES), broad)).astype(np.float32)
    values = fft.irfft2(fft.rfft2(pixels.astype(np.float32)) * factor, s=pixels.shape)
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _levels(own: np.ndarray, other: np.ndarray) -> np.ndarray:
    """For each grey level the one that is as far up in the other distribution."""
    return np.clip(np.searchsorted(other, own - 1e-9), 0, 255).astype(np.uint8)


def _replaced(pixels: np.ndarray, *, levels: np.ndarray) -> np.ndarray:
    return levels[pixels]
