"""Cut the table of images into train, validation and test, by patient."""

import warnings
from collections.abc import Iterator

import pandas as pd

from xraylib.data import patients
from xraylib.data.index import class_names


def hold_out_validation(table: pd.DataFrame, *, share: float = 0.15, seed: int = 0) -> pd.DataFrame:
    """Cuts a validation split from train by patient, stratified by class.

    `train` and `val`, which has only 16 images in the Kaggle set, are pooled. The rows of `test`
    stay as they are; patients who are in test and in the pool cause a warning.

    Args:
        table: Table of `index.from_tree`.
        share: Share of the pool's images that become validation, in (0, .5]; rounded to 1/k.
        seed: Random seed of the shuffling.

    Returns:
        A copy of `table` whose `split` is `"train"`, `"validation"` or `"test"`.

    Raises:
        ValueError: `share` is out of range, or a class has too few patients to be on both sides.
    """
    if not 0 < share <= 0.5:
        raise ValueError(f"share of validation must be above 0 and at most .5. Received: {share}")
    table = table.copy()
    pool = table[table["split"] != "test"]
    _warn_of_leaks(table)
    need = f"a validation share of {share} needs"
    first = next(_cut(pool, round(1 / share), seed=seed, need=need, remedy="a larger share"))
    table.loc[pool.index, "split"] = first["split"].to_numpy()
    return table


def folds(table: pd.DataFrame, *, number: int = 5, seed: int) -> list[pd.DataFrame]:
    """Cuts train into folds by patient, stratified by class, for a cross-validation.

    `train` and `val`, or `validation`, are pooled; `test` is left out. Each part of the pool is the
    validation of one fold, so that every image is validated once.

    Args:
        table: Table of `index.from_tree` or `hold_out_validation`.
        number: Number of folds, 2 or more.
        seed: Random seed of the shuffling.

    Returns:
        `number` copies of the pool's rows, in the order and with the index of `table`, whose
        `split` is `"train"` or `"validation"`.

    Raises:
        ValueError: `number` is below 2, or a class has too few patients to be in every fold.
    """
    if number < 2:
        raise ValueError(f"the number of folds must be 2 or more. Received: {number}")
    pool = table[table["split"] != "test"]
    remedy = "a smaller number of folds"
    return list(_cut(pool, number, seed=seed, need=f"{number} folds need", remedy=remedy))


def _cut(
    pool: pd.DataFrame, parts: int, *, seed: int, need: str, remedy: str
) -> Iterator[pd.DataFrame]:
    """Cuts a pool into parts that share no patient; each is the validation of one copy of it."""
    from sklearn.model_selection import StratifiedGroupKFold

    noun = "images" if patients.unit(pool) == "images" else "patients"
    counts = pool.groupby("label")["patient"].nunique()
    for label, name in class_names(pool).items():
        if counts.get(label, 0) < parts:
            raise ValueError(
                f"{name} has too few {noun} in train and val ({counts.get(label, 0)}): {need} "
                f"{parts}; give more images, or {remedy}"
            )
    splitter = StratifiedGroupKFold(n_splits=parts, shuffle=True, random_state=seed)
    for _, held_out in splitter.split(pool, pool["label"], pool["patient"]):
        fold = pool.assign(split="train")
        fold.loc[pool.index[held_out], "split"] = "validation"
        # Patients of many images, or of both classes, may leave no choice.
        if fold.groupby("split")["label"].nunique().min() < len(counts):
            raise ValueError(
                f"a validation by patient would lack a class, for some patients have most images "
                f"of one: give images of more patients, another seed, or {remedy}"
            )
        yield fold


def _warn_of_leaks(table: pd.DataFrame) -> None:
    """Warns of patients who are in test and in what becomes train and validation."""
    in_test = table["split"] == "test"
    shared = sorted(set(table["patient"][in_test]) & set(table["patient"][~in_test]))
    if shared:
        who = "patient has" if len(shared) == 1 else "patients have"
        warnings.warn(
            f"{len(shared):,} {who} images in test and in train or val, such as {shared[0]}: the "
            "test then measures in part how well they are remembered; move all images of a "
            "patient to one side",
            stacklevel=3,
        )


def limit(table: pd.DataFrame, images: int, *, seed: int = 0) -> pd.DataFrame:
    """Keeps at most a number of images of each class in each split, chosen at random.

    Args:
        table: Table of `index.from_tree` or `hold_out_validation`.
        images: The largest number of one class in one split; 0 keeps all.
        seed: Random seed of the choice.

    Returns:
        The chosen rows, in the order of `table`, with a fresh index.

    Raises:
        ValueError: `images` is negative.

    Example:
        >>> table = pd.DataFrame({"split": "train", "label": [0, 0, 0, 1]})
        >>> limit(table, 2)["label"].tolist()
        [0, 0, 1]
    """
    if images < 0:
        raise ValueError(f"the limit must be 0 (all images) or more. Received: {images}")
    if images:
        sample = table.sample(frac=1, random_state=seed).groupby(["split", "label"]).head(images)
        table = table.loc[sorted(sample.index)]
    return table.reset_index(drop=True)
