"""Train a new head on a frozen base whose features are computed once for each image.

The frozen layers of a network (see `freeze`) give the same for an image in every epoch. Here that
is computed once and kept in the cache, and the head is trained on these features: each image takes
one pass of the frozen layers instead of one an epoch. The network is left as one ordinary Keras
model.
"""

import copy
import hashlib
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from xraylib import backend, cache, machine, progress
from xraylib.backend import keras
from xraylib.data import loading
from xraylib.networks import training
from xraylib.networks.precision import Computation, Precision, choose

# Part of every key: raise it when the same base and pixels would give other features.
_VERSION: Final = 2
# A head begins with one of these layers of `models`.
_HEADS: Final = ("average", "flatten")

_log = logging.getLogger(__name__)


def freeze(network: keras.Model) -> None:
    """Freezes a network up to its head: the layers behind the last feature maps stay trainable.

    Example:
        >>> from xraylib.networks import models
        >>> network = models.basic_cnn(22)
        >>> freeze(network)
        >>> [layer.name for layer in network.layers if layer.trainable_weights]
        ['dense1', 'logit']

    Args:
        network: Built by `models`. Batch normalization in its base then keeps its running means,
            for Keras runs frozen layers as in inference.

    Raises:
        ValueError: There is no layer `"average"` or `"flatten"`, with which a head begins.
    """
    heads = [number for number, layer in enumerate(network.layers) if layer.name in _HEADS]
    if not heads:
        raise ValueError(
            f'{network.name} has no layer "average" or "flatten", with which a head begins: set '
            "trainable = False of the layers to freeze"
        )
    for layer in network.layers[: heads[0]]:
        layer.trainable = False


def features(
    network: keras.Model, batches: loading.Batches, *, precision: Precision = "auto"
) -> np.ndarray:
    """The output of a network's frozen layers for images, computed once or read from the cache.

    The frozen layers are all those before the first one, from the input on, that is trainable or
    random, as dropout is. Features are computed anew where the layers, their weights or precision,
    the version of Keras or its backend, or a single pixel differ.

    Args:
        network: Functional; takes grey pixels as `batches` gives them.
        batches: The images, in any order. Where they are augmented, each is taken once, as it is
            in epoch 1.
        precision: Of the frozen layers, whose policies are set; see `precision.choose`.

    Returns:
        float32 (images, ...), row for row as `batches.rows`; a read-only memory map.

    Raises:
        ValueError: No layer before the first trainable one is frozen, no layer is trainable, or
            the layers behind need more than one tensor of the frozen ones.
        OSError: Neither the cache nor a temporary folder can be written.
    """
    base, _ = _parts(network)
    _set_precision(base, precision)
    return _computed(base, batches)[0]


def fit(
    network: keras.Model,
    train: loading.Batches,
    validation: loading.Batches,
    *,
    epochs: int,
    learning_rate: float,
    folder: Path | str,
    precision: Precision = "auto",
    patience: int = 10,
) -> pd.DataFrame:
    """Trains a network's head by `training.fit` on the features of its frozen layers.

    Without augmentation it reaches the weights that `training.fit` would reach with the whole
    network, up to rounding. It resumes after a kill as `training.fit` does, once the features are
    complete. `network` is left whole, with the weights of the best epoch.

    The arguments are those of `features` and of `training.fit`, but where `train` is augmented,
    every epoch sees an image as it is in epoch 1, and the checkpoint goes to a subfolder of
    `folder` for these features.

    Returns:
        The history as `training.fit` returns it. Its seconds are without the features.

    Raises:
        ValueError: An argument is one that `features` or `training.fit` refuses.
        FloatingPointError: The loss is no longer finite.
        OSError: The features or the checkpoint cannot be written.
    """
    base, head = _parts(network)
    computation = _set_precision(base, precision)
    train_features, train_key = _computed(base, train)
    validation_features, validation_key = _computed(base, validation)
    history = training.fit(
        head,
        _served(train_features, train),
        _served(validation_features, validation),
        epochs=epochs,
        learning_rate=learning_rate,
        folder=Path(folder) / f"{train_key}-{validation_key}",
        precision=precision,
        patience=patience,
    )
    # Compiled like the head, whose weights are all that is trained in either.
    network.compile(head.optimizer, "binary_crossentropy", jit_compile=computation.jit_compile)
    images = len(train.rows) + len(validation.rows)
    trained = int(history["epoch"].max())
    _log.info(
        f"{trained} epochs of {images:,} images took {images:,} passes of the frozen layers "
        f"instead of {trained * images:,}"
    )
    return history


def _served(features: np.ndarray, batches: loading.Batches) -> loading.Batches:
    """Features in the place of the pixels of other batches, in the same orders."""
    return loading.Batches(
        features,
        batches.labels,
        np.arange(len(features)),
        batch_size=batches.batch_size,
        shuffle=batches.shuffle,
        seed=batches.seed,
    )


def _parts(network: keras.Model) -> tuple[keras.Model, keras.Model]:
    """The frozen layers and those behind them, each as a model that shares the layers."""
    first = next((layer for layer in network.layers if _changes(layer)), None)
    if first is None or not network.trainable_weights:
        raise ValueError(f"no layer of {network.name} is trainable: leave its last ones trainable")
    between = first.input
    base = keras.Model(network.input, between, name="base")
    if not base.weights:
        raise ValueError(
            f"{network.name} has no frozen weights before {first.name!r}, its first layer that is "
            "trainable or random: call transfer.freeze first, or use training.fit"
        )
    try:
        # Keras refuses where a path leads past these features.
        head = keras.Model(between, network.output, name=f"{network.name}_head")
    except ValueError:
        raise ValueError(
            f"{network.name} does not fall into two parts at {first.name!r}, its first layer that "
            "is trainable or random: freeze all layers up to one that everything passes through"
        ) from None
    return base, head


def _changes(layer: keras.Layer) -> bool:
    """Whether a layer may give something else for the same input in another epoch."""
    # Variables beyond the weights are the state of a random generator.
    return bool(layer.trainable_weights) or len(layer.variables) > len(layer.weights)


def _set_precision(base: keras.Model, precision: Precision) -> Computation:
    backend.pin()
    computation, reason = choose(base, precision)
    _log.info(f"computing the frozen layers in {computation}: {reason}")
    computation.apply(base)
    base.compile(jit_compile=computation.jit_compile)
    return computation


def _computed(base: keras.Model, batches: loading.Batches) -> tuple[np.ndarray, str]:
    """The features, and their key in the cache."""
    ordered = copy.copy(batches)
    ordered.shuffle = False
    ordered.start_epoch(1)
    key = _key(base, ordered)
    shape = (len(batches.rows), *base.output_shape[1:])

    def make(folder: Path) -> None:
        with (folder / "features.npy").open("wb") as file:
            np.lib.format.write_array_header_1_0(
                file, {"descr": "<f4", "fortran_order": False, "shape": shape}
            )
            for pixels in _pixels(ordered, description=f"{len(base.layers)} frozen layers"):
                # The last batch is filled up, for another size would be compiled once more.
                full = np.resize(pixels, (ordered.batch_size, *pixels.shape[1:]))
                values = base.predict_on_batch(full)[: len(pixels)]
                # A plain write reports a full disk; a memory map would be killed by it.
                file.write(np.ascontiguousarray(values, "<f4").tobytes())

    def read(folder: Path) -> np.ndarray:
        array = cache.array(folder / "features.npy")
        if array.dtype != np.float32 or array.shape != shape:
            raise ValueError(f"{array.dtype} {array.shape} instead of float32 {shape}")
        return array

    what = f"{shape[0]:,} images, features {shape[1:]}"
    size = 4 * int(np.prod(shape))
    return cache.load_or_make("features", key, what=what, size=size, make=make, read=read), key


def _key(base: keras.Model, ordered: loading.Batches) -> str:
    versions = machine.versions()
    settings = {
        "version": _VERSION,
        "keras": versions["keras"],
        keras.backend.backend(): versions[keras.backend.backend()],
        "layers": base.get_config(),
    }
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True, default=repr).encode())
    for variable in base.variables:
        digest.update(np.ascontiguousarray(keras.ops.convert_to_numpy(variable)).data)
    # The pixels themselves, for how they are made may change with a version.
    for pixels in _pixels(ordered, description="checking"):
        digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()[:16]


def _pixels(batches: loading.Batches, *, description: str) -> Iterator[np.ndarray]:
    for number in progress.bar(range(len(batches)), total=len(batches), description=description):
        yield batches[number][0]
