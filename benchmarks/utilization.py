"""How much of what the processor can compute training VGG-19 uses, side by side in one run.

Training steps at 224 and at 400 px through what `training.fit` chooses on this machine, against
the same steps in PyTorch where it is installed, in turns with products of large matrices: the
measured peak. All take batches of uint8 pixels in memory, as real training does. On a GPU it takes
more steps of larger batches than on a processor. Writes `results/utilization.json`.

Operations are counted as in Chowdhery et al., "PaLM: Scaling Language Modeling with Pathways",
2022, appendix B: those that the network asks for, not those that the machine carries out.
"""

import os
import statistics
import tempfile
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple

# Of two libraries on one GPU, none may take most of its memory; read when JAX is first asked.
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

import side_by_side  # before keras, so that xraylib can ask for kernels

# isort: split
import keras
import numpy as np
import training
from side_by_side import rounded

from xraylib import machine, progress
from xraylib.data.loading import Batches
from xraylib.networks import models, precision

IMAGE_SIZES = (224, 400)
EPOCH = 4470  # images: the real data's train, without what is cut off for validation
AIM = 0.5  # of the measured peak, on a GPU


class Work(NamedTuple):
    """What is done of each contender in a turn, and how often it has one."""

    batch_size: int
    steps: int
    side: int  # of the matrices
    products: int
    repeats: int


# A turn of a GPU holds so much that starting it and waiting for its end do not count.
ON_A_GPU: Final = Work(batch_size=64, steps=20, side=8192, products=100, repeats=5)
ON_A_PROCESSOR: Final = Work(batch_size=4, steps=1, side=2048, products=4, repeats=5)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures and writes."""
    on_gpu = bool(machine.gpus())
    work = ON_A_GPU if on_gpu else ON_A_PROCESSOR
    repeats = side_by_side.repeats(__doc__, arguments, default=work.repeats)
    this_machine = side_by_side.this_machine()
    found: list[dict[str, Any]] = []
    used: list[dict[str, Any]] = []
    peaks: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XRAYLIB_CACHE"] = f"{folder}/cache"
        for image_size in IMAGE_SIZES:
            one = measured(image_size, work._replace(repeats=repeats))
            found += one.compared
            used += one.shares
            peaks += one.products
    report = {
        "machine": this_machine,
        "settings": {
            "network": "VGG-19, random weights",
            "image sizes": list(IMAGE_SIZES),
            "images a batch": work.batch_size,
            "steps a repeat": work.steps,
            "matrix products a repeat": f"{work.products} of {work.side} × {work.side}",
            "repeats": repeats,
        },
        "rows": found,
        "notes": [*([aim(used)] if on_gpu else []), CONVENTION, PEAK, one.of_torch],
        "tables": {
            f"model FLOP utilization; s/epoch is that of {EPOCH:,} images, from images/s": used,
            "the products of matrices": peaks,
        },
    }
    side_by_side.write("utilization", report)


CONVENTION: Final = (
    "Operations are counted by convention (Chowdhery et al., PaLM, 2022, appendix B): forward, 2 "
    "for each multiplication of a convolution or dense layer; a training step, 3 times those of "
    "forward. What is computed a second time does not count, and what a fast algorithm of "
    "convolution saves does, so that such a one can come out above the peak."
)
PEAK: Final = (
    "The peak is not the maker's. It is measured, in turns with the steps: products of square "
    "matrices in the same precision, 2 n³ operations each, by the backend of Keras or by PyTorch, "
    "whichever is faster."
)


class Measured(NamedTuple):
    """At one image size: rows of three tables, and which PyTorch it was."""

    compared: list[dict[str, Any]]
    shares: list[dict[str, Any]]
    products: list[dict[str, Any]]
    of_torch: str


def measured(image_size: int, work: Work) -> Measured:
    """Lets all contenders and products take turns."""
    images = work.batch_size * work.steps
    batches = Batches(
        side_by_side.noise(images, image_size),
        np.arange(images) % 2,
        np.arange(images),
        batch_size=work.batch_size,
    )
    ours = models.vgg19(image_size)
    # Ten thousand epochs of few batches: long work, which a trial is for.
    way, reason = precision.choose(ours, batches, epochs=10_000)
    way.set_up(ours, optimizer=training.adam(training.RATE_OF_STEPS), loss="binary_crossentropy")

    def steps() -> None:
        ours.fit(batches, epochs=1, shuffle=False, verbose=0)
        # Every weight needs the whole gradient, for it is clipped: this waits for the last step.
        keras.ops.convert_to_numpy(ours.get_layer("block1_conv1").bias)

    of_torch, note = training.of_pytorch(batches)
    contenders: dict[str, Callable[[], object]] = {f"xraylib, {way}": steps, **of_torch}
    precisions = {name: name.split(", ")[1] for name in contenders}
    operations = dict.fromkeys(contenders, training_operations(ours))
    if of_torch:
        operations |= dict.fromkeys(of_torch, training_operations_of_pytorch(image_size))
    matrices = {
        precision: products(work, precision, with_torch=bool(of_torch))
        for precision in dict.fromkeys(precisions.values())
    }
    works = contenders | {name: one for each in matrices.values() for name, one in each.items()}
    for first in progress.bar(works.values(), total=len(works), description="first turns"):
        first()  # compiles
    times = side_by_side.in_turns(
        works, repeats=work.repeats, description=f"turns at {image_size} px"
    )
    multiplied = 2.0 * work.side**3 * work.products
    peaks = {
        precision: max(multiplied / statistics.median(times[name]) for name in each)
        for precision, each in matrices.items()
    }
    shares = [
        share(
            name,
            image_size,
            [images / one for one in times[name]],
            operations=operations[name],
            peak=peaks[precisions[name]],
        )
        for name in contenders
    ]
    compared = side_by_side.rows(
        times,
        work=f"training steps at {image_size} px, {work.batch_size} images each",
        ours=f"xraylib, {way}",
        against=list(of_torch),
        images=images,
        where=f"computed in {way}: {reason}",
    )
    of_products = [
        {
            "TFLOP/s": rounded(multiplied / statistics.median(times[name]) / 1e12),
            "slowest to fastest": spread(multiplied / one / 1e12 for one in times[name]),
            "of": name,
            "beside steps at, px": image_size,
        }
        for each in matrices.values()
        for name in each
    ]
    return Measured(compared, shares, of_products, note)


def training_operations(network: keras.Model) -> float:
    """Of a training step, an image: 3 times 2 for each multiplication forward."""
    kernels = [layer for layer in network.layers if getattr(layer, "kernel", None) is not None]
    return 6 * sum(
        # A kernel is applied once at each place of the output.
        float(np.prod(layer.kernel.shape) * np.prod(layer.output.shape[1:-1]))
        for layer in kernels
    )


def training_operations_of_pytorch(image_size: int) -> float:
    """The same of PyTorch's network, by its own counter."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    # On this device, shapes are computed and nothing else.
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        training.network_of_pytorch()(torch.empty(1, 3, image_size, image_size))
    return 3.0 * counter.get_total_flops()


def products(work: Work, precision: str, *, with_torch: bool) -> dict[str, Callable[[], object]]:
    """Products of large matrices by Keras' backend, and by PyTorch if it is to."""
    # Each is multiplied by the one before, so that none is left out. So scaled, all are about 1.
    scale = np.array([[[1.0]], [[work.side**-0.5]]], np.float32)
    shape = (2, work.side, work.side)
    pair = np.random.default_rng(0).standard_normal(shape, dtype=np.float32) * scale

    def chained(first: Any, second: Any) -> Callable[[], object]:
        def multiply() -> float:
            product = first
            for _ in range(work.products):
                product = product @ second
            return float(product[0, 0])  # waits for the GPU

        return multiply

    backend = keras.backend.backend()
    found = {
        f"products in {precision}, {backend}": chained(
            *(keras.ops.cast(keras.ops.convert_to_tensor(one), precision) for one in pair)
        )
    }
    if with_torch:
        import torch

        place = {
            "device": "cuda" if torch.cuda.is_available() else "cpu",
            "dtype": getattr(torch, precision),
        }
        found[f"products in {precision}, PyTorch"] = chained(
            *(torch.from_numpy(one).to(**place) for one in pair)
        )
    return found


def share(
    contender: str,
    image_size: int,
    images_a_second: Sequence[float],
    *,
    operations: float,
    peak: float,
) -> dict[str, Any]:
    """A row of the table.

    Args:
        contender: Who and in which precision, parted by a comma.
        image_size: Of the images, in pixels.
        images_a_second: Of each repeat.
        operations: Of a training step, an image.
        peak: Operations a second.
    """
    who, precision = contender.split(", ", 1)
    median = statistics.median(images_a_second)
    return {
        "% of the peak": rounded(100 * operations * median / peak),
        "slowest to fastest": spread(100 * operations * one / peak for one in images_a_second),
        "who": who,
        "precision": precision,
        "side, px": image_size,
        "images/s": rounded(median),
        "s/epoch": rounded(EPOCH / median),
        "TFLOP/image": rounded(operations / 1e12),
        "TFLOP/s": rounded(operations * median / 1e12),
        "peak, TFLOP/s": rounded(peak / 1e12),
    }


def spread(rates: Iterable[float]) -> str:
    known = sorted(rates)
    return f"{rounded(known[0]):g} to {rounded(known[-1]):g}"


def aim(used: Sequence[dict[str, Any]]) -> str:
    """Whether this library reaches the aim, at each image size."""
    reached = [
        f"{row['% of the peak']:g} % at {row['side, px']} px, "
        f"{'met' if row['% of the peak'] >= 100 * AIM else 'not met'}"
        for row in used
        if row["who"] == "xraylib"
    ]
    return f"The aim on a GPU is {100 * AIM:.0f} % of the measured peak: {'; '.join(reached)}."


if __name__ == "__main__":
    main()
