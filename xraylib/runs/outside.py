"""Leave out of images from elsewhere what the networks were trained or chosen on."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from xraylib import names
from xraylib.audit import duplicates, measurements
from xraylib.runs.record import Record


class Checked(NamedTuple):
    """Images from elsewhere that no run has met.

    Attributes:
        table: The rows that are left, with a fresh index; none where a class is not.
        copies: The rows that were left out, with a column how, as `duplicates.between` says it.
        note: How many they are, and what was compared with what, for a caption.
    """

    table: pd.DataFrame
    copies: pd.DataFrame
    note: str


def without_copies(table: pd.DataFrame, records: Sequence[Record]) -> Checked:
    """Leave out copies of what runs trained on or chose an epoch or a threshold by.

    All images are compared by their bytes, and by their looks with the files that are still where
    the runs found them.

    Args:
        table: Table of `index`, of the images from elsewhere.
        records: Of the runs.
    """
    listed = [images for record in records if (images := _met(record)) is not None]
    met = pd.concat(listed or [pd.DataFrame(columns=["path", "sha256"])])
    met = met.drop_duplicates("sha256").reset_index(drop=True)
    met["phash"] = _looks(met)
    pairs = duplicates.between(measurements.measure(table), met).drop_duplicates("first")
    copies = table.iloc[pairs["first"]].assign(how=pairs["how"].to_numpy())
    rest = table.drop(copies.index).reset_index(drop=True)
    parts = [
        _count(table, copies),
        *_compared(met),
        *_not_compared(len(records) - len(listed), len(records)),
    ]
    if rest["label"].nunique() < table["label"].nunique():
        parts.append("No images of one class are left: there is nothing to measure.")
        rest = rest.iloc[:0]
    return Checked(rest, copies, " ".join(parts))


def _met(record: Record) -> pd.DataFrame | None:
    """Path and sha256 of the images of train and validation; None where a record has no list."""
    images = record.images()
    if images is None:
        return None
    rows = images[images["split"] != "test"]
    tree = Path(record.tree or "")
    return pd.DataFrame({"path": [tree / path for path in rows["path"]], "sha256": rows["sha256"]})


def _looks(met: pd.DataFrame) -> pd.Series:
    """The perceptual hash of each image whose file is still there and the same; else empty."""
    there = met[[path.is_file() for path in met["path"]]]
    if there.empty:
        return pd.Series("", index=met.index, dtype=object)
    measured = measurements.measure(there[["path"]])
    hashes = dict(zip(measured["sha256"], measured["phash"], strict=True))
    return pd.Series([hashes.get(each) or "" for each in met["sha256"]], met.index, dtype=object)


def _count(table: pd.DataFrame, copies: pd.DataFrame) -> str:
    if copies.empty:
        return f"All {len(table):,} images from outside."
    examples = [
        f"{names.shown(Path(path).name)} ({how})"
        for path, how in zip(copies["path"].head(3), copies["how"], strict=False)
    ]
    more = f" and {len(copies) - 3:,} more" if len(copies) > 3 else ""
    return (
        f"Left out of {len(table):,} images from outside: {len(copies):,} that these runs were "
        f"trained or chosen on, {', '.join(examples)}{more}."
    )


def _compared(met: pd.DataFrame) -> list[str]:
    if met.empty:
        return []
    looks = int((met["phash"] != "").sum())
    how = "by bytes and looks"
    if looks < len(met):
        how = f"by bytes, and by looks with the {looks:,} whose files are where they were"
    if not looks:
        how = "by bytes only, for their files are not where they were"
    return [f"Compared with {len(met):,} images of train and validation {how}."]


def _not_compared(unknown: int, runs: int) -> list[str]:
    if not unknown:
        return []
    return [
        f"Not compared with those of {unknown} of {runs} runs, whose records do not say which "
        "images they were."
    ]
