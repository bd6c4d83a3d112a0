"""Tell whose each image is, by the rule that fits or by the one that was asked for.

An image that no rule fits is a patient of its own, and its key is its path.
"""

import difflib
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from xraylib.data import patient_lists, patient_rules
from xraylib.data.patient_rules import AUTO, NAMES, NONE, RULES, Place, Rule
from xraylib.data.words import CLASSES
from xraylib.errors import DataSourceError

# So few patients, each of them everywhere, are no patients, but say the number of a series.
_FEW: Final = 10
# A folder without a patient's name that has more images on average is that of a site.
_MANY_IMAGES: Final = 10
_CSV: Final = re.compile(r"(?P<file>.+\.(?:csv|tsv|txt))(?::(?P<column>[^:]+))?", re.IGNORECASE)


def assign(table: pd.DataFrame, *, top: Path, rule: str = AUTO) -> pd.DataFrame:
    """Add the columns patient and subtype to a table of images.

    Args:
        table: One row an image, with the columns path, label and split. Its `attrs["classes"]`
            are the names of the class folders, `CLASSES` if missing.
        top: The folder that all paths begin with.
        rule: One of
            - `"auto"`: every rule of `patient_rules.RULES` that fits images and is not absurd;
            - the name of one of them;
            - `"none"`: nobody is known;
            - a CSV file and the heading of its patients, such as `"patients.csv:patient_id"`, in
              the working folder, in `top` or in the folder above;
            - a regular expression that is searched in the path below `top`, with `/`; the group
              `patient`, or else the first, is the patient.

    Returns:
        A copy of `table` with
            patient: str, a key; that of an image of an unknown patient is its path below `top`;
            subtype: `"bacteria"`, `"virus"` or `""`;
        and in `attrs["patients"]` what `describe` puts into words: rule (str, `""` for none),
        patients (how many are known) and unknown (how many images are of unknown patients).

    Raises:
        DataSourceError: There is no such rule, it fits no image, or all images are of one patient.
    """
    start = len(top.as_posix().rstrip("/")) + 1
    paths = [Path(path).as_posix()[start:] for path in table["path"]]
    name = rule.strip()
    if name.casefold() in ("", AUTO):
        used, keys = _fitting(table, _places(paths, table))
    elif name.casefold() == NONE:
        used, keys = "", [""] * len(paths)
    else:
        used, keys = _asked_for(name, table, top, paths)
    table = table.assign(
        patient=[key or path for key, path in zip(keys, paths, strict=True)],
        subtype=[patient_rules.subtype(path) for path in paths],
    )
    table.attrs["patients"] = {
        "rule": used,
        "patients": len({key for key in keys if key}),
        "unknown": keys.count(""),
    }
    return table


def describe(facts: Mapping[str, Any]) -> str:
    """Say in a sentence how many patients there are and by which rule, from `attrs["patients"]`.

    Example:
        >>> describe({"rule": "kaggle", "patients": 12, "unknown": 0})
        "12 patients are told apart by file names like Kaggle's."
    """
    rule, known, unknown = facts["rule"], facts["patients"], facts["unknown"]
    if not known:
        return (
            "It is unknown whose the images are: no rule for patients fits, and each image counts "
            "as a patient of its own."
        )
    names = rule.split(" + ")
    if set(names) <= set(RULES):
        rule = " and ".join(RULES[name].words for name in names)
    verb = "patient is" if known == 1 else "patients are"
    sentence = f"{known:,} {verb} " + (f"told apart by {rule}" if rule else "known")
    if unknown:
        who = "image is of an unknown patient" if unknown == 1 else "images are of unknown patients"
        sentence += f"; {unknown:,} {who}, each counted as a patient of its own"
    return f"{sentence}."


def facts(table: pd.DataFrame) -> dict[str, Any]:
    """What `assign` has put into `attrs["patients"]`, or what the keys tell where it is missing."""
    if stored := table.attrs.get("patients"):
        return dict(stored)
    alone = unknown(table)
    known = table["patient"][~alone].nunique()
    return {"rule": "", "patients": int(known), "unknown": int(alone.sum())}


def unit(table: pd.DataFrame) -> str:
    """Say what is drawn where patients are resampled, for "an interval over ...".

    Args:
        table: With the columns path and patient, and perhaps with `attrs["patients"]`.

    Example:
        >>> unit(pd.DataFrame({"path": ["a/1.png", "a/2.png"], "patient": ["a/1.png", "a/2.png"]}))
        'images'
    """
    return unit_of([facts(table)])


def unit_of(each: Sequence[Mapping[str, Any] | None]) -> str:
    """Say the same as `unit` of several runs together, from the `attrs["patients"]` of each.

    A run of an earlier version has None: it knew Kaggle's names only.

    Example:
        >>> unit_of([{"rule": "nih", "patients": 3, "unknown": 0}, None])
        'patients'
    """
    known = [True if facts is None else bool(facts.get("patients")) for facts in each]
    unknown = [bool(facts and facts.get("unknown")) for facts in each]
    if not any(known):
        return "images"
    return "known patients and single images" if any(unknown) else "patients"


def unknown(table: pd.DataFrame) -> np.ndarray:
    """Which images of a table are of unknown patients, bool (images,): their key is their path.

    Args:
        table: With the columns path and patient, such as predictions.
    """
    pairs = zip(table["path"], table["patient"], strict=True)
    return np.array([f"/{Path(path).as_posix()}".endswith(f"/{key}") for path, key in pairs], bool)


# ------------------------------------------------------------------ a rule that was asked for


def _asked_for(
    rule: str, table: pd.DataFrame, top: Path, paths: Sequence[str]
) -> tuple[str, list[str]]:
    """The name of the rule, and the key of each image or `""`."""
    by_name = RULES.get(rule.casefold())
    if by_name:
        rule, keys = by_name.name, by_name.keys(_places(paths, table))
    elif match := _CSV.fullmatch(rule):
        file = _located(match["file"], top)
        if not match["column"]:
            raise DataSourceError(
                f"the column of {file} is missing: give it too, such as {match['file']}:patient_id"
            )
        rule, keys = f"{file.name}:{match['column']}", []
        keys = patient_lists.keys(file, match["column"].strip(), paths)
    else:
        keys = _searched(rule, paths)
    if not any(keys):
        raise DataSourceError(
            f"the rule for patients fits none of {len(paths):,} images, such as {paths[0]}: give "
            f"another, or {AUTO}. Received: {rule!r}"
        )
    if len(paths) > 1 and len(set(keys)) == 1:
        raise DataSourceError(
            f"the rule for patients makes all {len(paths):,} images those of one patient, "
            f"{keys[0]}: give another, or {AUTO}. Received: {rule!r}"
        )
    return rule, keys


def _located(name: str, top: Path) -> Path:
    file = Path(name).expanduser()
    places = [file, top / file, top.parent / file]
    return next((place for place in places if place.is_file()), file)


def _searched(rule: str, paths: Sequence[str]) -> list[str]:
    """What a regular expression finds in each path."""
    received = f"Received: {rule!r}"
    try:
        pattern = re.compile(rule)
    except re.error as error:
        raise DataSourceError(
            f"the rule for patients is no regular expression ({error}): correct it, or give one of "
            f"{', '.join(NAMES)}. {received}"
        ) from None
    if not pattern.groups:
        names = difflib.get_close_matches(rule.casefold(), NAMES, n=1)
        meant = f"do you mean {names[0]}?" if names else "put the patient's part into brackets"
        raise DataSourceError(
            f"the rule for patients is none of {', '.join(NAMES)}, and as a regular "
            f"expression it has no group: {meant} {received}"
        )
    group = "patient" if "patient" in pattern.groupindex else 1
    return [(match[group] or "") if (match := pattern.search(path)) else "" for path in paths]


# ------------------------------------------------------------------ the rules that fit


def _fitting(table: pd.DataFrame, places: Sequence[Place]) -> tuple[str, list[str]]:
    """The names of the rules that fit, and the key of each image or `""`."""
    accepted: dict[Rule, pd.Series] = {}
    refused: dict[Rule, tuple[pd.Series, str]] = {}
    below = [f"{site}/{path}" if site else path for site, path in places]
    for rule in RULES.values():
        keys = pd.Series(rule.keys(places), dtype=object)
        if not keys.any():
            continue
        if reason := _absurd(rule, keys[keys != ""], table, below):
            refused[rule] = (keys, reason)
        else:
            accepted[rule] = keys
    # Where two fit, the one with more images a patient keeps more together.
    ranked = sorted(accepted, key=lambda rule: _patients_an_image(accepted[rule]))
    result = pd.Series("", index=range(len(below)), dtype=object)
    used: list[Rule] = []
    for rule in ranked:
        keys = accepted[rule]
        for other in used:
            _warn_of_another(rule, keys, other, accepted[other])
        free = (result == "") & (keys != "")
        if free.any():
            used.append(rule)
            result[free] = keys[free]
    for rule, (keys, reason) in refused.items():
        if ((result == "") & (keys != "")).any():
            warnings.warn(
                f"patients are not read from {rule.words}: {reason}; the rule {rule.name!r} does "
                "it if you ask for it",
                stacklevel=4,
            )
    return " + ".join(rule.name for rule in used), result.tolist()


def _patients_an_image(keys: pd.Series) -> float:
    known = keys[keys != ""]
    return known.nunique() / len(known)


def _warn_of_another(rule: Rule, keys: pd.Series, used: Rule, before: pd.Series) -> None:
    """Warn where another rule would divide the same images in another way."""
    both = (keys != "") & (before != "")
    patients, others = before[both].nunique(), keys[both].nunique()
    pairs = len(set(zip(before[both], keys[both], strict=True)))
    if both.any() and not pairs == patients == others:
        warnings.warn(
            f"two rules for patients fit {both.sum():,} images: {used.name} ({patients:,} "
            f"patients) is used, {rule.name} ({others:,}) is not; ask for one by its name",
            stacklevel=5,
        )


def _absurd(rule: Rule, keys: pd.Series, table: pd.DataFrame, below: Sequence[str]) -> str:
    """Why what a rule reads cannot be patients; `""` if it can.

    `keys` are those of the images that the rule fits, by their position in `table` and `below`.
    """
    rows = pd.DataFrame(
        {
            "key": keys,
            "label": table["label"].to_numpy()[keys.index],
            "split": table["split"].to_numpy()[keys.index],
        }
    )
    images, patients = len(rows), rows["key"].nunique()
    groups = rows.groupby("key")
    everywhere = (groups["label"].transform("nunique") > 1) & (
        groups["split"].transform("nunique") == table["split"].nunique()
    )
    text = f"{images:,} images would be of {patients:,} patient{'' if patients == 1 else 's'}"
    example = rows["key"].iloc[0]
    for _, of_class in rows.groupby("label"):
        if of_class["key"].nunique() == 1 and len(of_class) > _MANY_IMAGES:
            return f"all {len(of_class):,} images of a class would be of one patient, {example}"
    if everywhere.mean() > 0.5 and patients < _FEW:
        return f"{text}, such as {example}, with both classes in every folder"
    if _named_alike(rule, rows, below) > 0.5:
        return f"images in different folders have the same names, such as {below[keys.index[0]]}"
    if rule.name == "folder" and not rows["key"].map(patient_rules.says_patient).mean() > 0.5:
        if everywhere.mean() > 0.5:
            return f"most folders, such as {example}, are in both classes and every split, as sites"
        if images / patients > _MANY_IMAGES:
            return f"{text}, such as {example}, as in folders of sites"
    return ""


def _named_alike(rule: Rule, rows: pd.DataFrame, below: Sequence[str]) -> float:
    """The share of images with a namesake in another folder, in the class where it is larger.

    What the rule reads is then numbered anew in every folder. Another split does not count: the
    namesake there may be a copy.
    """
    paths = [below[row] for row in rows.index]
    stems = [path.rpartition(".")[0] or path for path in paths]
    if rule.by_name:
        places = [patient_rules.place(path) for path in paths]
        names = [stem.rpartition("/")[2] for stem in stems]
    else:
        places, names = [""] * len(paths), stems
    where = rows["label"].astype(str) + "/" + pd.Series(places, index=rows.index, dtype=object)
    namesakes = where.groupby(pd.Series(names, index=rows.index, dtype=object)).transform("nunique")
    return float((namesakes > 1).groupby(rows["label"]).mean().max())


def _places(paths: Sequence[str], table: pd.DataFrame) -> list[Place]:
    return patient_rules.places(paths, table.attrs.get("classes", CLASSES))
