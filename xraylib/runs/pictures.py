"""Find the files that runs scored, and tell them from others of the same name by their bytes."""

import contextlib
import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from xraylib import errors
from xraylib.data import sources
from xraylib.runs.record import Record


class Pictures(NamedTuple):
    """What `find` finds.

    Attributes:
        files: The file of each path whose bytes are those that were scored.
        note: Why others are not there, in one line; empty where all are.
        bits: Of the set, as `Preparation.depth` has them, so that the pictures look as they were
            scored; None where no network knows of any.
    """

    files: dict[str, Path]
    note: str
    bits: int | None


def find(records: Sequence[Record], paths: Iterable[str], *, source: str = "") -> Pictures:
    """Find pictures where the runs found them, or else in another folder.

    Args:
        records: Of the runs that scored them.
        paths: As predictions have them, below the data's folder.
        source: A folder to look in as well, a notebook's `SOURCE`; the name of a data set is none.
    """
    paths = list(paths)
    hashes = _hashes(records)
    folders = _folders(records, source)
    files: dict[str, Path] = {}
    unknown = gone = changed = 0
    for path in paths:
        places = [folder / path for folder in folders if (folder / path).is_file()]
        same = [place for place in places if _hash(place) in hashes.get(path, ())]
        if same:
            files[path] = same[0]
        elif path not in hashes:
            unknown += 1
        elif places:
            changed += 1
        else:
            gone += 1
    where = f"in {folders[0].name}" if folders else "where the runs found them"
    reasons = [
        (unknown, "the records of an earlier version do not say which bytes were scored"),
        (gone, f"the files are not {where}"),
        (changed, f"the files of that name {where} have other bytes than those that were scored"),
    ]
    parts = [f"{count}, for {reason}" for count, reason in reasons if count]
    note = f"Not shown of {len(paths)} pictures: {'; '.join(parts)}." if parts else ""
    depths = [record.preparation.depth for record in records if record.preparation]
    return Pictures(files, note, next(filter(None, depths), None))


def _hashes(records: Sequence[Record]) -> dict[str, set[str]]:
    """The hashes of each path in all runs; a path is missing where a run does not know its hash."""
    hashes: dict[str, set[str]] = {}
    for record in records:
        images = record.images()
        if images is not None:
            for path, sha256 in zip(images["path"], images["sha256"], strict=True):
                hashes.setdefault(path, set()).add(sha256)
    # Runs that scored other bytes under one name have no picture in common.
    return {path: of_path if len(of_path) == 1 else set() for path, of_path in hashes.items()}


def _folders(records: Sequence[Record], source: str) -> list[Path]:
    """The folders that there are: those of the runs, the latest first, and the one of `source`."""
    latest = sorted(records, key=lambda record: record.finished, reverse=True)
    folders = [Path(record.tree) for record in latest if record.tree]
    if source and source not in ("synthetic", "kaggle"):
        # The pictures of the records do not depend on it.
        with contextlib.suppress(errors.DataSourceError):
            folders.append(sources.locate(source))
    return [folder for folder in dict.fromkeys(folders) if folder.is_dir()]


def _hash(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""
