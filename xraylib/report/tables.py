"""Turn tables of numbers into tables for readers, with intervals as text."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from xraylib import names
from xraylib.data import layout, patients
from xraylib.evaluation.calibration import net_benefit
from xraylib.evaluation.calibration import reliability as reliability_of
from xraylib.evaluation.metrics import by_subtype
from xraylib.evaluation.thresholds import Rule
from xraylib.report import sentences
from xraylib.report.sentences import short, signed
from xraylib.runs.record import Record

# Parameters with a column of their own, or that are a place.
_OWN: Final = ("IMAGE_SIZE", "SEED", "RUN_DIR")
# The headings of columns, and the split and metric below each.
_HEADLINES: Final = {
    "validation AUC": ("validation", "AUC"),
    "test AUC": ("test", "AUC"),
    "test accuracy": ("test", "accuracy"),
    "sensitivity": ("test", "sensitivity"),
    "specificity": ("test", "specificity"),
}


def summary(metrics: pd.DataFrame) -> pd.DataFrame:
    """Lay out the metrics of one run, one row a metric and one column a split and threshold.

    Args:
        metrics: As `thresholds.summary` returns it.

    Returns:
        Text such as `".934 [.912, .953]"`, indexed by metric, with columns such as
        `"test at .50"`.
    """
    table = _one_column_a_metric(metrics, ["split", "threshold"]).set_index(["split", "threshold"])
    # As many digits as tell the thresholds apart.
    thresholds, digits = metrics["threshold"].unique(), 2
    while len({short(threshold, digits) for threshold in thresholds}) < len(thresholds):
        digits += 1
    columns = [f"{split} at {short(threshold, digits)}" for split, threshold in table.index]
    return table.set_axis(columns).T.rename_axis("metric")


def runs(records: Sequence[Record]) -> pd.DataFrame:
    """List runs: what each was, and what it reached at threshold .5.

    Returns:
        The columns run (the folder's name, which begins with the step's), px, epochs (the best of
        how many), seed; one for each other parameter in which two of the runs differ, under its own
        name; data (of the fingerprint) and finished, where runs of the same seed saw other data;
        validation AUC, and of test AUC, accuracy, sensitivity and specificity, all with their
        intervals; and unreadable, how many files were left out because they cannot be read, where
        there are any. What does not apply, as the epochs of a baseline, is a dash.
    """
    differing = _differing(records)
    by_seed: dict[object, set[str]] = {}
    for record in records:
        by_seed.setdefault((record.seed, record.settings.get("LIMIT")), set()).add(
            record.fingerprint
        )
    rows = []
    for record in records:
        row = {
            "run": names.shown(record.folder.name),
            "px": str(record.settings.get("IMAGE_SIZE", "-")),
            "epochs": f"{record.best_epoch} of {record.epochs}" if record.epochs else "-",
            "seed": record.seed,
        }
        row |= {name: _parameter(record, name, records) for name in differing}
        if any(len(fingerprints) > 1 for fingerprints in by_seed.values()):
            row |= {"data": record.fingerprint[:8], "finished": record.finished[:19]}
        at_half = record.metrics[record.metrics["rule"] == Rule.HALF]
        row |= dict.fromkeys(_HEADLINES, "-") | _headlines(at_half)
        if any(each.unreadable for each in records):
            row["unreadable"] = "-" if record.unreadable is None else str(record.unreadable)
        rows.append(row)
    return pd.DataFrame(rows)


def folders(records: Sequence[Record]) -> pd.DataFrame:
    """List what runs took the files of their folder for.

    Returns:
        One row for all runs with the same facts, with the columns runs (the names of their
        folders), class 0, class 1, patients (as `patients.describe` says it) and not taken (as
        `layout.summary` says it). What an earlier version did not record is a dash.
    """
    runs_of: dict[tuple[str, ...], list[str]] = {}
    for record in records:
        rest = record.passed_over
        facts = (
            *(names.shown(name) for name in record.classes or ("-", "-")),
            patients.describe(record.patients) if record.patients else "-",
            "-" if rest is None else layout.summary(rest) or "nothing",
        )
        runs_of.setdefault(facts, []).append(names.shown(record.folder.name))
    rows = [(", ".join(runs), *facts) for facts, runs in runs_of.items()]
    return pd.DataFrame(rows, columns=["runs", "class 0", "class 1", "patients", "not taken"])


def _differing(records: Sequence[Record]) -> list[str]:
    """The parameters in which two runs differ, in their order; those that have a column are not.

    What a run lacks was off in its version, and does not apply to another step.
    """
    known = dict.fromkeys(name for record in records for name in record.parameters)

    def differs(name: str) -> bool:
        values = {_text(each.parameters[name]) for each in records if name in each.parameters}
        of_steps: dict[str, set[str]] = {}
        for each in records:
            of_steps.setdefault(each.step, set()).add(_text(each.parameters.get(name)))
        return max(map(len, [values, *of_steps.values()])) > 1

    return [name for name in known if name not in _OWN and differs(name)]


def _parameter(record: Record, name: str, records: Sequence[Record]) -> str:
    """A parameter as text; of a folder its name, where that tells it from the others."""
    if name not in record.parameters:
        return "-"
    text = _text(record.parameters[name])
    if name != "SOURCE":
        return text
    sources = {_text(each.parameters[name]) for each in records if name in each.parameters}
    short = {Path(source).name for source in sources}
    return Path(text).name if len(short) == len(sources) else text


def _text(value: object) -> str:
    """What is off, as 0, empty or None, is one value; 0.1 and 1e-1 as well."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return names.shown(value) if value else "-"


def steps(averages: pd.DataFrame) -> pd.DataFrame:
    """Show what each step reached.

    Args:
        averages: As `comparison.averages` returns it.

    Returns:
        One row a step: the mean over its seeds with its interval, and after ± the standard
        deviation over the seeds where there are several.
    """
    return pd.DataFrame(
        [
            {"step": name, "seeds": int(part["runs"].max())} | _headlines(part)
            for name, part in averages.groupby("step", sort=False)
        ]
    )


def pairs(differences: pd.DataFrame, *, unit: str = "patients") -> pd.DataFrame:
    """Show paired comparisons of AUC and balanced accuracy.

    Args:
        differences: As `comparison.differences` returns it.
        unit: What was resampled, as `patients.unit` says it.

    Returns:
        One row a comparison and metric: step, against, metric, both values, the difference with its
        interval, and p corrected after Holm, with the method.
    """
    rows = [
        {
            "step": row.second,
            "against": row.first,
            "metric": row.metric,
            "values": f"{short(row.second_value)}, {short(row.first_value)}",
            "difference": f"{signed(row.difference)} [{signed(row.low)}, {signed(row.high)}]",
            "p, Holm": sentences.probability(row.p_holm),
            "by": _method(row.test, unit),
        }
        for row in differences.itertuples()
        if row.metric in ("AUC", "balanced accuracy")
    ]
    return pd.DataFrame(rows)


def cues(records: Sequence[Record]) -> pd.DataFrame:
    """Show how far each cue alone carries the networks of some runs to the other class's scores.

    Args:
        records: Runs; those without swap effects are passed over.

    Returns:
        One row a run and one column a cue: the effect of the swap, as a share of the gap between
        the classes' scores, with its 95 % interval.
    """
    rows = [
        {"run": record.name}
        | dict(zip(record.swap_effects["cue"], _texts(record.swap_effects), strict=True))
        for record in records
        if record.swap_effects is not None
    ]
    table = pd.DataFrame(rows, columns=None if rows else ["run"]).fillna("")
    return table[["run", *sorted(table.columns.drop("run"))]]


def images(rows: pd.DataFrame) -> pd.DataFrame:
    """Show rows of single images, their paths and patients in one line whatever they hold."""
    texts = {name: rows[name].map(names.shown) for name in ("path", "patient") if name in rows}
    return rows.assign(**texts)


def _method(test: str, unit: str) -> str:
    """What `comparison` calls a test, in terms of what was resampled."""
    return (
        "DeLong"
        if unit == "images" and test.startswith("DeLong")
        else test.replace("patients", unit)
    )


def operating_points(points: pd.DataFrame) -> pd.DataFrame:
    """Show what each rule for choosing a threshold reaches.

    Args:
        points: As `thresholds.operating_points` returns it.

    Returns:
        One row a rule: the threshold, and every metric with its interval.
    """
    table = _one_column_a_metric(points, ["description", "threshold"])
    table["threshold"] = table["threshold"].map(short)
    return table.rename(columns={"description": "threshold by", "threshold": "at"})


def calibration(measured: pd.DataFrame) -> pd.DataFrame:
    """Show how well scores are calibrated.

    Args:
        measured: As `calibration.summary` returns it.

    Returns:
        One row a split and temperature, one column a metric.
    """
    table = _one_column_a_metric(measured, ["split", "temperature"])
    return table.assign(temperature=table["temperature"].map("{:.2f}".format))


def subtypes(test: pd.DataFrame, *, seed: int = 0) -> pd.DataFrame:
    """Show how well each kind of pneumonia is separated from all normal images.

    Args:
        test: One row an image, with the columns path, label, score, patient and subtype.
        seed: Of the resampling for the intervals.

    Returns:
        One row a kind: how many images, and how many patients if these are known, and AUC and
        sensitivity at threshold .5 with their intervals.
    """
    columns = (test[name].to_numpy() for name in ("label", "score", "subtype"))
    measured = by_subtype(*columns, patients=test["patient"].to_numpy(), seed=seed)
    unit = patients.unit(test)
    table = _one_column_a_metric(measured, ["subtype", "images", "patients"])
    if unit == "images":
        table = table.drop(columns="patients")
    table = table.rename(columns={"patients": unit})
    return table.rename(columns={"subtype": "kind"})


def groups(measured: pd.DataFrame) -> pd.DataFrame:
    """Show groups of images, one row each.

    Args:
        measured: As `metrics.by_group` returns it.

    Returns:
        The columns group, images, patients, AUC, sensitivity and specificity, with intervals; what
        a group of one class lacks is a dash.
    """
    table = _one_column_a_metric(measured, ["group", "images", "patients"])
    columns = ["group", "images", "patients", "AUC", "sensitivity", "specificity"]
    return table.reindex(columns=columns).astype(object).fillna("-")


def curves(
    predictions: Mapping[str, pd.DataFrame],
) -> tuple[dict[str, pd.DataFrame], dict[str, pd.DataFrame]]:
    """Compute what `plots.curves` draws beside the scores themselves, on test.

    Args:
        predictions: One row an image by the run's name, with the columns split, label and score.

    Returns:
        By name, `calibration.reliability` and, at 49 thresholds from .02 to .98,
        `calibration.net_benefit`.
    """
    reliability, benefit = {}, {}
    for name, rows in predictions.items():
        test = rows[rows["split"] == "test"]
        labels, scores = test["label"].to_numpy(), test["score"].to_numpy()
        reliability[name] = reliability_of(labels, scores)
        benefit[name] = net_benefit(labels, scores, thresholds=np.linspace(0.02, 0.98, 49))
    return reliability, benefit


def _one_column_a_metric(rows: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """The keys in columns of their own, one row for each combination of them."""
    return pd.DataFrame(
        [
            dict(zip(keys, key, strict=True)) | dict(zip(part["metric"], _texts(part), strict=True))
            for key, part in rows.groupby(keys, sort=False)
        ]
    )


def _headlines(rows: pd.DataFrame) -> dict[str, str]:
    keys = zip(rows["split"], rows["metric"], strict=True)
    texts = dict(zip(keys, _texts(rows), strict=True))
    return {heading: texts[key] for heading, key in _HEADLINES.items() if key in texts}


def _texts(rows: pd.DataFrame) -> list[str]:
    """Each value with its interval and its standard deviation over seeds, if these are known."""
    texts = []
    for row in rows.itertuples():
        with_interval = pd.notna(row.low) or pd.isna(row.value)
        text = (
            sentences.interval(row.value, row.low, row.high) if with_interval else short(row.value)
        )
        deviation = getattr(row, "standard_deviation", np.nan)
        texts.append(text if pd.isna(deviation) else f"{text} ± {short(deviation)}")
    return texts
