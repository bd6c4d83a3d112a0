"""Keep the state of a training on disk, so that a kill costs one epoch at most."""

import json
import logging
import zipfile
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from xraylib import files
from xraylib.backend import keras

HISTORY_COLUMNS: Final = ("epoch", "split", "loss", "auc", "accuracy", "seconds")

_log = logging.getLogger(__name__)


class Checkpoint:
    """The state of one training on disk: `last.npz` to resume from, `best.npz` to end with.

    Args:
        model: Compiled, with its optimizer built.
        folder: Made if missing. One training a folder.
        settings: What a checkpoint must have been made with to be resumed; JSON can hold it.
    """

    def __init__(self, model: keras.Model, folder: Path, settings: dict[str, Any]) -> None:
        self.model, self.settings = model, settings
        self.last, self.best = folder / "last.npz", folder / "best.npz"
        folder.mkdir(parents=True, exist_ok=True)

    def write_best(self) -> None:
        """Write the weights to end with, as they are in the network now."""
        self._save(self.best, self.model.variables)

    def write(self, history: pd.DataFrame) -> None:
        """Write what a resume needs: weights, the optimizer's state and the history."""
        about = json.dumps({"settings": self.settings, "history": history.to_dict("records")})
        variables = [*self.model.variables, *self.model.optimizer.variables]
        self._save(self.last, variables, about)

    def resume(self) -> pd.DataFrame:
        """The history until the last whole epoch, whose state is restored; empty without one."""
        empty = pd.DataFrame(columns=list(HISTORY_COLUMNS))
        if not self.last.exists():
            return empty
        variables = [*self.model.variables, *self.model.optimizer.variables]
        try:
            with self.last.open("rb") as file, np.load(file) as stored:
                about = json.loads(str(stored["about"]))
                values = [stored[f"arr_{number}"] for number in range(len(variables))]
            history = pd.DataFrame(about["history"], columns=list(HISTORY_COLUMNS))
            fits = about["settings"] == self.settings and self.best.exists()
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
            fits = False
        shapes = [tuple(variable.shape) for variable in variables]
        if not fits or [value.shape for value in values] != shapes:
            _log.info(f"{self.last} belongs to another training: starting anew")
            return empty
        for value, variable in zip(values, variables, strict=True):
            variable.assign(value)
        _log.info(f"resumed after epoch {history['epoch'].max()} from {self.last}")
        return history

    def restore_best(self) -> None:
        """Put the weights of `write_best` into the network."""
        with np.load(self.best) as stored:
            for number, variable in enumerate(self.model.variables):
                variable.assign(stored[f"arr_{number}"])

    @staticmethod
    def _save(path: Path, variables: list[keras.Variable], about: str = "") -> None:
        values = [keras.ops.convert_to_numpy(variable) for variable in variables]
        try:
            with files.whole(path) as unfinished, unfinished.open("wb") as file:
                np.savez(file, *values, about=np.array(about))
        except OSError as error:
            raise OSError(
                error.errno,
                f"cannot write the checkpoint {path} ({error.strerror}): free some space; what was "
                "trained until the epoch before is kept, and a new run resumes from there",
            ) from None
