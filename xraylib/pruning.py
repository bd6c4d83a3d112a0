"""List what the cache holds, and remove what was not used for the longest time."""

import contextlib
import json
import re
from pathlib import Path
from typing import Final

import pandas as pd

from xraylib import cache

# Nothing else in the cache folder is ever removed, for XRAYLIB_CACHE may be somebody's home.
_CONTENTS: Final = {
    "pixels/*": "decoded images",
    "features/*": "features of frozen layers",
    "kaggle": "data set, put there by hand",
    "synthetic-*": "synthetic radiographs",
}
_UNITS: Final = ("", "K", "M", "G", "T")


def entries() -> pd.DataFrame:
    """Lists what is in the cache folder.

    Returns:
        One row an entry or data set, the last used first, with the columns name (its path below the
        cache folder), what (its content in words), bytes, used (when it was used last, or a data
        set made, UTC) and state: `"in use"` while it is being made, `"unfinished"` if a process was
        stopped while making it, or empty.

    Raises:
        CacheError: The cache folder cannot be created.
    """
    top = cache.cache_folder()
    folders = [(folder, what) for name, what in _CONTENTS.items() for folder in top.glob(name)]
    rows = [_row(top, folder, what) for folder, what in sorted(folders) if folder.is_dir()]
    table = pd.DataFrame(rows, columns=["name", "what", "bytes", "used", "state"])
    return table.sort_values("used", ascending=False, kind="stable").reset_index(drop=True)


def prune(to: int = 0, *, everything: bool = False) -> pd.DataFrame:
    """Removes the entries that were not used for the longest time, but none that is being made.

    Unfinished ones go first. A run that uses an entry goes on with it; the next one makes it again.

    Args:
        to: The number of bytes to keep at most, 0 or more.
        everything: Whether data sets are counted and removed as well. One that was put there by
            hand is not made again.

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
        table = table[table["name"].str.contains("/")]
    left = int(table["bytes"].sum())
    order = table.assign(complete=table["state"] != "unfinished").sort_values(["complete", "used"])
    removed = []
    for row in order[order["state"] != "in use"].itertuples():
        if row.complete and left <= to:
            break
        if _removed(cache.cache_folder() / row.name):
            left -= row.bytes
            removed.append(row.Index)
    return table.loc[removed].reset_index(drop=True)


def parse_size(text: str) -> int:
    """Converts a size in words to bytes; a kB has 1000.

    Raises:
        ValueError: The text is not a size.

    Example:
        >>> parse_size("1.5 GB")
        1500000000
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)b?\s*", text, re.IGNORECASE)
    if not match:
        raise ValueError(f'give a size such as "5GB" or "500MB". Received: {text!r}')
    return round(float(match[1]) * 1000 ** _UNITS.index(match[2].upper()))


def _row(top: Path, folder: Path, what: str) -> dict[str, object]:
    size = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):  # gone meanwhile
            size += path.stat().st_size if path.is_file() else 0
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        what = json.loads((folder / cache.ABOUT).read_text(encoding="utf-8"))["what"]
    state = "unfinished" if folder.name.startswith(cache.WRITING) else ""
    return {
        "name": folder.relative_to(top).as_posix(),
        "what": what,
        "bytes": size,
        "used": pd.Timestamp(int(folder.stat().st_mtime), unit="s", tz="UTC"),
        "state": "in use" if cache.is_locked(folder) else state,
    }


def _removed(folder: Path) -> bool:
    """Removes an entry or data set unless its lock is held; returns whether it is gone."""
    try:
        with cache.locked(folder, wait=False):
            cache.remove(folder)
    except OSError:  # filelock.Timeout is one, too
        return False
    return not folder.exists()
