import warnings

import h5py
import keras
import numpy as np
import pytest
from support import jax
from support.trainings import computes_bfloat16

from xraylib.networks import models, precision
from xraylib.networks.models import basic_cnn, efficientnet_lite0, resnet50, tuned_cnn, vgg19

slow = pytest.mark.slow
# Each builder with the smallest image that it takes.
each = pytest.mark.parametrize(
    "build, least",
    [
        pytest.param(basic_cnn, 22, id="basic_cnn"),
        pytest.param(tuned_cnn, 22, id="tuned_cnn"),
        pytest.param(vgg19, 32, id="vgg19", marks=slow),
        pytest.param(resnet50, 32, id="resnet50", marks=slow),
        pytest.param(efficientnet_lite0, 16, id="efficientnet_lite0", marks=slow),
    ],
)


def pixels(count, size, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, 1), np.uint8)


def scores(network, images):
    return keras.ops.convert_to_numpy(network(images, training=False))


def weights(network):
    return [weight.numpy() for weight in network.weights]


def same(some, others):
    return len(some) == len(others) and all(map(np.array_equal, some, others))


def count(layers):
    return sum(layer.count_params() for layer in layers)


# ------------------------------------------------------------------ what comes out


@each
def test_output_is_a_probability(build, least):
    network = build(least)
    assert network.name == build.__name__
    assert not network.compiled
    assert network.input_shape == (None, least, least, 1)
    assert network.output_shape == (None, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # such as of an input of another structure
        result = scores(network, pixels(3, least))
    assert result.shape == (3, 1)
    assert result.dtype == np.float32
    assert ((result >= 0) & (result <= 1)).all()
    logits = scores(models.logits(network), pixels(3, least))
    np.testing.assert_allclose(1 / (1 + np.exp(-logits)), result, rtol=1e-4)


@each
def test_output_of_many_classes(build, least, zeros):
    result = scores(build(least, classes=3), pixels(2, least))
    assert result.shape == (2, 3)
    np.testing.assert_allclose(result, 1 / 3)  # softmax of equal logits


def test_logits_of_a_network_without_them():
    network = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, name="end")], name="plain")
    match = r"a layer named \"logit\".* Received: 'plain' with the layers end at its end"
    with pytest.raises(ValueError, match=match):
        models.logits(network)


@computes_bfloat16
@each
def test_output_is_float32_also_in_bfloat16(build, least, zeros):
    network = build(least)
    precision.Computation("bfloat16").apply(network)
    assert scores(network, pixels(2, least)).dtype == np.float32


# ------------------------------------------------------------------ parameter counts


def test_parameters_of_basic_cnn(zeros):
    # 22 -> 20 -> 10 -> 8 -> 4 -> 2 -> 1 pixels:
    # (9*1+1)*32 + (9*32+1)*64 + (9*64+1)*128 + (1*1*128+1)*128 + 129
    assert basic_cnn(22).count_params() == 320 + 18_496 + 73_856 + 16_512 + 129
    # 256 -> 254 -> 127 -> 125 -> 62 -> 60 -> 30 pixels
    convolutions = 320 + 18_496 + 73_856
    assert basic_cnn().count_params() == convolutions + (30 * 30 * 128 + 1) * 128 + 129


def test_parameters_of_tuned_cnn(zeros):
    # (1*1*128+1)*256 + (256+1)*128 + (128+1)*64 + 65
    convolutions = 320 + 18_496 + 73_856
    assert tuned_cnn(22).count_params() == convolutions + 33_024 + 32_896 + 8_256 + 65
    # 400 -> 398 -> 199 -> 197 -> 98 -> 96 -> 48 pixels
    dense = (48 * 48 * 128 + 1) * 256 + 32_896 + 8_256 + 65
    assert tuned_cnn().count_params() == convolutions + dense


@slow
def test_parameters_of_vgg19(zeros):
    # Simonyan and Zisserman 2015, table 2: 144 million; torchvision counts the same.
    network = vgg19(224, classes=1000, head="dense")
    assert network.count_params() == 143_667_240
    base = [layer for layer in network.layers if layer.name.startswith("block")]
    assert count(base) == 20_024_384
    assert vgg19(32).count_params() == 20_024_384 + 513


@slow
def test_parameters_of_resnet50(zeros):
    network = resnet50(32)
    assert count(x for x in network.layers if x.name != "logit") == 23_587_712
    assert network.count_params() == 23_587_712 + 2049
    # With the original's 1000 classes: 25.6 million, as published.
    assert resnet50(32, classes=1000).count_params() == 25_636_712


@slow
def test_parameters_of_efficientnet_lite0(zeros):
    # With the original's 1000 classes: 4.7 million, as published; the running means and variances
    # of 49 normalizations are counted, too.
    network = efficientnet_lite0(32, classes=1000)
    assert sum(np.prod(weight.shape) for weight in network.trainable_weights) == 4_652_008


# ------------------------------------------------------------------ wrong arguments


@each
def test_too_small_an_image(build, least):
    match = rf"{build.__name__} needs an image_size of at least {least} pixels\. Received: 5"
    with pytest.raises(ValueError, match=match):
        build(5)


@each
def test_too_few_classes(build, least):
    with pytest.raises(ValueError, match=r"classes must be 1 or more\. Received: 0"):
        build(least, classes=0)


def test_unknown_head():
    with pytest.raises(ValueError, match=r'head must be "average" or "dense"\. Received: \'max\''):
        vgg19(32, head="max")


# ------------------------------------------------------------------ the seed


@each
def test_the_weights_depend_on_the_seed_alone(build, least):
    keras.utils.set_random_seed(1)
    first = weights(build(least, seed=3))
    keras.utils.set_random_seed(2)
    basic_cnn(30)  # draws, and moves Keras' count of names on
    assert same(first, weights(build(least, seed=3)))
    others = weights(build(least, seed=4))
    assert all(
        (one != other).any()
        for one, other in zip(first, others, strict=True)
        if one.ndim > 1  # the kernels; biases and normalization start at 0 and 1
    )


@slow
def test_kernels_of_one_shape_differ():
    network = vgg19(32)
    one, other = (network.get_layer(f"block5_conv{number}").kernel for number in (3, 4))
    assert one.shape == other.shape
    assert keras.ops.any(one != other)


@pytest.mark.parametrize("seed", [2**31 - 1, 20_261_122])
def test_a_large_seed(seed):
    some, others = weights(basic_cnn(22, seed=seed)), weights(basic_cnn(22, seed=seed - 1))
    assert not same(some, others)


# ------------------------------------------------------------------ training


@each
def test_one_step_moves_every_weight(build, least):
    network = build(least)
    network.compile(keras.optimizers.SGD(0.1), "binary_crossentropy", run_eagerly=True)
    before = [weight.numpy() for weight in network.trainable_weights]
    network.train_on_batch(pixels(8, least), np.tile([[0.0], [1.0]], (4, 1)))
    # What a bias adds, the normalization behind each convolution of ResNet takes away again.
    idle = [
        layer.bias.path
        for layer in network.layers
        if isinstance(layer, keras.layers.Conv2D) and build is resnet50
    ]
    stuck = [
        weight.path
        for old, weight in zip(before, network.trainable_weights, strict=True)
        if np.array_equal(old, weight.numpy()) and weight.path not in idle
    ]
    assert stuck == []
    assert all(np.isfinite(weight).all() for weight in weights(network))


@slow
@pytest.mark.parametrize("seed", range(3))
def test_the_features_of_vgg19_keep_the_size_of_its_input(seed):
    # He's rule, of an input of about 1. After Glorot's they are smaller by more than 100 times, and
    # the network does not leave the majority class.
    network = vgg19(32, seed=seed)
    features = keras.Model(network.input, network.get_layer("average").output)
    assert 0.1 < np.sqrt(np.mean(scores(features, pixels(4, 32)) ** 2)) < 10


# ------------------------------------------------------------------ saving and loading


@each
def test_a_saved_network_gives_equal_scores(build, least, tmp_path):
    network = build(least)
    network.save(tmp_path / "network.keras")
    loaded = keras.models.load_model(tmp_path / "network.keras")
    assert same(weights(network), weights(loaded))
    np.testing.assert_allclose(
        scores(network, pixels(4, least)), scores(loaded, pixels(4, least)), rtol=1e-5
    )


@slow
@pytest.mark.parametrize(
    "build, form", [(vgg19, ".keras"), (vgg19, ".weights.h5"), (resnet50, ".keras")]
)
def test_weights_of_a_whole_network(build, form, tmp_path):
    path = tmp_path / f"trained{form}"
    trained = build(32, seed=1)
    (trained.save if form == ".keras" else trained.save_weights)(path)
    assert same(weights(build(32, weights=path)), weights(trained))


@slow
@pytest.mark.parametrize(
    "build, published, form",
    [(vgg19, "VGG19", ".h5"), (vgg19, "VGG19", ".weights.h5"), (resnet50, "ResNet50", ".h5")],
)
def test_weights_of_the_base(build, published, form, tmp_path):
    path = tmp_path / f"base{form}"
    application = getattr(keras.applications, published)
    base = application(include_top=False, weights=None, input_shape=(32, 32, 3))
    if form == ".h5":  # what keras.applications downloads is in this older form
        from keras.src.legacy.saving.legacy_h5_format import save_weights_to_hdf5_group

        with h5py.File(path, "w") as file:
            save_weights_to_hdf5_group(file, base)
    else:
        base.save_weights(path)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        network = build(32, weights=str(path))
    # All but the kernel and the bias of the last layer.
    assert same(weights(network)[:-2], weights(base))


def error_of(build, path):
    # Keras warns of each part of a file that does not fit; here the error says it all.
    with warnings.catch_warnings(), pytest.raises(ValueError) as error:
        warnings.simplefilter("error", UserWarning)
        build(32, weights=path)
    assert "\n" not in str(error.value)
    return str(error.value)


@slow
@pytest.mark.parametrize("build", [vgg19, resnet50])
def test_weights_of_something_else(build, tmp_path, zeros):
    path = tmp_path / "basic.weights.h5"
    basic_cnn(32).save_weights(path)
    message = f"{path} does not hold the weights of {build.__name__}, with or without its head ("
    assert error_of(build, path).startswith(message)


@slow
@pytest.mark.parametrize("name", ["notes.txt", "notes.weights.h5", "notes.h5", "notes.keras"])
def test_weights_that_are_text(name, tmp_path, zeros):
    (tmp_path / name).write_text("not weights")
    message = f"{tmp_path / name} does not hold the weights of vgg19"
    assert error_of(vgg19, tmp_path / name).startswith(message)


@slow
def test_weights_that_are_missing(tmp_path, zeros):
    path = tmp_path / "nowhere.weights.h5"
    expected = f"weights must be None, \"imagenet\" or an existing file. Received: '{path}'"
    assert error_of(vgg19, path) == expected
    assert error_of(vgg19, tmp_path).startswith("weights must be None")
    assert error_of(vgg19, "ImageNet").endswith("Received: 'ImageNet'")


@slow
@pytest.mark.parametrize("build, published", [(vgg19, "VGG19"), (resnet50, "ResNet50")])
def test_imagenet_offline(build, published, monkeypatch, zeros):
    application = getattr(keras.applications, published)

    def offline(*, weights, **options):
        if weights == "imagenet":
            raise Exception("URL fetch failure on https://storage: None -- [Errno -3]")
        return application(weights=weights, **options)

    monkeypatch.setattr(keras.applications, published, offline)
    match = rf"of {build.__name__} cannot be downloaded \(URL fetch .*\): use weights=None, or give"
    with pytest.raises(ConnectionError, match=match):
        build(32, weights="imagenet")


@slow
@pytest.mark.parametrize("build, published", [(vgg19, "VGG19"), (resnet50, "ResNet50")])
def test_imagenet(build, published, monkeypatch):
    application = getattr(keras.applications, published)
    downloaded = application(include_top=False, weights=None)

    def online(*, weights, **options):
        return downloaded if weights == "imagenet" else application(weights=weights, **options)

    monkeypatch.setattr(keras.applications, published, online)
    assert same(weights(build(32, weights="imagenet"))[:-2], weights(downloaded))


@slow
def test_imagenet_weights_in_the_box():
    packed = np.load(models.IMAGENET_LITE0)
    network = efficientnet_lite0(32, weights="imagenet", seed=1)
    *base, kernel, _ = network.weights
    assert [weight.path for weight in base] == list(packed)
    assert all(np.array_equal(weight, packed[weight.path]) for weight in base)
    assert same([kernel.numpy()], weights(efficientnet_lite0(32, seed=1))[-2:-1])


@slow
def test_a_base_serves_any_size_and_head(tmp_path):
    trained = efficientnet_lite0(32, classes=3, seed=1)
    trained.save(tmp_path / "trained.keras")
    larger = efficientnet_lite0(48, classes=3, weights=tmp_path / "trained.keras")
    assert same(weights(larger), weights(trained))


# ------------------------------------------------------------------ another backend

ON_JAX = """
import keras
import numpy as np

from xraylib.data.loading import Batches
from xraylib.networks import models, training

rng = np.random.default_rng(0)
labels = np.arange(8) % 2
pixels = rng.integers(0, 256, (8, 32, 32, 1)).astype(np.uint8)
batches = Batches(pixels, labels, np.arange(8), batch_size=4, shuffle=True)

history = training.fit(
    models.basic_cnn(32), batches, batches, epochs=1, learning_rate=1e-3, folder=sys.argv[1]
)
assert len(history) == 2, history

for name in ("tuned_cnn", "vgg19", "resnet50"):
    if name == "vgg19":
        # XLA compiles the drawing of each shape anew, which takes most of a minute; that it can is
        # shown by now.
        keras.initializers.VarianceScaling.__call__ = lambda self, shape, dtype=None: (
            rng.normal(0, 0.02, shape).astype(np.float32)
        )
    network = getattr(models, name)(32)
    network.compile(keras.optimizers.SGD(0.1), "binary_crossentropy")
    before = network.get_layer("logit").kernel.numpy()
    loss = network.train_on_batch(pixels, labels[:, np.newaxis].astype(np.float32))
    assert np.isfinite(loss), (name, loss)
    assert (before != network.get_layer("logit").kernel.numpy()).any(), name

network = models.efficientnet_lite0(32, classes=3, weights="imagenet")
kinds = Batches(pixels, np.arange(8) % 3, np.arange(8), batch_size=4, shuffle=True)
history = training.fit(
    network,
    kinds,
    kinds,
    epochs=2,
    learning_rate=1e-3,
    folder=sys.argv[1] + "/kinds",
    schedule="cosine",
)
assert np.isfinite(history.loss).all() and history.epoch.max() == 2, history

assert "tensorflow" not in sys.modules
print("trained on", keras.backend.backend())
"""


@slow
def test_all_networks_train_on_jax_without_tensorflow(tmp_path):
    assert jax.run(ON_JAX, tmp_path)[-1] == "trained on jax"


# ------------------------------------------------------------------ what they are made of


@slow
def test_blocks_of_vgg19_are_the_papers():
    convolutions = [(2, 64, 64), (2, 32, 128), (4, 16, 256), (4, 8, 512), (4, 4, 512)]
    blocks = models.blocks(models.vgg19(64))
    assert [tuple(sizes) for _, *sizes in blocks] == [*convolutions, (1, 1, 1)]


def test_blocks_keep_dense_layers_apart():
    blocks = models.blocks(models.tuned_cnn(22))
    assert [name for name, *_ in blocks] == ["1 × conv"] * 3 + ["dense"] * 4
    assert [maps for *_, maps in blocks] == [32, 64, 128, 256, 128, 64, 1]


@slow
@pytest.mark.parametrize("classes", [1, 3])
def test_a_head_that_the_file_does_not_fit_is_logged(tmp_path, caplog, zeros, classes):
    caplog.set_level("INFO", logger="xraylib")
    path = tmp_path / "trained.weights.h5"
    vgg19(32, classes=classes).save_weights(path)
    vgg19(32, weights=path)
    message = f"{path} loaded into the base of vgg19; its head is randomly initialised"
    assert caplog.messages == ([] if classes == 1 else [message])
