"""Judge what copies mean: within a split, across splits, and across classes.

`duplicates` finds the pairs. Every split is compared with every other, whatever their names.
"""

import itertools
from collections.abc import Iterable, Iterator
from typing import Final

import pandas as pd

from xraylib.audit import duplicates
from xraylib.audit.finding import Finding, Severity, counted, finding_of, not_judged

_PLACES: Final = ("within a split", "across splits", "across classes")
_MEANINGS: Final = {
    "within a split": "in the same split and class: they count more than once, and may end up on "
    "both sides of a validation, so keep one of each",
    "across splits": "in more than one split ({splits}): a result on one of them then rewards "
    "memory of the other, so remove them from train",
    "across classes": "in both classes: one of the two labels is wrong, so look at them or remove "
    "both",
}


def find(rows: pd.DataFrame) -> Iterator[Finding]:
    """Judges byte-identical files, then files that look the same.

    Args:
        rows: Table as `measurements.measure` returns it, without the unreadable files, and with a
            column name, of a file as a finding shows it.

    Returns:
        Two times three findings: within a split, across splits, and across classes.
    """
    yield from _exact(rows)
    yield from _near(rows)


def _exact(rows: pd.DataFrame) -> Iterator[Finding]:
    twins = rows[rows["sha256"].duplicated(keep=False)]
    by_place = twins.groupby(["sha256", "split", "label"])
    by_content = twins.groupby("sha256")
    chosen = {
        "within a split": by_place["name"].transform("size") > 1,
        "across splits": by_content["split"].transform("nunique") > 1,
        "across classes": by_content["label"].transform("nunique") > 1,
    }
    several_patients = bool((by_place["patient"].nunique() > 1).any())
    splits = by_content["split"].unique()
    for place in _PLACES:
        check = f"exact copies {place}"
        if place == "across splits" and rows["split"].nunique() < 2:
            yield not_judged(check, "there is only one split")
            continue
        files = twins[chosen[place]]
        groups = files.groupby("sha256", sort=False)["name"].agg(list)
        meaning = _MEANINGS[place].format(splits=_between_splits(splits[groups.index]))
        yield finding_of(
            check,
            _severity(place, several_patients),
            len(groups),
            f"{counted(len(groups), 'group')} of byte-identical files ({len(files):,} files) "
            f"{meaning}.",
            f"There are no byte-identical files {place}.",
            [" = ".join(group[:2]) for group in groups],
            compared=f"the bytes (SHA-256) of {_compared(rows, place)}",
        )


def _near(rows: pd.DataFrame) -> Iterator[Finding]:
    flat = rows["phash"] == ""
    # One of each place: what looks like one of two exact copies looks like both.
    distinct = rows[~flat].drop_duplicates(["sha256", "split", "label"])
    pairs = duplicates.near_copies(distinct["phash"])
    contents = distinct["sha256"].to_numpy()
    pairs = pairs[contents[pairs["first"]] != contents[pairs["second"]]].reset_index(drop=True)
    first, second = (distinct.iloc[pairs[side]].reset_index() for side in ("first", "second"))
    same_split, same_class = first["split"] == second["split"], first["label"] == second["label"]
    chosen = {
        "within a split": same_split & same_class,
        "across splits": ~same_split,
        "across classes": ~same_class,
    }
    left_out = f"; not compared: {counted(flat.sum(), 'flat image')}" if flat.any() else ""
    splits = pd.Series(list(zip(first["split"], second["split"], strict=True)), dtype=object)
    for place in _PLACES:
        check = f"near copies {place}"
        if place == "across splits" and rows["split"].nunique() < 2:
            yield not_judged(check, "there is only one split")
            continue
        here = chosen[place]
        several_patients = bool((first["patient"] != second["patient"])[here].any())
        how = pairs["how"][here]
        meaning = _MEANINGS[place].format(splits=_between_splits(splits[here]))
        names = first["name"][here] + " ~ " + second["name"][here] + " (" + how + ")"
        yield finding_of(
            check,
            _severity(place, several_patients),
            int(here.sum()),
            f"{counted(here.sum(), 'pair')} of files that look the same but differ in their bytes "
            f"({_listed(how.value_counts().items())}), {meaning}.",
            f"No two files {place} that differ in their bytes look the same in this comparison.",
            names.tolist(),
            compared=f"the looks of {_compared(rows, place)}: {duplicates.LOOKS}{left_out}",
        )


def _severity(place: str, several_patients: bool) -> Severity:
    if place != "within a split":
        return "severe"
    # Copies of one patient stay together if the data are split by patient.
    return "warning" if several_patients else "note"


def _compared(rows: pd.DataFrame, place: str) -> str:
    """Says which files were compared with which."""
    counts = rows["split"].value_counts(sort=False)
    if place == "across classes":
        return f"all {len(rows):,} files, each of one class with each of the other"
    listed = _listed(counts.items())
    if place == "within a split":
        return f"the files of one class with each other, in each split ({listed})"
    pairs = ", ".join(" with ".join(pair) for pair in itertools.combinations(counts.index, 2))
    return f"each file of one split with each of another ({listed}): {pairs}"


def _between_splits(groups: pd.Series) -> str:
    """Counts the groups of files by the splits between which they are copies."""
    pairs = [pair for splits in groups for pair in itertools.combinations(sorted(set(splits)), 2)]
    names = pd.Series([" and ".join(pair) for pair in pairs], dtype=object)
    return _listed(names.value_counts().items())


def _listed(counts: Iterable[tuple[object, int]]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts)
