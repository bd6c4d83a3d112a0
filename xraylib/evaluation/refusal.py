"""Refuse to decide: where an image is unlike those trained on, or its score near the threshold.

Each *detector* gives an image one number, the larger the stranger. Of the features of a network at
one depth there are two: the distance from the mean in units of the training images' own spread
(Mahalanobis; Lee et al., NeurIPS 2018) and the distance to the fifth nearest of some training
images (Sun et al., "Out-of-Distribution Detection with Deep Nearest Neighbors", ICML 2022). Others
can be given. The *strangeness* of an image is the highest rank that any detector's number has among
those of validation, so that detectors of any unit can be compared, and the one knob is the share of
validation that is refused.

Fitting needs scikit-learn, applying only NumPy: who asks a network once does not wait for more.
"""

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

# Of the distribution of each detector on validation, which is all that is kept of it.
_LEVELS: Final = 401
_NEIGHBOUR: Final = 5
# Directions in which training images differ; the rest of a feature is one number, its length.
_MOST_DIRECTIONS: Final = 64
_MOST_REFERENCES: Final = 512

Features = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Region:
    """Where the features of the training images lie at one depth.

    Attributes:
        mean: Their mean, (d,).
        directions: Their principal directions, (k, d).
        spread: Their standard deviation along each, (k,).
        rest: The root mean square of what is left of them beside the directions.
        references: Some of them along the directions, of length 1, (m, k).
    """

    mean: np.ndarray
    directions: np.ndarray
    spread: np.ndarray
    rest: np.ndarray
    references: np.ndarray

    def distances(self, features: np.ndarray) -> dict[str, np.ndarray]:
        """Both distances of features (n, d), each (n,)."""
        centred = features - self.mean
        along = centred @ self.directions.T
        beside = np.maximum((centred**2).sum(axis=1) - (along**2).sum(axis=1), 0)
        standardised = np.sum((along / self.spread) ** 2, axis=1) + beside / self.rest**2
        # Of vectors of length 1, the squared distance is 2 - 2 cos.
        squared = np.sort(2 - 2 * _unit(along) @ self.references.T, axis=1)
        nearest = squared[:, min(_NEIGHBOUR, squared.shape[1]) - 1]
        return {
            "mahalanobis": np.sqrt(standardised),
            "neighbours": np.sqrt(np.maximum(nearest, 0)),
        }


@dataclass(frozen=True)
class Refusal:
    """Detectors with their numbers on validation.

    Attributes:
        regions: By the name of the depth.
        levels: Quantiles of each detector's numbers on validation, ascending, by its name.
        strangeness: Quantiles of the strangeness of validation, ascending.
    """

    regions: Mapping[str, Region]
    levels: Mapping[str, np.ndarray]
    strangeness: np.ndarray

    def ranks(self, features: Features, others: Features) -> dict[str, np.ndarray]:
        """Rank the numbers of images among those of validation, per detector.

        Args:
            features: Of the network, (n, d), by the name of the depth, as they were fitted.
            others: The numbers of the other detectors, (n,), by name, as they were fitted.

        Returns:
            The share of validation, in [0, 1], with a smaller number, (n,), by detector.
        """
        numbers = _numbers(self.regions, features, others)
        return {
            name: np.interp(number, self.levels[name], np.linspace(0, 1, len(self.levels[name])))
            for name, number in numbers.items()
        }

    def limit(self, share: float) -> float:
        """The strangeness above which a share of validation, in [0, 1), is refused.

        Raises:
            ValueError: `share` is out of its range.
        """
        if not 0 <= share < 1:
            raise ValueError(f"the share to refer must be in [0, 1). Received: {share}")
        grid = np.linspace(0, 1, len(self.strangeness))
        return float(np.interp(1 - share, grid, self.strangeness)) if share else np.inf

    def strangest(self, ranks: Features) -> tuple[np.ndarray, np.ndarray]:
        """The strangeness of each image, (n,), and the name of the detector that gave it, (n,)."""
        names = np.array(list(ranks))
        table = np.stack([ranks[name] for name in names])
        return table.max(axis=0), names[table.argmax(axis=0)]

    def save(self, path: Path | str) -> None:
        """Write everything into one `.npz`, the same bytes for the same arrays."""
        arrays = {
            f"region/{depth}/{name}": each
            for depth, region in self.regions.items()
            for name, each in vars(region).items()
        }
        arrays |= {f"level/{name}": each for name, each in self.levels.items()}
        with open(path, "wb") as file:
            np.savez_compressed(file, strangeness=self.strangeness, **arrays)


def load(content: bytes) -> Refusal:
    """Read what `Refusal.save` wrote, from the bytes of the file.

    Raises:
        ValueError: It is something else.
    """
    regions: dict[str, dict[str, np.ndarray]] = {}
    levels: dict[str, np.ndarray] = {}
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as stored:
            for key in stored.files:
                kind, _, name = key.partition("/")
                if kind == "region":
                    depth, _, field = name.partition("/")
                    regions.setdefault(depth, {})[field] = stored[key]
                elif kind == "level":
                    levels[name] = stored[key]
            made = {depth: Region(**fields) for depth, fields in regions.items()}
            return Refusal(made, levels, stored["strangeness"])
    except (OSError, KeyError, TypeError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"these bytes hold no detectors ({error})") from None


def fit(
    train: Features, validation: Features, *, others: Features | None = None, seed: int = 0
) -> Refusal:
    """Fit detectors on training images, and their ranks on validation.

    Args:
        train: Features of a network, (n, d), by the name of the depth; 3 images or more.
        validation: The same of images of other patients, (m, d).
        others: The numbers of other detectors on validation, (m,), by name, such as how near a
            score lies to the threshold; the larger the stranger.
        seed: Random seed of the training images that are kept as references.

    Returns:
        The detectors, with names like `"late mahalanobis"`, `"late neighbours"`, and those of
        `others`.
    """
    regions = {depth: _region(features, seed) for depth, features in train.items()}
    grid = np.linspace(0, 1, _LEVELS)
    numbers = _numbers(regions, validation, others or {})
    levels = {name: np.quantile(number, grid) for name, number in numbers.items()}
    partly = Refusal(regions, levels, grid)
    strangeness, _ = partly.strangest(partly.ranks(validation, others or {}))
    return Refusal(regions, levels, np.quantile(strangeness, grid))


def nearness(logits: np.ndarray, threshold: float) -> np.ndarray:
    """How near logits, (n,), lie to a threshold, a probability: 0 at it, less farther away.

    Example:
        >>> nearness(np.array([-2.0, 0, 1]), 0.5).tolist()
        [-2.0, -0.0, -1.0]
    """
    return np.asarray(-np.abs(logits - np.log(threshold / (1 - threshold))))


def _region(features: np.ndarray, seed: int) -> Region:
    from sklearn.decomposition import PCA

    most = min(_MOST_DIRECTIONS, features.shape[1], len(features) - 1)
    pca = PCA(n_components=most, svd_solver="full").fit(features)
    used = pca.explained_variance_ > 1e-12
    along = pca.transform(features)[:, used]
    left = ((features - pca.mean_) ** 2).sum(axis=1) - (along**2).sum(axis=1)
    # Where the directions say all, what lies beside them is as strange as one can be, not infinite.
    rest = np.sqrt(max(left.mean(), 1e-6 * float(pca.explained_variance_.sum()), 1e-12))
    chosen = np.random.default_rng(seed).permutation(len(along))[:_MOST_REFERENCES]
    return Region(
        mean=pca.mean_.astype(np.float32),
        directions=pca.components_[used].astype(np.float32),
        spread=np.sqrt(pca.explained_variance_[used]).astype(np.float32),
        rest=np.array(rest, np.float32),
        references=_unit(along[np.sort(chosen)]).astype(np.float32),
    )


def _numbers(
    regions: Mapping[str, Region], features: Features, others: Features
) -> dict[str, np.ndarray]:
    distances = {
        f"{depth} {kind}": numbers
        for depth, region in regions.items()
        for kind, numbers in region.distances(np.asarray(features[depth], np.float64)).items()
    }
    return distances | {name: np.asarray(numbers, float) for name, numbers in others.items()}


def _unit(vectors: np.ndarray) -> np.ndarray:
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12))
