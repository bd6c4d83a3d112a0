"""A tree of images -> one table: path, label, split, patient, subtype.

Everything that follows is made from this table. The patient is a proxy read from the file name,
the best that the data set offers: `person<N>_<bacteria|virus>_<M>` counts bacterial and viral
patients independently, so that the key is (kind, N), and `IM-<N>-` and `NORMAL2-IM-<N>-` are
separate families.
"""

import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from xraylib.data import sources
from xraylib.data.sources import CLASSES, SPLITS, DataSourceError, image_files

COLUMNS: Final = ("path", "label", "split", "patient", "subtype")

# The files of the Kaggle set; its page says 5,863 images, there are 5,856.
KAGGLE_COUNTS: Final = {
    ("train", 0): 1341,
    ("train", 1): 3875,
    ("val", 0): 8,
    ("val", 1): 8,
    ("test", 0): 234,
    ("test", 1): 390,
}

# What others call their splits; taken for classes, they would be told apart.
_SPLIT_LIKE: Final = ("train", "training", "val", "valid", "validation", "test", "testing")

_PNEUMONIA: Final = re.compile(r"person(?P<number>\d+)_(?P<kind>bacteria|virus)_\d+", re.IGNORECASE)
_NORMAL: Final = re.compile(r"(?P<family>(?:NORMAL2-)?IM)-(?P<number>\d+)", re.IGNORECASE)


def patient_of(path: Path) -> tuple[str, str]:
    """The patient's key and the subtype that a file name tells.

    Args:
        path: Any path; only its file name counts.

    Returns:
        The key, such as `"bacteria-12"`, `"IM-115"` or `"NORMAL2-IM-115"`, and the subtype,
        `"bacteria"`, `"virus"` or `""`. A name that follows no scheme is its own patient: the
        key is then the path itself.
    """
    if match := _PNEUMONIA.match(path.name):
        kind = match["kind"].lower()
        return f"{kind}-{int(match['number'])}", kind
    if match := _NORMAL.match(path.name):
        return f"{match['family'].upper()}-{int(match['number'])}", ""
    return path.as_posix(), ""


def from_tree(tree: Path | str) -> pd.DataFrame:
    """Lists the images of a tree as `sources.locate` returns it.

    Args:
        tree: The folder that directly holds `train/`, `test/` and perhaps `val/`.

    Returns:
        One row an image, sorted by split, class and name, with the columns
            path: `Path`, beginning with `tree`;
            label: int, 0 for NORMAL, 1 for PNEUMONIA;
            split: `"train"`, `"val"` or `"test"`, the folder's name;
            patient: the key from `patient_of`;
            subtype: `"bacteria"`, `"virus"` or `""`.

    Raises:
        DataSourceError: The tree holds no images.
    """
    tree = Path(tree)
    rows = []
    for split in SPLITS:
        for label, name in enumerate(CLASSES):
            folder = tree / split / name
            if folder.is_dir():
                for path in image_files(folder):
                    # Relative, so that a copy of the data elsewhere has the same patients.
                    rows.append((path, label, split, *patient_of(path.relative_to(tree))))
    if not rows:
        raise DataSourceError(
            f"no images in {tree}: give the folder that holds train/ and test/, each with "
            f"{' and '.join(CLASSES)}"
        )
    return pd.DataFrame(rows, columns=list(COLUMNS))


def from_class_folders(folder: Path | str) -> pd.DataFrame:
    """Lists the images of any folder that sorts them into two class folders.

    The classes may have any names and lie in the folder itself or in `train/`, `val/` and `test/`,
    whichever there are, there or up to three levels down. Hidden files and `__MACOSX` are passed
    over, and of a doubled tree the outer one counts.

    Args:
        folder: The folder; `~` is expanded.

    Returns:
        As `from_tree`, with one more column:
            label: 0 for the class that comes first in the alphabet, 1 for the other;
            split: the folder's name, `"all"` where there are no such folders;
            class: str, the class folder's name.

    Raises:
        DataSourceError: There is no such folder, it has several trees or no images, the class
            folders with images are not two, or one of two is empty.
    """
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        what = "a file" if folder.exists() else "missing"
        raise DataSourceError(f"the folder of images is {what}: give one. Received: {folder}")
    tree, splits = _splits(folder)
    if wrong := [
        below.name
        for below in sources._subfolders(tree)
        if below.name not in SPLITS and below.name.casefold() in _SPLIT_LIKE
    ]:
        raise DataSourceError(
            f"{tree} has {', '.join(sorted(wrong))}: name splits {', '.join(SPLITS)}"
        )
    found = {
        (split, below.name): image_files(below)
        for split, place in splits.items()
        for below in sources._subfolders(place)
        if below.name != place.name  # the inner one of a doubled tree
    }
    names = sorted({name for _, name in found}, key=lambda name: (name.casefold(), name))
    filled = [name for name in names if any(found.get((split, name)) for split in splits)]
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
        (path, label, split, *patient_of(path.relative_to(tree)), name)
        for split in splits
        for label, name in enumerate(filled)
        for path in found.get((split, name), ())
    ]
    return pd.DataFrame(rows, columns=[*COLUMNS, "class"])


def _splits(folder: Path) -> tuple[Path, dict[str, Path]]:
    """The folder that holds the splits or the classes, and each split's own folder."""
    trees = sources._trees(folder)
    for split in SPLITS:
        trees = trees or sources._shallowest(folder, names=(split,))
    if len(trees) > 1:
        listed = ", ".join(str(tree) for tree in trees)
        raise DataSourceError(f"{folder} holds {len(trees)} trees ({listed}): give one of them")
    if trees:
        return trees[0], {s: trees[0] / s for s in SPLITS if (trees[0] / s).is_dir()}
    # Archives often wrap everything in a folder or two.
    inner = folder
    for _ in range(sources._LEVELS):
        below = sources._subfolders(inner)
        if len(below) != 1:
            break
        inner = below[0]
    if len(sources._subfolders(inner)) > 1:
        folder = inner
    return folder, {"all": folder}


def warn_unless_kaggle(table: pd.DataFrame) -> None:
    """Warns, naming each difference, where the counts are not those of the Kaggle set.

    Args:
        table: As `from_tree` returns it.
    """
    found = table.groupby(["split", "label"]).size()
    differences = [
        f"{split}/{CLASSES[label]} has {found.get((split, label), 0):,} instead of {expected:,}"
        for (split, label), expected in KAGGLE_COUNTS.items()
        if found.get((split, label), 0) != expected
    ]
    if differences:
        warnings.warn(
            f"not the complete Kaggle set of 5,856 images: {'; '.join(differences)}", stacklevel=2
        )


def hold_out_validation(table: pd.DataFrame, *, share: float = 0.15, seed: int = 0) -> pd.DataFrame:
    """Cuts a validation split from train by patient, stratified by class.

    `train` and `val`, which has only 16 images, are one pool. No patient is on both sides. The
    rows of `test` are left as they are.

    Args:
        table: As `from_tree` returns it.
        share: Of the pool's images that become validation, in (0, .5]. The nearest 1/k is taken.
        seed: Of the shuffling.

    Returns:
        A copy of `table` with `split` one of `"train"`, `"validation"`, `"test"`.

    Raises:
        ValueError: `share` is out of range, or a class has too few patients to be on both sides.
    """
    parts = _parts(share)
    table = table.copy()
    pool = table[table["split"] != "test"]
    asked = f"a validation share of {share} needs"
    held_out = next(_held_out(pool, parts, seed=seed, asked=asked, advice="a larger share"))
    table.loc[pool.index, "split"] = "train"
    table.loc[pool.index[held_out], "split"] = "validation"
    return table


def folds(table: pd.DataFrame, *, number: int = 5, seed: int) -> list[pd.DataFrame]:
    """Cuts train into parts by patient, stratified by class, for a cross-validation.

    `train` and `val`, or `validation`, are one pool, as in `hold_out_validation`; `test` is left
    out. Each part is once the validation of what the others train: every image is validated once,
    and no patient is on both sides.

    Args:
        table: As `from_tree` or `hold_out_validation` returns it.
        number: Of parts, 2 or more.
        seed: Of the shuffling.

    Returns:
        `number` copies of the pool's rows, in the order and with the index of `table`, with
        `split` one of `"train"`, `"validation"`.

    Raises:
        ValueError: `number` is below 2, or a class has fewer patients than that.
    """
    if number < 2:
        raise ValueError(f"the number of folds must be 2 or more. Received: {number}")
    pool = table[table["split"] != "test"]
    asked, advice = f"{number} folds need", "a smaller number of folds"
    cuts = []
    for held_out in _held_out(pool, number, seed=seed, asked=asked, advice=advice):
        cut = pool.assign(split="train")
        cut.loc[pool.index[held_out], "split"] = "validation"
        cuts.append(cut)
    return cuts


def resplit(table: pd.DataFrame, *, share: float, seed: int) -> pd.DataFrame:
    """Throws all images together, `test` too, and deals them out at random, image by image.

    This leaks: images of one patient come to both sides, and `test` is no longer of another origin
    than `train`. It is done often, and it is here to show what it does to a result; it is for
    nothing else. To cut a validation to work with, take `hold_out_validation`.

    Args:
        table: As `from_tree` or `hold_out_validation` returns it.
        share: Of the images outside test that become validation, as for `hold_out_validation`.
        seed: Of the dealing.

    Returns:
        A copy of `table` with `split` one of `"train"`, `"validation"`, `"test"`. Test has as many
        images of each class as before, so that its prevalence is the same.

    Raises:
        ValueError: `share` is out of range, or a class has too few images for every split.
    """
    parts = _parts(share)
    table = table.copy()
    rng = np.random.default_rng(seed)
    for label, name in enumerate(CLASSES):
        rows = table[table["label"] == label]
        tests = int((rows["split"] == "test").sum())
        others = len(rows) - tests
        if not tests or others < parts:
            raise ValueError(
                f"{name} has {tests} images in test and {others} others, and a validation share "
                f"of {share} needs 1 and {parts}: give more images, or a larger share"
            )
        dealt = ["test"] * tests + ["validation"] * round(others / parts)
        dealt += ["train"] * (len(rows) - len(dealt))
        table.loc[rows.index, "split"] = rng.permutation(dealt)
    return table


def _parts(share: float) -> int:
    """Of how many equal parts the validation is one."""
    if not 0 < share <= 0.5:
        raise ValueError(f"share of validation must be above 0 and at most .5. Received: {share}")
    return round(1 / share)


def _held_out(
    pool: pd.DataFrame, parts: int, *, seed: int, asked: str, advice: str
) -> Iterator[np.ndarray]:
    """The positions of each part's rows: no patient is in two, and each class is in all.

    `asked` and `advice` say what needs so many patients, and what else to give than more images.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    patients = pool.groupby("label")["patient"].nunique()
    for label, name in enumerate(CLASSES):
        if patients.get(label, 0) < parts:
            raise ValueError(
                f"{name} has {patients.get(label, 0)} patients in train and val, and {asked} "
                f"{parts}: give more images, or {advice}"
            )
    splitter = StratifiedGroupKFold(n_splits=parts, shuffle=True, random_state=seed)
    for _, held_out in splitter.split(pool, pool["label"], pool["patient"]):
        yield held_out


def limit(table: pd.DataFrame, images: int, *, seed: int = 0) -> pd.DataFrame:
    """Keeps at most so many images of each class in each split, drawn at random.

    Args:
        table: As `from_tree` or `hold_out_validation` returns it.
        images: The most to keep of one class in one split; 0 keeps all.
        seed: Of the drawing.

    Returns:
        The rows kept, in the order of `table`, with a fresh index.

    Raises:
        ValueError: `images` is negative.
    """
    if images < 0:
        raise ValueError(f"the limit must be 0 (all images) or more. Received: {images}")
    if images:
        drawn = table.sample(frac=1, random_state=seed).groupby(["split", "label"]).head(images)
        table = table.loc[sorted(drawn.index)]
    return table.reset_index(drop=True)
