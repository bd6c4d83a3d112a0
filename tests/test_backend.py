"""Keras with the settings of other programs: the same networks and numbers, or one line."""

import hashlib
import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from support.trainings import assert_same, network, train

from xraylib import backend
from xraylib.networks import models, scoring

STANDARD = {"floatx": "float32", "epsilon": 1e-7, "backend": "tensorflow"}
STANDARD |= {"image_data_format": "channels_last"}
SETTINGS = [
    {"image_data_format": "channels_first"},
    {"floatx": "float64"},
    {"floatx": "float16"},
    {"epsilon": 1e-3},
    {"dtype_policy": "mixed_float16"},
    {"dtype_policy": "bfloat16"},
    {"max_epochs": 1},
    {"max_steps_per_epoch": 1},
    {"image_data_format": "channels_first", "floatx": "float64", "epsilon": 0.1},
]
each_setting = pytest.mark.parametrize(
    "settings", SETTINGS, ids=lambda each: " ".join(map(str, each.values()))
)


def set_keras(settings):
    for name, value in settings.items():
        getattr(keras.config, f"set_{name}")(value)


@pytest.fixture(autouse=True)
def _as_before():
    before = {name: getattr(keras.config, name)() for name in backend._STANDARD}
    yield
    set_keras(before)


@each_setting
def test_a_network_is_the_same_and_a_warning_says_what_was_set(settings):
    expected = models.basic_cnn(22, seed=1)
    set_keras(settings)
    with pytest.warns(UserWarning, match=next(iter(settings))) as caught:
        other = models.basic_cnn(22, seed=1)
    assert len(caught) == 1 and "\n" not in str(caught[0].message)
    assert other.to_json() == expected.to_json()
    for weight, same in zip(other.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, same)


@pytest.mark.slow
@pytest.mark.parametrize("settings", [*SETTINGS[4:7:2], SETTINGS[-1]], ids=str)
def test_a_training_reaches_the_same(tmp_path, settings):
    expected = train(tmp_path / "expected")
    model = network()
    set_keras(settings)
    with pytest.warns(UserWarning, match=next(iter(settings))):
        assert_same(train(tmp_path / "other", model=model), expected)


@each_setting
def test_scores_are_the_same(settings):
    model = network()
    pixels = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 1), np.uint8)
    expected = scoring.scores(network(), [pixels])
    set_keras(settings)
    with pytest.warns(UserWarning, match=next(iter(settings))):
        np.testing.assert_array_equal(scoring.scores(model, [pixels]), expected)


# ------------------------------------------------------------------ before Keras is loaded

ASK = """
import hashlib
from xraylib import errors
try:
    from xraylib.networks import models
except errors.BackendError as error:
    print(error)
else:
    import keras
    weights = models.basic_cnn(22).get_weights()
    print(keras.backend.backend(), [hashlib.sha256(each).hexdigest()[:8] for each in weights])
"""


def ask(folder, keras_json=None, **variables):
    """What a new process prints of its network, with a `keras.json` and variables."""
    if keras_json is not None:
        (folder / "keras.json").write_text(keras_json)
    # xraylib itself has set the backend of this process.
    inherited = {name: value for name, value in os.environ.items() if name != "KERAS_BACKEND"}
    variables = {"KERAS_HOME": str(folder), **variables}
    asked = subprocess.run(
        [sys.executable, "-c", ASK],
        env=inherited | variables,
        capture_output=True,
        text=True,
        check=True,
    )
    return asked.stdout.strip()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("keras_json", "variables"),
    [
        (json.dumps(STANDARD | {"image_data_format": "channels_first", "floatx": "float64"}), {}),
        (json.dumps(STANDARD | {"backend": "theano"}), {}),
        (json.dumps(STANDARD | {"backend": "jax", "epsilon": 1e-3}), {"KERAS_BACKEND": ""}),
        ("{floatx", {"KERAS_BACKEND": "tensorflow"}),
        (None, {"KERAS_HOME": "/dev/null/none"}),
    ],
)
def test_a_file_of_another_project_changes_nothing(tmp_path, keras_json, variables):
    weights = models.basic_cnn(22).get_weights()
    expected = f"tensorflow {[hashlib.sha256(each).hexdigest()[:8] for each in weights]}"
    assert ask(tmp_path, keras_json, **variables) == expected


@pytest.mark.slow
@pytest.mark.parametrize("text", ["[1]", '{"floatx": "bfloat16"}', '{"epsilon": 1}', '"x"'])
def test_a_file_that_keras_refuses_is_named_in_one_line(tmp_path, text):
    told = ask(tmp_path, text)
    assert str(tmp_path / "keras.json") in told and "\n" not in told


@pytest.mark.slow
def test_a_folder_in_the_place_of_the_file(tmp_path):
    (tmp_path / "keras.json").mkdir()
    assert "mend or remove" in ask(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["theano", "TensorFlow", "cntk", "numpy", "no such"])
def test_a_backend_that_cannot_train_is_named_in_one_line(tmp_path, name):
    told = ask(tmp_path, KERAS_BACKEND=name)
    assert told.startswith("KERAS_BACKEND must be tensorflow or jax") and repr(name) in told
