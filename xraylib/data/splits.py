"""The table of images -> the same one cut into train, validation and test."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from xraylib.data.tree import CLASSES


def hold_out_validation(table: pd.DataFrame, *, share: float = 0.15, seed: int = 0) -> pd.DataFrame:
    """Cuts a validation split from train by patient, stratified by class.

    `train` and `val`, which has only 16 images, are one pool. No patient is on both sides. The
    rows of `test` are left as they are.

    Args:
        table: As `from_tree` returns it.
        share: Of the pool's images that become validation, in (0, .5]. The nearest 1/k is taken.
        seed: Of the shuffling.

    Returns:
        A copy of `table` with `split` one of `"train"`, `"validation"`, `"test"`.

    Raises:
        ValueError: `share` is out of range, or a class has too few patients to be on both sides.
    """
    parts = _parts(share)
    table = table.copy()
    pool = table[table["split"] != "test"]
    asked = f"a validation share of {share} needs"
    held_out = next(_held_out(pool, parts, seed=seed, asked=asked, advice="a larger share"))
    table.loc[pool.index, "split"] = "train"
    table.loc[pool.index[held_out], "split"] = "validation"
    return table


def folds(table: pd.DataFrame, *, number: int = 5, seed: int) -> list[pd.DataFrame]:
    """Cuts train into parts by patient, stratified by class, for a cross-validation.

    `train` and `val`, or `validation`, are one pool, as in `hold_out_validation`; `test` is left
    out. Each part is once the validation of what the others train: every image is validated once,
    and no patient is on both sides.

    Args:
        table: As `from_tree` or `hold_out_validation` returns it.
        number: Of parts, 2 or more.
        seed: Of the shuffling.

    Returns:
        `number` copies of the pool's rows, in the order and with the index of `table`, with
        `split` one of `"train"`, `"validation"`.

    Raises:
        ValueError: `number` is below 2, or a class has fewer patients than that.
    """
    if number < 2:
        raise ValueError(f"the number of folds must be 2 or more. Received: {number}")
    pool = table[table["split"] != "test"]
    asked, advice = f"{number} folds need", "a smaller number of folds"
    cuts = []
    for held_out in _held_out(pool, number, seed=seed, asked=asked, advice=advice):
        cut = pool.assign(split="train")
        cut.loc[pool.index[held_out], "split"] = "validation"
        cuts.append(cut)
    return cuts


def _parts(share: float) -> int:
    """Of how many equal parts the validation is one."""
    if not 0 < share <= 0.5:
        raise ValueError(f"share of validation must be above 0 and at most .5. Received: {share}")
    return round(1 / share)


def _held_out(
    pool: pd.DataFrame, parts: int, *, seed: int, asked: str, advice: str
) -> Iterator[np.ndarray]:
    """The positions of each part's rows: no patient is in two, and each class is in all.

    `asked` and `advice` say what needs so many patients, and what else to give than more images.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    patients = pool.groupby("label")["patient"].nunique()
    for label, name in enumerate(CLASSES):
        if patients.get(label, 0) < parts:
            raise ValueError(
                f"{name} has {patients.get(label, 0)} patients in train and val, and {asked} "
                f"{parts}: give more images, or {advice}"
            )
    splitter = StratifiedGroupKFold(n_splits=parts, shuffle=True, random_state=seed)
    for _, held_out in splitter.split(pool, pool["label"], pool["patient"]):
        yield held_out


def limit(table: pd.DataFrame, images: int, *, seed: int = 0) -> pd.DataFrame:
    """Keeps at most so many images of each class in each split, drawn at random.

    Args:
        table: As `from_tree` or `hold_out_validation` returns it.
        images: The most to keep of one class in one split; 0 keeps all.
        seed: Of the drawing.

    Returns:
        The rows kept, in the order of `table`, with a fresh index.

    Raises:
        ValueError: `images` is negative.
    """
    if images < 0:
        raise ValueError(f"the limit must be 0 (all images) or more. Received: {images}")
    if images:
        drawn = table.sample(frac=1, random_state=seed).groupby(["split", "label"]).head(images)
        table = table.loc[sorted(drawn.index)]
    return table.reset_index(drop=True)
