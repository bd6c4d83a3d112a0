import subprocess
import sys

import keras
import numpy as np
import pytest
from support import jax
from support.networks import mean_network

from xraylib.explain import gradcam
from xraylib.networks import models, precision

slow = pytest.mark.slow
METHODS = ("gradcam", "gradcam++", "hirescam", "layercam")


def pixels(count=3, size=32, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, 1), np.uint8)


def network(kernel, head, *, size=4, channels=1, flat=True, activation="sigmoid"):
    """One 1x1 convolution, and a layer of given weights over all its values or over their means."""
    inputs = keras.Input((size, size, 1), dtype="uint8", name="pixels")
    x = keras.layers.Rescaling(1.0, name="rescaling")(inputs)
    convolution = keras.layers.Conv2D(channels, 1, name="conv", use_bias=False)
    x = convolution(x)
    x = (keras.layers.Flatten if flat else keras.layers.GlobalAveragePooling2D)(name="head")(x)
    head = np.asarray(head, np.float32)
    logit = keras.layers.Dense(head.shape[1], name="logit")
    x = keras.layers.Activation(activation, name="score")(logit(x))
    convolution.set_weights([np.asarray(kernel, np.float32).reshape(1, 1, 1, channels)])
    logit.set_weights([head, np.zeros(head.shape[1], np.float32)])
    return keras.Model(inputs, x, name="by_hand")


def by_place(values):
    """A linear network in which each pixel of a 2x2 image has a weight of its own."""
    return network([1], np.reshape(values, (4, 1)), size=2)


def drawn(model, image, **how):
    return gradcam.heatmap(model, np.asarray(image, np.uint8)[np.newaxis], **how)[0].tolist()


# ------------------------------------------------------------------ methods, by hand


@pytest.mark.parametrize(
    "method, expected",
    [
        # Each value times its own weight: 10, -40, 0, 20, of which 40 is the strongest.
        ("hirescam", [[0.25, 0], [0, 0.5]]),
        # Each value times the mean weight, 1.75: as bright as the pixels.
        ("gradcam", [[0.25, 0.5], [0, 1]]),
        # Each value times its own weight where that is positive: 10, 0, 0, 20; against: 40.
        ("layercam", [[0.25, 0], [0, 0.5]]),
        ("gradcam++", [[0.25, 0.5], [0, 1]]),
    ],
)
def test_each_method_by_hand(method, expected):
    model = by_place([1, -2, 7.5, 0.5])
    result = drawn(model, [[10, 20], [0, 40]], method=method)
    np.testing.assert_allclose(result, expected, atol=1e-6)


def test_gradcam_plus_plus_weighs_maps_by_the_paper():
    # The weight of a map is the sum of G / (2 + sum(A) G) over the places of positive G.
    maps = np.array([[[[3.0, 0.0], [1.0, 2.0]]]])
    gradients = np.array([[[[1.0, 2.0], [-5.0, 2.0]]]])
    first, second = 1 / (2 + 4 * 1), 2 * 2 / (2 + 2 * 2)
    result = gradcam._gradcam_plus_plus(maps, gradients)
    np.testing.assert_allclose(result, [[[3 * first, first + 2 * second]]])


def test_gradcam_is_class_activation_where_a_mean_and_one_layer_follow():
    model = network([1, -1, 0.5], [[2.0], [1.0], [-3.0]], channels=3, flat=False)
    images = pixels(3, 4)
    features = keras.Model(model.input, model.get_layer("conv").output).predict_on_batch(images)
    expected = gradcam.class_activation(features, np.array([2.0, 1.0, -3.0]), image_size=4)
    for method in ("gradcam", "hirescam"):
        result = gradcam.heatmap(model, images, method=method)
        np.testing.assert_allclose(result, expected, atol=1e-5)


# ------------------------------------------------------------------ class activation


def test_class_activation_adds_up_to_the_logit():
    features = np.random.default_rng(0).random((1, 3, 3, 5))
    weights = np.array([1.0, 2, 0, 0.5, 3])
    maps = gradcam.class_activation(features, weights)[0]
    logit = features[0].mean((0, 1)) @ weights
    strongest = (features[0] @ weights).max()
    assert maps.mean() * strongest == pytest.approx(logit)


def test_class_activation_of_nothing_for_the_class_is_empty():
    assert not gradcam.class_activation(np.ones((2, 3, 3, 1)), np.array([-1.0])).any()
    assert not gradcam.class_activation(np.zeros((2, 3, 3, 1)), np.array([1.0])).any()


def test_class_activation_takes_the_kernel_of_a_layer():
    features = np.ones((1, 2, 2, 3), np.float16)
    assert gradcam.class_activation(features, np.ones((3, 1)), image_size=8).shape == (1, 8, 8)


@pytest.mark.parametrize("shape, weights", [((2, 2, 3), 3), ((1, 2, 2, 3), 2)])
def test_class_activation_of_shapes_that_do_not_fit(shape, weights):
    with pytest.raises(ValueError, match=r"weights \(maps,\)\. Received: "):
        gradcam.class_activation(np.ones(shape), np.ones(weights))


@slow
def test_class_activation_needs_no_keras():
    code = (
        "import sys; from xraylib.explain import gradcam; import numpy as np\n"
        "gradcam.class_activation(np.ones((1, 2, 2, 1)), np.ones(1), image_size=4)\n"
        "assert not {'keras', 'tensorflow'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# ------------------------------------------------------------------ scale


def test_a_map_of_an_image_that_speaks_against_the_class_is_empty_and_said_to_be(caplog):
    model = by_place([-1, -2, -1, -0.5])
    images = np.full((2, 2, 2), 9, np.uint8)
    for method in METHODS:
        caplog.clear()
        assert not gradcam.heatmap(model, images, method=method).any()
        assert caplog.messages == ["2 of 2 heat maps are empty: nothing speaks for the class"]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("head", [np.zeros((4, 1)), np.full((4, 1), 1e-30)], ids=["0", "tiny"])
def test_a_map_is_finite_whatever_the_weights(method, head):
    maps = gradcam.heatmap(by_place(head), pixels(2, 2), method=method)
    assert np.isfinite(maps).all()
    assert ((maps >= 0) & (maps <= 1)).all()


def test_a_black_image_has_an_empty_map():
    assert not gradcam.heatmap(by_place([1, 1, 1, 1]), np.zeros((1, 2, 2), np.uint8)).any()


def test_little_evidence_for_the_class_is_not_scaled_up():
    result = drawn(by_place([-100, 1, -100, -100]), [[10, 10], [10, 10]], method="hirescam")
    assert result[0][1] == pytest.approx(0.01)


def test_rounding_is_no_evidence():
    evidence = np.array([[[-1.0, 1e-7]]])
    assert not gradcam.scaled(evidence, -evidence).any()


# ------------------------------------------------------------------ targets


def test_class_0_of_one_output_is_the_opposite_of_class_1():
    image = [[10, 10], [10, 10]]
    opposite = drawn(by_place([-1, 2, -3, 4]), image, method="hirescam")
    assert drawn(by_place([1, -2, 3, -4]), image, method="hirescam", target=0) == opposite


def test_two_outputs_give_what_one_of_their_difference_gives():
    two = network([1], [[0, 1], [1, -1], [2, 1], [0, 3]], size=2, activation="softmax")
    image = [[10, 20], [30, 40]]
    for method in METHODS:
        expected = drawn(by_place([1, -2, -1, 3]), image, method=method)
        result = drawn(two, image, method=method, target=1)
        np.testing.assert_allclose(result, expected, atol=1e-5)


def test_log_odds_of_some_classes_by_hand():
    model = network([1], np.eye(4)[:, :3], size=2, activation="softmax")
    image = np.array([[[1, 2], [3, 0]]], np.uint8)
    shares = np.exp([1, 2, 3]) / np.exp([1, 2, 3]).sum()
    for target, share in ((0, shares[0]), ((1, 2), shares[1] + shares[2])):
        expected = np.log(share / (1 - share))
        assert gradcam.log_odds(model, target=target)(image) == pytest.approx([expected])


def test_several_classes_need_a_target():
    model = network([1], np.ones((4, 3)), size=2, activation="softmax")
    with pytest.raises(ValueError, match=r"tells 3 classes apart: name the one .* target=0 to 2"):
        gradcam.heatmap(model, pixels(1, 2))


@pytest.mark.parametrize("target", [2, -1, [], [0, 1]])
def test_targets_that_are_no_classes(target):
    with pytest.raises(ValueError, match=r"not all, of the classes 0 to 1\. Received: "):
        gradcam.heatmap(by_place([1, 1, 1, 1]), pixels(1, 2), target=target)


# ------------------------------------------------------------------ where a sure network looks


def test_a_network_that_is_sure_has_a_map():
    # Its probability is 1 in float32, and the gradient of that is 0.
    assert drawn(by_place([100, 0, 0, 0]), [[200, 9], [9, 9]], method="hirescam")[0][0] == 1


def test_log_odds_are_logits():
    images = pixels(5, 8)
    score = gradcam.log_odds(mean_network(8), batch_size=2)
    np.testing.assert_allclose(score(images), images.mean((1, 2, 3)) / 255, rtol=1e-5)
    np.testing.assert_allclose(score(images[:0]), [])


# ------------------------------------------------------------------ networks


def test_a_dot_is_marked_where_it_is():
    model = models.basic_cnn(64)
    for layer in ("conv1", "conv2", "conv3"):
        # Positive weights only: what is brighter speaks for the class.
        for each in ("conv1", "conv2", "conv3", "dense1", "logit"):
            kernel = model.get_layer(each).kernel
            kernel.assign(np.abs(kernel))
        for place in ((12, 44), (32, 32), (50, 20)):
            image = np.zeros((1, 64, 64), np.uint8)
            image[0, place[0] - 1 : place[0] + 2, place[1] - 1 : place[1] + 2] = 255
            maps = gradcam.heatmap(model, image, layer=layer, method="layercam")[0]
            middle = np.argwhere(maps > 0.5).mean(0)
            np.testing.assert_allclose(middle, place, atol=4)


@pytest.mark.parametrize("method", METHODS)
def test_nested_networks_give_the_maps_of_flat_ones(method):
    flat = models.basic_cnn(32)
    base = keras.Model(flat.input, flat.get_layer("pool3").output, name="base")
    inputs = keras.Input((32, 32, 1), dtype="uint8")
    x = base(inputs)
    for name in ("flatten", "dense1", "logit", "score"):
        layer = flat.get_layer(name)
        x = type(layer).from_config(layer.get_config())(x)
    inside = keras.Model(inputs, x, name="nested")
    inside.set_weights(flat.get_weights())
    assert gradcam.layers(inside) == [f"base/{name}" for name in gradcam.layers(flat)]
    for name in ("pool1", "conv3", "pool3"):
        np.testing.assert_allclose(
            gradcam.heatmap(inside, pixels(), layer=f"base/{name}", method=method),
            gradcam.heatmap(flat, pixels(), layer=name, method=method),
            atol=1e-5,
        )


@pytest.mark.parametrize(
    "build",
    [
        models.basic_cnn,
        models.tuned_cnn,
        pytest.param(models.vgg19, marks=slow),
        pytest.param(models.resnet50, marks=slow),
    ],
)
def test_maps_are_the_same_after_saving_and_loading(build, tmp_path):
    model = build(48)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for layer in gradcam.layers(model)[:: len(gradcam.layers(model)) // 4]:
        maps = gradcam.heatmap(model, pixels(2, 48), layer=layer)
        assert maps.shape == (2, 48, 48)
        assert maps.dtype == np.float32
        np.testing.assert_allclose(
            maps, gradcam.heatmap(loaded, pixels(2, 48), layer=layer), atol=1e-5
        )


def test_drawing_leaves_the_network_as_it_was():
    model = models.basic_cnn(32)
    weights, before = model.get_weights(), model.predict_on_batch(pixels())
    nodes = [len(layer._inbound_nodes) for layer in model.layers]
    gradcam.heatmap(model, pixels(), layer="conv2")
    assert all(map(np.array_equal, weights, model.get_weights()))
    np.testing.assert_array_equal(model.predict_on_batch(pixels()), before)
    assert [len(layer._inbound_nodes) for layer in model.layers] == nodes


def test_maps_of_a_network_in_bfloat16():
    model = models.basic_cnn(32)
    exact = gradcam.heatmap(model, pixels(), method="hirescam")
    precision.Computation("bfloat16").apply(model)
    maps = gradcam.heatmap(model, pixels(), method="hirescam")
    assert maps.dtype == np.float32
    assert np.abs(maps - exact).mean() < 0.05


def test_portions_and_one_channel_or_none_change_nothing():
    model = models.basic_cnn(32)
    images = pixels(5)
    whole = gradcam.heatmap(model, images)
    np.testing.assert_allclose(gradcam.heatmap(model, images, batch_size=2), whole, atol=1e-5)
    np.testing.assert_allclose(gradcam.heatmap(model, images[..., 0]), whole, atol=1e-5)
    assert gradcam.heatmap(model, images[:0]).shape == (0, 32, 32)


# ------------------------------------------------------------------ wrong arguments


@pytest.mark.parametrize(
    "wrong, match",
    [
        ({"layer": "conv9"}, "no maps of a layer 'conv9': choose from conv1, pool1"),
        ({"layer": "dense1"}, "no maps of a layer 'dense1'"),
        ({"method": "cam"}, r"method must be one of gradcam, .*\. Received: 'cam'"),
    ],
)
def test_a_wrong_layer_or_method(wrong, match):
    with pytest.raises(ValueError, match=match):
        gradcam.heatmap(models.basic_cnn(32), pixels(), **wrong)


@pytest.mark.parametrize(
    "images",
    [
        pytest.param(pixels(1, 31), id="size"),
        pytest.param(pixels(1)[0], id="one image"),
        pytest.param(np.repeat(pixels(1), 3, axis=3), id="colour"),
        # Scaled already: the network would scale once more, and see black.
        pytest.param(pixels(1) / 255, id="float"),
    ],
)
def test_pixels_that_the_network_does_not_take(images):
    match = r"pixels must be uint8 \(n, 32, 32, 1\), as basic_cnn takes them\. Received: "
    with pytest.raises(ValueError, match=match):
        gradcam.heatmap(models.basic_cnn(32), images)


def test_a_network_without_maps():
    inputs = keras.Input((4, 4, 1), dtype="uint8")
    logit = keras.layers.Dense(1, name="logit")(keras.layers.Flatten()(inputs))
    with pytest.raises(ValueError, match="no layer with maps of more than one place"):
        gradcam.heatmap(keras.Model(inputs, logit), pixels(1, 4))


# ------------------------------------------------------------------ other backends

ELSEWHERE = """
import numpy as np, keras
from xraylib.explain import gradcam
from xraylib.networks import models

model = models.basic_cnn(32)
stored = np.load(sys.argv[1])
model.set_weights([stored[f"arr_{number}"] for number in range(len(model.weights))])
maps = [
    gradcam.heatmap(model, stored["pixels"], layer=layer, method=method)
    for layer in ("conv2", "pool3")
    for method in ("gradcam", "gradcam++", "hirescam", "layercam")
]
assert np.abs(np.stack(maps) - stored["maps"]).max() < 1e-3
print(keras.backend.backend())
"""


@pytest.fixture
def stored(tmp_path):
    """Weights, pixels and the maps that this backend draws of them."""
    model = models.basic_cnn(32)
    maps = [
        gradcam.heatmap(model, pixels(), layer=layer, method=method)
        for layer in ("conv2", "pool3")
        for method in METHODS
    ]
    path = tmp_path / "stored.npz"
    np.savez(path, *model.get_weights(), pixels=pixels(), maps=np.stack(maps))
    return path


@slow
def test_jax_draws_the_same_maps_without_tensorflow(stored):
    assert jax.run(ELSEWHERE, stored) == ["jax"]
