"""Get the public data set from a tree or zip in the cache, or else from kagglehub."""

import contextlib
import logging
import os
import shutil
import zipfile
from pathlib import Path, PurePosixPath
from typing import Final

from xraylib import cache, errors, names, progress
from xraylib.data import layout
from xraylib.data.tree import find_trees
from xraylib.data.words import SPLITS, is_clutter, is_image, is_zip
from xraylib.errors import DataSourceError

# Pinned: every number of the series belongs to these files, and once cached kagglehub serves a
# pinned version, and only a pinned one, without a network.
HANDLE: Final = "paultimothymooney/chest-xray-pneumonia/versions/2"

_log = logging.getLogger(__name__)


def fetch() -> Path:
    """Finds the data set, unpacks it or downloads it, and returns the folder that holds it.

    A tree or a zip that somebody put into `cache.cache_folder() / "kaggle"` comes first. A zip is
    unpacked once and stays where it is. Without either, kagglehub downloads the data set, which
    needs no account. Whether the tree is complete, `sources.locate` checks.

    Raises:
        DataSourceError: The zip cannot be used, or there is neither a data set nor a download.
        CacheError: The cache folder cannot be created, or does not support locks.
    """
    by_hand = cache.cache_folder() / "kaggle"
    if not find_trees(by_hand):
        if not _archives(by_hand):
            return _download(by_hand)
        with cache.data_set_locked("kaggle"):
            if not find_trees(by_hand):  # no other process has unpacked it meanwhile
                _unpack(by_hand)
    return by_hand


def _download(by_hand: Path) -> Path:
    """Lets kagglehub download the data set; the error names the folder `by_hand` instead."""
    cached = _in_kagglehub_cache()
    # Two processes would let kagglehub download into the same file.
    with contextlib.nullcontext() if cached else cache.data_set_locked("kaggle"):
        try:
            import kagglehub
            import requests

            # In a notebook on Kaggle, kagglehub attaches the data set instead.
            attached = "KAGGLE_KERNEL_RUN_TYPE" in os.environ
            if not cached and not _in_kagglehub_cache() and not attached:
                # Any answer will do. kagglehub's own first request has no time limit, and hangs
                # where a firewall drops it.
                requests.head("https://api.kaggle.com", timeout=(5, 15))
            return Path(kagglehub.dataset_download(HANDLE))
        except Exception as error:
            # kagglehub passes on the errors of requests, json and zipfile, and has its own.
            kind = type(error).__name__
            # The messages of these three are long, and about the inside of requests.
            reason = f"{kind}: {errors.one_line(error)}"
            if kind in ("ConnectionError", "ConnectTimeout", "ReadTimeout"):
                reason = "no answer from Kaggle"
    with contextlib.suppress(OSError):
        by_hand.mkdir(parents=True, exist_ok=True)  # the message names it
    page = f"https://www.kaggle.com/datasets/{HANDLE.split('/versions')[0]}"
    raise DataSourceError(
        f'cannot get "kaggle" ({reason}): either run once while online '
        f"python -c \"import kagglehub; kagglehub.dataset_download('{HANDLE}')\" "
        f"or put the zip from {page} into {by_hand}; "
        "SOURCE=synthetic and SOURCE=<folder> work without it"
    )


def _in_kagglehub_cache() -> bool:
    """Whether kagglehub has the pinned version on disk, and so needs no network."""
    # The layout of its folders has been more stable than its functions. A wrong no costs a request.
    root = Path(os.environ.get("KAGGLEHUB_CACHE", os.path.expanduser("~/.cache/kagglehub")))
    folder = root / "datasets" / HANDLE  # <owner>/<name>/versions/2
    return folder.is_dir() and (folder.parents[1] / f"{folder.name}.complete").exists()


def _archives(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*") if is_zip(path.name) and path.is_file())


def _unpack(by_hand: Path) -> None:
    """Unpacks the one zip in a folder to `chest_xray/` beside it, completely or not at all."""
    archives = _archives(by_hand)
    if len(archives) > 1:
        names = ", ".join(path.name for path in archives)
        raise DataSourceError(f"{by_hand} holds {len(archives)} zips ({names}): leave only one")
    (archive,) = archives
    # Hidden, so that it is not mistaken for the tree. A killed process may have left it.
    temporary = by_hand / ".unpacking"
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        with zipfile.ZipFile(archive) as opened:
            _extract(opened, _members(opened, archive=archive), temporary)
        try:
            layout.read_splits(temporary)
        except DataSourceError as error:
            reason = str(error).replace(str(temporary), str(archive))
            raise DataSourceError(f"{reason}: put the whole data set there") from None
        temporary.rename(by_hand / "chest_xray")
    except OSError as error:
        raise DataSourceError(
            f"cannot unpack {archive} ({errors.one_line(error)}): check the space and the "
            "permissions there, or set XRAYLIB_CACHE to another folder"
        ) from None
    except DataSourceError:
        raise
    except Exception as error:
        # BadZipFile, zlib.error, EOFError; RuntimeError asks for a password.
        raise DataSourceError(
            f"{archive} is not a whole zip ({errors.one_line(error)}; "
            f"{archive.stat().st_size:,} bytes): download it again"
        ) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _members(opened: zipfile.ZipFile, *, archive: Path) -> dict[PurePosixPath, zipfile.ZipInfo]:
    """Finds what is in the splits of the outermost tree in a zip, by its path below the tree.

    Files that are no images are among it, so that whoever lists the tree can count them; what is
    beside the splits is counted in the log.
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
        if not member.is_dir() and not any(is_clutter(part) for part in path.parts):
            members[path] = member
    parents = {parent for path in members if is_image(path.name) for parent in path.parents}
    trees = {parent.parent for parent in parents if parent.name == "train"}
    trees &= {parent.parent for parent in parents if parent.name == "test"}
    if not trees:
        raise DataSourceError(
            f"{archive} has no train/ and test/ with images: put the data set's own zip there"
        )
    tree = min(trees, key=lambda path: (len(path.parts), path.as_posix()))
    inside = {
        path.relative_to(tree): member
        for path, member in members.items()
        if path.is_relative_to(tree) and path.relative_to(tree).parts[0] in SPLITS
    }
    rest = sorted(set(members) - {tree / path for path in inside})
    if rest:
        example = names.shown(rest[0])
        _log.info(f"not unpacked from {archive}: {len(rest):,} files beside the splits ({example})")
    return inside


def _extract(
    opened: zipfile.ZipFile, members: dict[PurePosixPath, zipfile.ZipInfo], folder: Path
) -> None:
    folder.mkdir(parents=True)
    needed, free = sum(m.file_size for m in members.values()), shutil.disk_usage(folder).free
    if needed > free:
        raise OSError(f"needs {needed / 1e6:,.0f} MB, {free / 1e6:,.0f} MB are free")
    for path, member in progress.bar(members.items(), total=len(members), description="unpacking"):
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        with opened.open(member) as packed, target.open("wb") as file:
            shutil.copyfileobj(packed, file)  # zipfile checks the checksum at the end
