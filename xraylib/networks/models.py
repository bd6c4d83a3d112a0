"""The networks of the progression, as uncompiled `keras.Model`s.

Each takes grey pixels as the loaders give them, uint8 in [0, 255], (batch, size, size, 1), and
turns them inside into what it needs. With one class it gives the probability of PNEUMONIA, float32
in [0, 1], (batch, 1); the layer `"logit"` gives its logit. The weights depend on `seed` alone.
"""

import warnings
from pathlib import Path
from typing import Final, Literal

import keras
from keras import layers

# Blue, green, red, as the networks that Keras offers with ImageNet weights were trained.
_IMAGENET_MEAN: Final = (103.939, 116.779, 123.68)


def basic_cnn(image_size: int = 256, *, classes: int = 1, seed: int = 0) -> keras.Model:
    """A very basic CNN: three convolutions and one Dense layer.

    Args:
        image_size: Height and width in pixels, 22 or more.
        classes: 1 for the probability of PNEUMONIA, more for one probability a class.
        seed: Of the first weights, drawn as in Glorot and Bengio, "Understanding the difficulty of
            training deep feedforward neural networks", AISTATS 2010, which is Keras' default.

    Returns:
        The uncompiled network.

    Raises:
        ValueError: `image_size` is too small, or `classes` below 1.
    """
    return _plain_cnn("basic_cnn", image_size, dense=(128,), classes=classes, seed=seed)


def tuned_cnn(image_size: int = 400, *, classes: int = 1, seed: int = 0) -> keras.Model:
    """The basic CNN with more Dense layers: 256, 128 and 64 units.

    Args:
        image_size: Height and width in pixels, 22 or more.
        classes: As for `basic_cnn`.
        seed: As for `basic_cnn`.

    Returns:
        The uncompiled network.

    Raises:
        ValueError: `image_size` is too small, or `classes` below 1.
    """
    return _plain_cnn("tuned_cnn", image_size, dense=(256, 128, 64), classes=classes, seed=seed)


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
    ICLR 2015. From Keras' default start it stays at the majority class; without `weights` it is
    therefore drawn as He et al., "Delving Deep into Rectifiers", ICCV 2015, derive for ReLU.

    Args:
        image_size: Height and width in pixels, 32 or more.
        weights: None to draw them, `"imagenet"` for those that Keras downloads, or a file: Keras'
            weights of VGG-19 without its top, or a network that was trained here.
        head: `"average"`, the mean over the image and one layer; or `"dense"`, the original's two
            layers of 4096 units, with dropout.
        classes: As for `basic_cnn`.
        seed: Of the first weights and of dropout.

    Returns:
        The uncompiled network; its base has Keras' layer names, `"block5_conv4"` and so on.

    Raises:
        ValueError: `image_size` is too small, `head` is unknown, or `weights` is no file that fits.
        ConnectionError: `"imagenet"` cannot be downloaded.
    """
    if head not in ("average", "dense"):
        raise ValueError(f'head must be "average" or "dense". Received: {head!r}')
    _check("vgg19", image_size, least=32, classes=classes)
    pixels = _imagenet_pixels(image_size)
    base = keras.applications.VGG19(include_top=False, weights=None, input_tensor=pixels)
    x = base.output
    if head == "average":
        x = layers.GlobalAveragePooling2D(name="average")(x)
    else:
        x = layers.Flatten(name="flatten")(x)
        for number in (1, 2):
            x = layers.Dense(4096, activation="relu", name=f"fc{number}")(x)
            x = layers.Dropout(0.5, seed=seed + number, name=f"dropout{number}")(x)
    network = keras.Model(base.inputs[0], _score(x, classes), name="vgg19")
    _draw(network, keras.initializers.HeNormal, seed)
    # He's rule keeps the size of what comes in, and pixels come in at about 64, not at 1.
    first = network.get_layer("block1_conv1").kernel
    first.assign(first / 64)
    _load(network, base, weights, keras.applications.VGG19)
    return network


def resnet50(
    image_size: int = 400,
    *,
    weights: str | Path | None = None,
    classes: int = 1,
    seed: int = 0,
) -> keras.Model:
    """ResNet-50: sixteen residual blocks.

    He et al., "Deep Residual Learning for Image Recognition", CVPR 2016.

    Args:
        image_size: Height and width in pixels, 32 or more.
        weights: None to draw them, `"imagenet"` for those that Keras downloads, or a file: Keras'
            weights of ResNet-50 without its top, or a network that was trained here.
        classes: As for `basic_cnn`.
        seed: Of the first weights.

    Returns:
        The uncompiled network; its base has Keras' layer names, `"conv5_block3_out"` and so on.

    Raises:
        ValueError: `image_size` is too small, or `weights` is no file that fits.
        ConnectionError: `"imagenet"` cannot be downloaded.
    """
    _check("resnet50", image_size, least=32, classes=classes)
    pixels = _imagenet_pixels(image_size)
    base = keras.applications.ResNet50(include_top=False, weights=None, input_tensor=pixels)
    x = layers.GlobalAveragePooling2D(name="average")(base.output)
    network = keras.Model(base.inputs[0], _score(x, classes), name="resnet50")
    _draw(network, keras.initializers.HeNormal, seed)
    for layer in network.layers:
        if isinstance(layer, layers.BatchNormalization):
            # Keras' .99 needs hundreds of steps before the running means are those of the data.
            layer.momentum = 0.9
    _load(network, base, weights, keras.applications.ResNet50)
    return network


def logits(network: keras.Model) -> keras.Model:
    """The same network without its last activation.

    Example:
        >>> logits(basic_cnn(22)).layers[-1].name
        'logit'

    Args:
        network: Has a layer named `"logit"`, as each of this module's.

    Returns:
        A network of the same layers, and so of the same weights, whose output is the logits,
        float32, (batch, classes).

    Raises:
        ValueError: There is no layer `"logit"`.
    """
    if "logit" not in {layer.name for layer in network.layers}:
        raise ValueError(
            'network must have a layer named "logit", as those of xraylib.networks.models have. '
            f"Received: {network.name!r} with the layers "
            f"{', '.join(layer.name for layer in network.layers[-3:])} at its end"
        )
    return keras.Model(network.inputs, network.get_layer("logit").output, name=network.name)


def freeze(network: keras.Model) -> None:
    """Leaves only the head to be trained: the layers behind the last maps.

    Args:
        network: Any of this module's. Batch normalization in its base then keeps its running means
            (Keras: "frozen" layers run as in scoring).

    Raises:
        ValueError: There is no layer `"average"` or `"flatten"`, with which a head begins.
    """
    names = [layer.name for layer in network.layers]
    begins = [number for number, name in enumerate(names) if name in ("average", "flatten")]
    if not begins:
        raise ValueError(
            f'{network.name} has no layer "average" or "flatten", with which a head begins: set '
            "trainable = False of the layers to freeze"
        )
    for layer in network.layers[: begins[0]]:
        layer.trainable = False


def blocks(network: keras.Model) -> list[tuple[str, int, int, int]]:
    """What a network is made of, for `plots.architecture`.

    Args:
        network: Any of this module's.

    Returns:
        From input to output, convolutions on maps of one size as one block, Dense layers singly:
        the name, how many layers, the height and width of their maps in pixels (1 for a Dense
        layer), and how many maps or units the last one has.
    """
    found: list[tuple[str, int, int, int]] = []
    for layer in network.layers:
        if getattr(layer, "kernel", None) is None:
            continue
        _, *size, maps = layer.output.shape
        same = size and found and found[-1][2] == size[0]
        count = found.pop()[1] + 1 if same else 1
        name = f"{count} × conv" if size else "dense"
        found.append((name, count, size[0] if size else 1, maps))
    return found


def _plain_cnn(
    name: str, image_size: int, *, dense: tuple[int, ...], classes: int, seed: int
) -> keras.Model:
    _check(name, image_size, least=22, classes=classes)
    inputs = keras.Input((image_size, image_size, 1), dtype="uint8", name="pixels")
    x = layers.Rescaling(1 / 255, name="rescaling")(inputs)
    for number, filters in enumerate((32, 64, 128), start=1):
        x = layers.Conv2D(filters, 3, activation="relu", name=f"conv{number}")(x)
        x = layers.MaxPooling2D(name=f"pool{number}")(x)
    x = layers.Flatten(name="flatten")(x)
    for number, units in enumerate(dense, start=1):
        x = layers.Dense(units, activation="relu", name=f"dense{number}")(x)
    network = keras.Model(inputs, _score(x, classes), name=name)
    _draw(network, keras.initializers.GlorotUniform, seed)
    return network


def _imagenet_pixels(image_size: int) -> keras.KerasTensor:
    inputs = keras.Input((image_size, image_size, 1), dtype="uint8", name="pixels")
    colour = layers.Concatenate(name="colour")([inputs] * 3)
    return layers.Rescaling(1.0, [-mean for mean in _IMAGENET_MEAN], name="centred")(colour)


def _score(features: keras.KerasTensor, classes: int) -> keras.KerasTensor:
    # In float32 whatever the precision of the rest: bfloat16 would tie scores near 0 and 1.
    logit = layers.Dense(classes, dtype="float32", name="logit")(features)
    activation = "sigmoid" if classes == 1 else "softmax"
    return layers.Activation(activation, dtype="float32", name="score")(logit)


def _draw(
    network: keras.Model, initializer: type[keras.initializers.Initializer], seed: int
) -> None:
    """Draws every kernel again, from `seed` alone and not from how many were drawn before."""
    for number, layer in enumerate(network.layers):
        if getattr(layer, "kernel", None) is not None:
            layer.kernel.assign(initializer(seed=seed * 1000 + number)(layer.kernel.shape))


def _check(name: str, image_size: int, *, least: int, classes: int) -> None:
    if image_size < least:
        raise ValueError(
            f"{name} needs an image_size of at least {least} pixels. Received: {image_size}"
        )
    if classes < 1:
        raise ValueError(f"classes must be 1 or more. Received: {classes}")


def _load(
    network: keras.Model, base: keras.Model, weights: str | Path | None, application: type
) -> None:
    """Fills the base, or the whole network, from what the argument `weights` names."""
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
    # The whole network first: Keras would fill the base from its file and pass over the top.
    for target in (network, base):
        try:
            with warnings.catch_warnings():
                # Of each part that the file does not have. A layer that stays empty is an error.
                warnings.simplefilter("ignore")
                target.load_weights(path)
        except Exception as error:
            # What a wrong file raises depends on its kind: ValueError, KeyError, OSError and more.
            reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        else:
            if target is base:
                print(f"{path} fills the base of {network.name}; its top is drawn", flush=True)
            return
    raise ValueError(
        f"{path} does not hold the weights of {network.name}, with or without its top ({reason})"
    )
