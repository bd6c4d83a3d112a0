"""Write and read what one run leaves on disk.

A run has a folder of its own, `<RUN_DIR>/<step>-<digest of its parameters and its data>/`, with
`record.json`, `predictions.csv`, `history.csv` and `model.keras`. Other parameters are therefore
another run beside it. The same parameters are the same run: an unfinished one is resumed, a
finished one is replaced when the new one is complete.
"""

import dataclasses
import datetime
import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import filelock
import pandas as pd

from xraylib import errors, files, machine
from xraylib.data import patient_rules
from xraylib.data.preparation import Preparation
from xraylib.evaluation.metrics import best_epoch
from xraylib.runs import formats

if TYPE_CHECKING:
    from xraylib.backend import keras
    from xraylib.data.loading import Images

PREDICTION_COLUMNS: Final = ("path", "patient", "split", "label", "score", "subtype")
# Where a run and its data are stored does not make it another run.
_PLACES: Final = ("RUN_DIR", "SOURCE")
# What a parameter is that is off, where it is not 0, empty or None.
_OFF: Final = {"PATIENTS": "auto"}


@dataclass(frozen=True, eq=False)
class Record:
    """One finished run, as its folder holds it.

    Attributes:
        folder: The run's own folder.
        step: The notebook's name without its ending, e.g. `"01_basic_cnn"`.
        parameters: All parameters of the notebook, JSON values.
        fingerprint: Of the data, as `loading.Images` has it.
        finished: Date and time in ISO format, UTC.
        metrics: As `thresholds.summary` returns it for `predictions`, so that a list of runs need
            not compute it again.
        network: The network's name; None for what is no network, such as `shortcuts.baseline`.
        precision: `"float32"` or `"bfloat16"`.
        epochs, best_epoch: How many were trained, and the one whose weights were kept.
        preparation: How each file became what the network sees; None for what is no network.
        versions: Of Python and of the packages that the numbers depend on.
        counts: Images of each split, with the columns split and images; None if unknown.
        unreadable: How many files were left out because they cannot be read; None if unknown.
        perturbation_effects: As `perturbations.effects` returns it; None if not measured.
        swap_effects: As `swaps.effects` returns it; None if not measured.
    """

    folder: Path
    step: str
    parameters: Mapping[str, Any]
    fingerprint: str
    finished: str
    metrics: pd.DataFrame
    seed: int | None = None
    network: str | None = None
    weight_count: int | None = None
    precision: str | None = None
    epochs: int | None = None
    best_epoch: int | None = None
    training_seconds: float | None = None
    preparation: Preparation | None = None
    device: str | None = None
    versions: Mapping[str, str] = dataclasses.field(default_factory=dict)
    counts: pd.DataFrame | None = None
    unreadable: int | None = None
    perturbation_effects: pd.DataFrame | None = None
    swap_effects: pd.DataFrame | None = None

    @property
    def is_network(self) -> bool:
        """Whether this run trained a network, and not trees on a few numbers of each file."""
        return self.network is not None

    @property
    def settings(self) -> dict[str, Any]:
        """The parameters that make it what it is: neither its seed nor a place, nor what is off.

        A parameter that is 0, empty, None or `"auto"` is off, as one that did not exist yet in its
        version.
        """
        parameters = sorted(self.parameters.items())
        return {
            key: value
            for key, value in parameters
            if value and value != _OFF.get(key) and key not in (*_PLACES, "SEED")
        }

    @property
    def name(self) -> str:
        """The step and all its settings, e.g. `"01_basic_cnn, 64 px, epochs 10"`.

        It depends on this run alone, so that it is the same in every folder. Runs that differ only
        in their seeds share it. For a figure, `selection.Step.label` is a shorter one.
        """
        return describe(self.step, self.settings)

    def predictions(self) -> pd.DataFrame:
        """Read the predictions: one row an image of validation and test.

        They have `PREDICTION_COLUMNS`: path below the data's folder, patient, split, label (0 or
        1), score of class 1, subtype.

        Raises:
            ValueError: They are missing or do not hold what they should.
        """
        path = self.folder / "predictions.csv"
        try:
            stored = pd.read_csv(path, dtype={"subtype": str})
        except (OSError, ValueError) as error:
            raise ValueError(f"{path} cannot be read ({error}): run {self.step} again") from None
        return _checked(stored)

    def load_network(self) -> "keras.Model | None":
        """Load the trained network, uncompiled; None where the run kept none.

        Raises:
            ValueError: The file is no network that Keras can load.
        """
        from xraylib.backend import keras

        path = self.folder / "model.keras"
        if not path.exists():
            return None
        try:
            return keras.saving.load_model(path, compile=False)
        except Exception as error:  # a broken zip, HDF5, another version: the list has no end
            raise ValueError(f"{path} cannot be loaded ({error}): run {self.step} again") from None


_STORED: Final = [field.name for field in dataclasses.fields(Record) if field.name != "folder"]


class Reading(NamedTuple):
    """What `read` finds in a folder.

    Attributes:
        records: Sorted by step and time.
        problems: What could not be read, with the columns run (the folder's name) and reason.
    """

    records: list[Record]
    problems: pd.DataFrame


class Run:
    """One run's folder, locked until it is finished or the process ends.

    Args:
        folder: For this and other runs, a notebook's `RUN_DIR`; made if missing.
        step: The notebook's name without its ending, e.g. `"01_basic_cnn"`.
        parameters: All parameters of the notebook, JSON values.
        images: The data, as `loading.decode` returns them.

    Attributes:
        folder: The run's own folder.
        checkpoint: A folder in it for `training.fit`, removed by `finish`.

    Raises:
        RunInProgressError: Another process runs the same step on the same parameters and data.
        OSError: The folder cannot be made.
    """

    def __init__(
        self, folder: Path | str, *, step: str, parameters: dict[str, Any], images: "Images"
    ) -> None:
        identity = {name: value for name, value in parameters.items() if name not in _PLACES}
        digest = hashlib.sha256(json.dumps([identity, images.fingerprint], sort_keys=True).encode())
        self.step = step
        self.parameters = parameters
        self.images = images
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
        predictions: pd.DataFrame,
        metrics: pd.DataFrame,
        model: "keras.Model | None" = None,
        history: pd.DataFrame | None = None,
        perturbation_effects: pd.DataFrame | None = None,
        swap_effects: pd.DataFrame | None = None,
    ) -> Path:
        """Write everything, the record last, and remove the checkpoint.

        Args:
            predictions: One row an image of validation and test, with `PREDICTION_COLUMNS`; other
                columns are left out. The paths are stored from the data's folder on.
            metrics: As `thresholds.summary` returns it.
            model: The trained network; None for what is no network, such as `shortcuts.baseline`,
                whose images are counted in its predictions.
            history: As `training.fit` returns it; None for what has no epochs.
            perturbation_effects: As `perturbations.effects` returns it, if measured.
            swap_effects: As `swaps.effects` returns it, if measured.

        Returns:
            The path of `record.json`.

        Raises:
            ValueError: A column is missing, or a score is not a number.
            OSError: The folder cannot be written; the checkpoint is kept.
        """
        stored = _checked(predictions).copy()
        top = Path(os.path.commonpath([str(Path(path).parent) for path in stored["path"]]))
        stored["path"] = [Path(path).relative_to(top).as_posix() for path in stored["path"]]
        # A patient whom no file name tells is a path as well.
        stored["patient"] = [
            str(patient).removeprefix(f"{top.as_posix()}/") for patient in stored["patient"]
        ]
        record = dict.fromkeys(_STORED) | {
            "step": self.step,
            "parameters": self.parameters,
            "seed": self.parameters.get("SEED"),
            "fingerprint": self.images.fingerprint,
            **self._about_model(model, stored),
            **_about_training(history),
            "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "device": machine.device(),
            "versions": machine.versions(),
            "unreadable": len(self.images.unreadable),
            "metrics": _rows(metrics),
            "perturbation_effects": _rows(perturbation_effects),
            "swap_effects": _rows(swap_effects),
        }
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

    def _about_model(
        self, model: "keras.Model | None", predictions: pd.DataFrame
    ) -> dict[str, Any]:
        if model is None:
            counts = predictions.groupby("split").size().rename("images").reset_index()
            return {"counts": _rows(counts)}
        computed = {layer.compute_dtype for layer in model.layers}
        return {
            "network": model.name,
            "weight_count": model.count_params(),
            "precision": "bfloat16" if "bfloat16" in computed else "float32",
            "preparation": dataclasses.asdict(self.images.preparation),
            "counts": _rows(self.images.counts()),
        }


def read(folder: Path | str) -> Reading:
    """Read all finished runs in or below a folder.

    Raises:
        ValueError: There are no records, or none that can be read.
    """
    folder = Path(folder).expanduser()
    records: list[Record] = []
    problems: dict[str, str] = {}
    for path in sorted(folder.rglob("checkpoint")):
        if path.is_dir() and not (path.parent / "record.json").exists():
            problems[path.parent.name] = "not finished: run it again to resume it"
    for path in sorted(folder.rglob("record.json")):
        try:
            stored = formats.upgrade(json.loads(path.read_text(encoding="utf-8")))
            records.append(_record(stored, path.parent))
        except (OSError, ValueError, TypeError, RecursionError) as error:
            problems[path.parent.name] = f"its record cannot be read: {errors.one_line(error)}"
    if not records:
        reasons = "; ".join(f"{run}: {reason}" for run, reason in problems.items())
        raise ValueError(
            f"no records in {folder}: run notebooks 01 to 04 with this RUN_DIR first"
            + (f". Left out: {reasons}" if reasons else "")
        )
    records.sort(key=lambda record: (record.step, record.finished))
    return Reading(records, pd.DataFrame(problems.items(), columns=["run", "reason"]))


def describe(step: str, settings: Mapping[str, Any]) -> str:
    """Name a step by its notebook and some settings of it, the image size first.

    Example:
        >>> describe("01_basic_cnn", {"EPOCHS": 4, "IMAGE_SIZE": 64})
        '01_basic_cnn, 64 px, epochs 4'
    """
    others = dict(settings)
    size = others.pop("IMAGE_SIZE", None)
    parts = [step] + ([f"{size} px"] if size else [])
    parts += [f"{key.lower().replace('_', ' ')} {value}" for key, value in others.items()]
    return ", ".join(parts)


def _record(stored: dict[str, Any], folder: Path) -> Record:
    """The record of what `formats.upgrade` returned, without keys that nobody knows."""
    values = {name: stored[name] for name in _STORED if stored.get(name) is not None}
    if "preparation" in values:
        values["preparation"] = Preparation(**values["preparation"])
    for name in ("counts", "perturbation_effects", "swap_effects"):
        if name in values:
            values[name] = _frame(values[name])
    metrics = pd.DataFrame(values.pop("metrics"), columns=list(formats.METRIC_COLUMNS))
    numbers = dict.fromkeys(("threshold", "value", "low", "high"), float)
    return Record(folder=folder, metrics=metrics.astype(numbers), **values)


def _frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    frame = pd.DataFrame(rows)
    # Otherwise a column of nothing but null would be one of objects.
    return frame.astype({name: float for name in frame if frame[name].isna().all()})


def _checked(predictions: pd.DataFrame) -> pd.DataFrame:
    """The columns of predictions, the subtype from the file names where it was not stored."""
    if missing := sorted(set(PREDICTION_COLUMNS) - {"subtype"} - set(predictions)):
        raise ValueError(f"the predictions have no column {', '.join(missing)}")
    if predictions["score"].isna().any():
        raise ValueError(f"{int(predictions['score'].isna().sum())} predictions have no score")
    if "subtype" not in predictions:
        subtypes = [patient_rules.subtype(str(path)) for path in predictions["path"]]
        predictions = predictions.assign(subtype=subtypes)
    return predictions[list(PREDICTION_COLUMNS)].fillna({"subtype": ""})


def _about_training(history: pd.DataFrame | None) -> dict[str, Any]:
    if history is None:
        return {}
    return {
        "epochs": int(history["epoch"].max()),
        "best_epoch": best_epoch(history),
        "training_seconds": round(float(history["seconds"].sum()), 1),
    }


def _rows(table: pd.DataFrame | None) -> list[dict[str, Any]] | None:
    if table is None:
        return None
    rows: list[dict[str, Any]] = json.loads(table.to_json(orient="records", double_precision=6))
    return rows


def _write(path: Path, text: str) -> None:
    with files.whole(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8")
