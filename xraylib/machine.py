"""Describe this machine: its GPUs, its processor, and the versions that results depend on."""

import importlib.metadata
import os
import platform
import shutil
import subprocess
from pathlib import Path


def versions() -> dict[str, str]:
    """Python, this library, and what its numbers depend on, each with its version."""
    import keras

    names = ["xraylib", "keras", keras.backend.backend(), "numpy", "pandas", "scikit-learn"]
    found = {"python": platform.python_version()}
    for name in dict.fromkeys(names):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def device() -> str:
    """The GPUs, or the processor, that Keras computes on."""
    if found := gpus():
        return ", ".join(found)
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
        names = [line.split(":", 1)[1] for line in text.splitlines() if "model name" in line]
    except OSError:
        names = []
    # Linux on ARM tells no model's name and has no name for the processor either.
    name = (names or [platform.processor() or platform.machine()])[0].strip()
    return f"{name}, {os.cpu_count()} cores"


def gpus() -> list[str]:
    """The names of the GPUs that Keras computes on, such as `gpu:0`; empty without one."""
    import keras

    # Asked for GPUs only, JAX raises where there are none.
    return [name for name in keras.distribution.list_devices() if name.startswith("gpu")]


def native_bfloat16() -> tuple[bool, str]:
    """Whether this machine computes in bfloat16; elsewhere it is slower, and not tried.

    Returns:
        Whether it does, and a reason to be told where it does not. Of several GPUs the least one
        counts.
    """
    if gpus():
        capability = _gpu_capability()
        return capability >= 8, f"the GPU has compute capability {capability}, bfloat16 needs 8.0"
    native = bool(processor() & {"avx512_bf16", "amx_bf16"})
    return native, "the processor is not known to compute in bfloat16"


def processor() -> set[str]:
    """What Linux tells of the processor's instructions, among other words; empty elsewhere."""
    try:
        return set(Path("/proc/cpuinfo").read_text(encoding="utf-8").split())
    except OSError:
        return set()


def _gpu_capability() -> float:
    if shutil.which("nvidia-smi") is None:
        return 0.0
    asked = subprocess.run(
        ["nvidia-smi", "--query-gpu=compute_cap", "--format=csv,noheader"],
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        return min(float(line) for line in asked.stdout.split())
    except ValueError:
        return 0.0
