"""The classifier: one prediction a file, in order, with a reason where it does not decide."""

import os
import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest
from PIL import Image
from support import packed as made

from xraylib import classifier, errors
from xraylib.explain import gradcam
from xraylib.networks import packed, packing

pytest.importorskip("tf2onnx", reason="the extra `export` is not installed")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return made.copied(tmp_path_factory.mktemp("packed") / "tiny")


@pytest.fixture(scope="module")
def tiny(folder):
    return classifier.load(folder)


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """Twenty films of twice the size, labels 0 and 1 in turn."""
    place = tmp_path_factory.mktemp("films")
    rng = np.random.default_rng(7)
    paths = []
    for number in range(20):
        paths.append(place / f"{number:02}.png")
        pixels = made.film(number % 2, rng).repeat(2, axis=0).repeat(2, axis=1)
        Image.fromarray(pixels).save(paths[-1])
    return paths


def one(tiny, path, **options):
    (prediction,) = tiny.predict([path], **options)
    return prediction


def test_predictions_come_in_order_whatever_the_batch(tiny, films):
    alone = [one(tiny, path, refer=0) for path in films]
    assert [each.path for each in alone] == [str(path) for path in films]
    for size in (1, 3, 64):
        together = list(tiny.predict(films, refer=0, batch_size=size))
        assert [each.decision for each in together] == [each.decision for each in alone]
        np.testing.assert_allclose(
            [each.probability for each in together], [each.probability for each in alone], atol=1e-6
        )
    assert {each.decision for each in alone} == {"NORMAL", "PNEUMONIA"}
    for each in alone:
        assert (each.probability >= each.threshold) == (each.decision == "PNEUMONIA")


def test_the_probability_is_that_of_keras_after_calibration(tiny, films):
    network, about = made.network(), tiny.description
    for path in films[:4]:
        square = made.PREPARATION.read(path)
        score = float(network.predict(square[np.newaxis, ..., np.newaxis], verbose=0)[0, 0])
        logit = np.log(score / (1 - score)) / about.temperature
        expected = 1 / (1 + np.exp(-logit))
        assert one(tiny, path).probability == pytest.approx(expected, abs=0.01)


def test_a_prevalence_moves_probabilities_by_bayes_and_no_decision(tiny, films):
    usual, rare = (list(tiny.predict(films, refer=0, prevalence=each)) for each in (None, 0.01))
    for before, after in zip(usual, rare, strict=True):
        odds = before.probability / (1 - before.probability) / 99  # packed at a half
        assert after.probability == pytest.approx(odds / (1 + odds), rel=1e-6)
        assert after.decision == before.decision
        assert after.threshold < before.threshold


def test_a_heat_map_is_the_networks_own_evidence(tiny):
    rng = np.random.default_rng(3)
    squares = np.stack([made.film(label, rng) for label in (0, 1)])
    maps = tiny.heatmaps(squares)
    assert maps.shape == (2, made.SIZE, made.SIZE) and maps.dtype == np.float32
    network = made.network()
    features = keras.Model(network.input, network.get_layer("average").input)
    kernel, bias = network.get_layer("logit").get_weights()
    evidence = features.predict(squares[..., np.newaxis], verbose=0) @ kernel + bias
    expected = gradcam.enlarged(gradcam.scaled(evidence[..., 0], -evidence[..., 0]), made.SIZE)
    np.testing.assert_allclose(maps, expected, atol=0.01)


def test_a_network_packed_without_maps_says_so(tmp_path):
    network = made.network()
    flat = keras.layers.Flatten()(network.get_layer("last").output)
    logit = keras.layers.Dense(1, name="logit", kernel_initializer="ones")(flat)
    score = keras.layers.Activation("sigmoid", name="score")(logit)
    packing.pack(keras.Model(network.input, score), made.images(), tmp_path, name="f", version="1")
    with pytest.raises(errors.ClassifierError, match="has no output cam"):
        classifier.load(tmp_path).heatmaps(np.zeros((1, made.SIZE, made.SIZE), np.uint8))


def test_the_knob_refers_more_or_less(tiny, films):
    shares = [
        np.mean([each.decision == "refer" for each in tiny.predict(films, refer=share)])
        for share in (0, 0.3, 0.9)
    ]
    assert shares[0] == 0 and shares[0] < shares[1] < shares[2]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda pixels: 255 - pixels, "inverted"),
        (lambda pixels: pixels[:20, :20], "too small: 20 x 20"),
        (lambda pixels: pixels // 20, "blank"),
        (lambda pixels: pixels // 64 * 64, "grey levels"),
        (lambda pixels: np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8), ""),
        (lambda pixels: np.zeros((1, 1), np.uint8), "too small: 1 x 1"),
        (lambda pixels: pixels.astype(np.uint16) * 16, "16 bits a pixel but no value above"),
        (lambda pixels: np.stack([pixels, pixels, pixels // 4], axis=2), "a colour picture"),
    ],
)
def test_what_is_unlike_the_training_is_referred_with_a_reason(tiny, films, tmp_path, change, said):
    path = tmp_path / "changed.png"
    Image.fromarray(change(np.array(Image.open(films[0])))).save(path)
    prediction = one(tiny, path, refer=0.05)
    assert prediction.decision == "refer" and prediction.reason
    assert said in prediction.reason


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("text.jpeg", b"see attachment", "text that begins with"),
        ("empty.png", b"", "empty"),
        ("half.png", "half", "cut short"),
        ("bare.dcm", bytes(128) + b"DICM", "DICOM"),
        ("page.pdf", b"%PDF-1.7", "a PDF document"),
        ("missing.jpeg", None, "does not exist"),
    ],
)
def test_what_cannot_be_read_is_a_row_with_a_reason(tiny, films, tmp_path, name, content, said):
    path = tmp_path / name
    if content == "half":
        content = films[0].read_bytes()
        content = content[: len(content) // 2]
    if content is not None:
        path.write_bytes(content)
    before, prediction, after = tiny.predict([films[0], path, films[1]])
    assert (prediction.probability, prediction.decision) == (None, "")
    assert said in prediction.reason and str(path) not in prediction.reason
    assert "\n" not in prediction.reason
    assert before.decision and after.decision


def test_a_table_has_a_row_a_file(tiny, films, tmp_path):
    table = tiny.table([*films[:2], tmp_path / "missing"])
    assert list(table) == list(classifier.COLUMNS)
    assert table["probability"].isna().tolist() == [False, False, True]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"prevalence": 0}, "prevalence must be between 0 and 1"),
        ({"prevalence": float("nan")}, "prevalence must be between 0 and 1"),
        ({"refer": 1}, "share to refer"),
        ({"batch_size": 0}, "batch_size must be 1 or more"),
    ],
)
def test_wrong_options_are_refused_before_the_first_file(tiny, options, said):
    with pytest.raises(ValueError, match=said):
        tiny.predict([], **options)


def test_a_network_of_another_shape_is_refused(folder, tmp_path):
    from xraylib.networks import export

    other = shutil.copytree(folder, tmp_path / "other")
    export.onnx(made.network(size=48), other / packed.ONNX["float"])
    packed.write(other, packed.read(folder))
    with pytest.raises(errors.ClassifierError, match=r"\[48, 48, 1\]"):
        classifier.load(other)
    (other / packed.ONNX["float"]).write_bytes(b"no network")
    packed.write(other, packed.read(folder))
    with pytest.raises(errors.ClassifierError, match="cannot be loaded by onnxruntime"):
        classifier.load(other)


def test_eight_bits_decide_as_all_do(folder, tiny, films):
    small = classifier.load(folder, bits="int8")
    probabilities = [
        [each.probability for each in chosen.predict(films)] for chosen in (tiny, small)
    ]
    np.testing.assert_allclose(*probabilities, atol=0.1)


def test_nothing_heavy_is_imported(folder, films):
    code = (
        "import sys; from xraylib.cli import main; main(sys.argv[1:]); "
        "print(*{name.split('.')[0] for name in sys.modules})"
    )
    command = [sys.executable, "-c", code, "predict", str(films[0]), "--classifier", str(folder)]
    run = subprocess.run(command, check=True, capture_output=True, text=True, env=dict(os.environ))
    loaded = set(run.stdout.splitlines()[-1].split())
    heavy = {"tensorflow", "keras", "jax", "pandas", "matplotlib", "sklearn", "scipy", "onnx"}
    assert "onnxruntime" in loaded and not loaded & heavy
