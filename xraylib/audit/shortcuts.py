"""Find what separates the classes or the splits without the lungs.

`find` judges the numbers of `measurements`, one at a time and several together; `baseline` is the
model of several. Where a number that says nothing about disease separates the classes all the same,
a network can learn it instead of pneumonia.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

import pandas as pd

from xraylib import errors
from xraylib.audit import measurements
from xraylib.audit.finding import Finding, Severity, not_judged
from xraylib.audit.separation import LEAST_PATIENTS, separation
from xraylib.data.index import class_names

_FOLDS: Final = 5
# Above the best quality of a JPEG.
_LOSSLESS: Final = 101.0
# Stands for a missing number, below all others; a fold may have none to bin.
_MISSING: Final = -1.0
_NO_JPEGS: Final = "Does not apply: there are no JPEGs."


class _Cue(NamedTuple):
    """Numbers that may separate the classes."""

    name: str  # ends the names of its checks
    columns: tuple[str, ...]  # of `measurements.measure`
    subject: str  # begins the sentence about it
    advice: str  # what it means for training, and what to do
    worst: Severity = "severe"  # the highest severity that it can have


_PROPERTIES: Final = (
    _Cue(
        "size",
        ("megapixels",),
        "The number of megapixels",
        "It says nothing about disease, and a network may use it: resize all images to one size "
        "with antialiasing, and match the classes for it in validation.",
    ),
    _Cue(
        "shape",
        ("aspect",),
        "Width/height",
        "It says nothing about disease, and stretching to a square writes it into the picture: "
        "crop, pad, or scale width and height at random in training.",
    ),
    _Cue(
        "frame",
        ("frame",),
        "The share of the picture's edges that is one grey, such as a black bar or a frame,",
        "It says nothing about disease, and a network may use it: cut it off, or see how far the "
        "scores change without it.",
    ),
    _Cue(
        "colour",
        ("colour",),
        "Storage in colour",
        "It says nothing about disease, and a network may use it: read every file as grey.",
    ),
    _Cue(
        "bytes per pixel",
        ("bytes_per_pixel",),
        "The number of bytes per pixel",
        "It depends on compression and noise first and on the content second, and a network may "
        "use it: check whether resizing the images to one small size removes it.",
    ),
    _Cue(
        "compression",
        ("compression",),
        "The JPEG quality",
        "It says nothing about disease, and a network may use it: make the images much smaller "
        "before training, and check whether saving them all at one quality changes the scores.",
    ),
)
_MODELS: Final = (
    _Cue(
        "all file metadata together",
        measurements.FILE_FACTS,
        "A model of boosted trees on size, shape, colour and compression together",
        "Compare a network's AUC with this one, not with 0.5, and see what each property does "
        "alone.",
    ),
    _Cue(
        "pixel statistics",
        measurements.PIXEL_FACTS,
        "A model of boosted trees on eleven numbers (file size, grey values, spectrum)",
        "The lungs may account for part of it, but none of it is a place in the picture: a network "
        "has to do better than this.",
        worst="warning",
    ),
)


def find(rows: pd.DataFrame, names: dict[int, str], *, seed: int = 0) -> list[Finding]:
    """Judges which properties of the files separate the classes, and which the splits.

    Both are judged by the AUC of `separation.separation`, folded to max(AUC, 1 - AUC), but in test
    with the direction that it has in train. A shortcut has its severity; pixel statistics, which
    the lungs may account for, are no more than a warning. A shift, train against test within one
    class, is a warning where a shortcut would be severe.

    Args:
        rows: Table as `measurements.measure` returns it, without the unreadable files, and with
            a column side: `"train"` or `"test"`, or `"all"` if there are no splits.
        names: The names of classes 0 and 1.
        seed: Random seed of the baselines.

    Returns:
        The shortcuts, one a property and one a baseline, then the shifts, one a property. Each
        has the number of images as its count, or 0 if it could not be judged, and no examples.
    """
    rows = rows.assign(compression=rows["quality"].fillna(_LOSSLESS))
    return [
        *(_shortcut(rows, names, each) for each in _PROPERTIES),
        *(_shortcut_of_model(rows, names, each, seed=seed) for each in _MODELS),
        *(_shift(rows, names, each) for each in _PROPERTIES),
    ]


def baseline(
    measured: pd.DataFrame, columns: Iterable[str] = measurements.FILE_FACTS, *, seed: int = 0
) -> pd.DataFrame:
    """Scores images by gradient boosting on a few numbers of each.

    Args:
        measured: Table as `measurements.measure` returns it; unreadable files are left out. All
            splits but test are pooled.
        columns: The numbers, e.g. `measurements.FILE_FACTS` or `measurements.PIXEL_FACTS`.
        seed: Random seed of the five folds, which keep a patient's images together, and of the
            model.

    Returns:
        Table with the columns path, patient, split, label and score (of class 1, in [0, 1]). The
        pool has the split `"validation"`, each image scored by a model that was not trained on its
        patient; test, if there is one, is scored by a model of the whole pool.

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
            f"no column {', '.join(missing)}: give a table as measurements.measure returns it"
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
    # A column without any value cannot be binned.
    known = [name for name in columns if pool[name].notna().any()]
    if not known:
        raise ValueError(f"no values in {', '.join(columns)}: give a column with some")
    trees = {"max_iter": 60, "max_leaf_nodes": 8, "min_samples_leaf": 10, "early_stopping": False}
    model = HistGradientBoostingClassifier(**trees, class_weight="balanced", random_state=seed)
    numbers, labels = pool[known].fillna(_MISSING), pool["label"]
    folds = StratifiedGroupKFold(_FOLDS, shuffle=True, random_state=seed)
    # Several threads gain little on so few rows, and wait for each other beside other work.
    with threadpool_limits(1):
        scores = cross_val_predict(
            model, numbers, labels, groups=pool["patient"], cv=folds, method="predict_proba"
        )[:, 1]
        parts = [pool.assign(split="validation", score=scores)]
        if len(test):
            model.fit(numbers, labels)
            scores = model.predict_proba(test[known].fillna(_MISSING))[:, 1]
            parts.append(test.assign(score=scores))
    predictions = pd.concat(parts, ignore_index=True)
    return predictions[["path", "patient", "split", "label", "score"]]


def _shortcut(rows: pd.DataFrame, names: dict[int, str], cue: _Cue) -> Finding:
    """Judges whether a property, larger or smaller, separates the classes."""
    if _lacks_jpegs(rows, cue):
        return Finding(f"shortcut: {cue.name}", "note", 0, _NO_JPEGS)
    return _separating(rows, names, cue, rows[cue.columns[0]], folded=True)


def _shortcut_of_model(
    rows: pd.DataFrame, names: dict[int, str], cue: _Cue, *, seed: int
) -> Finding:
    """Judges whether a model of several numbers separates the classes."""
    try:
        predictions = baseline(rows, cue.columns, seed=seed)
    except errors.TooFewPatientsError as error:
        return not_judged(f"shortcut: {cue.name}", str(error))
    side = predictions["split"].replace("validation", _pool_name(rows))
    scored = predictions.assign(side=side)
    return _separating(scored, names, cue, scored["score"], folded=False)


def _separating(
    rows: pd.DataFrame, names: dict[int, str], cue: _Cue, values: pd.Series, *, folded: bool
) -> Finding:
    """Judges how well values separate the classes, outside test and in test."""
    check = f"shortcut: {cue.name}"
    in_test, sick = rows["side"] == "test", rows["label"] == 1
    pool, test = (
        separation(values[side], sick[side], rows["patient"][side]) for side in (~in_test, in_test)
    )
    if not pool:
        few = f"fewer than {LEAST_PATIENTS} patients of {names[0]} or {names[1]} outside test"
        return not_judged(check, few)
    if folded and pool.auc < 0.5:
        pool, test = pool.mirrored, test and test.mirrored
    sentence = (
        f"{cue.subject} {'alone ' if folded else ''}separates {names[0]} from {names[1]} with AUC "
        f"{pool} in {_pool_name(rows)}"
    )
    if test:
        sentence += f" and {test} in test"
    elif in_test.any():
        sentence += "; test has too few patients to judge"
    medians = f" Medians: {_medians(rows, names, values)}." if folded else ""
    advice = "" if pool.severity == "fine" else f" {cue.advice}"
    severity = cue.worst if pool.severity == "severe" else pool.severity
    what = "the scores of the model" if not folded else cue.subject
    return Finding(
        check,
        severity,
        len(rows),
        f"{sentence}.{medians}{advice}",
        compared=f"{_lower(what)}, of the patients of {names[0]} with those of {names[1]}, in "
        f"{sides(rows)} each by itself",
    )


def _shift(rows: pd.DataFrame, names: dict[int, str], cue: _Cue) -> Finding:
    """Judges whether a property differs between train and test within one class."""
    check = f"shift: {cue.name}"
    if set(rows["side"]) != {"train", "test"}:
        return not_judged(check, "there are no train and test splits")
    if _lacks_jpegs(rows, cue):
        return Finding(check, "note", 0, _NO_JPEGS)
    values = rows[cue.columns[0]]
    train = rows["side"] == "train"
    separations = {}
    for label, name in names.items():
        members = rows["label"] == label
        between = separation(values[members], train[members], rows["patient"][members])
        if between:
            separations[name] = between if between.auc >= 0.5 else between.mirrored
    if not separations:
        reason = f"fewer than {LEAST_PATIENTS} patients of either class in train or in test"
        return not_judged(check, reason)
    aucs = " and ".join(f"within {name} with AUC {each}" for name, each in separations.items())
    meaning = (
        f"{cue.subject} separates train from test {aucs}. Medians: {_medians(rows, names, values)}."
    )
    shifted = [name for name, each in separations.items() if each.severity == "severe"]
    if shifted:
        meaning += (
            f" {' and '.join(shifted)} images of train were acquired differently from those of "
            "test: a validation split taken from train will not predict the result on test."
        )
    return Finding(
        check,
        "warning" if shifted else "fine",
        len(rows),
        meaning,
        compared=f"{_lower(cue.subject)}, of the patients of {sides(rows)}, within each class",
    )


def _lacks_jpegs(rows: pd.DataFrame, cue: _Cue) -> bool:
    return cue.name == "compression" and not (rows["format"] == "JPEG").any()


def sides(rows: pd.DataFrame) -> str:
    """Says which sides the splits of a table make: `"train (with val) and test"`."""
    pool = _pool_name(rows)
    others = [split for split in rows["split"].unique() if split not in (pool, "test")]
    named = f"{pool} (with {', '.join(others)})" if others else pool
    return f"{named} and test" if (rows["side"] == "test").any() else named


def _lower(text: str) -> str:
    # A subject that ends with an aside ends with its comma.
    text = text.rstrip(",")
    return text if text.startswith("JPEG") else text[0].lower() + text[1:]


def _pool_name(rows: pd.DataFrame) -> str:
    return "all" if "all" in set(rows["side"]) else "train"


def _medians(rows: pd.DataFrame, names: dict[int, str], values: pd.Series) -> str:
    medians = values.groupby([rows["side"], rows["label"]]).median()
    sentences = []
    for side in sorted(set(rows["side"]), key=lambda side: side == "test"):
        known = [label for label in names if (side, label) in medians.index]
        listed = [f"{names[label]} {_number(medians[side, label])}" for label in known]
        sentences.append(f"{side} {', '.join(listed)}")
    return "; ".join(sentences)


def _number(median: float) -> str:
    return "lossless" if median == _LOSSLESS else f"{median:.3g}"
