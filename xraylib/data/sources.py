"""A name or a folder -> a checked image tree on disk."""

import contextlib
import difflib
import os
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Final

# The position is the label: 0 NORMAL, 1 PNEUMONIA.
CLASSES: Final[tuple[str, str]] = ("NORMAL", "PNEUMONIA")
SPLITS: Final[tuple[str, str, str]] = ("train", "val", "test")
IMAGE_SUFFIXES: Final[tuple[str, ...]] = (".jpeg", ".jpg", ".png")

# Pinned: every number of the series belongs to these files, and once cached kagglehub serves a
# pinned version, and only a pinned one, without a network.
KAGGLE_HANDLE: Final = "paultimothymooney/chest-xray-pneumonia/versions/2"

_ACCEPTED: Final = 'give "synthetic", "kaggle", or a folder that holds train/ and test/'
# Deep enough for <download>/<folder>/chest_xray/train, shallow enough for a home folder.
_LEVELS: Final = 3


class DataSourceError(ValueError):
    """A data source that cannot be used; the message says why and what to do, in one line."""


def cache_folder() -> Path:
    """The folder for what is made or downloaded once, created on demand.

    It is the environment variable `XRAYLIB_CACHE` where that is set, else the user's cache folder
    of the operating system.

    Raises:
        DataSourceError: The folder cannot be created.
    """
    import platformdirs

    named = os.environ.get("XRAYLIB_CACHE", "").strip()
    # appauthor: Windows would otherwise repeat the name, xraylib\xraylib.
    folder = Path(named) if named else platformdirs.user_cache_path("xraylib", appauthor=False)
    try:
        folder = folder.expanduser().absolute()
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError, ValueError) as error:
        raise DataSourceError(
            f"cannot create the cache folder {folder} ({_one_line(error)}): "
            "set the environment variable XRAYLIB_CACHE to a folder that can be written"
        ) from None
    return folder


def locate(source: str | Path) -> Path:
    """Finds, downloads or makes a tree of images, and checks it.

    The tree is `<folder>/{train,test}/{NORMAL,PNEUMONIA}`, with `val` beside them or not.

    Args:
        source: One of
            - `"synthetic"`: radiographs made from physics, made once and kept in the cache;
            - `"kaggle"`: the public data set, from a tree or a zip that somebody put into
              `cache_folder() / "kaggle"`, else by kagglehub, which needs no account. A zip is
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
    if source == "synthetic":
        return _synthetic()
    if source == "kaggle":
        return _kaggle()
    return _checked(_existing_folder(source), received=str(source))


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


# ------------------------------------------------------------------------------ a folder


def _existing_folder(source: str | Path) -> Path:
    try:
        folder = Path(os.path.abspath(Path(source).expanduser()))
    except (RuntimeError, ValueError) as error:
        raise DataSourceError(f"{_one_line(error)}: {_ACCEPTED}. Received: {source!s}") from None
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


# ------------------------------------------------------------------------------ "synthetic"


def _synthetic() -> Path:
    from xraylib.data import synthetic

    # The version is part of the name, so that a newer xraylib makes its own tree.
    folder = cache_folder() / f"synthetic-{synthetic.MODEL_VERSION}"
    received = f'"synthetic" (if images were removed from {folder}, delete it and try again)'
    if not _trees(folder):  # without the lock first: a shared cache may be read-only
        with _locked(folder.name):
            if not _trees(folder):  # nobody else has meanwhile
                try:
                    synthetic.make_tree(folder)
                except OSError as error:
                    raise DataSourceError(
                        f"cannot make the synthetic images ({_one_line(error)}): delete {folder}, "
                        "free some space there, or set XRAYLIB_CACHE to another folder"
                    ) from None
    return _checked(folder, received=received)


# ------------------------------------------------------------------------------ "kaggle"


def _kaggle() -> Path:
    by_hand = cache_folder() / "kaggle"
    if not _trees(by_hand):
        if not _archives(by_hand):
            downloaded = _download(by_hand)
            return _checked(downloaded, received=_kaggle_received(downloaded))
        with _locked("kaggle"):
            if not _trees(by_hand):  # nobody else has meanwhile
                _unpack(by_hand)
    return _checked(by_hand, received=_kaggle_received(by_hand))


def _kaggle_received(folder: Path) -> str:
    return f'"kaggle" (if files were removed from {folder}, delete it and try again)'


def _download(by_hand: Path) -> Path:
    """Asks kagglehub for the data set. `by_hand` is the folder to name where that fails."""
    cached = _in_kagglehub_cache()
    # Two processes would let kagglehub download into the same file.
    with contextlib.nullcontext() if cached else _locked("kaggle"):
        try:
            import kagglehub

            if not cached and not _in_kagglehub_cache() and not _in_kaggle_notebook():
                _knock()
            return Path(kagglehub.dataset_download(KAGGLE_HANDLE))
        except Exception as error:
            # kagglehub lets pass whatever goes wrong below it: requests, json, zipfile, its own.
            kind = type(error).__name__
            # What requests adds to these three is its own inside, at length.
            unreachable = kind in ("ConnectionError", "ConnectTimeout", "ReadTimeout")
            reason = "no answer from Kaggle" if unreachable else f"{kind}: {_one_line(error)}"
    with contextlib.suppress(OSError):
        by_hand.mkdir(parents=True, exist_ok=True)  # so that the folder named below is there
    page = f"https://www.kaggle.com/datasets/{KAGGLE_HANDLE.split('/versions')[0]}"
    raise DataSourceError(
        f'cannot get "kaggle" ({reason}): either run once while online '
        f"python -c \"import kagglehub; kagglehub.dataset_download('{KAGGLE_HANDLE}')\" "
        f"or put the zip from {page} into {by_hand}; "
        "SOURCE=synthetic and SOURCE=<folder> work without it"
    )


def _in_kagglehub_cache() -> bool:
    """Whether kagglehub has the pinned version on disk, and so needs no network.

    Looked up in its layout on disk, which has outlived the functions that know it. A wrong no
    costs one request.
    """
    named = os.environ.get("KAGGLEHUB_CACHE")
    root = Path(named if named is not None else os.path.expanduser("~/.cache/kagglehub"))
    folder = root / "datasets" / KAGGLE_HANDLE  # <owner>/<name>/versions/2
    return folder.is_dir() and (folder.parents[1] / f"{folder.name}.complete").exists()


def _in_kaggle_notebook() -> bool:
    """Whether kagglehub will attach the data set instead of downloading it."""
    return "KAGGLE_KERNEL_RUN_TYPE" in os.environ


def _knock() -> None:
    """Raises within seconds where Kaggle cannot be reached; any answer will do.

    kagglehub sets no time limit on its own first request: behind a firewall that swallows it,
    that request waits for ever.
    """
    import requests

    requests.head("https://api.kaggle.com", timeout=(5, 15))


def _is_zip(name: str) -> bool:
    return _is_real(name) and name.lower().endswith(".zip")


def _archives(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if _is_zip(path.name) and path.is_file())


def _unpack(by_hand: Path) -> None:
    """Unpacks the one zip in a folder to `chest_xray/` beside it: all of the tree or nothing."""
    archive, *more = _archives(by_hand)
    if more:
        names = ", ".join(path.name for path in (archive, *more))
        raise DataSourceError(f"{by_hand} holds {1 + len(more)} zips ({names}): leave only one")
    # Hidden, so that nobody takes it for the tree. What a killed process has left is overwritten.
    temporary = by_hand / ".unpacking"
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        with zipfile.ZipFile(archive) as opened:
            members = _members(opened, archive=archive)
            _extract(opened, members, temporary)
        problem = _incomplete(temporary)
        if problem:
            raise DataSourceError(f"{problem} (in {archive}): put the whole data set there")
        temporary.rename(by_hand / "chest_xray")
    except OSError as error:
        raise DataSourceError(
            f"cannot unpack {archive} ({_one_line(error)}): check the space and the permissions "
            "there, or set XRAYLIB_CACHE to another folder"
        ) from None
    except DataSourceError:
        raise
    except Exception as error:
        # BadZipFile, zlib.error, EOFError; RuntimeError asks for a password.
        raise DataSourceError(
            f"{archive} is not a whole zip ({_one_line(error)}; "
            f"{archive.stat().st_size:,} bytes): download it again"
        ) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _members(opened: zipfile.ZipFile, *, archive: Path) -> dict[PurePosixPath, zipfile.ZipInfo]:
    """The images of the outermost tree in a zip: path below the tree -> member.

    Raises:
        DataSourceError: The zip has no tree, or a member that would land outside the folder.
    """
    members = {}
    for member in opened.infolist():
        # Some Windows programs write backslashes.
        path = PurePosixPath(member.filename.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or ":" in member.filename:
            raise DataSourceError(
                f"{archive} has a member that would leave its folder ({member.filename!r}): "
                "do not trust it, download the data set again"
            )
        real = all(_is_real(part) for part in path.parts)
        if real and _is_image(path.name) and not member.is_dir():
            members[path] = member
    splits_of: dict[PurePosixPath, set[str]] = {}
    for path in members:
        for parent in path.parents:
            if parent.name in SPLITS:
                splits_of.setdefault(parent.parent, set()).add(parent.name)
    trees = [tree for tree, splits in splits_of.items() if {"train", "test"} <= splits]
    if not trees:
        raise DataSourceError(
            f"{archive} has no train/ and test/ with images: put the data set's own zip there"
        )
    tree = min(trees, key=lambda path: (len(path.parts), path.as_posix()))
    return {
        path.relative_to(tree): member
        for path, member in members.items()
        if path.is_relative_to(tree) and path.relative_to(tree).parts[0] in SPLITS
    }


def _extract(
    opened: zipfile.ZipFile, members: dict[PurePosixPath, zipfile.ZipInfo], folder: Path
) -> None:
    from xraylib import progress

    folder.mkdir(parents=True)
    needed, free = sum(m.file_size for m in members.values()), shutil.disk_usage(folder).free
    if needed > free:
        raise OSError(f"needs {needed / 1e6:,.0f} MB, {free / 1e6:,.0f} MB are free")
    for path, member in progress.bar(members.items(), total=len(members), description="unpacking"):
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        with opened.open(member) as packed, target.open("wb") as file:
            shutil.copyfileobj(packed, file)  # zipfile checks the checksum at the end


# ------------------------------------------------------------------------------ both


@contextlib.contextmanager
def _locked(name: str) -> Iterator[None]:
    """Holds a lock of that name in the cache folder, between processes and threads."""
    import filelock

    lock = filelock.FileLock(cache_folder() / f"{name}.lock")
    try:
        lock.acquire()
    except (OSError, NotImplementedError) as error:
        raise DataSourceError(
            f"cannot lock {lock.lock_file} ({_one_line(error)}): "
            "set the environment variable XRAYLIB_CACHE to a folder that can be written"
        ) from None
    try:
        yield
    finally:
        lock.release()


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200].rstrip(".") or type(error).__name__
