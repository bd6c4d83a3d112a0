"""Check the heat maps of a network that was trained on made radiographs, whose lesions are known.

`python experiments/heatmaps.py --seeds 1 2 3` trains `basic_cnn` at 96 px on radiographs without a
trap, once for each seed, and writes every layer and method's checks (`explain.faithfulness`) into
assets/results/heatmaps.csv. A seed that is there is skipped. Some minutes each.
"""

import argparse
import tempfile
from functools import partial
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd

from xraylib import cache
from xraylib.data import index, loading, reading, sources, splits
from xraylib.data.preparation import Preparation
from xraylib.explain import faithfulness, gradcam, occlusion
from xraylib.networks import models, training
from xraylib.synthetic import dataset

# isort: split
# After xraylib, which tells TensorFlow what kernels to take when it is loaded.
import keras

RESULTS = Path(__file__).resolve().parents[1] / "assets" / "results" / "heatmaps.csv"
MADE = {"images": 900, "size": 192, "seed": 0, "traps": ()}
PREPARATION = Preparation(96, resize="area")
# Images with a lesion, of test: all for the checks by gradients, some for those by many scores.
ALL, SOME = 200, 30


def lesion(path: Path, preparation: Preparation = PREPARATION) -> np.ndarray:
    """The true lesion of a made radiograph, prepared as the radiograph: bool (size, size)."""
    masks = path.parents[3] / "masks" / path.parent.relative_to(path.parents[2])
    return preparation.square(reading.grey(masks / f"{path.stem}_lesion.png")) >= 128


def trained(images: loading.Images, *, epochs: int, seed: int) -> keras.Model:
    """A `basic_cnn` that was trained on the images."""
    network = models.basic_cnn(images.preparation.image_size, seed=seed)
    with tempfile.TemporaryDirectory() as folder:
        training.fit(
            network,
            images.batches("train", batch_size=32, shuffle=True, seed=seed),
            images.batches("validation", batch_size=32),
            epochs=epochs,
            learning_rate=1e-3,
            folder=folder,
        )
    return network


def study(
    network: keras.Model,
    pixels: np.ndarray,
    lesions: np.ndarray,
    patients: np.ndarray,
    *,
    some: int = SOME,
) -> pd.DataFrame:
    """Check the maps of every layer and method, of occlusion, and those without the network.

    Args:
        network: As `models` builds them.
        pixels: Of images with a lesion, grey uint8 in [0, 255], (n, size, size, 1).
        lesions: Their true masks, bool (n, size, size).
        patients: Their patients, (n,).
        some: How many of them are scored many times.

    Returns:
        map (a method and its layer, or what else), check, compared (with the maps of what, if
        anything), measure, value, low, high, images.
    """
    score = gradcam.log_odds(network)
    draws = {
        f"{method}, {layer}": partial(gradcam.heatmap, network, layer=layer, method=method)
        for layer in gradcam.layers(network)
        for method in get_args(gradcam.Method)
    }
    maps = {name: draw(pixels) for name, draw in draws.items()}
    last = maps[f"hirescam, {gradcam.layers(network)[-1]}"]
    maps |= faithfulness.references(last, lesions, pixels)
    covered = {
        f"occlusion, {fill}": occlusion.heatmap(score, pixels[:some], fill=fill)
        for fill in get_args(occlusion.Fill)
    }
    few = {name: each[:some] for name, each in maps.items()} | covered
    few["true lesion"] = lesions[:some].astype(float)
    curves = faithfulness.curves(score, pixels[:some], few, steps=8)
    parts = {
        "localization": faithfulness.localization(maps, lesions),
        "localization, some images": faithfulness.localization(covered, lesions[:some]),
        "deletion and insertion": faithfulness.areas(curves),
    }
    tables = [
        faithfulness.means(rows, patients[: rows["image"].max() + 1]).assign(check=check)
        for check, rows in parts.items()
    ]
    for name, draw in draws.items():
        shuffled = faithfulness.randomization(network, partial(draw, pixels[:some]))
        means = faithfulness.means(shuffled, patients[:some])
        compared = means["map"].replace(faithfulness.ANOTHER, "the map of another image")
        tables.append(means.assign(check="randomization", compared=compared, map=name))
    table = pd.concat(tables, ignore_index=True)
    return table[["map", "check", "compared", "measure", "value", "low", "high", "images"]]


def main(seeds: list[int]) -> None:
    """Add what is missing to the results."""
    tree = dataset.make_tree(cache.cache_folder() / "heatmaps", **MADE)
    table = splits.hold_out_validation(index.from_tree(sources.locate(tree)), seed=MADE["seed"])
    images = loading.decode(table, PREPARATION)
    lesioned = images.table.query("split == 'test' and label == 1").iloc[:ALL]
    pixels = np.asarray(images.pixels[lesioned.index])
    lesions = np.stack([lesion(path) for path in lesioned["path"]])
    done = pd.read_csv(RESULTS) if RESULTS.exists() else pd.DataFrame({"seed": []})
    for seed in seeds:
        if seed in set(done["seed"]):
            continue
        keras.utils.clear_session()
        network = trained(images, epochs=12, seed=seed)
        rows = study(network, pixels, lesions, lesioned["patient"].to_numpy())
        done = pd.concat([done, rows.assign(network=network.name, seed=seed)], ignore_index=True)
        done.to_csv(RESULTS, index=False, float_format="%.4g")
        print(f"seed {seed}: {len(rows)} rows", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    main(parser.parse_args().seeds)
