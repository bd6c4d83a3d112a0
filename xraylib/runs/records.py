"""What one run leaves on disk: `record.json`, `predictions.csv`, `history.csv`, `model.keras`.

A run lies in `<RUN_DIR>/<step>-<digest of its parameters and its data>/`. Other parameters are
therefore another run beside it, and the same ones are the same run: unfinished, it is gone on
with; finished, it is replaced when the new one is complete.
"""

import dataclasses
import datetime
import hashlib
import json
import os
import shutil
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import filelock
import pandas as pd

from xraylib import errors, files, machine
from xraylib.data.preparation import Preparation
from xraylib.evaluation.thresholds import Rule

if TYPE_CHECKING:
    import keras

PREDICTION_COLUMNS: Final = ("path", "patient", "split", "label", "score")
# Where a run lies and where its data lie do not make it another run.
PLACES: Final = ("RUN_DIR", "SOURCE")


class Run:
    """One run's folder, locked until it is finished or the process ends.

    Args:
        folder: For this and other runs, a notebook's `RUN_DIR`; made if missing.
        step: The notebook's name without its ending, e.g. `"01_basic_cnn"`.
        parameters: All that the run was asked for, JSON values.
        fingerprint: Of the data, as `loading.Images` has it.

    Attributes:
        folder: The run's own folder.
        checkpoint: A folder in it for `training.fit`, removed by `finish`.

    Raises:
        RunInProgressError: Another process runs the same step on the same parameters and data.
        OSError: The folder cannot be made.
    """

    def __init__(
        self,
        folder: Path | str,
        *,
        step: str,
        parameters: dict[str, Any],
        fingerprint: str,
    ) -> None:
        asked = {name: value for name, value in parameters.items() if name not in PLACES}
        digest = hashlib.sha256(json.dumps([asked, fingerprint], sort_keys=True).encode())
        self.step = step
        self.parameters = parameters
        self.fingerprint = fingerprint
        self.folder = Path(folder).expanduser() / f"{step}-{digest.hexdigest()[:8]}"
        self.checkpoint = self.folder / "checkpoint"
        try:
            self.checkpoint.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OSError(
                error.errno,
                f"cannot make the run's folder {self.folder} ({error.strerror}): give another "
                f"RUN_DIR. Received: {str(folder)!r}",
            ) from None
        # One lock a process, so that a cell that is run again does not wait for itself.
        self._lock = filelock.FileLock(self.folder / ".lock", is_singleton=True)
        try:
            self._lock.acquire(blocking=False)
        except filelock.Timeout:
            raise errors.RunInProgressError(
                f"another process is at the same run in {self.folder}: wait for it, stop it, or "
                "give another RUN_DIR"
            ) from None

    def finish(
        self,
        *,
        model: "keras.Model | None",
        history: pd.DataFrame | None,
        preparation: Preparation | None,
        predictions: pd.DataFrame,
        metrics: pd.DataFrame,
        interventions: pd.DataFrame | None = None,
        shares: pd.DataFrame | None = None,
        **more: Any,
    ) -> Path:
        """Writes everything, the record last, and removes the checkpoint.

        Args:
            model: The trained network; None for what is no network, such as `shortcuts.baseline`.
            history: As `training.fit` returns it; None for what has no epochs.
            preparation: How its images were prepared, for whoever scores others with it; None for
                what is no network.
            predictions: One row an image of validation and test, with `PREDICTION_COLUMNS`; other
                columns are left out. The paths are stored from the data's folder on.
            metrics: As `thresholds.summary` returns it.
            interventions: As `perturbations.effects` returns it, where they were done.
            shares: As `swaps.effects` returns it, likewise.
            **more: What else belongs into the record, JSON values, e.g. `counts`.

        Returns:
            The path of `record.json`.

        Raises:
            ValueError: A column is missing, or a score is not a number.
            OSError: The folder cannot be written; the checkpoint is kept.
        """
        _check_predictions(predictions)
        stored = predictions[list(PREDICTION_COLUMNS)].copy()
        top = Path(os.path.commonpath([str(Path(path).parent) for path in stored["path"]]))
        stored["path"] = [Path(path).relative_to(top).as_posix() for path in stored["path"]]
        # A patient whom no file name tells is a path as well.
        stored["patient"] = [
            str(patient).removeprefix(f"{top.as_posix()}/") for patient in stored["patient"]
        ]
        record = {
            "step": self.step,
            "parameters": self.parameters,
            "seed": self.parameters.get("SEED"),
            "fingerprint": self.fingerprint,
            "preparation": dataclasses.asdict(preparation) if preparation else None,
            **_about_model(model),
            **_about_training(history),
            "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "device": machine.device(),
            "versions": machine.versions(),
            **more,
            "metrics": _rows(metrics),
        }
        for name, table in (("interventions", interventions), ("shares", shares)):
            if table is not None:
                record[name] = _rows(table)
        if model is not None:
            with files.whole(self.folder / "model.keras") as unfinished:
                model.save(unfinished)
        _write(self.folder / "predictions.csv", stored.to_csv(index=False))
        if history is not None:
            _write(self.folder / "history.csv", history.to_csv(index=False, float_format="%.6g"))
        path = self.folder / "record.json"
        _write(path, json.dumps(record, indent=1, allow_nan=False) + "\n")
        shutil.rmtree(self.checkpoint, ignore_errors=True)
        self._lock.release(force=True)
        return path


def read(folder: Path | str) -> list[dict[str, Any]]:
    """All finished runs in or below a folder.

    Args:
        folder: A run's folder, or one that holds some.

    Returns:
        The records, sorted by step and time, each with its own folder under `"folder"`. One that
        cannot be read is left out with a warning that names it.

    Raises:
        ValueError: There are none.
    """
    folder = Path(folder).expanduser()
    found = []
    for path in sorted(folder.rglob("record.json")):
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            missing = {"step", "parameters", "metrics", "fingerprint", "finished"} - set(record)
            if missing:
                raise ValueError(f"it has no {', '.join(sorted(missing))}")
            found.append(record | {"folder": path.parent})
        except (OSError, ValueError, TypeError) as error:
            warnings.warn(f"{path} left out: {error}", stacklevel=2)
    if not found:
        raise ValueError(f"no records in {folder}: run notebooks 01 to 04 with this RUN_DIR first")
    return sorted(found, key=lambda record: (record["step"], record["finished"]))


def table(runs: Path | str | Sequence[dict[str, Any]]) -> pd.DataFrame:
    """One row a finished run.

    Args:
        runs: A folder as for `read`, or some records that it returned.

    Returns:
        The columns step, run (the folder's name), the parameters in lower case, network,
        weight_count, precision, epochs, best_epoch, training_seconds, fingerprint, and for every
        metric at threshold .5 of validation and test `<split> <metric>` with `... low` and
        `... high`.

    Raises:
        ValueError: There are no records.
    """
    rows = []
    for record in read(runs) if isinstance(runs, str | Path) else runs:
        row = {"step": record["step"], "run": record["folder"].name}
        row |= {
            name.lower(): value
            for name, value in record["parameters"].items()
            if name not in ("RUN_DIR", "EPOCHS")
        }
        # A notebook's parameter WEIGHTS, a file or a name, is a column already.
        row |= {"network": record.get("network"), "weight_count": record.get("weights")}
        names = ("precision", "epochs", "best_epoch", "training_seconds", "fingerprint")
        row |= {name: record.get(name) for name in names}
        for metric in record["metrics"]:
            if metric["rule"] == Rule.HALF:
                name = f"{metric['split']} {metric['metric']}"
                row |= {
                    name: metric["value"],
                    f"{name} low": metric["low"],
                    f"{name} high": metric["high"],
                }
        rows.append(row)
    return pd.DataFrame(rows)


def predictions(record: dict[str, Any]) -> pd.DataFrame:
    """The predictions of one record that `read` returned.

    Returns:
        One row an image of validation and test, with `PREDICTION_COLUMNS`.

    Raises:
        ValueError: They are missing or do not hold what they should.
    """
    path = Path(record["folder"]) / "predictions.csv"
    try:
        stored = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read ({error}): run {record['step']} again") from None
    _check_predictions(stored)
    return stored


def preparation(record: dict[str, Any]) -> Preparation | None:
    """How the images of one record that `read` returned were prepared.

    Returns:
        None for what is no network. Of a record that an earlier version wrote, what its notebook
        did: `IMAGE_SIZE`, bilinear, stretched.
    """
    if not record.get("network"):
        return None
    stored = record.get("preparation") or {"image_size": record["parameters"]["IMAGE_SIZE"]}
    return Preparation(**stored)


def network(record: dict[str, Any]) -> "keras.Model | None":
    """The trained network of one record that `read` returned.

    Returns:
        Uncompiled, as `models` builds it; None where the run kept none, as those of `assets/` do.

    Raises:
        ValueError: The file is no network that Keras can load.
    """
    import keras

    path = Path(record["folder"]) / "model.keras"
    if not path.exists():
        return None
    try:
        return keras.saving.load_model(path, compile=False)
    except Exception as error:  # of a broken zip, of HDF5, of another version: there is no end
        raise ValueError(f"{path} cannot be loaded ({error}): run {record['step']} again") from None


def _check_predictions(predictions: pd.DataFrame) -> None:
    missing = set(PREDICTION_COLUMNS) - set(predictions)
    if missing:
        raise ValueError(f"the predictions have no column {', '.join(sorted(missing))}")
    if predictions["score"].isna().any():
        raise ValueError(f"{int(predictions['score'].isna().sum())} predictions have no score")


def _about_model(model: "keras.Model | None") -> dict[str, Any]:
    if model is None:
        return {"network": None, "weights": None, "precision": None}
    computed = {layer.compute_dtype for layer in model.layers}
    precision = "bfloat16" if "bfloat16" in computed else "float32"
    return {"network": model.name, "weights": model.count_params(), "precision": precision}


def _about_training(history: pd.DataFrame | None) -> dict[str, Any]:
    if history is None:
        return {"epochs": None, "best_epoch": None, "training_seconds": None}
    # Here, for Keras takes seconds to load, and most who read records do not need it.
    from xraylib.networks import training

    return {
        "epochs": int(history["epoch"].max()),
        "best_epoch": training.best_epoch(history),
        "training_seconds": round(float(history["seconds"].sum()), 1),
    }


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    return json.loads(table.to_json(orient="records", double_precision=6))


def _write(path: Path, text: str) -> None:
    with files.whole(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8")
