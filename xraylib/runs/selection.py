"""Choose the runs of a folder whose numbers may stand side by side, grouped into steps."""

import dataclasses
import datetime
import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from xraylib.data.patients import unit_of
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
    def unit(self) -> str:
        """What intervals are over, patients or images, as `patients.unit_of` says it."""
        return unit_of([record.patients for record in self.records])

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

    Left out by name, with the reason, are:

    - a run that is not finished or cannot be read, or whose predictions are missing or do not hold
      what they should;
    - a run whose step and seed were run again later, for instance on corrected labels;
    - a run that was tested on other images, labels or patients. Data on which a run was replaced
      by a later one on other data are out of date; of the rest those count that most runs have,
      and of as many those of the later run;
    - in the same way, a run that was tested on files of the same names but other bytes, where the
      records say which bytes they were;
    - in the same way, a network that saw other data than the others of its seed.

    Where a record's metrics are not those of the scores stored beside it, they are computed again
    from the scores.

    Raises:
        ValueError: There are no records, or none that can be compared.
    """
    reading = records.read(folder)
    left_out = dict(reading.problems.itertuples(index=False, name=None))
    readable: list[_Candidate] = []
    for record in reading.records:
        try:
            readable.append(_candidate(record))
        except ValueError as error:
            left_out[record.folder.name] = str(error)
    chosen, replaced = _latest(readable, left_out)
    tested: tuple[Callable[[_Candidate], str], ...] = (
        lambda run: run.tested_on,
        lambda run: run.tested_bytes,
    )
    for data in tested:
        chosen = _of_one(chosen, replaced, "tested on", data, left_out)
    for seed in {each.record.seed for each in chosen if each.record.is_network}:
        others = [run for run in chosen if not (run.record.is_network and run.record.seed == seed)]
        same_seed = [run for run in chosen if run.record.is_network and run.record.seed == seed]
        what = f"with seed {seed}, trained or tested on"
        vouched = _vouched(chosen, seed)

        def trained_on(run: _Candidate, vouched: set[tuple[str, str]] = vouched) -> str:
            data = run.record.fingerprint
            return "" if (run.record.step, data) in vouched else data

        chosen = others + _of_one(same_seed, replaced, what, trained_on, left_out)
    groups: dict[str, list[tuple[Record, pd.DataFrame]]] = {}
    for each in chosen:
        groups.setdefault(each.record.name, []).append((each.record, each.predictions))
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


class _Candidate(NamedTuple):
    """A run that can be read.

    Attributes:
        record, predictions: What it left.
        test: The test images, with the columns path, label, patient and sha256, the last of which
            is empty where the record does not say which bytes they were.
        tested_on: A digest of their paths, labels and patients.
        tested_bytes: A digest of their bytes; empty where they are not known.
    """

    record: Record
    predictions: pd.DataFrame
    test: pd.DataFrame
    tested_on: str
    tested_bytes: str

    @property
    def finished(self) -> datetime.datetime:
        """When; the beginning of time where the record does not say it in ISO format."""
        try:
            time = datetime.datetime.fromisoformat(self.record.finished)
        except ValueError:
            time = datetime.datetime.min
        return time if time.tzinfo else time.replace(tzinfo=datetime.UTC)


def _latest(
    runs: list[_Candidate], left_out: dict[str, str]
) -> tuple[list[_Candidate], list[tuple[_Candidate, _Candidate]]]:
    """The last run of each step and seed, and each of the others with the one that replaced it."""
    by_run: dict[tuple[str, int | None], list[_Candidate]] = {}
    for run in sorted(runs, key=lambda run: run.finished):
        by_run.setdefault((run.record.name, run.record.seed), []).append(run)
    kept, replaced = [], []
    for *earlier, last in by_run.values():
        unclear = False
        for run in earlier:
            other = run.record.fingerprint, run.tested_on
            data = "other" if other != (last.record.fingerprint, last.tested_on) else "the same"
            reason = f"run again later on {data} data as {last.record.folder.name}"
            if run.finished == last.finished:
                reason = f"finished when {last.record.folder.name} was, on {data} data"
            left_out[run.record.folder.name] = reason + _difference(run, last)
            if run.finished == last.finished and data == "other":
                unclear = True
                left_out[last.record.folder.name] = (
                    f"finished when {run.record.folder.name} was, on other data"
                    f"{_difference(last, run)}: remove one of the two"
                )
        if not unclear:
            kept.append(last)
            replaced += [(run, last) for run in earlier]
    return kept, replaced


def _vouched(runs: list[_Candidate], seed: int | None) -> set[tuple[str, str]]:
    """The steps and data of one seed that another step has with another seed.

    A step may have one validation for all its seeds, as 07 has.
    """
    return {
        (run.record.step, other.record.fingerprint)
        for run in runs
        for other in runs
        if other.record.seed not in (seed, None) and other.record.step != run.record.step
    }


def _of_one(
    runs: list[_Candidate],
    replaced: list[tuple[_Candidate, _Candidate]],
    what: str,
    data: Callable[[_Candidate], str],
    left_out: dict[str, str],
) -> list[_Candidate]:
    """The runs that were made of the same data, and those of which it is not known."""
    old = {data(run) for run, later in replaced if data(later) not in ("", data(run))}
    groups: dict[str, list[_Candidate]] = {}
    for run in runs:
        groups.setdefault(data(run), []).append(run)
    unknown = groups.pop("", [])
    return unknown + _one_of(groups, old, what, left_out)


def _one_of(
    groups: dict[str, list[_Candidate]], old: set[str], what: str, left_out: dict[str, str]
) -> list[_Candidate]:
    """The runs of the data that count: not out of date, of most runs, of the latest run."""

    def rank(data: str) -> tuple[bool, int, datetime.datetime]:
        return data not in old, len(groups[data]), max(run.finished for run in groups[data])

    if not groups:
        return []
    chosen = max(groups, key=rank)
    runs = groups[chosen]
    latest = max(runs, key=lambda run: run.finished)
    for data, others in groups.items():
        if data == chosen:
            continue
        count = f"{len(runs)} of {len(runs) + len(others)} runs"
        if data in old and chosen not in old:
            why = "which was finished after these data were replaced by others"
        elif len(runs) > len(others):
            why = f"whose data {count} have"
        else:
            why = f"which is later; as many runs have the one data as the other ({len(runs)} each)"
        for run in others:
            left_out[run.record.folder.name] = (
                f"{what} other data than {latest.record.folder.name}, {why}"
                f"{_difference(run, latest)}"
            )
    return runs


def _difference(run: _Candidate, other: _Candidate) -> str:
    """How the tests of two runs differ, as the end of a sentence."""
    tests = [each.test.set_index("path") for each in (run, other)]
    # A file keeps its name when it is moved into the folder of the other class.
    moved = [test.set_index(test.index.map(lambda path: Path(path).name)) for test in tests]
    first, second = moved if all(test.index.is_unique for test in moved) else tests
    if not (first.index.is_unique and second.index.is_unique):
        return ""
    shared = first.index.intersection(second.index)
    parts = []
    if len(shared) < max(len(first), len(second)):
        parts.append(f"{len(first)} and {len(second)} test images, {len(shared)} in common")
    for column, noun in (
        ("label", "test images have another label"),
        ("patient", "have another patient"),
        ("sha256", "have other bytes"),
    ):
        ones, others = (test.loc[shared, column].astype(str) for test in (first, second))
        differ = (ones != others) & (ones != "") & (others != "")
        if differ.any():
            parts.append(f"{int(differ.sum())} of {len(shared)} {noun}")
    return f" ({', '.join(parts)})" if parts else ""


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


def _candidate(record: Record) -> _Candidate:
    """Reads a run's predictions and which images it was tested on.

    Raises:
        ValueError: They cannot be read, or do not hold what they should.
    """
    predictions = record.predictions()
    test = predictions[predictions["split"] == "test"]
    if set(test["label"]) != {0, 1}:
        raise ValueError(f"its test has the labels {sorted(set(test['label']))}: it needs 0 and 1")
    if not test["score"].between(0, 1).all():
        raise ValueError("it has scores outside [0, 1]")
    images = record.images()
    hashes = {} if images is None else dict(zip(images["path"], images["sha256"], strict=True))
    columns = ["path", "patient", "label", "sha256"]
    test = test.assign(sha256=[hashes.get(path, "") for path in test["path"]])[columns]
    known = bool((test["sha256"] != "").all())
    return _Candidate(
        record,
        predictions,
        test,
        _digest(test.drop(columns="sha256")),
        _digest(test[["path", "sha256"]]) if known else "",
    )


def _digest(table: pd.DataFrame) -> str:
    rows = sorted(table.astype(str).itertuples(index=False, name=None))
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()
