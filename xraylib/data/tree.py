"""Find, check and list an image tree, `<folder>/{train,val,test}/{NORMAL,PNEUMONIA}/*.jpeg`.

An image is recognised by its name alone; whether it can be read is for `reading` to say. Hidden
files and folders and `__MACOSX`, which macOS leaves in archives, are passed over everywhere.
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
    """Whether a file is a zip archive, by its name; no clutter.

    Example:
        >>> is_zip("archive.ZIP"), is_zip("._archive.zip")
        (True, False)
    """
    return not is_clutter(name) and name.lower().endswith(".zip")


def image_files(folder: Path) -> list[Path]:
    """Lists the images in a folder and all folders below it, sorted as text, without clutter.

    Raises:
        DataSourceError: `folder` or one below it cannot be listed.
    """

    def refuse(error: OSError) -> None:
        # os.walk would skip it, and images would be missing without a word.
        raise errors.DataSourceError(
            f"cannot list the folder {error.filename} ({error.strerror}): give one that exists, "
            "and make it readable"
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

    The search begins with the folder `within` itself, goes at most `SEARCH_DEPTH` levels down, and
    ends with the first level that has any.
    """
    level = [within]
    for _ in range(SEARCH_DEPTH + 1):
        matches = [folder for folder in level if all((folder / name).is_dir() for name in names)]
        if matches:
            return matches
        level = [below for folder in level for below in subfolders(folder)]
    return []


def find_trees(folder: Path) -> list[Path]:
    """Finds the outermost trees in a folder, complete or not.

    They directly contain `train/` and `test/`. If one of several is called `chest_xray`, as in the
    data set, it is the only one: the synthetic tree has `masks/` of the same form beside it.
    """
    trees = folders_with("train", "test", within=folder)
    return [tree for tree in trees if tree.name == "chest_xray"] or trees


def find_tree(folder: Path, *, received: str) -> Path:
    """Finds the one complete tree in a folder that exists.

    The message of an error ends with what was received from the user.

    Raises:
        DataSourceError: There is no tree, more than one, or an incomplete one.
    """
    trees = find_trees(folder)
    if not trees:
        problem = _description(folder)
    elif len(trees) > 1:
        listed = ", ".join(str(tree) for tree in trees)
        problem = f"{folder} holds {len(trees)} trees ({listed}): give one of them"
    elif problem := problem_with(trees[0]):
        problem += f" (in {trees[0]})"
    else:
        return trees[0]
    raise errors.DataSourceError(f"{problem}. Received: {received}")


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
    more = f" and {len(below) - 6} more" if len(below) > 6 else ""
    folders = f"the folders {', '.join(below[:6])}{more}" if below else "no folders"
    return (
        f"there is no train/ and test/ in {folder} or up to {SEARCH_DEPTH} levels down (found: "
        f"{folders} and {images or 'no'} images in it): give the folder that holds them"
    )


def problem_with(tree: Path) -> str:
    """Says what is missing from a tree, or too much in it, in a sentence without a full stop.

    It is empty if every split has images of both classes and of no other. `val/` may be missing, as
    in the original publication, but not be incomplete.
    """
    counts = {
        split: {path.name: len(image_files(path)) for path in subfolders(tree / split)}
        for split in SPLITS
        if (tree / split).is_dir()
    }
    layout = f"<split>/{{{','.join(CLASSES)}}}/*{{{','.join(IMAGE_SUFFIXES)}}}"
    if not any(any(of_split.values()) for of_split in counts.values()):
        if loose := sum(len(image_files(tree / split)) for split in counts):
            return f"the {loose} images lie in no class folder: sort them into {layout}"
        return f"there are no images at all: expected {layout}"
    for split, of_split in counts.items():
        unknown = [name for name, images in of_split.items() if images and name not in CLASSES]
        if unknown:
            return (
                f"{split}/ has images in {', '.join(unknown)}, but the classes are "
                f"{' and '.join(CLASSES)}: rename or move the others"
            )
        present = [name for name in CLASSES if of_split.get(name)]
        if not present:
            advice = ", or remove it" if split == "val" else ""
            return f"{split}/ holds no images: expected {layout}{advice}"
        if len(present) == 1:
            (missing,) = set(CLASSES) - set(present)
            return (
                f"{split}/ holds only one class: there are {of_split[present[0]]} images in "
                f"{present[0]} but none in {missing}"
            )
    return ""
