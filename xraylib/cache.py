"""Make results once and keep them for later runs, complete or not at all.

The cache folder holds the entries of `load_or_make`, in `<kind>/<key>/`, and beside them the data
sets of `data.sources`. `pruning` lists and removes them.
"""

import contextlib
import errno
import json
import os
import shutil
import tempfile
import time
import warnings
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, Literal, TypeVar, get_args

import filelock
import numpy as np
import platformdirs

from xraylib import errors, progress

# Each kind has a folder of its name.
Kind = Literal["pixels", "features"]
# The description of an entry, and the beginning of the name of an unfinished one.
ABOUT: Final = "about.json"
WRITING: Final = ".writing-"
_BLOCK: Final = 2**20

_Content = TypeVar("_Content")


def cache_folder() -> Path:
    """Returns the folder of everything that is made or downloaded once, and creates it.

    It is `XRAYLIB_CACHE` of the environment, else the operating system's cache folder of the user.

    Raises:
        CacheError: The folder cannot be created.
    """
    named = os.environ.get("XRAYLIB_CACHE", "").strip()
    # appauthor: Windows would otherwise repeat the name, xraylib\xraylib.
    folder = Path(named) if named else platformdirs.user_cache_path("xraylib", appauthor=False)
    try:
        folder = folder.expanduser().absolute()
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError, ValueError) as error:
        raise errors.CacheError(
            f"cannot create the cache folder {folder} ({errors.one_line(error)}): "
            "set the environment variable XRAYLIB_CACHE to a folder that can be written"
        ) from None
    return folder


def load_or_make(
    kind: Kind,
    key: str,
    *,
    what: str,
    size: int,
    make: Callable[[Path], None],
    read: Callable[[Path], _Content],
) -> _Content:
    """Reads an entry of the cache, and makes it first if it is missing or damaged.

    An entry appears at once and complete. If two processes need the same one, the second waits. By
    a checksum of each file, an entry that was cut short or changed is noticed when it is opened,
    and made again. If the cache folder cannot be written, the entry is made in a temporary folder
    and lasts as long as this process. One warning tells of every such trouble.

    Args:
        kind: The folder of all entries of this kind.
        key: A file name that identifies all the content depends on, its format included.
        what: The content in words, for the list, e.g. `"5,216 images of 400 px"`.
        size: Its approximate size in bytes.
        make: Writes the files into the folder that it receives.
        read: Opens the files in the folder that it receives; raises OSError, ValueError or
            KeyError if they are not as `make` writes them.

    Returns:
        The result of `read`.

    Raises:
        OSError: Neither the cache folder nor the temporary one can be written.
    """
    place = "the cache"
    try:
        folder = cache_folder() / kind / key
        place = f"the cache {folder.parent}"
        content, _ = _opened(folder, read)
        if content is not None:
            return content
        folder.parent.mkdir(exist_ok=True)
        with locked(folder, wait=True):
            # Another process may have made it meanwhile.
            content, damage = _opened(folder, read)
            if content is not None:
                return content
            if damage:
                warnings.warn(f"{folder} is {damage}: it is made again", stacklevel=3)
                remove(folder)
            _make(folder, what=what, size=size, make=make)
        return read(folder)
    except OSError as error:
        trouble = _reason(error)
    advice = (
        "free some space (xraylib cache prune), or set the environment variable XRAYLIB_CACHE to "
        "another folder"
    )
    cannot = f"cannot write {size / 1e6:,.0f} MB to {place} ({trouble})"
    try:
        with tempfile.TemporaryDirectory(prefix="xraylib-", ignore_cleanup_errors=True) as passing:
            _check_space(Path(passing), size)
            make(Path(passing))
            content = read(Path(passing))
    except OSError as error:
        raise OSError(
            error.errno, f"{cannot}, nor to {tempfile.gettempdir()} ({_reason(error)}): {advice}"
        ) from None
    warnings.warn(f"{cannot}: {what} are kept for this process only; {advice}", stacklevel=3)
    return content


@contextlib.contextmanager
def data_set_locked(name: str) -> Iterator[None]:
    """Holds the lock of a data set, a folder's name; `prune` leaves the data set alone meanwhile.

    Raises:
        CacheError: The cache folder cannot be created, or does not support locks.
    """
    lock = filelock.FileLock(_lock_path(cache_folder() / name))
    try:
        acquired = lock.acquire()
    except (OSError, NotImplementedError) as error:
        raise errors.CacheError(
            f"cannot lock {lock.lock_file} ({errors.one_line(error)}): "
            "set the environment variable XRAYLIB_CACHE to a folder that can be written"
        ) from None
    with acquired:
        yield


def array(path: Path) -> np.ndarray:
    """Maps an array that `numpy.save` has written into memory, read-only.

    The array outlives the removal of its file, except on Windows, where the file cannot be removed
    as long as it is mapped.

    Raises:
        ValueError: The file is no such file, or is cut short.
        OSError: It cannot be opened.
    """
    return np.lib.format.open_memmap(path, mode="r")


def _opened(folder: Path, read: Callable[[Path], _Content]) -> tuple[_Content | None, str]:
    """Returns the content of an entry or else its damage in words; neither if it is missing."""
    if not folder.exists():
        return None, ""
    try:
        damage = _damage(folder)
        if damage:
            return None, damage
        content = read(folder)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return None, f"damaged ({_reason(error)})"
    with contextlib.suppress(OSError):  # a read-only cache can be used all the same
        os.utime(folder)
    return content, ""


def _damage(folder: Path) -> str:
    """Says what is wrong with the files of an entry; empty if nothing is."""
    path = folder / ABOUT
    if not path.exists():
        return ""  # older than the checksums: its reader decides
    for name, (size, checksum) in json.loads(path.read_text(encoding="utf-8"))["files"].items():
        actual = (folder / name).stat().st_size
        if actual != size:
            return f"damaged ({name} has {actual:,} bytes instead of {size:,})"
        if _checksum(folder / name) != checksum:
            return f"damaged (the checksum of {name} is wrong)"
    return ""


def _checksum(path: Path) -> int:
    """Returns the CRC-32 of a file, read in small blocks to save memory."""
    checksum = 0
    blocks = -(-path.stat().st_size // _BLOCK)
    with path.open("rb") as file:
        for _ in progress.bar(range(blocks), total=blocks, description="checking"):
            checksum = zlib.crc32(file.read(_BLOCK), checksum)
    return checksum


def _make(folder: Path, *, what: str, size: int, make: Callable[[Path], None]) -> None:
    """Writes the files into a folder that appears only when complete."""
    parent = folder.parent
    _check_space(parent, size)
    with tempfile.TemporaryDirectory(
        prefix=f"{WRITING}{folder.name}-", dir=parent, ignore_cleanup_errors=True
    ) as half_written:
        path = Path(half_written)
        make(path)
        files = {each.name: (each.stat().st_size, _checksum(each)) for each in path.iterdir()}
        about = json.dumps({"what": what, "files": dict(sorted(files.items()))}, indent=1)
        (path / ABOUT).write_text(about + "\n", encoding="utf-8")
        try:
            path.rename(folder)
        except OSError:
            # Without locks, another process may have made the same content meanwhile.
            if not folder.exists():
                raise


def _check_space(folder: Path, size: int) -> None:
    """Raises OSError if `size` bytes do not fit."""
    free = shutil.disk_usage(folder).free
    if size > free:
        raise OSError(errno.ENOSPC, f"{os.strerror(errno.ENOSPC)}, {free / 1e6:,.0f} MB are free")


def remove(folder: Path) -> None:
    """Removes an entry at once: no process sees half of it."""
    if folder.is_symlink():  # the data of somebody who keeps them elsewhere
        folder.unlink()
        return
    if not folder.name.startswith(WRITING):
        name = f"{WRITING}{folder.name}-{os.getpid()}-{time.time_ns()}"
        folder = folder.rename(folder.with_name(name))
    shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def locked(folder: Path, *, wait: bool) -> Iterator[None]:
    """Holds the lock of an entry or data set between processes and threads.

    Raises:
        filelock.Timeout: Another one holds it, and `wait` is False.
        OSError: The disk does not support it.
    """
    lock = filelock.FileLock(_lock_path(folder))
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(NotImplementedError):  # some network disks have no locks
            try:
                stack.enter_context(lock.acquire(timeout=0))
            except filelock.Timeout:
                if not wait:
                    raise
                warnings.warn(f"waiting for another process that makes {folder}", stacklevel=5)
                stack.enter_context(lock.acquire())
        try:
            yield
        finally:
            if folder.parent.name in get_args(Kind):
                # Waiters look again after acquiring; newcomers create a new lock file.
                with contextlib.suppress(OSError):
                    _lock_path(folder).unlink()


def _lock_path(folder: Path) -> Path:
    """The lock of an entry or data set. An unfinished entry has the lock of the complete one."""
    name = folder.name.removeprefix(WRITING)
    if name != folder.name:
        name = name.split("-")[0]
    return folder.with_name(f"{name}.lock")


def is_locked(folder: Path) -> bool:
    """Whether a process holds the lock of an entry or data set."""
    if not _lock_path(folder).exists():  # acquiring it would create it
        return False
    try:
        with locked(folder, wait=False):
            return False
    except OSError as error:
        return isinstance(error, filelock.Timeout)


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return errors.one_line(error)
