"""List the images of a tree in one table: path, label, split, patient, subtype.

Everything else starts from this table. Whose each image is, `patients` tells.
"""

import warnings
from pathlib import Path
from typing import Final

import pandas as pd

from xraylib.data import patients as patients_of
from xraylib.data.tree import (
    CLASSES,
    SEARCH_DEPTH,
    SPLITS,
    find_trees,
    folders_with,
    image_files,
    subfolders,
)
from xraylib.errors import DataSourceError

COLUMNS: Final = ("path", "label", "split", "patient", "subtype")

# The files of the Kaggle set, NORMAL and PNEUMONIA: 5,856, although its page says 5,863.
KAGGLE_COUNTS: Final = {"train": (1341, 3875), "val": (8, 8), "test": (234, 390)}

# Other names of splits, which must not be mistaken for classes.
_SPLIT_LIKE: Final = ("train", "training", "val", "valid", "validation", "test", "testing")


def from_tree(tree: Path | str, *, patients: str = "auto") -> pd.DataFrame:
    """Lists the images of a tree, such as `sources.locate` returns.

    Args:
        tree: The folder that directly contains `train/`, `test/` and perhaps `val/`.
        patients: How patients are told apart, as `patients.assign` takes it.

    Returns:
        One row an image, sorted by split, class and name, with the columns
            path: `Path`, beginning with `tree`;
            label: int, 0 for NORMAL, 1 for PNEUMONIA;
            split: `"train"`, `"val"` or `"test"`, the folder's name;
            patient: str, as `patients.assign` reads it, with what it reads in `attrs["patients"]`;
            subtype: `"bacteria"`, `"virus"` or `""`.

    Raises:
        DataSourceError: The tree has no images, or the rule for patients does not fit.
    """
    tree = Path(tree)
    rows = [
        (path, label, split)
        for split in SPLITS
        for label, name in enumerate(CLASSES)
        if (tree / split / name).is_dir()
        for path in image_files(tree / split / name)
    ]
    if not rows:
        raise DataSourceError(
            f"no images in {tree}: give the folder that holds train/ and test/, each with "
            f"{' and '.join(CLASSES)}"
        )
    table = pd.DataFrame(rows, columns=["path", "label", "split"])
    return patients_of.assign(table, top=tree, rule=patients)


def from_class_folders(folder: Path | str, *, patients: str = "auto") -> pd.DataFrame:
    """Lists the images of any folder that sorts them into two class folders.

    The class folders may have any names. They lie in the folder itself or in its `train/`, `val/`
    and `test/`, if it has some of them, or up to three levels below. Hidden files and `__MACOSX`
    are ignored, and of nested trees the outer one counts.

    Args:
        folder: The folder; `~` is expanded.
        patients: How patients are told apart, as `patients.assign` takes it.

    Returns:
        The table of `from_tree` with a column class, the class folder's name. The label is 0 for
        the class that comes first in the alphabet and 1 for the other, and the split is `"all"` if
        there are no such folders.

    Raises:
        DataSourceError: There is no such folder; it has several trees or no images; or there are
            not exactly two class folders, both with images; or the rule for patients does not fit.
    """
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        what = "a file" if folder.exists() else "missing"
        raise DataSourceError(f"the folder of images is {what}: give one. Received: {folder}")
    tree, splits = _find_splits(folder)
    others = sorted({below.name for below in subfolders(tree)} - set(SPLITS))
    if misnamed := [name for name in others if name.casefold() in _SPLIT_LIKE]:
        raise DataSourceError(f"{tree} has {', '.join(misnamed)}: name splits {', '.join(SPLITS)}")
    files = {
        (split, below.name): image_files(below)
        for split, place in splits.items()
        for below in subfolders(place)
        if below.name != place.name  # the inner one of a doubled tree
    }
    names = sorted({name for _, name in files}, key=lambda name: (name.casefold(), name))
    filled = [name for name in names if any(files.get((split, name)) for split in splits)]
    if not filled:
        raise DataSourceError(f"no images in class folders in {tree}: sort them into two folders")
    if len(filled) < len(names) == 2:
        (empty,) = set(names) - set(filled)
        raise DataSourceError(f"the class {empty} in {tree} has no images: fill it or give another")
    if len(filled) != 2:
        raise DataSourceError(
            f"there must be two class folders with images in {tree}, but there are {len(filled)} "
            f"({', '.join(filled[:6])}): leave two or give another folder"
        )
    rows = [
        (path, label, split, name)
        for split in splits
        for label, name in enumerate(filled)
        for path in files.get((split, name), ())
    ]
    table = pd.DataFrame(rows, columns=["path", "label", "split", "class"])
    return patients_of.assign(table, top=tree, rule=patients)[[*COLUMNS, "class"]]


def class_names(table: pd.DataFrame) -> dict[int, str]:
    """Returns the name of each label: that of the column class if there is one, or `tree.CLASSES`.

    Example:
        >>> class_names(pd.DataFrame({"label": [0, 1], "class": ["well", "ill"]}))
        {0: 'well', 1: 'ill'}
    """
    names = dict(enumerate(CLASSES))
    if "class" in table:
        names |= dict(zip(table["label"], table["class"], strict=True))
    return names


def _find_splits(folder: Path) -> tuple[Path, dict[str, Path]]:
    """Returns the folder that contains the splits or the classes, and the folder of each split."""
    trees = find_trees(folder)
    for split in SPLITS:
        trees = trees or folders_with(split, within=folder)
    if len(trees) > 1:
        listed = ", ".join(str(tree) for tree in trees)
        raise DataSourceError(f"{folder} holds {len(trees)} trees ({listed}): give one of them")
    if trees:
        return trees[0], {s: trees[0] / s for s in SPLITS if (trees[0] / s).is_dir()}
    # Archives often wrap everything in a folder or two.
    inner, below = folder, subfolders(folder)
    for _ in range(SEARCH_DEPTH):
        if len(below) == 1:
            inner, below = below[0], subfolders(below[0])
    if len(below) > 1:
        folder = inner
    return folder, {"all": folder}


def warn_unless_kaggle(table: pd.DataFrame) -> None:
    """Warns of each count in a table of `from_tree` that is not that of the Kaggle set."""
    counts = table.groupby(["split", "label"]).size()
    differences = [
        f"{split}/{CLASSES[label]} has {count:,} instead of {expected:,}"
        for split, of_classes in KAGGLE_COUNTS.items()
        for label, expected in enumerate(of_classes)
        if (count := counts.get((split, label), 0)) != expected
    ]
    if differences:
        warnings.warn(
            f"not the complete Kaggle set of 5,856 images: {'; '.join(differences)}", stacklevel=2
        )
