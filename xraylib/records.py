"""What one run leaves on disk: `record.json`, `predictions.csv`, `history.csv`, `model.keras`.

A run lies in `<RUN_DIR>/<step>-<digest of its parameters and its data>/`. Other parameters are
therefore another run beside it, and the same ones are the same run: unfinished, it is gone on
with; finished, it is replaced when the new one is complete.
"""

import collections
import datetime
import hashlib
import importlib.metadata
import json
import os
import platform
import re
import shutil
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import filelock
import pandas as pd

if TYPE_CHECKING:
    import keras

PREDICTION_COLUMNS: Final = ("path", "patient", "split", "label", "score")
# Where a run lies and where its data lie do not make it another run.
_PLACES: Final = ("RUN_DIR", "SOURCE")


class RunInProgressError(RuntimeError):
    """Another process is at the same run."""


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
        asked = {name: value for name, value in parameters.items() if name not in _PLACES}
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
            raise RunInProgressError(
                f"another process is at the same run in {self.folder}: wait for it, stop it, or "
                "give another RUN_DIR"
            ) from None

    def finish(
        self,
        *,
        model: "keras.Model | None",
        history: pd.DataFrame | None,
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
            predictions: One row an image of validation and test, with `PREDICTION_COLUMNS`; other
                columns are left out. The paths are stored from the data's folder on.
            metrics: As `evaluation.summary` returns it.
            interventions: As `interventions.effects` returns it, where they were done.
            shares: As `exchange.shares` returns it, likewise.
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
            **_about_model(model),
            **_about_training(history),
            "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "device": device(),
            "versions": versions(),
            **more,
            "metrics": _rows(metrics),
        }
        for name, table in (("interventions", interventions), ("shares", shares)):
            if table is not None:
                record[name] = _rows(table)
        if model is not None:
            # Keras looks at the ending of the name, which therefore stays.
            model.save(self.folder / ".writing.keras")
            (self.folder / ".writing.keras").replace(self.folder / "model.keras")
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


class Comparable(NamedTuple):
    """Runs whose numbers may stand side by side.

    Attributes:
        steps: Of each step the predictions of its runs, which differ in their seeds only. A step is
            named after its notebook and what tells it from another of the same, e.g.
            `"03_vgg19, 64 px"`.
        records: The same runs' records, in the same order.
        left_out: What may not stand beside them: the columns run (the folder's name) and reason.
    """

    steps: dict[str, list[pd.DataFrame]]
    records: dict[str, list[dict[str, Any]]]
    left_out: pd.DataFrame


def comparable(folder: Path | str) -> Comparable:
    """The runs in a folder that were tested on the same images, step by step.

    Left out by name are a run that is not finished or cannot be read, predictions that are missing
    or hold something else than they should, a test of one class, a test of other images than most
    runs have, and a network that saw other data than the others of its seed.

    Args:
        folder: As for `read`.

    Returns:
        The runs by step, in the order of the steps' names and of the seeds.

    Raises:
        ValueError: There are no records, or none that can be compared.
    """
    folder = Path(folder).expanduser()
    left_out: dict[str, str] = {}
    for path in sorted(folder.rglob("checkpoint")):
        if path.is_dir() and not (path.parent / "record.json").exists():
            left_out[path.parent.name] = "not finished: run it again, and it goes on"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = read(folder)
    for warning in caught:
        name, _, reason = str(warning.message).partition(" left out: ")
        left_out[Path(name).parent.name] = f"its record cannot be read: {reason}"
    tested, scored = {}, {}
    for number, record in enumerate(found):
        try:
            scored[number] = predictions(record)
            tested[number] = _tested_on(scored[number])
        except ValueError as error:
            left_out[record["folder"].name] = str(error)
    usual = _most_common(tested.values())
    seen = [
        (found[number].get("seed"), found[number]["fingerprint"])
        for number in tested
        if found[number].get("network")
    ]
    runs: dict[str, list[int]] = {}
    names = _step_names(found)
    for number in tested:
        record = found[number]
        name, seed = record["folder"].name, record.get("seed")
        of_seed = _most_common(print_ for other, print_ in seen if other == seed)
        if tested[number] != usual:
            left_out[name] = "tested on other images than most runs in this folder"
        elif record.get("network") and record["fingerprint"] != of_seed:
            left_out[name] = f"other data than the other networks of seed {seed}"
        else:
            runs.setdefault(names[number], []).append(number)
    for numbers in runs.values():
        numbers.sort(key=lambda number: found[number].get("seed") or 0)
    # Numbers by their size: 64 px before 224 px.
    runs = dict(sorted(runs.items(), key=lambda item: in_order(item[0])))
    if not runs:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in left_out.items())
        raise ValueError(f"no run in {folder} can be compared with another: {reasons}")
    return Comparable(
        steps={name: [scored[number] for number in numbers] for name, numbers in runs.items()},
        records={name: [found[number] for number in numbers] for name, numbers in runs.items()},
        left_out=pd.DataFrame(left_out.items(), columns=["run", "reason"]),
    )


def _tested_on(stored: pd.DataFrame) -> str:
    """A digest of the test images, their labels and their patients."""
    test = stored[stored["split"] == "test"]
    if set(test["label"]) != {0, 1}:
        raise ValueError(f"its test has the labels {sorted(set(test['label']))}: it needs 0 and 1")
    if not test["score"].between(0, 1).all():
        raise ValueError("it has scores outside [0, 1]")
    rows = sorted(test[["path", "patient", "label"]].astype(str).itertuples(index=False, name=None))
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def _most_common(values: Iterable[str]) -> str | None:
    """The most frequent value; of several the first."""
    counts = collections.Counter(values).most_common(1)
    return counts[0][0] if counts else None


def _step_names(found: list[dict[str, Any]]) -> list[str]:
    """Of each record its step's name, the same for runs that differ in their seeds only."""
    asked = [
        # What is 0 or empty is off, and so as good as not yet a parameter when the run was made.
        {
            key: value
            for key, value in record["parameters"].items()
            if value and key not in (*_PLACES, "SEED")
        }
        for record in found
    ]
    names = []
    for record, own in zip(found, asked, strict=True):
        alike = [
            other
            for other, of in zip(asked, found, strict=True)
            if of["step"] == record["step"] and other != own
        ]
        told = [f"{own['IMAGE_SIZE']} px"] if "IMAGE_SIZE" in own else []
        told += [
            f"{_words(key)} {own[key]}"
            for key in own
            if key != "IMAGE_SIZE"
            and any(
                other.get(key) != own[key] and other.get("IMAGE_SIZE") == own.get("IMAGE_SIZE")
                for other in alike
            )
        ]
        names.append(", ".join([record["step"], *told]))
    return names


def in_order(name: str) -> list[tuple[str, float]]:
    """What to sort names of steps by: their words and numbers in turn, so that 64 is below 224."""
    parts = re.split(r"(\d+(?:\.\d+)?)", name)
    return list(zip(parts[::2], [*map(float, parts[1::2]), 0.0], strict=True))


def _words(parameter: str) -> str:
    return parameter.lower().replace("_", " ")


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
            if metric["rule"] == "0.5":
                name = f"{metric['split']} {metric['metric']}"
                row |= {
                    name: metric["value"],
                    f"{name} low": metric["low"],
                    f"{name} high": metric["high"],
                }
        rows.append(row)
    return pd.DataFrame(rows)


def name(record: dict[str, Any]) -> str:
    """What a run is called in a figure, e.g. `"03_vgg19, 224 px, seed 0"`."""
    given = record["parameters"]
    told = [f"{given['IMAGE_SIZE']} px"] if "IMAGE_SIZE" in given else []
    if given.get("RANDOM_SCALE"):
        told.append(f"{_words('RANDOM_SCALE')} {given['RANDOM_SCALE']}")
    return ", ".join([record["step"], *told, f"seed {given.get('SEED')}"])


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


def versions() -> dict[str, str]:
    """Python, this library, and what its numbers depend on, each with its version."""
    import keras

    names = ["xraylib", "keras", keras.backend.backend(), "numpy", "pandas", "scikit-learn"]
    found = {"python": platform.python_version()}
    for name in dict.fromkeys(names):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def device() -> str:
    """The GPUs, or the processor, that Keras computes on."""
    import keras

    # Asked for GPUs only, JAX raises where there are none.
    gpus = [name for name in keras.distribution.list_devices() if name.startswith("gpu")]
    if gpus:
        return ", ".join(gpus)
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
        names = [line.split(":", 1)[1] for line in text.splitlines() if "model name" in line]
    except OSError:
        names = []
    # Linux on ARM tells no model's name and has no name for the processor either.
    processor = (names or [platform.processor() or platform.machine()])[0].strip()
    return f"{processor}, {os.cpu_count()} cores"


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
    validation = history[history["split"] == "validation"]
    best = validation.sort_values(["auc", "loss"], ascending=[False, True], kind="stable")
    return {
        "epochs": int(history["epoch"].max()),
        "best_epoch": int(best["epoch"].iloc[0]),
        "training_seconds": round(float(history["seconds"].sum()), 1),
    }


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    return json.loads(table.to_json(orient="records", double_precision=6))


def _write(path: Path, text: str) -> None:
    half_written = path.with_name(f".{path.name}.writing")
    half_written.write_text(text, encoding="utf-8")
    half_written.replace(path)
