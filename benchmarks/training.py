"""Training VGG-19 against what a user would take instead, side by side in one run.

Two kinds of work at 224 px: a training step, through what `training.fit` chooses on this machine,
against Keras as it comes and, where it is installed, PyTorch; and ten epochs of a new head on a
frozen base, through `frozen.fit`, against Keras' recipe with the base in the graph. Whatever is
compared takes turns. Prints a table of medians, ratios first, and writes it with the machine, the
versions and all single times to `results/training.json`.
"""

import argparse
import contextlib
import io
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd

from xraylib import frozen, models, progress, records, training
from xraylib.data.loading import Batches

IMAGE_SIZE = 224
BATCH_SIZE = 8
TRAIN, VALIDATION = 24, 8  # images under the head
EPOCHS = 10
STEPS = 5
OUT = Path(__file__).parent / "results" / "training.json"


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def in_turns(works: dict[str, Callable[[], object]], *, repeats: int) -> dict[str, list[float]]:
    """The seconds of each repeat of each work; what else the machine does meets all of them."""
    times: dict[str, list[float]] = {name: [] for name in works}
    total = repeats * len(works)
    with progress.bar(total=total, description=", ".join(works)) as bar:
        for _ in range(repeats):
            for name, work in works.items():
                times[name].append(seconds(work))
                bar.update()
    return times


def noise(count: int) -> Batches:
    """Batches of random images, every other one of class 1."""
    pixels = np.random.default_rng(0).integers(
        0, 256, (count, IMAGE_SIZE, IMAGE_SIZE, 1), dtype=np.uint8
    )
    return Batches(pixels, np.arange(count) % 2, np.arange(count), batch_size=BATCH_SIZE)


def adam() -> keras.optimizers.Optimizer:
    return keras.optimizers.Adam(1e-5, global_clipnorm=1.0)


def steps() -> tuple[dict[str, list[float]], dict[str, str]]:
    """A training step each way, and what else is to be told."""
    batches = noise(BATCH_SIZE)
    pixels, labels = batches[0]
    ours, as_it_comes = models.vgg19(IMAGE_SIZE), models.vgg19(IMAGE_SIZE)
    # Ten thousand epochs of one batch: long work, which a trial is for.
    way, reason = training.choose_computation(ours, batches, epochs=10_000)
    way.set_up(ours, optimizer=adam(), loss="binary_crossentropy")
    as_it_comes.compile(adam(), "binary_crossentropy")
    works: dict[str, Callable[[], object]] = {
        "xraylib": lambda: ours.train_on_batch(pixels, labels),
        "Keras as it comes, float32": lambda: as_it_comes.train_on_batch(pixels, labels),
    }
    told = {"chosen": f"{way}: {reason}"}
    torch_works, told["PyTorch"] = of_pytorch(pixels, labels)
    works |= torch_works
    for work in progress.bar(works.values(), total=len(works), description="first steps"):
        work()  # compiles
    return in_turns(works, repeats=STEPS), told


def of_pytorch(
    pixels: np.ndarray, labels: np.ndarray
) -> tuple[dict[str, Callable[[], object]], str]:
    """The same step in PyTorch, and its version, or why there is none."""
    try:
        import torch
    except ImportError as error:
        return {}, f"not measured: {error}"
    device = "cuda" if torch.cuda.is_available() else "cpu"
    grey = torch.from_numpy(pixels).permute(0, 3, 1, 2).float().to(device)
    truth = torch.from_numpy(labels).to(device)

    def step_of(precision: str) -> Callable[[], object]:
        blocks: list[Any] = []
        maps = 3
        for convolutions, more in ((2, 64), (2, 128), (4, 256), (4, 512), (4, 512)):
            for _ in range(convolutions):
                blocks += [torch.nn.Conv2d(maps, more, 3, padding=1), torch.nn.ReLU(inplace=True)]
                maps = more
            blocks.append(torch.nn.MaxPool2d(2))
        head = [torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(maps, 1)]
        network = torch.nn.Sequential(*blocks, *head).to(device)
        inputs = ((grey - 110) / 64).expand(-1, 3, -1, -1)
        if precision == "bfloat16":
            network = network.to(memory_format=torch.channels_last)
            inputs = inputs.contiguous(memory_format=torch.channels_last)
        optimizer = torch.optim.Adam(network.parameters(), 1e-5)

        def step() -> None:
            optimizer.zero_grad()
            with torch.autocast(device, torch.bfloat16, enabled=precision == "bfloat16"):
                logits = network(inputs)
            loss = torch.nn.functional.binary_cross_entropy_with_logits(logits.float(), truth)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            loss.item()  # waits for the GPU

        return step

    works = {
        "PyTorch, bfloat16, channels last": step_of("bfloat16"),
        "PyTorch, float32": step_of("float32"),
    }
    return works, torch.__version__


def heads(folder: Path, *, repeats: int) -> dict[str, list[float]]:
    """Ten epochs of a new head both ways, each from nothing, with all that is compiled."""
    train, validation = noise(TRAIN), noise(VALIDATION)
    network = models.vgg19(IMAGE_SIZE)
    models.freeze(network)
    runs = iter(range(repeats))

    def through_features() -> None:
        here = folder / str(next(runs))
        os.environ["XRAYLIB_CACHE"] = str(here / "cache")
        with contextlib.redirect_stdout(io.StringIO()):
            frozen.fit(
                network,
                train,
                validation,
                epochs=EPOCHS,
                learning_rate=1e-3,
                folder=here,
                patience=EPOCHS,
            )

    def in_the_graph() -> None:
        base = keras.applications.VGG19(
            include_top=False, weights=None, input_shape=(IMAGE_SIZE, IMAGE_SIZE, 3)
        )
        base.trainable = False
        inputs = keras.Input((IMAGE_SIZE, IMAGE_SIZE, 1))
        x = base(keras.layers.Concatenate()([inputs] * 3), training=False)
        x = keras.layers.GlobalAveragePooling2D()(x)
        recipe = keras.Model(inputs, keras.layers.Dense(1, activation="sigmoid")(x))
        recipe.compile(keras.optimizers.Adam(1e-3), "binary_crossentropy", metrics=["AUC"])
        recipe.fit(train, validation_data=validation, epochs=EPOCHS, verbose=0)

    works = {"xraylib": through_features, "Keras, base in the graph": in_the_graph}
    return in_turns(works, repeats=repeats)


def rows(work: str, times: dict[str, list[float]]) -> list[dict[str, Any]]:
    """How many times faster this library is than each other, and the times it follows from."""
    ours = statistics.median(times["xraylib"])
    return [
        {
            "times faster": round(statistics.median(taken) / ours, 2),
            "work": work,
            "against": name,
            "seconds": round(statistics.median(taken), 3),
            "seconds of xraylib": round(ours, 3),
            "all seconds": [round(one, 3) for one in taken],
            "all seconds of xraylib": [round(one, 3) for one in times["xraylib"]],
        }
        for name, taken in times.items()
        if name != "xraylib"
    ]


def main() -> None:
    """Measures, prints the table and writes the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3, help="of the ten epochs of a head")
    repeats = parser.parse_args().repeats
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XRAYLIB_CACHE"] = f"{folder}/cache"
        of_steps, told = steps()
        of_heads = heads(Path(folder), repeats=repeats)
    found = rows(f"a training step, {BATCH_SIZE} images", of_steps)
    found += rows(f"{EPOCHS} epochs of a head, {TRAIN} + {VALIDATION} images", of_heads)
    native, reason = training._native_bfloat16()
    report = {
        "machine": records.device(),
        "bfloat16": "native" if native else reason,
        "load before": load,
        "versions": records.versions(),
        "network": f"VGG-19, {IMAGE_SIZE} px, random weights",
        **told,
        "rows": found,
    }
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(f"{report['network']}; {report['machine']}; bfloat16: {report['bfloat16']}")
    print(f"chosen: {told['chosen']}\nPyTorch: {told['PyTorch']}")
    print(pd.DataFrame(found).iloc[:, :5].to_string(index=False))


if __name__ == "__main__":
    main()
