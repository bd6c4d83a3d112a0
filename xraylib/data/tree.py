"""An image tree, `<folder>/{train,test}/{NORMAL,PNEUMONIA}` -> found, checked, listed."""

import os
from pathlib import Path
from typing import Final

from xraylib import errors

# The position is the label: 0 NORMAL, 1 PNEUMONIA.
CLASSES: Final[tuple[str, str]] = ("NORMAL", "PNEUMONIA")
SPLITS: Final[tuple[str, str, str]] = ("train", "val", "test")
IMAGE_SUFFIXES: Final[tuple[str, ...]] = (".jpeg", ".jpg", ".png")
# Deep enough for <download>/<folder>/chest_xray/train, shallow enough for a home folder.
LEVELS: Final = 3


def image_files(folder: Path) -> list[Path]:
    """The real image files in or below one folder, each once.

    Real are `.jpeg`, `.jpg` and `.png`, in any case; not real are hidden files (`._x.jpeg` is
    macOS metadata), and whatever lies in a hidden folder or in `__MACOSX`. Whether a file can be
    read is not looked at.

    Args:
        folder: A class folder, e.g. `<tree>/train/NORMAL`.

    Returns:
        The paths, each beginning with `folder`, sorted as text.

    Raises:
        DataSourceError: `folder` is no folder, or it or one below may not be listed.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise errors.DataSourceError(
            f"no such folder of images: give an existing one. Received: {folder}"
        )

    def refuse(error: OSError) -> None:
        # os.walk would pass over it, and images would be missing without a word.
        raise errors.DataSourceError(
            f"cannot list the folder {error.filename} ({error.strerror}): make it readable"
        ) from None

    files = []
    for parent, below, names in os.walk(folder, onerror=refuse):
        below[:] = [name for name in below if is_real(name)]
        files += [Path(parent, name) for name in names if is_image(name)]
    return sorted(files, key=Path.as_posix)


def is_real(name: str) -> bool:
    """Whether a file or folder of this name is what somebody put there, not what macOS added."""
    return not name.startswith(".") and name != "__MACOSX"


def is_image(name: str) -> bool:
    """Whether a name is that of an image file that somebody put there."""
    return is_real(name) and name.lower().endswith(IMAGE_SUFFIXES)


def is_zip(name: str) -> bool:
    """Whether a name is that of a zip archive that somebody put there."""
    return is_real(name) and name.lower().endswith(".zip")


def subfolders(folder: Path) -> list[Path]:
    """The real folders directly below one, sorted; none where it cannot be listed."""
    try:
        with os.scandir(folder) as entries:  # spares a stat() for each of thousands of images
            return sorted(Path(e.path) for e in entries if is_real(e.name) and e.is_dir())
    except OSError:
        return []  # one unreadable corner of a large folder is no reason to stop looking


def shallowest(folder: Path, *, names: tuple[str, ...]) -> list[Path]:
    """The folders which hold all of `names`, on the first level that has any."""
    level = [folder]
    for _ in range(LEVELS + 1):
        found = [path for path in level if all((path / name).is_dir() for name in names)]
        if found:
            return found
        level = [below for path in level for below in subfolders(path)]
    return []


def trees_in(folder: Path) -> list[Path]:
    """The outermost trees in a folder; the one called `chest_xray` alone if there is one.

    That is the data set's own name. The synthetic one has `masks/` of the same form beside it.
    """
    trees = shallowest(folder, names=("train", "test"))
    return [tree for tree in trees if tree.name == "chest_xray"] or trees


def checked(folder: Path, *, received: str) -> Path:
    """The tree in an existing folder, once it has been found complete."""
    trees = trees_in(folder)
    if not trees:
        raise errors.DataSourceError(f"{_found_instead(folder)}. Received: {received}")
    if len(trees) > 1:
        listed = ", ".join(str(tree) for tree in trees)
        raise errors.DataSourceError(
            f"{folder} holds {len(trees)} trees ({listed}): give one of them. Received: {received}"
        )
    problem = incomplete(trees[0])
    if problem:
        raise errors.DataSourceError(f"{problem} (in {trees[0]}). Received: {received}")
    return trees[0]


def _found_instead(folder: Path) -> str:
    """What a folder without train/ and test/ is, and what to give instead."""
    below = [path.name for path in subfolders(folder)]
    if set(CLASSES) & set(below):
        return f"{folder} is one split, not the folder of splits: give its parent {folder.parent}"
    if folder.name in CLASSES:
        return f"{folder} is one class of one split: give the folder {folder.parent.parent}"
    for here, missing in (("train", "test"), ("test", "train")):
        partial = shallowest(folder, names=(here,))
        if partial:
            return f"there is {here}/ but no {missing}/ in {partial[0]}: both are needed"
    images = sum(is_image(path.name) for path in folder.iterdir() if path.is_file())
    folders = f"the folders {', '.join(below[:6])}" if below else "no folders"
    if len(below) > 6:
        folders += f" and {len(below) - 6} more"
    return (
        f"there is no train/ and test/ in {folder} or up to {LEVELS} levels down (found: {folders}"
        f" and {images or 'no'} images in it): give the folder that holds them"
    )


def incomplete(tree: Path) -> str:
    """What is wrong with a tree, in words; nothing where it is complete."""
    # val/ is optional (the original publication has none), but if there it has to be whole.
    splits = [split for split in SPLITS if (tree / split).is_dir()]
    counts: dict[str, dict[str, int]] = {}
    for split in splits:
        folders = {path.name: path for path in subfolders(tree / split)}
        counts[split] = {name: len(image_files(path)) for name, path in folders.items()}
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
