"""Tables of numbers -> tables and sentences for people, computed and never typed."""

from collections.abc import Sequence
from typing import Any, Final

import pandas as pd


def wide(summary: pd.DataFrame) -> pd.DataFrame:
    """A summary for reading: one row a metric, one column a split and threshold.

    Args:
        summary: As `evaluation.summary` returns it.

    Returns:
        Text such as `".934 [.912, .953]"`, indexed by metric, with columns such as
        `"test at .50"`.
    """
    # As many digits as tell the thresholds apart.
    thresholds, digits = summary["threshold"].unique(), 2
    while len({short(threshold, digits) for threshold in thresholds}) < len(thresholds):
        digits += 1
    shown = summary.assign(
        column=[
            f"{split} at {short(threshold, digits)}"
            for split, threshold in zip(summary["split"], summary["threshold"], strict=True)
        ],
        text=[
            interval(*numbers)
            for numbers in summary[["value", "low", "high"]].itertuples(index=False, name=None)
        ],
    )
    columns, rows = list(dict.fromkeys(shown["column"])), list(dict.fromkeys(shown["metric"]))
    table = shown.drop_duplicates(["metric", "column"]).pivot(
        index="metric", columns="column", values="text"
    )
    return table.loc[rows, columns].rename_axis(columns=None)


def found(summary: pd.DataFrame, history: pd.DataFrame) -> str:
    """What a run found, as sentences in Markdown with its own numbers.

    Args:
        summary: As `evaluation.summary` returns it.
        history: As `training.fit` returns it.

    Returns:
        One paragraph.
    """
    at_half = summary[summary["rule"] == "0.5"].set_index(["split", "metric"])

    def said(split: str, metric: str) -> str:
        row = at_half.loc[(split, metric)]
        return f"{short(row['value'])} (95 % interval {short(row['low'])} to {short(row['high'])})"

    last = history[history["split"] == "train"].iloc[-1]
    lost = at_half.loc[("validation", "AUC"), "value"] - at_half.loc[("test", "AUC"), "value"]
    overlap = (
        at_half.loc[("validation", "AUC"), "low"] <= at_half.loc[("test", "AUC"), "high"]
        and at_half.loc[("test", "AUC"), "low"] <= at_half.loc[("validation", "AUC"), "high"]
    )
    by = short(abs(lost))
    change = f"{'lower' if lost > 0 else 'higher'} on test by {by}" if by != ".000" else "the same"
    return (
        f"After {int(last['epoch'])} epochs the training accuracy was {short(last['accuracy'])}. "
        f"The AUC on validation is {said('validation', 'AUC')}, on test {said('test', 'AUC')}: "
        f"{change}, and the two intervals {'overlap' if overlap else 'do not overlap'}. "
        f"At threshold .5 the accuracy on test is {said('test', 'accuracy')}, the sensitivity "
        f"{said('test', 'sensitivity')} and the specificity {said('test', 'specificity')}. "
        "One seed, one split: another seed would move these numbers too."
    )


def found_in_shares(shares: pd.DataFrame) -> str:
    """What a network's verdict rests on, as sentences in Markdown.

    Args:
        shares: As `exchange.shares` returns it.

    Returns:
        One paragraph.
    """
    if shares["value"].isna().all():
        return (
            "This network does not score pneumonia above normal even on validation: there is no "
            "distance between the classes for a cue to have a share of."
        )
    first, *others = [
        f"{row.cue} ({interval(row.value, row.low, row.high)})" for row in shares.itertuples()
    ]
    return (
        f"Given the other class' look in one respect, the images go the farthest towards the "
        f"other class' score by **{first}**, as a share of the whole way. Then come "
        f"{', '.join(others)}. The images are the same but for that, so it is what the network "
        "reads, not what it might. Where the files do not differ, as in the shape of copies that "
        "were all made squares, nothing is exchanged, and the share is 0 whatever the network "
        "reads. Compression and shape are the file's alone; sharpness and "
        "exposure are partly the lungs' own, for consolidation is white."
    )


def interval(value: float, low: float, high: float) -> str:
    """A number with its interval, as `.934 [.912, .953]`."""
    return f"{short(value)} [{short(low)}, {short(high)}]"


def short(value: float, digits: int = 3) -> str:
    """A number without the zero before its point: `.934` for 0.934, `-.012` for -0.012."""
    text = f"{value:z.{digits}f}"  # z: no minus before a zero
    return text.replace("0.", ".", 1) if text.startswith(("0.", "-0.")) else text


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
        return interval(row[name], row[f"{name} low"], row[f"{name} high"])

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
        shares: As `exchange.shares` returns it, with a column run that names the network.
        effects: As `interventions.effects` returns it, with the same column.

    Returns:
        One row a run: the share of each cue with its interval, and the intervention that takes
        most from the specificity, by how much.
    """
    rows = []
    for run, part in shares.groupby("run", sort=False):
        row = {"run": run}
        for each in part.sort_values("cue").itertuples():
            row[each.cue] = interval(each.value, each.low, each.high)
        specificity = effects[(effects["run"] == run) & (effects["measure"] == "specificity")]
        worst = specificity.loc[specificity["value"].idxmin()]
        change = interval(worst["value"], worst["low"], worst["high"])
        rows.append(row | {"specificity suffers most": f"{worst['intervention']}: {change}"})
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
                row[f"{on} AUC"] = short(auc.loc[on, "mean"])
            else:
                row[f"{on} AUC"] = interval(*auc.loc[on])
        rests = part[part["metric"].str.startswith("rests on ")].groupby("metric")["value"].mean()
        strongest = rests.sort_values(ascending=False).head(2)
        row["rests on"] = ", ".join(
            f"{metric.removeprefix('rests on ')} {short(value, 2)}"
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
                interval(*found[["value", "low", "high"]].iloc[0])
                if seeds == 1
                else interval(values.mean(), values.min(), values.max())
            )
        rows.append(row)
    return pd.DataFrame(rows)


def _whole(number: float | None) -> str:
    """A count, which beside missing ones Pandas makes a float."""
    return "-" if number is None or pd.isna(number) else str(int(number))


def found_in_data(table: pd.DataFrame) -> str:
    """What the index shows, as sentences in Markdown.

    Args:
        table: As `index.from_tree` returns it.

    Returns:
        One paragraph.
    """
    train, test = table[table["split"] != "test"], table[table["split"] == "test"]
    sizes = train.groupby("patient").size()
    shared = set(train["patient"]) & set(test["patient"])
    crossing = (
        f"{len(shared)} patients are in train and in test" if shared else "no patient is in both"
    )
    return (
        f"There are {len(table):,} images of {table['patient'].nunique():,} patients. Pneumonia is "
        f"{short(train['label'].mean())} of train and {short(test['label'].mean())} of test: "
        "that is the accuracy of always saying PNEUMONIA. "
        f"{int((sizes > 1).sum()):,} of the {len(sizes):,} patients in train have several images, "
        f"up to {int(sizes.max())}; {crossing}."
    )


def found_in_files(findings: pd.DataFrame) -> str:
    """What the audit found, in a sentence of Markdown.

    Args:
        findings: As `audit.findings` returns it.

    Returns:
        The names of the checks that came out severe, and of those that came out as a warning.
    """

    def named(severity: str) -> str:
        checks = findings.loc[findings["severity"] == severity, "check"]
        return f"{len(checks)} ({', '.join(checks)})" if len(checks) else "none"

    return (
        f"Of {len(findings)} checks of the files, severe: {named('severe')}; "
        f"a warning: {named('warning')}."
    )


def found_in_baseline(summary: pd.DataFrame) -> str:
    """What a model that never saw a picture reached, as a sentence in Markdown.

    Args:
        summary: As `evaluation.summary` returns it, of `shortcuts.baseline`'s predictions.

    Returns:
        Two sentences.
    """
    auc = summary[(summary["metric"] == "AUC") & (summary["rule"] == "0.5")].set_index("split")
    validation, test = (
        interval(*auc.loc[split, ["value", "low", "high"]]) for split in ("validation", "test")
    )
    return (
        f"A model that never saw a picture, only the file's size, shape and compression, has an "
        f"AUC of {validation} within `train`, on children that it does not know, and of {test} on "
        "`test`. That is what a validation cut from `train` can be worth: a network has to do "
        "better than the first of these numbers before it has shown that it looks at lungs, and "
        "to keep it up on the second."
    )


def found_in_steps(steps: pd.DataFrame, compared: pd.DataFrame) -> str:
    """What a progression shows, as a list in Markdown.

    Args:
        steps: As `steps` takes it.
        compared: As `comparison.neighbours` returns it.

    Returns:
        One line a step: what it reached, and whether that differs from the step before it.
    """
    auc = steps[steps["metric"] == "AUC"].set_index(["step", "split"])
    against = compared[compared["metric"] == "AUC"].set_index("second")
    lines = []
    for name in dict.fromkeys(steps["step"]):
        test, validation = auc.loc[(name, "test")], auc.loc[(name, "validation")]
        chance = "not distinguishable from"
        if test["low"] > 0.5:
            chance = "above"
        elif test["high"] < 0.5:
            chance = "below"
        line = (
            f"- **{name}** ({_seeds(test['runs'])}): AUC {short(validation['value'])} on "
            f"validation, {interval(*test[['value', 'low', 'high']])} on test, which is {chance} "
            "chance."
        )
        if name in against.index:
            row = against.loc[name]
            verdict = "more than" if row["p_holm"] < 0.05 else "no more than"
            line += (
                f" Against {row['first']}: {signed(row['difference'])} "
                f"[{signed(row['low'])}, {signed(row['high'])}], {verdict} chance in the choice of "
                f"patients explains ({probability(row['p_holm'])}, corrected)."
            )
        lines.append(line)
    return "\n".join(lines)


def steps(numbers: pd.DataFrame) -> pd.DataFrame:
    """A table for reading of what each step reached.

    Args:
        numbers: As `comparison.together` returns it, of validation and of test, with the columns
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
                text = interval(each["value"], each["low"], each["high"])
                if each["runs"] > 1:
                    text += f" ± {short(each['standard deviation'])}"
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
        compared: As `comparison.pairs` returns it.
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
                f"{short(second)}, {short(first)}"
                for first, second in zip(shown["first value"], shown["second value"], strict=True)
            ],
            "difference": [
                f"{signed(value)} [{signed(low)}, {signed(high)}]"
                for value, low, high in shown[["difference", "low", "high"]].itertuples(index=False)
            ],
            "p, Holm": [probability(value) for value in shown["p_holm"]],
            "by": shown["test"],
        }
    ).reset_index(drop=True)


def points(operating: pd.DataFrame) -> pd.DataFrame:
    """A table for reading of ways to choose a threshold.

    Args:
        operating: As `evaluation.operating_points` returns it.

    Returns:
        One row a rule: the threshold, and every metric with its interval.
    """
    rows = []
    for (rule, threshold), part in operating.groupby(["rule", "threshold"], sort=False):
        numbers = part.set_index("metric")[["value", "low", "high"]]
        rows.append(
            {"threshold by": rule, "at": short(threshold)}
            | {name: interval(*values) for name, *values in numbers.itertuples(name=None)}
        )
    return pd.DataFrame(rows)


def calibrated(calibration: pd.DataFrame) -> pd.DataFrame:
    """A table for reading of whether scores mean what they say.

    Args:
        calibration: As `calibration.calibration` returns it.

    Returns:
        One row a split and temperature, one column a metric.
    """
    rows = []
    for (split, divisor), part in calibration.groupby(["split", "temperature"], sort=False):
        row = {"split": split, "temperature": f"{divisor:.2f}"}
        for each in part.to_dict("records"):
            known = pd.notna(each["low"])
            row[each["metric"]] = (
                interval(each["value"], each["low"], each["high"])
                if known
                else short(each["value"])
            )
        rows.append(row)
    return pd.DataFrame(rows)


def signed(value: float) -> str:
    """A difference with its sign: `+.012`, `-.012`, `.000`."""
    text = short(value)
    return text if text.startswith("-") or text == ".000" else f"+{text}"


def probability(p: float) -> str:
    """`p = .034`, or `p < .001`."""
    if pd.isna(p):
        return "p not defined"
    return "p < .001" if p < 0.001 else f"p = {short(p)}"


def _seeds(runs: int) -> str:
    return "one seed" if runs == 1 else f"{int(runs)} seeds"


def protocol(record: dict[str, Any]) -> str:
    """How a run was made, in one sentence: data, precision, device.

    Args:
        record: As `records.read` returns it.

    Returns:
        The sentence, the same for runs of one protocol.
    """
    counts = pd.DataFrame(record["counts"]).groupby("split")["images"].sum()
    if record.get("network") is None:
        return (
            f"Rows without px are no networks but boosted trees on a few numbers of each file: "
            f"validation is a cross-validation by patient over {counts['validation']:,} images, "
            f"test the same {counts['test']:,} images."
        )
    return (
        f"{counts['train']:,} images to train on, {counts['validation']:,} of other patients to "
        f"choose the epoch and the second threshold, {counts['test']:,} test images read once at "
        f"the end; threshold .5; {record['precision']} on {record['device']}; 95 % intervals from "
        "2,000 resamples of patients."
    )
