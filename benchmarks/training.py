"""Training VGG-19 against what a user would take instead, side by side in one run.

Two kinds of work: a training step at 224 px, through what `training.fit` chooses on this machine,
against Keras as it comes, Keras with the kernels that xraylib asks for and, where it is installed,
PyTorch; and ten epochs of a new head on a frozen base, through `transfer.fit`, against Keras'
recipe with the base in the graph. All take the same batches of uint8 pixels and Adam with
the same rate, clipped at the same norm. Writes `results/training.json`.
"""

import functools
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import side_by_side  # before keras, so that xraylib can ask for kernels

# isort: split
import keras
import numpy as np

from xraylib import machine, progress
from xraylib.data.loading import Batches
from xraylib.networks import models, precision, transfer

IMAGE_SIZE = 224
BATCH_SIZE = 8
# Images under the head: few, so that an epoch of the base in the graph ends soon. What is paid
# once weighs the more on the side of the features.
TRAIN, VALIDATION = 40, 8
EPOCHS = 10
REPEATS = 9
MOST_REPEATS_OF_HEADS = 2
PLAIN, SAME = "Keras as it comes", "Keras with the kernels xraylib asks for"
TORCH, TORCH_BFLOAT16 = "PyTorch, float32", "PyTorch, bfloat16, channels last"
# Of a step: against Keras where the machine computes in bfloat16, and where it does not.
NATIVE, OTHERWISE = 1.8, 1.0
OF_HEADS = 8
RATE_OF_STEPS, RATE_OF_HEADS = 1e-5, 1e-3
MOST_GRADIENT = 1.0


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures and writes."""
    repeats = side_by_side.repeats(__doc__, arguments, default=REPEATS)
    this_machine = side_by_side.this_machine()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XRAYLIB_CACHE"] = f"{folder}/cache"
        with side_by_side.as_it_comes() as call:
            of_steps, notes = steps(call, repeats)
            of_heads = heads(call, Path(folder), min(repeats, MOST_REPEATS_OF_HEADS))
    native, reason = machine.native_bfloat16()
    notes.append(f"bfloat16: {'computed by this machine' if native else reason}.")
    report = {
        "machine": this_machine,
        "settings": {
            "network": "VGG-19, random weights",
            "image size": IMAGE_SIZE,
            "images a batch": BATCH_SIZE,
            "repeats of the steps": repeats,
            "of the heads": min(repeats, MOST_REPEATS_OF_HEADS),
        },
        "rows": of_steps + of_heads,
        "notes": notes,
    }
    side_by_side.write("training", report)


@functools.cache
def noise(count: int, image_size: int) -> Batches:
    """Batches of random images, every other one of class 1."""
    pixels = side_by_side.noise(count, image_size)
    return Batches(pixels, np.arange(count) % 2, np.arange(count), batch_size=BATCH_SIZE)


def adam(rate: float) -> keras.optimizers.Optimizer:
    return keras.optimizers.Adam(rate, global_clipnorm=MOST_GRADIENT)


def steps(call: Callable[..., Any], repeats: int) -> tuple[list[dict[str, Any]], list[str]]:
    """A training step each way, and a note on it."""
    batches = noise(BATCH_SIZE, IMAGE_SIZE)
    pixels, labels = batches[0]
    ours = models.vgg19(IMAGE_SIZE)
    computation, reason = precision.choose(ours)
    computation.apply(ours)
    ours.compile(adam(RATE_OF_STEPS), "binary_crossentropy", jit_compile=computation.jit_compile)
    works: dict[str, Callable[[], object]] = {
        "xraylib": lambda: ours.train_on_batch(pixels, labels),
        PLAIN: lambda: call(keras_step),
        SAME: keras_step,
    }
    of_torch, note = of_pytorch(batches)
    works |= of_torch
    for work in progress.bar(works.values(), total=len(works), description="first steps"):
        work()  # compiles
    times = side_by_side.in_turns(works, repeats=repeats, description="steps")
    work = f"a training step, {BATCH_SIZE} images"
    native, _ = machine.native_bfloat16()
    rows = side_by_side.rows(
        times,
        work=work,
        ours="xraylib",
        target={PLAIN: NATIVE if native else OTHERWISE, TORCH: 1.0, TORCH_BFLOAT16: 1.0},
        where=f"computed in {computation}: {reason}",
    )
    return rows, [note]


def keras_step() -> None:
    """A step in float32, in whichever process it is called."""
    _network_of_keras().train_on_batch(*noise(BATCH_SIZE, IMAGE_SIZE)[0])


@functools.cache
def _network_of_keras() -> keras.Model:
    network = models.vgg19(IMAGE_SIZE)
    network.compile(adam(RATE_OF_STEPS), "binary_crossentropy")
    return network


def of_pytorch(batches: Batches) -> tuple[dict[str, Callable[[], object]], str]:
    """The same steps in PyTorch, one a batch, and its version, or why there is none."""
    try:
        import torch
    except ImportError as error:
        return {}, f"PyTorch is not measured: {error}."
    on_gpu = torch.cuda.is_available()
    device = "cuda" if on_gpu else "cpu"
    # Keras' compiler tries kernels on a GPU, too.
    torch.backends.cudnn.benchmark = True

    def uploaded(array: np.ndarray) -> Any:
        tensor = torch.from_numpy(array)
        # From other memory, it would wait for the step before.
        return tensor.pin_memory().to(device, non_blocking=True) if on_gpu else tensor

    def steps_of(precision: str) -> Callable[[], object]:
        layout = torch.channels_last if precision == "bfloat16" else torch.contiguous_format
        network = network_of_pytorch().to(device).to(memory_format=layout)
        # Keras' epsilon, too: its default is another.
        optimizer = torch.optim.Adam(network.parameters(), RATE_OF_STEPS, eps=1e-7)
        means = torch.tensor(models.IMAGENET_MEANS, device=device).reshape(1, 3, 1, 1)

        def step(pixels: np.ndarray, labels: np.ndarray) -> Any:
            # From the pixels on, as the networks of Keras begin with them.
            grey = uploaded(pixels).permute(0, 3, 1, 2)
            inputs = (grey - means).contiguous(memory_format=layout)
            truth = uploaded(labels)
            optimizer.zero_grad()
            with torch.autocast(device, torch.bfloat16, enabled=precision == "bfloat16"):
                logits = network(inputs)
            loss = torch.nn.functional.binary_cross_entropy_with_logits(logits.float(), truth)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), MOST_GRADIENT)
            optimizer.step()
            return loss

        def steps() -> None:
            for number in range(len(batches)):
                loss = step(*batches[number])
            loss.item()  # waits for the GPU

        return steps

    works = {TORCH: steps_of("float32")}
    note = f"PyTorch is {torch.__version__}, without torch.compile"
    if on_gpu:
        note += f" on {torch.cuda.get_device_name()}"
    native, _ = machine.native_bfloat16()
    if native:
        works[TORCH_BFLOAT16] = steps_of("bfloat16")
    else:
        # One step would take minutes, and nobody would choose it.
        note += "; not measured in bfloat16"
    return works, f"{note}."


def network_of_pytorch() -> Any:
    """VGG-19 for centred pixels, (batch, 3, size, size) of any size, up to the logit."""
    import torch

    blocks: list[Any] = []
    maps = 3
    for convolutions, more in ((2, 64), (2, 128), (4, 256), (4, 512), (4, 512)):
        for _ in range(convolutions):
            blocks += [torch.nn.Conv2d(maps, more, 3, padding=1), torch.nn.ReLU(inplace=True)]
            maps = more
        blocks.append(torch.nn.MaxPool2d(2))
    head = [torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(maps, 1)]
    return torch.nn.Sequential(*blocks, *head)


def heads(call: Callable[..., Any], folder: Path, repeats: int) -> list[dict[str, Any]]:
    """Ten epochs of a new head both ways, each from nothing, with all that is built and compiled.

    Both centre the pixels, clip the gradient and count AUC and accuracy. `transfer.fit` also
    weights the classes and writes a checkpoint after every epoch.
    """
    train, validation = noise(TRAIN, IMAGE_SIZE), noise(VALIDATION, IMAGE_SIZE)
    runs = iter(range(repeats))

    def through_features() -> None:
        here = folder / str(next(runs))
        os.environ["XRAYLIB_CACHE"] = str(here / "cache")
        network = models.vgg19(IMAGE_SIZE)
        transfer.freeze(network)
        transfer.fit(
            network,
            train,
            validation,
            epochs=EPOCHS,
            learning_rate=RATE_OF_HEADS,
            folder=here,
            patience=EPOCHS,
        )

    times = side_by_side.in_turns(
        {
            "xraylib": through_features,
            "Keras as it comes, base in the graph": lambda: call(keras_head),
        },
        repeats=repeats,
        description="heads",
    )
    once, every = TRAIN + VALIDATION, EPOCHS * (TRAIN + VALIDATION)
    return side_by_side.rows(
        times,
        work=f"{EPOCHS} epochs of a head, {TRAIN} + {VALIDATION} images",
        ours="xraylib",
        target=OF_HEADS,
        where=f"{once} passes of the frozen layers instead of {every}",
    )


def keras_head() -> None:
    """The recipe, in whichever process it is called."""
    base = keras.applications.VGG19(
        include_top=False, weights=None, input_shape=(IMAGE_SIZE, IMAGE_SIZE, 3)
    )
    base.trainable = False
    inputs = keras.Input((IMAGE_SIZE, IMAGE_SIZE, 1))
    x = keras.layers.Concatenate()([inputs] * 3)
    x = keras.layers.Rescaling(1.0, [-mean for mean in models.IMAGENET_MEANS])(x)
    x = keras.layers.GlobalAveragePooling2D()(base(x, training=False))
    recipe = keras.Model(inputs, keras.layers.Dense(1, activation="sigmoid")(x))
    metrics = [keras.metrics.AUC(), keras.metrics.BinaryAccuracy()]
    recipe.compile(adam(RATE_OF_HEADS), "binary_crossentropy", metrics=metrics)
    train, validation = noise(TRAIN, IMAGE_SIZE), noise(VALIDATION, IMAGE_SIZE)
    recipe.fit(train, validation_data=validation, epochs=EPOCHS, verbose=0)


if __name__ == "__main__":
    main()
