"""The runs in a folder -> one page: what each step reached, by how sure it is, and how."""

import datetime
import importlib.metadata
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from xraylib import progress
from xraylib.report import html
from xraylib.report.html import Block, Link

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from xraylib.runs.selection import Comparable


class _Best(NamedTuple):
    """The step with the highest AUC on validation, a network if there is one, and its first run."""

    name: str
    predictions: pd.DataFrame
    record: dict[str, Any]

    @property
    def test(self) -> pd.DataFrame:
        return self.predictions[self.predictions["split"] == "test"]


def page(folder: Path | str, *, prevalence: float = 0.3, notebooks: Sequence[Link] = ()) -> str:
    """The page of a folder of runs: what each step reached, and what it rests on.

    Args:
        folder: With records, as for `selection.comparable`.
        prevalence: The share of those X-rayed who have pneumonia, in (0, 1), that the predictive
            values are for.
        notebooks: Links to pages of the executed notebooks.

    Returns:
        HTML that loads nothing. What cannot be computed of these runs is named where it would
        have stood, with the reason.

    Raises:
        ValueError: There are no runs that can be compared, or `prevalence` is out of its range.
    """
    from xraylib.evaluation import checks, comparison
    from xraylib.runs import selection

    prevalence = checks.fraction(prevalence, "prevalence")
    kept = selection.comparable(folder)
    with progress.bar(total=len(kept.steps) + 7, description="writing the report") as bar:

        def made(title: str, make: Callable[..., Iterable[Block]], *arguments: Any) -> list[Block]:
            """A section; what a record lacks must not cost the page."""
            try:
                return [html.heading(title), *make(*arguments)]
            except (ValueError, KeyError, TypeError) as error:
                return [html.heading(title), html.text(f"Not shown: {reason(error)}")]
            finally:
                bar.update()

        kept, reached = _reached(kept, bar.update)
        best = _chosen(kept, reached)
        alone = (
            "There is one step only: nothing to compare it with." if len(kept.steps) == 1 else ""
        )
        try:
            compared = comparison.differences(kept.steps)
        except ValueError as error:
            compared = comparison.differences({})
            alone = f"Not shown: {error}"
        blocks = [
            html.text(_opening(kept, reached, compared, best)),
            *made("What each step reached", _steps, reached),
            *made("Each step against the one before", _neighbours, reached, compared, alone),
            *made("Four views of the scores", _curves, kept),
            *made("Which threshold", _thresholds, best, prevalence),
            *made("Do the scores mean what they say?", _calibration, best),
            *made("By kind of pneumonia", _kinds, best),
            *made("What the verdicts rest on", _shares, kept, best),
        ]
        blocks += made("The runs", _runs, kept) + made("How they were made", _protocols, kept)
    if notebooks:
        blocks += [html.heading("The executed notebooks"), html.bullets(notebooks)]
    now = datetime.datetime.now().astimezone()
    version = importlib.metadata.version("xraylib")
    blocks.append(
        html.text(f"This page was made on {now:%Y-%m-%d at %H:%M %Z} by xraylib {version}.")
    )
    name = Path(folder).expanduser().resolve().name
    return html.page(f"Pneumonia on chest radiographs: the runs in {name}", blocks)


def reason(error: Exception) -> str:
    """Why something failed, in one line."""
    words = " ".join(str(error).split())
    return words if type(error) is ValueError else f"{type(error).__name__}: {words}"


def _reached(kept: "Comparable", done: Callable[[], object]) -> tuple["Comparable", pd.DataFrame]:
    """Of each step what `comparison.averages` finds; a step where it cannot is left out."""
    from xraylib.evaluation import comparison

    parts: dict[str, pd.DataFrame] = {}
    reasons: dict[str, str] = {}
    for name, runs in kept.steps.items():
        try:
            parts[name] = comparison.averages({name: runs})
        except ValueError as error:
            reasons |= {record["folder"].name: str(error) for record in kept.records[name]}
        done()
    if not parts:
        told = "; ".join(f"{name}: {why}" for name, why in reasons.items())
        raise ValueError(f"no run can be measured on validation and on test: {told}")
    more = pd.DataFrame(reasons.items(), columns=["run", "reason"])
    kept = kept._replace(
        steps={name: kept.steps[name] for name in parts},
        records={name: kept.records[name] for name in parts},
        left_out=pd.concat([kept.left_out, more], ignore_index=True),
    )
    return kept, pd.concat(parts.values(), ignore_index=True)


def _chosen(kept: "Comparable", reached: pd.DataFrame) -> _Best:
    auc = _auc(reached)["validation"]
    networks = [name for name, runs in kept.records.items() if runs[0].get("network")]
    name = str(auc.loc[networks or list(kept.steps), "value"].idxmax())
    return _Best(name, kept.steps[name][0], kept.records[name][0])


def _auc(reached: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Of each split the AUCs, indexed by step."""
    auc = reached[reached["metric"] == "AUC"]
    return {split: part.set_index("step") for split, part in auc.groupby("split")}


def _opening(kept: "Comparable", reached: pd.DataFrame, compared: pd.DataFrame, best: _Best) -> str:
    from xraylib.report.sentences import short

    auc = _auc(reached)
    validation, test = auc["validation"].loc[best.name], auc["test"].loc[best.name]
    at_half = reached[(reached["step"] == best.name) & (reached["split"] == "test")]
    at_half = at_half.set_index("metric")["value"]
    seeds = "one seed" if test["runs"] == 1 else f"the mean of {int(test['runs'])} seeds"
    lost = validation["value"] - test["value"]
    overlap = validation["low"] <= test["high"] and test["low"] <= validation["high"]
    images = best.test
    networks = sum(bool(runs[0].get("network")) for runs in kept.records.values())
    count, several = networks or len(kept.steps), len(kept.steps) > 1
    chosen = (
        f"Of {count} {'networks' if networks else 'steps'}, {best.name} has the highest AUC on "
        f"validation, by which it is chosen here: {short(validation['value'])}."
        if several
        else f"There is one step, {best.name}. Its AUC on validation is "
        f"{short(validation['value'])}."
    )
    unseen = "" if best.record.get("network") else " It is no network and never saw a lung."
    said = [
        f"{chosen}{unseen} On test the AUC is {short(test['value'])}, with a 95 % interval over "
        f"patients from {short(test['low'])} to {short(test['high'])} ({seeds}): "
        f"{'lower' if lost > 0 else 'higher'} by {short(abs(lost))} than on validation, and the "
        f"two intervals {'overlap' if overlap else 'do not overlap'}. At threshold .5 it calls "
        f"{short(at_half['sensitivity'])} of those with pneumonia sick, and "
        f"{short(at_half['specificity'])} of the others well."
    ]
    if test["low"] <= 0.5 <= test["high"]:
        said.append("That is not distinguishable from chance.")
    beside = []
    baselines = [name for name in kept.steps if not kept.records[name][0].get("network")]
    if baselines and best.name not in baselines:
        name = str(auc["validation"].loc[baselines, "value"].idxmax())
        row = auc["test"].loc[name]
        beside.append(
            f"For comparison, {name}, which is no network and never saw a lung, reached "
            f"{short(row['value'])} [{short(row['low'])}, {short(row['high'])}] on test."
        )
    tested = compared[compared["metric"] == "AUC"]
    if len(tested):
        clear = int((tested["p_holm"] < 0.05).sum())
        beside.append(
            f"Of {len(tested)} steps that follow another, {clear or 'none'} "
            f"{'differs' if clear == 1 else 'differ'} from it in AUC by more than chance in the "
            "choice of patients explains."
        )
    given = [record["parameters"] for of_step in kept.records.values() for record in of_step]
    about = dict.fromkeys(_source(str(each.get("SOURCE", ""))) for each in given)
    data = (
        f"The test has {len(images):,} images of {images['patient'].nunique():,} patients, "
        f"{int(images['label'].sum()):,} images with pneumonia."
    )
    warning = "This is not a medical device: nothing here may guide the care of a patient."
    # The warning belongs to what it warns of: in one paragraph nobody reads past it.
    return " ".join([*said, *about, warning]) + "\n\n" + " ".join([data, *beside])


def _source(source: str) -> str:
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
    folder = Path(source).expanduser()
    if any((place / "made.json").is_file() for place in (folder, folder.parent)):
        return made
    # Where it lies is nobody's business who gets this page by mail.
    return (
        f"The images are those of a folder “{folder.name}”: whether they are radiographs of "
        "patients, the records do not say."
    )


def _drawn(figure: "Figure", *, alt: str, caption: str) -> Block:
    import matplotlib.pyplot as plt

    try:
        return html.figure(figure, alt=alt, caption=caption)
    finally:
        plt.close(figure)


def _steps(reached: pd.DataFrame) -> list[Block]:
    from xraylib.report import plots, sentences, tables

    auc = _auc(reached)
    told = "; ".join(
        f"{name}: {sentences.short(auc['validation'].loc[name, 'value'])} and "
        f"{sentences.interval(*auc['test'].loc[name, ['value', 'low', 'high']])}"
        for name in auc["test"].index
    )
    figure = plots.steps(reached[reached["metric"] == "AUC"])
    figure.set_figwidth(5)  # to be seen whole on a phone
    return [
        html.table(
            tables.steps(reached),
            caption="At threshold .5. In brackets: 95 % interval over patients; after ±: standard "
            "deviation over seeds, where there are several.",
            stacked=True,
        ),
        _drawn(
            figure,
            alt=f"One line a step, with its AUC on validation and on test: {told}.",
            caption="Open: validation, cut from train by patient. Filled: test. Dotted: chance. "
            "Ticks: single seeds, where there are several.",
        ),
    ]


def _neighbours(reached: pd.DataFrame, compared: pd.DataFrame, alone: str) -> list[Block]:
    from xraylib.report import sentences, tables

    if alone:
        return [html.text(alone)]
    lines = sentences.found_in_steps(reached, compared).replace("**", "").split("\n")
    return [
        html.bullets(line.removeprefix("- ") for line in lines),
        html.table(
            tables.pairs(compared, ("AUC", "balanced accuracy")),
            caption="Paired tests on the same test images; values in the order step, against. In "
            "brackets: 95 % interval of the difference. p is corrected for the number of steps.",
            stacked=True,
        ),
    ]


def _curves(kept: "Comparable") -> list[Block]:
    import numpy as np

    from xraylib.evaluation import calibration, metrics
    from xraylib.report import plots
    from xraylib.report.sentences import short, signed

    first = {name: of_step[0] for name, of_step in kept.steps.items()}
    tests = {name: rows[rows["split"] == "test"] for name, rows in first.items()}
    reliability = {
        name: calibration.reliability(
            rows["label"], rows["score"], patients=rows["patient"], resamples=0
        )
        for name, rows in tests.items()
    }
    benefit = {
        name: calibration.net_benefit(
            rows["label"], rows["score"], thresholds=np.linspace(0.02, 0.98, 49)
        )
        for name, rows in tests.items()
    }
    told = []
    for name, rows in tests.items():
        labels, scores = rows["label"].to_numpy(), rows["score"].to_numpy()
        auc = metrics.estimate(labels, scores, resamples=0).set_index("metric").loc["AUC"]
        middle = benefit[name].iloc[(benefit[name]["threshold"] - 0.5).abs().argmin()]
        told.append(
            f"{name}: area {short(auc['value'])}, mean score minus share of sick "
            f"{signed(scores.mean() - labels.mean())}, net benefit at .5 {short(middle['scores'])} "
            f"(calling all: {short(middle['all'])})"
        )
    return [
        _drawn(
            plots.curves(first, reliability, benefit),
            alt="Four panels, one line a step: sensitivity against 1 - specificity, precision "
            "against recall, share of sick against score, and net benefit against threshold. "
            f"{'; '.join(told)}.",
            caption="On test, the first seed of each step. Reliability: of images that score .8, "
            "eight in ten should be sick. Net benefit: what acting on the scores is worth, where "
            "the threshold tells how a missed pneumonia weighs against a false alarm (Vickers and "
            "Elkin, 2006).",
        )
    ]


def _thresholds(best: _Best, prevalence: float) -> list[Block]:
    from xraylib.evaluation import thresholds
    from xraylib.report import sentences, tables

    operating = thresholds.operating_points(best.predictions, prevalence=prevalence)
    return [
        html.table(
            tables.points(operating),
            caption=f"{best.name}, on test, each with its 95 % interval. PPV and NPV are those at "
            f"a prevalence of {sentences.short(prevalence)}, not at that of this test.",
            stacked=True,
        )
    ]


def _calibration(best: _Best) -> list[Block]:
    from xraylib.evaluation import calibration
    from xraylib.report import tables

    return [
        html.table(
            tables.calibrated(calibration.summary(best.predictions)),
            caption=f"{best.name}: the scores as they are (temperature 1.00), and with the "
            "temperature that was fitted on validation. Brier score and ECE: 0 is best.",
            stacked=True,
        )
    ]


def _kinds(best: _Best) -> list[Block]:
    import numpy as np

    from xraylib.data import index
    from xraylib.evaluation import metrics
    from xraylib.report import sentences

    test = best.test
    kinds = np.array([index.patient_of(Path(path))[1] for path in test["path"]])
    table = metrics.by_subtype(
        test["label"].to_numpy(), test["score"].to_numpy(), kinds, patients=test["patient"]
    )
    rows = [
        {"kind": kind, "images": int(part["images"].iloc[0])}
        | {"patients": int(part["patients"].iloc[0])}
        | {
            row["metric"]: sentences.interval(row["value"], row["low"], row["high"])
            for row in part.to_dict("records")
        }
        for kind, part in table.groupby("subtype", sort=False)
    ]
    return [
        html.table(
            pd.DataFrame(rows),
            caption=f"{best.name}: each kind that the file names tell, against all normal images "
            "of test; sensitivity at threshold .5.",
            stacked=True,
        )
    ]


def _shares(kept: "Comparable", best: _Best) -> list[Block]:
    from xraylib.data.tree import CLASSES
    from xraylib.report import plots, sentences
    from xraylib.runs import selection

    rows, drawn = [], {}
    for of_step in kept.records.values():
        for record in of_step:
            if not record.get("shares"):
                continue
            shares = pd.DataFrame(record["shares"])
            numbers = [name for name in shares if name != "cue"]
            shares[numbers] = shares[numbers].astype(float)
            run = selection.name(record)
            rows.append(
                {"run": run}
                | {
                    row["cue"]: sentences.interval(row["value"], row["low"], row["high"])
                    if pd.notna(row["value"])
                    else "not defined"
                    for row in shares.sort_values("cue").to_dict("records")
                }
            )
            if shares["value"].notna().all():
                drawn[record["folder"]] = (run, shares)
    if not rows:
        return [html.text("No run looked at that: their records hold no shares of cues.")]
    blocks = [
        html.table(
            pd.DataFrame(rows).fillna("–"),
            caption="How far images go towards the other class' score when they are given its "
            "look in one respect, as a share of the whole way, with 95 % intervals.",
            stacked=True,
        )
    ]
    if drawn:
        run, shares = drawn.get(best.record["folder"], next(iter(drawn.values())))
        told = "; ".join(
            f"{row['cue']} {sentences.interval(row['value'], row['low'], row['high'])}"
            for row in shares.to_dict("records")
        )
        blocks.append(
            _drawn(
                plots.swaps(shares, class_names=CLASSES),
                alt=f"One bar a cue, with its share of the way for {run}: {told}.",
                caption=f"{run}: 0 is no change, 1 all the way to the other class' mean score.",
            )
        )
    return blocks


def _runs(kept: "Comparable") -> list[Block]:
    from xraylib.report import tables
    from xraylib.runs import records

    runs = [record for of_step in kept.records.values() for record in of_step]
    shown = tables.progression(records.table(runs))
    # A folder's name begins with the step's.
    shown["step"] = [record["folder"].name for record in runs]
    shown = shown.rename(columns={"step": "run"})
    blocks = [
        html.table(
            shown, caption="One row a run, at threshold .5, as its record has it.", stacked=True
        )
    ]
    if said := _disagreeing(kept):
        blocks.append(html.bullets(said))
    if len(kept.left_out):
        blocks.append(
            html.table(
                kept.left_out, caption="What was left out of everything above.", stacked=True
            )
        )
    else:
        blocks.append(html.text("No run was left out."))
    return blocks


def _disagreeing(kept: "Comparable") -> list[str]:
    """Where a record's AUC is not that of the scores beside it, in words."""
    from xraylib.evaluation import metrics
    from xraylib.evaluation.thresholds import Rule
    from xraylib.report.sentences import short

    said = []
    for name, of_step in kept.records.items():
        for record, predictions in zip(of_step, kept.steps[name], strict=True):
            for told in record["metrics"]:
                if (told["metric"], told["rule"], told["split"]) != ("AUC", Rule.HALF, "test"):
                    continue
                test = predictions[predictions["split"] == "test"]
                stored = metrics.estimate(
                    test["label"].to_numpy(), test["score"].to_numpy(), resamples=0
                )
                stored = stored.set_index("metric").loc["AUC", "value"]
                if told["value"] is not None and abs(told["value"] - stored) > 0.0005:
                    said.append(
                        f"{record['folder'].name}: its record tells an AUC on test of "
                        f"{short(told['value'])}, but the scores stored beside it have "
                        f"{short(stored)}, which the other tables and the figures show. "
                        f"{int(test['score'].duplicated().sum()):,} of the {len(test):,} scores "
                        "equal another: they may have been rounded. To settle it, run it again."
                    )
    return said


def _protocols(kept: "Comparable") -> list[Block]:
    from xraylib.report import sentences

    runs = [record for of_step in kept.records.values() for record in of_step]
    blocks = [html.bullets(dict.fromkeys(sentences.protocol(record) for record in runs))]
    times = sorted(record["finished"][:10] for record in runs)
    rows = {
        "runs finished": times[:1] if times[0] == times[-1] else [f"{times[0]} to {times[-1]}"],
        "device": [str(record.get("device", "not told")) for record in runs],
    }
    for record in runs:
        for package, version in record.get("versions", {}).items():
            rows.setdefault(package, []).append(str(version))
    shown = [(what, ", ".join(dict.fromkeys(values))) for what, values in rows.items()]
    blocks.append(
        html.table(
            pd.DataFrame(shown, columns=["what", "which"]),
            caption="When, on what and with which versions the runs were made.",
        )
    )
    return blocks
