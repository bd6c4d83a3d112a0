"""Find, check and list an image tree, `<folder>/{train,val,test}/{NORMAL,PNEUMONIA}/*.jpeg`.

What counts as an image is decided here, by the name alone: hidden files and folders and
`__MACOSX` are clutter that macOS leaves in archives, and are passed over everywhere. Whether an
image can be read is for `reading` to say.
"""

import os
from pathlib import Path
from typing import Final

from xraylib import errors

# The position is the label: 0 NORMAL, 1 PNEUMONIA.
CLASSES: Final[tuple[str, str]] = ("NORMAL", "PNEUMONIA")
SPLITS: Final[tuple[str, str, str]] = ("train", "val", "test")
IMAGE_SUFFIXES: Final[tuple[str, ...]] = (".jpeg", ".jpg", ".png")
# Deep enough for <download>/<folder>/chest_xray/train, shallow enough for a home folder.
SEARCH_DEPTH: Final = 3


# ---------------------------------------------------------------- names


def is_clutter(name: str) -> bool:
    """Whether a file or folder is hidden or macOS metadata, by its name.

    Example:
        >>> is_clutter("._IM-0001-0001.jpeg"), is_clutter("IM-0001-0001.jpeg")
        (True, False)
    """
    return name.startswith(".") or name == "__MACOSX"


def is_image(name: str) -> bool:
    """Whether a file is an image, by its name: `.jpeg`, `.jpg` or `.png` in any case, no clutter.

    Example:
        >>> is_image("scan.JPG"), is_image("scan.dcm")
        (True, False)
    """
    return not is_clutter(name) and name.lower().endswith(IMAGE_SUFFIXES)


def is_zip(name: str) -> bool:
    """Whether a file is a zip archive, by its name; no clutter."""
    return not is_clutter(name) and name.lower().endswith(".zip")


# ---------------------------------------------------------------- folders


def image_files(folder: Path) -> list[Path]:
    """Lists the images in a folder and all folders below it, each once, without clutter.

    Args:
        folder: A class folder, e.g. `<tree>/train/NORMAL`.

    Returns:
        The paths, each beginning with `folder`, sorted as text.

    Raises:
        DataSourceError: `folder` is not a folder, or it or one below cannot be listed.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise errors.DataSourceError(
            f"no such folder of images: give an existing one. Received: {folder}"
        )

    def refuse(error: OSError) -> None:
        # os.walk would skip it, and images would be missing without a word.
        raise errors.DataSourceError(
            f"cannot list the folder {error.filename} ({error.strerror}): make it readable"
        ) from None

    files = []
    for parent, below, names in os.walk(folder, onerror=refuse):
        below[:] = [name for name in below if not is_clutter(name)]
        files += [Path(parent, name) for name in names if is_image(name)]
    return sorted(files, key=Path.as_posix)


def subfolders(folder: Path) -> list[Path]:
    """Lists the folders directly below one, sorted, without clutter; none if it is unreadable."""
    try:
        with os.scandir(folder) as entries:  # spares a stat() for each of thousands of images
            return sorted(Path(e.path) for e in entries if not is_clutter(e.name) and e.is_dir())
    except OSError:
        return []  # one unreadable corner of a large folder is no reason to stop looking


def folders_with(*names: str, within: Path) -> list[Path]:
    """Finds the folders that contain all the named folders.

    Args:
        *names: Names of folders, e.g. `"train"`, `"test"`.
        within: The folder to search, itself first and at most `SEARCH_DEPTH` levels down.

    Returns:
        Those on the first level that has any; empty if there are none.
    """
    level = [within]
    for _ in range(SEARCH_DEPTH + 1):
        matches = [folder for folder in level if all((folder / name).is_dir() for name in names)]
        if matches:
            return matches
        level = [below for folder in level for below in subfolders(folder)]
    return []


# ---------------------------------------------------------------- trees


def find_trees(folder: Path) -> list[Path]:
    """Finds the outermost trees in a folder, complete or not.

    If one of several is called `chest_xray`, as the data set calls it, it is the only one: the
    synthetic tree has `masks/` of the same form beside it.

    Args:
        folder: The folder to search, as in `folders_with`.

    Returns:
        The folders that directly contain `train/` and `test/`.
    """
    trees = folders_with("train", "test", within=folder)
    return [tree for tree in trees if tree.name == "chest_xray"] or trees


def find_tree(folder: Path, *, received: str) -> Path:
    """Finds the one complete tree in a folder.

    Args:
        folder: An existing folder.
        received: What the user gave, to end the message with.

    Returns:
        The folder that directly contains `train/` and `test/`.

    Raises:
        DataSourceError: There is no tree, more than one, or an incomplete one.
    """
    trees = find_trees(folder)
    if not trees:
        raise errors.DataSourceError(f"{_description(folder)}. Received: {received}")
    if len(trees) > 1:
        listed = ", ".join(str(tree) for tree in trees)
        raise errors.DataSourceError(
            f"{folder} holds {len(trees)} trees ({listed}): give one of them. Received: {received}"
        )
    if problem := problem_with(trees[0]):
        raise errors.DataSourceError(f"{problem} (in {trees[0]}). Received: {received}")
    return trees[0]


def _description(folder: Path) -> str:
    """Says what a folder without train/ and test/ is, and what to give instead."""
    below = [path.name for path in subfolders(folder)]
    if set(CLASSES) & set(below):
        return f"{folder} is one split, not the folder of splits: give its parent {folder.parent}"
    if folder.name in CLASSES:
        return f"{folder} is one class of one split: give the folder {folder.parent.parent}"
    for present, missing in (("train", "test"), ("test", "train")):
        if halves := folders_with(present, within=folder):
            return f"there is {present}/ but no {missing}/ in {halves[0]}: both are needed"
    images = sum(is_image(path.name) for path in folder.iterdir() if path.is_file())
    folders = f"the folders {', '.join(below[:6])}" if below else "no folders"
    if len(below) > 6:
        folders += f" and {len(below) - 6} more"
    return (
        f"there is no train/ and test/ in {folder} or up to {SEARCH_DEPTH} levels down (found: "
        f"{folders} and {images or 'no'} images in it): give the folder that holds them"
    )


def problem_with(tree: Path) -> str:
    """Says what is missing from a tree, or too much in it.

    Args:
        tree: The folder that directly contains `train/`, `test/` and perhaps `val/`.

    Returns:
        One sentence without a full stop; empty if every split has images of both classes and of no
        other. `val/` may be missing, as in the original publication, but not be incomplete.
    """
    splits = [split for split in SPLITS if (tree / split).is_dir()]
    counts = {
        split: {path.name: len(image_files(path)) for path in subfolders(tree / split)}
        for split in splits
    }
    layout = f"<split>/{{{','.join(CLASSES)}}}/*{{{','.join(IMAGE_SUFFIXES)}}}"
    if not any(any(of_split.values()) for of_split in counts.values()):
        loose = sum(len(image_files(tree / split)) for split in splits)
        if loose:
            return f"the {loose} images lie in no class folder: sort them into {layout}"
        return f"there are no images at all: expected {layout}"
    for split, of_split in counts.items():
        unknown = [name for name, images in of_split.items() if images and name not in CLASSES]
        if unknown:
            return (
                f"{split}/ has images in {', '.join(unknown)}, but the classes are "
                f"{' and '.join(CLASSES)}: rename or move the others"
            )
        missing = [name for name in CLASSES if not of_split.get(name)]
        if len(missing) == len(CLASSES):
            advice = ", or remove it" if split == "val" else ""
            return f"{split}/ holds no images: expected {layout}{advice}"
        if missing:
            present = next(name for name in CLASSES if name not in missing)
            return (
                f"{split}/ holds only one class: there are {of_split[present]} images in {present} "
                f"but none in {missing[0]}"
            )
    return ""
