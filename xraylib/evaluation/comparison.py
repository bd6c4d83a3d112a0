"""Two or more runs on the same images -> what differs by more than chance.

Chance is here which patients are in the test: the networks are taken as they were trained. How
much another seed of the training would have changed is another question: see the standard
deviations of `together`.
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias

import numpy as np
import pandas as pd
from scipy import stats

from xraylib import progress
from xraylib.evaluation import intervals, metrics
from xraylib.evaluation.metrics import METRICS

_Runs: TypeAlias = Sequence[pd.DataFrame]
_Thresholds: TypeAlias = tuple[float | Sequence[float], float | Sequence[float]]

_PAIRS: Final = (
    *("first", "second", "runs_first", "runs_second"),
    *("metric", "first value", "second value", "difference", "low", "high"),
    *("p", "p_holm", "test"),
)
_COLUMNS: Final = ("path", "patient", "split", "label", "score")


class AucDifference(NamedTuple):
    """What `delong` finds: second - first, its interval and standard error, and p."""

    difference: float
    low: float
    high: float
    standard_error: float
    p: float


class Discordance(NamedTuple):
    """What `mcnemar` finds: how many images only one of the two gets right, and p."""

    only_first: int
    only_second: int
    p: float


def delong(
    labels: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    *,
    patients: np.ndarray | None = None,
    confidence: float = 0.95,
) -> AucDifference:
    """By how much two AUCs differ that come from the same images.

    The variance is that of DeLong, DeLong and Clarke-Pearson (Biometrics 1988), by midranks (Sun
    and Xu, IEEE Signal Processing Letters 2014), and with patients that of Obuchowski for clustered
    data (Biometrics 1997): the deviations of the images are summed up within each patient before
    they are squared, and n/(n - 1) counts patients. Where each patient has one image it is the
    former exactly, and k copies of every image change nothing. Interval and p take the difference
    as normal.

    Of several seeds the mean AUC is compared; their deviations are averaged, as the AUCs are.

    Args:
        labels: 0 or 1, (n,), each of two or more patients.
        first: Scores of class 1, finite, (n,), or (seeds, n).
        second: The same of what is compared with it; it may have another number of seeds.
        patients: Whose image each is, (n,) of anything that can be compared; None where each is
            a patient's only one.
        confidence: Of the interval, in (0, 1).

    Returns:
        The difference second - first in [-1, 1], its interval, standard error, and two-sided p.
        Where no image's part in the AUC differs, p is 1. Where all differ alike, as between a
        constant and a perfect score, the estimated standard error is 0 although the difference is
        not: p is then 0, the interval has no width, and both say nothing about certainty.

    Raises:
        ValueError: The arrays differ in length or hold something else than above.
    """
    labels = np.asarray(labels).ravel()
    _check_confidence(confidence)
    if set(np.unique(labels)) != {0, 1}:
        found = np.unique(labels)[:5].tolist()
        raise ValueError(f"labels must be 0 or 1, with both present. Received: {found}")
    patients = np.arange(len(labels)) if patients is None else np.asarray(patients)
    if len(patients) != len(labels):
        raise ValueError(f"{len(patients)} patients for {len(labels)} labels: give one each")
    codes, _ = pd.factorize(patients)
    if missing := int((codes < 0).sum()):
        raise ValueError(f"{missing} of {len(labels)} images have no patient: give one each")
    positive = labels == 1
    seeds_first, placed_first = _placements(positive, first, "first")
    seeds_second, placed_second = _placements(positive, second, "second")

    # Whole numbers up to the last division, so that what does not differ gives exactly 0.
    changes = seeds_first * placed_second - seeds_second * placed_first
    total = changes[positive].sum()
    pairs = int(positive.sum()) * int((~positive).sum())
    scale = 2 * seeds_first * seeds_second * pairs
    difference = total / scale
    deviations, patient_counts = [], []
    for label in (1, 0):
        own = labels == label
        counts = np.bincount(codes, weights=own)
        sums = np.bincount(codes, weights=np.where(own, changes, 0))
        deviations.append((own.sum() * sums - counts * total) / scale / own.sum())
        patient_counts.append(int((counts > 0).sum()))
        if patient_counts[-1] < 2:
            raise ValueError(
                f"all {own.sum()} images of class {label} are of one patient: the standard error "
                "needs two or more of each class"
            )
    of_positives, of_negatives = deviations
    variance = (
        _spread(of_positives, of_positives, patient_counts[0])
        + _spread(of_negatives, of_negatives, patient_counts[1])
        + 2 * _spread(of_positives, of_negatives, int(codes.max()) + 1)
    )
    standard_error = max(variance, 0.0) ** 0.5
    margin = float(stats.norm.ppf((1 + confidence) / 2)) * standard_error
    if standard_error:
        p = 2 * float(stats.norm.sf(abs(difference) / standard_error))
    else:
        p = float(difference == 0)
    return AucDifference(
        float(difference), float(difference - margin), float(difference + margin), standard_error, p
    )


def mcnemar(labels: np.ndarray, first: np.ndarray, second: np.ndarray) -> Discordance:
    """Whether two decisions on the same images are right equally often.

    McNemar's test (Psychometrika 1947) in its exact form: of the images that only one of the two
    gets right, each is equally likely to be either's. It takes images as independent, so that
    where patients have several, p is too small.

    Args:
        labels: 0 or 1, (n,).
        first: Whether each image is called class 1, bool (n,).
        second: The same of what is compared with it.

    Returns:
        How many images only the first and only the second gets right, and the two-sided p; 1
        where there are none.

    Raises:
        ValueError: The arrays differ in length, are empty, or hold something else than 0 and 1.
    """
    given = {"labels": labels, "first": first, "second": second}
    arrays = {name: np.asarray(array).ravel() for name, array in given.items()}
    lengths = [len(array) for array in arrays.values()]
    if not lengths[0] or len(set(lengths)) > 1:
        raise ValueError(
            "{} labels, {} and {} decisions: give one or more of each".format(*lengths)
        )
    for name, array in arrays.items():
        if not np.isin(array, (0, 1)).all():
            found = np.unique(array)[:5].tolist()
            raise ValueError(f"{name} must be 0 or 1. Received: {found}")
    right = [arrays[name] == arrays["labels"] for name in ("first", "second")]
    only_first, only_second = int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum())
    discordant = only_first + only_second
    p = float(stats.binomtest(only_first, discordant, 0.5).pvalue) if discordant else 1.0
    return Discordance(only_first, only_second, p)


def together(
    steps: Mapping[str, _Runs],
    *,
    splits: Sequence[str] = ("validation", "test"),
    threshold: float | Mapping[str, Sequence[float]] = 0.5,
    resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """What the runs of each step reach on average, over patients and over seeds.

    The two are kept apart: the interval says how far the mean of these runs would move with other
    patients, the standard deviation how far apart the runs are. Patients are drawn with all their
    images in all runs, also where each seed validates on other patients.

    Args:
        steps: Of each step its runs, as for `paired`.
        splits: Which parts of the images.
        threshold: A score of at least this is called class 1, in [0, 1]; or of each step one a
            run. Thresholds are taken as given, also those that were chosen on validation.
        resamples: Of patients, for the intervals, which are those of `metrics.metrics`; 0 for
            none.
        confidence: Of the intervals, in (0, 1).
        seed: Of the resampling.

    Returns:
        One row a step, split and metric (of `metrics.METRICS`), with the columns step, split,
        metric, value (the mean over the runs), low, high, standard deviation (over the runs; NaN
        for one), runs, and each (a list of every run's value).

    Raises:
        ValueError: A step has no runs or not as many thresholds, or a run does not hold what it
            should.
    """
    _check_confidence(confidence)
    parts = []
    for (name, runs), split in itertools.product(steps.items(), splits):
        if not len(runs):
            raise ValueError(f"the step {name} has no runs: give one or more")
        if isinstance(threshold, Mapping):
            own_thresholds = list(threshold.get(name, ()))
        else:
            own_thresholds = [threshold] * len(runs)
        if len(own_thresholds) != len(runs):
            raise ValueError(f"{len(own_thresholds)} thresholds for {len(runs)} runs of {name}")
        rows = [_rows(run, split, f"run {at} of {name}") for at, run in enumerate(runs)]
        codes, known = pd.factorize(np.concatenate([each["patient"] for each in rows]))
        draws = np.vstack(
            [
                np.ones(len(known)),
                intervals.patient_weights(np.arange(len(known)), resamples, seed),
            ]
        )
        ends = np.cumsum([len(each) for each in rows])[:-1]
        found = np.stack(
            [
                metrics.weighted_metrics(
                    each["label"].to_numpy(), each["score"].to_numpy(), at, draws[:, own]
                )
                for each, at, own in zip(rows, own_thresholds, np.split(codes, ends), strict=True)
            ]
        )
        means, each_run = found.mean(axis=0), found[:, 0]
        low, high = np.full((2, len(METRICS)), np.nan)
        if resamples:
            low, high = intervals.percentiles(means[1:], confidence)
            labels = np.concatenate([each["label"] for each in rows])
            low, high = metrics.widened(means[0], low, high, labels, known[codes], confidence)
        several = len(rows) > 1
        part = pd.DataFrame({"step": name, "split": split, "metric": METRICS, "value": means[0]})
        part["low"], part["high"] = low, high
        part["standard deviation"] = each_run.std(axis=0, ddof=1) if several else np.nan
        part["runs"], part["each"] = len(rows), each_run.T.tolist()
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def paired(
    first: _Runs,
    second: _Runs,
    *,
    split: str = "test",
    thresholds: _Thresholds = (0.5, 0.5),
    resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """What two steps differ in on the same images, each metric with its interval and p.

    Of several runs (seeds) of a step the mean is compared. Of AUC, interval and p are those of
    `delong` with patients. Of the other metrics they come from a paired bootstrap: patients are
    drawn with replacement, with all their images, and the same ones for all runs. Its interval is
    that of the percentiles, its p twice the smaller share of resamples in which the difference is
    0 or on the other side, (1 + how many)/(1 + resamples) (Davison and Hinkley, Bootstrap Methods
    and their Application, 1997). It is therefore never below 2/(1 + resamples), which stands for
    that or less. Thresholds are taken as given, also those that were chosen on validation.

    Args:
        first: Predictions of each run of a step: one row an image, with the columns path,
            patient, split, label (0 or 1) and score (of class 1, in [0, 1]), in any order.
        second: The same of what is compared with it, of the same images.
        split: Which part of the images.
        thresholds: Of the first and of the second, in [0, 1], one number or one a run. A score
            of at least this is called class 1.
        resamples: How many; 0 leaves all but AUC without interval and p.
        confidence: Of the intervals, in (0, 1).
        seed: Of the resampling.

    Returns:
        One row a metric in the order of `metrics.METRICS`, with the columns metric, first,
        second (means over the runs), difference (second - first), low, high, p, and test, the
        method that low, high and p are of.

    Raises:
        ValueError: The runs are not of the same images, labels and patients, or do not hold what
            they should, or AUC is not defined.
    """
    _check_confidence(confidence)
    if resamples < 0:
        raise ValueError(f"resamples must be 0 or more. Received: {resamples}")
    images, scores = _aligned(first, second, split)
    labels, patients = images["label"].to_numpy(), images["patient"].to_numpy()
    weights = np.vstack(
        [np.ones(len(labels)), intervals.patient_weights(patients, resamples, seed)]
    )
    # The first row is the images as they are.
    of_first, of_second = (
        np.mean(
            [
                metrics.weighted_metrics(labels, run, threshold, weights)
                for run, threshold in zip(runs, run_thresholds, strict=True)
            ],
            axis=0,
        )
        for runs, run_thresholds in zip(scores, _each(thresholds, scores), strict=True)
    )
    # Without rounding, 0 would be 1e-17 on either side.
    differences = (of_second - of_first).round(12)
    auc = delong(labels, *scores, patients=patients, confidence=confidence)
    rows = []
    for column, metric in enumerate(METRICS):
        if metric == "AUC":
            low, high, p, test = auc.low, auc.high, auc.p, "DeLong, clustered"
        else:
            low, high, p = _bootstrapped(differences[1:, column], confidence)
            test = "bootstrap over patients"
        rows.append(
            {
                "metric": metric,
                "first": of_first[0, column],
                "second": of_second[0, column],
                "difference": differences[0, column],
                "low": low,
                "high": high,
                "p": p,
                "test": test,
            }
        )
    return pd.DataFrame(rows)


def decisions(
    first: _Runs,
    second: _Runs,
    *,
    split: str = "test",
    thresholds: _Thresholds = (0.5, 0.5),
) -> pd.DataFrame:
    """Which images only one of two runs gets right, for runs of the same position in both steps.

    Args:
        first: As for `paired`.
        second: As for `paired`, and as many.
        split: As for `paired`.
        thresholds: As for `paired`.

    Returns:
        The columns run (from 0), only_first, only_second, p (as of `mcnemar`), and test.

    Raises:
        ValueError: As for `paired`, or one has more runs than the other.
    """
    images, scores = _aligned(first, second, split)
    if len(first) != len(second):
        raise ValueError(
            f"{len(first)} and {len(second)} runs cannot be paired: give as many of both"
        )
    called = [
        runs >= np.reshape(run_thresholds, (-1, 1))
        for runs, run_thresholds in zip(scores, _each(thresholds, scores), strict=True)
    ]
    labels = images["label"].to_numpy()
    found = [mcnemar(labels, *pair) for pair in zip(*called, strict=True)]
    table = pd.DataFrame(found, columns=list(Discordance._fields))
    table.insert(0, "run", range(len(found)))
    return table.assign(test="McNemar, exact")


def neighbours(
    steps: Mapping[str, _Runs], *, split: str = "test", resamples: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """Each step against the one before it: `pairs` of those that stand side by side.

    Args:
        steps: As for `pairs`, in order; of one there is nothing to compare, and no row.
        split: As for `pairs`.
        resamples: As for `pairs`.
        seed: As for `pairs`.

    Returns:
        As `pairs`.

    Raises:
        ValueError: As for `pairs`.
    """
    return pairs(steps, itertools.pairwise(steps), split=split, resamples=resamples, seed=seed)


def pairs(
    steps: Mapping[str, _Runs],
    chosen: Iterable[tuple[str, str]],
    *,
    split: str = "test",
    resamples: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Steps against others, with p adjusted for how many are compared.

    The comparisons of one metric are a family of `holm`. Where p comes from a bootstrap, p_holm
    of the smallest is at least the number of comparisons times 2/(1 + resamples).

    Args:
        steps: The runs of each, as for `paired`, under its name.
        chosen: Which are compared: the names of the first and of the second.
        split: As for `paired`; all thresholds are .5.
        resamples: As for `paired`.
        seed: As for `paired`.

    Returns:
        One row a comparison and metric, with the columns first, second (names of the steps),
        runs_first, runs_second (how many), metric, first value, second value, difference, low,
        high, p, p_holm, test, as of `paired`.

    Raises:
        ValueError: As for `paired`, with the names of the steps; or there is no such step.
    """
    chosen = list(chosen)
    if unknown := {name for pair in chosen for name in pair} - set(steps):
        raise ValueError(f"no such steps: {sorted(unknown)}; there are {list(steps)}")
    parts = [] if chosen else [pd.DataFrame(columns=list(_PAIRS))]
    for first, second in progress.bar(chosen, total=len(chosen), description="comparing steps"):
        try:
            part = paired(steps[first], steps[second], split=split, resamples=resamples, seed=seed)
        except ValueError as error:
            raise ValueError(f"{first} (first) and {second} (second): {error}") from None
        part = part.rename(columns={"first": "first value", "second": "second value"})
        part.insert(0, "first", first)
        part.insert(1, "second", second)
        part.insert(2, "runs_first", len(steps[first]))
        part.insert(3, "runs_second", len(steps[second]))
        parts.append(part)
    table = pd.concat(parts, ignore_index=True)
    families = table.groupby("metric")["p"]
    table["p_holm"] = families.transform(lambda p: holm(p.to_numpy())) if len(table) else table["p"]
    return table[list(_PAIRS)]


def missed(
    steps: Mapping[str, _Runs], *, split: str = "test", threshold: float = 0.5
) -> pd.DataFrame:
    """The images that every run of every step gets wrong.

    Args:
        steps: Of each step its runs, as for `paired`, of the same images.
        split: Which part of the images.
        threshold: A score of at least this is called class 1, in [0, 1].

    Returns:
        One row an image: path, patient, label, and score, the mean over all runs, the most wrong
        ones first.

    Raises:
        ValueError: As for `paired`.
    """
    runs = [run for step in steps.values() for run in step]
    images, (scores, _) = _aligned(runs, runs[:1], split)
    labels = images["label"].to_numpy()
    wrong = ((scores >= threshold) != labels.astype(bool)).all(axis=0)
    found = images[["patient", "label"]].assign(score=scores.mean(axis=0))[wrong].reset_index()
    far = (found["score"] - found["label"]).abs()
    order = far.sort_values(ascending=False, kind="stable").index
    return found.loc[order, ["path", "patient", "label", "score"]].reset_index(drop=True)


def holm(p: np.ndarray) -> np.ndarray:
    """Adjusts the p of one family for how many there are.

    The chance of one false finding or more among all those with an adjusted p of at most alpha is
    at most alpha, however they depend on each other (Holm, Scandinavian Journal of Statistics
    1979).

    Args:
        p: In [0, 1], (n,). NaN is no test and does not count.

    Returns:
        In [0, 1], float (n,), NaN where `p` is.

    Raises:
        ValueError: One is out of [0, 1].
    """
    p = np.asarray(p, dtype=float).ravel()
    if wrong := p[(p < 0) | (p > 1)].tolist():
        raise ValueError(f"p must be in [0, 1]; {len(wrong)} are not. Received: {wrong[:5]}")
    tests = np.flatnonzero(~np.isnan(p))
    order = tests[np.argsort(p[tests])]
    adjusted = np.full(len(p), np.nan)
    adjusted[order] = np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)).clip(max=1)
    return adjusted


def _placements(positive: np.ndarray, scores: np.ndarray, name: str) -> tuple[int, np.ndarray]:
    """How many seeds, and on the right side of how much of the other class each image is.

    The latter is twice the number of images, ties half, summed over the seeds: whole numbers,
    float (n,).
    """
    scores = np.atleast_2d(np.asarray(scores, dtype=float))
    if scores.ndim != 2 or not len(scores) or scores.shape[1] != len(positive):
        raise ValueError(
            f"{name} must be ({len(positive)},) or (seeds, {len(positive)}), as the labels are. "
            f"Received: {scores.shape}"
        )
    if wrong := int((~np.isfinite(scores)).sum()):
        raise ValueError(f"{wrong} of {scores.size} scores of {name} are not finite")
    below = stats.rankdata(scores, axis=1)
    for own in (positive, ~positive):
        below[:, own] -= stats.rankdata(scores[:, own], axis=1)
    placed = np.where(positive, below, positive.sum() - below)
    return len(scores), 2 * placed.sum(axis=0)


def _spread(one: np.ndarray, other: np.ndarray, patients: int) -> float:
    return float(one @ other) * patients / (patients - 1)


def _bootstrapped(drawn: np.ndarray, confidence: float) -> tuple[float, float, float]:
    """Interval and p of a difference from its resamples, (resamples,)."""
    drawn = drawn[~np.isnan(drawn)]
    if not len(drawn):
        return np.nan, np.nan, np.nan
    tail = 100 * (1 - confidence) / 2
    low, high = np.percentile(drawn, [tail, 100 - tail])
    other_side = min(int((drawn <= 0).sum()), int((drawn >= 0).sum()))
    return float(low), float(high), min(1.0, 2 * (1 + other_side) / (1 + len(drawn)))


def _check_confidence(confidence: float) -> None:
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be between 0 and 1. Received: {confidence}")


def _each(thresholds: _Thresholds, scores: tuple[np.ndarray, np.ndarray]) -> list[np.ndarray]:
    """The thresholds of both, one a run."""
    if len(thresholds) != 2:
        raise ValueError(f"give two thresholds, of first and second. Received: {thresholds}")
    found = []
    for given, runs, name in zip(thresholds, scores, ("first", "second"), strict=True):
        values = np.asarray(given, dtype=float)
        if values.ndim and values.shape != (len(runs),):
            raise ValueError(f"{values.size} thresholds for {len(runs)} runs of the {name}")
        if not ((values >= 0) & (values <= 1)).all():
            raise ValueError(f"thresholds must be in [0, 1]. Received: {values.tolist()}")
        found.append(np.broadcast_to(values, len(runs)))
    return found


def _aligned(
    first: _Runs, second: _Runs, split: str
) -> tuple[pd.DataFrame, tuple[np.ndarray, np.ndarray]]:
    """The images in the order of their paths, and the scores of both, (runs, n) each."""
    images = None
    scores: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    for side, runs, name in zip(scores, (first, second), ("first", "second"), strict=True):
        if not len(runs):
            raise ValueError(f"the {name} has no runs: give one or more")
        for number, run in enumerate(runs):
            rows = _rows(run, split, f"run {number} of the {name}")
            images = rows if images is None else images
            _check_same(images, rows, f"run {number} of the {name}")
            side.append(rows["score"].to_numpy(dtype=float))
    assert images is not None
    return images, (np.array(scores[0]), np.array(scores[1]))


def _rows(run: pd.DataFrame, split: str, name: str) -> pd.DataFrame:
    """The images of one split in the order of their paths, which becomes the index."""
    if missing := [column for column in _COLUMNS if column not in run]:
        raise ValueError(f"{name} has no column {', '.join(missing)}")
    rows = run[run["split"] == split].set_index("path").sort_index()
    if rows.empty:
        raise ValueError(f"{name} has no images of {split}: there are {sorted(set(run['split']))}")
    if twice := int(rows.index.duplicated().sum()):
        raise ValueError(f"{twice} of {len(rows)} paths of {name} are there before: give each once")
    if missing_patients := int(rows["patient"].isna().sum()):
        raise ValueError(f"{missing_patients} of {len(rows)} images of {name} have no patient")
    if set(rows["label"]) != {0, 1}:
        found = rows["label"].unique()[:5].tolist()
        raise ValueError(f"labels of {name} must be 0 or 1, with both present. Received: {found}")
    if wrong := rows.loc[~rows["score"].between(0, 1), "score"].tolist():
        raise ValueError(
            f"scores of {name} must be in [0, 1]; {len(wrong)} are not. Received: {wrong[:5]}"
        )
    return rows


def _check_same(images: pd.DataFrame, rows: pd.DataFrame, name: str) -> None:
    gone, new = len(images.index.difference(rows.index)), len(rows.index.difference(images.index))
    if gone or new:
        raise ValueError(
            f"{name} has other images than run 0 of the first: it lacks {gone} of {len(images)} "
            f"and has {new} more. Compare runs on the same data"
        )
    for column in ("label", "patient"):
        if other := int((images[column] != rows[column]).sum()):
            raise ValueError(
                f"{name} has another {column} than run 0 of the first for {other} of "
                f"{len(images)} images. Compare runs on the same data"
            )
