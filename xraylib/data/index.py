"""List the images of a tree in one table: path, label, split, patient, subtype, class.

Everything else starts from this table. Whose each image is, `patients` tells.
"""

import logging
import warnings
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from xraylib.data import layout
from xraylib.data import patients as patients_of
from xraylib.data.words import CLASSES
from xraylib.errors import DataSourceError

COLUMNS: Final = ("path", "label", "split", "patient", "subtype", "class")

# The files of the Kaggle set, NORMAL and PNEUMONIA: 5,856, although its page says 5,863.
KAGGLE_COUNTS: Final = {"train": (1341, 3875), "val": (8, 8), "test": (234, 390)}

_log = logging.getLogger(__name__)


def from_tree(tree: Path | str, *, positive: str = "", patients: str = "auto") -> pd.DataFrame:
    """Lists the images of a tree, such as `sources.locate` returns.

    What is class 1, and what is in the folder but not in the table, are logged: the latter as a
    warning. Where folders lie is read as `layout.read` does.

    Args:
        tree: The folder that directly contains `train/`, `test/` and perhaps `val/`.
        positive: The name of class 1's folders, where neither is called NORMAL or PNEUMONIA.
        patients: How patients are told apart, as `patients.assign` takes it.

    Returns:
        One row an image, sorted by split, class and name, with the columns
            path: `Path`, beginning with `tree`;
            label: int, 0 for NORMAL, 1 for PNEUMONIA;
            split: `"train"`, `"val"` or `"test"`;
            patient: str, as `patients.assign` reads it;
            subtype: `"bacteria"`, `"virus"` or `""`;
            class: the name of the class.
        Its `attrs` say what it was made from:
            classes: the names of class 0 and of class 1;
            passed_over: as `Layout.passed_over`;
            patients: as `patients.assign` has it.

    Raises:
        DataSourceError: It cannot be told which class is which; train, test, or a val that exists,
            lacks images of a class; a folder cannot be listed; or the rule for patients does not
            fit.
    """
    return _table(layout.read_splits(Path(tree), positive=positive), patients)


def from_class_folders(
    folder: Path | str, *, positive: str = "", patients: str = "auto"
) -> pd.DataFrame:
    """Lists the images of any folder that sorts them into two class folders.

    The class folders lie in the folder itself or below it, in its `train/`, `val/` and `test/` if
    it has some of them.

    Args:
        folder: The folder; `~` is expanded.
        positive: The name of class 1's folders, where neither is called NORMAL or PNEUMONIA.
        patients: How patients are told apart, as `patients.assign` takes it.

    Returns:
        The table of `from_tree`; the split is `"all"` if there are no such folders.

    Raises:
        DataSourceError: There is no such folder; it has several trees or no images; there are not
            exactly two classes, both with images; it cannot be told which class is which; or the
            rule for patients does not fit.
    """
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        what = "a file" if folder.exists() else "missing"
        raise DataSourceError(f"the folder of images is {what}: give one. Received: {folder}")
    return _table(layout.read(folder, positive=positive), patients)


def _table(arrangement: layout.Layout, patients: str) -> pd.DataFrame:
    """Makes the table of a layout, and logs what it rests on."""
    rows = [
        (path, label, split, arrangement.classes[label])
        for path, label, split in arrangement.images
    ]
    table = pd.DataFrame(rows, columns=["path", "label", "split", "class"])
    table.attrs = {"classes": list(arrangement.classes), "passed_over": arrangement.passed_over}
    _log.info("class 0 is %s, class 1 is %s", *arrangement.classes)
    if arrangement.passed_over:
        _log.warning(
            "not taken from %s: %s", arrangement.base, layout.summary(arrangement.passed_over)
        )
    return patients_of.assign(table, top=arrangement.base, rule=patients)[list(COLUMNS)]


def kinds(table: pd.DataFrame) -> np.ndarray:
    """Numbers what a network of several classes tells apart: NORMAL and each kind of PNEUMONIA.

    Returns:
        int (images,): 0 where the label is 0, and 1, 2, ... for the subtypes in the order of the
        alphabet; 1 for all others where some image of label 1 has no subtype.

    Example:
        >>> kinds(pd.DataFrame({"label": [0, 1, 1], "subtype": ["", "virus", "bacteria"]}))
        array([0, 2, 1])
    """
    ill = table["label"] == 1
    subtypes = sorted(table.loc[ill, "subtype"].unique())
    if "" in subtypes:
        return table["label"].to_numpy()
    numbers = {subtype: number for number, subtype in enumerate(subtypes, start=1)}
    return np.where(ill, table["subtype"].map(numbers).fillna(0), 0).astype(int)


def class_names(table: pd.DataFrame) -> dict[int, str]:
    """Returns the name of each label: that of the column class if there is one, or `CLASSES`.

    Example:
        >>> class_names(pd.DataFrame({"label": [0, 1], "class": ["well", "ill"]}))
        {0: 'well', 1: 'ill'}
    """
    names = dict(enumerate(CLASSES))
    if "class" in table:
        names |= dict(zip(table["label"], table["class"], strict=True))
    return names


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
