"""Pneumonia on chest radiographs: data, networks, training, evaluation."""

import os
import sys

# The one thing that happens at import: two defaults for TensorFlow, which reads them when it is
# loaded and never again. A function to call first would be forgotten, and nobody would notice.
# Values that the user has set stay. The first: warnings and errors only. The second: Intel's
# kernels also on processors without AVX-512, where they train the CNNs of this series twice as
# fast, for TensorFlow's own use a single core. If TensorFlow was loaded before, xraylib comes too
# late, and `networks.precision.choose` warns.
if "tensorflow" not in sys.modules:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
