"""What says which packages are needed, where and in which versions, says the same everywhere."""

import ast
import contextlib
import functools
import importlib.metadata
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
EXTRAS = [
    [Requirement(line) for line in PROJECT["optional-dependencies"][name]]
    for name in ("dicom", "export")
]
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


@functools.cache
def owners():
    return importlib.metadata.packages_distributions()


def imported(folder):
    """The distributions whose modules a folder of Python files imports, anywhere in them."""
    modules = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                modules |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                modules.add(node.module.split(".")[0])
    return {canonicalize_name(name) for module in modules for name in owners().get(module, ())}


def with_what_they_bring(names):
    """Distributions and, of those that are installed, all that they need themselves."""
    known, waiting = set(), list(names)
    while waiting:
        name = waiting.pop()
        if name in known:
            continue
        known.add(name)
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            needs = map(Requirement, importlib.metadata.requires(name) or ())
            waiting += [
                canonicalize_name(each.name)
                for each in needs
                if each.marker is None or each.marker.evaluate({"extra": ""})
            ]
    return known


def test_the_library_imports_its_dependencies_and_nothing_else():
    core = set(by_name(CORE))
    extras = {name for extra in EXTRAS for name in by_name(extra)}
    # People start JupyterLab.
    assert core - imported(ROOT / "xraylib") == {"jupyterlab"}
    # Who has chosen JAX as Keras' backend has it.
    assert imported(ROOT / "xraylib") - {"xraylib", "jax"} <= with_what_they_bring(core | extras)


def test_the_tests_import_their_dependencies_or_a_tool_is_named_where_it_runs():
    files = ("Makefile", ".pre-commit-config.yaml", "pyproject.toml")
    tools = "\n".join((ROOT / file).read_text(encoding="utf-8") for file in files)
    # `KERAS_BACKEND` names jax, and `pytest -n` is xdist.
    unused = set(by_name(DEV)) - imported(ROOT / "tests") - {"jax", "pytest-xdist"}
    for name in unused:
        assert re.search(rf"\b{name}\b", tools.replace(f'"{name}>=', "")), name


@pytest.mark.parametrize("requirement", sum(EXTRAS, CORE + DEV), ids=lambda each: each.name)
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


def printed(code):
    """What another Python prints, in which TensorFlow has no settings."""
    settings = {name: os.environ[name] for name in os.environ if not name.startswith("TF_")}
    command = [sys.executable, "-c", code]
    return subprocess.check_output(command, cwd=ROOT, env=settings, text=True).strip()


@pytest.mark.slow
def test_import_stays_light():
    heavy = {"tensorflow", "keras", "jax", "pandas", "matplotlib", "seaborn", "sklearn", "scipy"}
    loaded = printed("import sys, xraylib; print(*sys.modules)").split()
    assert "xraylib" in loaded
    assert set(loaded) & heavy == set()


@pytest.mark.slow
@pytest.mark.parametrize("before", ["", "import sys; sys.modules['tensorflow'] = None; "])
def test_kernels_are_asked_for_while_tensorflow_can_hear(before):
    code = f"{before}import os, xraylib; print(os.environ.get('TF_ENABLE_ONEDNN_OPTS'))"
    assert printed(code) == ("None" if before else "1")
