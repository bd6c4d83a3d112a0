"""Check whether heat maps show what a network looked at, and not what one expects to see.

A heat map looks convincing whether it is right or not. Each check here gives numbers for every
image, and the same for maps that know nothing of the network; `means` puts intervals on them.
"""

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
import pandas as pd
from scipy import ndimage, stats

from xraylib import progress
from xraylib.backend import keras
from xraylib.evaluation import intervals
from xraylib.explain import gradcam, occlusion
from xraylib.networks import feature_maps

RANDOM: Final = "random map"
ANOTHER: Final = "another image"

# Rows and columns of a random map before it is enlarged: as coarse as maps of a network's end.
_COARSE: Final = 6
# The window and the constants of Wang et al. 2004, for values in [0, 1].
_WINDOW, _C1, _C2 = 7, 0.01**2, 0.03**2


def random_maps(count: int, size: int, *, seed: int = 0) -> np.ndarray:
    """Make smooth maps of random values, float32 (count, size, size) in [0, 1].

    Example:
        >>> random_maps(2, 64).shape
        (2, 64, 64)
    """
    noise = np.random.default_rng(seed).random((count, _COARSE, _COARSE))
    return gradcam.enlarged(noise, size)


def references(
    maps: np.ndarray, lesions: np.ndarray, pixels: np.ndarray, *, seed: int = 0
) -> dict[str, np.ndarray]:
    """Make maps without a look at the network, or at the image, which a heat map must beat.

    Args:
        maps: Heat maps, (n, size, size), of two images or more.
        lesions: True masks of the same images, bool (n, size, size).
        pixels: The images, grey uint8 in [0, 255], (n, size, size, 1).
        seed: Random seed of the random maps.

    Returns:
        By name, float (n, size, size) in [0, 1] each: coarse random values; a Gaussian at the
        centre of the image; the grey values of the image itself; and the mean of the maps, and of
        the lesions, of all other images.
    """
    count, size, _ = maps.shape
    bell = np.exp(-(np.linspace(-2, 2, size) ** 2) / 2)

    def of_others(values: np.ndarray) -> np.ndarray:
        return (values.sum(0) - values) / (count - 1)

    return {
        RANDOM: random_maps(count, size, seed=seed),
        "centre of the image": np.tile(np.outer(bell, bell), (count, 1, 1)),
        "grey values": pixels[..., 0] / 255,
        "mean of the other maps": of_others(maps.astype(float)),
        "mean of the other lesions": of_others(lesions.astype(float)),
    }


def localization(maps: Mapping[str, np.ndarray], lesions: np.ndarray) -> pd.DataFrame:
    """Check whether maps point into the true lesion.

    Args:
        maps: By name, (n, size, size) each in [0, 1].
        lesions: True masks, bool (n, size, size); every image has a lesion.

    Returns:
        One row for each map, image and measure: map, image, measure, value in [0, 1]. `"pointing"`
        is 1 where the highest value lies in the lesion (Zhang et al., "Top-down Neural Attention by
        Excitation Backprop", ECCV 2016), of several equal ones their share; `"energy"` is the share
        of the map's sum that lies there (Wang et al., "Score-CAM", CVPR workshops 2020). Both are 0
        for an empty map, of which `"empty"` is 1.

    Raises:
        ValueError: A mask is empty, or a map has another shape.
    """
    if not lesions.any((1, 2)).all():
        raise ValueError("an image has no lesion to point into: leave out those without")
    rows = []
    for name, each in maps.items():
        if each.shape != lesions.shape:
            raise ValueError(f"{name} has the shape {each.shape}, the lesions {lesions.shape}")
        total = each.sum((1, 2))
        full = total > 0
        highest = (each == each.max((1, 2), keepdims=True)) & full[:, np.newaxis, np.newaxis]
        measures = {
            "pointing": (highest & lesions).sum((1, 2)) / np.maximum(highest.sum((1, 2)), 1),
            "energy": (each * lesions).sum((1, 2)) / np.where(full, total, 1),
            "empty": ~full,
        }
        rows += [_rows(name, measure, values) for measure, values in measures.items()]
    return pd.concat(rows, ignore_index=True)


def curves(
    score: occlusion.Score,
    pixels: np.ndarray,
    maps: Mapping[str, np.ndarray],
    *,
    fill: occlusion.Fill = "black",
    steps: int = 10,
    seed: int = 0,
) -> pd.DataFrame:
    """Delete, and insert, the pixels of each image in the order of a map, and watch the score.

    Petsiuk et al., "RISE", BMVC 2018. A good map makes the score fall fast when its highest pixels
    are deleted, and rise fast when they are inserted.

    Args:
        score: Takes uint8 (n, size, size, 1), returns log-odds, (n,); see `gradcam.log_odds`.
        pixels: Grey uint8 in [0, 255], (n, size, size, 1).
        maps: By name, (n, size, size) each. Equal values are put in a random order of places that
            are near each other, for single pixels at random would be noise of another kind.
        fill: What takes the place of a deleted pixel, see `occlusion.covering`.
        steps: In how many equal portions the pixels go, 1 or more.
        seed: Random seed of that order.

    Returns:
        map, image, measure (`"deletion"` or `"insertion"`), share of the pixels that were deleted
        or inserted, in [0, 1], and value, the log-odds.
    """
    count, size, *_ = pixels.shape
    random = random_maps(count, size, seed=seed)
    covers = occlusion.covering(pixels, fill)
    shares = np.linspace(0, 1, steps + 1)
    rows = []
    tasks = [(name, image) for name in maps for image in range(count)]
    for name, image in progress.bar(tasks, total=len(tasks), description="deleting, inserting"):
        order = np.lexsort([-random[image].ravel(), -maps[name][image].ravel()])
        place = np.empty(size * size)
        place[order] = np.arange(size * size) / (size * size)
        first = place.reshape(size, size, 1) < shares[:, np.newaxis, np.newaxis, np.newaxis]
        pair = (pixels[image], covers[image])
        for measure, (new, old) in {"deletion": pair[::-1], "insertion": pair}.items():
            values = score(np.where(first, new, old))
            about = {"map": name, "image": image, "measure": measure}
            rows.append(pd.DataFrame({"share": shares, "value": values}).assign(**about))
    return pd.concat(rows, ignore_index=True)[["map", "image", "measure", "share", "value"]]


def areas(curves: pd.DataFrame) -> pd.DataFrame:
    """Compute the area under each curve, less that of the random map for the same image.

    A good map has less of `"deletion"`, below 0, and more of `"insertion"`.

    Args:
        curves: What `curves` returns, with a map called `RANDOM`.

    Returns:
        map, image, measure, value: mean log-odds over the shares. The random map is left out.
    """
    table = curves.pivot(index=["measure", "image", "map"], columns="share", values="value")
    area = pd.Series(np.trapezoid(table, table.columns, axis=1), table.index).unstack("map")
    more = area.drop(columns=RANDOM).sub(area[RANDOM], axis=0)
    return more.stack().rename("value").reset_index()[["map", "image", "measure", "value"]]


def randomization(
    network: keras.Model, draw: Callable[[], np.ndarray], *, seed: int = 0
) -> pd.DataFrame:
    """Shuffle a network's weights layer by layer, from its output on, and compare the maps.

    Adebayo et al., "Sanity Checks for Saliency Maps", NeurIPS 2018 (cascading randomization). A map
    that stays as it was does not show what the network has learned, but what the image looks like.

    Args:
        network: Its weights are shuffled, each tensor within itself, kernels about a mean of 0,
            and then restored.
        draw: Draws heat maps of the same images with the network as it is at that time, (n, size,
            size) in [0, 1].
        seed: Random seed of the shuffling.

    Returns:
        map, image, measure, value. `map` names the layer down to which all are shuffled, and
        `ANOTHER` is the map of the next image by the trained network, for comparison. Measures of
        likeness to the image's own map: `"rank correlation"` (Spearman's; NaN of an empty map) and
        `"SSIM"` (Wang et al., IEEE Transactions on Image Processing 2004).
    """
    rng = np.random.default_rng(seed)
    stored = network.get_weights()
    own = draw()
    others = {ANOTHER: np.roll(own, 1, axis=0)}
    paths = [path for path in feature_maps.walk(network) if path[-1].weights]
    try:
        for path in progress.bar(paths[::-1], total=len(paths), description="shuffling weights"):
            layer = path[-1]
            layer.set_weights([_shuffled(each, rng) for each in layer.get_weights()])
            others["/".join(each.name for each in path)] = draw()
    finally:
        network.set_weights(stored)
    rows = []
    for name, maps in others.items():
        pairs = list(zip(own, maps, strict=True))
        rows.append(_rows(name, "rank correlation", [_correlation(*pair) for pair in pairs]))
        rows.append(_rows(name, "SSIM", [similarity(*pair) for pair in pairs]))
    return pd.concat(rows, ignore_index=True)


def similarity(first: np.ndarray, second: np.ndarray) -> float:
    """Compute the structural similarity of two maps in [0, 1], (height, width): 1 for equal ones.

    Wang et al., "Image Quality Assessment: From Error Visibility to Structural Similarity", IEEE
    Transactions on Image Processing 2004, with a square window of 7 pixels.

    Example:
        >>> similarity(np.eye(9), np.eye(9))
        1.0
    """

    def local(values: np.ndarray) -> np.ndarray:
        return ndimage.uniform_filter(values, _WINDOW)

    first, second = first.astype(float), second.astype(float)
    mean, other = local(first), local(second)
    variance = local(first**2) - mean**2 + local(second**2) - other**2
    covariance = local(first * second) - mean * other
    luminance = (2 * mean * other + _C1) / (mean**2 + other**2 + _C1)
    return float(np.mean(luminance * (2 * covariance + _C2) / (variance + _C2)))


def means(
    rows: pd.DataFrame, patients: np.ndarray, *, resamples: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """Average each measure over the images, with intervals of 95 % over patients.

    Args:
        rows: The columns map, image, measure and value, as the checks return them. NaN counts as
            missing.
        patients: Of each image, (n,).
        resamples: Bootstrap resamples of patients.
        seed: Random seed of the bootstrap.

    Returns:
        map, measure, value, low, high, images: the number of images that have a value.
    """
    weights = intervals.patient_weights(patients, resamples, seed)
    table = rows.pivot(index=["map", "measure"], columns="image", values="value")
    values = table.reindex(columns=range(len(patients))).to_numpy(float)
    known = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        resampled = (weights @ np.where(known, values, 0).T) / (weights @ known.T)
        value = np.where(known, values, 0).sum(1) / known.sum(1)
    low, high = intervals.percentiles(resampled)
    numbers = pd.DataFrame(
        {"value": value, "low": low, "high": high, "images": known.sum(1)}, table.index
    )
    order = rows[["map", "measure"]].drop_duplicates()
    return order.merge(numbers.reset_index(), on=["map", "measure"])


def _shuffled(weights: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    shuffled = rng.permutation(weights.ravel()).reshape(weights.shape)
    # Trained kernels have a mean below 0: shuffled as they are, all units behind them would be
    # silent, and every map empty, which looks like a large change.
    return shuffled - shuffled.mean() if weights.ndim > 1 else shuffled


def _rows(name: str, measure: str, values: object) -> pd.DataFrame:
    column = np.asarray(values, float)
    about = {"map": name, "image": np.arange(len(column)), "measure": measure}
    return pd.DataFrame(about | {"value": column})


def _correlation(first: np.ndarray, second: np.ndarray) -> float:
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return np.nan
    return float(stats.spearmanr(first, second, axis=None).statistic)
