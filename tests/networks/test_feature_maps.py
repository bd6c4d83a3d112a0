import keras
import numpy as np
import pytest

from xraylib.networks import feature_maps, models


def chain(*layers, size=32):
    """The last layer's path in a network of one layer after another."""
    pixels = keras.Input((size, size, 1), name="pixels")
    x = keras.layers.Conv2D(1, 1, name="first")(pixels)
    for layer in layers:
        x = layer(x)
    logit = keras.layers.Dense(1, name="logit")(keras.layers.Flatten(name="flatten")(x))
    return list(feature_maps.paths(keras.Model(pixels, logit)).values())[-1]


def conv(size, stride=1, padding="valid", **more):
    return keras.layers.Conv2D(1, size, strides=stride, padding=padding, **more)


def test_maps_of_one_place_and_what_comes_before_the_first_convolution_are_no_candidates():
    names = list(feature_maps.paths(models.basic_cnn(22)))
    assert names == ["conv1", "pool1", "conv2", "pool2", "conv3"]  # pool3 has 1 x 1


def test_layers_of_a_model_inside_have_its_name_before_theirs():
    inner = keras.Sequential(
        [keras.Input((8, 8, 1)), conv(3, name="a"), conv(3, name="b")], name="inner"
    )
    pixels = keras.Input((8, 8, 1))
    x = conv(3, padding="same", name="c")(inner(keras.layers.ZeroPadding2D(0)(pixels)))
    paths = feature_maps.paths(keras.Model(pixels, x))
    assert list(paths) == ["inner/a", "inner/b", "c"]
    assert [len(path) for path in paths.values()] == [2, 2, 1]


@pytest.mark.parametrize(
    "layers, first, step",
    [
        pytest.param([], 0, 1, id="1x1"),
        pytest.param([conv(3)], 1, 1, id="valid"),
        pytest.param([conv(3, padding="same")], 0, 1, id="same"),
        # Of 32 rows, 16 windows of 3 need one row more, which is added at the end.
        pytest.param([conv(3, 2, "same")], 1, 2, id="same, stride"),
        # 3 rows more: one before, two behind.
        pytest.param([conv(5, 2, "same")], 1, 2, id="same, 5x5, stride"),
        pytest.param([keras.layers.ZeroPadding2D(1), conv(3, 2)], 0, 2, id="padded, stride"),
        pytest.param([keras.layers.MaxPooling2D()], 0.5, 2, id="pool"),
        pytest.param([conv(3), keras.layers.MaxPooling2D()], 1.5, 2, id="valid, pool"),
        pytest.param([conv(3, dilation_rate=2)], 2, 1, id="dilated"),
        pytest.param([keras.layers.Cropping2D(3), conv(3)], 4, 1, id="cropped"),
        pytest.param([keras.layers.ReLU(), keras.layers.BatchNormalization()], 0, 1, id="none"),
        pytest.param([keras.layers.DepthwiseConv2D(3, 2, "same")], 1, 2, id="depthwise"),
    ],
)
def test_centres_by_hand(layers, first, step):
    path = chain(*layers)
    centres = feature_maps.centres(path, 0)
    assert centres[:2].tolist() == [first, first + step]
    assert len(centres) == path[-1].output.shape[1]


def test_rows_and_columns_have_centres_of_their_own():
    path = chain(keras.layers.MaxPooling2D((2, 4)))
    assert feature_maps.centres(path, 0)[:2].tolist() == [0.5, 2.5]
    assert feature_maps.centres(path, 1)[:2].tolist() == [1.5, 5.5]


@pytest.mark.parametrize(
    "layer", [keras.layers.UpSampling2D(2), keras.layers.Conv2DTranspose(1, 3, strides=2)]
)
def test_centres_are_unknown_behind_a_layer_of_another_kind(layer):
    assert feature_maps.centres(chain(layer, conv(3)), 0) is None


@pytest.mark.parametrize(
    "network, layer",
    [
        (lambda: models.basic_cnn(32), "conv3"),
        pytest.param(lambda: models.resnet50(64), "conv3_block1_out", marks=pytest.mark.slow),
    ],
)
def test_centres_are_where_a_dot_moves_the_maps_most(network, layer):
    network = network()
    pixels = np.full((1, *network.input_shape[1:]), 9, np.uint8)
    path = feature_maps.paths(network)[layer]
    maps = keras.Model(network.input, path[-1].output)
    centres = feature_maps.centres(path, 0)
    row = len(centres) // 2
    moved = []
    for place in range(pixels.shape[1]):
        dotted = pixels.copy()
        dotted[:, place] = 255
        change = np.abs(maps.predict_on_batch(dotted) - maps.predict_on_batch(pixels))
        moved.append(change[0, row].sum())
    # A receptive field is as wide on either side of its middle.
    reached = np.flatnonzero(moved)
    assert (reached[0] + reached[-1]) / 2 == pytest.approx(centres[row], abs=1)


def test_centres_go_through_models_inside():
    flat = models.basic_cnn(64)
    base = keras.Model(flat.input, flat.get_layer("pool2").output, name="base")
    pixels = keras.Input((64, 64, 1), dtype="uint8")
    x = keras.layers.Flatten()(conv(3, name="behind")(base(pixels)))
    network = keras.Model(pixels, keras.layers.Dense(1, name="logit")(x))
    paths = feature_maps.paths(network)
    expected = feature_maps.centres(feature_maps.paths(flat)["pool2"], 0)
    np.testing.assert_array_equal(feature_maps.centres(paths["base/pool2"], 0), expected)
    np.testing.assert_array_equal(feature_maps.centres(paths["behind"], 0), expected[1:-1])


def test_a_number_is_differentiated_by_hand():
    # 3 times each value of the layer, of which each is 2 times a pixel.
    layer = keras.layers.Conv2D(1, 1, kernel_initializer=keras.initializers.Constant(2.0))
    pixels = np.arange(8, dtype=np.float32).reshape(2, 2, 2, 1)
    maps, gradients = feature_maps.differentiated(lambda: 3 * keras.ops.sum(layer(pixels)), layer)
    np.testing.assert_array_equal(maps, 2 * pixels)
    np.testing.assert_array_equal(gradients, np.full((2, 2, 2, 1), 3))
    assert "call" not in vars(layer)


def test_a_layer_that_is_used_twice_has_no_gradient_of_its_own():
    layer = keras.layers.Conv2D(1, 1)
    pixels = np.zeros((1, 2, 2, 1), np.float32)
    with pytest.raises(ValueError, match="used 2 times"):
        feature_maps.differentiated(lambda: keras.ops.sum(layer(layer(pixels))), layer)
    assert "call" not in vars(layer)


def test_a_backend_without_gradients(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "numpy")
    with pytest.raises(NotImplementedError, match="numpy has no gradients: set KERAS_BACKEND"):
        feature_maps.differentiated(lambda: 0, keras.layers.ReLU())
