"""Load Keras, and keep what is set for other programs from changing what it computes here.

Keras reads `keras.json` in `~/.keras`, or in the folder `KERAS_HOME`, while it is imported; any
program may change the same settings later. The rooms of this library import Keras from here.
"""

import importlib.util
import os
import warnings
from pathlib import Path
from typing import Any, Final

from xraylib import errors

__all__ = ["BACKENDS", "keras", "pin"]

# On which this library trains, and can tell on what devices.
BACKENDS: Final = ("tensorflow", "jax")

_UNFIT: Final = (
    f"KERAS_BACKEND must be {' or '.join(BACKENDS)}, and that must be installed: unset it to take "
    "TensorFlow. Received: {!r}"
)

try:
    import keras
except Exception as error:
    _backend = os.environ.get("KERAS_BACKEND") or "tensorflow"
    if _backend not in BACKENDS or importlib.util.find_spec(_backend) is None:
        raise errors.BackendError(_UNFIT.format(_backend)) from None
    _settings = Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser() / "keras.json"
    # What else is wrong with TensorFlow or JAX is an ImportError, and tells it better itself.
    if isinstance(error, ImportError) or not _settings.exists():
        raise
    raise errors.BackendError(
        f"Keras does not take its settings in {_settings}: mend or remove that file "
        f"({type(error).__name__}: {errors.one_line(error)})"
    ) from None
if keras.backend.backend() not in BACKENDS:
    raise errors.BackendError(_UNFIT.format(keras.backend.backend()))

# What Keras itself begins with, and each network of this library is computed with.
_STANDARD: Final[dict[str, Any]] = {
    "image_data_format": "channels_last",
    "floatx": "float32",
    "epsilon": 1e-7,
    "dtype_policy": "float32",
    "max_epochs": None,
    "max_steps_per_epoch": None,
}


def pin() -> None:
    """Sets Keras to its own defaults for the rest of this process, and warns where they differed.

    Channels come last, numbers are float32, and no limit shortens a training: a network is the same
    whatever `keras.json`, the environment or the program says. To be called before anything is
    built, trained or scored.

    Example:
        >>> keras.config.set_epsilon(1e-3)
        >>> with warnings.catch_warnings(action="ignore"):
        ...     pin()
        >>> keras.config.epsilon()
        1e-07
    """
    changes = []
    for name, standard in _STANDARD.items():
        value = getattr(keras.config, name)()
        value = getattr(value, "name", value)  # of a policy
        if value != standard:
            getattr(keras.config, f"set_{name}")(standard)
            changes.append(f"{name} {value!r} (now {standard!r})")
    if changes:
        warnings.warn(
            "Keras was set up for something else, by its keras.json, a variable KERAS_... or this "
            f"program, and is set back, for the networks here would not be the same: "
            f"{', '.join(changes)}",
            stacklevel=3,
        )
