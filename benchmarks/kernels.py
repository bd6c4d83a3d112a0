"""To be imported first: which kernels TensorFlow has in this process.

xraylib asks for other kernels than TensorFlow takes by default on some processors, where it is
loaded first. In a process of `side_by_side.as_it_comes`, TensorFlow is.
"""

import os
from typing import Final

ASKED: Final = "TF_ENABLE_ONEDNN_OPTS"
ASKED_BY_USER: Final = os.environ.get(ASKED)
AS_IT_COMES: Final = "BENCHMARK_AS_IT_COMES"

# Of two processes on one GPU, none may take all of its memory.
os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")

if AS_IT_COMES in os.environ:
    import tensorflow  # noqa: F401
else:
    import xraylib  # noqa: F401
