"""Make what README.md shows: `figures` draws the pictures, `readme` writes the tables.

`card` writes the model card. All read the accepted runs in `assets/results/` and type no number.
`make assets`, `make readme`, `make card`.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import pandas as pd

from xraylib.data.words import CLASSES
from xraylib.evaluation import comparison
from xraylib.evaluation.thresholds import Rule
from xraylib.report import plots, sentences, tables
from xraylib.runs import selection
from xraylib.runs.records import Record
from xraylib.runs.selection import Step

matplotlib.use("Agg")

ASSETS = Path(__file__).resolve().parent
RESULTS = ASSETS / "results"
README = ASSETS.parent / "README.md"
# Trained to stand beside those with the shape taken away, and no part of the progression.
BESIDE = {("01_basic_cnn", 64), ("02_tuned_cnn", 64)}
CLASSIFIER = "07_classifier"


def figures() -> None:
    """Draw VGG-19, one made radiograph of each kind, the progression, and what 01 rests on."""
    from xraylib.networks import models
    from xraylib.synthetic import dataset

    network = models.vgg19(400)
    figure = plots.architecture(
        models.blocks(network),
        title=f"VGG-19 at 400 px: 16 convolutions, {network.count_params():,} weights",
    )
    figure.savefig(ASSETS / "vgg19.png", dpi=110)

    kinds = ("normal", "bacteria", "virus")
    pictures = [dataset.radiograph(4, kind=kind, size=320).pixels for kind in kinds]
    figure = plots.gallery(pictures, ["normal", "bacterial pneumonia", "viral pneumonia"])
    figure.savefig(ASSETS / "radiographs.png", dpi=150)

    steps = selection.comparable(RESULTS).steps
    for name, part in (("progression", _progression(steps)), ("again", _again(steps))):
        reached = comparison.averages(_predictions(part))
        figure = plots.steps(reached[reached["metric"] == "AUC"], metric="AUC")
        figure.savefig(ASSETS / f"{name}.png", dpi=110)

    effects = pd.read_csv(RESULTS / "shortcuts" / "shares.csv")
    first = effects[effects["run"] == effects["run"].iloc[0]]
    figure = plots.swaps(first, class_names=CLASSES)
    figure.savefig(ASSETS / "cues.png", dpi=100)


def readme() -> None:
    """Write the tables of the accepted runs, each between its two marks in README.md."""
    steps = selection.comparable(RESULTS).steps
    parts = _tables_of_runs(steps) | _tables_of_comparisons(steps) | _tables_of_experiments(steps)
    text = README.read_text(encoding="utf-8")
    for mark, lines in parts.items():
        text = _filled(text, mark, "\n".join(lines))
    README.write_text(text, encoding="utf-8")


def card() -> None:
    """Write the model card of the classifier in the box."""
    from xraylib.report import card

    shares = pd.read_csv(RESULTS / "shortcuts" / "shares.csv")
    print(card.write(RESULTS, swaps=shares))


def _tables_of_runs(steps: Sequence[Step]) -> dict[str, list[str]]:
    """What the steps reached, and how their runs were made."""
    lines = {}
    again = _again(steps)
    classifier = [step for step in steps if _is_classifier(step)]
    chosen = {step.label: [_chosen(record) for record in step.records] for step in classifier}
    reached = comparison.averages(_predictions(classifier), splits=["test"], threshold=chosen)
    lines["classifier, chosen threshold"] = _markdown(tables.steps(reached))
    parts = (("results", _progression(steps)), ("again", again), ("classifier", classifier))
    for mark, part in parts:
        methods = {sentences.protocol(record) for step in part for record in step.records}
        reached = comparison.averages(_predictions(part))
        lines[mark] = [*_markdown(tables.steps(reached)), "", *sorted(methods)]
    chosen = {step.label: [_chosen(record) for record in step.records] for step in again}
    reached = comparison.averages(_predictions(again), splits=["test"], threshold=chosen)
    reached = reached[reached["metric"] != "AUC"]
    lines["again, chosen threshold"] = _markdown(tables.steps(reached))
    return lines


def _tables_of_comparisons(steps: Sequence[Step]) -> dict[str, list[str]]:
    """The paired tests, all of whose rows are written to comparison.csv."""
    again = _again(steps)
    scaled = [step for step in again if _is_scaled(step)]
    # Each network with the shape taken away against without; then, with it, against the first.
    pairs = [(_unscaled(step, again).label, step.label) for step in scaled]
    pairs += [(scaled[0].label, step.label) for step in scaled[1:]]
    compared = {
        "comparison": comparison.differences(_predictions(_progression(steps))),
        "again, compared": comparison.differences(_predictions(again), pairs),
    }
    both = pd.concat(compared, names=["table"]).reset_index(level=0)
    both.to_csv(RESULTS / "comparison.csv", index=False, float_format="%.4g")
    return {mark: _markdown(tables.pairs(table)) for mark, table in compared.items()}


def _tables_of_experiments(steps: Sequence[Step]) -> dict[str, list[str]]:
    """What `experiments/` wrote."""
    effects = pd.read_csv(RESULTS / "shortcuts" / "cues.csv", keep_default_na=False)
    shares = pd.read_csv(RESULTS / "shortcuts" / "shares.csv")
    synthetic = pd.read_csv(RESULTS / "shortcuts" / "synthetic.csv")
    # Made countermeasure by countermeasure, read trap by trap.
    place = {trap: number for number, trap in enumerate(synthetic["traps"].unique())}
    synthetic = synthetic.sort_values("traps", key=lambda traps: traps.map(place), kind="stable")
    real = pd.read_csv(RESULTS / "shortcuts" / "real.csv")
    return {
        "cues": _markdown(cues([s for s in steps if not _is_classifier(s)], shares, effects)),
        "classifier, cues": _markdown(
            cues([s for s in steps if _is_classifier(s)], shares, effects)
        ),
        "protocols": _markdown(protocols(pd.read_csv(RESULTS / "protocols.csv"))),
        "countermeasures, synthetic": _markdown(countermeasures(synthetic)),
        "countermeasures, real": _markdown(countermeasures(real)),
    }


def cues(steps: Sequence[Step], swaps: pd.DataFrame, perturbations: pd.DataFrame) -> pd.DataFrame:
    """One row a run: the effect of each cue, and the perturbation that costs most specificity.

    `swaps` and `perturbations` are effects with a column run, the name of the run's folder.
    """
    rows = []
    runs = [(step.label, record) for step in steps for record in step.records]
    for label, record in runs:
        own = swaps[swaps["run"] == record.folder.name].sort_values("cue")
        if own.empty:
            continue
        row = {"run": f"{label}, seed {record.seed}"}
        for each in own.itertuples():
            row[each.cue] = sentences.interval(each.value, each.low, each.high)
        specificity = perturbations[
            (perturbations["run"] == record.folder.name)
            & (perturbations["measure"] == "specificity")
        ]
        worst = specificity.loc[specificity["value"].idxmin()]
        change = sentences.interval(worst["value"], worst["low"], worst["high"])
        rows.append(row | {"specificity suffers most": f"{worst['perturbation']}: {change}"})
    return pd.DataFrame(rows)


def countermeasures(results: pd.DataFrame) -> pd.DataFrame:
    """One row a data set and countermeasure, from what `experiments/countermeasures.py` writes.

    It has the mean AUC of its seeds on validation, on matched validation and on test, the lowest
    and highest in brackets where there are several, and the two cues with the largest mean effect.
    The images of a matched validation are their effective number. Of fewer than 20 an AUC is not
    shown.
    """
    data = results.columns[0]
    matched = results["matched_for"].notna().map({True: " matched", False: ""})
    results = results.assign(column=results["on"] + matched + " AUC")
    rows = []
    for (name, countermeasure), part in results.groupby([data, "countermeasure"], sort=False):
        auc = part[(part["metric"] == "AUC") & ~(part["images"] < 20)]
        auc = auc.groupby("column")["value"].agg(["mean", "min", "max"])
        seeds = part["seed"].nunique()
        row = {data: name, "countermeasure": countermeasure, "seeds": seeds}
        for column in ("validation AUC", "validation matched AUC", "test AUC"):
            if column not in auc.index:
                row[column] = "-"
            elif seeds == 1:
                row[column] = sentences.short(auc.loc[column, "mean"])
            else:
                row[column] = sentences.interval(*auc.loc[column])
        effects = part[part["metric"] == "swap effect"].groupby("cue")["value"].mean()
        strongest = effects.sort_values(ascending=False).head(2)
        row["rests on"] = ", ".join(
            f"{cue} {sentences.short(value, 2)}" for cue, value in strongest.items()
        )
        rows.append(row)
    return pd.DataFrame(rows)


def protocols(results: pd.DataFrame) -> pd.DataFrame:
    """One row a data set and protocol, from what `experiments/protocols.py` writes.

    The metrics of one seed come with their interval, those of several as their mean, lowest and
    highest in brackets.
    """
    rows = []
    for (_, protocol), part in results.groupby(["data", "protocol"], sort=False):
        seeds = part["seed"].nunique()
        row = {"protocol": protocol, "seeds": seeds, "judged images": f"{part['images'].max():,}"}
        for metric in ("AUC", "accuracy", "sensitivity", "specificity"):
            numbers = part[part["metric"] == metric]
            values = numbers["value"]
            row[metric] = (
                sentences.interval(*numbers[["value", "low", "high"]].iloc[0])
                if seeds == 1
                else sentences.interval(values.mean(), values.min(), values.max())
            )
        rows.append(row)
    return pd.DataFrame(rows)


def _is_classifier(step: Step) -> bool:
    return step.records[0].step == CLASSIFIER


def _is_scaled(step: Step) -> bool:
    """Whether the training images were scaled at random, so that their shape tells less."""
    return "RANDOM_SCALE" in step.settings


def _key(step: Step) -> tuple[str, int | None]:
    return step.records[0].step, step.settings.get("IMAGE_SIZE")


def _progression(steps: Sequence[Step]) -> list[Step]:
    """The steps as the original author took them."""
    others = (_is_scaled, _is_classifier, lambda step: _key(step) in BESIDE)
    return [step for step in steps if not any(is_other(step) for is_other in others)]


def _again(steps: Sequence[Step]) -> list[Step]:
    """The steps with the shape taken away, and the same without."""
    keys = {_key(step) for step in steps if _is_scaled(step)}
    return [step for step in steps if _key(step) in keys]


def _unscaled(scaled: Step, steps: Sequence[Step]) -> Step:
    return next(step for step in steps if not _is_scaled(step) and _key(step) == _key(scaled))


def _predictions(steps: Sequence[Step]) -> dict[str, list[pd.DataFrame]]:
    return {step.label: list(step.predictions) for step in steps}


def _chosen(record: Record) -> float:
    """The threshold that a run chose on its validation."""
    metrics = record.metrics
    return float(metrics.loc[metrics["rule"] == Rule.BEST_ON_VALIDATION, "threshold"].iloc[0])


def _markdown(table: pd.DataFrame) -> list[str]:
    lines = ["| " + " | ".join(table.columns) + " |", "|" + "---|" * len(table.columns)]
    return lines + ["| " + " | ".join(map(str, r)) + " |" for r in table.itertuples(index=False)]


def _filled(text: str, name: str, lines: str) -> str:
    """The text with these lines between the marks of this name."""
    begin, end = f"<!-- {name}: written by `make readme` -->", f"<!-- end of {name} -->"
    before, _, rest = text.partition(begin)
    _, mark, after = rest.partition(end)
    if not mark:
        raise SystemExit(f"README.md must hold the two lines {begin} and {end}")
    return f"{before}{begin}\n{lines}\n{end}{after}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["figures", "readme", "card"])
    {"figures": figures, "readme": readme, "card": card}[parser.parse_args().what]()
