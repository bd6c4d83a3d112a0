"""Pneumonia on chest radiographs: data, models, training, evaluation."""

import os
import sys

# TensorFlow reads these when it is loaded. The first: warnings and errors only. The second: Intel's
# kernels also on processors where they are off by default (those without AVX-512), on which they
# train the CNNs of this series on all cores, and TensorFlow's own ones on a single one. Loaded
# before, TensorFlow has chosen, and `networks.precision.choose` tells.
if "tensorflow" not in sys.modules:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
