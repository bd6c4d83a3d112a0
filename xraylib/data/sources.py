"""A name or a folder -> a checked image tree on disk."""

import difflib
import os
from pathlib import Path
from typing import Final

from xraylib import errors
from xraylib.data.tree import checked, is_zip, subfolders, trees_in

_ACCEPTED: Final = 'give "synthetic", "kaggle", or a folder that holds train/ and test/'


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
        raise errors.DataSourceError(f"no data source: {_ACCEPTED}. Received: {source!r}")
    if source not in ("synthetic", "kaggle"):
        return checked(_existing_folder(source), received=str(source))
    try:
        return _synthetic() if source == "synthetic" else _kaggle()
    except errors.CacheError as error:
        raise errors.DataSourceError(str(error)) from None


# ------------------------------------------------------------------------------ a folder


def _existing_folder(source: str | Path) -> Path:
    try:
        folder = Path(os.path.abspath(Path(source).expanduser()))
    except (RuntimeError, ValueError) as error:
        raise errors.DataSourceError(
            f"{errors.one_line(error)}: {_ACCEPTED}. Received: {source!s}"
        ) from None
    if os.path.isfile(folder):
        advice = "unzip it and give the folder" if is_zip(folder.name) else "give a folder"
        raise errors.DataSourceError(f"{folder} is a file: {advice}. Received: {source!s}")
    if not os.path.isdir(folder):
        raise errors.DataSourceError(
            f"the folder {folder} does not exist{_suggestion(source, folder)}: {_ACCEPTED}. "
            f"Received: {source!s}"
        )
    if not os.access(folder, os.R_OK | os.X_OK):
        raise errors.DataSourceError(
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
    beside = {path.name.lower(): path for path in subfolders(folder.parent)}
    close = difflib.get_close_matches(folder.name.lower(), beside, n=1)
    return f" (did you mean {beside[close[0]]}?)" if close else ""


# ------------------------------------------------------------------------------ a name


def _synthetic() -> Path:
    from xraylib import cache, errors
    from xraylib.synthetic import dataset

    # The version is part of the name, so that a newer xraylib makes its own tree.
    folder = cache.cache_folder() / f"synthetic-{dataset.MODEL_VERSION}"
    received = f'"synthetic" (if images were removed from {folder}, delete it and try again)'
    if not trees_in(folder):  # without the lock first: a shared cache may be read-only
        with cache.data_set_locked(folder.name):
            if not trees_in(folder):  # nobody else has meanwhile
                try:
                    dataset.make_tree(folder)
                except OSError as error:
                    raise errors.DataSourceError(
                        f"cannot make the synthetic images ({errors.one_line(error)}): delete "
                        f"{folder}, free some space there, or set XRAYLIB_CACHE to another folder"
                    ) from None
    return checked(folder, received=received)


def _kaggle() -> Path:
    from xraylib.data import kaggle

    folder = kaggle.fetch()
    received = f'"kaggle" (if files were removed from {folder}, delete it and try again)'
    return checked(folder, received=received)
