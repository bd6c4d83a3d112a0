"""Describe this machine: its GPUs, its processor, and the versions that results depend on."""

import importlib.metadata
import os
import platform
import shutil
import subprocess
from pathlib import Path
from typing import Final

_CPUINFO: Final = Path("/proc/cpuinfo")  # on Linux only
# Values of ONEDNN_MAX_CPU_ISA that keep Intel's kernels from the instructions for bfloat16.
_LIMITS: Final = ("SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX512_CORE", "AVX512_CORE_VNNI")
# Variables that change the last digits of what TensorFlow and JAX compute, or where they do.
_COMPUTING: Final = (
    "CUDA_VISIBLE_DEVICES",
    "ONEDNN_MAX_CPU_ISA",
    "NVIDIA_TF32_OVERRIDE",
    "OMP_NUM_THREADS",
)
_COMPUTING_PREFIXES: Final = ("TF_", "JAX_", "XLA_")
# Of these, how much is logged and how memory is taken changes no number.
_NO_NUMBER: Final = (
    "TF_CPP_",
    "TF_FORCE_GPU_ALLOW_GROWTH",
    "XLA_PYTHON_CLIENT_",
)


def environment() -> dict[str, str]:
    """The variables of the environment that change the last digits of results, as they are set.

    Other kernels and another number of threads add up in another order: `TF_ENABLE_ONEDNN_OPTS`,
    `TF_NUM_INTRAOP_THREADS`, `XLA_FLAGS` and so on.
    """
    return {
        name: value
        for name, value in sorted(os.environ.items())
        if (name in _COMPUTING or name.startswith(_COMPUTING_PREFIXES))
        and not name.startswith(_NO_NUMBER)
    }


def versions() -> dict[str, str]:
    """Python, this library, and what its numbers depend on, each with its version."""
    from xraylib.backend import keras

    versions = {"python": platform.python_version()}
    for name in ("xraylib", "keras", keras.backend.backend(), "numpy", "pandas", "scikit-learn"):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return versions


def device() -> str:
    """The GPUs that Keras computes on, such as `"gpu:0"`, or else the processor and its cores."""
    if names := gpus():
        return ", ".join(names)
    models = [line.split(":", 1)[1] for line in _cpuinfo().splitlines() if "model name" in line]
    # Linux on ARM lists no model and has no name for the processor either.
    name = (models or [platform.processor() or platform.machine()])[0].strip()
    return f"{name}, {os.cpu_count()} cores"


def gpus() -> list[str]:
    """The names of the GPUs that Keras computes on, such as `"gpu:0"`; empty without one."""
    from xraylib.backend import keras

    # When asked for GPUs only, JAX raises where there are none.
    return [name for name in keras.distribution.list_devices() if name.startswith("gpu")]


def instructions() -> set[str]:
    """The instruction sets of the processor as Linux names them, e.g. `"avx2"`; empty elsewhere."""
    lines = [line.partition(":") for line in _cpuinfo().splitlines()]
    flags = ("flags", "Features")  # the latter on ARM
    return {name for key, _, names in lines if key.strip() in flags for name in names.split()}


def native_bfloat16() -> tuple[bool, str]:
    """Whether this machine has instructions for bfloat16, and the reason in a few words.

    Without them bfloat16 is slower than float32. Of several GPUs the oldest one counts.
    """
    if gpus():
        capability = _compute_capability()
        return capability >= 8, f"the GPU has compute capability {capability}, bfloat16 needs 8.0"
    if (limit := os.environ.get("ONEDNN_MAX_CPU_ISA")) in _LIMITS:
        return False, f"ONEDNN_MAX_CPU_ISA={limit} excludes the instructions for bfloat16"
    if instructions() & {"avx512_bf16", "amx_bf16"}:
        return True, "the processor has instructions for bfloat16"
    return False, "the processor is not known to have instructions for bfloat16"


def _cpuinfo() -> str:
    try:
        return _CPUINFO.read_text(encoding="utf-8")
    except OSError:
        return ""


def _compute_capability() -> float:
    """The lowest of all GPUs; 0 where the driver does not report it."""
    if shutil.which("nvidia-smi") is None:
        return 0.0
    command = ["nvidia-smi", "--query-gpu=compute_cap", "--format=csv,noheader"]
    query = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        return min(float(line) for line in query.stdout.split())
    except ValueError:
        return 0.0
