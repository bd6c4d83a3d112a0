"""Turn tables of numbers into tables for readers, with intervals as text."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import pandas as pd

from xraylib.evaluation.calibration import net_benefit
from xraylib.evaluation.calibration import reliability as reliability_of
from xraylib.evaluation.metrics import by_subtype
from xraylib.evaluation.thresholds import Rule
from xraylib.report import sentences
from xraylib.runs.records import Record

# Split, metric, and the heading of its column.
_HEADLINES: Final = (
    ("validation", "AUC", "validation AUC"),
    ("test", "AUC", "test AUC"),
    ("test", "accuracy", "test accuracy"),
    ("test", "sensitivity", "sensitivity"),
    ("test", "specificity", "specificity"),
)


def summary(metrics: pd.DataFrame) -> pd.DataFrame:
    """Lay out the metrics of one run, one row a metric and one column a split and threshold.

    Args:
        metrics: As `thresholds.summary` returns it.

    Returns:
        Text such as `".934 [.912, .953]"`, indexed by metric, with columns such as
        `"test at .50"`.
    """
    # As many digits as tell the thresholds apart.
    thresholds, digits = metrics["threshold"].unique(), 2
    while len({sentences.short(threshold, digits) for threshold in thresholds}) < len(thresholds):
        digits += 1
    texts = metrics.assign(
        column=[
            f"{split} at {sentences.short(threshold, digits)}"
            for split, threshold in zip(metrics["split"], metrics["threshold"], strict=True)
        ],
        text=_intervals(metrics),
    )
    columns, rows = list(dict.fromkeys(texts["column"])), list(dict.fromkeys(texts["metric"]))
    table = texts.drop_duplicates(["metric", "column"]).pivot(
        index="metric", columns="column", values="text"
    )
    return table.loc[rows, columns].rename_axis(columns=None)


def runs(records: Sequence[Record]) -> pd.DataFrame:
    """List runs: what each was, and what it reached at threshold .5.

    Args:
        records: One or more.

    Returns:
        The columns run (the folder's name, which begins with the step's), px, epochs (the best of
        how many), seed, validation AUC, and of test AUC, accuracy, sensitivity and specificity,
        all with their intervals; and unreadable, how many files were left out because they cannot
        be read, where there are any. What does not apply, as the epochs of a baseline, is a dash.
    """
    some_unreadable = any(record.unreadable for record in records)
    rows = []
    for record in records:
        at_half = record.metrics[record.metrics["rule"] == Rule.HALF]
        keys = zip(at_half["split"], at_half["metric"], strict=True)
        texts = dict(zip(keys, _intervals(at_half), strict=True))
        rows.append(
            {
                "run": record.folder.name,
                "px": str(record.settings.get("IMAGE_SIZE", "-")),
                "epochs": f"{record.best_epoch} of {record.epochs}" if record.epochs else "-",
                "seed": record.seed,
            }
            | {name: texts.get((split, metric), "-") for split, metric, name in _HEADLINES}
        )
        if some_unreadable:
            unknown = record.unreadable is None
            rows[-1]["unreadable"] = "-" if unknown else str(record.unreadable)
    return pd.DataFrame(rows)


def steps(reached: pd.DataFrame) -> pd.DataFrame:
    """Show what each step reached.

    Args:
        reached: As `comparison.averages` returns it.

    Returns:
        One row a step: the mean over its seeds with the interval over patients, and after ± the
        standard deviation over the seeds where there are several.
    """
    rows = []
    for name, part in reached.groupby("step", sort=False):
        row = {"step": name, "seeds": int(part["runs"].max())}
        for split, metric, heading in _HEADLINES:
            one = part[(part["split"] == split) & (part["metric"] == metric)]
            for text, deviation in zip(_intervals(one), one["standard_deviation"], strict=True):
                several = pd.notna(deviation)
                row[heading] = f"{text} ± {sentences.short(deviation)}" if several else text
        rows.append(row)
    return pd.DataFrame(rows)


def pairs(compared: pd.DataFrame, metrics: Sequence[str] = ("AUC",)) -> pd.DataFrame:
    """Show paired comparisons.

    Args:
        compared: As `comparison.differences` returns it.
        metrics: Which ones to show.

    Returns:
        One row a comparison and metric: step, against, metric, both values, the difference with its
        interval, and p corrected after Holm, with the method.
    """
    part = compared[compared["metric"].isin(metrics)]
    return pd.DataFrame(
        {
            "step": part["second"],
            "against": part["first"],
            "metric": part["metric"],
            "values": [
                f"{sentences.short(second)}, {sentences.short(first)}"
                for first, second in zip(part["first_value"], part["second_value"], strict=True)
            ],
            "difference": [
                f"{sentences.signed(value)} [{sentences.signed(low)}, {sentences.signed(high)}]"
                for value, low, high in part[["difference", "low", "high"]].itertuples(index=False)
            ],
            "p, Holm": [sentences.probability(value) for value in part["p_holm"]],
            "by": part["test"],
        }
    ).reset_index(drop=True)


def operating_points(points: pd.DataFrame) -> pd.DataFrame:
    """Show what each rule for choosing a threshold reaches.

    Args:
        points: As `thresholds.operating_points` returns it.

    Returns:
        One row a rule: the threshold, and every metric with its interval.
    """
    rows = []
    for (rule, threshold), part in points.groupby(["description", "threshold"], sort=False):
        texts = dict(zip(part["metric"], _intervals(part), strict=True))
        rows.append({"threshold by": rule, "at": sentences.short(threshold)} | texts)
    return pd.DataFrame(rows)


def calibration(measured: pd.DataFrame) -> pd.DataFrame:
    """Show how well scores are calibrated.

    Args:
        measured: As `calibration.summary` returns it.

    Returns:
        One row a split and temperature, one column a metric.
    """
    rows = []
    for (split, temperature), part in measured.groupby(["split", "temperature"], sort=False):
        texts = dict(zip(part["metric"], _intervals(part), strict=True))
        rows.append({"split": split, "temperature": f"{temperature:.2f}"} | texts)
    return pd.DataFrame(rows)


def subtypes(test: pd.DataFrame, *, seed: int = 0) -> pd.DataFrame:
    """Show how well each kind of pneumonia is separated from all normal images.

    Args:
        test: One row an image, with the columns label, score, patient and subtype.
        seed: Of the resampling for the intervals.

    Returns:
        One row a kind: how many images and patients, and AUC and sensitivity at threshold .5 with
        their intervals.
    """
    measured = by_subtype(
        test["label"].to_numpy(),
        test["score"].to_numpy(),
        test["subtype"].to_numpy(),
        patients=test["patient"].to_numpy(),
        seed=seed,
    )
    rows = []
    for kind, part in measured.groupby("subtype", sort=False):
        counts = {"images": int(part["images"].max()), "patients": int(part["patients"].max())}
        rows.append(
            {"kind": kind} | counts | dict(zip(part["metric"], _intervals(part), strict=True))
        )
    return pd.DataFrame(rows)


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


def _intervals(rows: pd.DataFrame) -> list[str]:
    """The texts of value, low and high; the value alone where the interval is not known."""
    return [
        sentences.interval(value, low, high)
        if pd.notna(low) or pd.isna(value)
        else sentences.short(value)
        for value, low, high in rows[["value", "low", "high"]].itertuples(index=False, name=None)
    ]
