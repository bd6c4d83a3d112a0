"""Say in sentences what the numbers of a run show, and write numbers as text."""

from pathlib import Path

import pandas as pd

from xraylib import names
from xraylib.data import patients
from xraylib.data.index import class_names
from xraylib.evaluation.thresholds import Rule
from xraylib.runs.record import Record


def run(metrics: pd.DataFrame, history: pd.DataFrame) -> str:
    """Say in a paragraph what a training reached.

    Args:
        metrics: As `thresholds.summary` returns it.
        history: As `training.fit` returns it.
    """
    at_half = metrics[metrics["rule"] == Rule.HALF].set_index(["split", "metric"])

    def number(split: str, metric: str) -> str:
        row = at_half.loc[(split, metric)]
        return f"{short(row['value'])} (95 % interval {short(row['low'])} to {short(row['high'])})"

    last = history[history["split"] == "train"].iloc[-1]
    change = shift(at_half.loc[("validation", "AUC")], at_half.loc[("test", "AUC")])
    return (
        f"After {int(last['epoch'])} epochs the training accuracy was {short(last['accuracy'])}. "
        f"The AUC on validation is {number('validation', 'AUC')}, on test "
        f"{number('test', 'AUC')}: {change}. "
        f"At threshold .5 the accuracy on test is {number('test', 'accuracy')}, the sensitivity "
        f"{number('test', 'sensitivity')} and the specificity {number('test', 'specificity')}. "
        "This is one seed and one split: another seed would change these numbers, too."
    )


def shift(validation: pd.Series, test: pd.Series) -> str:
    """Say in a clause how test differs from validation; each has value, low and high.

    Example:
        >>> numbers = pd.DataFrame({"value": [0.9, 0.7], "low": [0.8, 0.6], "high": [1, 0.75]})
        >>> shift(numbers.iloc[0], numbers.iloc[1])
        'lower on test by .200, and the two intervals do not overlap'
    """
    loss = validation["value"] - test["value"]
    size = short(abs(loss))
    overlap = validation["low"] <= test["high"] and test["low"] <= validation["high"]
    change = f"{'lower' if loss > 0 else 'higher'} on test by {size}"
    if size == ".000":
        change = "the same"
    return f"{change}, and the two intervals {'overlap' if overlap else 'do not overlap'}"


def swaps(effects: pd.DataFrame) -> str:
    """Say in a paragraph of Markdown what a network's scores rest on.

    Effects with an interval wider than 1 are named without a number: so few images do not tell.

    Args:
        effects: As `swaps.effects` returns it.
    """
    if effects["value"].isna().all():
        return (
            "This network does not score pneumonia above normal even on validation: there is no "
            "gap between the classes that a property of the file could account for."
        )
    narrow = effects["high"] - effects["low"] <= 1
    known = [
        (row.cue, interval(row.value, row.low, row.high)) for row in effects[narrow].itertuples()
    ]
    text = ""
    if known:
        cue, effect = known[0]
        text += (
            f"When one property of the file is swapped for the other class's, **{cue}** moves the "
            f"scores most: {effect} of the gap between the classes. "
        )
    if len(known) > 1:
        text += f"Then come {', '.join(f'{cue} {effect}' for cue, effect in known[1:])}. "
    if not narrow.all():
        text += (
            f"With so few images the effect of {', '.join(effects.loc[~narrow, 'cue'])} is not "
            "known: the interval is wider than the gap itself. "
        )
    return text + (
        "Nothing else in the images changes, so this is what the network reads. Where the files of "
        "the classes do not differ, the effect is 0 whatever the network reads. Compression and "
        "shape belong to the file alone; sharpness and exposure belong in part to the lungs, since "
        "consolidation is white."
    )


def data(table: pd.DataFrame) -> str:
    """Say in a paragraph what the table from `index.from_tree` shows."""
    train, test = table[table["split"] != "test"], table[table["split"] == "test"]
    ill = names.shown(class_names(table)[1])
    text = (
        f"There are {len(table):,} images. {patients.describe(patients.facts(table))} {ill} is "
        f"{short(train['label'].mean())} of train and {short(test['label'].mean())} of test: "
        f"that is the accuracy of always saying {ill}."
    )
    known = [part.loc[~patients.unknown(part), "patient"] for part in (train, test)]
    sizes = known[0].value_counts()
    if sizes.empty:
        return text
    shared = set(known[0]) & set(known[1])
    crossing = (
        f"{len(shared):,} of them {'is' if len(shared) == 1 else 'are'} in train and in test"
        if shared
        else "none is in train and in test"
    )
    return (
        f"{text} {int((sizes > 1).sum()):,} of the {len(sizes):,} known patients in train have "
        f"several images, up to {int(sizes.max())}; {crossing}."
    )


def audit(findings: pd.DataFrame) -> str:
    """Say in a sentence which checks of the files found something, from `checks.findings`."""
    names = {}
    for severity in ("severe", "warning"):
        checks = findings.loc[findings["severity"] == severity, "check"]
        names[severity] = f"{len(checks)} ({', '.join(checks)})" if len(checks) else "none"
    return (
        f"Of {len(findings)} checks of the files, severe: {names['severe']}; "
        f"a warning: {names['warning']}."
    )


def baseline(metrics: pd.DataFrame, *, unit: str = "patients") -> str:
    """Say in two sentences of Markdown what a model that never saw a picture reached.

    Args:
        metrics: As `thresholds.summary` returns it for the predictions of `shortcuts.baseline`.
        unit: What they were told apart by, as `patients.unit` says it.
    """
    auc = metrics[(metrics["metric"] == "AUC") & (metrics["rule"] == Rule.HALF)].set_index("split")
    validation, test = (
        interval(*auc.loc[split, ["value", "low", "high"]]) for split in ("validation", "test")
    )
    return (
        "A model that never saw a picture, only the file's size, shape and compression, has an "
        f"AUC of {validation} within `train`, on {unit} that it does not know, and of {test} on "
        "`test`. So much can be had on a validation cut from `train` without looking at lungs: a "
        "network shows that it looks at them only if it exceeds the first of these numbers, and "
        "the second one on `test`."
    )


def steps(
    reached: pd.DataFrame, compared: pd.DataFrame, *, unit: str = "patients"
) -> dict[str, str]:
    """Say what each step reached, and whether it differs from the step before it.

    Args:
        reached: As `comparison.averages` returns it.
        compared: As `comparison.differences` returns it.
        unit: What was resampled, as `patients.unit` says it.

    Returns:
        One or two sentences by step.
    """
    auc = reached[reached["metric"] == "AUC"].set_index(["step", "split"])
    against = compared[compared["metric"] == "AUC"].set_index("second")
    sentences = {}
    for name in dict.fromkeys(reached["step"]):
        test, validation = auc.loc[(name, "test")], auc.loc[(name, "validation")]
        seeds = "one seed" if test["runs"] == 1 else f"{int(test['runs'])} seeds"
        chance = "not distinguishable from"
        if test["low"] > 0.5:
            chance = "above"
        elif test["high"] < 0.5:
            chance = "below"
        sentences[name] = (
            f"AUC {short(validation['value'])} on validation, "
            f"{interval(*test[['value', 'low', 'high']])} on test ({seeds}), which "
            f"is {chance} chance."
        )
        if name in against.index:
            row = against.loc[name]
            verdict = "more than" if row["p_holm"] < 0.05 else "no more than"
            sentences[name] += (
                f" Against {row['first']}: {signed(row['difference'])} "
                f"[{signed(row['low'])}, {signed(row['high'])}], {verdict} chance in the choice of "
                f"{unit} explains ({probability(row['p_holm'])}, corrected)."
            )
    return sentences


def protocol(record: Record) -> str:
    """Say in a sentence how a run was made: data, precision, device.

    All runs of one protocol have the same sentence.

    Raises:
        ValueError: The record has no counts.
    """
    if record.counts is None:
        raise ValueError(f"the record in {record.folder.name} does not say how many images it had")
    counts = record.counts.groupby("split")["images"].sum()
    unit = record.unit
    if not record.is_network:
        by = "" if unit == "images" else " by patient" if unit == "patients" else f" by {unit}"
        return (
            f"Rows without px are no networks but boosted trees on a few numbers of each file: "
            f"validation is a cross-validation{by} over {counts['validation']:,} images, "
            f"test the same {counts['test']:,} images."
        )
    others = {"patients": "of other patients", "images": "others"}.get(
        unit, "of others as far as known"
    )
    return (
        f"{counts['train']:,} images to train on, {counts['validation']:,} {others} to choose on, "
        f"{counts['test']:,} test images read once at the end; threshold .5; {record.precision} "
        f"on {record.device}; 95 % intervals from "
        f"2,000 resamples of {unit}."
    )


def short(value: float, digits: int = 3) -> str:
    """Write a number with so many digits, without the zero before its point.

    Example:
        >>> short(0.934), short(-0.012), short(0.5, 2)
        ('.934', '-.012', '.50')
    """
    text = f"{value:z.{digits}f}"  # z: no minus before a zero
    return text.replace("0.", ".", 1) if text.startswith(("0.", "-0.")) else text


def interval(value: float, low: float, high: float) -> str:
    """Write a number with its interval.

    Example:
        >>> interval(0.934, 0.912, 0.953)
        '.934 [.912, .953]'
    """
    return f"{short(value)} [{short(low)}, {short(high)}]"


def signed(value: float) -> str:
    """Write a difference with its sign.

    Example:
        >>> signed(0.012), signed(-0.012), signed(0)
        ('+.012', '-.012', '.000')
    """
    text = short(value)
    return text if text.startswith("-") or text == ".000" else f"+{text}"


def probability(p: float) -> str:
    """Write a p value.

    Example:
        >>> probability(0.034), probability(0.0004)
        ('p = .034', 'p < .001')
    """
    if pd.isna(p):
        return "p not defined"
    return "p < .001" if p < 0.001 else f"p = {short(p)}"


def origin(source: str, tree: str | None = None) -> str:
    """Say what the images of a run were; a folder is named without its place.

    Args:
        source: The run's `SOURCE`.
        tree: The folder where the run found them, absolute; None where a record does not say. A
            relative `source` alone is not looked for: another folder may lie there now.

    Example:
        >>> origin("/home/someone/chest")[:42]
        'The images are those of a folder “chest”: '
    """
    made = "The radiographs were made by a computer. Made radiographs say nothing about patients."
    if source == "synthetic":
        return made
    if source == "kaggle":
        return (
            "The radiographs are real ones of children, the public data set of Kermany et al. "
            "(2018) on Kaggle."
        )
    if not source:
        return "The records do not say what the images were."
    folder = Path(tree or source).expanduser()
    around = (folder, folder.parent) if folder.is_absolute() else ()
    if any((place / "made.json").is_file() for place in around):
        return made
    name = names.shown(Path(source).name or folder.name)
    return (
        f"The images are those of a folder “{name}”: whether they are radiographs of "
        "patients, the records do not say."
    )
