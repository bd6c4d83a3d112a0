"""A base that is not trained, run once over each image -> features -> a trained head.

In a network whose first layers are frozen (`models.freeze`), these give the same for an image in
every epoch. Here they are computed once and kept in the cache, and the layers behind them are
trained on what is kept: what took a pass of the whole network an image and epoch takes one of the
head. The network is left as one ordinary Keras model.
"""

import copy
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import keras
import numpy as np
import pandas as pd

from xraylib import cache, machine, progress
from xraylib.data import loading
from xraylib.networks import training
from xraylib.networks.precision import Computation, Precision, choose

# Part of every key: raise it when the same base and pixels would give other features.
_VERSION: Final = 1


def features(
    network: keras.Model,
    batches: loading.Batches,
    *,
    views: int = 1,
    precision: Precision = "auto",
) -> np.ndarray:
    """What the frozen layers of a network give for images, computed once or found in the cache.

    They are all layers before the first one, from the input on, that is trained or draws at
    random, as dropout does. What is kept belongs to these layers and their weights, to their
    precision, to the versions of Keras and its backend, and to the very pixels that go in: if one
    of these is another, it is computed again.

    Args:
        network: Functional; grey pixels in, as `batches` gives them.
        batches: The images; their order plays no part.
        views: How many times each image is taken, as augmented in the epochs 1 to `views` of
            `batches`.
        precision: Of the frozen layers; as for `precision.choose`. Their layers are left in it.

    Returns:
        float32 (views, images, ...), row for row as `batches.rows`; a read-only memory map.

    Raises:
        ValueError: No layer before the first trained one is frozen, no layer is trained, the
            layers behind need more than one tensor of the frozen ones, or `views` is below 1, or
            above where `batches` augments nothing.
        OSError: Neither the cache nor a temporary folder can be written.
    """
    base, _ = _parts(network)
    _set_up(base, batches, precision)
    return _computed(base, batches, views=views)[0]


def fit(
    network: keras.Model,
    train: loading.Batches,
    validation: loading.Batches,
    *,
    epochs: int,
    learning_rate: float,
    folder: Path | str,
    views: int = 1,
    precision: Precision = "auto",
    patience: int = 10,
) -> pd.DataFrame:
    """Trains the layers behind the frozen ones as `training.fit` does, with each image's features.

    Where nothing is augmented, and where `views` is as large as `epochs`, the weights are those
    that `training.fit` would reach, up to rounding. It is gone on with after a kill like
    `training.fit`, once the features are whole.

    Args:
        network: As for `features`, with one sigmoid output. It is left as one model of frozen and
            trained layers, with the weights of the best epoch.
        train: As for `training.fit`. Where it augments, epoch n takes its images as they are in
            epoch (n - 1) modulo `views` plus 1.
        validation: As for `training.fit`.
        epochs: As for `training.fit`.
        learning_rate: As for `training.fit`.
        folder: As for `training.fit`; the checkpoint is in a folder in it that belongs to these
            features.
        views: As for `features`, of `train`.
        precision: Of the frozen layers and of the others, each as for `precision.choose`.
        patience: As for `training.fit`.

    Returns:
        As `training.fit`. The seconds are those of the epochs, without the features.

    Raises:
        ValueError: As for `features` and `training.fit`.
        FloatingPointError: The loss is no longer finite.
        OSError: The features or the checkpoint cannot be written.
    """
    base, head = _parts(network)
    way = _set_up(base, train, precision)
    of_train, one = _computed(base, train, views=views)
    # Of images that are not augmented, whatever the views of those that are.
    of_validation, other = _computed(base, validation, views=1)
    history = training.fit(
        head,
        _FeatureBatches(of_train, train),
        _FeatureBatches(of_validation, validation),
        epochs=epochs,
        learning_rate=learning_rate,
        folder=Path(folder) / f"{one}-{other}",
        precision=precision,
        patience=patience,
    )
    # The whole, as the head was; the head's weights are all that is trained in either.
    network.compile(head.optimizer, "binary_crossentropy", jit_compile=way.jit_compile)
    images = len(train.rows) + len(validation.rows)
    once = views * len(train.rows) + len(validation.rows)
    trained = int(history["epoch"].max())
    print(
        f"{trained} epochs of {images:,} images took {once:,} passes of the frozen layers instead "
        f"of {trained * images:,}",
        flush=True,
    )
    return history


class _FeatureBatches(keras.utils.PyDataset):
    """Features in the place of the pixels of other batches, in the same orders.

    Args:
        features: float32 (views, images, ...), as `features` gives them.
        batches: Whose orders, labels and batch size they take.
    """

    def __init__(self, features: np.ndarray, batches: loading.Batches) -> None:
        super().__init__()
        self.features = features
        self.labels = batches.labels
        self.batches = copy.copy(batches)
        # By these `training.fit` tells another training; what augments is in the features' key.
        self.seed, self.shuffle = batches.seed, batches.shuffle
        self.batch_size = batches.batch_size
        self.start_epoch(0)

    def start_epoch(self, epoch: int) -> None:
        """Takes the order and the view of one epoch, counted from 1; of 0, nobody is trained."""
        self.batches.start_epoch(epoch)
        self.view = (epoch - 1) % len(self.features)

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, batch: int) -> tuple[np.ndarray, np.ndarray]:
        """Features float32 (n, ...) and labels float32 (n, 1) of one batch."""
        size = self.batch_size
        chosen = self.batches.order[batch * size : (batch + 1) * size]
        return (
            self.features[self.view, chosen],
            self.labels[chosen].astype(np.float32)[:, np.newaxis],
        )


def _parts(network: keras.Model) -> tuple[keras.Model, keras.Model]:
    """The frozen layers and those behind them, each as a model that shares the layers."""
    first = next((layer for layer in network.layers if _changes(layer)), None)
    if first is None or not network.trainable_weights:
        raise ValueError(f"no layer of {network.name} is trained: leave its last ones trainable")
    between = first.input
    base = keras.Model(network.input, between, name="base")
    if not base.weights:
        raise ValueError(
            f"{network.name} has no frozen weights before {first.name!r}, its first layer that is "
            "trained or random: call models.freeze first, or use training.fit"
        )
    try:
        # Where a way leads past these features, Keras refuses.
        head = keras.Model(between, network.output, name=f"{network.name}_head")
    except ValueError:
        raise ValueError(
            f"{network.name} does not fall into two parts at {first.name!r}, its first layer that "
            "is trained or random: freeze all layers up to one that everything goes through"
        ) from None
    return base, head


def _changes(layer: keras.Layer) -> bool:
    """Whether a layer may give something else for the same input in another epoch."""
    # What variables have beyond the weights is the state of a source of chance.
    return bool(layer.trainable_weights) or len(layer.variables) > len(layer.weights)


def _set_up(base: keras.Model, batches: loading.Batches, precision: Precision) -> Computation:
    way, reason = choose(base, batches, epochs=None, precision=precision)
    print(f"computing the frozen layers in {way}: {reason}", flush=True)
    way.set_up(base)
    return way


def _computed(base: keras.Model, batches: loading.Batches, *, views: int) -> tuple[np.ndarray, str]:
    """The features, and the key that they are kept by."""
    if views < 1 or (views > 1 and not batches.augment):
        raise ValueError(
            "views must be 1, or more where the batches augment. "
            f"Received: views={views}, augment={batches.augment}"
        )
    ordered = copy.copy(batches)
    ordered.shuffle = False
    ordered.start_epoch(1)
    key = _key(base, ordered, views)
    shape = (views, len(batches.rows), *base.output_shape[1:])

    def make(folder: Path) -> None:
        with (folder / "features.npy").open("wb") as file:
            np.lib.format.write_array_header_1_0(
                file, {"descr": "<f4", "fortran_order": False, "shape": shape}
            )
            for pixels in _each(ordered, views, description=f"{len(base.layers)} frozen layers"):
                # The last batch is filled up, for another size would be compiled once more.
                full = np.resize(pixels, (ordered.batch_size, *pixels.shape[1:]))
                found = base.predict_on_batch(full)[: len(pixels)]
                # A plain write tells of a full disk; a memory map would be killed by it.
                file.write(np.ascontiguousarray(found, "<f4").tobytes())

    def read(folder: Path) -> np.ndarray:
        found = cache.array(folder / "features.npy")
        if found.dtype != np.float32 or found.shape != shape:
            raise ValueError(f"{found.dtype} {found.shape} instead of float32 {shape}")
        return found

    what = f"{shape[1]:,} images, {views} views, features {shape[2:]}"
    size = 4 * int(np.prod(shape))
    return cache.load_or_make("features", key, what=what, size=size, make=make, read=read), key


def _key(base: keras.Model, ordered: loading.Batches, views: int) -> str:
    versions = machine.versions()
    about = {
        "version": _VERSION,
        "keras": versions["keras"],
        keras.backend.backend(): versions[keras.backend.backend()],
        "views": views,
        "layers": base.get_config(),
    }
    digest = hashlib.sha256(json.dumps(about, sort_keys=True, default=repr).encode())
    for variable in base.variables:
        digest.update(np.ascontiguousarray(keras.ops.convert_to_numpy(variable)).data)
    # The pixels themselves, and not what they were made by: that may change with a version.
    for pixels in _each(ordered, views, description="checking"):
        digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()[:16]


def _each(ordered: loading.Batches, views: int, *, description: str) -> Iterator[np.ndarray]:
    """All batches of pixels of all views."""
    total = views * len(ordered)
    for number in progress.bar(range(total), total=total, description=description):
        view, batch = divmod(number, len(ordered))
        if batch == 0:
            ordered.start_epoch(view + 1)
        yield ordered[batch][0]
