"""Image trees of files that nothing opens."""

from pathlib import Path

from xraylib.data import layout

IMAGES = [
    "train/NORMAL/IM-0001-0001.jpeg",
    "train/NORMAL/IM-0003-0001.JPG",
    "train/PNEUMONIA/person1_bacteria_1.jpeg",
    "train/PNEUMONIA/person1_virus_2.png",
    "val/NORMAL/NORMAL2-IM-1427-0001.jpeg",
    "val/PNEUMONIA/person1946_bacteria_4874.jpeg",
    "test/NORMAL/IM-0005-0001.jpeg",
    "test/PNEUMONIA/person3_virus_15.jpeg",
]


def plant(tree, names=IMAGES):
    """A tree of files that only have the names of images; nothing here opens them."""
    for name in names:
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return tree


def plant_clutter(tree):
    """What the real archive holds beside its tree."""
    plant(tree / "chest_xray")
    plant(tree / "__MACOSX", [str(Path(name).with_name("._" + Path(name).name)) for name in IMAGES])
    plant(tree / "__MACOSX" / "chest_xray")
    for folder in (tree, tree / "train", tree / "train" / "NORMAL", tree / "chest_xray"):
        (folder / ".DS_Store").write_bytes(b"x")
    plant(tree, [str(Path(name).with_name("._" + Path(name).name)) for name in IMAGES])
    plant(tree / "train" / "NORMAL" / "__MACOSX", ["a.jpeg"])
    plant(tree / "train" / "NORMAL" / ".cache", ["b.jpeg"])
    return tree


def image_names(tree):
    """All images of a tree, as the index collects them."""
    return [image.path.relative_to(tree).as_posix() for image in layout.read(tree).images]
