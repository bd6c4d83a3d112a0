"""One network on this machine -> how to compute it: its precision, and whether it is compiled.

What depends on the machine is found by a trial of the network's own steps and remembered.
"""

import contextlib
import functools
import hashlib
import json
import os
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, get_args

import keras
import numpy as np

from xraylib import cache, machine, progress

Precision = Literal["auto", "float32", "bfloat16"]

# Multiplications a second of training: of a core, by VGG-19 at 224 px on two AVX2 cores, 19.5 G
# and 1.23 s an image; of a GPU, of the order of what a small one does. They only tell long work
# from short, by counting and not by the clock: what is tried must not differ between two runs.
_PER_CORE: Final = 8e9
_PER_GPU: Final = 5e12
# Estimated seconds of work from which a trial pays. Tracing a second step takes some seconds;
# TensorFlow's compiler takes about a minute for VGG-19 on two cores.
_LONG_FOR_BFLOAT16: Final = 20
_LONG_FOR_COMPILER: Final = 600
# Estimated seconds that one step of a trial takes, the least steps each way, and seconds after
# which there are no more. What is found is kept, and one step alone may be slow by chance.
_TRIAL_STEP: Final = 0.3
_TRIAL_STEPS: Final = 3
_TRIAL: Final = 1.0
# A gain below this is not told from chance on a machine that does other things as well.
_MARGIN: Final = 1.15


@dataclass(frozen=True)
class Computation:
    """A way to compute a network.

    Attributes:
        precision: Of everything but the last layer, which is float32 in any case. Weights are
            float32, too.
        compiled: Whether TensorFlow's compiler makes one program of the step on a processor. It
            pays for big networks only. On a GPU, and on other backends, Keras decides.
    """

    precision: str = "float32"
    compiled: bool = False

    def __str__(self) -> str:
        return f"{self.precision}, compiled" if self.compiled else self.precision

    @property
    def jit_compile(self) -> bool | str:
        """The argument of that name of `keras.Model.compile`."""
        return self.compiled if _compiler_is_ours() else "auto"

    def set_up(self, model: keras.Model, **options: Any) -> None:
        """Compiles a model for this way.

        Args:
            model: Its layers' policies are set; those of another model that shares them, too.
            **options: Of `keras.Model.compile`.
        """
        policy = "mixed_bfloat16" if self.precision == "bfloat16" else "float32"
        for layer in model._flatten_layers(include_self=False):
            # The last layers are float32 in any case: see models.
            if layer.name not in ("logit", "score"):
                layer.dtype_policy = policy
        model.compile(jit_compile=self.jit_compile, **options)


def choose(
    model: keras.Model,
    batches: keras.utils.PyDataset,
    *,
    epochs: int | None,
    precision: Precision = "auto",
) -> tuple[Computation, str]:
    """How to compute a network on this machine, found by a trial where there is much to compute.

    The trial takes some of the network's own steps in float32, in bfloat16 where the GPU (compute
    capability 8.0) or the processor (AVX512-BF16 or AMX) computes in it, and, on a processor,
    through TensorFlow's compiler where work of ten minutes or more is ahead. Another way than
    plain float32 is taken where it is faster by 15 % or more. What was measured is kept in the
    cache folder and decides every later time, so that two runs on one machine compute alike; where
    it cannot be kept, it is measured each time. Work of less than about 20 s is not worth a trial.

    Args:
        model: Functional. It is left with its weights and states as they were, and uncompiled if
            it was.
        batches: Of pixels and labels, as for `training.fit`.
        epochs: How many to train for; None where every batch is only scored, once.
        precision: `"auto"`, or what to take in any case.

    Returns:
        The way, and the reason in a few words.

    Raises:
        ValueError: `precision` is unknown.
    """
    if precision not in get_args(Precision):
        raise ValueError(
            f'precision must be "auto", "float32" or "bfloat16". Received: {precision!r}'
        )
    _warn_of_slow_kernels()
    pixels, labels = batches[0]
    # A step forward and backward is three times one forward.
    share = epochs if epochs is not None else 1 / 3
    an_image = _multiplications(model) / (_PER_GPU if machine.gpus() else _PER_CORE * _cores())
    ways, reason = _ways(precision, an_image * share * len(batches) * len(pixels))
    if len(ways) == 1:
        return ways[0], reason
    count = int(np.clip(_TRIAL_STEP / an_image, 1, len(pixels)))
    versions = machine.versions()
    about = {
        "machine": machine.device(),
        "versions": {name: versions[name] for name in ("keras", keras.backend.backend())},
        "network": f"{model.name}, {model.input_shape[1:]}, {model.count_params():,} weights, "
        f"{sum(int(np.prod(weight.shape)) for weight in model.trainable_weights):,} trained",
        "step": f"{'scores' if epochs is None else 'trains on'} {count} of {len(pixels)} images",
        "ways": [str(way) for way in ways],
        "kernels": os.environ.get("TF_ENABLE_ONEDNN_OPTS", "by default"),
    }
    seconds = _remembered(about)
    if seconds is None:
        found = _measured(model, ways, pixels[:count], None if epochs is None else labels[:count])
        seconds = _remember(about, {str(way): taken for way, taken in found.items()})
    plain, best = ways[0], min(ways, key=lambda way: seconds[str(way)])
    if seconds[str(best)] * _MARGIN > seconds[str(plain)]:
        best = plain
    told = " and ".join(f"{seconds[str(way)]:.2g} s in {way}" for way in ways)
    return best, f"a step of {count} took {told}"


def _warn_of_slow_kernels() -> None:
    """Where TensorFlow was loaded before xraylib could ask for Intel's kernels."""
    asked = keras.backend.backend() != "tensorflow" or "TF_ENABLE_ONEDNN_OPTS" in os.environ
    by_default = {"avx512_vnni", "avx512_bf16", "avx_vnni", "amx_tile"}
    words = machine.instructions()
    if not asked and not machine.gpus() and "avx2" in words and not words & by_default:
        warnings.warn(
            "TensorFlow was loaded before xraylib, and trains small networks at half the speed "
            "that this processor allows: import xraylib before keras and tensorflow, or set "
            "TF_ENABLE_ONEDNN_OPTS=1",
            stacklevel=4,
        )


def _ways(precision: Precision, seconds: float) -> tuple[list[Computation], str]:
    """The ways worth a trial, the plain one first, and the reason where there is only one."""
    reason = "as asked for"
    ways = [Computation("float32" if precision == "auto" else precision)]
    if precision == "auto":
        native, reason = machine.native_bfloat16()
        if native and seconds >= _LONG_FOR_BFLOAT16:
            ways.append(Computation("bfloat16"))
        elif native:
            reason = "too little work for a trial of bfloat16"
    if _compiler_is_ours() and seconds >= _LONG_FOR_COMPILER:
        ways.append(Computation(ways[0].precision, compiled=True))
    return ways, reason


def _measured(
    model: keras.Model, ways: list[Computation], pixels: np.ndarray, labels: np.ndarray | None
) -> dict[Computation, float]:
    """Seconds of a step each way, the least of a few; endless where it cannot be computed so.

    The ways take turns, so that what else the machine does meets all of them.
    """
    # Copies, for a backend may write a new value where the old one was.
    before = [np.array(keras.ops.convert_to_numpy(variable)) for variable in model.variables]
    times: dict[Computation, list[float]] = {way: [] for way in ways}
    steps: dict[Computation, Callable[[], object]] = {}
    try:
        for way in progress.bar(ways, total=len(ways), description="choosing a precision"):
            try:
                steps[way] = _step(model, way, pixels, labels)
            except Exception:
                # Compilers raise what they like. Where the plain way fails, training will tell.
                times[way].append(float("inf"))
        started, rounds = time.perf_counter(), 0
        while steps and (rounds < _TRIAL_STEPS or time.perf_counter() - started < _TRIAL):
            rounds += 1
            for way, step in steps.items():
                begun = time.perf_counter()
                step()
                times[way].append(time.perf_counter() - begun)
    finally:
        for value, variable in zip(before, model.variables, strict=True):
            variable.assign(value)
    return {way: min(taken) for way, taken in times.items()}


def _step(
    model: keras.Model, way: Computation, pixels: np.ndarray, labels: np.ndarray | None
) -> Callable[[], object]:
    """A step that is ready to be timed, for it was taken once."""
    # Another model of the same layers: each keeps the program that it was traced to.
    trial = keras.Model(model.input, model.output, name=model.name)
    step: Callable[[], object]
    if labels is None:
        way.set_up(trial)
        step = functools.partial(trial.predict_on_batch, pixels)
    else:
        optimizer = keras.optimizers.Adam(1e-6, global_clipnorm=1.0)
        way.set_up(trial, optimizer=optimizer, loss="binary_crossentropy")
        step = functools.partial(trial.train_on_batch, pixels, labels)
    step()
    return step


def _remembered(about: dict[str, Any]) -> dict[str, float] | None:
    """What was measured before, or None where that is not to be had."""
    try:
        stored = json.loads(_memory(about).read_text(encoding="utf-8"))
        seconds = {name: float(stored["seconds"][name]) for name in about["ways"]}
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return seconds if all(taken > 0 for taken in seconds.values()) else None


def _remember(about: dict[str, Any], seconds: dict[str, float]) -> dict[str, float]:
    """Writes what was measured; returns what is to be taken for it."""
    with contextlib.suppress(OSError):
        path = _memory(about)
        if (earlier := _remembered(about)) is not None:
            return earlier  # another process was at the same, and both are to compute alike
        path.parent.mkdir(exist_ok=True)
        half_written = path.with_name(f".{path.name}-{os.getpid()}")
        half_written.write_text(json.dumps(about | {"seconds": seconds}, indent=1) + "\n")
        half_written.replace(path)
    return seconds


def _memory(about: dict[str, Any]) -> Path:
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:16]
    return cache.cache_folder() / "precision" / f"{digest}.json"


def _compiler_is_ours() -> bool:
    """Whether to say if the step is compiled: on a processor with TensorFlow.

    Measured on two AVX2 cores, seconds an image of a training step without and with it: basic_cnn
    at 224 px (.4 G multiplications) .039 and .124; vgg19 at 224 px (19.5 G) 1.23 and .81.
    """
    return keras.backend.backend() == "tensorflow" and not machine.gpus()


def _cores() -> int:
    return os.cpu_count() or 1


def _multiplications(model: keras.Model) -> float:
    """Of all convolutions, for one image."""
    return sum(
        float(np.prod(layer.kernel.shape)) * float(np.prod(layer.output.shape[1:3]))
        for layer in model._flatten_layers(include_self=False)
        if isinstance(layer, keras.layers.Conv2D)
    )
