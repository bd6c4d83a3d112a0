"""Another process, with JAX as Keras' backend and without TensorFlow."""

import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]
WITHOUT_TENSORFLOW = """
import sys

class RefuseTensorFlow:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "tensorflow":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

# Not sys.modules["tensorflow"] = None: Keras takes the mere key for TensorFlow at work.
sys.meta_path.insert(0, RefuseTensorFlow())
"""


def run(code, *arguments, folder=None):
    """The lines that a program prints there; it has to succeed."""
    environment = {
        "KERAS_BACKEND": "jax",
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": "--xla_backend_optimization_level=0",  # compiles faster, and runs only once
        "PYTHONPATH": os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")]),
    }
    process = subprocess.run(
        [sys.executable, "-c", WITHOUT_TENSORFLOW + code, *map(str, arguments)],
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr[-2000:]
    return process.stdout.splitlines()
