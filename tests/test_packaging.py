"""What says which packages are needed, where and in which versions, says the same everywhere."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
ENVIRONMENT = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
CORE = [Requirement(line) for line in PROJECT["dependencies"]]
DEV = [Requirement(line) for line in PROJECT["optional-dependencies"]["dev"]]


def by_name(requirements):
    return {canonicalize_name(each.name): each for each in requirements}


def pip_section():
    (section,) = [each["pip"] for each in ENVIRONMENT["dependencies"] if isinstance(each, dict)]
    return section


def pins():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return by_name(Requirement(line) for line in lines if line and not line.startswith("#"))


def test_environment_lists_the_core_dependencies():
    *listed, itself = pip_section()
    assert itself == "-e ."
    assert by_name(map(Requirement, listed)) == by_name(CORE)


def test_environment_takes_only_python_and_pip_from_conda():
    assert ENVIRONMENT["name"] == "xray-pneumonia"
    assert ENVIRONMENT["channels"] == ["conda-forge"]
    python, pip = [each for each in ENVIRONMENT["dependencies"] if isinstance(each, str)]
    assert pip == "pip"
    version = re.fullmatch(r"python=(\d+\.\d+)", python)[1]
    assert Requirement(f"python{PROJECT['requires-python']}").specifier.contains(version)


@pytest.mark.parametrize("file", ["environment.yml", "pyproject.toml"])
def test_every_dependency_has_its_reason(file):
    opening = {"environment.yml": r"\s*- (?!conda-forge|pip:)", "pyproject.toml": r"  \"[a-z]"}
    lines = (ROOT / file).read_text(encoding="utf-8").splitlines()
    dependencies = [line for line in lines if re.match(opening[file], line)]
    expected = {"environment.yml": len(CORE) + 3, "pyproject.toml": len(CORE) + len(DEV)}
    assert len(dependencies) == expected[file]
    assert [line for line in dependencies if not re.search(r"\s# \w", line)] == []


@pytest.mark.parametrize("requirement", CORE + DEV, ids=lambda each: each.name)
def test_dependency_is_bounded_below_and_pinned(requirement):
    assert [each.operator for each in requirement.specifier] == [">="]
    (pin,) = pins()[canonicalize_name(requirement.name)].specifier
    assert pin.operator == "=="
    assert requirement.specifier.contains(pin.version)


def test_constraints_are_exact_versions_from_an_index():
    for pin in pins().values():
        assert [each.operator for each in pin.specifier] == ["=="], pin
        assert pin.url is None, pin
        assert not next(iter(pin.specifier)).version.endswith(".*"), pin
    assert canonicalize_name(PROJECT["name"]) not in pins()


def test_tensorflow_is_the_one_that_can_use_a_gpu():
    assert "tensorflow" in by_name(CORE)
    assert "tensorflow-cpu" not in by_name(CORE) | by_name(DEV) | pins()
    assert PROJECT["optional-dependencies"]["gpu"] == ["tensorflow[and-cuda]"]


def test_command_is_declared():
    assert PROJECT["scripts"] == {"xraylib": "xraylib.cli:main"}


def test_ci_runs_what_make_test_runs():
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert script.read_text(encoding="utf-8").splitlines()[-1] == "make test"


@pytest.mark.slow
def test_import_stays_light():
    heavy = {"tensorflow", "keras", "jax", "pandas", "matplotlib", "seaborn", "sklearn", "scipy"}
    code = "import sys, xraylib; print(*sys.modules)"
    finished = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    loaded = set(finished.stdout.split())
    assert "xraylib" in loaded
    assert loaded & heavy == set()


@pytest.mark.slow
@pytest.mark.parametrize("before", ["", "import sys; sys.modules['tensorflow'] = None; "])
def test_kernels_are_asked_for_while_tensorflow_can_hear(before):
    code = f"{before}import os, xraylib; print(os.environ.get('TF_ENABLE_ONEDNN_OPTS'))"
    environment = {name: os.environ[name] for name in os.environ if not name.startswith("TF_")}
    finished = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    assert finished.stdout.strip() == ("None" if before else "1")
