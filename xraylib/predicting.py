"""The command `xraylib predict`: classify files and folders, and write a row for each as it comes.

A run that was stopped goes on: until `--out` is complete, its rows lie in a hidden file beside it,
one JSON object a line, and those of files that have not changed since are used again.
"""

import argparse
import collections
import csv
import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, TypeAlias

from xraylib import errors, files, names

if TYPE_CHECKING:
    from xraylib.classifier import Classifier, Prediction
    from xraylib.data.listing import File

_Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
_Row: TypeAlias = dict[str, Any]

_NOTICE: Final = "For education; not a medical device."
_SUFFIXES: Final = (".csv", ".json", ".jsonl")
_NOT_ALL_READ: Final = 3


def add(commands: _Commands) -> None:
    """Adds the command to those of a parser."""
    predict = commands.add_parser(
        "predict",
        help="classify radiographs in files and folders",
        description=f"Classifies chest radiographs with the network in the box. {_NOTICE}",
        epilog="Exit status: 0 where every file was read; 3 where some were not, which their "
        "reasons then tell; 1 where nothing could be done; 2 for wrong arguments.",
    )
    predict.set_defaults(command=run)
    predict.add_argument(
        "paths", nargs="+", metavar="FILE|FOLDER", help="a folder and all below it"
    )
    out = "rows go there: .csv, .json for one array, .jsonl for an object a line"
    predict.add_argument("--out", type=Path, metavar="FILE", help=out)
    share = "of PNEUMONIA among those X-rayed, from which probabilities follow; default: that of "
    predict.add_argument("--prevalence", type=float, metavar="SHARE", help=f"{share}the validation")
    refer = "of validation images that would be referred to a person; 0: only what is no film"
    predict.add_argument("--refer", type=float, metavar="SHARE", help=refer)
    folder = "a packed classifier; default: the one in the box"
    predict.add_argument("--classifier", type=Path, metavar="FOLDER", help=folder)
    predict.add_argument("--int8", action="store_true", help="the network in 8 bits")


def run(
    paths: list[str],
    out: Path | None,
    prevalence: float | None,
    refer: float | None,
    classifier: Path | None,
    int8: bool,
) -> int:
    """Runs the command.

    Returns:
        The exit status.

    Raises:
        ClassifierError: There is no classifier, or a damaged one.
        DataSourceError: A folder holds no images or cannot be listed.
        ValueError: An argument is out of its range.
        OSError: `out` cannot be written.
    """
    if out and out.suffix.lower() not in _SUFFIXES:
        raise ValueError(f"--out must end in {', '.join(_SUFFIXES)}. Received: {str(out)!r}")
    from xraylib import classifier as rooms  # onnxruntime and NumPy, which --help need not wait for

    chosen = rooms.load(classifier, bits="int8" if int8 else "float")

    def predicted(paths: list[str]) -> Iterator["Prediction"]:
        return chosen.predict(paths, prevalence=prevalence, refer=refer)

    predicted([])  # says what is wrong with an option before anything is listed
    listed = _listed(paths)
    counts: collections.Counter[str] = collections.Counter()

    def counted(rows: Iterable[_Row]) -> Iterator[_Row]:
        for row in _with_bar(rows, len(listed)):
            counts[row["decision"]] += 1
            yield row

    if out:
        key = f"{chosen.description} {prevalence} {refer} {int8}"
        _write(out, hashlib.sha256(key.encode()).hexdigest(), listed, predicted, counted)
        print(out)
    else:
        for row in counted(vars(prediction) for prediction in predicted(listed)):
            print(_line(row), flush=True)
    print(_summary(chosen, counts, prevalence), file=sys.stderr)
    return _NOT_ALL_READ if counts[""] else 0


def _listed(paths: list[str]) -> list[str]:
    """The files that were named, and all images below the folders that were.

    What else lies in the folders is said on standard error, by kind and number.
    """
    from xraylib.data import layout, listing

    listed: list[str] = []
    for path in paths:
        if not os.path.isdir(path):
            listed.append(path)
            continue
        below = listing.everything(Path(path)).files
        images = sorted(file.below for file in below if file.kind == listing.IMAGE)
        others = _by_kind(file for file in below if file.kind != listing.IMAGE)
        rest = f"not taken from {names.shown(path)}: {layout.summary(others)}" if others else ""
        if not images:
            more = f"; {rest}" if rest else ""
            raise errors.DataSourceError(f"there are no images in the folder {path}{more}")
        if rest:
            print(rest, file=sys.stderr)
        listed += [os.path.join(path, name) for name in images]
    return listed


def _by_kind(others: Iterable["File"]) -> list[dict[str, str | int]]:
    """The number and the first of each kind of files."""
    kinds: dict[str, list[str]] = {}
    for file in others:
        kinds.setdefault(file.kind, []).append(file.below)
    return [
        {"kind": kind, "count": len(files), "example": min(files)} for kind, files in kinds.items()
    ]


def _with_bar(rows: Iterable[_Row], total: int) -> Iterable[_Row]:
    if total == 1:
        return rows
    from xraylib import progress

    return progress.bar(rows, total=total, description="predicting")


def _write(
    out: Path,
    key: str,
    listed: list[str],
    predicted: Callable[[list[str]], Iterator["Prediction"]],
    counted: Callable[[Iterable[_Row]], Iterator[_Row]],
) -> None:
    """Write a row for each file; those of an unfinished run with the same key are used again."""
    out.parent.mkdir(parents=True, exist_ok=True)
    if out.is_dir():
        raise OSError(f"--out must be a file, but is a folder. Received: {str(out)!r}")
    journal = out.with_name(f".{out.name}.part")
    stored = _unfinished(journal, key)
    waiting = [path for path in listed if (path, *_state(path)) not in stored]
    fresh = predicted(waiting)
    with open(journal, "a", encoding="utf-8") as kept, files.whole(out) as unfinished:
        if not stored:
            kept.truncate(0)
            print(json.dumps({"key": key}), file=kept, flush=True)

        def rows() -> Iterator[_Row]:
            for path in listed:
                state = _state(path)
                if (row := stored.get((path, *state))) is None:
                    row = vars(next(fresh))
                    print(json.dumps({**row, "state": state}), file=kept, flush=True)
                yield row

        with open(unfinished, "w", newline="", encoding="utf-8") as file:
            _FORMATS[out.suffix.lower()](file, counted(rows()))
    journal.unlink()


def _unfinished(journal: Path, key: str) -> dict[tuple[Any, ...], _Row]:
    """The rows that a stopped run with the same key left, by path, size and time of the file."""
    try:
        lines = journal.read_text(encoding="utf-8").splitlines()
        if not lines or json.loads(lines[0]) != {"key": key}:
            return {}
    except (OSError, ValueError):
        return {}
    rows = {}
    for line in lines[1:]:
        try:
            row = json.loads(line)
            rows[(row["path"], *row.pop("state"))] = row
        except (ValueError, KeyError, TypeError):
            break  # the line that was being written
    return rows


def _state(path: str) -> list[int]:
    """What changes when a file does: its size in bytes and its time."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return [-1, -1]
    return [status.st_size, status.st_mtime_ns]


def _csv(file: IO[str], rows: Iterable[_Row]) -> None:
    writer: csv.DictWriter[str] | None = None
    for row in rows:
        if writer is None:
            writer = csv.DictWriter(file, list(row), lineterminator="\n")
            writer.writeheader()
        writer.writerow(_rounded(row))


def _json(file: IO[str], rows: Iterable[_Row]) -> None:
    before = "[\n"
    for row in rows:
        file.write(before + json.dumps(_rounded(row)))
        before = ",\n"
    file.write("\n]\n")


def _json_lines(file: IO[str], rows: Iterable[_Row]) -> None:
    for row in rows:
        file.write(json.dumps(_rounded(row)) + "\n")


_FORMATS: Final = {".csv": _csv, ".json": _json, ".jsonl": _json_lines}


def _rounded(row: _Row) -> _Row:
    """A row as it is stored: numbers to six digits, and names as any file can hold them."""
    stored: _Row = {}
    for name, each in row.items():
        stored[name] = names.encodable(each) if isinstance(each, str) else each
        if isinstance(each, float):
            stored[name] = round(each, 6)
    return stored


def _line(row: _Row) -> str:
    """A row for a terminal: decision, probability, path, reason."""
    number = "    -" if row["probability"] is None else f"{row['probability']:.3f}"
    reason = f"  {names.shown(row['reason'])}" if row["reason"] else ""
    return f"{row['decision'] or 'not read':<10} {number}  {names.shown(row['path'])}{reason}"


def _summary(
    chosen: "Classifier", counts: collections.Counter[str], prevalence: float | None
) -> str:
    about, threshold = chosen.description, chosen.threshold(prevalence)
    named = [f"{counts[name]:,} {name}" for name in (*about.classes, "refer")]
    return (
        f"{sum(counts.values()):,} files: {', '.join(named)}, {counts['']:,} not read\n"
        f"{about.classes[1]} from {threshold:.3f} on ({about.rule}); probabilities at a prevalence "
        f"of {prevalence or about.prevalence:.3g}; {about.name} {about.version}\n{_NOTICE}"
    )
