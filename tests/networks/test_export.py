"""Networks that leave Keras: the same outputs from each file, and the same file each time."""

import sys

import keras
import numpy as np
import pytest
from keras import layers

from xraylib.networks import export, models

for needed in ("onnx", "tf2onnx"):
    pytest.importorskip(needed, reason="the extra `export` is not installed")


def network(classes=1, seed=0):
    """A convolution, a mean and a layer, with the names of those in `models`."""
    pixels = keras.Input((16, 16, 1), dtype="uint8", name="pixels")
    x = layers.Rescaling(1 / 255, name="scaled")(pixels)
    x = layers.Conv2D(4, 3, strides=2, padding="same", activation="relu", name="first")(x)
    x = layers.Conv2D(80, 3, strides=2, padding="same", activation="relu", name="last")(x)
    x = layers.GlobalAveragePooling2D(name="average")(x)
    x = layers.Dense(classes, name="logit")(x)
    activation = "sigmoid" if classes == 1 else "softmax"
    made = keras.Model(pixels, layers.Activation(activation, name="score")(x), name="tiny")
    rng = np.random.default_rng(seed)
    made.set_weights([rng.normal(0, 0.2, each.shape) for each in made.get_weights()])
    return made


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(1).integers(0, 256, (40, 16, 16, 1), dtype=np.uint8)


def test_the_outputs_are_logit_features_at_two_depths_and_a_map():
    shapes = {name: each.shape for name, each in export.deployed(network()).output.items()}
    assert shapes == {
        "logit": (None, 1),
        "late": (None, 80),
        "early": (None, 4),
        "cam": (None, 4, 4, 1),
    }


def test_the_mean_of_the_map_is_the_logit(pixels):
    outputs = export.deployed(network()).predict(pixels, verbose=0)
    np.testing.assert_allclose(outputs["cam"].mean(axis=(1, 2)), outputs["logit"], atol=1e-5)


def test_several_classes_become_one_logit_of_all_but_the_first(pixels):
    three = network(classes=3)
    logit = export.deployed(three).predict(pixels, verbose=0)["logit"][:, 0]
    disease = three.predict(pixels, verbose=0)[:, 1:].sum(axis=1)
    np.testing.assert_allclose(1 / (1 + np.exp(-logit)), disease, atol=1e-5)


def test_the_map_of_several_classes_is_the_logit_of_each_place_alone(pixels):
    three = network(classes=3)
    cam = export.deployed(three).predict(pixels, verbose=0)["cam"]
    maps = keras.Model(three.input, three.get_layer("average").input).predict(pixels, verbose=0)
    kernel, bias = three.get_layer("logit").get_weights()
    normal, bacteria, virus = np.moveaxis(maps @ kernel + bias, -1, 0)
    expected = np.log(np.exp(bacteria) + np.exp(virus)) - normal
    np.testing.assert_allclose(cam[..., 0], expected, atol=1e-4)


@pytest.mark.slow
def test_onnx_has_the_map_of_several_classes(tmp_path, pixels):
    three = network(classes=3)
    path = export.onnx(three, tmp_path / "a.onnx")
    differences = export.difference(three, path, pixels)
    assert set(differences) == set(export.OUTPUTS)
    assert max(differences.values()) < 1e-4
    assert export.outputs(path, pixels)["cam"].shape == (40, 4, 4, 1)


def test_a_network_of_another_form_is_refused():
    pixels = keras.Input((4, 8, 1))
    x = layers.Flatten()(pixels)
    with pytest.raises(ValueError, match='must have a layer named "logit"'):
        export.deployed(keras.Model(pixels, layers.Dense(1, name="score")(x)))
    with pytest.raises(ValueError, match="must take grey squares"):
        export.deployed(keras.Model(pixels, layers.Dense(1, name="logit")(x)))


@pytest.mark.slow
@pytest.mark.parametrize("half", [False, True])
def test_onnx_computes_the_same_from_the_same_bytes(tmp_path, pixels, half):
    path = export.onnx(network(), tmp_path / "a.onnx", half=half)
    differences = export.difference(network(), path, pixels)
    assert set(differences) == set(export.OUTPUTS)
    assert max(differences.values()) < (0.005 if half else 1e-4)
    again = export.onnx(network(), tmp_path / "b.onnx", half=half)
    assert again.read_bytes() == path.read_bytes()
    other = export.onnx(network(seed=1), tmp_path / "c.onnx", half=half)
    assert other.read_bytes() != path.read_bytes()


@pytest.mark.slow
def test_half_the_bits_take_half_the_space(tmp_path):
    large = models.basic_cnn(32)
    whole, half = (export.onnx(large, tmp_path / f"{bits}.onnx", half=bits) for bits in (0, 1))
    assert half.stat().st_size < 0.55 * whole.stat().st_size


@pytest.mark.slow
def test_int8_is_close_and_smaller(tmp_path, pixels):
    whole = export.onnx(network(), tmp_path / "a.onnx")
    small = export.int8(whole, tmp_path / "8.onnx", pixels)
    spread = np.ptp(export.outputs(whole, pixels)["logit"])
    assert export.difference(network(), small, pixels)["logit"] < 0.1 * spread


@pytest.mark.slow
@pytest.mark.parametrize(("format", "name"), [("tf_saved_model", "a"), ("litert", "a.tflite")])
def test_other_formats_compute_the_same(tmp_path, pixels, format, name):
    if format == "litert":
        pytest.importorskip("tensorflow.lite", reason="LiteRT is not installed")
    path = export.write(network(), tmp_path / name, format)
    assert max(export.difference(network(), path, pixels).values()) < 1e-4


@pytest.mark.slow
def test_a_halved_network_loads_as_any_other(tmp_path, pixels):
    original = network()
    path = export.halved(original, tmp_path / "a.keras")
    loaded = keras.models.load_model(path)
    assert {variable.dtype for variable in loaded.variables} == {"float32"}
    expected, scores = (each.predict(pixels, verbose=0) for each in (original, loaded))
    np.testing.assert_allclose(scores, expected, atol=0.005)
    assert export.halved(original, tmp_path / "b.keras").read_bytes() == path.read_bytes()


def test_a_missing_package_names_the_extra(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    with pytest.raises(ImportError, match=r"pip install 'xraylib\[export\]'"):
        export.onnx(network(), tmp_path / "a.onnx")
