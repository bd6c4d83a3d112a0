"""What more images and larger ones cost: seconds and memory as the work grows.

Decodes 100, 300, 1,000 and 3,000 small JPEGs, and as many at five sizes, each in a process of its
own: the seconds of a first pass, of a later epoch and, for the sizes, of a training step of
basic_cnn, and the most memory above that of the import. Fits the slopes on logarithmic axes: 1 is
"twice as many, twice as long", 2 in the side is "as many pixels, as long". Writes
`results/growth.json` and draws `growth.png`.
"""

import os
import shutil
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import side_by_side  # before keras, so that xraylib can ask for kernels

# isort: split
import keras
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from side_by_side import rounded

from xraylib import progress
from xraylib.data import index, loading
from xraylib.data.preparation import Preparation
from xraylib.networks import models
from xraylib.synthetic import dataset

BASE = 100  # images that the others are made of
SIZE_OF_FILES = 256
COUNTS = (100, 300, 1000, 3000)
SIZES = (128, 192, 256, 384, 512)
# What stays as it is while the other grows.
IMAGES, IMAGE_SIZE = 300, 192
BATCH_SIZE = 32
TRAINED = 8  # images a training step
EPOCHS = 10  # a repeat, for one is short
REPEATS = 3
FIGURE = Path(__file__).parent / "growth.png"

FIRST, LATER, STEP = "first pass", "later epoch", "training step, an image"
LOADING, TRAINING = "memory of loading", "memory of training"
# Of each cost the slope that is expected at most, over the images and over the side: what is paid
# once makes it less. Loading holds a portion of images at once, however many there are.
EXPECTED: Final[dict[str, dict[str, float]]] = {
    "images": {FIRST: 1, LATER: 1, LOADING: 0},
    "side, px": {FIRST: 2, LATER: 2, STEP: 2, LOADING: 2, TRAINING: 2},
}
# From Okabe and Ito's palette; for print in grey, the marks differ as well.
_LOOKS: Final = {
    FIRST: ("#0072B2", "o"),
    LATER: ("#D55E00", "s"),
    STEP: ("#000000", "^"),
    LOADING: ("#009E73", "D"),
    TRAINING: ("#CC79A7", "v"),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, draws and writes."""
    repeats = side_by_side.repeats(__doc__, arguments, default=REPEATS)
    this_machine = side_by_side.this_machine()
    points = [("images", count, count, IMAGE_SIZE) for count in COUNTS]
    points += [("side, px", size, IMAGES, size) for size in SIZES]
    measured: dict[str, list[dict[str, float]]] = {grown: [] for grown in EXPECTED}
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        paths = _files(place)
        for grown, value, count, size in progress.bar(
            points, total=len(points), description="growth"
        ):
            train = grown == "side, px"
            costs = side_by_side.alone(
                measure, paths[:count], size, place / "cache", repeats, train
            )
            measured[grown].append({grown: value, **costs})
    slopes = [
        {"slope": fitted, "expected at most": expected, "of": cost, "over": grown}
        for grown, costs in EXPECTED.items()
        for cost, expected in costs.items()
        if (fitted := slope(measured[grown], grown, cost)) is not None
    ]
    drawn(measured).savefig(FIGURE, dpi=110)
    plt.close("all")
    report = {
        "machine": this_machine,
        "settings": {
            "files": f"{max(COUNTS):,} JPEGs of about {SIZE_OF_FILES} px",
            "images as the side grows": IMAGES,
            "side as the images grow": IMAGE_SIZE,
            "images a batch": BATCH_SIZE,
            "images a training step": TRAINED,
            "repeats": repeats,
        },
        "rows": [],
        "notes": _flat(measured["images"]),
        "tables": {"slopes on logarithmic axes": slopes}
        | {f"cost by {grown}": rows for grown, rows in measured.items()},
        "figure": FIGURE.name,
    }
    side_by_side.write("growth", report)


def _files(place: Path) -> list[Path]:
    """As many files as are needed, no two alike."""
    made = dataset.make_tree(place / "made", images=BASE, size=SIZE_OF_FILES, traps=())
    contents = [path.read_bytes() for path in index.from_tree(made / "chest_xray")["path"]]
    (place / "files").mkdir()
    paths = [place / "files" / f"{number}.jpeg" for number in range(max(*COUNTS, IMAGES))]
    for number, path in enumerate(paths):
        path.write_bytes(side_by_side.unlike(contents[number % len(contents)], number))
    return paths


def measure(
    paths: list[Path], image_size: int, cache: Path, repeats: int, train: bool
) -> dict[str, float]:
    """The work of a process of its own: median seconds, and MB above the import at the peak."""
    side_by_side.forget_peak()
    imported = side_by_side.resident("VmRSS") if side_by_side.tells_memory() else None
    table = pd.DataFrame({"path": paths, "label": np.arange(len(paths)) % 2, "split": "train"})
    times: dict[str, list[float]] = {FIRST: [], LATER: []}
    for number in range(repeats):
        here = cache / str(number)
        os.environ["XRAYLIB_CACHE"] = str(here)
        opened: list[loading.Images] = []

        def decode(opened: list[loading.Images] = opened) -> None:
            opened.append(loading.decode(table, Preparation(image_size)))

        times[FIRST].append(side_by_side.seconds(decode))
        batches = opened[0].batches("train", batch_size=BATCH_SIZE, shuffle=True)
        taken = [
            side_by_side.seconds(lambda given=batches: side_by_side.epoch(given))
            for _ in range(EPOCHS)
        ]
        times[LATER].append(statistics.mean(taken))
        shutil.rmtree(here)
    found = {name: statistics.median(taken) for name, taken in times.items()}
    if imported is not None:
        found[LOADING] = _above(imported)
    if train:
        found[STEP] = _step(image_size, repeats)
        if imported is not None:
            found[TRAINING] = _above(imported)
    return {name: rounded(value) for name, value in found.items()}


def _above(imported: float) -> float:
    # The system counts pages roughly, and in a used process the peak may seem below the start.
    return max(side_by_side.resident("VmHWM") - imported, 0.0)


def _step(image_size: int, repeats: int) -> float:
    network = models.basic_cnn(image_size)
    network.compile(keras.optimizers.Adam(1e-5, global_clipnorm=1.0), "binary_crossentropy")
    pixels = side_by_side.noise(TRAINED, image_size)
    labels = (np.arange(TRAINED) % 2).astype(np.float32)[:, np.newaxis]

    def step() -> None:
        network.train_on_batch(pixels, labels)

    step()  # traces
    times = side_by_side.in_turns({"step": step}, repeats=repeats, description="steps")
    return statistics.median(times["step"]) / TRAINED


def slope(points: Sequence[dict[str, float]], grown: str, cost: str) -> float | None:
    """Of log(cost) over log(grown), by least squares; None where the cost was not measured."""
    if cost not in points[0]:
        return None
    # Below 1 MB, or none at all, a logarithm tells nothing of memory.
    least = 1.0 if cost in (LOADING, TRAINING) else 0.0
    values = np.maximum([point[cost] for point in points], least)
    fitted = np.polyfit(np.log([point[grown] for point in points]), np.log(values), 1)[0]
    return round(float(fitted), 2)


def _flat(points: Sequence[dict[str, float]]) -> list[str]:
    """How memory grows once a portion is full, which over all points looks like a slope."""
    if LOADING not in points[-1]:
        return ["Memory is not measured: this system has no /proc/self/status."]
    before, last = points[-2:]
    array = (last["images"] - before["images"]) * IMAGE_SIZE**2 / 1e6
    return [
        f"From {before['images']:,} to {last['images']:,} images the array of pixels grows by "
        f"{rounded(array)} MB, the memory of loading by {rounded(last[LOADING] - before[LOADING])} "
        f"MB. With fewer than a portion of {loading._PORTION} images it is smaller than it can be."
    ]


def drawn(measured: dict[str, list[dict[str, Any]]]) -> Figure:
    """Time above, memory below, over the images and over the side; what is expected dashed."""
    figure, axes = plt.subplots(
        2, 2, figsize=(9.5, 7), sharex="col", sharey="row", layout="constrained"
    )
    for column, (grown, points) in zip(axes.T, measured.items(), strict=True):
        times, memory = column
        for cost, expected in EXPECTED[grown].items():
            if cost in points[0]:
                _draw(
                    memory if cost in (LOADING, TRAINING) else times, points, grown, cost, expected
                )
        for ax in column:
            ax.set(xscale="log", yscale="log")
            ax.grid(color="0.9")
        memory.set_xlabel(grown)
        values = [point[grown] for point in points]
        memory.set_xticks(values, [f"{value:,}" for value in values])
        memory.minorticks_off()
    axes[0, 0].set_ylabel("seconds")
    axes[1, 0].set_ylabel("MB above the import at the peak")
    shown = {
        name: handle
        for ax in axes.flat
        for handle, name in zip(*ax.get_legend_handles_labels(), strict=True)
    }
    figure.legend(shown.values(), shown.keys(), loc="outside upper center", ncols=3, fontsize=8)
    return figure


def _draw(
    ax: Axes, points: Sequence[dict[str, Any]], grown: str, cost: str, expected: float
) -> None:
    colour, marker = _LOOKS[cost]
    over = np.array([point[grown] for point in points], float)
    values = np.maximum([point[cost] for point in points], 1e-9)
    ax.plot(over, values, color=colour, marker=marker, label=cost)
    # From the last point: there what is paid once counts least.
    line = values[-1] * (over / over[-1]) ** expected
    ax.plot(
        over, line, color="0.45", linestyle="--", lw=1, zorder=1, label="slope expected at most"
    )
    ax.annotate(f"{expected:g}", (over[0], line[0]), color="0.3", fontsize=8, ha="right")


if __name__ == "__main__":
    main()
