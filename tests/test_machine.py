from types import SimpleNamespace

import keras
import pytest

from xraylib import machine


@pytest.fixture
def processor(monkeypatch, tmp_path):
    """A function that puts another text in the place of what Linux says of the processor."""
    monkeypatch.setattr(keras.distribution, "list_devices", lambda: [])
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
    monkeypatch.setattr(machine, "_CPUINFO", tmp_path / "cpuinfo")
    return (tmp_path / "cpuinfo").write_text


def test_versions():
    versions = machine.versions()
    names = {"python", "xraylib", "keras", keras.backend.backend(), "numpy", "pandas"}
    assert set(versions) == names | {"scikit-learn"}
    assert all(version[0].isdigit() for version in versions.values())


def test_a_missing_package_is_no_error(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "no-such-backend")
    assert machine.versions()["no-such-backend"] == "not installed"


def test_device_with_gpus(monkeypatch):
    monkeypatch.setattr(keras.distribution, "list_devices", lambda: ["gpu:0", "gpu:1"])
    assert machine.device() == "gpu:0, gpu:1"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("model name\t: Fast 9\ncores: 2\nmodel name\t: Fast 9\n", "Fast 9"),
        ("", "aarch64"),
        (None, "aarch64"),
    ],
)
def test_device_without_a_gpu(monkeypatch, processor, text, name):
    if text is not None:
        processor(text)
    monkeypatch.setattr(machine.platform, "processor", lambda: "")
    monkeypatch.setattr(machine.platform, "machine", lambda: "aarch64")
    monkeypatch.setattr(machine.os, "cpu_count", lambda: 2)
    assert machine.device() == f"{name}, 2 cores"


def test_instructions(processor):
    processor("model name : Fast avx512f\nflags : fpu avx2\n\nflags : fpu avx2\n")
    assert machine.instructions() == {"fpu", "avx2"}
    processor("Features : asimd bf16\n")
    assert machine.instructions() == {"asimd", "bf16"}


@pytest.mark.parametrize(
    ("flags", "native"),
    [
        ("fpu avx2 avx512f", False),
        ("fpu avx512_bf16", True),
        ("amx_bf16", True),
        ("no_avx512_bf16", False),
    ],
)
def test_bfloat16_of_a_processor(processor, flags, native):
    processor(f"flags\t\t: {flags}\n")
    assert machine.native_bfloat16()[0] is native


def test_bfloat16_of_a_processor_that_is_limited(processor, monkeypatch):
    processor("flags : amx_bf16\n")
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    expected = (False, "ONEDNN_MAX_CPU_ISA=AVX2 excludes the instructions for bfloat16")
    assert machine.native_bfloat16() == expected
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX512_CORE_AMX")
    assert machine.native_bfloat16()[0]


def test_bfloat16_of_an_unknown_processor(processor):
    expected = (False, "the processor is not known to have instructions for bfloat16")
    assert machine.native_bfloat16() == expected


@pytest.mark.parametrize(
    ("answer", "native"),
    [
        ("8.0\n", True),
        ("9.0\n10.0\n", True),
        ("8.9\n7.5\n", False),
        ("[N/A]\n", False),
        ("", False),
        (None, False),
    ],
)
def test_bfloat16_of_gpus_is_decided_by_the_oldest(monkeypatch, answer, native):
    monkeypatch.setattr(keras.distribution, "list_devices", lambda: ["gpu:0"])
    monkeypatch.setattr(machine.shutil, "which", lambda name: answer and name)
    monkeypatch.setattr(
        machine.subprocess, "run", lambda command, **options: SimpleNamespace(stdout=answer)
    )
    assert machine.native_bfloat16()[0] is native


def test_variables_that_change_the_last_digits(monkeypatch):
    for name in machine.environment():
        monkeypatch.delenv(name)
    assert machine.environment() == {}
    changing = {
        "CUDA_VISIBLE_DEVICES": "",
        "OMP_NUM_THREADS": "1",
        "TF_DETERMINISTIC_OPS": "1",
        "TF_ENABLE_ONEDNN_OPTS": "0",
        "TF_NUM_INTRAOP_THREADS": "3",
        "XLA_FLAGS": "--xla_cpu_enable_fast_math=true",
    }
    others = {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_FORCE_GPU_ALLOW_GROWTH": "true", "KERAS_HOME": "x"}
    for name, value in (changing | others).items():
        monkeypatch.setenv(name, value)
    assert machine.environment() == changing
