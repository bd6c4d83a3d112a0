"""Locate a tree of images by the name of its source or by its folder."""

import difflib
import os
from pathlib import Path
from typing import Final

from xraylib import errors
from xraylib.data import layout
from xraylib.data.tree import find_tree, find_trees, subfolders
from xraylib.data.words import is_zip

_ACCEPTED: Final = 'give "synthetic", "kaggle", or a folder that holds train/ and test/'


def locate(source: str | Path) -> Path:
    """Finds, downloads or makes a tree of images, and checks it.

    Args:
        source: One of
            - `"synthetic"`: radiographs simulated from physics, made once and kept in the cache;
            - `"kaggle"`: the public data set, as `kaggle.fetch` gets it;
            - a folder that contains the tree directly or up to three levels down. Hidden folders
              and `__MACOSX` are ignored. Of nested trees the outer one counts; several side by side
              are an error, but for trees of masks. `~` is expanded. A `Path` is always a folder, so
              `Path("kaggle")` is `./kaggle`.

    Returns:
        The absolute folder that directly contains `train/` and `test/`, and perhaps `val/`. What
        is in a folder of your own, `index.from_tree` checks.

    Raises:
        DataSourceError: There is no such tree, it cannot be downloaded, or one that was made or
            downloaded is incomplete.
    """
    if not isinstance(source, (str, os.PathLike)) or not str(source).strip():
        raise errors.DataSourceError(f"no data source: {_ACCEPTED}. Received: {source!r}")
    if source not in ("synthetic", "kaggle"):
        return find_tree(_existing_folder(source), received=str(source))
    try:
        if source == "synthetic":
            folder = _synthetic()
        else:
            from xraylib.data import kaggle

            folder = kaggle.fetch()
    except errors.CacheError as error:
        raise errors.DataSourceError(str(error)) from None
    received = f'"{source}" (if files were removed from {folder}, delete it and try again)'
    tree = find_tree(folder, received=received)
    try:
        layout.read_splits(tree)
    except errors.DataSourceError as error:
        raise errors.DataSourceError(f"{error}. Received: {received}") from None
    return tree


def _existing_folder(source: str | Path) -> Path:
    try:
        folder = Path(os.path.abspath(Path(source).expanduser()))
    except (RuntimeError, ValueError) as error:
        problem = errors.one_line(error)
        raise errors.DataSourceError(f"{problem}: {_ACCEPTED}. Received: {source!s}") from None
    if os.path.isfile(folder):
        advice = "unzip it and give the folder" if is_zip(folder.name) else "give a folder"
        problem = f"{folder} is a file: {advice}"
    elif not os.path.isdir(folder):
        problem = f"the folder {folder} does not exist{_suggestion(source, folder)}: {_ACCEPTED}"
    elif not os.access(folder, os.R_OK | os.X_OK):
        problem = f"the folder {folder} may not be read (permission denied): make it readable"
    else:
        return folder
    raise errors.DataSourceError(f"{problem}. Received: {source!s}")


def _suggestion(source: str | Path, folder: Path) -> str:
    """Returns ` (did you mean ...?)` if something of nearly that name exists, else nothing."""
    names = difflib.get_close_matches(str(source).lower(), ("synthetic", "kaggle"), n=1)
    if names:
        return f' (did you mean "{names[0]}"?)'
    # The first wrong part of the path is the one to correct.
    while not folder.parent.is_dir():
        folder = folder.parent
    beside = {path.name.lower(): path for path in subfolders(folder.parent)}
    close = difflib.get_close_matches(folder.name.lower(), beside, n=1)
    return f" (did you mean {beside[close[0]]}?)" if close else ""


def _synthetic() -> Path:
    from xraylib import cache
    from xraylib.synthetic import dataset

    # With the version in the name, a newer xraylib makes its own tree.
    folder = cache.cache_folder() / f"synthetic-{dataset.MODEL_VERSION}"
    if not find_trees(folder):  # without the lock first: a shared cache may be read-only
        with cache.data_set_locked(folder.name):
            if not find_trees(folder):  # no other process has made it meanwhile
                try:
                    dataset.make_tree(folder)
                except OSError as error:
                    raise errors.DataSourceError(
                        f"cannot make the synthetic images ({errors.one_line(error)}): delete "
                        f"{folder}, free some space there, or set XRAYLIB_CACHE to another folder"
                    ) from None
    return folder
