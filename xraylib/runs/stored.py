"""Write and read the tables of a run's folder, with paths and patients of any name."""

import io
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import pandas as pd

from xraylib import names
from xraylib.data import patient_rules

PREDICTION_COLUMNS: Final = ("path", "patient", "split", "label", "score", "subtype")
IMAGE_COLUMNS: Final = ("path", "patient", "split", "label", "sha256")
# What any user may have named; "NA" or "007" is a name as well.
_NAMES: Final = ("path", "patient", "split", "subtype", "sha256")


def top(paths: Iterable[Path | str]) -> Path:
    """The folder that all of these files lie in, however deep.

    Example:
        >>> top(["data/train/NORMAL/1.png", "data/test/NORMAL/2.png"]).as_posix()
        'data'
    """
    return Path(os.path.commonpath([str(Path(path).parent) for path in paths]))


def predictions(table: pd.DataFrame) -> pd.DataFrame:
    """The columns of predictions, the subtype from the file names where it was not stored.

    Raises:
        ValueError: A column is missing, or a score is not a number.
    """
    if missing := sorted(set(PREDICTION_COLUMNS) - {"subtype"} - set(table)):
        raise ValueError(f"the predictions have no column {', '.join(missing)}")
    if table["score"].isna().any():
        raise ValueError(f"{int(table['score'].isna().sum())} predictions have no score")
    if "subtype" not in table:
        subtypes = [patient_rules.subtype(str(path)) for path in table["path"]]
        table = table.assign(subtype=subtypes)
    return table[list(PREDICTION_COLUMNS)].fillna({"subtype": ""})


def below(table: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """A copy of a table whose paths are text and begin at a folder, as do patients that are paths.

    Raises:
        ValueError: A file lies elsewhere.
    """
    patients = [
        # A patient whom no file name tells is a path as well.
        str(patient).removeprefix(f"{folder.as_posix()}/") if pd.notna(patient) else patient
        for patient in table["patient"]
    ]
    paths = [Path(path).relative_to(folder).as_posix() for path in table["path"]]
    return table.assign(path=paths, patient=patients)


def text(table: pd.DataFrame) -> str:
    """A table as CSV that UTF-8 can hold and that `read` reads back, a name a cell."""
    named = [name for name in _NAMES if name in table]
    escaped = {name: table[name].map(names.shown, na_action="ignore") for name in named}
    return table.assign(**escaped).to_csv(index=False, lineterminator="\n")


def read(source: Path | io.StringIO) -> pd.DataFrame:
    """Read what `text` has written, or an earlier version.

    Raises:
        OSError, ValueError: It is missing, or no table.
    """
    empty: dict[str, Any] = {name: [""] for name in ("patient", "label")}
    table = pd.read_csv(
        source,
        dtype=dict.fromkeys(_NAMES, object),
        keep_default_na=False,
        na_values=empty | {"score": ["", "nan", "NaN"]},
    )
    for name in _NAMES:
        if name in table:
            table[name] = table[name].map(names.original, na_action="ignore")
    return table
