"""Write and read what one run leaves on disk.

A run has a folder of its own, `<RUN_DIR>/<step>-<digest of its parameters and its data>/`, with
`record.json`, `predictions.csv`, `images.csv`, `history.csv` and `model.keras`. Other parameters
are therefore another run beside it. The same parameters are the same run: an unfinished one is
resumed, a finished one is replaced when the new one is complete.
"""

import contextlib
import dataclasses
import datetime
import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import filelock
import pandas as pd

from xraylib import errors, files, machine
from xraylib.evaluation.metrics import best_epoch
from xraylib.runs import formats, readiness, stored
from xraylib.runs.record import FIELDS, PLACES, Record, from_json

if TYPE_CHECKING:
    from xraylib.backend import keras
    from xraylib.data.loading import Images

# What `index` knows of the folder, see its tables' `attrs`.
_FACTS: Final = ("classes", "passed_over", "patients")


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

    What `finish` will need is tried here, before the training: everything that it will write is
    written once, without scores, and removed again.

    Args:
        folder: For this and other runs, a notebook's `RUN_DIR`; made if missing.
        step: The notebook's name without its ending, e.g. `"01_basic_cnn"`.
        parameters: All parameters of the notebook, JSON values.
        images: The data, as `loading.decode` returns them.
        model: The network to be trained, whose size decides how much space is needed.

    Attributes:
        folder: The run's own folder.
        checkpoint: A folder in it for `training.fit`, removed by `finish`.

    Raises:
        RunInProgressError: Another process runs the same step on the same parameters and data.
        ValueError: Validation, test or another split lacks a class.
        OSError: The folder cannot be made or written, or there is too little space.
    """

    def __init__(
        self,
        folder: Path | str,
        *,
        step: str,
        parameters: dict[str, Any],
        images: "Images",
        model: "keras.Model | None" = None,
    ) -> None:
        readiness.classes(images.table)
        identity = {name: value for name, value in parameters.items() if name not in PLACES}
        digest = hashlib.sha256(json.dumps([identity, images.fingerprint], sort_keys=True).encode())
        self.step = step
        self.parameters = parameters
        self.images = images
        self.folder = Path(folder).expanduser() / f"{step}-{digest.hexdigest()[:8]}"
        self.checkpoint = self.folder / "checkpoint"
        # One lock a process, so that a cell that is run again does not wait for itself.
        self._lock = filelock.FileLock(self.folder / ".lock", is_singleton=True)
        try:
            self.checkpoint.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(blocking=False)
        except filelock.Timeout:
            raise errors.RunInProgressError(
                f"another process is at the same run in {self.folder}: wait for it, stop it, or "
                "give another RUN_DIR"
            ) from None
        except OSError as error:
            raise OSError(
                error.errno,
                f"cannot make the run's folder {self.folder} ({error.strerror}): give another "
                f"RUN_DIR. Received: {str(folder)!r}",
            ) from None
        try:
            contents = self._contents()
            readiness.rehearse(self.folder, self.checkpoint, contents)
            readiness.space(self.folder, model, tables=sum(map(len, contents.values())))
        except BaseException:
            with contextlib.suppress(OSError):
                self.checkpoint.rmdir()  # unless there is a checkpoint: else a run would look begun
            self._lock.release(force=True)
            raise

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
        """Write everything, what was trained first and the record last, and remove the checkpoint.

        If a part cannot be written, the others are, but for the record, which tells that a run is
        complete. The checkpoint is kept then: the same run goes on from there without training.

        Args:
            predictions: One row an image of validation and test, with
                `stored.PREDICTION_COLUMNS`; other columns are left out. The paths are stored from
                the data's folder on.
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
            OSError: A file cannot be written.
        """

        def network(path: Path) -> None:
            if model is not None:
                with files.whole(path) as unfinished:
                    model.save(unfinished)

        def epochs(path: Path) -> None:
            if history is not None:
                _write(path, history.to_csv(index=False, float_format="%.6g"))

        def record(path: Path) -> None:
            content = {
                **self._about_model(model, predictions),
                **_about_training(history),
                "metrics": _rows(metrics),
                "perturbation_effects": _rows(perturbation_effects),
                "swap_effects": _rows(swap_effects),
            }
            _write(path, self._record(content))

        parts: dict[str, Callable[[Path], None]] = {
            "model.keras": network,
            "history.csv": epochs,
            "images.csv": lambda path: _write(path, self._contents()[path.name]),
            "predictions.csv": lambda path: _write(path, self._predictions(predictions)),
        }
        problems: dict[str, Exception] = {}
        for name, write in (parts | {"record.json": record}).items():
            if name in parts or not problems:
                try:
                    write(self.folder / name)
                # Whatever it is, it must not cost the other parts.
                except Exception as error:
                    problems[name] = error
        if problems:
            self._refuse(problems)
        shutil.rmtree(self.checkpoint, ignore_errors=True)
        self._lock.release(force=True)
        return self.folder / "record.json"

    def _refuse(self, problems: Mapping[str, Exception]) -> None:
        first = next(iter(problems.values()))
        reasons = "; ".join(f"{name}: {errors.one_line(each)}" for name, each in problems.items())
        message = (
            f"not everything of {self.folder} could be written ({reasons}): what was trained is "
            "kept, and the same run goes on from there without training"
        )
        raise OSError(first.errno, message) if isinstance(first, OSError) else ValueError(message)

    @property
    def _top(self) -> Path:
        return stored.top(self.images.table["path"])

    def _contents(self) -> dict[str, str]:
        """What will be written that is known before the training, with scores of 0."""
        table = self.images.table
        scored = table[table["split"].isin(("validation", "test"))].assign(score=0.0)
        listed = table[list(stored.IMAGE_COLUMNS)]
        return {
            "images.csv": stored.text(stored.below(listed, self._top)),
            "predictions.csv": self._predictions(scored),
            "record.json": self._record({}),
        }

    def _predictions(self, predictions: pd.DataFrame) -> str:
        return stored.text(stored.below(stored.predictions(predictions), self._top))

    def _record(self, content: Mapping[str, Any]) -> str:
        attrs = self.images.table.attrs
        record = dict.fromkeys(FIELDS) | {
            "step": self.step,
            "parameters": self.parameters,
            "seed": self.parameters.get("SEED"),
            "fingerprint": self.images.fingerprint,
            "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "device": machine.device(),
            "versions": machine.versions(),
            "environment": machine.environment(),
            "unreadable": len(self.images.unreadable),
            "tree": str(self._top.absolute()),
            **{name: attrs[name] for name in _FACTS if name in attrs},
            **content,
        }
        return json.dumps(record, indent=1, allow_nan=False) + "\n"

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
            content = formats.upgrade(json.loads(path.read_text(encoding="utf-8")))
            records.append(from_json(content, path.parent))
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


def _about_training(history: pd.DataFrame | None) -> dict[str, Any]:
    if history is None:
        return {}
    return {
        "epochs": int(history["epoch"].max()),
        "best_epoch": best_epoch(history),
        "training_seconds": round(float(history["seconds"].sum()), 1),
    }


def _rows(table: pd.DataFrame | None) -> list[dict[str, Any]] | None:
    """The rows of a table as JSON values: numbers to six digits, null for what is none."""
    if table is None:
        return None
    return [
        {name: _value(value) for name, value in row.items()} for row in table.to_dict("records")
    ]


def _value(value: Any) -> Any:
    if isinstance(value, str):
        return str(value)
    if pd.isna(value):
        return None
    number = value.item() if hasattr(value, "item") else value
    return round(number, 6) if isinstance(number, float) else number


def _write(path: Path, text: str) -> None:
    with files.whole(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8", newline="\n")
