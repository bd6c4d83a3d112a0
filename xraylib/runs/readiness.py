"""Refuse before the first epoch what would fail after the last one."""

import contextlib
import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pandas as pd

from xraylib import names
from xraylib.data.index import class_names
from xraylib.runs import stored

if TYPE_CHECKING:
    from xraylib.backend import keras

_FLOAT32: Final = 4  # bytes


def classes(table: pd.DataFrame) -> None:
    """Refuse a table that lacks a class in a split: no metric could be computed at the end.

    Raises:
        ValueError: It does, or has no validation or no test.
    """
    for split in dict.fromkeys(["validation", "test", *table["split"]]):
        present = set(table.loc[table["split"] == split, "label"])
        for label, name in class_names(table).items():
            if label not in present:
                raise ValueError(
                    f"the split {split} has no images of {names.shown(name)}: every split needs "
                    "images of both classes, so add some or cut the splits anew"
                )


def rehearse(folder: Path, checkpoint: Path, contents: Mapping[str, str]) -> None:
    """Write what a run will leave, by the same names and of the same size, and remove it again.

    Args:
        folder: The run's own folder.
        checkpoint: The folder of its checkpoint.
        contents: The text of each file; that of a table is read back.

    Raises:
        OSError: A file cannot be written: no permission, no space, or a path that is too long.
        ValueError: A table is not the same when it is read back.
    """
    places = {folder / name: text for name, text in contents.items()}
    places |= {folder / "model.keras": "", checkpoint / "last.npz": ""}
    for path, text in places.items():
        trial = path.with_name(f".writing-{path.name}")  # as `files.whole` calls it
        try:
            trial.write_text(text, encoding="utf-8", newline="\n")
            same = path.suffix != ".csv" or stored.text(stored.read(trial)) == text
        except OSError as error:
            raise OSError(
                error.errno,
                f"cannot write {path} ({error.strerror}), which this run will leave when it is "
                "finished: give another RUN_DIR, or free some space",
            ) from None
        finally:
            with contextlib.suppress(OSError):
                trial.unlink(missing_ok=True)
        if not same:
            raise ValueError(f"{path.name} would not be read as it is written: rename the files")


def space(folder: Path, model: "keras.Model | None", *, tables: int) -> None:
    """Refuse a folder on a disk with too little space for the checkpoint and the network.

    While a checkpoint is written, the one before is still there; Adam keeps two numbers for each
    weight that is trained.

    Args:
        folder: The run's own folder.
        model: The network; None for what is no network.
        tables: Bytes of the tables.

    Raises:
        OSError: There is less space.
    """
    weights = model.count_params() if model is not None else 0
    trained = sum(math.prod(each.shape) for each in model.trainable_variables) if model else 0
    best, last = weights, weights + 2 * trained
    needed = _FLOAT32 * (best + 2 * last + weights) + tables
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise OSError(
            f"the checkpoint, the network and the tables of this run need {needed / 1e6:,.0f} MB, "
            f"and {free / 1e6:,.0f} MB are free in {folder}: free some space, or give another "
            "RUN_DIR"
        )
