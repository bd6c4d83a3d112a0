"""The documents name rooms that exist, and the wings in the order that the library keeps."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LIBRARY = ROOT / "xraylib"


def text(name):
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def rooms(folder):
    return {path.stem for path in folder.glob("*.py")} - {"__init__"}


def test_the_architecture_lists_every_wing_and_room():
    table = re.findall(r"^\| `(\w+)` \|.*\| ([^|]+) \|$", text("architecture.md"), re.MULTILINE)
    listed = {wing: set(re.findall(r"`(\w+)`", names)) for wing, names in table}
    wings = {path.name for path in LIBRARY.iterdir() if (path / "__init__.py").exists()}
    assert set(listed) == wings
    for wing in wings:
        assert listed[wing] == rooms(LIBRARY / wing), wing


def test_the_glossary_names_rooms_that_exist():
    entries = re.findall(r"^\*\*[^*]+\*\* \(([^)]+)\)", text("glossary.md"), re.MULTILINE)
    assert entries
    for place in re.findall(r"`([\w/]+)`", " ".join(entries)):
        path = LIBRARY / place
        assert path.is_dir() or path.with_suffix(".py").is_file(), place


def test_links_between_the_documents_lead_somewhere():
    for path in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", path.read_text(encoding="utf-8")):
            assert (path.parent / target).exists(), f"{path.name}: {target}"
