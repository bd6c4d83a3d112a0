"""Find the feature maps of a network, where in the image they lie, and what depends on them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import dropwhile
from typing import Any, Final

import numpy as np

from xraylib.backend import keras


def paths(network: keras.Model) -> dict[str, list[keras.Layer]]:
    """List the layers with maps of more than one place, from the first convolution on.

    Returns:
        From input to output, by the name of each layer: the layer, after the models inside the
        network that it lies in, if any. Their names come before its own, `"vgg19/block5_conv4"`.

    Example:
        >>> from xraylib.networks import models
        >>> list(paths(models.basic_cnn(22)))
        ['conv1', 'pool1', 'conv2', 'pool2', 'conv3']
    """
    learned = dropwhile(lambda path: getattr(path[-1], "kernel", None) is None, walk(network))
    return {
        "/".join(layer.name for layer in path): path
        for path in learned
        if len(shape := _shape(path[-1].output)) == 4 and shape[1:3] != (1, 1)
    }


def centres(path: list[keras.Layer], axis: int) -> np.ndarray | None:
    """Compute where in the image each row or column of a layer's maps lies.

    That is the middle of its receptive field (Araujo et al., "Computing Receptive Fields of
    Convolutional Neural Networks", Distill 2019). Spreading the rows evenly instead may be wrong by
    more than the distance of two: convolutions without padding do not reach the margin, and those
    with strides pad the side where the image ends.

    Args:
        path: Of the layer, as `paths` returns it.
        axis: 0 for rows, 1 for columns.

    Returns:
        Pixels from the first row or column of the image, rising, float (count,); None where a layer
        on the way changes the size otherwise than by convolution, pooling, padding or cropping.

    Example:
        >>> from xraylib.networks import models
        >>> centres(paths(models.basic_cnn(22))["conv3"], 0).tolist()
        [8.5, 12.5]
    """
    count = _shape(path[-1].output)[1 + axis]
    if count is None:
        return None
    start, step = 0.0, 1.0
    for layer in _backwards(path):
        place = _placement(layer, axis)
        if place is None:
            return None
        first, stride = place
        start, step = first + stride * start, stride * step
    return start + step * np.arange(count)


def differentiated(total: Callable[[], Any], layer: keras.Layer) -> tuple[np.ndarray, np.ndarray]:
    """Compute a number by a network, and how it depends on the maps of one of its layers.

    Args:
        total: Calls the network, and returns one number as a tensor of Keras' backend.
        layer: Of the network; not to be used by another thread at the same time.

    Returns:
        The maps that the layer gives, and the gradients of the number, float32 both, (n, height,
        width, maps).

    Raises:
        NotImplementedError: Keras' backend has no gradients.
        ValueError: The network does not use the layer once.
    """
    backend = keras.backend.backend()
    if backend not in _DIFFERENTIATE:
        raise NotImplementedError(
            f"Keras' backend {backend} has no gradients: set KERAS_BACKEND to one of "
            f"{', '.join(_DIFFERENTIATE)}, or use occlusion.heatmap"
        )

    def tapped(tap: Callable[[Any], Any]) -> Any:
        with _tapped(layer, tap) as calls:
            number = total()
        if len(calls) != 1:
            raise ValueError(f"{layer.name} is used {len(calls)} times for a logit, not once")
        return number

    results = _DIFFERENTIATE[backend](tapped)
    # Cast first: NumPy has no bfloat16.
    maps, gradients = (
        keras.ops.convert_to_numpy(keras.ops.cast(each, "float32")) for each in results
    )
    return maps, gradients


def walk(model: keras.Model) -> Iterator[list[keras.Layer]]:
    """Yield every layer that is no model, from input to output, after the models it lies in."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from ([layer, *path] for path in walk(layer))
        else:
            yield [layer]


def _shape(output: Any) -> tuple[int | None, ...]:
    return tuple(getattr(output, "shape", ()))


def _backwards(path: list[keras.Layer]) -> Iterator[Any]:
    """Yield the layers from the last one of a path back to the image, those inside models, too."""
    *models, layer = path
    while True:
        if isinstance(layer, keras.Model):
            models.append(layer)
            layer = layer.outputs[0]._keras_history.operation
            continue
        yield layer
        source = _source(layer)
        while source is None:  # the input of a model
            if not models:
                return
            source = _source(models.pop())
        layer = source._keras_history.operation


def _source(layer: keras.Layer) -> Any:
    """The maps that a layer takes, None for an input; of several, such as a shortcut's, one."""
    tensors = layer._inbound_nodes[0].input_tensors
    spatial = (each for each in tensors if _shape(each)[1:3] != (1, 1))
    return next(spatial, None)


def _placement(layer: keras.Layer, axis: int) -> tuple[float, int] | None:
    """The middle of what a layer's first row sees, in rows of its input, and the stride."""
    source = _source(layer)
    if source is None:
        return 0.0, 1
    before, after = (
        _shape(each)[1 + axis] for each in (source, layer._inbound_nodes[0].outputs[0])
    )
    if isinstance(layer, keras.layers.ZeroPadding2D):
        return -layer.padding[axis][0], 1
    if isinstance(layer, keras.layers.Cropping2D):
        return layer.cropping[axis][0], 1
    size = getattr(layer, "kernel_size", getattr(layer, "pool_size", None))
    if size is None:
        return (0.0, 1) if before == after else None
    if before is None or after is None:
        return None
    width = (size[axis] - 1) * getattr(layer, "dilation_rate", (1, 1))[axis] + 1
    stride = layer.strides[axis]
    padding = max((after - 1) * stride + width - before, 0) if layer.padding == "same" else 0
    if (before + padding - width) // stride + 1 != after:
        return None
    return (width - 1) / 2 - padding // 2, stride


@contextmanager
def _tapped(layer: keras.Layer, tap: Callable[[Any], Any]) -> Iterator[list[Any]]:
    """Let a function see, and replace, what a layer gives; yield what it gave."""
    # A model from this layer to the output would do for some layers only, not for those inside
    # of another model or beside a shortcut, and leave its nodes behind in the user's network.
    call, outputs = layer.call, []

    def tapping(*inputs: Any, **options: Any) -> Any:
        outputs.append(tap(call(*inputs, **options)))
        return outputs[-1]

    object.__setattr__(layer, "call", tapping)
    try:
        yield outputs
    finally:
        object.__delattr__(layer, "call")


# Each takes a function that computes a number while another one sees, and may replace, the maps.
_Computation = Callable[[Callable[[Any], Any]], Any]


def _by_tensorflow(compute: _Computation) -> tuple[Any, Any]:
    import tensorflow as tf

    seen = []
    with tf.GradientTape(watch_accessed_variables=False) as tape:

        def watch(maps: Any) -> Any:
            tape.watch(maps)
            seen.append(maps)
            return maps

        number = compute(watch)
    return seen[0], tape.gradient(number, seen[0], unconnected_gradients="zero")


def _by_jax(compute: _Computation) -> tuple[Any, Any]:
    import jax

    def shifted(shift: Any) -> tuple[Any, Any]:
        seen = []

        def add(maps: Any) -> Any:
            seen.append(maps)
            return maps + shift

        return compute(add), seen[0]

    _, maps = jax.eval_shape(lambda: shifted(0))
    gradients, maps = jax.grad(shifted, has_aux=True)(jax.numpy.zeros(maps.shape, maps.dtype))
    return maps, gradients


_DIFFERENTIATE: Final = {"tensorflow": _by_tensorflow, "jax": _by_jax}
