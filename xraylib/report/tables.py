"""Tables of numbers -> tables and sentences for people, computed and never typed."""

from collections.abc import Sequence
from typing import Final

import pandas as pd

from xraylib.report import sentences


def wide(summary: pd.DataFrame) -> pd.DataFrame:
    """A summary for reading: one row a metric, one column a split and threshold.

    Args:
        summary: As `thresholds.summary` returns it.

    Returns:
        Text such as `".934 [.912, .953]"`, indexed by metric, with columns such as
        `"test at .50"`.
    """
    # As many digits as tell the thresholds apart.
    thresholds, digits = summary["threshold"].unique(), 2
    while len({sentences.short(threshold, digits) for threshold in thresholds}) < len(thresholds):
        digits += 1
    shown = summary.assign(
        column=[
            f"{split} at {sentences.short(threshold, digits)}"
            for split, threshold in zip(summary["split"], summary["threshold"], strict=True)
        ],
        text=[
            sentences.interval(*numbers)
            for numbers in summary[["value", "low", "high"]].itertuples(index=False, name=None)
        ],
    )
    columns, rows = list(dict.fromkeys(shown["column"])), list(dict.fromkeys(shown["metric"]))
    table = shown.drop_duplicates(["metric", "column"]).pivot(
        index="metric", columns="column", values="text"
    )
    return table.loc[rows, columns].rename_axis(columns=None)


def progression(table: pd.DataFrame) -> pd.DataFrame:
    """A table of runs for reading: what each was, and what it reached, as text.

    Args:
        table: As `records.table` returns it.

    Returns:
        The columns step, px, epochs (the best of how many), seed, validation AUC, and on test AUC,
        accuracy, sensitivity and specificity, all at .5 and with their intervals. What has no
        pixels or no epochs, as a baseline, shows a dash.
    """

    def shown(row: pd.Series, name: str) -> str:
        return sentences.interval(row[name], row[f"{name} low"], row[f"{name} high"])

    rows = []
    for _, row in table.iterrows():
        rows.append(
            {
                "step": row["step"],
                "px": _whole(row.get("image_size")),
                "epochs": " of ".join(_whole(row[name]) for name in ("best_epoch", "epochs"))
                if pd.notna(row["epochs"])
                else "-",
                "seed": row.get("seed"),
                "validation AUC": shown(row, "validation AUC"),
                "test AUC": shown(row, "test AUC"),
                "test accuracy": shown(row, "test accuracy"),
                "sensitivity": shown(row, "test sensitivity"),
                "specificity": shown(row, "test specificity"),
            }
        )
    return pd.DataFrame(rows)


def resting(shares: pd.DataFrame, effects: pd.DataFrame) -> pd.DataFrame:
    """A table for reading of what the verdicts of several networks rest on.

    Args:
        shares: As `swaps.effects` returns it, with a column run that names the network.
        effects: As `perturbations.effects` returns it, with the same column.

    Returns:
        One row a run: the share of each cue with its interval, and the perturbation that takes
        most from the specificity, by how much.
    """
    rows = []
    for run, part in shares.groupby("run", sort=False):
        row = {"run": run}
        for each in part.sort_values("cue").itertuples():
            row[each.cue] = sentences.interval(each.value, each.low, each.high)
        specificity = effects[(effects["run"] == run) & (effects["measure"] == "specificity")]
        worst = specificity.loc[specificity["value"].idxmin()]
        change = sentences.interval(worst["value"], worst["low"], worst["high"])
        rows.append(row | {"specificity suffers most": f"{worst['perturbation']}: {change}"})
    return pd.DataFrame(rows)


def countermeasures(results: pd.DataFrame) -> pd.DataFrame:
    """A table for reading of what each countermeasure did, over the seeds it was tried with.

    Args:
        results: In long form, as `experiments/countermeasures.py` writes it: a first column that
            names the data, then countermeasure, seed, on, metric, value, and images, of matched
            validation the effective number. Of fewer than 20 an AUC is not shown.

    Returns:
        One row a data set and countermeasure, in the order of `results`: the mean AUC of its seeds
        on validation, on matched validation and on test, the lowest and highest in brackets where
        there are several, and the two cues that most of the verdict rests on, by the mean share.
    """
    data = results.columns[0]
    table = results.assign(on=results["on"].str.replace(r" matched for .*", " matched", regex=True))
    rows = []
    for (name, countermeasure), part in table.groupby([data, "countermeasure"], sort=False):
        enough = part[~(part["images"] < 20)]
        auc = enough[enough["metric"] == "AUC"].groupby("on")["value"].agg(["mean", "min", "max"])
        seeds = part["seed"].nunique()
        row = {data: name, "countermeasure": countermeasure, "seeds": seeds}
        for on in ("validation", "validation matched", "test"):
            if on not in auc.index:
                row[f"{on} AUC"] = "-"
            elif seeds == 1:
                row[f"{on} AUC"] = sentences.short(auc.loc[on, "mean"])
            else:
                row[f"{on} AUC"] = sentences.interval(*auc.loc[on])
        rests = part[part["metric"].str.startswith("rests on ")].groupby("metric")["value"].mean()
        strongest = rests.sort_values(ascending=False).head(2)
        row["rests on"] = ", ".join(
            f"{metric.removeprefix('rests on ')} {sentences.short(value, 2)}"
            for metric, value in strongest.items()
        )
        rows.append(row)
    return pd.DataFrame(rows)


def protocols(results: pd.DataFrame) -> pd.DataFrame:
    """A table for reading of what each protocol says of the network.

    Args:
        results: In long form, as `experiments/protocols.py` writes it: data, protocol, seed,
            images, metric, value, low, high.

    Returns:
        One row a data set and protocol, in the order of `results`: how many seeds, how many images
        were judged, and AUC, accuracy, sensitivity and specificity as text. Of one seed they come
        with their interval, of several as their mean, lowest and highest in brackets.
    """
    rows = []
    for (_, protocol), part in results.groupby(["data", "protocol"], sort=False):
        seeds = part["seed"].nunique()
        row = {"protocol": protocol, "seeds": seeds, "judged images": f"{part['images'].max():,}"}
        for metric in ("AUC", "accuracy", "sensitivity", "specificity"):
            found = part[part["metric"] == metric]
            values = found["value"]
            row[metric] = (
                sentences.interval(*found[["value", "low", "high"]].iloc[0])
                if seeds == 1
                else sentences.interval(values.mean(), values.min(), values.max())
            )
        rows.append(row)
    return pd.DataFrame(rows)


def _whole(number: float | None) -> str:
    """A count, which beside missing ones Pandas makes a float."""
    return "-" if number is None or pd.isna(number) else str(int(number))


def steps(numbers: pd.DataFrame) -> pd.DataFrame:
    """A table for reading of what each step reached.

    Args:
        numbers: As `comparison.averages` returns it, of validation and of test, with the columns
            step and split before.

    Returns:
        One row a step: the mean over its seeds with the interval over patients, and after ± the
        standard deviation over the seeds where there are several.
    """
    rows = []
    for name, part in numbers.groupby("step", sort=False):
        row = {"step": name, "seeds": int(part["runs"].max())}
        for split, metric in _SHOWN:
            found = part[(part["split"] == split) & (part["metric"] == metric)]
            for each in found.to_dict("records"):
                text = sentences.interval(each["value"], each["low"], each["high"])
                if each["runs"] > 1:
                    text += f" ± {sentences.short(each['standard_deviation'])}"
                row[metric if metric in ("sensitivity", "specificity") else f"{split} {metric}"] = (
                    text
                )
        rows.append(row)
    return pd.DataFrame(rows)


_SHOWN: Final = (
    ("validation", "AUC"),
    ("test", "AUC"),
    ("test", "accuracy"),
    ("test", "sensitivity"),
    ("test", "specificity"),
)


def pairs(compared: pd.DataFrame, metrics: Sequence[str] = ("AUC",)) -> pd.DataFrame:
    """A table for reading of paired comparisons.

    Args:
        compared: As `comparison.differences` returns it.
        metrics: Which ones to show.

    Returns:
        One row a comparison and metric: step, against, metric, both values, the difference with its
        interval, and p corrected after Holm, with the method.
    """
    shown = compared[compared["metric"].isin(metrics)]
    return pd.DataFrame(
        {
            "step": shown["second"],
            "against": shown["first"],
            "metric": shown["metric"],
            "values": [
                f"{sentences.short(second)}, {sentences.short(first)}"
                for first, second in zip(shown["first_value"], shown["second_value"], strict=True)
            ],
            "difference": [
                f"{sentences.signed(value)} [{sentences.signed(low)}, {sentences.signed(high)}]"
                for value, low, high in shown[["difference", "low", "high"]].itertuples(index=False)
            ],
            "p, Holm": [sentences.probability(value) for value in shown["p_holm"]],
            "by": shown["test"],
        }
    ).reset_index(drop=True)


def points(operating: pd.DataFrame) -> pd.DataFrame:
    """A table for reading of ways to choose a threshold.

    Args:
        operating: As `thresholds.operating_points` returns it.

    Returns:
        One row a rule: the threshold, and every metric with its interval.
    """
    rows = []
    for (rule, threshold), part in operating.groupby(["description", "threshold"], sort=False):
        numbers = part.set_index("metric")[["value", "low", "high"]]
        rows.append(
            {"threshold by": rule, "at": sentences.short(threshold)}
            | {name: sentences.interval(*values) for name, *values in numbers.itertuples(name=None)}
        )
    return pd.DataFrame(rows)


def calibrated(calibration: pd.DataFrame) -> pd.DataFrame:
    """A table for reading of whether scores mean what they say.

    Args:
        calibration: As `calibration.summary` returns it.

    Returns:
        One row a split and temperature, one column a metric.
    """
    rows = []
    for (split, divisor), part in calibration.groupby(["split", "temperature"], sort=False):
        row = {"split": split, "temperature": f"{divisor:.2f}"}
        for each in part.to_dict("records"):
            known = pd.notna(each["low"])
            row[each["metric"]] = (
                sentences.interval(each["value"], each["low"], each["high"])
                if known
                else sentences.short(each["value"])
            )
        rows.append(row)
    return pd.DataFrame(rows)
