"""Read from a CSV file whose each image is."""

import csv
import io
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

import pandas as pd

from xraylib.errors import DataSourceError, one_line


def keys(file: Path, column: str, paths: Sequence[str]) -> list[str]:
    """Look up the patient of each image in a CSV file.

    The column that names the images is the one that names most of them. It may hold paths, whole or
    only their ends, or file names, with or without their suffix.

    Args:
        file: The CSV file, with headings in its first line; separated by commas, semicolons or
            tabs, in UTF-8 or UTF-16, or else in Latin-1.
        column: The heading of the patients.
        paths: Of the images, below the data's folder, with `/`.

    Returns:
        The patient of each image; `""` where no line names it, or its patient is empty.

    Raises:
        DataSourceError: The file cannot be read, lacks the column, names no image, or gives an
            image two patients.
    """
    lines = _read(file)
    if column not in lines:
        raise DataSourceError(
            f"{file} has no column {column!r}: give one of {_listed(lines.columns)}"
        )
    paths = [unicodedata.normalize("NFC", path) for path in paths]
    images = {path.rpartition("/")[2] for path in paths}
    stems = {PurePosixPath(name).stem for name in images}
    named = {heading: [_plain(value) for value in lines[heading]] for heading in lines}
    matches = {
        # The patient's own column last: it names the images only where they are called like them.
        heading: (len(last & images), len(last & stems), heading != column)
        for heading, values in named.items()
        for last in [{value.rpartition("/")[2] for value in values}]
    }
    best = max(matches, key=lambda heading: matches[heading])
    if not any(matches[best][:2]):
        raise DataSourceError(
            f"no column of {file} names the images, such as {paths[0]}: it has "
            f"{_listed(lines.columns)}; add their paths or file names"
        )
    lookup = _Lookup(named[best], [value.strip() for value in lines[column]], paths)
    return [_only(file, path, lookup.patients(path)) for path in paths]


class _Lookup:
    """The patients by what a line calls an image, a path or its end."""

    def __init__(self, names: Sequence[str], patients: Sequence[str], paths: Sequence[str]) -> None:
        depths = {path.count("/") for path in paths}
        self._exact: dict[str, set[str]] = {}
        self._longer: dict[str, set[str]] = {}  # by the end of a path that begins further up
        for name, patient in zip(names, patients, strict=True):
            if name and patient:
                self._exact.setdefault(name, set()).add(patient)
                for depth in depths:
                    if name.count("/") > depth:
                        end = "/".join(name.split("/")[-depth - 1 :])
                        self._longer.setdefault(end, set()).add(patient)

    def patients(self, path: str) -> set[str]:
        """Return the patients that the lines give an image, by the longest name that fits."""
        if path in self._longer:
            return self._longer[path] | self._exact.get(path, set())
        for end in (*_ends(path), *_ends(str(PurePosixPath(path).with_suffix("")))):
            if end in self._exact:
                return self._exact[end]
        return set()


def _ends(path: str) -> Iterator[str]:
    yield path
    while "/" in path:
        path = path.partition("/")[2]
        yield path


def _only(file: Path, path: str, patients: set[str]) -> str:
    if len(patients) > 1:
        raise DataSourceError(
            f"{file} gives {path} {len(patients)} patients ({_listed(sorted(patients))}): correct "
            "it, or name images of one file name by their paths"
        )
    return next(iter(patients), "")


def _plain(value: str) -> str:
    """A path as a CSV file has it, in the form of ours."""
    return unicodedata.normalize("NFC", value.strip().replace("\\", "/").removeprefix("./"))


def _listed(names: Sequence[str] | pd.Index) -> str:
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    return ", ".join(map(str, names[:8])) + more


def _read(file: Path) -> pd.DataFrame:
    """All lines as text, the headings without spaces around them."""
    try:
        text = _decoded(file.read_bytes())
        heading = text.partition("\n")[0]
        separator = max(",;\t", key=heading.count)
        lines = pd.read_csv(
            io.StringIO(text),
            sep=separator,
            dtype=str,
            keep_default_na=False,
            index_col=False,
            on_bad_lines="error",
        )
    except (OSError, ValueError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or one_line(error)
        raise DataSourceError(
            f"cannot read the list of patients {file}: {reason}; give a CSV file and its column, "
            "such as patients.csv:patient_id"
        ) from None
    return lines.fillna("").rename(columns=lambda name: str(name).strip())


def _decoded(content: bytes) -> str:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    if "\0" in text:
        raise ValueError("it is no text")
    return text
