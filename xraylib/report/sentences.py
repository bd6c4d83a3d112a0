"""Tables of results -> sentences in Markdown, and numbers as text."""

from typing import Any

import pandas as pd

from xraylib.evaluation.thresholds import Rule


def found(summary: pd.DataFrame, history: pd.DataFrame) -> str:
    """What a run found, as sentences in Markdown with its own numbers.

    Args:
        summary: As `thresholds.summary` returns it.
        history: As `training.fit` returns it.

    Returns:
        One paragraph.
    """
    at_half = summary[summary["rule"] == Rule.HALF].set_index(["split", "metric"])

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
        shares: As `swaps.effects` returns it.

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
        findings: As `checks.findings` returns it.

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
        summary: As `thresholds.summary` returns it, of `shortcuts.baseline`'s predictions.

    Returns:
        Two sentences.
    """
    auc = summary[(summary["metric"] == "AUC") & (summary["rule"] == Rule.HALF)].set_index("split")
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
        compared: As `comparison.differences` returns it.

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
