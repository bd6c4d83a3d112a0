"""Check what the functions of this wing receive: labels, scores, patients, weights, ranges.

Each check returns the checked value, as an array where it is one, or raises a `ValueError` that
says what was wrong with it.
"""

import numpy as np
import numpy.typing as npt
import pandas as pd


def fraction(value: float, name: str) -> float:
    """A number above 0 and below 1, such as a prevalence.

    Example:
        >>> fraction(0.3, "prevalence")
        0.3
    """
    if not 0 < value < 1:
        raise ValueError(f"{name} must be between 0 and 1. Received: {value}")
    return value


def at_least(value: int, least: int, name: str) -> int:
    """A count that is not below its least value.

    Example:
        >>> at_least(10, 1, "bins")
        10
    """
    if value < least:
        raise ValueError(f"{name} must be {least} or more. Received: {value}")
    return value


def in_unit_interval(values: npt.ArrayLike, name: str) -> np.ndarray:
    """Values in [0, 1], such as scores or p-values, as float (n,).

    Example:
        >>> in_unit_interval([0, 0.5], "scores")
        array([0. , 0.5])
    """
    array = np.asarray(values, dtype=float).ravel()
    if wrong := array[~((array >= 0) & (array <= 1))].tolist():
        raise ValueError(f"{name} must be in [0, 1]; {len(wrong)} are not. Received: {wrong[:5]}")
    return array


def binary(values: npt.ArrayLike, name: str = "labels") -> np.ndarray:
    """Labels or decisions 0 or 1, as int (n,).

    Example:
        >>> binary([True, False])
        array([1, 0])
    """
    array = np.asarray(values).ravel()
    if not np.isin(array, (0, 1)).all():
        raise ValueError(f"{name} must be 0 or 1. Received: {pd.unique(array)[:5].tolist()}")
    return array.astype(int)


def both_classes(values: npt.ArrayLike, name: str = "labels") -> np.ndarray:
    """Labels 0 or 1, each there at least once, as int (n,).

    Example:
        >>> both_classes([0, 1, 1])
        array([0, 1, 1])
    """
    array = np.asarray(values).ravel()
    if set(classes := pd.unique(array).tolist()) != {0, 1}:
        raise ValueError(f"{name} must be 0 or 1, with both present. Received: {classes[:5]}")
    return array.astype(int)


def labels_and_scores(
    labels: npt.ArrayLike, scores: npt.ArrayLike, *, both_for: str | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """As many labels, 0 or 1, as scores in [0, 1], one or more: int (n,) and float (n,).

    `both_for` says in the message what needs both classes, such as `"a threshold"`; None where one
    class is enough.

    Example:
        >>> labels_and_scores([0, 1], [0.2, 1])
        (array([0, 1]), array([0.2, 1. ]))
    """
    label_count, score_count = np.size(labels), np.size(scores)
    if not label_count or label_count != score_count:
        raise ValueError(f"{label_count} labels and {score_count} scores: give one or more of each")
    labels, scores = binary(labels), in_unit_interval(scores, "scores")
    if both_for and labels.min() == labels.max():
        raise ValueError(f"{both_for} needs both classes: all labels are {labels[0]}")
    return labels, scores


def patients(patients: npt.ArrayLike | None, images: int) -> np.ndarray:
    """One patient an image, (images,); each image a patient of its own where None.

    Example:
        >>> patients(None, 3)
        array([0, 1, 2])
    """
    if patients is None:
        return np.arange(images)
    array = np.asarray(patients)
    if len(array) != images:
        raise ValueError(f"{len(array)} patients for {images} labels: give one each")
    if missing := int(pd.Series(patients).isna().sum()):
        raise ValueError(f"{missing} of {images} images have no patient: give one each")
    return array


def weights(weights: npt.ArrayLike) -> np.ndarray:
    """Weights as float (n,), finite, 0 or more, and at least one above 0.

    Example:
        >>> weights([1, 0])
        array([1., 0.])
    """
    array = np.asarray(weights, dtype=float).ravel()
    if wrong := array[~(np.isfinite(array) & (array >= 0))].tolist():
        raise ValueError(
            f"weights must be finite and 0 or more; {len(wrong)} are not. Received: {wrong[:5]}"
        )
    if not array.any():
        raise ValueError(f"none of {len(array)} weights is above 0: give one that is")
    return array


def splits(predictions: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The rows of each split by its name, with validation and test among them.

    Example:
        >>> list(splits(pd.DataFrame({"split": ["test", "validation"]})))
        ['test', 'validation']
    """
    rows_of = {str(name): rows for name, rows in predictions.groupby("split")}
    for split in ("validation", "test"):
        if split not in rows_of:
            raise ValueError(f"no predictions of {split}: there are {sorted(rows_of)}")
    return rows_of
