"""Choose the runs of a folder whose numbers may stand side by side, grouped into steps."""

import dataclasses
import hashlib
import json
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from xraylib.evaluation import metrics, thresholds
from xraylib.evaluation.thresholds import Rule
from xraylib.runs import records
from xraylib.runs.record import Record, describe


@dataclass(frozen=True, eq=False)
class Step:
    """Runs that differ only in their seeds.

    Attributes:
        name: `Record.name`, the same in every folder.
        label: A short name for tables and figures: the notebook, the image size, and what tells
            this step from the others of its notebook and size in the same folder.
        records: Of the runs, sorted by seed.
        predictions: Of the runs, in the same order, as `Record.predictions` reads them.
    """

    name: str
    label: str
    records: tuple[Record, ...]
    predictions: tuple[pd.DataFrame, ...]

    @property
    def is_network(self) -> bool:
        """Whether these runs trained networks."""
        return self.records[0].is_network

    @property
    def settings(self) -> dict[str, Any]:
        """The parameters that all of these runs have, `Record.settings`."""
        return self.records[0].settings

    @property
    def test(self) -> pd.DataFrame:
        """The predictions of the first run on test."""
        first = self.predictions[0]
        return first[first["split"] == "test"]


@dataclass(frozen=True, eq=False)
class Selection:
    """Steps whose numbers may stand side by side.

    Attributes:
        steps: Sorted by notebook, image size and other settings.
        left_out: The other runs, with the columns run (the folder's name) and reason.
    """

    steps: tuple[Step, ...]
    left_out: pd.DataFrame

    @property
    def records(self) -> list[Record]:
        """Of all steps."""
        return [record for step in self.steps for record in step.records]

    @property
    def predictions(self) -> dict[str, list[pd.DataFrame]]:
        """The predictions of each step's runs by the step's label, as `comparison` takes them."""
        return {step.label: list(step.predictions) for step in self.steps}

    @property
    def first(self) -> dict[str, pd.DataFrame]:
        """The predictions of each step's first run by the step's label."""
        return {step.label: step.predictions[0] for step in self.steps}


def comparable(folder: Path | str) -> Selection:
    """Select the runs in a folder that were tested on the same images, step by step.

    Left out by name are a run that is not finished or cannot be read, predictions that are missing
    or do not hold what they should, a test of one class, a test of other images than most runs
    have, and a network that saw other data than the others of its seed. Where a record's metrics
    are not those of the scores stored beside it, they are computed again from the scores.

    Raises:
        ValueError: There are no records, or none that can be compared.
    """
    reading = records.read(folder)
    left_out = dict(reading.problems.itertuples(index=False, name=None))
    readable: list[tuple[Record, pd.DataFrame, str]] = []
    fingerprints: dict[int | None, list[str]] = {}
    for record in reading.records:
        try:
            predictions = record.predictions()
            readable.append((record, predictions, _tested_on(predictions)))
        except ValueError as error:
            left_out[record.folder.name] = str(error)
        else:
            if record.is_network:
                fingerprints.setdefault(record.seed, []).append(record.fingerprint)
    digests = [digest for _, _, digest in readable]
    groups: dict[str, list[tuple[Record, pd.DataFrame]]] = {}
    for record, predictions, digest in readable:
        # Of several that are most frequent, `mode` takes the first.
        if digest != statistics.mode(digests):
            left_out[record.folder.name] = "tested on other images than most runs in this folder"
        elif record.is_network and record.fingerprint != statistics.mode(fingerprints[record.seed]):
            reason = f"other data than the other networks of seed {record.seed}"
            left_out[record.folder.name] = reason
        else:
            groups.setdefault(record.name, []).append((record, predictions))
    if not groups:
        reasons = "; ".join(f"{run}: {reason}" for run, reason in left_out.items())
        raise ValueError(f"no run in {folder} can be compared with another: {reasons}")
    return Selection(_steps(groups), pd.DataFrame(left_out.items(), columns=["run", "reason"]))


def best(steps: Sequence[Step], reached: pd.DataFrame) -> Step:
    """Choose the step with the highest AUC on validation, a network if there is one.

    `reached` is what `comparison.averages` returns for the labels of the steps.
    """
    auc = reached[(reached["metric"] == "AUC") & (reached["split"] == "validation")]
    values = dict(zip(auc["step"], auc["value"], strict=True))
    networks = [step for step in steps if step.is_network]
    return max(networks or steps, key=lambda step: values[step.label])


def _steps(groups: dict[str, list[tuple[Record, pd.DataFrame]]]) -> tuple[Step, ...]:
    firsts = {name: runs[0][0] for name, runs in groups.items()}
    steps = []
    for name in sorted(groups, key=lambda name: _place(firsts[name])):
        runs = sorted(groups[name], key=lambda run: run[0].seed or 0)
        label = _label(firsts[name], firsts.values())
        own_records = tuple(_with_metrics_of(*run) for run in runs)
        steps.append(Step(name, label, own_records, tuple(predictions for _, predictions in runs)))
    return tuple(steps)


def _label(record: Record, others: Iterable[Record]) -> str:
    """The step, the image size, and the settings in which another of the same two differs."""
    size = record.settings.get("IMAGE_SIZE")
    siblings = [
        other.settings
        for other in others
        if other.step == record.step and other.settings.get("IMAGE_SIZE") == size
    ]
    distinct = {
        key: value
        for key, value in record.settings.items()
        if key == "IMAGE_SIZE" or any(other.get(key) != value for other in siblings)
    }
    return describe(record.step, distinct)


def _place(record: Record) -> tuple[Any, ...]:
    """What to sort steps by: numbers by their size, so that 64 px come before 224 px."""
    settings = dict(record.settings)
    size = settings.pop("IMAGE_SIZE", 0)
    others = [
        (key, value, "") if isinstance(value, int | float) else (key, 0, str(value))
        for key, value in settings.items()
    ]
    return record.step, size, others


def _with_metrics_of(record: Record, predictions: pd.DataFrame) -> Record:
    """The record, its metrics computed again where they are not those of the scores."""
    at_half = record.metrics[record.metrics["rule"] == Rule.HALF]
    stored = at_half.set_index(["split", "metric"])["value"]
    try:
        for split, part in predictions.groupby("split"):
            computed = metrics.estimate(
                part["label"].to_numpy(), part["score"].to_numpy(), resamples=0
            ).set_index("metric")["value"]
            same = stored.reindex([(split, metric) for metric in computed.index])
            # A record has them to six digits.
            if not np.allclose(same, computed, rtol=0, atol=1e-6, equal_nan=True):
                summary = thresholds.summary(predictions, seed=record.seed or 0)
                return dataclasses.replace(record, metrics=summary)
    except ValueError:
        pass  # validation of one class: a comparison will say so
    return record


def _tested_on(predictions: pd.DataFrame) -> str:
    """A digest of the test images, their labels and their patients."""
    test = predictions[predictions["split"] == "test"]
    if set(test["label"]) != {0, 1}:
        raise ValueError(f"its test has the labels {sorted(set(test['label']))}: it needs 0 and 1")
    if not test["score"].between(0, 1).all():
        raise ValueError("it has scores outside [0, 1]")
    rows = sorted(test[["path", "patient", "label"]].astype(str).itertuples(index=False, name=None))
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()
