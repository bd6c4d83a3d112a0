"""Choose how this machine computes a network: in which precision, and compiled or not.

Both are decided by rule, from the processor or the GPU and the size of the network, and never by
the clock: two runs on one machine compute alike.

Seconds of a training step an image, in float32 and in bfloat16, on two cores of an Intel Xeon with
AMX (TensorFlow 2.21, November 2026, medians of steps that took turns):

    basic_cnn at 32 px    .005 G multiplications    .0006 and .0004
    basic_cnn at 64 px    .03 G                     .0019 and .0010
    basic_cnn at 224 px   .43 G                     .030 and .016
    resnet50 at 64 px     .31 G                     .048 and .054
    vgg19 at 64 px        1.6 G                     .097 and .041
    resnet50 at 224 px    3.9 G                     .33 and .24
    vgg19 at 224 px       19.5 G                    .73 and .15

Of vgg19 at 224 px without and with TensorFlow's compiler, in float32: there .73 and .86 (and in
bfloat16 .15 and .95); limited to AVX-512 without bfloat16 1.1 and 1.5; limited to AVX2 2.7 and 2.3;
on two cores of an AMD EPYC with AVX2 1.23 and .81. Of basic_cnn at 224 px on the EPYC, .039 and
.124. So the compiler pays for large networks where the processor has AVX2, but not AVX-512.
"""

import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal, get_args

import numpy as np

from xraylib import machine
from xraylib.backend import keras
from xraylib.networks import models

Precision = Literal["auto", "float32", "bfloat16"]

# Multiplications an image from which they pay, see above: of the average convolution, for what the
# layers between them cost is not saved, and of all of them.
_LARGE_FOR_BFLOAT16: Final = 8e6
_LARGE_FOR_COMPILER: Final = 1e10


@dataclass(frozen=True)
class Computation:
    """How a network is computed.

    Attributes:
        precision: `"float32"` or `"bfloat16"`, of all layers but `models.OUTPUT_LAYERS`, which
            compute in float32. Weights are float32 in any case.
        jit_compile: The argument of that name of `keras.Model.compile`: whether the backend's
            compiler makes one program of a step, or `"auto"`, and Keras decides.

    Example:
        >>> print(Computation("bfloat16", jit_compile=True))
        bfloat16, compiled
    """

    precision: str = "float32"
    jit_compile: bool | str = "auto"

    def __str__(self) -> str:
        return f"{self.precision}, compiled" if self.jit_compile is True else self.precision

    def apply(self, model: keras.Model) -> None:
        """Sets the precision of a network's layers; compile it after that.

        Args:
            model: Its layers are changed, and so is any other model that shares them.
        """
        policy = "mixed_bfloat16" if self.precision == "bfloat16" else "float32"
        for layer in _layers(model):
            if layer.name not in models.OUTPUT_LAYERS:
                layer.dtype_policy = policy


def choose(model: keras.Model, precision: Precision = "auto") -> tuple[Computation, str]:
    """Chooses the precision of a network on this machine, and whether it is compiled.

    `"auto"` is bfloat16 where every GPU (compute capability 8.0) or, with TensorFlow, the processor
    (AVX512-BF16 or AMX) has instructions for it and the network's average convolution takes 8
    million multiplications an image or more; elsewhere it is float32. TensorFlow's compiler is
    used on processors with AVX2 but not AVX-512, from 10 billion multiplications an image in all.
    On a GPU, and with other backends, Keras decides what is compiled.

    Example:
        >>> computation, reason = choose(models.basic_cnn(22))
        >>> computation.precision
        'float32'

    Args:
        model: Functional. It is not changed.
        precision: `"auto"`, or the precision to take in any case.

    Returns:
        The computation, and the reason for its precision in a few words.

    Raises:
        ValueError: `precision` is unknown.
    """
    if precision not in get_args(Precision):
        raise ValueError(
            f'precision must be "auto", "float32" or "bfloat16". Received: {precision!r}'
        )
    _warn_of_slow_kernels()
    sizes = multiplications(model)
    reason = "as requested"
    if precision == "auto":
        native, reason = _gains_from_bfloat16(float(np.mean(sizes)) if sizes else 0)
        precision = "bfloat16" if native else "float32"
    if machine.gpus() or keras.backend.backend() != "tensorflow":
        return Computation(precision), reason
    instructions = machine.instructions()
    avx2_at_most = "avx2" in instructions and "avx512f" not in instructions
    return Computation(precision, avx2_at_most and sum(sizes) >= _LARGE_FOR_COMPILER), reason


def multiplications(model: keras.Model) -> list[float]:
    """Counts the multiplications in each convolution of a network, for one image.

    Example:
        >>> image = keras.Input((12, 12, 3))
        >>> multiplications(keras.Model(image, keras.layers.Conv2D(5, 3)(image)))
        [13500.0]

    Args:
        model: Functional, of images of one size.

    Returns:
        One number a convolution, from input to output.
    """
    return [
        float(np.prod(layer.kernel.shape)) * float(np.prod(layer.output.shape[1:3]))
        for layer in _layers(model)
        if isinstance(layer, keras.layers.Conv2D)
    ]


def _gains_from_bfloat16(size: float) -> tuple[bool, str]:
    """Whether a network is faster in it here, by its average convolution, and why."""
    if size < _LARGE_FOR_BFLOAT16:
        return False, "the network is too small to gain from bfloat16"
    if not machine.gpus() and (backend := keras.backend.backend()) != "tensorflow":
        return False, f"{backend} does not gain from bfloat16 on a processor"
    return machine.native_bfloat16()


def _layers(model: keras.Model) -> Iterator[keras.Layer]:
    """The layers of a model, and those of models among them."""
    for layer in model.layers:
        yield layer
        if isinstance(layer, keras.Model):
            yield from _layers(layer)


def _warn_of_slow_kernels() -> None:
    """Where TensorFlow was loaded before xraylib could ask for Intel's kernels."""
    if keras.backend.backend() != "tensorflow" or "TF_ENABLE_ONEDNN_OPTS" in os.environ:
        return
    by_default = {"avx512_vnni", "avx512_bf16", "avx_vnni", "amx_tile"}
    instructions = machine.instructions()
    if "avx2" in instructions and not instructions & by_default and not machine.gpus():
        warnings.warn(
            "TensorFlow was loaded before xraylib, and trains small networks at half the speed "
            "that this processor allows: import xraylib before keras and tensorflow, or set "
            "TF_ENABLE_ONEDNN_OPTS=1",
            stacklevel=4,
        )
