"""Give each image the set of classes that cannot be ruled out, at a coverage fixed before.

Split-conformal prediction (Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World,
2005; Angelopoulos and Bates, "A Gentle Introduction to Conformal Prediction", 2021): whatever the
network, the set holds the true class of a new image with the chosen probability, on average, *as
long as the image is drawn as those of the calibration were*. It promises nothing for another
hospital, and the coverage on a shifted test shows how much is lost.
"""

import numpy as np
import numpy.typing as npt

from xraylib.evaluation import checks


def limits(
    labels: npt.ArrayLike, scores: npt.ArrayLike, *, coverage: float = 0.95, by_class: bool = True
) -> np.ndarray:
    """Find how strange a class may look before it is ruled out. Use images held out of training.

    Args:
        labels, scores: See `xraylib.evaluation`.
        coverage: The share of sets that shall hold the true class, in (0, 1).
        by_class: Whether each class gets the coverage, or only all images together, which may give
            most of the misses to the smaller class.

    Returns:
        The largest 1 - score that leaves class 0 and class 1 in the set, float64 (2,). With too
        few images of a class for the coverage, its limit is 1: it is never ruled out.

    Raises:
        ValueError: A class is missing, or `coverage` is out of its range.

    Example:
        >>> limits([0, 0, 0, 1, 1, 1], [0.1, 0.2, 0.6, 0.5, 0.8, 0.9], coverage=0.7).tolist()
        [0.6, 0.5]
    """
    checks.fraction(coverage, "coverage")
    labels, scores = checks.labels_and_scores(labels, scores, both_for="a conformal set")
    strange = np.where(labels == 1, 1 - scores, scores)
    if not by_class:
        return np.repeat(_quantile(strange, coverage), 2)
    return np.array([_quantile(strange[labels == label], coverage) for label in (0, 1)])


def sets(scores: npt.ArrayLike, limits: npt.ArrayLike) -> np.ndarray:
    """Tell which classes are in the set of each image.

    Args:
        scores: Of class 1, in [0, 1], (n,).
        limits: As `limits` gives them, (2,).

    Returns:
        bool (n, 2): whether class 0 and class 1 cannot be ruled out. An image with both is one to
        refer; one with none is unlike either class.

    Example:
        >>> sets([0.1, 0.55, 0.95], [0.6, 0.5]).tolist()
        [[True, False], [True, True], [False, True]]
    """
    scores = checks.in_unit_interval(scores, "scores")
    strange = np.stack([scores, 1 - scores], axis=1)
    return np.asarray(strange <= np.asarray(limits, float) + 1e-12)


def coverage(labels: npt.ArrayLike, sets: npt.ArrayLike) -> float:
    """Measure the share of sets, bool (n, 2), that hold the true class.

    Example:
        >>> coverage([0, 1], [[True, False], [True, False]])
        0.5
    """
    labels, sets = checks.binary(labels), np.asarray(sets, bool)
    if not len(labels) or sets.shape != (len(labels), 2):
        raise ValueError(f"{len(labels)} labels and sets of shape {sets.shape}: give one set each")
    return float(sets[np.arange(len(labels)), labels].mean())


def _quantile(strange: np.ndarray, coverage: float) -> float:
    """The smallest value that enough of n + 1 images do not exceed; 1 where n is too small."""
    wanted = int(np.ceil((len(strange) + 1) * coverage - 1e-9))
    return 1.0 if wanted > len(strange) else float(np.sort(strange)[wanted - 1])
