"""Build the networks of the series, uncompiled.

Each takes grey pixels as the loaders give them, uint8 in [0, 255], (batch, size, size, 1), and
scales them inside. With one class it gives the probability of PNEUMONIA, float32 in [0, 1],
(batch, 1); with more, one probability a class. The initial weights depend on `seed` alone.
"""

import logging
import warnings
from pathlib import Path
from typing import Final, Literal

import numpy as np

from xraylib import backend
from xraylib.backend import keras

# The last layers of every network. They compute in float32 whatever the precision of the others:
# bfloat16 has too few digits to tell scores near 0 and 1 apart.
OUTPUT_LAYERS: Final = ("logit", "score")
# Of blue, green and red, as Keras' ImageNet weights were trained.
IMAGENET_MEANS: Final = (103.939, 116.779, 123.68)

IMAGENET_LITE0: Final = Path(__file__).parents[1] / "weights" / "efficientnet_lite0_imagenet.npz"

layers = keras.layers

_log = logging.getLogger(__name__)


def basic_cnn(image_size: int = 256, *, classes: int = 1, seed: int = 0) -> keras.Model:
    """A very basic CNN: three convolutions and one hidden Dense layer.

    Example:
        >>> basic_cnn(64).output_shape
        (None, 1)

    Args:
        image_size: Height and width in pixels, 22 or more.
        classes: 1 for the probability of PNEUMONIA, more for one probability a class.
        seed: Random seed of the initial weights, after Glorot and Bengio, "Understanding the
            difficulty of training deep feedforward neural networks", AISTATS 2010.

    Returns:
        The uncompiled network.

    Raises:
        ValueError: `image_size` is too small, or `classes` is below 1.
    """
    _check("basic_cnn", image_size, least=22, classes=classes)
    pixels = keras.Input((image_size, image_size, 1), dtype="uint8", name="pixels")
    x = layers.Rescaling(1 / 255, name="rescaling")(pixels)
    x = layers.Conv2D(32, 3, activation="relu", name="conv1")(x)
    x = layers.MaxPooling2D(name="pool1")(x)
    x = layers.Conv2D(64, 3, activation="relu", name="conv2")(x)
    x = layers.MaxPooling2D(name="pool2")(x)
    x = layers.Conv2D(128, 3, activation="relu", name="conv3")(x)
    x = layers.MaxPooling2D(name="pool3")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(128, activation="relu", name="dense1")(x)
    network = keras.Model(pixels, _probability(x, classes), name="basic_cnn")
    _initialise(network, keras.initializers.GlorotUniform, seed)
    return network


def tuned_cnn(image_size: int = 400, *, classes: int = 1, seed: int = 0) -> keras.Model:
    """The basic CNN with more hidden Dense layers: 256, 128 and 64 units.

    Its arguments and errors are those of `basic_cnn`.

    Example:
        >>> [layer.units for layer in tuned_cnn(22).layers if "dense" in layer.name]
        [256, 128, 64]
    """
    _check("tuned_cnn", image_size, least=22, classes=classes)
    pixels = keras.Input((image_size, image_size, 1), dtype="uint8", name="pixels")
    x = layers.Rescaling(1 / 255, name="rescaling")(pixels)
    x = layers.Conv2D(32, 3, activation="relu", name="conv1")(x)
    x = layers.MaxPooling2D(name="pool1")(x)
    x = layers.Conv2D(64, 3, activation="relu", name="conv2")(x)
    x = layers.MaxPooling2D(name="pool2")(x)
    x = layers.Conv2D(128, 3, activation="relu", name="conv3")(x)
    x = layers.MaxPooling2D(name="pool3")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(256, activation="relu", name="dense1")(x)
    x = layers.Dense(128, activation="relu", name="dense2")(x)
    x = layers.Dense(64, activation="relu", name="dense3")(x)
    network = keras.Model(pixels, _probability(x, classes), name="tuned_cnn")
    _initialise(network, keras.initializers.GlorotUniform, seed)
    return network


def vgg19(
    image_size: int = 400,
    *,
    weights: str | Path | None = None,
    head: Literal["average", "dense"] = "average",
    classes: int = 1,
    seed: int = 0,
) -> keras.Model:
    """VGG-19: sixteen 3x3 convolutions in five blocks.

    Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition",
    ICLR 2015. With Keras' default initialisation it does not leave the majority class; without
    `weights` it is therefore initialised as He et al., "Delving Deep into Rectifiers", ICCV 2015,
    derive for ReLU.

    Args:
        image_size: Height and width in pixels, 32 or more.
        weights: None for random ones, `"imagenet"` for those that Keras downloads, or a file:
            Keras' weights of VGG-19 without its top, or a network that was trained here.
        head: `"average"`, the mean over the image and one layer; or `"dense"`, the original's two
            layers of 4096 units, with dropout.
        classes: 1 for the probability of PNEUMONIA, more for one probability a class.
        seed: Random seed of the initial weights and of dropout.

    Returns:
        The uncompiled network; its layers have Keras' names, `"block5_conv4"` and so on.

    Raises:
        ValueError: `image_size` is too small, `classes` is below 1, `head` is unknown, or
            `weights` is no file that fits.
        ConnectionError: `"imagenet"` cannot be downloaded.
    """
    if head not in ("average", "dense"):
        raise ValueError(f'head must be "average" or "dense". Received: {head!r}')
    _check("vgg19", image_size, least=32, classes=classes)
    pixels = keras.Input((image_size, image_size, 1), dtype="uint8", name="pixels")
    x = _imagenet_colours(pixels)
    for block, (filters, convolutions) in enumerate(
        [(64, 2), (128, 2), (256, 4), (512, 4), (512, 4)], start=1
    ):
        for number in range(1, convolutions + 1):
            name = f"block{block}_conv{number}"
            x = layers.Conv2D(filters, 3, padding="same", activation="relu", name=name)(x)
        x = layers.MaxPooling2D(name=f"block{block}_pool")(x)
    base = keras.Model(pixels, x, name="vgg19_base")
    if head == "average":
        x = layers.GlobalAveragePooling2D(name="average")(x)
    else:
        x = layers.Flatten(name="flatten")(x)
        for number in (1, 2):
            x = layers.Dense(4096, activation="relu", name=f"fc{number}")(x)
            x = layers.Dropout(0.5, seed=seed + number, name=f"dropout{number}")(x)
    network = keras.Model(pixels, _probability(x, classes), name="vgg19")
    _initialise(network, keras.initializers.HeNormal, seed)
    # He's rule keeps the size of a layer's input, and pixels come in at about 64, not at 1.
    first = network.get_layer("block1_conv1").kernel
    first.assign(first / 64)
    _load(network, base, weights, keras.applications.VGG19)
    return network


def resnet50(
    image_size: int = 400, *, weights: str | Path | None = None, classes: int = 1, seed: int = 0
) -> keras.Model:
    """ResNet-50: sixteen residual blocks of three convolutions each.

    He et al., "Deep Residual Learning for Image Recognition", CVPR 2016. Its arguments and errors
    are those of `vgg19`, and its layers have Keras' names, `"conv5_block3_out"` and so on.
    """
    _check("resnet50", image_size, least=32, classes=classes)
    pixels = keras.Input((image_size, image_size, 1), dtype="uint8", name="pixels")
    x = layers.ZeroPadding2D(3, name="conv1_pad")(_imagenet_colours(pixels))
    x = layers.Conv2D(64, 7, strides=2, name="conv1_conv")(x)
    x = _normalised(x, "conv1_bn")
    x = layers.Activation("relu", name="conv1_relu")(x)
    x = layers.ZeroPadding2D(1, name="pool1_pad")(x)
    x = layers.MaxPooling2D(3, strides=2, name="pool1_pool")(x)
    for stage, (filters, blocks) in enumerate([(64, 3), (128, 4), (256, 6), (512, 3)], start=2):
        for block in range(1, blocks + 1):
            x = _residual_block(x, filters, stage, block)
    base = keras.Model(pixels, x, name="resnet50_base")
    x = layers.GlobalAveragePooling2D(name="average")(x)
    network = keras.Model(pixels, _probability(x, classes), name="resnet50")
    _initialise(network, keras.initializers.HeNormal, seed)
    _load(network, base, weights, keras.applications.ResNet50)
    return network


def efficientnet_lite0(
    image_size: int = 128, *, weights: str | Path | None = None, classes: int = 1, seed: int = 0
) -> keras.Model:
    """EfficientNet-Lite0: sixteen blocks of a depthwise convolution between two of 1x1.

    Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", ICML
    2019; its Lite form of 2020 has neither squeeze and excitation nor swish, and so is small and
    fast on any processor. The arguments and errors are those of `vgg19`, but `"imagenet"` is in
    the box: nothing is downloaded.

    Example:
        >>> efficientnet_lite0(32).get_layer("features").output.shape
        (None, 1, 1, 1280)
    """
    _check("efficientnet_lite0", image_size, least=16, classes=classes)
    pixels = keras.Input((image_size, image_size, 1), dtype="uint8", name="pixels")
    x = layers.Concatenate(name="colour")([pixels] * 3)
    x = layers.Rescaling(1 / 128, -127 / 128, name="scaled")(x)
    x = layers.Conv2D(32, 3, strides=2, padding="same", use_bias=False, name="stem_conv")(x)
    x = _bounded(x, "stem")
    for stage, (expansion, filters, repeats, size, strides) in enumerate(
        [
            (1, 16, 1, 3, 1),
            (6, 24, 2, 3, 2),
            (6, 40, 2, 5, 2),
            (6, 80, 3, 3, 2),
            (6, 112, 3, 5, 1),
            (6, 192, 4, 5, 2),
            (6, 320, 1, 3, 1),
        ],
        start=1,
    ):
        for block in range(1, repeats + 1):
            name = f"stage{stage}_block{block}"
            x = _inverted_block(x, expansion, filters, size, strides if block == 1 else 1, name)
    x = layers.Conv2D(1280, 1, use_bias=False, name="features_conv")(x)
    x = _bounded(x, "features")
    base = keras.Model(pixels, x, name="efficientnet_lite0_base")
    x = layers.GlobalAveragePooling2D(name="average")(x)
    x = layers.Dropout(0.2, seed=seed, name="dropout")(x)
    network = keras.Model(pixels, _probability(x, classes), name="efficientnet_lite0")
    _initialise(network, keras.initializers.HeNormal, seed)
    if weights == "imagenet":
        load_packed(base, IMAGENET_LITE0)
    else:
        _load(network, base, weights, keras.Model)
    return network


def logits(network: keras.Model) -> keras.Model:
    """The same network without its last activation.

    Example:
        >>> logits(basic_cnn(22)).layers[-1].name
        'logit'

    Returns:
        A network that shares the layers and so the weights, and gives the logits, float32,
        (batch, classes).

    Raises:
        ValueError: `network` has no layer `"logit"`, as every network of this module has.
    """
    names = [layer.name for layer in network.layers]
    if "logit" not in names:
        raise ValueError(
            'network must have a layer named "logit", as those of xraylib.networks.models have. '
            f"Received: {network.name!r} with the layers {', '.join(names[-3:])} at its end"
        )
    return keras.Model(network.input, network.get_layer("logit").output, name=network.name)


def blocks(network: keras.Model) -> list[tuple[str, int, int, int]]:
    """Summarise a network for `report.plots.architecture`.

    Example:
        >>> blocks(basic_cnn(22))[-2:]
        [('dense', 1, 1, 128), ('dense', 1, 1, 1)]

    Returns:
        From input to output, one tuple for the convolutions on maps of one size and one for each
        Dense layer: the name, the number of layers, the height and width of their maps in pixels
        (1 for a Dense layer), and the number of maps or units of the last one.
    """
    blocks: list[tuple[str, int, int, int]] = []
    for layer in network.layers:
        if getattr(layer, "kernel", None) is None:
            continue
        _, *size, maps = layer.output.shape
        same = size and blocks and blocks[-1][2] == size[0]
        count = blocks.pop()[1] + 1 if same else 1
        name = f"{count} × conv" if size else "dense"
        blocks.append((name, count, size[0] if size else 1, maps))
    return blocks


def _residual_block(
    x: keras.KerasTensor, filters: int, stage: int, block: int
) -> keras.KerasTensor:
    """Three convolutions beside a shortcut; the first block of a stage halves height and width."""
    name = f"conv{stage}_block{block}"
    strides = 2 if block == 1 and stage > 2 else 1
    shortcut = x
    if block == 1:
        shortcut = layers.Conv2D(4 * filters, 1, strides=strides, name=f"{name}_0_conv")(x)
        shortcut = _normalised(shortcut, f"{name}_0_bn")
    x = layers.Conv2D(filters, 1, strides=strides, name=f"{name}_1_conv")(x)
    x = _normalised(x, f"{name}_1_bn")
    x = layers.Activation("relu", name=f"{name}_1_relu")(x)
    x = layers.Conv2D(filters, 3, padding="same", name=f"{name}_2_conv")(x)
    x = _normalised(x, f"{name}_2_bn")
    x = layers.Activation("relu", name=f"{name}_2_relu")(x)
    x = layers.Conv2D(4 * filters, 1, name=f"{name}_3_conv")(x)
    x = _normalised(x, f"{name}_3_bn")
    x = layers.Add(name=f"{name}_add")([shortcut, x])
    return layers.Activation("relu", name=f"{name}_out")(x)


def load_packed(network: keras.Model, file: Path) -> None:
    """Loads weights of a float16 archive, one array a variable by its path; each must be there."""
    with np.load(file) as packed:
        for variable in network.variables:
            variable.assign(packed[variable.path])


def _inverted_block(
    x: keras.KerasTensor, expansion: int, filters: int, size: int, strides: int, name: str
) -> keras.KerasTensor:
    """Widen, convolve each map by itself, narrow; with a shortcut where the shape stays."""
    shortcut = x
    if expansion > 1:
        wide = expansion * x.shape[-1]
        x = layers.Conv2D(wide, 1, use_bias=False, name=f"{name}_expand_conv")(x)
        x = _bounded(x, f"{name}_expand")
    x = layers.DepthwiseConv2D(
        size, strides=strides, padding="same", use_bias=False, name=f"{name}_depthwise_conv"
    )(x)
    x = _bounded(x, f"{name}_depthwise")
    x = layers.Conv2D(filters, 1, use_bias=False, name=f"{name}_project_conv")(x)
    x = layers.BatchNormalization(momentum=0.99, epsilon=1e-3, name=f"{name}_project_bn")(x)
    if strides == 1 and shortcut.shape[-1] == filters:
        x = layers.Add(name=f"{name}_add")([shortcut, x])
    return x


def _bounded(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    """Normalise and cut to [0, 6]."""
    x = layers.BatchNormalization(momentum=0.99, epsilon=1e-3, name=f"{name}_bn")(x)
    return layers.ReLU(6.0, name=name)(x)


def _normalised(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    # With Keras' default momentum of .99 the running means lag hundreds of steps behind the data.
    # Epsilon is that of the published weights.
    return layers.BatchNormalization(momentum=0.9, epsilon=1.001e-5, name=name)(x)


def _imagenet_colours(pixels: keras.KerasTensor) -> keras.KerasTensor:
    colours = layers.Concatenate(name="colour")([pixels] * 3)
    return layers.Rescaling(1.0, [-mean for mean in IMAGENET_MEANS], name="centred")(colours)


def _probability(features: keras.KerasTensor, classes: int) -> keras.KerasTensor:
    """The output of every network, by the layers `OUTPUT_LAYERS`."""
    logit = layers.Dense(classes, dtype="float32", name="logit")(features)
    activation = "sigmoid" if classes == 1 else "softmax"
    return layers.Activation(activation, dtype="float32", name="score")(logit)


def _initialise(
    network: keras.Model, initializer: type[keras.initializers.Initializer], seed: int
) -> None:
    """Draws every kernel anew from `seed` alone, whatever was built in this process before."""
    for number, layer in enumerate(network.layers):
        if getattr(layer, "kernel", None) is not None:
            own = (seed * 1000 + number) % 2**32  # JAX takes no larger one
            layer.kernel.assign(initializer(seed=own)(layer.kernel.shape))


def _check(name: str, image_size: int, *, least: int, classes: int) -> None:
    if image_size < least:
        raise ValueError(
            f"{name} needs an image_size of at least {least} pixels. Received: {image_size}"
        )
    if classes < 1:
        raise ValueError(f"classes must be 1 or more. Received: {classes}")
    backend.pin()


def _load(
    network: keras.Model, base: keras.Model, weights: str | Path | None, application: type
) -> None:
    """Loads what the argument `weights` of a builder names, into the base or the whole network."""
    if weights is None:
        return
    if weights == "imagenet":
        try:
            published = application(include_top=False, weights="imagenet")
        except Exception as error:
            # Keras wraps whatever the download raises into a bare Exception.
            raise ConnectionError(
                f"the ImageNet weights of {network.name} cannot be downloaded ({error}): use "
                "weights=None, or give the file of these weights"
            ) from None
        base.set_weights(published.get_weights())
        return
    path = Path(weights).expanduser()
    if not path.is_file():
        raise ValueError(
            f'weights must be None, "imagenet" or an existing file. Received: {str(weights)!r}'
        )
    # The whole network first: into the base alone, Keras would load its file without the head.
    for target in (network, base):
        try:
            # Keras warns of each surplus part of the file; a layer without weights is an error.
            with warnings.catch_warnings(action="ignore"):
                target.load_weights(path)
        except Exception as error:
            # What a wrong file raises depends on its kind: ValueError, KeyError, OSError and more.
            reason = (str(error).strip() or repr(error)).splitlines()[0]
            continue
        if target is base:
            _log.info(
                f"{path} loaded into the base of {network.name}; its head is randomly initialised"
            )
        return
    raise ValueError(
        f"{path} does not hold the weights of {network.name}, with or without its head ({reason})"
    )
