import errno
import functools
import re
import warnings
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from support.trainings import computes_bfloat16

from xraylib import cache
from xraylib.data.augmentation import Augmentation
from xraylib.data.loading import Batches
from xraylib.networks import models, training, transfer

SIZE = 8
dense_vgg19 = functools.partial(models.vgg19, head="dense")
SETTINGS = {"epochs": 3, "learning_rate": 0.05, "precision": "float32"}


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XRAYLIB_CACHE", str(tmp_path / "cache"))


def network(*, seed=0, freeze=True, dropout=0.0):
    """A small network as those of `models`: a convolution, normalization, and a head."""
    inputs = keras.Input((SIZE, SIZE, 1), dtype="uint8", name="pixels")
    x = keras.layers.Rescaling(1 / 255, name="rescaling")(inputs)
    he = keras.initializers.HeNormal(seed)
    x = keras.layers.Conv2D(4, 3, name="conv", activation="relu", kernel_initializer=he)(x)
    x = keras.layers.BatchNormalization(name="normalization", momentum=0.5)(x)
    x = keras.layers.GlobalAveragePooling2D(name="average")(x)
    if dropout:
        x = keras.layers.Dropout(dropout, seed=seed, name="dropout")(x)
    x = keras.layers.Dense(1, dtype="float32", name="logit", kernel_initializer=he)(x)
    outputs = keras.layers.Activation("sigmoid", dtype="float32", name="score")(x)
    small = keras.Model(inputs, outputs, name="small")
    if freeze:
        transfer.freeze(small)
    return small


def batches(count=10, *, seed=0, order=0, **more):
    """Noise, darker for class 1, of which rows 1 to `count` are in."""
    labels = np.arange(count + 1) % 2
    pixels = np.random.default_rng(seed).integers(0, 256, (count + 1, SIZE, SIZE, 1), np.uint8)
    pixels[labels == 1] //= 2
    return Batches(pixels, labels, np.arange(1, count + 1), batch_size=4, seed=order, **more)


def changed(**more):
    return batches(augment=Augmentation(gamma=0.5, noise=20), shuffle=True, **more)


def scores(model, pixels):
    return keras.ops.convert_to_numpy(model(pixels, training=False))


def fused(model, name):
    """What the whole network gives at a layer, image by image as they lie."""
    part = keras.Model(model.input, model.get_layer(name).output)
    return lambda pixels: scores(part, pixels)


@pytest.fixture
def passes(monkeypatch):
    """Counts the batches that any base is run over."""
    counted = []
    predict = keras.Model.predict_on_batch

    def count(model, x):
        if model.name == "base":
            counted.append(len(x))
        return predict(model, x)

    monkeypatch.setattr(keras.Model, "predict_on_batch", count)
    return counted


# ------------------------------------------------------------------ freeze


@pytest.mark.parametrize(
    ("build", "head"),
    [
        (models.basic_cnn, ["dense1", "logit"]),
        (models.tuned_cnn, ["dense1", "dense2", "dense3", "logit"]),
        pytest.param(models.vgg19, ["logit"], marks=pytest.mark.slow),
        pytest.param(
            functools.partial(models.vgg19, head="dense"),
            ["fc1", "fc2", "logit"],
            marks=pytest.mark.slow,
        ),
        pytest.param(models.resnet50, ["logit"], marks=pytest.mark.slow),
    ],
)
def test_frozen_only_the_head_is_trained(build, head, zeros):
    network = build(32)
    transfer.freeze(network)
    trained = [layer.name for layer in network.layers if layer.trainable_weights]
    assert trained == head


def test_a_network_without_a_head():
    inputs = keras.Input((4,))
    network = keras.Model(inputs, keras.layers.Dense(1)(inputs), name="plain")
    message = 'plain has no layer "average" or "flatten", with which a head begins'
    with pytest.raises(ValueError, match=message):
        transfer.freeze(network)
    assert len(network.trainable_weights) == 2


# ------------------------------------------------------------------ features


def test_features_are_what_the_frozen_layers_give():
    model, data = network(), batches()
    features = transfer.features(model, data)
    assert features.shape == (10, 4)
    assert features.dtype == np.float32
    assert isinstance(features, np.memmap)
    assert not features.flags.writeable
    expected = fused(model, "average")(data.pixels[1:])
    np.testing.assert_allclose(features, expected, atol=1e-6)


def test_the_order_of_the_batches_plays_no_part(passes):
    model = network()
    plain = transfer.features(model, batches())
    before = len(passes)
    shuffled = transfer.features(model, batches(shuffle=True, order=3))
    np.testing.assert_array_equal(plain, shuffled)
    assert len(passes) == before == 3


def test_augmented_images_are_taken_as_in_the_first_epoch():
    model, data = network(), changed()
    features = transfer.features(model, data)
    ordered = Batches(
        data.pixels, np.arange(11) % 2, data.rows, batch_size=10, augment=data.augment
    )
    ordered.start_epoch(1)
    np.testing.assert_allclose(features, fused(model, "average")(ordered[0][0]), atol=1e-6)


def test_the_batches_are_left_as_they_were():
    data = changed()
    data.start_epoch(5)
    order = data.order.copy()
    transfer.features(network(), data)
    assert data.epoch == 5
    assert data.shuffle
    np.testing.assert_array_equal(data.order, order)


def test_features_before_dropout():
    features = transfer.features(network(dropout=0.5), batches())
    np.testing.assert_allclose(
        features, fused(network(), "average")(batches().pixels[1:]), atol=1e-6
    )


def test_all_frozen():
    model = network()
    model.get_layer("logit").trainable = False
    with pytest.raises(ValueError, match="no layer of small is trainable: leave its last ones"):
        transfer.features(model, batches())


@computes_bfloat16
def test_in_bfloat16_they_are_those_of_bfloat16():
    model, data = network(), batches()
    features = transfer.features(model, data, precision="bfloat16")
    assert model.get_layer("conv").compute_dtype == "bfloat16"
    expected = fused(model, "average")(data.pixels[1:]).astype(np.float32)
    np.testing.assert_array_equal(features, expected)
    # A bfloat16 has no more than 8 of the 24 digits of a float32.
    assert not (features.view(np.uint32) & 0xFFFF).any()
    assert (transfer.features(model, data, precision="float32") != features).any()


# ------------------------------------------------------------------ the cache


def test_computed_once(passes):
    first = transfer.features(network(), batches())
    assert passes == [4, 4, 4]  # ten images, the last batch filled up
    again = transfer.features(network(), batches())
    assert len(passes) == 3
    np.testing.assert_array_equal(first, again)


@pytest.mark.parametrize(
    "change",
    [
        lambda model, data: model.get_layer("conv").bias.assign([0.5] * 4),
        lambda model, data: model.get_layer("normalization").moving_mean.assign([0.5] * 4),
        lambda model, data: setattr(model.get_layer("rescaling"), "scale", 1 / 128),
        lambda model, data: data.pixels.__setitem__(3, 255 - data.pixels[3]),
        lambda model, data: setattr(data, "rows", np.arange(10)),
        lambda model, data: setattr(data, "augment", None),
        lambda model, data: setattr(data, "seed", 1),
    ],
    ids=["weights", "means", "layers", "pixels", "rows", "augmentation", "seed"],
)
def test_features_are_computed_again_after_a_change(passes, change):
    model, data = network(), changed()
    transfer.features(model, data)
    before = len(passes)
    change(model, data)
    features = transfer.features(model, data)
    assert len(passes) == before + 3
    data.shuffle = False
    data.start_epoch(1)
    expected = np.concatenate([fused(model, "average")(data[number][0]) for number in range(3)])
    np.testing.assert_allclose(features, expected, atol=1e-6)


@pytest.mark.parametrize("which", ["ours", "keras"])
def test_another_version_computes_again(passes, monkeypatch, which):
    transfer.features(network(), batches())
    if which == "ours":
        monkeypatch.setattr(transfer, "_VERSION", transfer._VERSION + 1)
    else:
        versions = transfer.machine.versions() | {"keras": "99.0"}
        monkeypatch.setattr(transfer.machine, "versions", lambda: versions)
    transfer.features(network(), batches())
    assert len(passes) == 6


def test_damaged_features_are_noticed_and_made_again(passes):
    expected = np.array(transfer.features(network(), batches()))
    (path,) = (cache.cache_folder() / "features").glob("*/features.npy")
    content = bytearray(path.read_bytes())
    content[-2] ^= 1
    path.write_bytes(content)
    with pytest.warns(UserWarning, match="is damaged .*: it is made again"):
        features = transfer.features(network(), batches())
    np.testing.assert_array_equal(features, expected)
    assert len(passes) == 6


def test_stopped_half_way_nothing_is_kept(passes, monkeypatch):
    predict = keras.Model.predict_on_batch

    def until_stopped(model, x):
        if len(passes) == 2:
            raise KeyboardInterrupt
        return predict(model, x)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(keras.Model, "predict_on_batch", until_stopped)
        transfer.features(network(), batches())
    assert not list((cache.cache_folder() / "features").glob("*/features.npy"))
    transfer.features(network(), batches())
    assert len(passes) == 2 + 3


def test_without_room_in_the_cache_they_last_for_this_process(monkeypatch):
    def full(folder, size):
        if folder.name == "features":
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(cache, "_check_space", full)
    with pytest.warns(UserWarning, match=r"cannot write .* \(No space left on device\)"):
        features = transfer.features(network(), batches())
    np.testing.assert_allclose(
        features, fused(network(), "average")(batches().pixels[1:]), atol=1e-6
    )


# ------------------------------------------------------------------ the head


def train(folder, fit, *, model=None, data=None, **more):
    model = model or network()
    history = fit(
        model, data or batches(shuffle=True), batches(6, seed=1), folder=folder, **SETTINGS | more
    )
    return SimpleNamespace(model=model, history=history)


def assert_alike(run, expected):
    """The same history but for the time, and the same weights, up to rounding."""
    assert run.history["epoch"].tolist() == expected.history["epoch"].tolist()
    for column in ("loss", "auc", "accuracy"):
        np.testing.assert_allclose(run.history[column], expected.history[column], atol=1e-5)
    for weight, other in zip(run.model.get_weights(), expected.model.get_weights(), strict=True):
        np.testing.assert_allclose(weight, other, atol=1e-5)


@pytest.mark.slow
def test_the_head_is_trained_as_in_the_whole_network(tmp_path):
    run = train(tmp_path / "frozen", transfer.fit)
    assert_alike(run, train(tmp_path / "fused", training.fit))
    start = network()
    moved = {
        weight.path
        for weight, other in zip(run.model.weights, start.weights, strict=True)
        if not np.array_equal(weight, other)
    }
    assert moved == {"logit/kernel", "logit/bias"}


@pytest.mark.slow
def test_scores_of_the_whole_are_those_of_features_and_head(tmp_path):
    data = batches(6, seed=1)
    run = train(tmp_path, transfer.fit)
    head = transfer._parts(run.model)[1]
    apart = scores(head, np.array(transfer.features(run.model, data, precision="float32")))
    whole = scores(run.model, data.pixels[1:])
    assert whole.shape == (6, 1)
    assert np.abs(whole - apart).max() < 1e-5
    assert np.ptp(whole) > 0.01  # and not because all are alike
    assert np.abs(run.model.predict(data, verbose=0) - whole).max() < 1e-5


@pytest.mark.slow
def test_it_is_saved_as_one_ordinary_network(tmp_path):
    run = train(tmp_path, transfer.fit)
    run.model.save(tmp_path / "model.keras")
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # such as of an optimizer that does not fit
        loaded = keras.models.load_model(tmp_path / "model.keras")
    assert [layer.name for layer in loaded.layers] == [layer.name for layer in network().layers]
    pixels = batches().pixels
    np.testing.assert_allclose(scores(loaded, pixels), scores(run.model, pixels), atol=1e-6)


@pytest.mark.slow
def test_what_was_saved_is_logged(tmp_path, caplog):
    caplog.set_level("INFO", logger="xraylib")
    train(tmp_path, transfer.fit, data=changed())
    # 10 images of train and 6 of validation, for 3 epochs.
    message = "3 epochs of 16 images took 16 passes of the frozen layers instead of 48"
    assert message in caplog.messages


@pytest.mark.slow
def test_a_finished_head_is_not_trained_again(tmp_path, caplog, passes):
    expected = train(tmp_path, transfer.fit)
    before = len(passes)
    caplog.set_level("INFO", logger="xraylib")
    again = train(tmp_path, transfer.fit)
    assert_alike(again, expected)
    assert "resumed after epoch 3" in caplog.text
    assert len(passes) == before


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "order"), [(1, 0), (0, 1)], ids=["features", "order"])
def test_a_head_of_other_features_or_another_order_is_not_resumed(tmp_path, caplog, seed, order):
    train(tmp_path, transfer.fit)
    caplog.set_level("INFO", logger="xraylib")
    data = batches(shuffle=True, order=order)
    train(tmp_path, transfer.fit, model=network(seed=seed), data=data)
    assert "resumed" not in caplog.text


# ------------------------------------------------------------------ the networks of the series


@pytest.mark.slow
@pytest.mark.parametrize(
    ("build", "last"), [(models.vgg19, "block5_pool"), (models.resnet50, "conv5_block3_out")]
)
def test_with_weights_from_a_file(tmp_path, build, last):
    published = build(32, seed=1)
    base = keras.Model(published.input, published.get_layer(last).output)
    base.save_weights(tmp_path / "base.weights.h5")
    model = build(32, weights=tmp_path / "base.weights.h5")
    transfer.freeze(model)
    labels = np.arange(8) % 2
    pixels = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 1), np.uint8)
    data = Batches(pixels, labels, np.arange(8), batch_size=4)
    transfer.fit(model, data, data, folder=tmp_path, **SETTINGS)

    parts = keras.Model(model.input, model.get_layer(last).output)
    for weight, expected in zip(parts.get_weights(), base.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, expected)
    features = transfer.features(model, data, precision="float32")
    assert features.shape == (8, parts.output_shape[-1])
    apart = scores(transfer._parts(model)[1], np.array(features))
    assert np.abs(scores(model, pixels) - apart).max() < 1e-5


# ------------------------------------------------------------------ errors


def test_nothing_frozen():
    message = (
        "small has no frozen weights before 'conv', its first layer that is trainable or random"
    )
    with pytest.raises(ValueError, match=message):
        transfer.features(network(freeze=False), batches())


def test_a_path_past_the_features():
    inputs = keras.Input((SIZE, SIZE, 1), dtype="uint8")
    x = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(inputs))
    one = keras.layers.Dense(3, trainable=False)(x)
    outputs = keras.layers.Dense(1)(
        keras.layers.Concatenate()([keras.layers.Dense(2, name="late")(one), x])
    )
    model = keras.Model(inputs, outputs, name="forked")
    message = re.escape("forked does not fall into two parts at 'late', its first layer that is")
    with pytest.raises(ValueError, match=message):
        transfer.features(model, batches())
