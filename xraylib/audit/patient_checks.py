"""Check whose the images are: patients in several splits, and images of unknown patients."""

import itertools
from typing import Final

import pandas as pd

from xraylib.audit.finding import Finding, Severity, finding_of, not_judged
from xraylib.data import patients

_HINT: Final = (
    "Name a rule for patients that fits: a folder a patient, a CSV file and its column, or a "
    "regular expression."
)


def across_splits(rows: pd.DataFrame) -> Finding:
    """Compare the patients of each split with those of every other one.

    Args:
        rows: As `measurements.measure` returns it; path, split, patient and subtype are read.
    """
    check = "patients across splits"
    rows = rows[~patients.unknown(rows)]
    if rows.empty:
        return not_judged(check, "it is unknown whose the images are")
    pairs = list(itertools.combinations(dict.fromkeys(rows["split"]), 2))
    if not pairs:
        return not_judged(check, "there are no two splits with images of known patients")
    shared = _shared(rows["patient"], rows["split"])
    everyone = sorted(set().union(*shared.values()))
    compared = "the known patients of " + ", ".join(f"{one} with {two}" for one, two in pairs)
    if everyone:
        counts = ", ".join(f"{len(who):,} in {' and '.join(pair)}" for pair, who in shared.items())
        who = "1 patient has" if len(everyone) == 1 else f"{len(everyone):,} patients have"
        meaning = (
            f"{who} images in more than one split: {counts}. A result there tells in part how well "
            "these patients are remembered: move all images of a patient to one split."
        )
    else:
        meaning = "No known patient has images in two splits."
    kinds = rows[rows["patient"].str.fullmatch(r"(bacteria|virus)-\d+")]
    numbers = _shared(kinds["patient"].map(lambda key: key.rpartition("-")[2]), kinds["split"])
    if numbers:
        count = len(set().union(*numbers.values()))
        meaning += (
            f" The number after 'person' alone would suggest {count:,}, but bacterial and viral "
            "patients are numbered separately."
        )
    severity: Severity = "severe" if any("test" in pair for pair in shared) else "warning"
    return finding_of(check, severity, len(everyone), meaning, meaning, everyone, compared=compared)


def unknown(rows: pd.DataFrame) -> Finding:
    """Count the images whose patient is unknown, and say by which rule the others are told apart.

    Args:
        rows: As for `across_splits`, with a column name.
    """
    alone = patients.unknown(rows)
    known, count = rows["patient"][~alone].nunique(), int(alone.sum())
    rule = rows.attrs.get("patients", {}).get("rule", "")
    described = patients.describe({"rule": rule, "patients": known, "unknown": count})
    return finding_of(
        "unknown patients",
        "warning" if count > len(rows) / 10 else "note",
        count,
        f"{described} Splits and intervals are only as good as this guess. {_HINT}",
        described,
        rows["name"][alone].head(3).tolist(),
        compared="the path of each readable file with the rule for patients",
    )


def _shared(keys: pd.Series, splits: pd.Series) -> dict[tuple[str, str], set[str]]:
    """The keys that two splits have in common, where they have any."""
    by_split = {split: set(keys[splits == split]) for split in dict.fromkeys(splits)}
    pairs = itertools.combinations(by_split, 2)
    return {(one, two): both for one, two in pairs if (both := by_split[one] & by_split[two])}
