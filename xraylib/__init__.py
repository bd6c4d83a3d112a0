"""Pneumonia on chest radiographs: data, networks, training, evaluation."""

import os
import sys

# The one thing that happens at import: defaults for Keras and TensorFlow, which read them when they
# are loaded and never again. A function to call first would be forgotten, and nobody would notice.
# Values that the user has set stay. Keras: its backend, which otherwise the `keras.json` of another
# project would choose. TensorFlow, the first: warnings and errors only. The second: Intel's kernels
# also on processors without AVX-512, where they train the CNNs of this series twice as fast, for
# TensorFlow's own use a single core. If TensorFlow was loaded before, xraylib comes too late, and
# `networks.precision.choose` warns.
if "keras" not in sys.modules:
    os.environ["KERAS_BACKEND"] = os.environ.get("KERAS_BACKEND") or "tensorflow"
if "tensorflow" not in sys.modules:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
