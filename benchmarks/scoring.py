"""Scoring a folder of original files, file to score, against Keras' `predict`.

What a user does once: read the files, decode, resize to 224 px, run the network, tell the scores.
`loading.decode` with nothing in its cache and then `scoring.predictions`, against `predict` over
`image_dataset_from_directory`, in float32, each with a freshly built network of the same kind and
random weights. The target is meant against Keras as it comes; Keras with the kernels that xraylib
asks for stands beside it. Writes `results/scoring.json`.
"""

import itertools
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import side_by_side  # before keras, so that xraylib can ask for kernels

# isort: split
import keras
import numpy as np
import pandas as pd

from xraylib.data import index, loading
from xraylib.data.preparation import Preparation
from xraylib.data.words import CLASSES
from xraylib.networks import models, scoring

IMAGE_SIZE = 224
BATCH_SIZE = 16
# Of each network, how many files at most: of the large one few, so that a repeat ends soon.
NETWORKS: dict[str, tuple[Callable[..., keras.Model], int]] = {
    "vgg19": (models.vgg19, 32),
    "basic_cnn": (models.basic_cnn, 192),
}
REPEATS = 3
TARGET = 2.0
# The network that is scored with next, of the process at hand.
_FRESH: list[keras.Model] = []


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures and writes."""
    repeats = side_by_side.repeats(__doc__, arguments, default=REPEATS)
    this_machine = side_by_side.this_machine()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        tree, files = side_by_side.radiographs(place)
        table = index.from_tree(tree)
        rows = []
        with side_by_side.as_it_comes() as call:
            for name, (_, most) in NETWORKS.items():
                chosen = _chosen(table, place / name, most)
                rows += _compared(call, name, chosen, place / name, repeats)
    report = {
        "machine": this_machine,
        "settings": {
            "files": files,
            "image size": IMAGE_SIZE,
            "images a batch": BATCH_SIZE,
            "repeats": repeats,
        },
        "rows": rows,
    }
    side_by_side.write("scoring", report)


def _chosen(table: pd.DataFrame, folder: Path, most: int) -> pd.DataFrame:
    """A folder of at most so many files, one folder a class, and its table: all of split test."""
    # Full batches, for another size would be traced once more.
    count = max(1, min(most, len(table)) // BATCH_SIZE) * BATCH_SIZE
    chosen = table.sample(min(count, len(table)), random_state=0).reset_index(drop=True)
    paths = []
    for number, (path, label) in enumerate(zip(chosen["path"], chosen["label"], strict=True)):
        there = folder / CLASSES[label]
        there.mkdir(parents=True, exist_ok=True)
        paths.append(there / f"{number}{path.suffix}")
        shutil.copyfile(path, paths[-1])
    return chosen.assign(path=paths, split="test")


def renew(name: str) -> None:
    """Builds a network, in whichever process it is called."""
    build, _ = NETWORKS[name]
    _FRESH[:] = [build(IMAGE_SIZE)]


def predict(folder: Path, count: int) -> None:
    """Keras' way, in whichever process it is called."""
    _check(_FRESH[0].predict(_dataset(folder), verbose=0), count)


def _dataset(folder: Path) -> Any:
    return side_by_side.keras_dataset(folder, image_size=IMAGE_SIZE, batch_size=BATCH_SIZE)


def _compared(
    call: Callable[..., Any], name: str, table: pd.DataFrame, folder: Path, repeats: int
) -> list[dict[str, Any]]:
    runs = itertools.count()
    decoding: list[float] = []

    def new_networks() -> None:
        renew(name)
        call(renew, name)

    def ours() -> None:
        os.environ["XRAYLIB_CACHE"] = f"{folder}-cache-{next(runs)}"
        started = time.perf_counter()
        images = loading.decode(table, Preparation(IMAGE_SIZE))
        decoding.append(time.perf_counter() - started)
        predictions = scoring.predictions(_FRESH[0], images, batch_size=BATCH_SIZE)
        _check(predictions["score"], len(table))

    def files_only() -> None:
        for _ in _dataset(folder):
            pass

    plain, same = "Keras' predict as it comes", "Keras' predict with the kernels xraylib asks for"
    alone = "files alone"
    works = {
        "xraylib": ours,
        plain: lambda: call(predict, folder, len(table)),
        same: lambda: predict(folder, len(table)),
        alone: files_only,
    }
    times = side_by_side.in_turns(works, repeats=repeats, description=name, prepare=new_networks)
    median = {contender: statistics.median(taken) for contender, taken in times.items()}
    decode = statistics.median(decoding)
    network = statistics.median(np.subtract(times["xraylib"], decoding))
    where = (
        f"decoding {decode:.3g} s, the network {network:.3g} s, "
        f"{100 * network / (decode + network):.0f} % of both; Keras as it comes goes through the "
        f"files alone in {median[alone]:.3g} of its {median[plain]:.3g} s. Were decoding free, "
        f"xraylib would be {median[plain] / network:.3g} times as fast"
    )
    work = f"scoring with {name}, {len(table)} files"
    common: dict[str, Any] = {"work": work, "ours": "xraylib", "images": len(table)}
    rows = side_by_side.rows(times, against=[plain], target=TARGET, where=where, **common)
    return rows + side_by_side.rows(times, against=[same], **common)


def _check(scores: Any, count: int) -> None:
    """Nobody is faster by scoring fewer."""
    scores = np.asarray(scores)
    if scores.size != count or not np.isfinite(scores).all():
        raise RuntimeError(f"{scores.size} scores of {count} files, or some that are no numbers")


if __name__ == "__main__":
    main()
