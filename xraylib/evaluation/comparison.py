"""Compare training runs on the same images: averages over seeds, differences, common errors.

A run is a table of predictions: one row per image with the columns path, patient, split, label (0
or 1) and score (of class 1, in [0, 1]), in any order. A step has one run for each random seed.

The intervals and p-values say how much depends on which patients were tested; networks and
thresholds are taken as fixed. How much another random seed would change is another question, which
the standard deviations of `averages` answer.
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, TypeAlias

import numpy as np
import pandas as pd

from xraylib import progress
from xraylib.evaluation import checks, intervals, metrics, significance
from xraylib.evaluation.metrics import METRICS

Runs: TypeAlias = Sequence[pd.DataFrame]
Thresholds: TypeAlias = float | Sequence[float]

_REQUIRED: Final = ("path", "patient", "split", "label", "score")
_NAMES: Final = ["first", "second", "runs_first", "runs_second"]
_VALUES: Final = ["first_value", "second_value", "difference", "low", "high", "p"]
_COLUMNS: Final = [*_NAMES, "metric", *_VALUES, "p_holm", "test"]


def averages(
    steps: Mapping[str, Runs],
    *,
    splits: Sequence[str] = ("validation", "test"),
    threshold: float | Mapping[str, Sequence[float]] = 0.5,
    resamples: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Average every metric over the runs of each step, with an interval over patients.

    The interval says how far the mean of these runs would move with other patients, the standard
    deviation how far apart the runs are. Patients are drawn with all their images in all runs,
    also where each seed validates on other patients.

    Args:
        steps: The runs of each step by its name.
        splits: The splits to average on.
        threshold: In [0, 1]; or for each step one threshold per run.
        resamples, seed: See `xraylib.evaluation`.

    Returns:
        One row per step, split and metric (of `metrics.METRICS`), with the columns step, split,
        metric, value (the mean over the runs), low, high (as of `metrics.estimate`),
        standard_deviation (over the runs; NaN for one), runs (their number), and each (a list of
        every run's value).

    Raises:
        ValueError: A step has no runs or not as many thresholds, or a run is not as above.
    """
    parts = []
    for (name, runs), split in itertools.product(steps.items(), splits):
        tables = _tables(runs, split, name)
        own = threshold.get(name, ()) if isinstance(threshold, Mapping) else threshold
        thresholds = _per_run(own, len(runs), name)
        labels = np.concatenate([table["label"] for table in tables])
        patients = np.concatenate([table["patient"] for table in tables])
        values = _resampled(tables, thresholds, patients, resamples, seed)
        means, each = values.mean(axis=0), values[:, 0]
        low, high = metrics.bounds(means[0], means[1:], labels, patients)
        columns = {
            "step": name,
            "split": split,
            "metric": METRICS,
            "value": means[0],
            "low": low,
            "high": high,
            "standard_deviation": each.std(axis=0, ddof=1) if len(runs) > 1 else np.nan,
            "runs": len(runs),
            "each": each.T.tolist(),
        }
        parts.append(pd.DataFrame(columns))
    return pd.concat(parts, ignore_index=True)


def difference(
    first: Runs, second: Runs, *, split: str = "test", resamples: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """Test how two steps differ on the same images at a threshold of .5, metric by metric.

    Where a step has several runs (seeds), their mean is compared. The AUC is tested by
    `significance.delong` with patients, the other metrics by a paired bootstrap
    (`significance.bootstrap`): patients are drawn with replacement, with all their images, and the
    same patients for all runs.

    Args:
        first: The runs of one step.
        second: The runs of the step to compare with it, on the same images.
        split: The split to compare on: `"validation"` where something is to be chosen.
        resamples: 0 leaves interval and p-value undefined for all but the AUC.
        seed: See `xraylib.evaluation`.

    Returns:
        One row per metric in the order of `metrics.METRICS`, with the columns metric, first_value,
        second_value (means over the runs), difference (second - first), low, high, p, and test,
        the name of the method behind low, high and p.

    Raises:
        ValueError: The runs are not on the same images, labels and patients, or are not as above,
            or AUC is not defined.
    """
    checks.at_least(resamples, 0, "resamples")
    images, scores = _aligned({"the first": first, "the second": second}, split)
    labels, patients = images["label"].to_numpy(), images["patient"].to_numpy()
    weights = _weights(patients, resamples, seed)
    of_first, of_second = (
        np.mean([metrics.weighted_metrics(labels, run, 0.5, weights) for run in runs], axis=0)
        for runs in scores.values()
    )
    # Without rounding, 0 would be 1e-17 on either side.
    differences = (of_second - of_first).round(12)
    tests = [significance.bootstrap(column) for column in differences[1:].T]
    auc = significance.delong(labels, *scores.values(), patients=patients)
    tests[METRICS.index("AUC")] = auc.low, auc.high, auc.p
    values = np.column_stack([of_first[0], of_second[0], differences[0], tests])
    table = pd.DataFrame(values, columns=_VALUES)
    table.insert(0, "metric", METRICS)
    is_auc = table["metric"] == "AUC"
    return table.assign(test=np.where(is_auc, "DeLong, clustered", "bootstrap over patients"))


def differences(
    steps: Mapping[str, Runs],
    pairs: Iterable[tuple[str, str]] | None = None,
    *,
    split: str = "test",
    resamples: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Test how steps differ, with p-values adjusted for the number of comparisons.

    The comparisons of one metric are a family of `significance.holm`. Where p comes from a
    bootstrap, the smallest p_holm is at least the number of comparisons times 2/(1 + resamples).

    Args:
        steps: The runs of each step by its name.
        pairs: Names of the steps to compare, first and second; None compares each step with the
            one before it.
        split, resamples: See `difference`.
        seed: See `xraylib.evaluation`.

    Returns:
        One row per comparison and metric, with the columns first, second (names of the steps),
        runs_first, runs_second (their numbers), then those of `difference`, with p_holm after p.
        No row without a pair.

    Raises:
        ValueError: As for `difference`, with the names of the steps; or there is no such step.
    """
    pairs = list(itertools.pairwise(steps) if pairs is None else pairs)
    if unknown := {name for pair in pairs for name in pair} - set(steps):
        raise ValueError(f"no such steps: {sorted(unknown)}; there are {list(steps)}")
    parts, names = [], []
    for first, second in progress.bar(pairs, total=len(pairs), description="comparing steps"):
        runs = steps[first], steps[second]
        try:
            part = difference(*runs, split=split, resamples=resamples, seed=seed)
        except ValueError as error:
            raise ValueError(f"{first} (first) and {second} (second): {error}") from None
        parts.append(part)
        names.append((first, second, len(runs[0]), len(runs[1])))
    if not parts:
        return pd.DataFrame(columns=_COLUMNS)
    table = pd.concat(parts, keys=names, names=_NAMES).reset_index(_NAMES).reset_index(drop=True)
    families = table.groupby("metric")["p"]
    return table.assign(p_holm=families.transform(significance.holm))[_COLUMNS]


def discordances(
    first: Runs, second: Runs, *, thresholds: tuple[Thresholds, Thresholds] = (0.5, 0.5)
) -> pd.DataFrame:
    """Count the test images that only one of two runs gets right, run by run: McNemar's test.

    Args:
        first: The runs of one step.
        second: As many runs of the step to compare with it, on the same images.
        thresholds: Of the first and of the second, in [0, 1], one number or one per run.

    Returns:
        The columns run (from 0), only_first, only_second, p (as of `significance.mcnemar`), test.

    Raises:
        ValueError: As for `difference`, or one step has more runs than the other.
    """
    if len(first) != len(second):
        counts = f"{len(first)} and {len(second)} runs"
        raise ValueError(f"{counts} cannot be paired: give as many of both")
    if len(thresholds) != 2:
        raise ValueError(f"give two thresholds, of first and second. Received: {thresholds}")
    images, scores = _aligned({"the first": first, "the second": second}, "test")
    decisions = [
        runs >= _per_run(own, len(runs), name)[:, np.newaxis]
        for own, (name, runs) in zip(thresholds, scores.items(), strict=True)
    ]
    labels = images["label"].to_numpy()
    results = [significance.mcnemar(labels, *pair) for pair in zip(*decisions, strict=True)]
    table = pd.DataFrame(results, columns=list(significance.Discordance._fields))
    table.insert(0, "run", range(len(results)))
    return table.assign(test="McNemar, exact")


def common_errors(steps: Mapping[str, Runs]) -> pd.DataFrame:
    """List the test images that every run of every step, by its name, gets wrong at .5.

    They are one row per image with the columns path, patient, label, and score, the mean over all
    runs; the most wrong ones come first.

    Raises:
        ValueError: There are no steps, or the runs are not on the same images.
    """
    images, scores_of = _aligned(steps, "test")
    scores = np.concatenate(list(scores_of.values()))
    labels = images["label"].to_numpy()
    wrong = ((scores >= 0.5) != labels.astype(bool)).all(axis=0)
    errors = images[["patient", "label"]].assign(score=scores.mean(axis=0))[wrong].reset_index()
    distance = (errors["score"] - errors["label"]).abs()
    order = distance.sort_values(ascending=False, kind="stable").index
    return errors.loc[order, ["path", "patient", "label", "score"]].reset_index(drop=True)


def _resampled(
    tables: Runs, thresholds: np.ndarray, patients: np.ndarray, resamples: int, seed: int
) -> np.ndarray:
    """The metrics of each run, as it is and in each resample, (runs, 1 + resamples, metrics)."""
    ends = np.cumsum([len(table) for table in tables])[:-1]
    weights = np.split(_weights(patients, resamples, seed), ends, axis=1)
    values = []
    for table, threshold, own_weights in zip(tables, thresholds, weights, strict=True):
        arrays = table["label"].to_numpy(), table["score"].to_numpy()
        values.append(metrics.weighted_metrics(*arrays, threshold, own_weights))
    return np.stack(values)


def _weights(patients: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """Weights of the images as they are and in each resample, (1 + resamples, n)."""
    resampled = intervals.patient_weights(patients, resamples, seed)
    return np.vstack([np.ones(len(patients)), resampled])


def _per_run(thresholds: Thresholds, runs: int, name: str) -> np.ndarray:
    """One threshold per run, (runs,), from one number or as many."""
    values = np.asarray(thresholds, dtype=float)
    if values.ndim and values.shape != (runs,):
        raise ValueError(f"{values.size} thresholds for {runs} runs of {name}")
    return np.broadcast_to(checks.in_unit_interval(values, "thresholds"), runs)


def _aligned(steps: Mapping[str, Runs], split: str) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """The images in the order of their paths, and the scores of each step, (runs, n)."""
    tables = {name: _tables(runs, split, name) for name, runs in steps.items()}
    if not tables:
        raise ValueError("there are no steps to compare: give one or more")
    base, *_ = tables
    images = tables[base][0]
    for name, runs in tables.items():
        for number, run in enumerate(runs):
            _check_same(images, run, f"run {number} of {name}", f"run 0 of {base}")
    scores = {name: np.array([run["score"] for run in runs]) for name, runs in tables.items()}
    return images, scores


def _tables(runs: Runs, split: str, name: str) -> list[pd.DataFrame]:
    """Of each run the images of one split in the order of their paths, which become the index."""
    if not len(runs):
        raise ValueError(f"{name} has no runs: give one or more")
    return [_rows(run, split, f"run {number} of {name}") for number, run in enumerate(runs)]


def _rows(run: pd.DataFrame, split: str, name: str) -> pd.DataFrame:
    if missing := [column for column in _REQUIRED if column not in run]:
        raise ValueError(f"{name} has no column {', '.join(missing)}")
    rows = run[run["split"] == split].set_index("path").sort_index()
    if rows.empty:
        raise ValueError(f"{name} has no images of {split}: there are {sorted(set(run['split']))}")
    if repeated := int(rows.index.duplicated().sum()):
        raise ValueError(f"{repeated} of {len(rows)} paths of {name} are repeated: give each once")
    if unknown := int(rows["patient"].isna().sum()):
        raise ValueError(f"{unknown} of {len(rows)} images of {name} have no patient")
    checks.both_classes(rows["label"], f"labels of {name}")
    checks.in_unit_interval(rows["score"], f"scores of {name}")
    return rows


def _check_same(images: pd.DataFrame, rows: pd.DataFrame, name: str, base: str) -> None:
    gone, new = len(images.index.difference(rows.index)), len(rows.index.difference(images.index))
    if gone or new:
        raise ValueError(
            f"{name} has other images than {base}: it lacks {gone} of {len(images)} "
            f"and has {new} more. Compare runs on the same data"
        )
    for column in ("label", "patient"):
        if other := int((images[column] != rows[column]).sum()):
            raise ValueError(
                f"{name} has another {column} than {base} for {other} of "
                f"{len(images)} images. Compare runs on the same data"
            )
