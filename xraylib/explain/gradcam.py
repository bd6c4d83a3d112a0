"""Draw as a heat map where in a radiograph a network finds evidence for a class.

Every method weighs the feature maps of one layer and adds them up. `heatmap` takes the weights from
gradients of the log-odds of the class, not of its probability, whose gradient vanishes where the
network is sure; `class_activation` takes them from the last layer and needs no gradients.

A heat map says where the evidence is, not what it is, and may be wrong: `faithfulness` has the
checks that it must pass. They chose `"hirescam"` as the default. For `basic_cnn` and 135 made
radiographs with a lesion (assets/results/heatmaps.csv), the highest value of the map of its last
layer was in the lesion in 90 %, of `"layercam"` in 93 %, but of `"gradcam"` and `"gradcam++"` in
15 %, hardly more than of a random map (8 %): behind maps that are flattened, each place has weights
of its own, and their mean says nothing. Where all other lesions are, on average, is right in 72 %:
that a map points into a lesion says less than it seems. With all weights shuffled, no map of this
method stays as it was, but those of `"gradcam++"` at early layers do. Maps of the first pooling did
better still (96 %); deeper networks have not been checked, so the default is the last layer, where
a network that ends with a mean has its class activation map.

Keras is imported where it is needed, so that `class_activation` can be used without it.
"""

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

import numpy as np

from xraylib import progress

if TYPE_CHECKING:
    from xraylib.backend import keras

Method = Literal["gradcam", "gradcam++", "hirescam", "layercam"]

# Evidence below this share of the strongest one is the rounding of float32.
_ROUNDING: Final = 1e-5

_log = logging.getLogger(__name__)


def heatmap(
    network: "keras.Model",
    pixels: np.ndarray,
    *,
    layer: str = "",
    method: Method = "hirescam",
    target: int | Sequence[int] | None = None,
    batch_size: int = 16,
) -> np.ndarray:
    """Draw heat maps from the gradients of a class's log-odds with respect to a layer's maps.

    With A the feature maps and G the gradients, (height, width, maps) each, a place's evidence is

    - `"gradcam"`: the sum of A, each map weighted by the mean of its G (Selvaraju et al.,
      "Grad-CAM", ICCV 2017);
    - `"gradcam++"`: the same with a mean in which places of positive G count alike, so that
      several small places count as much as a large one (Chattopadhay et al., "Grad-CAM++", WACV
      2018);
    - `"hirescam"`: the sum of A G, what the layer's values at this place contribute; exact where
      only one linear layer follows (Draelos and Carin, arXiv:2011.08891, 2020);
    - `"layercam"`: the sum of A times the positive part of G (Jiang et al., "LayerCAM", IEEE
      Transactions on Image Processing 2021).

    Args:
        network: As `models` builds them, saved and loaded or not, in any precision; models inside
            it are looked into. Needs TensorFlow or JAX as Keras' backend.
        pixels: Grey uint8 in [0, 255], (n, size, size) or (n, size, size, 1), prepared as the
            network expects it.
        layer: One of `layers(network)`; `""` for the last one.
        method: See above; by default the one that did best in the checks, see below.
        target: The class to explain, or several that count as one; 0 or 1 for a network of one
            output, which by default explains 1, PNEUMONIA.
        batch_size: Images at a time.

    Returns:
        Heat maps, float32 (n, size, size) in [0, 1]. 1 is the strongest evidence in the image, for
        or against the class; evidence against it is 0. So a map is dim where the image speaks
        against the class, and empty where nothing speaks for it; how many are empty is logged.
        Each value of the layer is drawn at the middle of what it sees.

    Raises:
        ValueError: An argument is wrong, or the network has several outputs and no `target`.
        NotImplementedError: Keras' backend has no gradients.
    """
    from xraylib.networks import feature_maps, models

    if method not in get_args(Method):
        known = ", ".join(get_args(Method))
        raise ValueError(f"method must be one of {known}. Received: {method!r}")
    path = _chosen(network, layer)
    pixels = checked(network, pixels)
    logits = models.logits(network)
    targets = _targets(logits, target)
    size = pixels.shape[1]
    rows, columns = (feature_maps.centres(path, axis) for axis in (0, 1))
    maps = np.empty(pixels.shape[:3], np.float32)
    starts = range(0, len(pixels), batch_size)
    for start in progress.bar(starts, total=len(starts), description="drawing heat maps"):
        batch = slice(start, start + batch_size)
        total = partial(_total, logits, pixels[batch], targets)
        features, gradients = feature_maps.differentiated(total, path[-1])
        evidence, against = (_METHODS[method](features, sign * gradients) for sign in (1, -1))
        maps[batch] = enlarged(scaled(evidence, against), size, rows, columns)
    _report_empty(maps)
    return maps


def layers(network: "keras.Model") -> list[str]:
    """List the layers whose maps a heat map can be drawn from, from input to output.

    These are all with more than one place, from the first convolution on. A layer of a model inside
    the network has that model's name before its own, `"vgg19/block5_conv4"`.

    Example:
        >>> from xraylib.networks import models
        >>> layers(models.basic_cnn(64))
        ['conv1', 'pool1', 'conv2', 'pool2', 'conv3', 'pool3']
    """
    from xraylib.networks import feature_maps

    return list(feature_maps.paths(network))


def log_odds(
    network: "keras.Model", *, target: int | Sequence[int] | None = None, batch_size: int = 64
) -> Callable[[np.ndarray], np.ndarray]:
    """Make a function that gives the log-odds of a class, which is what `heatmap` explains.

    For a network of one output, that is its logit; for one of several, the logarithm of the
    probability of the target divided by that of all other classes.

    Returns:
        A function of pixels, as `heatmap` takes them, that returns float64 (n,).

    Raises:
        ValueError: `target` is wrong, or missing for a network of several outputs.
    """
    from xraylib.backend import keras
    from xraylib.networks import models

    logits = models.logits(network)
    targets = _targets(logits, target)

    def scored(pixels: np.ndarray) -> np.ndarray:
        pixels = checked(network, pixels)
        starts = range(0, len(pixels), batch_size)
        batches = (pixels[start : start + batch_size] for start in starts)
        parts = [_log_odds(logits.predict_on_batch(each), targets) for each in batches]
        return np.concatenate([np.empty(0), *map(keras.ops.convert_to_numpy, parts)])

    return scored


def class_activation(
    features: np.ndarray, weights: np.ndarray, *, image_size: int = 0
) -> np.ndarray:
    """Draw class activation maps, for a network that ends with a mean over places and one layer.

    Zhou et al., "Learning Deep Features for Discriminative Localization", CVPR 2016. The logit is
    the mean of these maps before they are scaled, plus the bias: nothing is approximated.

    Args:
        features: The last feature maps, (n, height, width, maps).
        weights: Of the class's logit, (maps,) or (maps, 1): the kernel of the last layer.
        image_size: Height and width of the maps to return; 0 for one value for each place.

    Returns:
        float32 (n, size, size), or (n, height, width), in [0, 1], scaled as those of `heatmap`.

    Raises:
        ValueError: The shapes do not fit.

    Example:
        >>> features = np.array([[[[1.0, 0.0], [0.0, 2.0], [3.0, 1.0]]]])
        >>> class_activation(features, np.array([1.0, -2.0])).round(2).tolist()
        [[[0.25, 0.0, 0.25]]]
    """
    features, weights = np.asarray(features), np.asarray(weights)
    if weights.shape[1:] == (1,):
        weights = weights[:, 0]
    if features.ndim != 4 or weights.shape != features.shape[3:]:
        raise ValueError(
            "class_activation needs features (n, height, width, maps) and weights (maps,). "
            f"Received: {features.shape} and {weights.shape}"
        )
    evidence = features.astype(np.float32) @ weights.astype(np.float32)
    maps = scaled(evidence, -evidence)
    return enlarged(maps, image_size) if image_size else maps


def scaled(evidence: np.ndarray, against: np.ndarray) -> np.ndarray:
    """Scale evidence to [0, 1], where 1 is the strongest in its image for or against the class.

    Args:
        evidence: For the class, (n, height, width); below 0 it counts as none.
        against: The same, against the class.

    Returns:
        float32 (n, height, width); exactly 0 where there is none, or no more than rounding gives.

    Example:
        >>> evidence = np.array([[[2.0, -4.0, 1.0]], [[-1.0, -2.0, 0.0]]])
        >>> scaled(evidence, -evidence).tolist()
        [[[0.5, 0.0, 0.25]], [[0.0, 0.0, 0.0]]]
    """
    strongest = np.maximum(evidence, against).max((1, 2), keepdims=True)
    share = evidence / np.where(strongest > 0, strongest, 1)
    return np.where(share > _ROUNDING, share, 0).astype(np.float32)


def enlarged(
    maps: np.ndarray,
    image_size: int,
    rows: np.ndarray | None = None,
    columns: np.ndarray | None = None,
) -> np.ndarray:
    """Interpolate coarse maps linearly between the places where their values belong.

    Args:
        maps: (n, height, width).
        image_size: Height and width of the result in pixels.
        rows: Where each row belongs, in pixels, (height,), rising; None for evenly spread. Beyond
            the outermost ones their values go on.
        columns: The same for columns, (width,).

    Returns:
        float32 (n, image_size, image_size).

    Example:
        >>> enlarged(np.array([[[0.0, 1.0], [0.0, 1.0]]]), 4)[0, 0].tolist()
        [0.0, 0.25, 0.75, 1.0]
    """
    pixels = np.arange(image_size)

    def weights(count: int, places: np.ndarray | None) -> np.ndarray:
        places = _even(count, image_size) if places is None else places
        return np.stack([np.interp(pixels, places, each) for each in np.eye(count)], axis=1)

    down, across = weights(maps.shape[1], rows), weights(maps.shape[2], columns)
    return (down @ maps @ across.T).astype(np.float32)


def checked(network: "keras.Model", pixels: np.ndarray) -> np.ndarray:
    """Return the pixels as (n, size, size, 1), or say why the network cannot take them."""
    pixels = np.asarray(pixels)
    square = pixels[..., np.newaxis] if pixels.ndim == 3 else pixels
    expected = network.input_shape
    fits = square.ndim == 4 and square.shape[1:] == expected[1:]
    if not fits or pixels.dtype != np.uint8:
        _, *sides = expected
        raise ValueError(
            f"pixels must be uint8 (n, {', '.join(map(str, sides))}), as {network.name} takes "
            f"them. Received: {pixels.dtype} {pixels.shape}"
        )
    return square


# ------------------------------------------------------------------ methods


def _gradcam(maps: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    return np.einsum("nhwc,nc->nhw", maps, gradients.mean((1, 2)))


def _gradcam_plus_plus(maps: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    # The paper's alpha for an exponential score, G^2 / (2 G^2 + sum(A) G^3), times G.
    positive = np.maximum(gradients, 0)
    amount = np.maximum(maps, 0).sum((1, 2), keepdims=True)
    weights = (positive > 0) * positive / (2 + amount * positive)
    return np.einsum("nhwc,nc->nhw", maps, weights.sum((1, 2)))


def _hirescam(maps: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    return np.einsum("nhwc,nhwc->nhw", maps, gradients)


def _layercam(maps: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    return np.einsum("nhwc,nhwc->nhw", maps, np.maximum(gradients, 0))


_METHODS: Final[dict[Method, Callable[[np.ndarray, np.ndarray], np.ndarray]]] = {
    "gradcam": _gradcam,
    "gradcam++": _gradcam_plus_plus,
    "hirescam": _hirescam,
    "layercam": _layercam,
}


def _even(count: int, image_size: int) -> np.ndarray:
    return (np.arange(count) + 0.5) * image_size / count - 0.5


def _report_empty(maps: np.ndarray) -> None:
    empty = int((~maps.any((1, 2))).sum())
    if empty:
        _log.warning(f"{empty} of {len(maps)} heat maps are empty: nothing speaks for the class")


# ------------------------------------------------------------------ networks


def _chosen(network: "keras.Model", name: str) -> list["keras.Layer"]:
    from xraylib.networks import feature_maps

    paths = feature_maps.paths(network)
    if not paths:
        raise ValueError(f"{network.name} has no layer with maps of more than one place")
    if name and name not in paths:
        known = ", ".join(paths)
        raise ValueError(f"{network.name} has no maps of a layer {name!r}: choose from {known}")
    return paths[name or list(paths)[-1]]


def _targets(logits: "keras.Model", target: int | Sequence[int] | None) -> list[int]:
    classes = max(2, logits.output_shape[-1])
    if target is None and classes > 2:
        raise ValueError(
            f"{logits.name} tells {classes} classes apart: name the one to explain, target=0 to "
            f"{classes - 1}"
        )
    targets = np.unique([1] if target is None else target).tolist()
    if not 0 < len(targets) < classes or not set(targets) <= set(range(classes)):
        raise ValueError(
            f"target must be one or some, not all, of the classes 0 to {classes - 1}. "
            f"Received: {target!r}"
        )
    return targets


def _total(logits: "keras.Model", pixels: np.ndarray, targets: list[int]) -> Any:
    from xraylib.backend import keras

    return keras.ops.sum(_log_odds(logits(pixels, training=False), targets))


def _log_odds(logits: Any, targets: list[int]) -> Any:
    """The log-odds of the targets, (n,), of a backend's logits, (n, outputs)."""
    from xraylib.backend import keras

    outputs = logits.shape[-1]
    if outputs == 1:
        return logits[:, 0] if targets == [1] else -logits[:, 0]
    others = [number for number in range(outputs) if number not in targets]
    some, rest = (
        keras.ops.logsumexp(keras.ops.take(logits, numbers, axis=1), axis=1)
        for numbers in (targets, others)
    )
    return some - rest
