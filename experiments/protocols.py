"""What the same small network scores under three protocols, of which one leaks.

    python experiments/protocols.py --data FOLDER --seeds 0 1 2

FOLDER holds train/ and test/. `basic_cnn` is trained in the same way each time, and the epoch is
always chosen on images that it is not judged by; what differs is which images are judged:

- "official test": those of test, which are children of their own and another collection;
- "cross-validation by patient in train": every image of train once, by one of five networks that
  did not train on its patient; whatever in the files tells the classes apart in train helps them;
- "random re-split of all images": as many images as in test, drawn at random from all. Others of
  the same patients are in train (`shared_patients` says of how many images that is true), and no
  difference between train and test is left. It overstates, and is here to show by how much.

Rows are written to assets/results/protocols.csv as they come; started again, what is there is not
done again. Accuracy and Brier depend on the share of pneumonia, which in train is another.
"""

import argparse
import contextlib
import dataclasses
import io
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from countermeasures import RESULTS, run

from xraylib.data import index, loading, sources, splits
from xraylib.data.preparation import Preparation
from xraylib.evaluation import metrics
from xraylib.networks import models, scoring, training

# isort: split
# After xraylib, which tells TensorFlow what kernels to take when it is loaded.
import keras

# Of what may train a network, how much is held out for choosing the epoch.
SHARE = 0.15
PROTOCOLS = (
    "official test",
    "cross-validation by patient in train",
    "random re-split of all images",
)


def cuts(table: pd.DataFrame, protocol: str, *, seed: int) -> list[pd.DataFrame]:
    """The tables of one protocol, a network each, whose test is what that network is judged by."""
    if protocol == "official test":
        return [splits.hold_out_validation(table, share=SHARE, seed=seed)]
    if protocol == "random re-split of all images":
        return [splits.resplit(table, share=SHARE, seed=seed)]
    judged = [
        fold.assign(split=fold["split"].replace("validation", "test"))
        for fold in splits.folds(table, seed=seed)
    ]
    return [splits.hold_out_validation(fold, share=SHARE, seed=seed) for fold in judged]


def study(
    images: loading.Images,
    about: dict[str, Any],
    *,
    protocol: str,
    epochs: int,
    batch_size: int,
    seed: int,
) -> list[dict[str, Any]]:
    """Trains a network for each cut, judges their scores together; one row a metric."""
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
    known = {"shared_patients": scored["trained on"].mean()}
    return [shared | row | known for row in numbers.to_dict("records")]


def judged(
    images: loading.Images, cut: pd.DataFrame, *, epochs: int, batch_size: int, seed: int
) -> pd.DataFrame:
    """The test images of a cut, with score and whether the network has seen others of the patient.

    `cut` has rows of `images.table`, by its index, with other splits.
    """
    keras.utils.clear_session()
    # The fingerprint stays that of all images: nothing reads it here.
    part = dataclasses.replace(
        images, table=cut.reset_index(drop=True), pixels=images.pixels[cut.index]
    )
    model = models.basic_cnn(images.pixels.shape[1], seed=seed)
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
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
    return scored.assign(**{"trained on": scored["patient"].isin(trained)})


def main(data: Path, seeds: list[int]) -> None:
    """All protocols on the images of one tree, at 64 px."""
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
    asked = parser.parse_args()
    main(asked.data, asked.seeds)
