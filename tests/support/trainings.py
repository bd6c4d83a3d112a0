"""A tiny network, its data, and a training that may be killed."""

import logging
import os
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from xraylib.data.loading import Batches
from xraylib.networks import training
from xraylib.networks.training import fit

EPOCHS = 5
computes_bfloat16 = pytest.mark.skipif(
    "ONEDNN_MAX_CPU_ISA" in os.environ,
    reason="Intel's kernels refuse bfloat16 when they are limited below the processor's own",
)


def network(*, units=4, classes=1, seed=0):
    """A tiny network with the layer names of `models`, and dropout, which has a state too."""
    inputs = keras.Input((8, 8, 1), dtype="uint8", name="pixels")
    x = keras.layers.Rescaling(1 / 255, name="rescaling")(inputs)
    x = keras.layers.Flatten(name="flatten")(x)
    x = keras.layers.Dense(
        units, activation="tanh", name="dense", kernel_initializer=keras.initializers.HeNormal(seed)
    )(x)
    x = keras.layers.Dropout(0.25, seed=seed, name="dropout")(x)
    x = keras.layers.Dense(
        classes,
        name="logit",
        dtype="float32",
        kernel_initializer=keras.initializers.GlorotUniform(seed),
    )(x)
    activation = "sigmoid" if classes == 1 else "softmax"
    outputs = keras.layers.Activation(activation, dtype="float32", name="score")(x)
    return keras.Model(inputs, outputs, name="tiny")


def batches(count, *, positives=None, batch_size=8, **more):
    """Noise, darker for class 1, which are the first `positives`."""
    positives = count // 2 if positives is None else positives
    labels = (np.arange(count) < positives).astype(int)
    pixels = np.random.default_rng(count).integers(0, 256, (count, 8, 8, 1), dtype=np.uint8)
    pixels[labels == 1] = pixels[labels == 1] * 0.3
    return Batches(pixels, labels, np.arange(count), batch_size=batch_size, **more)


def train(folder, *, model=None, data=None, **more):
    """Fits a fresh network on the same data as ever; gives it, its history and what was logged."""
    model = model or network()
    data = data or batches(32, shuffle=True)
    settings = {"epochs": EPOCHS, "learning_rate": 0.03, "precision": "float32"} | more
    messages = []
    handler = logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())
    logger = logging.getLogger("xraylib")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        history = fit(model, data, batches(17), folder=folder, **settings)
    finally:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)
    return SimpleNamespace(model=model, history=history, log=messages, folder=folder)


def assert_same(run, expected):
    """The same history but for the time, and the same weights: bit for bit on one machine."""
    numbers = run.history.drop(columns="seconds")
    assert numbers.to_dict("list") == expected.history.drop(columns="seconds").to_dict("list")
    for weight, other in zip(run.model.get_weights(), expected.model.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, other)


class Killed(KeyboardInterrupt):
    pass


def kill_at_batch(monkeypatch, number):
    """The process gets its signal after this many batches; an epoch has four."""
    end, seen = training._Watch.on_train_batch_end, 0

    def until_killed(watch, batch, logs=None):
        nonlocal seen
        end(watch, batch, logs)
        seen += 1
        if seen == number:
            raise Killed

    monkeypatch.setattr(training._Watch, "on_train_batch_end", until_killed)
