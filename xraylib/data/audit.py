"""What was measured of the files -> what is wrong with them, before anything is trained.

`findings` turns the measurements of `facts` into plain sentences, one a check, and `baseline` shows
how far one gets with them without looking at the lungs. None of them says anything of disease:
where one tells the classes apart all the same, a network can learn it instead of pneumonia.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, NamedTuple

import numpy as np
import pandas as pd

from xraylib import intervals
from xraylib.data import copies, facts
from xraylib.data.sources import CLASSES

Severity = Literal["severe", "warning", "note", "fine"]

COLUMNS: Final = ("check", "severity", "count", "meaning", "examples")

# A picture with less spread has a hash of nothing but rounding.
_FLAT: Final = 1.0
# Below that an AUC is not worth its name, and five folds cannot be made.
_LEAST_PATIENTS: Final = 5
_LEAST_IMAGES: Final = 10
_FOLDS: Final = 5
# Lossless: one better than the best of a JPEG.
_LOSSLESS: Final = 101.0
# Below all facts, for the trees; a fold without one value in a column could not be binned.
_MISSING: Final = -1.0


class _Property(NamedTuple):
    name: str
    column: str
    words: str
    advice: str


_PROPERTIES: Final = (
    _Property(
        "size",
        "megapixels",
        "The number of megapixels",
        "It says nothing of disease, and a network may read it: reduce all images to one size "
        "with antialiasing, and match the classes for it when validating.",
    ),
    _Property(
        "shape",
        "aspect",
        "Width/height",
        "It says nothing of disease, and stretching to a square writes it into the picture: crop, "
        "pad, or scale width and height at random in training.",
    ),
    _Property(
        "colour",
        "colour",
        "Being stored in colour",
        "It says nothing of disease, and a network may read it: read every file as grey.",
    ),
    _Property(
        "bytes per pixel",
        "bytes_per_pixel",
        "The number of bytes per pixel",
        "It comes from compression and noise first and from what is in the picture second, and a "
        "network may read it: see whether reducing the images to one small size takes it away.",
    ),
    _Property(
        "compression",
        "compression",
        "The JPEG quality",
        "It says nothing of disease, and a network may read it: reduce the images well before they "
        "are learned from, and see whether saving them all at one quality changes a score.",
    ),
)


# ------------------------------------------------------------------------------ baselines


class TooFewPatientsError(ValueError):
    """Too few patients of a class to cross-validate."""


def baseline(
    measured: pd.DataFrame, columns: Iterable[str] = facts.FILE_FACTS, *, seed: int = 0
) -> pd.DataFrame:
    """How well gradient boosting tells the classes from a few numbers of each image.

    Args:
        measured: As `facts.measure` returns it; files that cannot be read are left out. All splits
            but test are one pool.
        columns: Which numbers, e.g. `facts.FILE_FACTS` or `facts.PIXEL_FACTS`.
        seed: Of the five folds, which keep a patient's images together, and of the model.

    Returns:
        The columns path, patient, split, label, score (of class 1, in [0, 1]). The pool has the
        split `"validation"`, each image scored by the model that did not see its patient; test,
        where there is one, is scored by a model of the whole pool.

    Raises:
        TooFewPatientsError: A class has fewer than five patients in the pool.
        ValueError: A column is missing, or none has a value.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
    from threadpoolctl import threadpool_limits

    columns = list(columns)
    if missing := sorted(set(columns) - set(measured)):
        raise ValueError(
            f"no column {', '.join(missing)}: give a table as facts.measure returns it"
        )
    rows = measured[measured["problem"] == ""]
    pool, test = rows[rows["split"] != "test"], rows[rows["split"] == "test"]
    patients = pool.groupby("label")["patient"].nunique()
    for label, name in _class_names(measured).items():
        if patients.get(label, 0) < _FOLDS:
            raise TooFewPatientsError(
                f"{name} has {patients.get(label, 0)} patients outside test, and {_FOLDS} folds "
                f"need {_FOLDS}: give more images"
            )
    model = HistGradientBoostingClassifier(
        max_iter=60,
        max_leaf_nodes=8,
        min_samples_leaf=10,
        early_stopping=False,
        class_weight="balanced",
        random_state=seed,
    )
    # A column without one value has nothing to be binned.
    known = [name for name in columns if pool[name].notna().any()]
    if not known:
        raise ValueError(f"no values in {', '.join(columns)}: give a column with some")
    # On so few rows several threads gain little, and beside other work they wait for each other.
    with threadpool_limits(1):
        scores = cross_val_predict(
            model,
            pool[known].fillna(_MISSING),
            pool["label"],
            groups=pool["patient"],
            cv=StratifiedGroupKFold(_FOLDS, shuffle=True, random_state=seed),
            method="predict_proba",
        )[:, 1]
        parts = [pool.assign(split="validation", score=scores)]
        if len(test):
            model.fit(pool[known].fillna(_MISSING), pool["label"])
            scores = model.predict_proba(test[known].fillna(_MISSING))[:, 1]
            parts.append(test.assign(score=scores))
    predictions = pd.concat(parts, ignore_index=True)
    return predictions[["path", "patient", "split", "label", "score"]]


# ------------------------------------------------------------------------------ findings


@dataclass(frozen=True)
class _Finding:
    check: str
    severity: Severity
    count: int
    meaning: str
    examples: list[str]


def findings(measured: pd.DataFrame, *, seed: int = 0) -> pd.DataFrame:
    """Says what is wrong with the images, one row a check whatever comes out.

    `train`, `val` and `validation` count as one side, called train, and `test` as the other.

    Args:
        measured: As `facts.measure` returns it.
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

        A shortcut or a shift is judged by the AUC of one number, the mean of a patient's images,
        with the 95 % interval of `intervals.newcombe_auc`. It is folded, max(AUC, 1 - AUC), but in
        test keeps the direction that it has in train. A shortcut is severe at .70 or more with a
        lower limit above .60, and a warning with a lower limit above .55; pixel statistics, which
        may be the lungs' doing, are no more than a warning. A shift, train against test within one
        class, is a warning where a shortcut would be severe.

    Raises:
        ValueError: The table has no images.
    """
    if measured.empty:
        raise ValueError("the table has no images: give one as facts.measure returns it")
    names = _class_names(measured)
    parents = [str(Path(path).parent) for path in measured["path"]]
    common = Path(os.path.commonpath(parents))
    everything = measured.reset_index(drop=True).assign(
        side=measured["split"].where(measured["split"].isin(("test", "all")), "train").to_numpy(),
        name=[Path(path).relative_to(common).as_posix() for path in measured["path"]],
        compression=measured["quality"].fillna(_LOSSLESS).to_numpy(),
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
        *(_shortcut(rows, names, each) for each in _PROPERTIES),
        _shortcut_of_many(
            rows,
            names,
            facts.FILE_FACTS,
            check="shortcut: all file metadata together",
            words="A model of boosted trees on size, shape, colour and compression together",
            most="severe",
            advice="Hold a network's score against this one, not against .5, and see what each of "
            "them does alone.",
            seed=seed,
        ),
        _shortcut_of_many(
            rows,
            names,
            facts.PIXEL_FACTS,
            check="shortcut: pixel statistics",
            words="A model of boosted trees on eleven numbers (bytes, grey values, spectrum)",
            most="warning",
            advice="Part of it may be the lungs' doing, none of it is a place in the picture: a "
            "network has to do better than this.",
            seed=seed,
        ),
        *(_shift(rows, names, each) for each in _PROPERTIES),
    ]
    return pd.DataFrame(found, columns=list(COLUMNS))


def _class_names(table: pd.DataFrame) -> dict[int, str]:
    known = dict(enumerate(CLASSES))
    if "class" in table:
        known |= dict(zip(table["label"], table["class"], strict=True))
    return known


def _some(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


# ---------------------------------------------------------------- files


def _unreadable(everything: pd.DataFrame) -> _Finding:
    broken = everything[everything["problem"] != ""]
    count = len(broken)
    sound = everything.loc[everything["problem"] == "", "label"].nunique()
    lost = sound < everything["label"].nunique()  # a class of which nothing is left
    return _Finding(
        "unreadable files",
        "severe" if lost else "warning" if count else "fine",
        count,
        f"No pixels can be had from {count:,} of {len(everything):,} files, which would be left "
        "out: fetch them again or remove them."
        if count
        else f"All {len(everything):,} files can be read.",
        [f"{row.name} {row.problem}" for row in broken.head(3).itertuples(index=False)],
    )


def _misnamed(rows: pd.DataFrame) -> _Finding:
    wrong = rows[rows["misnamed"].astype(bool)]
    count = len(wrong)
    return _Finding(
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
) -> _Finding:
    counts = {
        (split, label): int(((rows["split"] == split) & (rows["label"] == label)).sum())
        for split in everything["split"].unique()
        for label in names
    }
    few = {place: count for place, count in counts.items() if count < _LEAST_IMAGES}
    said = ", ".join(f"{split}/{names[label]} {n:,}" for (split, label), n in counts.items())
    return _Finding(
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


def _exact_copies(rows: pd.DataFrame) -> Iterator[_Finding]:
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
        yield _Finding(
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


def _near_copies(rows: pd.DataFrame) -> Iterator[_Finding]:
    flat = rows["spread"] < _FLAT
    # One of each place: what looks like one of two exact copies looks like both.
    distinct = rows[~flat].drop_duplicates(["sha256", "side", "label"])
    pairs = copies.near_copies(copies.hash_bits(distinct["phash"]))
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
        yield _Finding(
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


def _patients_across_splits(rows: pd.DataFrame) -> _Finding:
    check = "patients across splits"
    if set(rows["side"]) != {"train", "test"}:
        return _Finding(check, "note", 0, "Cannot be told: there are no train and test.", [])
    if _without_scheme(rows).all():
        return _Finding(check, "note", 0, "Cannot be told: no file name tells a patient.", [])
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
    return _Finding(check, "severe" if leaks else "fine", len(leaks), said + alarm, leaks[:3])


def _on_both_sides(rows: pd.DataFrame, keys: pd.Series) -> set[str]:
    test = rows["side"] == "test"
    return set(keys[test]) & set(keys[~test])


def _without_scheme(rows: pd.DataFrame) -> np.ndarray:
    """Which names tell no patient; `index.patient_of` then takes the path for the key."""
    pairs = zip(rows["patient"], rows["path"], strict=True)
    return np.array([str(patient).endswith(Path(path).name) for patient, path in pairs], bool)


def _unknown_patients(rows: pd.DataFrame) -> _Finding:
    unknown = rows[_without_scheme(rows)]
    count = len(unknown)
    return _Finding(
        "unknown patients",
        "fine" if not count else "warning" if count > len(rows) / 10 else "note",
        count,
        f"No patient can be told from {count:,} of {len(rows):,} names, and each such image counts "
        "as a patient of its own: a guess, and intervals and splits are only as good as it."
        if count
        else f"The names tell {_some(rows['patient'].nunique(), 'patient')}, as well as names can.",
        unknown["name"].head(3).tolist(),
    )


def _class_priors(rows: pd.DataFrame, names: dict[int, str]) -> _Finding:
    shares = rows.groupby("side", sort=False)["label"].mean()
    said = " and ".join(f"{share:.1%} in {side}" for side, share in shares.items())
    differ = {"train", "test"} <= set(shares.index) and abs(shares["train"] - shares["test"]) > 0.05
    return _Finding(
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


# ---------------------------------------------------------------- shortcuts and shifts


class _Auc(NamedTuple):
    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.2f} ({self.low:.2f} to {self.high:.2f})"

    @property
    def mirrored(self) -> "_Auc":
        return _Auc(1 - self.value, 1 - self.high, 1 - self.low)

    @property
    def severity(self) -> Severity:
        if self.value >= 0.70 and self.low > 0.60:
            return "severe"
        return "warning" if self.low > 0.55 else "fine"


def _auc(values: pd.Series, positive: pd.Series, patients: pd.Series) -> _Auc | None:
    """How often a patient of one group has more than one of the other, ties half.

    Args:
        values: Of each image; NaN is left out.
        positive: bool, the group that is expected to have more.
        patients: Whose image each is.

    Returns:
        The value with its 95 % interval, or None where a group has too few patients.
    """
    from scipy.stats import rankdata

    known = values.notna()
    means = values[known].groupby([positive[known], patients[known]]).mean()
    above = means.index.get_level_values(0).to_numpy(dtype=bool)
    many, few = int(above.sum()), int((~above).sum())
    if min(many, few) < _LEAST_PATIENTS:
        return None
    rank_sum = rankdata(means.to_numpy())[above].sum()
    value = float((rank_sum - many * (many + 1) / 2) / (many * few))
    return _Auc(value, *intervals.newcombe_auc(value, many, few))


def _shortcut(rows: pd.DataFrame, names: dict[int, str], told: _Property) -> _Finding:
    check = f"shortcut: {told.name}"
    if told.name == "compression" and not (rows["format"] == "JPEG").any():
        return _Finding(check, "note", 0, "Does not apply: there are no JPEGs.", [])
    values = rows[told.column]
    return _comparison(
        rows,
        names,
        values,
        check=check,
        words=f"{told.words} alone",
        more=f" Medians: {_medians(rows, names, values)}.",
        advice=told.advice,
        fold=True,
    )


def _shortcut_of_many(
    rows: pd.DataFrame,
    names: dict[int, str],
    columns: Iterable[str],
    *,
    check: str,
    words: str,
    most: Severity,
    advice: str,
    seed: int,
) -> _Finding:
    try:
        predictions = baseline(rows, columns, seed=seed)
    except TooFewPatientsError as error:
        return _Finding(check, "note", 0, f"Cannot be told: {error}.", [])
    side = predictions["split"].replace("validation", _pool(rows))
    return _comparison(
        predictions.assign(side=side),
        names,
        predictions["score"],
        check=check,
        words=words,
        more="",
        advice=advice,
        most=most,
    )


def _comparison(
    rows: pd.DataFrame,
    names: dict[int, str],
    values: pd.Series,
    *,
    check: str,
    words: str,
    more: str,
    advice: str,
    fold: bool = False,
    most: Severity = "severe",
) -> _Finding:
    """Whether values tell the classes apart outside test; `fold` where less may mean class 1."""
    test = rows["side"] == "test"
    ill = rows["label"] == 1
    pool, there = (
        _auc(values[chosen], ill[chosen], rows["patient"][chosen]) for chosen in (~test, test)
    )
    if pool is None:
        return _Finding(check, "note", 0, _too_few(f"outside test in {_both(names)}"), [])
    if fold and pool.value < 0.5:
        pool, there = pool.mirrored, there and there.mirrored
    severity = most if pool.severity == "severe" else pool.severity
    in_test = f", and {there} in test" if there else ""
    if test.any() and not there:
        in_test = "; test has too few patients to say"
    return _Finding(
        check,
        severity,
        len(rows),
        f"{words} tells {_both(names)} apart with AUC {pool} in {_pool(rows)}{in_test}.{more}"
        + (f" {advice}" if severity != "fine" else ""),
        [],
    )


def _shift(rows: pd.DataFrame, names: dict[int, str], told: _Property) -> _Finding:
    check = f"shift: {told.name}"
    if set(rows["side"]) != {"train", "test"}:
        return _Finding(check, "note", 0, "Cannot be told: there are no train and test.", [])
    if told.name == "compression" and not (rows["format"] == "JPEG").any():
        return _Finding(check, "note", 0, "Does not apply: there are no JPEGs.", [])
    values = rows[told.column]
    train = rows["side"] == "train"
    aucs = {}
    for label, name in names.items():
        chosen = rows["label"] == label
        auc = _auc(values[chosen], train[chosen], rows["patient"][chosen])
        if auc:
            aucs[name] = auc if auc.value >= 0.5 else auc.mirrored
    if not aucs:
        return _Finding(check, "note", 0, _too_few("on one side in either class"), [])
    shifted = [name for name, auc in aucs.items() if auc.severity == "severe"]
    said = " and ".join(f"within {name} with AUC {auc}" for name, auc in aucs.items())
    meaning = (
        f"{told.words} tells train from test {said}. Medians: {_medians(rows, names, values)}."
    )
    if shifted:
        meaning += (
            f" {' and '.join(shifted)} in train was acquired otherwise than in test: a validation "
            "cut from train will not foretell the test."
        )
    return _Finding(check, "warning" if shifted else "fine", len(rows), meaning, [])


def _pool(rows: pd.DataFrame) -> str:
    return "all" if "all" in set(rows["side"]) else "train"


def _both(names: dict[int, str]) -> str:
    return f"{names[0]} and {names[1]}"


def _too_few(where: str) -> str:
    return f"Cannot be told: fewer than {_LEAST_PATIENTS} patients {where}."


def _said(median: float) -> str:
    return "lossless" if median == _LOSSLESS else f"{median:.3g}"


def _medians(rows: pd.DataFrame, names: dict[int, str], values: pd.Series) -> str:
    medians = values.groupby([rows["side"], rows["label"]]).median()
    sides = sorted(set(rows["side"]), key=lambda side: side == "test")
    return "; ".join(
        f"{side} "
        + ", ".join(
            f"{name} {_said(medians[side, label])}"
            for label, name in names.items()
            if (side, label) in medians.index
        )
        for side in sides
    )
