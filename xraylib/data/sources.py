"""A name or a folder -> a checked image tree on disk."""

import difflib
import os
from pathlib import Path
from typing import Final

from xraylib import errors

# The position is the label: 0 NORMAL, 1 PNEUMONIA.
CLASSES: Final[tuple[str, str]] = ("NORMAL", "PNEUMONIA")
SPLITS: Final[tuple[str, str, str]] = ("train", "val", "test")
IMAGE_SUFFIXES: Final[tuple[str, ...]] = (".jpeg", ".jpg", ".png")

_ACCEPTED: Final = 'give "synthetic", "kaggle", or a folder that holds train/ and test/'
# Deep enough for <download>/<folder>/chest_xray/train, shallow enough for a home folder.
_LEVELS: Final = 3


class DataSourceError(ValueError):
    """A data source that cannot be used; the message says why and what to do, in one line."""


def locate(source: str | Path) -> Path:
    """Finds, downloads or makes a tree of images, and checks it.

    The tree is `<folder>/{train,test}/{NORMAL,PNEUMONIA}`, with `val` beside them or not.

    Args:
        source: One of
            - `"synthetic"`: radiographs made from physics, made once and kept in the cache;
            - `"kaggle"`: the public data set, from a tree or a zip that somebody put into
              `cache.cache_folder() / "kaggle"`, else by kagglehub, which needs no account. A zip is
              unpacked beside itself once, and stays;
            - a folder that holds the tree directly or up to three levels down. Hidden folders and
              `__MACOSX` are passed over, of a doubled tree the outer one counts, and of several
              side by side the one named `chest_xray`; else that is an error. `~` is
              expanded. A `Path` is always a folder, so `Path("kaggle")` is `./kaggle`.

    Returns:
        The absolute folder that directly holds `train/` and `test/`, both with images of both
        classes; `val/` too, where there is one.

    Raises:
        DataSourceError: There is no such tree, it is not complete, or it cannot be had offline.
    """
    if not isinstance(source, (str, os.PathLike)) or not str(source).strip():
        raise DataSourceError(f"no data source: {_ACCEPTED}. Received: {source!r}")
    if source not in ("synthetic", "kaggle"):
        return _checked(_existing_folder(source), received=str(source))
    from xraylib.data import cache

    try:
        return _synthetic() if source == "synthetic" else _kaggle()
    except cache.CacheError as error:
        raise DataSourceError(str(error)) from None


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
        raise DataSourceError(f"no such folder of images: give an existing one. Received: {folder}")

    def refuse(error: OSError) -> None:
        # os.walk would pass over it, and images would be missing without a word.
        raise DataSourceError(
            f"cannot list the folder {error.filename} ({error.strerror}): make it readable"
        ) from None

    files = []
    for parent, below, names in os.walk(folder, onerror=refuse):
        below[:] = [name for name in below if _is_real(name)]
        files += [Path(parent, name) for name in names if _is_image(name)]
    return sorted(files, key=Path.as_posix)


def _is_real(name: str) -> bool:
    """Whether a file or folder of this name is what somebody put there, not what macOS added."""
    return not name.startswith(".") and name != "__MACOSX"


def _is_image(name: str) -> bool:
    return _is_real(name) and name.lower().endswith(IMAGE_SUFFIXES)


def _is_zip(name: str) -> bool:
    return _is_real(name) and name.lower().endswith(".zip")


# ------------------------------------------------------------------------------ a folder


def _existing_folder(source: str | Path) -> Path:
    try:
        folder = Path(os.path.abspath(Path(source).expanduser()))
    except (RuntimeError, ValueError) as error:
        raise DataSourceError(
            f"{errors.one_line(error)}: {_ACCEPTED}. Received: {source!s}"
        ) from None
    if os.path.isfile(folder):
        advice = "unzip it and give the folder" if _is_zip(folder.name) else "give a folder"
        raise DataSourceError(f"{folder} is a file: {advice}. Received: {source!s}")
    if not os.path.isdir(folder):
        raise DataSourceError(
            f"the folder {folder} does not exist{_suggestion(source, folder)}: {_ACCEPTED}. "
            f"Received: {source!s}"
        )
    if not os.access(folder, os.R_OK | os.X_OK):
        raise DataSourceError(
            f"the folder {folder} may not be read (permission denied): make it readable. "
            f"Received: {source!s}"
        )
    return folder


def _suggestion(source: str | Path, folder: Path) -> str:
    """` (did you mean ...?)` where something of nearly that name exists, else nothing."""
    names = difflib.get_close_matches(str(source).lower(), ("synthetic", "kaggle"), n=1)
    if names:
        return f' (did you mean "{names[0]}"?)'
    # The first part of the path that is wrong is the one to correct.
    while not folder.parent.is_dir():
        folder = folder.parent
    beside = {path.name.lower(): path for path in _subfolders(folder.parent)}
    close = difflib.get_close_matches(folder.name.lower(), beside, n=1)
    return f" (did you mean {beside[close[0]]}?)" if close else ""


def _subfolders(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:  # spares a stat() for each of thousands of images
            return sorted(Path(e.path) for e in entries if _is_real(e.name) and e.is_dir())
    except OSError:
        return []  # one unreadable corner of a large folder is no reason to stop looking


def _shallowest(folder: Path, *, names: tuple[str, ...]) -> list[Path]:
    """The folders which hold all of `names`, on the first level that has any."""
    level = [folder]
    for _ in range(_LEVELS + 1):
        found = [path for path in level if all((path / name).is_dir() for name in names)]
        if found:
            return found
        level = [below for path in level for below in _subfolders(path)]
    return []


def _trees(folder: Path) -> list[Path]:
    """The outermost trees in a folder; the one called `chest_xray` alone if there is one.

    That is the data set's own name. The synthetic one has `masks/` of the same form beside it.
    """
    trees = _shallowest(folder, names=("train", "test"))
    return [tree for tree in trees if tree.name == "chest_xray"] or trees


def _checked(folder: Path, *, received: str) -> Path:
    """The tree in an existing folder, once it has been found complete."""
    trees = _trees(folder)
    if not trees:
        raise DataSourceError(f"{_found_instead(folder)}. Received: {received}")
    if len(trees) > 1:
        listed = ", ".join(str(tree) for tree in trees)
        raise DataSourceError(
            f"{folder} holds {len(trees)} trees ({listed}): give one of them. Received: {received}"
        )
    problem = _incomplete(trees[0])
    if problem:
        raise DataSourceError(f"{problem} (in {trees[0]}). Received: {received}")
    return trees[0]


def _found_instead(folder: Path) -> str:
    """What a folder without train/ and test/ is, and what to give instead."""
    below = [path.name for path in _subfolders(folder)]
    if set(CLASSES) & set(below):
        return f"{folder} is one split, not the folder of splits: give its parent {folder.parent}"
    if folder.name in CLASSES:
        return f"{folder} is one class of one split: give the folder {folder.parent.parent}"
    for here, missing in (("train", "test"), ("test", "train")):
        partial = _shallowest(folder, names=(here,))
        if partial:
            return f"there is {here}/ but no {missing}/ in {partial[0]}: both are needed"
    images = sum(_is_image(path.name) for path in folder.iterdir() if path.is_file())
    folders = f"the folders {', '.join(below[:6])}" if below else "no folders"
    if len(below) > 6:
        folders += f" and {len(below) - 6} more"
    return (
        f"there is no train/ and test/ in {folder} or up to {_LEVELS} levels down (found: {folders}"
        f" and {images or 'no'} images in it): give the folder that holds them"
    )


def _incomplete(tree: Path) -> str:
    """What is wrong with a tree, in words; nothing where it is complete."""
    # val/ is optional (the original publication has none), but if there it has to be whole.
    splits = [split for split in SPLITS if (tree / split).is_dir()]
    counts: dict[str, dict[str, int]] = {}
    for split in splits:
        folders = {path.name: path for path in _subfolders(tree / split)}
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


# ------------------------------------------------------------------------------ a name


def _synthetic() -> Path:
    from xraylib.data import cache, synthetic

    # The version is part of the name, so that a newer xraylib makes its own tree.
    folder = cache.cache_folder() / f"synthetic-{synthetic.MODEL_VERSION}"
    received = f'"synthetic" (if images were removed from {folder}, delete it and try again)'
    if not _trees(folder):  # without the lock first: a shared cache may be read-only
        with cache.data_set_locked(folder.name):
            if not _trees(folder):  # nobody else has meanwhile
                try:
                    synthetic.make_tree(folder)
                except OSError as error:
                    raise DataSourceError(
                        f"cannot make the synthetic images ({errors.one_line(error)}): delete "
                        f"{folder}, free some space there, or set XRAYLIB_CACHE to another folder"
                    ) from None
    return _checked(folder, received=received)


def _kaggle() -> Path:
    from xraylib.data import kaggle

    folder = kaggle.fetch()
    received = f'"kaggle" (if files were removed from {folder}, delete it and try again)'
    return _checked(folder, received=received)
