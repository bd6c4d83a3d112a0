"""The command `xraylib predict` against loading and asking the same network in Keras.

One file in a new process, as somebody types it: `predict one.jpeg` against a script that imports
Keras, loads the network, reads the file and asks. And a folder, file to score, with everything
loaded: `Classifier.predict` against Keras' `predict` over `image_dataset_from_directory`, in
float32. The network is the one in the box; before there is one, EfficientNet-Lite0 with a random
head, which takes as long. Writes `results/predicting.json`.
"""

import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import side_by_side  # before keras, so that xraylib can ask for kernels

# isort: split
import keras
import numpy as np
import pandas as pd

from xraylib import classifier
from xraylib.data import index, loading
from xraylib.data.preparation import Preparation
from xraylib.networks import models, packed, packing

FILES = 160
BATCH_SIZE = 16
REPEATS = 5
COLD, FOLDER = 5.0, 4.0
# The command, whether or not it is installed.
OUR_SCRIPT = "from xraylib.cli import main; raise SystemExit(main())"
# What somebody writes to score one file with a network that they have.
KERAS_SCRIPT = """
import sys
import keras
import numpy as np
network = keras.models.load_model(sys.argv[1])
size = network.input.shape[1:3]
image = keras.utils.load_img(sys.argv[2], color_mode="grayscale", target_size=size)
print(network.predict(np.asarray(image, np.uint8)[None, ..., None], verbose=0))
"""
# The network that is asked, of the process at hand.
_LOADED: list[keras.Model] = []


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures and writes."""
    repeats = side_by_side.repeats(__doc__, arguments, default=REPEATS)
    this_machine = side_by_side.this_machine()
    with tempfile.TemporaryDirectory() as place:
        tree, files = side_by_side.radiographs(Path(place))
        table = index.from_tree(tree)
        folder = _packed(table, Path(place))
        paths = _copied(table, Path(place, "chosen"))
        rows = _cold(folder, paths[0], repeats)
        with side_by_side.as_it_comes() as call:
            for bits in ("float", "int8"):
                if packed.ONNX[bits] in packed.read(folder).checksums:
                    rows += _folder(call, folder, paths, bits, repeats)
        about = packed.read(folder)
    settings = {
        "files": files,
        "network": f"{about.name} {about.version}",
        "preparation": str(about.preparation),
        "images a batch": BATCH_SIZE,
        "repeats": repeats,
    }
    side_by_side.write("predicting", {"machine": this_machine, "settings": settings, "rows": rows})


def _packed(table: pd.DataFrame, place: Path) -> Path:
    """The folder of the classifier in the box, or of one that takes as long."""
    if (packed.FOLDER / packed.DESCRIPTION).exists():
        return packed.FOLDER
    halves = np.where(np.arange(len(table)) % 2, "train", "validation")
    images = loading.decode(table.assign(split=halves), Preparation(128, "area"))
    network = models.efficientnet_lite0(128, weights="imagenet")
    packing.pack(network, images, place / "packed", name="EfficientNet-Lite0", version="untrained")
    return place / "packed"


def _copied(table: pd.DataFrame, folder: Path) -> list[Path]:
    """Full batches of files in one folder, as Keras wants it, for another size is traced anew."""
    (folder / "all").mkdir(parents=True)
    count = max(1, min(FILES, len(table)) // BATCH_SIZE) * BATCH_SIZE
    chosen = table["path"].sample(min(count, len(table)), random_state=0)
    copies = []
    for number, path in enumerate(chosen):
        copies.append(folder / "all" / f"{number:03}{path.suffix}")
        shutil.copyfile(path, copies[-1])
    return copies


def _cold(folder: Path, path: Path, repeats: int) -> list[dict[str, Any]]:
    ours = [sys.executable, "-c", OUR_SCRIPT, "predict", path, "--classifier", folder]
    theirs = [sys.executable, "-c", KERAS_SCRIPT, folder / packed.KERAS, path]
    commands = {"xraylib predict": ours, "a script with Keras": theirs}
    works = {
        name: lambda command=command: subprocess.run(
            [str(part) for part in command], check=True, capture_output=True
        )
        for name, command in commands.items()
    }
    times = side_by_side.in_turns(works, repeats=repeats, description="one file")
    work = "one file, from the shell"
    return side_by_side.rows(times, work=work, ours="xraylib predict", target=COLD)


def renew(folder: Path) -> None:
    """Loads the network, in whichever process it is called."""
    _LOADED[:] = [keras.models.load_model(folder / packed.KERAS)]


def predict(folder: Path, image_size: int, count: int) -> None:
    """Keras' way, in whichever process it is called."""
    dataset = side_by_side.keras_dataset(folder, image_size=image_size, batch_size=BATCH_SIZE)
    _check(_LOADED[0].predict(dataset, verbose=0), count)


def _folder(
    call: Callable[..., Any], folder: Path, paths: list[Path], bits: packed.Bits, repeats: int
) -> list[dict[str, Any]]:
    ready = classifier.load(folder, bits=bits)
    call(renew, folder)

    def ours() -> None:
        predictions = list(ready.predict(paths, batch_size=BATCH_SIZE))
        _check([row.threshold for row in predictions if row.decision], len(paths))

    def network_alone() -> None:
        squares = np.zeros((BATCH_SIZE, ready.size, ready.size), np.uint8)
        for _ in range(0, len(paths), BATCH_SIZE):
            ready.logits(squares)

    theirs = "Keras' predict as it comes, float32"
    works = {
        "xraylib": ours,
        theirs: lambda: call(predict, paths[0].parents[1], ready.size, len(paths)),
        "network": network_alone,
    }
    for work in works.values():  # the first batch of a shape is traced
        work()
    times = side_by_side.in_turns(works, repeats=repeats, description=f"a folder, {bits}")
    whole, alone = (statistics.median(times[name]) for name in ("xraylib", "network"))
    where = f"the network alone {alone:.3g} of {whole:.3g} s; the rest is mostly decoding"
    return side_by_side.rows(
        times,
        work=f"{len(paths)} files with everything loaded, {bits}",
        ours="xraylib",
        against=[theirs],
        images=len(paths),
        target=FOLDER,
        where=where,
    )


def _check(scores: Any, count: int) -> None:
    """Nobody is faster by scoring fewer."""
    scores = np.asarray(scores)
    if scores.size != count or not np.isfinite(scores).all():
        raise RuntimeError(f"{scores.size} scores of {count} files, or some that are no numbers")


if __name__ == "__main__":
    main()
