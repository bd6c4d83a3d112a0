"""Measure the steps of a folder together, and say in two paragraphs what they reached."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import pandas as pd

from xraylib import names
from xraylib.data import patients, words
from xraylib.evaluation import comparison
from xraylib.report import sentences
from xraylib.report.sentences import short
from xraylib.runs import selection
from xraylib.runs.selection import Selection, Step


@dataclass(frozen=True, eq=False)
class Results:
    """What the steps of a folder reached, and how they differ.

    Attributes:
        selection: The runs that can be compared.
        reached: As `comparison.averages` returns it.
        compared: As `comparison.differences` returns it.
        not_compared: Why `compared` is empty; `""` where it is not.
        best: The step with the highest AUC on validation, a network if there is one.
        prevalence: The share of pneumonia that predictive values are for, in (0, 1).
    """

    selection: Selection
    reached: pd.DataFrame
    compared: pd.DataFrame
    not_compared: str
    best: Step
    prevalence: float

    @property
    def auc(self) -> dict[str, pd.DataFrame]:
        """The AUCs of each split, indexed by step."""
        auc = self.reached[self.reached["metric"] == "AUC"]
        return {str(split): part.set_index("step") for split, part in auc.groupby("split")}


def measure(chosen: Selection, *, prevalence: float, update: Callable[[], object]) -> Results:
    """Measure and compare the steps of a folder, and call `update` after each.

    A step that cannot be measured is left out of the results' selection, with the reason.

    Raises:
        ValueError: No step can be measured on validation and on test.
    """
    parts: dict[str, pd.DataFrame] = {}
    reasons: dict[str, str] = {}
    for step in chosen.steps:
        try:
            parts[step.label] = comparison.averages({step.label: list(step.predictions)})
        except ValueError as error:
            reasons |= {record.folder.name: str(error) for record in step.records}
        update()
    if not parts:
        text = "; ".join(f"{run}: {why}" for run, why in reasons.items())
        raise ValueError(f"no run can be measured on validation and on test: {text}")
    more = pd.DataFrame(reasons.items(), columns=["run", "reason"])
    chosen = replace(
        chosen,
        steps=tuple(step for step in chosen.steps if step.label in parts),
        left_out=pd.concat([chosen.left_out, more], ignore_index=True),
    )
    reached = pd.concat(parts.values(), ignore_index=True)
    not_compared = ""
    try:
        compared = comparison.differences(chosen.predictions)
    except ValueError as error:
        compared, not_compared = comparison.differences({}), f"Not shown: {error}"
    if len(chosen.steps) == 1:
        not_compared = "There is one step only: nothing to compare it with."
    best = selection.best(chosen.steps, reached)
    return Results(chosen, reached, compared, not_compared, best, prevalence)


def opening(results: Results) -> str:
    """Say in two paragraphs of plain text what the runs reached, and what that is worth."""
    test = results.best.test
    origins = dict.fromkeys(
        sentences.origin(str(record.parameters.get("SOURCE", "")), record.tree)
        for record in results.selection.records
    )
    # The warning belongs to what it warns of: in one paragraph nobody reads past it.
    first = [
        *_best_step(results),
        *origins,
        "This is not a medical device: nothing here may guide the care of a patient.",
    ]
    second = [
        f"The test has {len(test):,} images{_of_patients(results)}, "
        f"{int(test['label'].sum()):,} images {_ill(results)}.",
        *_beside_the_best(results),
    ]
    return " ".join(first) + "\n\n" + " ".join(second)


def _ill(results: Results) -> str:
    """What the images of class 1 have in common, by the name of their folders."""
    for record in results.best.records:
        if record.classes and words.key(record.classes[1]) != words.CLASSES[1]:
            return f"of {names.shown(record.classes[1])}"
    return "with pneumonia"


def _of_patients(results: Results) -> str:
    test, unit = results.best.test, results.selection.unit
    if unit == "images":
        return " of unknown patients"
    known = test.loc[~patients.unknown(test), "patient"].nunique()
    return f" of {known:,} {'patients' if unit == 'patients' else 'known patients and of others'}"


def _best_step(results: Results) -> list[str]:
    best, steps = results.best, results.selection.steps
    validation, test = (results.auc[split].loc[best.label] for split in ("validation", "test"))
    reached = results.reached
    at_half = reached[(reached["step"] == best.label) & (reached["split"] == "test")]
    at_half = at_half.set_index("metric")["value"]
    networks = sum(step.is_network for step in steps)
    count = f"{networks} networks" if networks else f"{len(steps)} steps"
    text = [
        f"Of {count}, {best.label} has the highest AUC on validation, by which it is chosen here: "
        f"{short(validation['value'])}."
        if len(steps) > 1
        else f"There is one step, {best.label}. Its AUC on validation is "
        f"{short(validation['value'])}."
    ]
    if not best.is_network:
        text.append("It is no network and never saw a lung.")
    seeds = "one seed" if test["runs"] == 1 else f"the mean of {int(test['runs'])} seeds"
    text.append(
        f"On test the AUC is {short(test['value'])}, with a 95 % interval over "
        f"{results.selection.unit} from "
        f"{short(test['low'])} to {short(test['high'])} ({seeds}): "
        f"{sentences.shift(validation, test)}. At threshold .5 it calls "
        f"{short(at_half['sensitivity'])} of those {_ill(results)} sick, and "
        f"{short(at_half['specificity'])} of the others well."
    )
    if test["low"] <= 0.5 <= test["high"]:
        text.append("That is not distinguishable from chance.")
    return text


def _beside_the_best(results: Results) -> list[str]:
    text = []
    baselines = [step for step in results.selection.steps if not step.is_network]
    if baselines and results.best.is_network:
        label = selection.best(baselines, results.reached).label
        numbers = results.auc["test"].loc[label, ["value", "low", "high"]]
        text.append(
            f"For comparison, {label}, which is no network and never saw a lung, reached "
            f"{sentences.interval(*numbers)} on test."
        )
    tested = results.compared[results.compared["metric"] == "AUC"]
    if len(tested):
        clear = int((tested["p_holm"] < 0.05).sum())
        text.append(
            f"Of {len(tested)} steps that follow another, {clear or 'none'} "
            f"{'differs' if clear == 1 else 'differ'} from it in AUC by more than chance in the "
            f"choice of {results.selection.unit} explains."
        )
    return text
