"""What a network reads of a radiograph, found by experiment.

The same radiograph is changed in one respect that says nothing of the lungs, such as the quality it
is saved at or the shape it is stretched to, and scored again by the same network. What moves the
score is a cue that the network leans on. A correlation in the files (`data.shortcuts`) shows what
could be read; only this shows what is.

To be run on validation. On test it is a diagnosis, for when nothing is to be chosen any more.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import keras
import numpy as np
import pandas as pd
from PIL import Image, ImageFilter, ImageOps
from scipy.special import expit

from xraylib import errors, progress
from xraylib.data import reading
from xraylib.data.augmentation import recompressed
from xraylib.data.preparation import Preparation
from xraylib.evaluation import intervals, metrics
from xraylib.networks import models, scoring

UNCHANGED: Final = "unchanged"
MEASURES: Final = ("logit, class 0", "logit, class 1", "flips", "AUC", "sensitivity", "specificity")
# Files in memory at once, each in all its changed forms.
_PORTION: Final = 32


@dataclass(frozen=True)
class Intervention:
    """One change of a radiograph.

    Attributes:
        name: What is done, e.g. `"12 % wider"`.
        cue: What a network would have read if its score moves, e.g. `"shape"`.
        change: Grey uint8 in [0, 255], (height, width), to the same kind of array of any shape.
    """

    name: str
    cue: str
    change: Callable[[np.ndarray], np.ndarray]


def scaled(pixels: np.ndarray, *, width: float = 1.0, height: float = 1.0) -> np.ndarray:
    """Scales what is shown about the middle, in a frame of unchanged size.

    Args:
        pixels: Grey uint8 in [0, 255], (height, width).
        width: Of the anatomy afterwards, of what it was; what then lies outside is cut, what is
            missing is filled with the outermost column.
        height: The same for the rows.

    Returns:
        Grey uint8 in [0, 255], (height, width).
    """
    rows, columns = pixels.shape
    shape = max(1, round(rows * height)), max(1, round(columns * width))
    picture = np.asarray(Image.fromarray(pixels).resize(shape[::-1], Image.Resampling.BICUBIC))
    missing = [max(0, rows - shape[0]), max(0, columns - shape[1])]
    picture = np.pad(picture, [(side // 2, side - side // 2) for side in missing], mode="edge")
    top, left = (picture.shape[0] - rows) // 2, (picture.shape[1] - columns) // 2
    return picture[top : top + rows, left : left + columns]


def framed(pixels: np.ndarray, *, border: float) -> np.ndarray:
    """Adds a black border (above 0) on every side, or cuts one off (below 0).

    Args:
        pixels: Grey uint8 in [0, 255], (height, width).
        border: Its width, of the picture's height and width.

    Returns:
        Grey uint8 in [0, 255] of another shape.
    """
    rows, columns = (round(abs(border) * side) for side in pixels.shape)
    if border >= 0:
        return np.pad(pixels, ((rows, rows), (columns, columns)))
    return pixels[rows : len(pixels) - rows, columns : pixels.shape[1] - columns]


def blurred(pixels: np.ndarray) -> np.ndarray:
    """Gaussian blur, its standard deviation 1/224 of the shorter side; uint8 as given."""
    return _filtered(pixels, ImageFilter.GaussianBlur(min(pixels.shape) / 224))


def sharpened(pixels: np.ndarray) -> np.ndarray:
    """Doubles what that blur takes away (unsharp mask); uint8 as given."""
    mask = ImageFilter.UnsharpMask(min(pixels.shape) / 224, percent=100, threshold=0)
    return _filtered(pixels, mask)


def gamma(pixels: np.ndarray, *, exponent: float) -> np.ndarray:
    """Raises grey values, black 0 and white 1, to this exponent; uint8 as given."""
    levels = np.rint(255 * (np.arange(256) / 255) ** exponent).astype(np.uint8)
    return levels[pixels]


def equalized(pixels: np.ndarray) -> np.ndarray:
    """Makes all grey values about equally frequent; uint8 as given."""
    return np.asarray(ImageOps.equalize(Image.fromarray(pixels)))


def _filtered(pixels: np.ndarray, mask: ImageFilter.Filter) -> np.ndarray:
    return np.asarray(Image.fromarray(pixels).filter(mask))


INTERVENTIONS: Final = (
    Intervention("saved at quality 95", "compression", partial(recompressed, quality=95)),
    Intervention("saved at quality 75", "compression", partial(recompressed, quality=75)),
    Intervention("saved at quality 40", "compression", partial(recompressed, quality=40)),
    Intervention("12 % wider", "shape", partial(scaled, width=1.12)),
    Intervention("12 % taller", "shape", partial(scaled, height=1.12)),
    Intervention("10 % narrower", "shape", partial(scaled, width=0.9)),
    Intervention("cropped by 5 %", "frame", partial(framed, border=-0.05)),
    Intervention("padded by 5 %", "frame", partial(framed, border=0.05)),
    Intervention("blurred", "sharpness", blurred),
    Intervention("sharpened", "sharpness", sharpened),
    Intervention("gamma .8", "exposure", partial(gamma, exponent=0.8)),
    Intervention("gamma 1.25", "exposure", partial(gamma, exponent=1.25)),
    Intervention("histogram equalized", "exposure", equalized),
)


def rescore(
    model: keras.Model,
    table: pd.DataFrame,
    preparation: Preparation,
    *,
    images: int = 0,
    batch_size: int = 32,
    interventions: Sequence[Intervention] = INTERVENTIONS,
    seed: int = 0,
) -> pd.DataFrame:
    """Scores every image of a table as it is and after each intervention.

    Files are changed at their own size, and made a square for the network afterwards.

    Args:
        model: As `models` builds them: uint8 squares to a layer named `"logit"`.
        table: Rows of `index`' table, such as validation's: path, label, patient and split.
        preparation: How the images that the network was trained on were prepared.
        images: At most so many, drawn by `seed`, half of each class where there are enough; 0 for
            all.
        batch_size: Images that the network scores at a time.
        interventions: Which.
        seed: Of the drawing.

    Returns:
        One row an image and intervention, the unchanged image first: path, patient, split, label,
        cue, intervention, logit. Images that cannot be read are left out.

    Raises:
        ValueError: The table is empty, no image can be read, or the model has no such layer.
    """
    if table.empty:
        raise ValueError("no images to intervene on: give rows of validation")
    logits = models.logits(model)
    if images and len(table) > images:
        drawn = table.sample(frac=1, random_state=seed)
        place = drawn.groupby("label").cumcount()
        table = table.loc[place.sort_values(kind="stable").index[:images]].sort_index()
    steps = (Intervention(UNCHANGED, "", lambda pixels: pixels), *interventions)

    def squares(path: Path) -> np.ndarray | None:
        try:
            pixels = reading.grey(path)
        except errors.UnreadableImage:
            return None
        return np.stack([preparation.square(step.change(pixels)) for step in steps])

    parts = []
    with (
        ThreadPoolExecutor() as pool,
        progress.bar(total=len(table), description="intervening") as bar,
    ):
        for start in range(0, len(table), _PORTION):
            rows = table.iloc[start : start + _PORTION]
            found = list(pool.map(squares, rows["path"]))
            made = [each for each in found if each is not None]
            rows = rows[[each is not None for each in found]]
            for number, step in enumerate(steps if made else ()):
                batch = np.stack([each[number] for each in made])[..., np.newaxis]
                scores = scoring.outputs(
                    logits,
                    (batch[at : at + batch_size] for at in range(0, len(batch), batch_size)),
                )
                part = rows[["path", "patient", "split", "label"]]
                parts.append(part.assign(cue=step.cue, intervention=step.name, logit=scores))
            bar.update(len(found))
    if not parts:
        raise ValueError(f"not one of {len(table)} images can be read: {table['path'].iloc[0]}")
    order = {step.name: number for number, step in enumerate(steps)}
    scored = pd.concat(parts)
    return scored.sort_values(
        "intervention", key=lambda names: names.map(order), kind="stable"
    ).reset_index(drop=True)


def effects(
    scored: pd.DataFrame, *, threshold: float = 0.5, resamples: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """What each intervention did to the same images, with intervals over patients.

    Args:
        scored: As `rescore` returns it, of images of both classes.
        threshold: A score of at least this is called class 1, in (0, 1).
        resamples: Of patients, for the percentile intervals of 95 %.
        seed: Of the resampling.

    Returns:
        One row an intervention and measure (`MEASURES`): cue, intervention, measure, value, low,
        high. `"logit, class 0"` is the mean paired change of the logit of that class' images,
        divided by the standard deviation of all unchanged logits, so that networks can be
        compared; `"flips"` is the share of images whose decision changed; the others are changes
        of the metric. How far depends on how large the changes are: see `swaps` for what the
        cues account for.

    Raises:
        ValueError: There are no unchanged images, or only one class.
    """
    wide = scored.pivot_table(
        index=["path", "patient", "label"], columns="intervention", values="logit", sort=False
    )
    if UNCHANGED not in wide:
        raise ValueError("there are no unchanged images to compare with: see rescore")
    labels = wide.index.get_level_values("label").to_numpy()
    if len(set(labels)) < 2:
        raise ValueError(f"effects need images of both classes: all labels are {labels[0]}")
    patients = wide.index.get_level_values("patient").to_numpy()
    weights = np.vstack(
        [np.ones(len(labels)), intervals.patient_weights(patients, resamples, seed)]
    )
    before = wide[UNCHANGED].to_numpy()
    cues = scored.drop_duplicates("intervention").set_index("intervention")["cue"]
    rows: list[tuple[str, str, str, np.ndarray]] = []
    for name in cues.index.drop(UNCHANGED):
        found = _measures(labels, before, wide[name].to_numpy(), threshold, weights)
        rows += [(cues[name], name, measure, found[measure]) for measure in MEASURES]
    table = pd.DataFrame(rows, columns=["cue", "intervention", "measure", "value"])
    drawn = np.stack(table["value"].tolist())
    low, high = np.full((2, len(table)), np.nan)
    if resamples:
        low, high = np.nanpercentile(drawn[:, 1:], [2.5, 97.5], axis=1)
    return table.assign(value=drawn[:, 0], low=low, high=high)


def _measures(
    labels: np.ndarray, before: np.ndarray, after: np.ndarray, threshold: float, weights: np.ndarray
) -> dict[str, np.ndarray]:
    """Every measure for each row of weights."""
    spread = before.std() or 1.0
    with np.errstate(invalid="ignore", divide="ignore"):
        moved = {
            f"logit, class {label}": (weights @ ((after - before) * (labels == label)))
            / (weights @ (labels == label).astype(float))
            / spread
            for label in (0, 1)
        }
    before, after = expit(before), expit(after)
    flipped = ((before >= threshold) != (after >= threshold)).astype(float)
    flips = weights @ flipped / weights.sum(axis=1)
    was, became = (
        metrics.weighted_metrics(labels, scores, threshold, weights) for scores in (before, after)
    )
    changes = became - was
    columns = {name: metrics.METRICS.index(name) for name in MEASURES[3:]}
    return {
        **moved,
        "flips": flips,
        **{name: changes[:, column] for name, column in columns.items()},
    }


def most_moved(scored: pd.DataFrame, cue: str, *, images: int = 1) -> pd.DataFrame:
    """The images that a change of one cue moves most, those first whose diagnosis it turns.

    Args:
        scored: As `rescore` returns it.
        cue: Of `INTERVENTIONS`.
        images: At most so many, each once.

    Returns:
        One row an image: path, label, intervention, and the scores before and after, in [0, 1].

    Raises:
        ValueError: No intervention in `scored` is of this cue.
    """
    if cue not in set(scored["cue"]):
        known = ", ".join(sorted(set(scored["cue"]) - {""}))
        raise ValueError(f"cue must be one of {known}. Received: {cue!r}")
    unchanged = scored[scored["intervention"] == UNCHANGED].set_index("path")["logit"]
    moved = scored[scored["cue"] == cue]
    before, after = moved["path"].map(unchanged), moved["logit"]
    order = pd.DataFrame({"turned": (before >= 0) != (after >= 0), "far": (after - before).abs()})
    order = order.sort_values(["turned", "far"], ascending=False, kind="stable")
    moved = moved.assign(before=expit(before), after=expit(after)).loc[order.index]
    columns = ["path", "label", "intervention", "before", "after"]
    return moved.drop_duplicates("path")[columns].head(images).reset_index(drop=True)


def changed(path: Path | str, intervention: str) -> np.ndarray:
    """One file after an intervention, to be looked at.

    Args:
        path: Of a radiograph.
        intervention: The name of one of `INTERVENTIONS`, or `UNCHANGED`.

    Returns:
        Grey uint8 in [0, 255], (height, width).

    Raises:
        ValueError: There is no such intervention.
        reading.UnreadableImage: The file gives no pixels.
    """
    known = {step.name: step.change for step in INTERVENTIONS}
    if intervention != UNCHANGED and intervention not in known:
        raise ValueError(
            f"intervention must be one of {', '.join([UNCHANGED, *known])}. "
            f"Received: {intervention!r}"
        )
    pixels = reading.grey(path)
    return pixels if intervention == UNCHANGED else known[intervention](pixels)
