"""Score one small network under three protocols, of which one leaks.

    python experiments/protocols.py --data FOLDER --seeds 0 1 2

FOLDER holds train/ and test/. `basic_cnn` is trained in the same way each time, and the epoch is
always chosen on images that are not judged. The protocols differ in the images that are:

- "official test": those of test, which are of other children and another collection;
- "cross-validation by patient in train": every image of train once, by one of five networks that
  did not train on its patient; whatever in the files separates the classes of train helps them;
- "random re-split of all images": as many images as in test, sampled from all. Other images of the
  same patients are in train (`shared_patients` says for which proportion), and no difference
  between train and test is left. It overstates, and is here to show by how much.

Rows are written to assets/results/protocols.csv as they come; a second start skips what is there.
Accuracy and Brier score depend on the prevalence of pneumonia, which differs in train.
"""

import argparse
import dataclasses
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from countermeasures import RESULTS, run

from xraylib.data import index, loading, sources, splits
from xraylib.data.preparation import Preparation
from xraylib.data.words import CLASSES
from xraylib.evaluation import metrics
from xraylib.networks import models, scoring, training

# isort: split
# After xraylib, which tells TensorFlow what kernels to take when it is loaded.
import keras

# The share of the images outside test on which the epoch is chosen.
SHARE = 0.15
PROTOCOLS = (
    "official test",
    "cross-validation by patient in train",
    "random re-split of all images",
)


def cuts(table: pd.DataFrame, protocol: str, *, seed: int) -> list[pd.DataFrame]:
    """Make the tables of one protocol, one per network, whose test is what judges that network."""
    if protocol == "official test":
        return [splits.hold_out_validation(table, share=SHARE, seed=seed)]
    if protocol == "random re-split of all images":
        return [resplit(table, seed=seed)]
    folds = [
        fold.assign(split=fold["split"].replace("validation", "test"))
        for fold in splits.folds(table, seed=seed)
    ]
    return [splits.hold_out_validation(fold, share=SHARE, seed=seed) for fold in folds]


def resplit(table: pd.DataFrame, *, seed: int) -> pd.DataFrame:
    """Sample train, validation and test anew from all images, whatever their patient and origin.

    Test keeps its number of images of each class, and so its prevalence.
    """
    table = table.copy()
    rng = np.random.default_rng(seed)
    for label in range(len(CLASSES)):
        rows = table[table["label"] == label]
        tests = int((rows["split"] == "test").sum())
        validations = round((len(rows) - tests) / round(1 / SHARE))
        names = ["test"] * tests + ["validation"] * validations
        names += ["train"] * (len(rows) - len(names))
        table.loc[rows.index, "split"] = rng.permutation(names)
    return table


def study(
    images: loading.Images,
    about: dict[str, Any],
    *,
    protocol: str,
    epochs: int,
    batch_size: int,
    seed: int,
) -> list[dict[str, Any]]:
    """Train a network for each cut and judge their scores together: one row per metric."""
    parts = [
        judged(images, cut, epochs=epochs, batch_size=batch_size, seed=seed)
        for cut in cuts(images.table, protocol, seed=seed)
    ]
    scored = pd.concat(parts, ignore_index=True)
    numbers = metrics.estimate(
        scored["label"].to_numpy(),
        scored["score"].to_numpy(),
        patients=scored["patient"].to_numpy(),
    )
    shared = about | {"protocol": protocol, "seed": seed, "images": len(scored)}
    known = {"shared_patients": scored["shared_patient"].mean()}
    return [shared | row | known for row in numbers.to_dict("records")]


def judged(
    images: loading.Images, cut: pd.DataFrame, *, epochs: int, batch_size: int, seed: int
) -> pd.DataFrame:
    """Train on a cut and score its test images: the columns score and shared_patient are added.

    Args:
        images: All decoded images.
        cut: Rows of `images.table`, by its index, with other splits.
        epochs: At most.
        batch_size: Images per batch.
        seed: Random seed of the network and its batches.
    """
    keras.utils.clear_session()
    # Its fingerprint is that of all images, which nothing reads here.
    part = dataclasses.replace(
        images, table=cut.reset_index(drop=True), pixels=images.pixels[cut.index]
    )
    model = models.basic_cnn(images.pixels.shape[1], seed=seed)
    with tempfile.TemporaryDirectory() as folder:
        training.fit(
            model,
            part.batches("train", batch_size=batch_size, shuffle=True, seed=seed),
            part.batches("validation", batch_size=batch_size),
            epochs=epochs,
            learning_rate=1e-3,
            folder=folder,
        )
    scored = scoring.predictions(model, part, batch_size=batch_size)
    scored = scored[scored["split"] == "test"]
    trained = cut.loc[cut["split"] == "train", "patient"]
    return scored.assign(shared_patient=scored["patient"].isin(trained))


def main(data: Path, seeds: list[int]) -> None:
    """Study all protocols on the images of one tree, at 64 px."""
    images = loading.decode(index.from_tree(sources.locate(data)), Preparation(64))
    jobs = []
    for seed in seeds:
        for protocol in PROTOCOLS:
            about = {"data": data.resolve().name}
            job = partial(
                study, images, about, protocol=protocol, epochs=10, batch_size=32, seed=seed
            )
            jobs.append((about | {"protocol": protocol, "seed": seed}, job))
    run(RESULTS.parent / "protocols.csv", jobs)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    arguments = parser.parse_args()
    main(arguments.data, arguments.seeds)
