"""Write a trained network for use without Keras: ONNX in float32, float16 and int8, and others.

What is written has a fixed batch of outputs beside the decision, for whoever judges an image:

    logit  (n, 1)           of PNEUMONIA, before calibration
    late   (n, features)    what the last layer decides on
    early  (n, maps)        the means of the maps at about half the depth
    cam    (n, h, w, 1)     where the last maps speak for PNEUMONIA: the logit that each place would
                            have alone. Class activation maps: Zhou et al., "Learning Deep Features
                            for Discriminative Localization", CVPR 2016

Keras exports by tf2onnx, and onnxruntime quantizes; both come with the extra `export`.
"""

import contextlib
import json
import logging
import os
import tempfile
import warnings
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np

from xraylib import backend, errors, files
from xraylib.backend import keras
from xraylib.networks import models

OPSET: Final = 18
OUTPUTS: Final = ("logit", "late", "early", "cam")
# Smaller arrays, as biases and constants, stay in float32: they weigh nothing.
_LEAST_HALVED: Final = 256
# Images at a time: all at once, their maps would need gigabytes.
_PORTION: Final = 64

Format = Literal["onnx", "tf_saved_model", "litert"]


def deployed(network: keras.Model) -> keras.Model:
    """Give a network the outputs that a deployed one has, as this module lists them.

    Args:
        network: Trained, with a layer `"logit"` of one class, or of several of which the first is
            NORMAL and the others together are PNEUMONIA.

    Returns:
        A network that shares the weights; its outputs are a dictionary. `cam` is there where the
        layer `"logit"` takes the mean of the last maps, of a layer `"average"`. Of one class, its
        mean is the logit. Of several, each class has such a map, and `cam` joins them at each place
        as the logits are joined, so that its mean is near the logit but not the same.

    Raises:
        ValueError: `network` has no layer `"logit"`, or takes anything but grey squares.
    """
    backend.pin()
    logit = models.logits(network).output
    _, height, width, channels = network.input.shape
    if height != width or channels != 1:
        raise ValueError(f"network must take grey squares. Received: {network.input.shape}")
    outputs = {"logit": _binary(logit), "late": network.get_layer("logit").input}
    averaged = [layer.input for layer in network.layers if layer.name == "average"]
    # An eighth of the image: edges and textures there, no lungs yet.
    early = [
        layer.output
        for layer in network.layers[1:]
        if len(getattr(layer.output, "shape", ())) == 4
        and layer.output.shape[1] >= height // 8
        and all(layer.output is not maps for maps in averaged)
    ]
    if early:
        outputs["early"] = keras.layers.GlobalAveragePooling2D(name="early")(early[-1])
    if averaged:
        outputs["cam"] = _binary(network.get_layer("logit")(averaged[0]))
    return keras.Model(network.input, outputs, name=network.name)


def onnx(network: keras.Model, path: Path | str, *, half: bool = False) -> Path:
    """Write a network as ONNX: uint8 pixels (n, size, size, 1) in, `OUTPUTS` out.

    The same network gives the same bytes.

    Args:
        network: As `deployed` takes it.
        path: The file to write.
        half: Whether weights are stored in float16, in half the space. They are computed with in
            float32 all the same.

    Returns:
        `path`.

    Raises:
        ImportError: tf2onnx is not installed; the message names the extra.
        ValueError: As of `deployed`.
    """
    wanted = deployed(network)
    model = _exported(wanted)
    _made_reproducible(model, {name: each.shape for name, each in wanted.output.items()})
    if half:
        _halve(model)
    path = Path(path)
    with files.whole(path) as unfinished:
        unfinished.write_bytes(model.SerializeToString(deterministic=True))
    return path


def int8(source: Path | str, path: Path | str, pixels: np.ndarray) -> Path:
    """Quantize an ONNX of this module to 8 bits, weights by channel, statically.

    Nagel et al., "A White Paper on Neural Network Quantization", 2021.

    Args:
        source: As `onnx` writes it without `half`.
        path: The file to write.
        pixels: Validation images from which the ranges of activations are taken, grey uint8 (n,
            size, size, 1); a hundred or more.

    Returns:
        `path`.

    Raises:
        ImportError: onnx is not installed; the message names the extra.
    """
    with _extra():
        from onnxruntime import quantization
        from onnxruntime.quantization import shape_inference

    path = Path(path)
    with tempfile.TemporaryDirectory() as folder, _quiet():
        prepared = Path(folder, "prepared.onnx")
        shape_inference.quant_pre_process(source, prepared, skip_symbolic_shape=True)
        with files.whole(path) as unfinished:
            quantization.quantize_static(
                prepared,
                unfinished,
                _Calibration(pixels),
                quant_format=quantization.QuantFormat.QDQ,
                per_channel=True,
                # Nearly all of the work. What sums and averages has no weights to gain from.
                op_types_to_quantize=["Conv"],
                # The smallest and the largest value of any image would stretch the range of all:
                # it cost .02 of the AUC of EfficientNet-Lite0 on validation, and this .002.
                calibrate_method=quantization.CalibrationMethod.Percentile,
                extra_options={"CalibPercentile": 99.99},
            )
    return path


def halved(network: keras.Model, path: Path | str) -> Path:
    """Save a network as `.keras` with its weights in float16, in half the space.

    `keras.models.load_model` reads it as any other, and computes in float32.
    """
    import h5py

    path = Path(path)
    with tempfile.TemporaryDirectory() as folder:
        whole, weights = Path(folder, "whole.keras"), Path(folder, "weights.h5")
        network.save(whole)
        with zipfile.ZipFile(whole) as stored:
            contents = {name: stored.read(name) for name in stored.namelist()}
        weights.write_bytes(contents["model.weights.h5"])
        with h5py.File(weights) as full, h5py.File(Path(folder, "half.h5"), "w") as half:
            _copy_halved(full, half)
        contents["model.weights.h5"] = Path(folder, "half.h5").read_bytes()
        metadata = json.loads(contents["metadata.json"])
        contents["metadata.json"] = json.dumps(metadata | {"date_saved": ""}).encode()
        with files.whole(path) as unfinished, zipfile.ZipFile(unfinished, "w") as packed:
            for name, content in contents.items():
                # Of a fixed date.
                packed.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return path


def write(network: keras.Model, path: Path | str, format: Format) -> Path:
    """Write a network in one of Keras' formats: `"onnx"`, `"tf_saved_model"` or `"litert"`.

    The outputs are those of `deployed`.

    Raises:
        ImportError: What Keras needs for the format is not installed.
    """
    if format == "onnx":
        return onnx(network, path)
    model = deployed(network)
    model(np.zeros((1, *network.input.shape[1:]), np.uint8))
    with _extra(), _quiet():
        model.export(str(path), format=format, verbose=False)
    return Path(path)


def difference(network: keras.Model, path: Path | str, pixels: np.ndarray) -> dict[str, float]:
    """Compare a file of this module with Keras: the largest difference of each output.

    Args:
        network: As `deployed` takes it.
        path: A file or folder that `onnx`, `int8` or `write` wrote.
        pixels: Grey uint8 (n, size, size, 1).

    Returns:
        The largest absolute difference of each output by its name, as far as the file has it.
    """
    expected = deployed(network).predict(pixels, verbose=0)
    computed = outputs(path, pixels)
    return {
        name: float(np.abs(computed[name] - values).max())
        for name, values in expected.items()
        if name in computed
    }


def outputs(path: Path | str, pixels: np.ndarray) -> dict[str, np.ndarray]:
    """Run what `onnx`, `int8` or `write` wrote: each output by its name, float32.

    Args:
        path: ONNX where its name ends so, LiteRT where it ends in `.tflite`, else a SavedModel.
        pixels: Grey uint8 (n, size, size, 1).
    """
    path = Path(path)
    if path.suffix == ".onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        names = [each.name for each in session.get_outputs()]
        portions = np.split(pixels, range(_PORTION, len(pixels), _PORTION))
        by_name = zip(
            *(session.run(names, {"pixels": portion}) for portion in portions), strict=True
        )
        return dict(zip(names, map(np.concatenate, by_name), strict=True))
    import tensorflow as tf

    if path.suffix != ".tflite":
        loaded = tf.saved_model.load(str(path))  # its variables live as long as this name
        return {name: np.asarray(each) for name, each in loaded.serve(tf.constant(pixels)).items()}
    with warnings.catch_warnings(action="ignore"):  # of its new home, another package
        runner = tf.lite.Interpreter(model_path=str(path)).get_signature_runner()
    parts = [runner(pixels=pixels[row : row + 1]) for row in range(len(pixels))]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _binary(logit: keras.KerasTensor) -> keras.KerasTensor:
    """One logit of PNEUMONIA, (..., 1), from the logits of NORMAL and of its kinds, (..., k)."""
    if logit.shape[-1] == 1:
        return logit
    disease = keras.ops.logsumexp(logit[..., 1:], axis=-1, keepdims=True)
    return disease - logit[..., :1]


def _copy_halved(source: Any, target: Any) -> None:
    """Copy a group of HDF5 with its groups, attributes, and floats in float16."""
    target.attrs.update(source.attrs)
    for name, each in source.items():
        if hasattr(each, "items"):
            _copy_halved(each, target.create_group(name))
        else:
            values = each[()]
            single = values.dtype == np.float32
            target.create_dataset(name, data=values.astype(np.float16) if single else values)


class _Calibration:
    """The images of a calibration, as onnxruntime asks for them: in portions until None."""

    def __init__(self, pixels: np.ndarray) -> None:
        # All of one size, for onnxruntime stacks them: what is left over does not count.
        size = min(16, len(pixels))
        self._portions = iter(np.split(pixels[: len(pixels) // size * size], len(pixels) // size))

    def get_next(self) -> dict[str, np.ndarray] | None:
        portion = next(self._portions, None)
        return None if portion is None else {"pixels": portion}


def _exported(network: keras.Model) -> Any:
    """What Keras exports, as a model of the package onnx."""
    with _extra():
        import onnx
        import tf2onnx  # noqa: F401 - Keras would fail for want of it with words of its own

    network(np.zeros((1, *network.input.shape[1:]), np.uint8))  # Keras exports what was called
    with tempfile.TemporaryDirectory() as folder, _quiet():
        path = os.path.join(folder, "network.onnx")
        network.export(path, format="onnx", verbose=False, opset_version=OPSET)
        return onnx.load(path)


def _made_reproducible(model: Any, shapes: dict[str, tuple[int | None, ...]]) -> None:
    """Order all nodes and name all values by their places: tf2onnx leaves both to chance."""
    graph = model.graph
    places = {name: place for place, name in enumerate(OUTPUTS)}
    wanted = sorted(graph.output, key=lambda value: places[value.name])
    nodes = _in_order(graph.node, [value.name for value in wanted])
    names = {"": ""} | {each.name: each.name for each in (*graph.input, *wanted)}
    for number, node in enumerate(nodes):
        for values in (node.input, node.output):
            values[:] = [names.setdefault(name, f"v{len(names)}") for name in values]
        node.name, node.doc_string = f"n{number}", ""
    arrays = sorted(graph.initializer, key=lambda array: int(names[array.name][1:]))
    for array in arrays:
        array.name = names[array.name]
    for field, values in (("node", nodes), ("initializer", arrays), ("output", wanted)):
        graph.ClearField(field)
        getattr(graph, field).extend(values)
    graph.ClearField("value_info")
    graph.name, graph.doc_string, model.doc_string = "classifier", "", ""
    del model.metadata_props[:]
    (pixels,) = graph.input
    for value, shape in ((pixels, None), *((each, shapes[each.name]) for each in graph.output)):
        dimensions = value.type.tensor_type.shape.dim
        dimensions[0].dim_param = "n"
        for dimension, length in zip(dimensions[1:], (shape or ())[1:], strict=False):
            dimension.dim_value = length


def _in_order(nodes: Iterable[Any], outputs: Iterable[str]) -> list[Any]:
    """The nodes that outputs need, each behind what it needs itself, depth first."""
    makers = {name: node for node in nodes for name in node.output}
    ordered: list[Any] = []
    done: set[str] = set()
    waiting = list(reversed(list(outputs)))
    while waiting:
        maker = makers.get(waiting[-1])
        if maker is None or maker.output[0] in done:
            waiting.pop()
        elif needed := [
            name for name in maker.input if name in makers and makers[name].output[0] not in done
        ]:
            waiting += reversed(needed)
        else:
            done.add(maker.output[0])
            ordered.append(maker)
            waiting.pop()
    return ordered


def _halve(model: Any) -> None:
    """Store large arrays of weights in float16, each with a cast to float32 behind it."""
    import onnx

    graph, casts = model.graph, []
    for array in graph.initializer:
        values = onnx.numpy_helper.to_array(array)
        if values.dtype != np.float32 or values.size < _LEAST_HALVED:
            continue
        name, stored = array.name, f"{array.name}h"
        array.CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float16), stored))
        kind = onnx.TensorProto.FLOAT
        casts.append(onnx.helper.make_node("Cast", [stored], [name], f"cast {name}", to=kind))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


@contextlib.contextmanager
def _extra() -> Iterator[None]:
    """Names the extra where a package is missing."""
    try:
        yield
    except ImportError as error:
        raise ImportError(
            f"exporting a network needs more packages ({errors.one_line(error)}): "
            "pip install 'xraylib[export]'"
        ) from None


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what tf2onnx and onnxruntime tell their own developers."""
    root, before = logging.getLogger(), logging.getLogger().level
    root.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        root.setLevel(before)
