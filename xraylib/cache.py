"""What is made once and kept for later runs: written whole or not at all, listed, and pruned.

Entries lie in `cache_folder()`: what this module writes in `<kind>/<key>/`, and beside it the data
sets of `sources`, which are listed and pruned, too, but are no entries of `kept`.
"""

import contextlib
import errno
import json
import os
import re
import shutil
import tempfile
import time
import warnings
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Final, Literal, TypeVar

import filelock
import numpy as np
import pandas as pd
import platformdirs

from xraylib import errors, progress

# A kind has a folder of that name. Nothing else in the cache folder is ever removed, for somebody
# may have named their home.
Kind = Literal["pixels", "features"]
_KINDS: Final[dict[Kind, str]] = {
    "pixels": "decoded images",
    "features": "features of frozen layers",
}
_DATA_SETS: Final = {
    "kaggle": "data set, put there by hand",
    "synthetic-*": "made radiographs",
    "experiments/*": "made radiographs of an experiment",
}
_COLUMNS: Final = ("name", "what", "bytes", "used", "state")
_UNITS: Final = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_ABOUT: Final = "about.json"
_WRITING: Final = ".writing-"

_Content = TypeVar("_Content")


def cache_folder() -> Path:
    """The folder for what is made or downloaded once, created on demand.

    It is the environment variable `XRAYLIB_CACHE` where that is set, else the user's cache folder
    of the operating system.

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


def kept(
    kind: Kind,
    key: str,
    *,
    what: str,
    size: int,
    make: Callable[[Path], None],
    read: Callable[[Path], _Content],
) -> _Content:
    """What an entry holds, made now if it is not there whole.

    An entry appears at once and complete. Of two processes that want the same one, the second
    waits. Each file has a checksum: what is cut short or changed is noticed when it is opened, and
    made again. Where the cache folder cannot be written, the entry is made in a temporary folder
    and lasts as long as this process; every such trouble is told in one warning.

    Args:
        kind: The folder of all entries of its kind.
        key: What the content depends on, as a name for a folder; another format of the content
            needs another key.
        what: The content in words, for the list, e.g. `"5,216 images of 400 px"`.
        size: About how many bytes it has.
        make: Writes the files into the folder that it is given.
        read: Opens the files in the folder that it is given; raises OSError, ValueError or
            KeyError where they are not as `make` writes them.

    Returns:
        What `read` returned.

    Raises:
        OSError: Neither the cache folder nor the temporary one can be written; what is missing and
            what to do is said.
    """
    place = "the cache"
    try:
        folder = cache_folder() / kind / key
        place = f"the cache {folder.parent}"
        content, _ = _opened(folder, read)
        if content is not None:
            return content
        folder.parent.mkdir(exist_ok=True)
        with _locked(folder, wait=True):
            # Meanwhile another process may have made it.
            content, damage = _opened(folder, read)
            if content is not None:
                return content
            if damage:
                warnings.warn(f"{folder} is {damage}: it is made again", stacklevel=3)
                _remove(folder)
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
    """Holds the lock of a data set, between processes and threads; `prune` then leaves it alone.

    Args:
        name: Of its folder in the cache folder.

    Raises:
        CacheError: The cache folder cannot be created, or there can be no lock in it.
    """
    lock = filelock.FileLock(_lock_path(cache_folder() / name))
    try:
        lock.acquire()
    except (OSError, NotImplementedError) as error:
        raise errors.CacheError(
            f"cannot lock {lock.lock_file} ({errors.one_line(error)}): "
            "set the environment variable XRAYLIB_CACHE to a folder that can be written"
        ) from None
    try:
        yield
    finally:
        lock.release()


def array(path: Path) -> np.ndarray:
    """Maps an array of an entry into memory.

    As long as the array lives, `prune` leaves the entry alone.

    Args:
        path: Of a file as `numpy.save` writes it.

    Returns:
        The array, read-only, of the file's own shape and dtype.

    Raises:
        ValueError: The file is no such file, or is cut short.
        OSError: It cannot be opened.
    """
    with path.open("rb") as file:
        _hold(file)
        if np.lib.format.read_magic(file) != (1, 0):
            raise ValueError("not an array of version 1.0")
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        # The map has a file descriptor of its own, with the hold on it.
        return np.memmap(file, dtype, "r", offset=file.tell(), shape=shape)


def entries() -> pd.DataFrame:
    """What is in the cache folder.

    Returns:
        One row an entry or data set, the one that was used last first: name, its path from the
        cache folder on; what, in words; bytes; used, the time of last use, of a data set that of
        its making, in UTC; state, `"in use"`, `"unfinished"` for what a stopped process has left,
        or empty.

    Raises:
        CacheError: The cache folder cannot be created.
    """
    top = cache_folder()
    found = [(folder, what) for kind, what in _KINDS.items() for folder in (top / kind).glob("*")]
    found += [(folder, what) for name, what in _DATA_SETS.items() for folder in top.glob(name)]
    rows = [_row(top, folder, what) for folder, what in sorted(found) if folder.is_dir()]
    table = pd.DataFrame(rows, columns=list(_COLUMNS))
    return table.sort_values("used", ascending=False, kind="stable").reset_index(drop=True)


def prune(to: int = 0, *, everything: bool = False) -> pd.DataFrame:
    """Removes what was not used for the longest time, but nothing that is in use.

    What a stopped process has left unfinished goes first.

    Args:
        to: The bytes to keep at most, 0 or more.
        everything: Whether data sets count and may go as well. One that was put there by hand
            is not made again.

    Returns:
        The rows of `entries` that were removed, in that order.

    Raises:
        ValueError: `to` is negative.
        CacheError: The cache folder cannot be created.
    """
    if to < 0:
        raise ValueError(f"to must be 0 bytes or more. Received: {to}")
    table = entries()
    if not everything:
        table = table[table["name"].str.split("/").str[0].isin(list(_KINDS))]
    left = int(table["bytes"].sum())
    table = table.assign(whole=table["state"] != "unfinished").sort_values(["whole", "used"])
    removed = []
    for row in table[table["state"] != "in use"].itertuples():
        if row.whole and left <= to:
            break
        if _removed(cache_folder() / row.name):
            left -= row.bytes
            removed.append(row.Index)
    return table.loc[removed, list(_COLUMNS)].reset_index(drop=True)


def parse_size(text: str) -> int:
    """A size in words, such as `"5GB"` or `"500 MB"`, in bytes; a kB has 1000.

    Raises:
        ValueError: It is none.
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?b?)\s*", text, re.IGNORECASE)
    unit = found[2].upper() if found else "?"
    unit = unit if unit in _UNITS else f"{unit}B"
    if not found or unit not in _UNITS:
        raise ValueError(f'give a size such as "5GB" or "500MB". Received: {text!r}')
    return round(float(found[1]) * _UNITS[unit])


# ------------------------------------------------------------------------------ one entry


def _opened(folder: Path, read: Callable[[Path], _Content]) -> tuple[_Content | None, str]:
    """What an entry holds, or what is wrong with it, in words; neither where there is none."""
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
    """What is wrong with an entry's files, in words, or nothing."""
    path = folder / _ABOUT
    if not path.exists():
        return ""  # from before there were checksums: whether it fits is for its reader to say
    files = json.loads(path.read_text(encoding="utf-8"))["files"]
    for name, (size, checksum) in files.items():
        found = (folder / name).stat().st_size
        if found != size:
            return f"damaged ({name} has {found:,} bytes instead of {size:,})"
        if _checksum(folder / name) != checksum:
            return f"damaged (the checksum of {name} is wrong)"
    return ""


def _checksum(path: Path) -> int:
    """The CRC-32 of a file, read through a small buffer, not mapped: memory stays flat."""
    buffer = bytearray(1 << 20)
    checksum = 0
    blocks = -(-path.stat().st_size // len(buffer))
    with path.open("rb", buffering=0) as file:
        for _ in progress.bar(range(blocks), total=blocks, description="checking"):
            count = file.readinto(buffer) or 0
            checksum = zlib.crc32(memoryview(buffer)[:count], checksum)
    return checksum


def _make(folder: Path, *, what: str, size: int, make: Callable[[Path], None]) -> None:
    """Writes the files into a folder that appears only when complete."""
    parent = folder.parent
    _check_space(parent, size)
    with tempfile.TemporaryDirectory(
        prefix=f"{_WRITING}{folder.name}-", dir=parent, ignore_cleanup_errors=True
    ) as half_written:
        path = Path(half_written)
        make(path)
        files = {
            file.name: (file.stat().st_size, _checksum(file)) for file in sorted(path.iterdir())
        }
        about = json.dumps({"what": what, "files": files}, indent=1)
        (path / _ABOUT).write_text(about + "\n", encoding="utf-8")
        try:
            path.rename(folder)
        except OSError:
            # Without locks, another process may have been faster with the same content.
            if not folder.exists():
                raise


def _check_space(folder: Path, size: int) -> None:
    """Raises before the work where its result would not fit."""
    free = shutil.disk_usage(folder).free
    if size > free:
        raise OSError(errno.ENOSPC, f"{os.strerror(errno.ENOSPC)}, {free / 1e6:,.0f} MB are free")


def _remove(folder: Path) -> None:
    """Removes an entry, which is gone at once, also for a process that looks meanwhile."""
    if folder.is_symlink():  # what somebody keeps elsewhere stays there
        folder.unlink()
        return
    doomed = folder
    if not folder.name.startswith(_WRITING):
        doomed = folder.with_name(f"{_WRITING}{folder.name}-{os.getpid()}-{time.time_ns()}")
        folder.rename(doomed)
    shutil.rmtree(doomed, ignore_errors=True)


# ------------------------------------------------------------------------------ locks


@contextlib.contextmanager
def _locked(folder: Path, *, wait: bool) -> Iterator[None]:
    """Holds the lock of an entry or data set, between processes and threads.

    Raises:
        filelock.Timeout: Another holds it, and this one does not wait.
        OSError: There can be no lock in that folder.
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
            if folder.parent.name in _KINDS:
                # Who waits for this very file will look again; who comes now makes another one.
                with contextlib.suppress(OSError):
                    _lock_path(folder).unlink()


def _lock_path(folder: Path) -> Path:
    """Of an entry or data set. What is half-written has the lock of its entry."""
    name = folder.name
    if name.startswith(_WRITING):
        name = name.removeprefix(_WRITING).split("-")[0]
    return folder.with_name(f"{name}.lock")


def _hold(file: BinaryIO) -> None:
    """Marks a file as in use until the last copy of its descriptor is closed."""
    # Windows has no such mark, and refuses to remove what is open.
    with contextlib.suppress(ImportError, OSError):
        import fcntl

        fcntl.flock(file, fcntl.LOCK_SH)


def _held(path: Path) -> bool:
    """Whether a process has a file marked as in use."""
    try:
        import fcntl

        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except (ImportError, OSError):
        pass
    return False


def _in_use(folder: Path) -> bool:
    """Whether a process makes an entry, or has one of its arrays open."""
    if any(_held(path) for path in folder.glob("*.npy")):
        return True
    if _lock_path(folder).exists():  # else looking would make it
        try:
            with _locked(folder, wait=False):
                pass
        except filelock.Timeout:
            return True
        except OSError:
            pass
    return False


def _removed(folder: Path) -> bool:
    """Removes an entry or data set unless it has come into use. Whether it is gone."""
    try:
        with _locked(folder, wait=False):
            if any(_held(path) for path in folder.glob("*.npy")):
                return False
            _remove(folder)
    except OSError:  # a lock that is held is one, too
        return False
    return not folder.exists()


# ------------------------------------------------------------------------------ the list


def _row(top: Path, folder: Path, what: str) -> dict[str, object]:
    size = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):  # gone meanwhile
            size += path.stat().st_size if path.is_file() else 0
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        what = json.loads((folder / _ABOUT).read_text(encoding="utf-8"))["what"]
    state = "unfinished" if folder.name.startswith(_WRITING) else ""
    return {
        "name": folder.relative_to(top).as_posix(),
        "what": what,
        "bytes": size,
        "used": pd.Timestamp(int(folder.stat().st_mtime), unit="s", tz="UTC"),
        "state": "in use" if _in_use(folder) else state,
    }


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return errors.one_line(error)
