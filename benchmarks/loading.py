"""Loading decoded images against Keras' own loader, side by side in one run.

Compares one pass over the same files at 400 px: `image_dataset_from_directory`, which decodes every
image again in every epoch, against the first pass of `loading.decode`, which fills the cache, and
against a later pass, which reads from it. Prints a table of medians, ratios first.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import keras
import pandas as pd

from xraylib import records
from xraylib.data import index, loading, synthetic

IMAGE_SIZE = 400
BATCH_SIZE = 32
REPEATS = 3


def seconds(work: Callable[[], object]) -> float:
    """The median time of some repeats."""
    times = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def main() -> None:
    """Measures on made radiographs and prints the table."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XRAYLIB_CACHE"] = f"{folder}/cache"
        tree = synthetic.make_tree(Path(folder, "made"), images=200, size=1024) / "chest_xray"
        table = index.from_tree(tree)
        table = table[table["split"] == "train"].assign(split="train").reset_index(drop=True)
        runs = iter(range(REPEATS))

        def keras_pass() -> None:
            dataset = keras.utils.image_dataset_from_directory(
                tree / "train",
                color_mode="grayscale",
                image_size=(IMAGE_SIZE, IMAGE_SIZE),
                batch_size=BATCH_SIZE,
                shuffle=False,
                verbose=False,
            )
            for _ in dataset:
                pass

        def first_pass() -> None:
            os.environ["XRAYLIB_CACHE"] = f"{folder}/cache-{next(runs)}"
            loading.decode(table, image_size=IMAGE_SIZE)

        keras_seconds = seconds(keras_pass)
        first_seconds = seconds(first_pass)
        images = loading.decode(table, image_size=IMAGE_SIZE)

        def later_pass() -> None:
            batches = images.batches("train", batch_size=BATCH_SIZE)
            for number in range(len(batches)):
                batches[number]

        later_seconds = seconds(later_pass)
        rows = [
            ("image_dataset_from_directory", keras_seconds),
            ("decode, first pass", first_seconds),
            ("decode, later passes", later_seconds),
        ]
        report = pd.DataFrame(rows, columns=["one pass", "seconds"])
        report.insert(0, "times faster", keras_seconds / report["seconds"])
        report["images/s"] = len(table) / report["seconds"]
        print(f"{len(table)} JPEGs of about 1024 px to {IMAGE_SIZE} px, median of {REPEATS} runs")
        print(records.device(), records.versions())
        print(report.round(3).to_string(index=False))


if __name__ == "__main__":
    main()
