"""Report what is wrong with a collection of images, before anything is trained.

Files, copies, patients and the balance of the classes are checked here; `shortcuts` finds what
separates the classes or the splits without the lungs.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from xraylib.audit import duplicates, shortcuts
from xraylib.audit.finding import Finding, Severity, not_judged
from xraylib.data.index import class_names

_LEAST_IMAGES: Final = 10


def findings(measured: pd.DataFrame, *, seed: int = 0) -> pd.DataFrame:
    """Checks the images, one row a check whatever the result.

    `train`, `val` and `validation` count as one side, called train, and `test` as the other.

    Args:
        measured: Table as `measurements.measure` returns it.
        seed: Random seed of the baselines.

    Returns:
        Table of the `Finding`s, with their attributes as columns.

    Raises:
        ValueError: The table has no images.
    """
    if measured.empty:
        raise ValueError("the table has no images: give one as measurements.measure returns it")
    names = class_names(measured)
    common = os.path.commonpath([Path(path).parent for path in measured["path"]])
    everything = measured.reset_index(drop=True).assign(
        side=measured["split"].where(measured["split"].isin(("test", "all")), "train").to_numpy(),
        name=[Path(path).relative_to(common).as_posix() for path in measured["path"]],
    )
    rows = everything[everything["problem"] == ""]
    results = [
        _unreadable(everything),
        _misnamed(rows),
        _images_per_class(everything, names),
        *_exact_copies(rows),
        *_near_copies(rows),
        _patients_across_splits(rows),
        _unknown_patients(rows),
        _class_priors(rows, names),
        *shortcuts.find(rows, names, seed=seed),
    ]
    return pd.DataFrame(results)


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _finding(
    check: str, severity: Severity, count: int, meaning: str, otherwise: str, examples: list[str]
) -> Finding:
    """The finding of things that should not be there, or otherwise that there are none."""
    if not count:
        return Finding(check, "fine", 0, otherwise)
    return Finding(check, severity, count, meaning, examples[:3])


def _unreadable(everything: pd.DataFrame) -> Finding:
    readable = everything["problem"] == ""
    broken = everything[~readable]
    class_is_lost = everything[readable]["label"].nunique() < everything["label"].nunique()
    return _finding(
        "unreadable files",
        "severe" if class_is_lost else "warning",
        len(broken),
        f"{len(broken):,} of {_counted(len(everything), 'file')} cannot be read and would be left "
        "out: download them again or remove them.",
        f"All {len(everything):,} files can be read.",
        [f"{row.name} {row.problem}" for row in broken.itertuples(index=False)],
    )


def _misnamed(rows: pd.DataFrame) -> Finding:
    wrong = rows[rows["misnamed"].astype(bool)]
    return _finding(
        "misnamed files",
        "warning",
        len(wrong),
        f"{_counted(len(wrong), 'file')} named as the other format, a JPEG as .png or a PNG as "
        ".jpeg: they can be read here, but other programs may refuse them, and they may come from "
        "another source than the rest.",
        "The name of every file matches its format.",
        [f"{row.name} is a {row.format}" for row in wrong.itertuples(index=False)],
    )


def _images_per_class(everything: pd.DataFrame, names: dict[int, str]) -> Finding:
    readable = (everything["problem"] == "").groupby([everything["split"], everything["label"]])
    counts = {
        f"{split}/{name}": int(readable.sum().get((split, label), 0))
        for split in everything["split"].unique()
        for label, name in names.items()
    }
    few = {place: count for place, count in counts.items() if count < _LEAST_IMAGES}
    listed = ", ".join(f"{place} {count:,}" for place, count in counts.items())
    advice = (
        f" Fewer than {_LEAST_IMAGES} are too few to learn or measure anything: add images, or "
        "join splits."
    )
    return Finding(
        "images per class",
        "warning" if few else "fine",
        len(few),
        f"Readable images: {listed}.{advice if few else ''}",
        [f"{place}: {count}" for place, count in few.items()][:3],
    )


_MEANING_OF_COPIES: Final = {
    "within a split": "in the same split and class: they count more than once, and may end up on "
    "both sides of a validation, so keep one of each",
    "across splits": "in train and in test: the test then rewards memory, so remove them from "
    "train",
    "across classes": "in both classes: one of the two labels is wrong, so look at them or remove "
    "both",
}


def _exact_copies(rows: pd.DataFrame) -> Iterator[Finding]:
    twins = rows[rows["sha256"].duplicated(keep=False)]
    by_place = twins.groupby(["sha256", "side", "label"])
    by_content = twins.groupby("sha256")
    copies = {
        "within a split": by_place["name"].transform("size") > 1,
        "across splits": by_content["side"].transform("nunique") > 1,
        "across classes": by_content["label"].transform("nunique") > 1,
    }
    several_patients = bool((by_place["patient"].nunique() > 1).any())
    for where, chosen in copies.items():
        groups = twins[chosen].groupby("sha256", sort=False)["name"].agg(list)
        yield _finding(
            f"exact copies {where}",
            _severity_of_copies(where, several_patients),
            len(groups),
            f"{_counted(len(groups), 'group')} of byte-identical files ({chosen.sum():,} files) "
            f"{_MEANING_OF_COPIES[where]}.",
            f"There are no byte-identical files {where}.",
            [" = ".join(group[:2]) for group in groups],
        )


def _near_copies(rows: pd.DataFrame) -> Iterator[Finding]:
    flat = rows["phash"] == ""
    # One of each place: what looks like one of two exact copies looks like both.
    distinct = rows[~flat].drop_duplicates(["sha256", "side", "label"])
    pairs = duplicates.near_copies(distinct["phash"])
    contents = distinct["sha256"].to_numpy()
    pairs = pairs[contents[pairs["first"]] != contents[pairs["second"]]]
    first, second = (distinct.iloc[pairs[side]].reset_index() for side in ("first", "second"))
    same_side, same_class = first["side"] == second["side"], first["label"] == second["label"]
    not_compared = f" Not compared: {_counted(flat.sum(), 'flat image')}." if flat.any() else ""
    copies = {
        "within a split": same_side & same_class,
        "across splits": ~same_side,
        "across classes": ~same_class,
    }
    for where, chosen in copies.items():
        count = int(chosen.sum())
        several_patients = bool((first["patient"] != second["patient"])[chosen].any())
        yield _finding(
            f"near copies {where}",
            _severity_of_copies(where, several_patients),
            count,
            f"{_counted(count, 'pair')} of files that look the same but differ in their bytes, "
            f"{_MEANING_OF_COPIES[where]}.{not_compared}",
            f"There are no files {where} that look the same but differ in their bytes."
            f"{not_compared}",
            (first["name"][chosen] + " ~ " + second["name"][chosen]).tolist(),
        )


def _severity_of_copies(where: str, several_patients: bool) -> Severity:
    if where != "within a split":
        return "severe"
    # Copies of one patient stay together if the data are split by patient.
    return "warning" if several_patients else "note"


def _patients_across_splits(rows: pd.DataFrame) -> Finding:
    check = "patients across splits"
    if set(rows["side"]) != {"train", "test"}:
        return not_judged(check, "there are no train and test splits")
    if _without_patient(rows).all():
        return not_judged(check, "no file name contains a patient number")
    leaks = sorted(_on_both_sides(rows, rows["patient"]))
    meaning = (
        f"{_counted(len(leaks), 'patient')} with images in train and in test, which then measures "
        "in part how well these patients are remembered: move all images of a patient to one side."
        if leaks
        else "As far as file names tell, no patient has images both in train and in test."
    )
    numbered = rows[rows["subtype"] != ""]
    numbers = _on_both_sides(numbered, numbered["patient"].str.rsplit("-", n=1).str[-1])
    if numbers:
        meaning += (
            f" The number after 'person' alone would suggest {len(numbers)}, but bacterial and "
            "viral patients are numbered separately."
        )
    return Finding(check, "severe" if leaks else "fine", len(leaks), meaning, leaks[:3])


def _on_both_sides(rows: pd.DataFrame, keys: pd.Series) -> set[str]:
    test = rows["side"] == "test"
    return set(keys[test]) & set(keys[~test])


def _without_patient(rows: pd.DataFrame) -> np.ndarray:
    """Which file names contain no patient; `index.patient_of` then uses the path as the key."""
    pairs = zip(rows["patient"], rows["path"], strict=True)
    return np.array([str(patient).endswith(Path(path).name) for patient, path in pairs], bool)


def _unknown_patients(rows: pd.DataFrame) -> Finding:
    unknown = rows[_without_patient(rows)]
    return _finding(
        "unknown patients",
        "warning" if len(unknown) > len(rows) / 10 else "note",
        len(unknown),
        f"{len(unknown):,} of {len(rows):,} file names contain no patient number, and each of "
        "these images counts as a patient of its own: splits and intervals are only as good as "
        "this guess.",
        f"The file names distinguish {_counted(rows['patient'].nunique(), 'patient')}.",
        unknown["name"].tolist(),
    )


def _class_priors(rows: pd.DataFrame, names: dict[int, str]) -> Finding:
    shares = rows.groupby("side", sort=False)["label"].mean()
    listed = " and ".join(f"{share:.1%} of {side}" for side, share in shares.items())
    differ = {"train", "test"} <= set(shares.index) and abs(shares["train"] - shares["test"]) > 0.05
    advice = (
        " Accuracy and thresholds do not transfer from one to the other: report balanced accuracy "
        "or both error rates."
    )
    return Finding(
        "class priors",
        "warning" if differ else "note",
        len(rows),
        f"{names[1]} makes up {listed or 'nothing'}.{advice if differ else ''}",
    )
