"""Measure what a network reads in a radiograph: perturb the file, score it again, compare.

Each perturbation changes one property that says nothing about the lungs, such as the JPEG quality
or the shape. What moves the score is a cue that the network relies on: `audit.shortcuts` shows what
a network could use, only this what it does use. Use it on validation, and on test only when nothing
remains to be chosen.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from PIL import Image, ImageFilter, ImageOps
from scipy.special import expit

from xraylib import errors, progress
from xraylib.backend import keras
from xraylib.data import reading
from xraylib.data.augmentation import recompressed
from xraylib.data.preparation import Preparation
from xraylib.data.resizing import Grey
from xraylib.evaluation import intervals, metrics
from xraylib.networks import models, scoring

UNCHANGED: Final = "unchanged"
_METRICS: Final = ("AUC", "sensitivity", "specificity")
MEASURES: Final = ("logit, class 0", "logit, class 1", "flips", *_METRICS)
# Files in memory at once, each with all its perturbations.
_PORTION: Final = 32


@dataclass(frozen=True)
class Perturbation:
    """One change to a radiograph.

    Attributes:
        name: What is done, e.g. `"12 % wider"`.
        cue: What a network relies on if its score moves, e.g. `"shape"`.
        change: Maps grey uint8 in [0, 255], (height, width), to the same of any shape.
    """

    name: str
    cue: str
    change: Callable[[np.ndarray], np.ndarray]


def scaled(pixels: np.ndarray, *, width: float = 1.0, height: float = 1.0) -> np.ndarray:
    """Scale grey uint8 (height, width) about the middle, by two factors, in an unchanged frame.

    What grows out of the frame is cut; what is missing repeats the outermost column or row.

    Example:
        >>> scaled(np.array([[0, 90, 90, 0]], np.uint8), width=2).tolist()
        [[70, 98, 98, 70]]
    """
    rows, columns = pixels.shape
    shape = max(1, round(rows * height)), max(1, round(columns * width))
    result = np.asarray(Image.fromarray(pixels).resize(shape[::-1], Image.Resampling.BICUBIC))
    missing = [max(0, rows - shape[0]), max(0, columns - shape[1])]
    result = np.pad(result, [(side // 2, side - side // 2) for side in missing], mode="edge")
    top, left = (result.shape[0] - rows) // 2, (result.shape[1] - columns) // 2
    return result[top : top + rows, left : left + columns]


def framed(pixels: np.ndarray, *, border: float) -> np.ndarray:
    """Add a black border to grey uint8 (height, width) on every side, or cut one off.

    `border` is its width as a fraction of height and width; below 0 it is cut off.

    Example:
        >>> framed(np.full((10, 20), 255, np.uint8), border=0.1).shape
        (12, 24)
    """
    rows, columns = (round(abs(border) * side) for side in pixels.shape)
    if border >= 0:
        return np.pad(pixels, ((rows, rows), (columns, columns)))
    return pixels[rows : len(pixels) - rows, columns : pixels.shape[1] - columns]


def blurred(pixels: np.ndarray) -> np.ndarray:
    """Blur grey uint8 (height, width) by a Gaussian: its deviation is 1/224 of the shorter side."""
    blur = ImageFilter.GaussianBlur(min(pixels.shape) / 224)
    return np.asarray(Image.fromarray(pixels).filter(blur))


def sharpened(pixels: np.ndarray) -> np.ndarray:
    """Add to grey uint8 (height, width) what `blurred` removes from it (unsharp mask)."""
    mask = ImageFilter.UnsharpMask(min(pixels.shape) / 224, percent=100, threshold=0)
    return np.asarray(Image.fromarray(pixels).filter(mask))


def gamma(pixels: Grey, *, exponent: float) -> Grey:
    """Raise grey uint8 values, with black as 0 and white as 1, to an exponent.

    Example:
        >>> gamma(np.array([[0, 128, 255]], np.uint8), exponent=2).tolist()
        [[0, 64, 255]]
    """
    levels = np.rint(255 * (np.arange(256) / 255) ** exponent).astype(np.uint8)
    return levels[pixels]


def equalized(pixels: np.ndarray) -> np.ndarray:
    """Make all grey values of a uint8 (height, width) image about equally frequent."""
    return np.asarray(ImageOps.equalize(Image.fromarray(pixels)))


_NONE: Final = Perturbation(UNCHANGED, "", lambda pixels: pixels)
PERTURBATIONS: Final = (
    Perturbation("saved at quality 95", "compression", partial(recompressed, quality=95)),
    Perturbation("saved at quality 75", "compression", partial(recompressed, quality=75)),
    Perturbation("saved at quality 40", "compression", partial(recompressed, quality=40)),
    Perturbation("12 % wider", "shape", partial(scaled, width=1.12)),
    Perturbation("12 % taller", "shape", partial(scaled, height=1.12)),
    Perturbation("10 % narrower", "shape", partial(scaled, width=0.9)),
    Perturbation("cropped by 5 %", "frame", partial(framed, border=-0.05)),
    Perturbation("padded by 5 %", "frame", partial(framed, border=0.05)),
    Perturbation("blurred", "sharpness", blurred),
    Perturbation("sharpened", "sharpness", sharpened),
    Perturbation("gamma .8", "exposure", partial(gamma, exponent=0.8)),
    Perturbation("gamma 1.25", "exposure", partial(gamma, exponent=1.25)),
    Perturbation("histogram equalized", "exposure", equalized),
)


def rescore(
    network: keras.Model,
    table: pd.DataFrame,
    preparation: Preparation,
    *,
    perturbations: Sequence[Perturbation] = PERTURBATIONS,
    images: int = 0,
    batch_size: int = 32,
    seed: int = 0,
) -> pd.DataFrame:
    """Score every image as it is and after each perturbation.

    Files are perturbed at their own size, and prepared for the network afterwards.

    Args:
        network: As `models` builds them, with a layer named `"logit"`.
        table: Rows of the index, such as validation's: path, label, patient and split are read.
        preparation: How the images that the network was trained on were prepared.
        perturbations: Which, each with a name of its own.
        images: Maximum number of images, sampled with `seed`, half of each class where there are
            enough; 0 for all.
        batch_size: Images that the network scores at a time.
        seed: Random seed of the sample.

    Returns:
        One row for each image and perturbation, the unchanged images first: path, patient, split,
        label, cue (`""` for the unchanged), perturbation, logit. Unreadable images are left out.

    Raises:
        ValueError: The table is empty, no image can be read, or the network has no layer `"logit"`.
    """
    if table.empty:
        raise ValueError("there are no images to perturb: give rows of validation")
    logits = models.logits(network)
    if images and len(table) > images:
        table = _sample(table, images, seed)
    steps = (_NONE, *perturbations)
    parts = []
    for rows, squares in _prepared(table, steps, preparation):
        for step, pixels in zip(steps, squares, strict=True):
            batches = (pixels[at : at + batch_size] for at in range(0, len(pixels), batch_size))
            logit = scoring.pneumonia(scoring.outputs(logits, batches))
            parts.append(rows.assign(cue=step.cue, perturbation=step.name, logit=logit))
    if not parts:
        raise ValueError(f"not one of {len(table)} images can be read: {table['path'].iloc[0]}")
    order = {step.name: number for number, step in enumerate(steps)}
    return pd.concat(parts).sort_values(
        "perturbation", key=lambda names: names.map(order), kind="stable", ignore_index=True
    )


def _sample(table: pd.DataFrame, images: int, seed: int) -> pd.DataFrame:
    """Draw images, half of each class where there are enough, in the order of the table."""
    shuffled = table.sample(frac=1, random_state=seed)
    place = shuffled.groupby("label").cumcount()
    return table.loc[place.sort_values(kind="stable").index[:images]].sort_index()


def _prepared(
    table: pd.DataFrame, steps: Sequence[Perturbation], preparation: Preparation
) -> Iterator[tuple[pd.DataFrame, np.ndarray]]:
    """Yield some readable images' rows and their squares, uint8 (steps, images, size, size, 1)."""

    def squares(path: Path) -> np.ndarray | None:
        try:
            pixels = reading.grey(path, bits=preparation.depth)
        except errors.UnreadableImage:
            return None
        return np.stack([preparation.square(step.change(pixels)) for step in steps])

    bar = progress.bar(total=len(table), description="perturbing")
    with ThreadPoolExecutor() as pool, bar:
        for start in range(0, len(table), _PORTION):
            rows = table.iloc[start : start + _PORTION][["path", "patient", "split", "label"]]
            results = list(pool.map(squares, rows["path"]))
            readable = [each is not None for each in results]
            if any(readable):
                pixels = np.stack([each for each in results if each is not None], axis=1)
                yield rows[readable], pixels[..., np.newaxis]
            bar.update(len(results))


def paired_logits(
    scored: pd.DataFrame, *, by: str, resamples: int, seed: int
) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Put the logits of an image beside each other, and resample the patients.

    Returns:
        The logits, one row per image and one column for each value of `by`, a column of `scored`;
        the labels, (images,); and the weights of the images, 1 in the first row and then as often
        as each resample has them, (1 + resamples, images).

    Raises:
        ValueError: There are no unchanged images, or only one class.
    """
    wide = scored.pivot_table(
        index=["path", "patient", "label"], columns=by, values="logit", sort=False
    )
    if not {UNCHANGED, ""} & set(wide):
        raise ValueError("there are no unchanged images to compare with: see rescore")
    labels = wide.index.get_level_values("label").to_numpy()
    if set(labels) != {0, 1}:
        message = f"effects need images of both classes. Received: only the label {labels[0]}"
        raise ValueError(message)
    patients = wide.index.get_level_values("patient").to_numpy()
    resampled = intervals.patient_weights(patients, resamples, seed)
    return wide, labels, np.vstack([np.ones(len(labels)), resampled])


def effects(scored: pd.DataFrame, *, resamples: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Measure what each perturbation did to the same images, with a bootstrap over patients.

    Args:
        scored: What `rescore` returns, of images of both classes.
        resamples: Bootstrap resamples of patients, for percentile intervals of 95 %; 0 for none.
        seed: Random seed of the bootstrap.

    Returns:
        One row for each perturbation and measure of `MEASURES`: cue, perturbation, measure, value,
        low, high. `"logit, class 0"` is the mean paired change of the logit of that class's images,
        divided by the standard deviation of all unchanged logits, so that networks can be
        compared; `"flips"` is the proportion of images whose decision at .5 changed; the others are
        changes of the metric. An effect depends on the size of the perturbation: `swaps` makes
        cues comparable.

    Raises:
        ValueError: There are no unchanged images, or only one class.
    """
    logits, labels, weights = paired_logits(
        scored, by="perturbation", resamples=resamples, seed=seed
    )
    before = logits[UNCHANGED].to_numpy()
    cues = scored.drop_duplicates("perturbation").set_index("perturbation")["cue"]
    rows, values = [], []
    for name in cues.index.drop(UNCHANGED):
        rows += [(cues[name], name, measure) for measure in MEASURES]
        values += _measures(labels, before, logits[name].to_numpy(), weights)
    low, high = intervals.percentiles(np.transpose(values)[1:])
    table = pd.DataFrame(rows, columns=["cue", "perturbation", "measure"])
    return table.assign(value=[value[0] for value in values], low=low, high=high)


def class_means(
    values: np.ndarray, labels: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Average the images of class 0 and of class 1 for each row of weights; NaN without any.

    Example:
        >>> class_means(np.array([1, 2, 6]), np.array([0, 1, 1]), np.ones((1, 3)))
        (array([1.]), array([4.]))
    """
    negative, positive = labels == 0, labels == 1
    with np.errstate(invalid="ignore"):
        first = weights @ (values * negative) / (weights @ negative)
        return first, weights @ (values * positive) / (weights @ positive)


def _measures(
    labels: np.ndarray, before: np.ndarray, after: np.ndarray, weights: np.ndarray
) -> list[np.ndarray]:
    """Compute each of `MEASURES` for each row of weights."""
    changes = [
        change / (before.std() or 1.0) for change in class_means(after - before, labels, weights)
    ]
    flips = weights @ ((before >= 0) != (after >= 0)) / weights.sum(axis=1)
    first, second = (
        metrics.weighted_metrics(labels, expit(logits), 0.5, weights) for logits in (before, after)
    )
    places = [metrics.METRICS.index(name) for name in _METRICS]
    return [*changes, flips, *(second - first).T[places]]


def most_affected(scored: pd.DataFrame, cue: str, *, images: int = 1) -> pd.DataFrame:
    """Choose the images whose score depends most on one cue, changed decisions first.

    Args:
        scored: What `rescore` returns.
        cue: One of `scored`, e.g. `"shape"`.
        images: Maximum number of images, each listed once.

    Returns:
        One row per image: path, label, perturbation, and the scores before and after, in [0, 1].

    Raises:
        ValueError: No perturbation in `scored` has this cue.
    """
    if cue not in set(scored["cue"]):
        known = ", ".join(sorted(set(scored["cue"]) - {""}))
        raise ValueError(f"cue must be one of {known}. Received: {cue!r}")
    unchanged = scored[scored["perturbation"] == UNCHANGED].set_index("path")["logit"]
    rows = scored[scored["cue"] == cue]
    before, after = rows["path"].map(unchanged), rows["logit"]
    rows = rows.assign(before=expit(before), after=expit(after), change=(after - before).abs())
    rows["flipped"] = (before >= 0) != (after >= 0)
    rows = rows.sort_values(["flipped", "change"], ascending=False, kind="stable")
    columns = ["path", "label", "perturbation", "before", "after"]
    return rows.drop_duplicates("path")[columns].head(images).reset_index(drop=True)


def perturbed(path: Path | str, name: str, *, bits: int | None = None) -> np.ndarray:
    """Read one file and perturb it, for a look at it.

    Args:
        path: An image file, as `reading.grey` reads it.
        name: Of one of `PERTURBATIONS`, or `UNCHANGED`.
        bits: Of the set that the file belongs to, as `Preparation.depth` has them.

    Returns:
        Grey uint8 in [0, 255], (height, width).

    Raises:
        ValueError: There is no such perturbation.
        UnreadableImage: The file gives no pixels.
    """
    changes = {step.name: step.change for step in (_NONE, *PERTURBATIONS)}
    if name not in changes:
        raise ValueError(f"name must be one of {', '.join(changes)}. Received: {name!r}")
    return changes[name](reading.grey(path, bits=bits))
