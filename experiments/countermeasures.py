"""Measure what each countermeasure does to a network that could learn from the files.

One small network (`basic_cnn`) is trained again and again on the same radiographs, each time with
one countermeasure. Rows are written as they come; started again, it does only what is missing.
`make experiments`, or for one of them

    python experiments/countermeasures.py synthetic
    python experiments/countermeasures.py real --data FOLDER

where FOLDER holds chest_xray_224, chest_xray_320 and chest_xray_originals. Test is scored after
each training and chooses nothing.
"""

import argparse
import contextlib
import dataclasses
import os
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from xraylib import cache
from xraylib.audit import measurements
from xraylib.data import index, loading, sources, splits
from xraylib.data.augmentation import Augmentation
from xraylib.data.preparation import Preparation
from xraylib.evaluation import metrics, weighting
from xraylib.explain import swaps
from xraylib.networks import models, scoring, training
from xraylib.synthetic import dataset

# isort: split
# After xraylib, which tells TensorFlow what kernels to take when it is loaded.
import keras

RESULTS = Path(__file__).resolve().parents[1] / "assets" / "results" / "shortcuts"

# Meant to outweigh what differs between two hospitals' files, and to leave a radiograph that could
# be one.
GEOMETRIC = {"scale": 0.35}
PHOTOMETRIC = {
    "gamma": 0.35,
    "contrast": 0.35,
    "blur": 1.0,
    "sharpen": 1.5,
    "noise": 8.0,
    "recompress": True,
}
# How the images are prepared (first) and what the training batches change at random (second).
COUNTERMEASURES: dict[str, tuple[dict[str, Any], Augmentation | None]] = {
    "none": ({}, None),
    "crop": ({"fit": "crop"}, None),
    "pad": ({"fit": "pad"}, None),
    "antialiased": ({"resize": "area"}, None),
    "saved at quality 75": ({"quality": 75}, None),
    "random scaling": ({}, Augmentation(**GEOMETRIC)),
    "random tone and texture": ({}, Augmentation(**PHOTOMETRIC)),
    "both random": ({}, Augmentation(**GEOMETRIC, **PHOTOMETRIC)),
}
SHOWN = ("none", "both random")
# The traps that a network could read, and the column that a matched validation takes for each.
MATCHED_FOR = {
    "no trap": "aspect",
    "compression": "bytes_per_pixel",
    "shape": "aspect",
    "sharpness": "ring_7",
    "exposure": "mean",
    "all traps": "aspect",
}


def study(
    table: pd.DataFrame,
    about: dict[str, Any],
    *,
    countermeasure: str,
    matched_for: str,
    image_size: int,
    epochs: int,
    batch_size: int,
    seed: int,
    aspects: pd.Series | None = None,
) -> list[dict[str, Any]]:
    """Train one network and measure it.

    Args:
        table: As `splits.hold_out_validation` returns it.
        about: What every row begins with, e.g. the name of the data.
        countermeasure: One of `COUNTERMEASURES`.
        matched_for: The column of `measurements.measure` that a matched validation is matched for.
        image_size: Of the network, in pixels.
        epochs: To train.
        batch_size: Images a batch.
        seed: Of the first weights, the order of the images and the resampling.
        aspects: The true width/height by file name, where the files no longer have it.

    Returns:
        Rows with AUC and specificity on validation, on validation matched for a column and on
        test, and with the effect of swapping each cue on validation.
    """
    keras.utils.clear_session()
    changes, augment = COUNTERMEASURES[countermeasure]
    preparation = Preparation(image_size, **changes)
    images = loading.decode(table, preparation)
    model = models.basic_cnn(image_size, seed=seed)
    with tempfile.TemporaryDirectory() as folder:
        history = training.fit(
            model,
            images.batches(
                "train", batch_size=batch_size, shuffle=True, seed=seed, augment=augment
            ),
            images.batches("validation", batch_size=batch_size),
            epochs=epochs,
            learning_rate=1e-3,
            folder=folder,
        )
    predictions = scoring.predictions(model, images, batch_size=batch_size)
    validation = predictions[predictions["split"] == "validation"]
    profiles = profiles_of(table[table["split"] == "train"], aspects, seed=seed)
    scored = swaps.rescore(model, validation, preparation, profiles, images=80, seed=seed)
    effects = swaps.effects(scored, seed=seed)[["cue", "value", "low", "high"]]
    shared = about | {"countermeasure": countermeasure, "seed": seed, "px": image_size}
    shared |= {"epochs": int(history["epoch"].max())}
    rows = _metrics_of(predictions, matched_for, aspects)
    rows += effects.assign(on="validation", metric="swap effect").to_dict("records")
    return [shared | row for row in rows]


def _metrics_of(
    predictions: pd.DataFrame, matched_for: str, aspects: pd.Series | None
) -> list[dict[str, Any]]:
    parts = dict(list(predictions.groupby("split")))
    validation = parts["validation"]
    rows = _metric_rows("validation", validation)
    if aspects is None:
        values = measurements.measure(validation)[matched_for].to_numpy()
    else:
        values = aspects.reindex([path.name for path in validation["path"]]).to_numpy()
    known = pd.notna(values)
    # Classes that do not overlap cannot be matched: then there is no such row.
    with contextlib.suppress(ValueError):
        matched = validation[known]
        weights = weighting.weights(matched["label"].to_numpy(), values[known])
        rows += _metric_rows("validation", matched, matched_for, weights)
    return rows + (_metric_rows("test", parts["test"]) if "test" in parts else [])


def _metric_rows(
    split: str, part: pd.DataFrame, matched_for: str = "", weights: np.ndarray | None = None
) -> list[dict[str, Any]]:
    images = len(part) if weights is None else round(weighting.effective_size(weights))
    numbers = metrics.estimate(
        part["label"].to_numpy(),
        part["score"].to_numpy(),
        patients=part["patient"].to_numpy(),
        weights=weights,
    )
    about = {"on": split, "matched_for": matched_for, "images": images}
    return [
        about | {"metric": row["metric"], "cue": ""} | row
        for row in numbers.to_dict("records")
        if row["metric"] in ("AUC", "specificity")
    ]


def profiles_of(
    train: pd.DataFrame, aspects: pd.Series | None, *, seed: int
) -> tuple[swaps.Profile, swaps.Profile]:
    """Measure the profiles of the classes, with the true width/height where the files lost it."""
    profiles = swaps.profiles(train, seed=seed)
    if aspects is None:
        return profiles
    names = train["path"].map(lambda path: path.name)
    medians = names.map(aspects).groupby(train["label"]).median()
    negative, positive = (
        dataclasses.replace(each, aspect=medians[label]) for label, each in enumerate(profiles)
    )
    return negative, positive


def run(path: Path, jobs: list[tuple[dict[str, Any], Any]]) -> None:
    """Do the jobs whose rows `path` does not hold yet: what their rows say, and how to get them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    done = pd.read_csv(path) if path.exists() else pd.DataFrame()
    for number, (about, job) in enumerate(jobs):
        description = [str(value) for value in about.values()]
        if len(done) and (done[list(about)].astype(str) == description).all(axis=1).any():
            continue
        done = pd.concat([done, pd.DataFrame(job())], ignore_index=True)
        done.to_csv(path, index=False, float_format="%.4g")
        print(f"{number + 1}/{len(jobs)}", *about.values(), flush=True)


def on_synthetic(seeds: list[int]) -> None:
    """Study each trap alone, all of them and none, with every countermeasure."""
    jobs = []
    # What README.md shows comes first.
    order = sorted(COUNTERMEASURES, key=lambda name: name not in SHOWN)
    for countermeasure in order:
        for seed in seeds:
            for name, column in MATCHED_FOR.items():
                job = partial(
                    _on_made,
                    name,
                    countermeasure=countermeasure,
                    matched_for=column,
                    image_size=64,
                    epochs=8,
                    batch_size=32,
                    seed=seed,
                )
                about = {"traps": name, "countermeasure": countermeasure, "seed": seed}
                jobs.append((about, job))
    run(RESULTS / "synthetic.csv", jobs)


def _on_made(name: str, *, seed: int, **how: Any) -> list[dict[str, Any]]:
    traps = {"no trap": (), "all traps": dataset.TRAPS}.get(name, (name,))
    place = cache.cache_folder() / f"synthetic-{name}-{seed}"
    tree = sources.locate(dataset.make_tree(place, seed=seed, traps=traps))
    table = splits.hold_out_validation(index.from_tree(tree), seed=seed)
    return study(table, {"traps": name}, seed=seed, **how)


def on_real(data: Path, seeds: list[int]) -> None:
    """Study crop, pad and stretch at true shapes, random changes, and originals at 400 px."""
    listed = pd.read_csv(data / "originals.csv").set_index("file")
    aspects = listed["width"] / listed["height"]
    plans = (
        ("chest_xray_320", ("none", "crop", "pad", "random scaling"), 64, 10, 0.15),
        ("chest_xray_originals", ("none", "antialiased"), 400, 8, 0.33),
        (
            "chest_xray_224",
            ("none", "random scaling", "random tone and texture", "both random"),
            64,
            10,
            0.15,
        ),
    )
    jobs = []
    for seed in seeds:
        for folder, countermeasures, size, epochs, share in plans:
            table = index.from_tree(data / folder)
            if folder != "chest_xray_224":
                table = table[table["split"] != "test"]  # the few of the originals say nothing
            table = splits.hold_out_validation(table, share=share, seed=seed)
            for countermeasure in countermeasures:
                about = {"data": folder, "countermeasure": countermeasure, "seed": seed}
                job = partial(
                    study,
                    table,
                    {"data": folder},
                    countermeasure=countermeasure,
                    matched_for="aspect",
                    image_size=size,
                    epochs=epochs,
                    batch_size=32,
                    seed=seed,
                    aspects=aspects if folder == "chest_xray_224" else None,
                )
                jobs.append((about, job))
    run(RESULTS / "real.csv", jobs)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["synthetic", "real"])
    parser.add_argument("--data", type=Path, default=os.environ.get("XRAYLIB_REAL_DATA"))
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    arguments = parser.parse_args()
    if arguments.what == "synthetic":
        on_synthetic(arguments.seeds)
    elif arguments.data is None:
        parser.error("give --data FOLDER, or set XRAYLIB_REAL_DATA")
    else:
        on_real(arguments.data, arguments.seeds)
