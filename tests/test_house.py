"""The rules of the house: who imports whom, and whose names are whose."""

import ast
from pathlib import Path

import pytest

LIBRARY = Path(__file__).resolve().parents[1] / "xraylib"
ROOMS = sorted(LIBRARY.rglob("*.py"))
# A wing imports from those above it only. `evaluation` knows no images and `synthetic` no files.
WINGS = [
    "evaluation",
    "synthetic",
    "data",
    "audit",
    "networks",
    "explain",
    "runs",
    "report",
]
# Used by every wing, and by themselves of no wing.
GROUND = {"errors", "backend", "files", "names", "machine", "progress", "cache", "pruning"}
# They put wings together.
ROOF = {"cli", "classifier", "predicting"}


def imported(path):
    """The modules of the library that a room imports, without the library's name."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "xraylib":
            inside = node.module.removeprefix("xraylib").lstrip(".")
            for alias in node.names:
                yield inside or alias.name, alias
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.startswith("xraylib."):
                    yield alias.name.removeprefix("xraylib."), alias


def place(path):
    return path.relative_to(LIBRARY).with_suffix("").parts[0]


def test_every_wing_and_room_has_its_place():
    assert {place(path) for path in ROOMS} <= {*WINGS, *GROUND, *ROOF, "__init__"}


@pytest.mark.parametrize("path", ROOMS, ids=lambda path: str(path.relative_to(LIBRARY)))
def test_a_wing_imports_only_from_wings_before_it(path):
    own = place(path)
    for module, _ in imported(path):
        other = module.split(".")[0]
        if own in GROUND:
            assert other in GROUND, module
        elif own in WINGS:
            assert other in GROUND or WINGS.index(other) <= WINGS.index(own), module


@pytest.mark.parametrize("path", ROOMS, ids=lambda path: str(path.relative_to(LIBRARY)))
def test_no_room_takes_a_private_name_of_another(path):
    taken = {alias.asname or alias.name for _, alias in imported(path)}
    assert not [name for name in taken if name.startswith("_")]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            private = node.attr.startswith("_") and not node.attr.startswith("__")
            assert not (private and node.value.id in taken), f"{node.value.id}.{node.attr}"


@pytest.mark.parametrize("path", ROOMS, ids=lambda path: str(path.relative_to(LIBRARY)))
def test_keras_comes_from_backend_alone(path):
    if place(path) != "backend":
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not [name for name in names if name.split(".")[0] == "keras"]
