"""Find the tree of images in a folder: `<folder>/{train,val,test}/{NORMAL,PNEUMONIA}/*.jpeg`."""

import os
from pathlib import Path
from typing import Final

from xraylib import errors
from xraylib.data.words import CLASSES, is_clutter, is_image, is_masks, key, split_of

# Deep enough for <download>/<folder>/chest_xray/train, shallow enough for a home folder.
SEARCH_DEPTH: Final = 3


def subfolders(folder: Path) -> list[Path]:
    """Lists the folders directly below one, sorted, without clutter; none if it is unreadable."""
    try:
        with os.scandir(folder) as entries:  # spares a stat() for each of thousands of images
            return sorted(Path(e.path) for e in entries if not is_clutter(e.name) and e.is_dir())
    except OSError:
        return []  # one unreadable corner of a large folder is no reason to stop looking


def folders_with(*splits: str, within: Path) -> list[Path]:
    """Finds the folders that contain folders named after all these splits.

    The search begins with the folder `within` itself, goes at most `SEARCH_DEPTH` levels down, and
    ends with the first level that has any.
    """
    level = [within]
    for _ in range(SEARCH_DEPTH + 1):
        below = {folder: subfolders(folder) for folder in level}
        named = {folder: {split_of(p.name) for p in paths} for folder, paths in below.items()}
        matches = [folder for folder in level if named[folder].issuperset(splits)]
        if matches:
            return matches
        level = [path for paths in below.values() for path in paths]
    return []


def find_trees(folder: Path) -> list[Path]:
    """Finds the outermost trees in a folder, complete or not.

    They directly contain `train/` and `test/`, in any spelling that `words.split_of` knows. Trees
    of masks, such as the synthetic ones have beside them, do not count where there are others.
    """
    trees = folders_with("train", "test", within=folder)
    below = {tree: tree.relative_to(folder).parts for tree in trees}
    return [tree for tree in trees if not any(map(is_masks, below[tree]))] or trees


def find_tree(folder: Path, *, received: str) -> Path:
    """Finds the one tree in a folder that exists.

    The message of an error ends with what was received from the user.

    Raises:
        DataSourceError: There is no tree, or more than one.
    """
    trees = find_trees(folder)
    if not trees:
        problem = _description(folder)
    elif len(trees) > 1:
        listed = ", ".join(str(tree) for tree in trees)
        problem = f"{folder} holds {len(trees)} trees ({listed}): give one of them"
    else:
        return trees[0]
    raise errors.DataSourceError(f"{problem}. Received: {received}")


def _description(folder: Path) -> str:
    """Says what a folder without train/ and test/ is, and what to give instead."""
    below = [path.name for path in subfolders(folder)]
    if set(CLASSES) & set(map(key, below)):
        return f"{folder} is one split, not the folder of splits: give its parent {folder.parent}"
    if key(folder.name) in CLASSES:
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
