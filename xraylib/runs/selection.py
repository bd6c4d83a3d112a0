"""The runs in a folder -> those whose numbers may stand side by side, step by step."""

import collections
import hashlib
import json
import re
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from xraylib.runs import records

if TYPE_CHECKING:
    pass


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
        found = records.read(folder)
    for warning in caught:
        name, _, reason = str(warning.message).partition(" left out: ")
        left_out[Path(name).parent.name] = f"its record cannot be read: {reason}"
    tested, scored = {}, {}
    for number, record in enumerate(found):
        try:
            scored[number] = records.predictions(record)
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
            if value and key not in (*records.PLACES, "SEED")
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


def name(record: dict[str, Any]) -> str:
    """What a run is called in a figure, e.g. `"03_vgg19, 224 px, seed 0"`."""
    given = record["parameters"]
    told = [f"{given['IMAGE_SIZE']} px"] if "IMAGE_SIZE" in given else []
    if given.get("RANDOM_SCALE"):
        told.append(f"{_words('RANDOM_SCALE')} {given['RANDOM_SCALE']}")
    return ", ".join([record["step"], *told, f"seed {given.get('SEED')}"])
