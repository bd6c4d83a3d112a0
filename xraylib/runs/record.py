"""Say what one finished run was and reached, as its folder holds it."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pandas as pd

from xraylib.data.patients import unit_of
from xraylib.data.preparation import Preparation
from xraylib.runs import formats, stored

if TYPE_CHECKING:
    from xraylib.backend import keras

# Where a run and its data are stored does not make it another run.
PLACES: Final = ("RUN_DIR", "SOURCE")
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
        tree: The folder that held the images, absolute; None if unknown, as all that follows.
        classes: The names of class 0 and class 1.
        passed_over: What of the folder was not taken: rows of kind, count and example.
        patients: By which rule the patients were told, and how many there are.
        environment: The variables that change the last digits, as `machine.environment` has them.
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
    tree: str | None = None
    classes: list[str] | None = None
    passed_over: list[dict[str, Any]] | None = None
    patients: dict[str, Any] | None = None
    environment: dict[str, str] | None = None

    @property
    def is_network(self) -> bool:
        """Whether this run trained a network, and not trees on a few numbers of each file."""
        return self.network is not None

    @property
    def unit(self) -> str:
        """What its intervals are over, patients or images, as `patients.unit_of` says it."""
        return unit_of([self.patients])

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
            if value and value != _OFF.get(key) and key not in (*PLACES, "SEED")
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

        They have `stored.PREDICTION_COLUMNS`: path below the data's folder, patient, split, label
        (0 or 1), score of class 1, subtype.

        Raises:
            ValueError: They are missing or do not hold what they should.
        """
        return stored.predictions(self._table("predictions.csv"))

    def images(self) -> pd.DataFrame | None:
        """Read which images the run was made from, in train as well; None if it did not say.

        They have `stored.IMAGE_COLUMNS`: path below the data's folder, patient, split, label, and
        sha256, 64 hexadecimal digits of the file's bytes.

        Raises:
            ValueError: The list cannot be read or lacks a column.
        """
        if not (self.folder / "images.csv").exists():
            return None
        table = self._table("images.csv")
        if missing := sorted(set(stored.IMAGE_COLUMNS) - set(table)):
            raise ValueError(f"the list of images has no column {', '.join(missing)}")
        return table[list(stored.IMAGE_COLUMNS)]

    def _table(self, name: str) -> pd.DataFrame:
        path = self.folder / name
        try:
            return stored.read(path)
        except (OSError, ValueError) as error:
            raise ValueError(f"{path} cannot be read ({error}): run {self.step} again") from None

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


# The keys of a `record.json`.
FIELDS: Final = [field.name for field in dataclasses.fields(Record) if field.name != "folder"]


def from_json(content: Mapping[str, Any], folder: Path) -> Record:
    """Make the record of what `formats.upgrade` returned, without keys that nobody knows.

    Raises:
        ValueError, TypeError: A value is not what it should be.
    """
    values = {name: content[name] for name in FIELDS if content.get(name) is not None}
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
