"""What was measured of the files -> what tells the classes or the splits apart without the lungs.

`find` judges the numbers that `measurements` has, one at a time and several together; `baseline` is
the model of several, and shows how far one gets with them without looking at the lungs. None of
them says anything of disease: where one tells the classes apart all the same, a network can learn
it instead of pneumonia.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

import pandas as pd

from xraylib import errors
from xraylib.audit import measurements
from xraylib.audit.finding import Finding, Severity, class_names
from xraylib.evaluation import intervals

# Below that an AUC is not worth its name, and five folds cannot be made.
_LEAST_PATIENTS: Final = 5
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


def find(rows: pd.DataFrame, names: dict[int, str], *, seed: int = 0) -> list[Finding]:
    """Says which properties of the files tell the classes apart, and which the splits.

    A shortcut or a shift is judged by the AUC of one number, the mean of a patient's images, with
    the 95 % interval of `intervals.newcombe_auc`. It is folded, max(AUC, 1 - AUC), but in test
    keeps the direction that it has in train. A shortcut is severe at .70 or more with a lower limit
    above .60, and a warning with a lower limit above .55; pixel statistics, which may be the lungs'
    doing, are no more than a warning. A shift, train against test within one class, is a warning
    where a shortcut would be severe.

    Args:
        rows: As `measurements.measure` returns it, without the files that cannot be read, and with
            a column side: `"train"` or `"test"`, or `"all"` where nothing is split.
        names: What classes 0 and 1 are called.
        seed: Of the baselines.

    Returns:
        The shortcuts, one a property and two of a baseline, then the shifts, one a property; each
        has the number of images for its count, or 0 where it cannot be told, and no examples.
    """
    rows = rows.assign(compression=rows["quality"].fillna(_LOSSLESS))
    return [
        *(_shortcut(rows, names, each) for each in _PROPERTIES),
        _shortcut_of_many(
            rows,
            names,
            measurements.FILE_FACTS,
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
            measurements.PIXEL_FACTS,
            check="shortcut: pixel statistics",
            words="A model of boosted trees on eleven numbers (bytes, grey values, spectrum)",
            most="warning",
            advice="Part of it may be the lungs' doing, none of it is a place in the picture: a "
            "network has to do better than this.",
            seed=seed,
        ),
        *(_shift(rows, names, each) for each in _PROPERTIES),
    ]


def baseline(
    measured: pd.DataFrame, columns: Iterable[str] = measurements.FILE_FACTS, *, seed: int = 0
) -> pd.DataFrame:
    """How well gradient boosting tells the classes from a few numbers of each image.

    Args:
        measured: As `measurements.measure` returns it; files that cannot be read are left out. All
            splits but test are one pool.
        columns: Which numbers, e.g. `measurements.FILE_FACTS` or `measurements.PIXEL_FACTS`.
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
    for label, name in class_names(measured).items():
        if patients.get(label, 0) < _FOLDS:
            raise errors.TooFewPatientsError(
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


# ---------------------------------------------------------------- shortcuts and shifts


def _shortcut(rows: pd.DataFrame, names: dict[int, str], told: _Property) -> Finding:
    check = f"shortcut: {told.name}"
    if told.name == "compression" and not (rows["format"] == "JPEG").any():
        return Finding(check, "note", 0, "Does not apply: there are no JPEGs.", [])
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
) -> Finding:
    try:
        predictions = baseline(rows, columns, seed=seed)
    except errors.TooFewPatientsError as error:
        return Finding(check, "note", 0, f"Cannot be told: {error}.", [])
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
) -> Finding:
    """Whether values tell the classes apart outside test; `fold` where less may mean class 1."""
    test = rows["side"] == "test"
    ill = rows["label"] == 1
    pool, there = (
        _auc(values[chosen], ill[chosen], rows["patient"][chosen]) for chosen in (~test, test)
    )
    if pool is None:
        return Finding(check, "note", 0, _too_few(f"outside test in {_both(names)}"), [])
    if fold and pool.value < 0.5:
        pool, there = pool.mirrored, there and there.mirrored
    severity = most if pool.severity == "severe" else pool.severity
    in_test = f", and {there} in test" if there else ""
    if test.any() and not there:
        in_test = "; test has too few patients to say"
    return Finding(
        check,
        severity,
        len(rows),
        f"{words} tells {_both(names)} apart with AUC {pool} in {_pool(rows)}{in_test}.{more}"
        + (f" {advice}" if severity != "fine" else ""),
        [],
    )


def _shift(rows: pd.DataFrame, names: dict[int, str], told: _Property) -> Finding:
    check = f"shift: {told.name}"
    if set(rows["side"]) != {"train", "test"}:
        return Finding(check, "note", 0, "Cannot be told: there are no train and test.", [])
    if told.name == "compression" and not (rows["format"] == "JPEG").any():
        return Finding(check, "note", 0, "Does not apply: there are no JPEGs.", [])
    values = rows[told.column]
    train = rows["side"] == "train"
    aucs = {}
    for label, name in names.items():
        chosen = rows["label"] == label
        auc = _auc(values[chosen], train[chosen], rows["patient"][chosen])
        if auc:
            aucs[name] = auc if auc.value >= 0.5 else auc.mirrored
    if not aucs:
        return Finding(check, "note", 0, _too_few("on one side in either class"), [])
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
    return Finding(check, "warning" if shifted else "fine", len(rows), meaning, [])


# ---------------------------------------------------------------- the AUC of one number


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


# ---------------------------------------------------------------- words


def _pool(rows: pd.DataFrame) -> str:
    return "all" if "all" in set(rows["side"]) else "train"


def _both(names: dict[int, str]) -> str:
    return f"{names[0]} and {names[1]}"


def _too_few(where: str) -> str:
    return f"Cannot be told: fewer than {_LEAST_PATIENTS} patients {where}."


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


def _said(median: float) -> str:
    return "lossless" if median == _LOSSLESS else f"{median:.3g}"
