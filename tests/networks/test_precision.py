import re
import warnings

import keras
import pytest
from support.trainings import network

from xraylib import machine
from xraylib.networks import models, precision
from xraylib.networks.precision import Computation

AVX2, AVX512 = {"avx2"}, {"avx2", "avx512f"}
AMX = {"avx2", "avx512f", "amx_bf16"}
of_tensorflow = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="about TensorFlow on a processor"
)


def image_network(multiplications):
    """One convolution of 3 x 3 pixels at 100 x 100 places, with as many filters as that takes."""
    inputs = keras.Input((102, 102, 1))
    filters = round(multiplications / 9e4)
    return keras.Model(inputs, keras.layers.Conv2D(filters, 3)(inputs))


@pytest.fixture
def on(monkeypatch):
    """A function that makes this a machine with these instructions or GPUs."""

    def change(instructions=frozenset(), gpus=()):
        monkeypatch.setattr(machine, "instructions", lambda: set(instructions))
        monkeypatch.setattr(machine, "gpus", lambda: list(gpus))
        monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)

    return change


# ------------------------------------------------------------------ the rule


@of_tensorflow
@pytest.mark.parametrize(
    ("instructions", "multiplications", "expected"),
    [
        (AMX, 0.72e7, "float32"),
        (AMX, 0.81e7, "bfloat16"),
        ({"avx512_bf16"}, 0.81e7, "bfloat16"),
        (AVX512, 0.81e7, "float32"),
        (set(), 0.81e7, "float32"),
    ],
)
def test_bfloat16_needs_instructions_and_a_large_network(
    on, instructions, multiplications, expected
):
    on(instructions)
    assert precision.choose(image_network(multiplications))[0].precision == expected


@of_tensorflow
@pytest.mark.parametrize(
    ("instructions", "multiplications", "compiled"),
    [
        (AVX2, 0.9e10, False),
        (AVX2, 1.1e10, True),
        (AVX512, 1.1e10, False),
        (AMX, 1.1e10, False),
        (set(), 1.1e10, False),
    ],
)
def test_the_compiler_is_for_large_networks_on_avx2(
    on, monkeypatch, instructions, multiplications, compiled
):
    on(instructions)
    monkeypatch.setattr(precision, "multiplications", lambda model: [multiplications / 2] * 2)
    assert precision.choose(network())[0].jit_compile is compiled


def test_on_a_gpu_keras_decides_what_is_compiled(on, monkeypatch):
    on(AVX2, gpus=["gpu:0"])
    monkeypatch.setattr(machine, "native_bfloat16", lambda: (True, "the GPU is new enough"))
    expected = Computation("bfloat16", jit_compile="auto"), "the GPU is new enough"
    assert precision.choose(image_network(0.81e7)) == expected


def test_on_a_processor_only_tensorflow_gains_from_bfloat16(on, monkeypatch):
    on(AMX)
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    expected = Computation("float32"), "jax does not gain from bfloat16 on a processor"
    assert precision.choose(image_network(0.81e7)) == expected


@pytest.mark.parametrize("requested", ["float32", "bfloat16"])
def test_what_is_requested_is_taken(on, requested):
    on(AMX)
    computation, reason = precision.choose(image_network(0.81e7), requested)
    assert (computation.precision, reason) == (requested, "as requested")


@of_tensorflow
def test_a_network_without_convolutions_stays_in_float32(on):
    on(AMX)
    assert precision.choose(network())[0].precision == "float32"


def test_an_unknown_precision():
    message = 'precision must be "auto", "float32" or "bfloat16". Received: \'float16\''
    with pytest.raises(ValueError, match=re.escape(message)):
        precision.choose(network(), "float16")


def test_multiplications_of_nested_models():
    # 3 x 3 x 3 inputs for each of 5 outputs at each of 10 x 10 places.
    inputs = keras.Input((12, 12, 3))
    inner = keras.Model(inputs, keras.layers.Conv2D(5, 3)(inputs))
    assert precision.multiplications(inner) == [27 * 5 * 100]
    outer = keras.Input((12, 12, 3))
    assert precision.multiplications(keras.Model(outer, inner(outer))) == [27 * 5 * 100]


# ------------------------------------------------------------------ what it changes


def test_all_but_the_last_layers_compute_in_bfloat16_and_back():
    model = models.basic_cnn(22)
    Computation("bfloat16").apply(model)
    computed = {layer.name: layer.compute_dtype for layer in model.layers}
    assert computed.pop("logit") == computed.pop("score") == "float32"
    assert set(computed.values()) == {"bfloat16"}
    assert {weight.dtype for weight in model.weights} == {"float32"}
    Computation("float32").apply(model)
    assert {layer.compute_dtype for layer in model.layers} == {"float32"}


# ------------------------------------------------------------------ kernels


@of_tensorflow
@pytest.mark.parametrize(
    ("instructions", "setting", "warns"),
    [
        (AVX2, None, True),
        (AVX2, "1", False),  # and so wherever xraylib came first
        (AVX2 | {"avx512_vnni"}, None, False),  # TensorFlow's own choice
        ({"neon"}, None, False),
    ],
)
def test_tensorflow_loaded_before_xraylib(on, monkeypatch, instructions, setting, warns):
    on(instructions)
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS", raising=False)
    if setting:
        monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", setting)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        precision.choose(network())
    messages = [str(warning.message) for warning in caught]
    assert any("import xraylib before keras" in message for message in messages) == warns
