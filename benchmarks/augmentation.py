"""One epoch's augmentation against Keras' layers, side by side in one run.

Images of 224 px in batches of 32 are flipped, shifted, turned and scaled at random, by
`Augmentation` through `Batches` and by four layers of Keras on the processor: called batch by
batch, and mapped over a `tf.data` pipeline that takes as many threads as it likes. The target is
meant against the faster of the two. Writes `results/augmentation.json`.
"""

import functools
import os
import statistics
from collections.abc import Callable, Sequence
from typing import Any

import side_by_side  # before keras, so that xraylib can ask for kernels

# isort: split
import keras
import numpy as np

from xraylib.data.augmentation import Augmentation
from xraylib.data.loading import Batches

IMAGES = 512
IMAGE_SIZE = 224
BATCH_SIZE = 32
REPEATS = 5
TARGET = 2.0


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures and writes."""
    repeats = side_by_side.repeats(__doc__, arguments, default=REPEATS)
    this_machine = side_by_side.this_machine()
    report = {
        "machine": this_machine,
        "settings": {
            "images": IMAGES,
            "image size": IMAGE_SIZE,
            "images a batch": BATCH_SIZE,
            "repeats": repeats,
        },
        "rows": _compared(repeats),
    }
    side_by_side.write("augmentation", report)


def _compared(repeats: int) -> list[dict[str, Any]]:
    pixels = side_by_side.noise(IMAGES, IMAGE_SIZE)
    changed = Augmentation(scale=0.35, rotation=10, shift=0.1, flip=True)
    alone = "nothing changed"
    by_keras = _of_keras(pixels)
    works: dict[str, Callable[[], object]] = {
        "xraylib": functools.partial(side_by_side.epoch, _batches(pixels, changed)),
        alone: functools.partial(side_by_side.epoch, _batches(pixels, None)),
        **by_keras,
    }
    for work in by_keras.values():
        work()  # traces
    times = side_by_side.in_turns(works, repeats=repeats, description="augmentation")
    median = {name: statistics.median(taken) for name, taken in times.items()}
    images = 1e3 / IMAGES
    where = (
        f"{images * median['xraylib']:.3g} ms an image, of which {images * median[alone]:.3g} ms "
        "are taking the batch; "
        + "; ".join(f"{name} {images * median[name]:.3g} ms" for name in by_keras)
        + f"; on {os.cpu_count()} cores"
    )
    faster = min(by_keras, key=lambda name: median[name])
    rows = []
    for name in by_keras:
        rows += side_by_side.rows(
            times,
            work=f"an epoch's augmentation, {IMAGE_SIZE} px",
            ours="xraylib",
            against=[name],
            images=IMAGES,
            target=TARGET if name == faster else None,
            where=where if name == faster else None,
        )
    return rows


def _batches(pixels: np.ndarray, augment: Augmentation | None) -> Batches:
    count = len(pixels)
    return Batches(
        pixels,
        np.arange(count) % 2,
        np.arange(count),
        batch_size=BATCH_SIZE,
        shuffle=True,
        augment=augment,
    )


def _of_keras(pixels: np.ndarray) -> dict[str, Callable[[], object]]:
    """The same changes, as far as Keras' layers go, of the same batches."""
    import tensorflow as tf

    layers = keras.Sequential(
        [
            keras.layers.RandomFlip("horizontal", seed=0),
            keras.layers.RandomTranslation(0.1, 0.1, seed=1),
            keras.layers.RandomRotation(10 / 360, seed=2),
            keras.layers.RandomZoom((-0.25, 0.35), (-0.25, 0.35), seed=3),
        ]
    )
    with tf.device("/CPU:0"):
        files = tf.data.Dataset.from_tensor_slices(pixels)
        batches = files.shuffle(len(pixels), seed=0).batch(BATCH_SIZE)
        mapped = batches.map(
            lambda batch: layers(batch, training=True), num_parallel_calls=tf.data.AUTOTUNE
        ).prefetch(tf.data.AUTOTUNE)
        traced = tf.function(lambda batch: layers(batch, training=True))

    def called(function: Callable[[Any], object]) -> None:
        with tf.device("/CPU:0"):
            for batch in batches:
                function(batch)

    def gone_through() -> None:
        for _ in mapped:
            pass

    return {
        "Keras' layers, called": lambda: called(lambda batch: layers(batch, training=True)),
        "Keras' layers, in a tf.function": lambda: called(traced),
        "Keras' layers, mapped with AUTOTUNE": gone_through,
    }


if __name__ == "__main__":
    main()
