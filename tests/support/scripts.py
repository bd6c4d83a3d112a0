"""The scripts of `experiments/` and `assets/`, which are no part of the package."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def load(*place):
    """A script as a module, from its path below the repository."""
    path = ROOT.joinpath(*place)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(path.parent))  # for what it takes from its neighbours
        spec.loader.exec_module(module)
    return module
