"""What metrics take, checked: labels, scores, patients, weights, a prevalence, the splits."""

import numpy as np
import pandas as pd


def weights(weights: np.ndarray) -> np.ndarray:
    """Weights as float (n,), each finite and 0 or more and one above 0; else a `ValueError`."""
    weights = np.asarray(weights, dtype=float).ravel()
    if wrong := weights[~(np.isfinite(weights) & (weights >= 0))].tolist():
        raise ValueError(
            f"weights must be finite and 0 or more; {len(wrong)} are not. Received: {wrong[:5]}"
        )
    if not weights.any():
        raise ValueError(f"none of {len(weights)} weights is above 0: give one that is")
    return weights


def labels_and_scores(labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Labels 0 or 1 as int (n,) and scores in [0, 1] as float (n,); else a `ValueError`."""
    labels, scores = np.asarray(labels).ravel(), np.asarray(scores, dtype=float).ravel()
    if not len(labels) or len(labels) != len(scores):
        raise ValueError(f"{len(labels)} labels and {len(scores)} scores: give one or more of each")
    if not np.isin(labels, (0, 1)).all():
        raise ValueError(f"labels must be 0 or 1. Received: {np.unique(labels)[:5].tolist()}")
    if not (np.isfinite(scores).all() and scores.min() >= 0 and scores.max() <= 1):
        wrong = scores[~((scores >= 0) & (scores <= 1))]
        raise ValueError(
            f"scores must be in [0, 1]; {len(wrong)} are not. Received: {wrong[:5].tolist()}"
        )
    return labels.astype(int), scores


def patients(patients: np.ndarray | None, images: int) -> np.ndarray:
    """One patient an image, (images,), each image its own where None; else a `ValueError`."""
    if patients is None:
        return np.arange(images)
    if len(patients) != images:
        raise ValueError(f"{len(patients)} patients for {images} labels: give one each")
    if missing := int(pd.Series(patients).isna().sum()):
        raise ValueError(f"{missing} of {images} images have no patient: give one each")
    return np.asarray(patients)


def prevalence(prevalence: float) -> float:
    """A prevalence above 0 and below 1; else a `ValueError`."""
    if not 0 < prevalence < 1:
        raise ValueError(f"prevalence must be between 0 and 1. Received: {prevalence}")
    return prevalence


def splits(predictions: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The rows of each split; a `ValueError` where validation or test is missing."""
    splits = {str(name): rows for name, rows in predictions.groupby("split")}
    for split in ("validation", "test"):
        if split not in splits:
            raise ValueError(f"no predictions of {split}: there are {sorted(splits)}")
    return splits
