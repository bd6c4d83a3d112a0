"""What was measured of the files -> what is wrong with them, before anything is trained.

`findings` turns `measurements` into plain sentences, one a check. Files, copies,
patients and the share of a class are checked here; `shortcuts` finds what tells the classes or the
splits apart without the lungs.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from xraylib.audit import duplicates, shortcuts
from xraylib.audit.finding import Finding, Severity, class_names

COLUMNS: Final = ("check", "severity", "count", "meaning", "examples")

# A picture with less spread has a hash of nothing but rounding.
_FLAT: Final = 1.0
_LEAST_IMAGES: Final = 10


def findings(measured: pd.DataFrame, *, seed: int = 0) -> pd.DataFrame:
    """Says what is wrong with the images, one row a check whatever comes out.

    `train`, `val` and `validation` count as one side, called train, and `test` as the other.

    Args:
        measured: As `measurements.measure` returns it.
        seed: Of the baselines.

    Returns:
        The columns
            check: str, a name that stays the same;
            severity: `"severe"` (a result would mean something else than it says), `"warning"`
                (look at it), `"note"` (to be known; or it cannot be told) or `"fine"`;
            count: int, the files, groups, pairs, patients or classes found, and for a comparison
                the images that it rests on;
            meaning: One to three sentences;
            examples: list of up to three str, paths below the folder that all have in common.

        A shortcut or a shift is judged as `shortcuts.find` tells.

    Raises:
        ValueError: The table has no images.
    """
    if measured.empty:
        raise ValueError("the table has no images: give one as facts.measure returns it")
    names = class_names(measured)
    parents = [str(Path(path).parent) for path in measured["path"]]
    common = Path(os.path.commonpath(parents))
    everything = measured.reset_index(drop=True).assign(
        side=measured["split"].where(measured["split"].isin(("test", "all")), "train").to_numpy(),
        name=[Path(path).relative_to(common).as_posix() for path in measured["path"]],
    )
    rows = everything[everything["problem"] == ""]
    found = [
        _unreadable(everything),
        _misnamed(rows),
        _images_per_class(rows, everything, names),
        *_exact_copies(rows),
        *_near_copies(rows),
        _patients_across_splits(rows),
        _unknown_patients(rows),
        _class_priors(rows, names),
        *shortcuts.find(rows, names, seed=seed),
    ]
    return pd.DataFrame(found, columns=list(COLUMNS))


def _some(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


# ---------------------------------------------------------------- files


def _unreadable(everything: pd.DataFrame) -> Finding:
    broken = everything[everything["problem"] != ""]
    count = len(broken)
    sound = everything.loc[everything["problem"] == "", "label"].nunique()
    lost = sound < everything["label"].nunique()  # a class of which nothing is left
    return Finding(
        "unreadable files",
        "severe" if lost else "warning" if count else "fine",
        count,
        f"No pixels can be had from {count:,} of {len(everything):,} files, which would be left "
        "out: fetch them again or remove them."
        if count
        else f"All {len(everything):,} files can be read.",
        [f"{row.name} {row.problem}" for row in broken.head(3).itertuples(index=False)],
    )


def _misnamed(rows: pd.DataFrame) -> Finding:
    wrong = rows[rows["misnamed"].astype(bool)]
    count = len(wrong)
    return Finding(
        "misnamed files",
        "warning" if count else "fine",
        count,
        f"{_some(count, 'file')} with the name of the other format, a JPEG called .png or a PNG "
        "called .jpeg: read all the same, but another program may refuse it, and it came another "
        "way than the rest."
        if count
        else "Every name tells the format that its file has.",
        [f"{row.name} is a {row.format}" for row in wrong.head(3).itertuples(index=False)],
    )


def _images_per_class(
    rows: pd.DataFrame, everything: pd.DataFrame, names: dict[int, str]
) -> Finding:
    counts = {
        (split, label): int(((rows["split"] == split) & (rows["label"] == label)).sum())
        for split in everything["split"].unique()
        for label in names
    }
    few = {place: count for place, count in counts.items() if count < _LEAST_IMAGES}
    said = ", ".join(f"{split}/{names[label]} {n:,}" for (split, label), n in counts.items())
    return Finding(
        "images per class",
        "warning" if few else "fine",
        len(few),
        f"Readable images: {said}."
        + (
            f" Of fewer than {_LEAST_IMAGES} nothing can be learned or measured: add images, or "
            "join splits."
            if few
            else ""
        ),
        [f"{split}/{names[label]}: {n}" for (split, label), n in few.items()][:3],
    )


# ---------------------------------------------------------------- copies


def _exact_copies(rows: pd.DataFrame) -> Iterator[Finding]:
    twins = rows[rows["sha256"].duplicated(keep=False)]
    one_place = twins.groupby(["sha256", "side", "label"])
    picture = twins.groupby("sha256")
    chosen = {
        "within a split": one_place["name"].transform("size") > 1,
        "across splits": picture["side"].transform("nunique") > 1,
        "across classes": picture["label"].transform("nunique") > 1,
    }
    strangers = bool((one_place["patient"].nunique() > 1).any())
    for where, these in chosen.items():
        groups = twins[these].groupby("sha256", sort=False)["name"].agg(list)
        count = len(groups)
        yield Finding(
            f"exact copies {where}",
            _severity_of_copies(where, count, strangers),
            count,
            f"{_some(count, 'group')} of byte-identical files, {these.sum():,} in all, "
            f"{_MEANING_OF_COPIES[where]}."
            if count
            else f"No two files {where} have the same bytes.",
            [" = ".join(group[:2]) for group in groups.head(3)],
        )


_MEANING_OF_COPIES: Final = {
    "within a split": "in one split and class: they count as often as they are there, and may come "
    "to both sides of a validation, so keep one of each",
    "across splits": "in train and in test: what was learned by heart is tested, so remove them "
    "from train",
    "across classes": "in both classes: one of the labels is wrong, so look at them or remove both",
}


def _severity_of_copies(where: str, count: int, strangers: bool) -> Severity:
    if not count:
        return "fine"
    if where != "within a split":
        return "severe"
    # Those of one patient stay together wherever the splits are cut by patient.
    return "warning" if strangers else "note"


def _near_copies(rows: pd.DataFrame) -> Iterator[Finding]:
    flat = rows["spread"] < _FLAT
    # One of each place: what looks like one of two exact copies looks like both.
    distinct = rows[~flat].drop_duplicates(["sha256", "side", "label"])
    pairs = duplicates.near_copies(duplicates.hash_bits(distinct["phash"]))
    contents = distinct["sha256"].to_numpy()
    pairs = pairs[contents[pairs["first"]] != contents[pairs["second"]]]
    first, second = (distinct.iloc[pairs[side]].reset_index() for side in ("first", "second"))
    same_side, same_class = first["side"] == second["side"], first["label"] == second["label"]
    ignored = f" Not compared: {_some(int(flat.sum()), 'flat image')}." if flat.any() else ""
    for where, chosen in (
        ("within a split", same_side & same_class),
        ("across splits", ~same_side),
        ("across classes", ~same_class),
    ):
        count = int(chosen.sum())
        strangers = bool((first["patient"] != second["patient"])[chosen].any())
        both = first["name"][chosen] + " ~ " + second["name"][chosen]
        yield Finding(
            f"near copies {where}",
            _severity_of_copies(where, count, strangers),
            count,
            (
                f"{_some(count, 'pair')} of files that look the same but have other bytes, "
                f"{_MEANING_OF_COPIES[where]}."
                if count
                else f"No two files {where} look the same and have other bytes."
            )
            + ignored,
            both.head(3).tolist(),
        )


# ---------------------------------------------------------------- patients and classes


def _patients_across_splits(rows: pd.DataFrame) -> Finding:
    check = "patients across splits"
    if set(rows["side"]) != {"train", "test"}:
        return Finding(check, "note", 0, "Cannot be told: there are no train and test.", [])
    if _without_scheme(rows).all():
        return Finding(check, "note", 0, "Cannot be told: no file name tells a patient.", [])
    leaks = sorted(_on_both_sides(rows, rows["patient"]))
    numbered = rows[rows["subtype"] != ""]
    naive = len(_on_both_sides(numbered, numbered["patient"].str.rsplit("-", n=1).str[-1]))
    alarm = (
        f" By the number after 'person' alone, {naive} would seem to: bacterial and viral patients "
        "are counted apart."
        if naive
        else ""
    )
    said = (
        f"{_some(len(leaks), 'patient')} with images in train and in test, which then measures how "
        "well they are known: move all images of each to one side."
        if leaks
        else "No patient that the file names tell is in train and in test."
    )
    return Finding(check, "severe" if leaks else "fine", len(leaks), said + alarm, leaks[:3])


def _on_both_sides(rows: pd.DataFrame, keys: pd.Series) -> set[str]:
    test = rows["side"] == "test"
    return set(keys[test]) & set(keys[~test])


def _without_scheme(rows: pd.DataFrame) -> np.ndarray:
    """Which names tell no patient; `index.patient_of` then takes the path for the key."""
    pairs = zip(rows["patient"], rows["path"], strict=True)
    return np.array([str(patient).endswith(Path(path).name) for patient, path in pairs], bool)


def _unknown_patients(rows: pd.DataFrame) -> Finding:
    unknown = rows[_without_scheme(rows)]
    count = len(unknown)
    return Finding(
        "unknown patients",
        "fine" if not count else "warning" if count > len(rows) / 10 else "note",
        count,
        f"No patient can be told from {count:,} of {len(rows):,} names, and each such image counts "
        "as a patient of its own: a guess, and intervals and splits are only as good as it."
        if count
        else f"The names tell {_some(rows['patient'].nunique(), 'patient')}, as well as names can.",
        unknown["name"].head(3).tolist(),
    )


def _class_priors(rows: pd.DataFrame, names: dict[int, str]) -> Finding:
    shares = rows.groupby("side", sort=False)["label"].mean()
    said = " and ".join(f"{share:.1%} in {side}" for side, share in shares.items())
    differ = {"train", "test"} <= set(shares.index) and abs(shares["train"] - shares["test"]) > 0.05
    return Finding(
        "class priors",
        "warning" if differ else "note",
        len(rows),
        f"{names[1]} has a share of {said or 'nothing'}."
        + (
            " Accuracy and a threshold do not carry over from one to the other: report balanced "
            "accuracy or both error rates."
            if differ
            else ""
        ),
        [],
    )
