"""Write one page on the runs in a folder: what each step reached, how sure that is, and how."""

import datetime
import importlib.metadata
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import pandas as pd

from xraylib import errors, progress
from xraylib.data.words import CLASSES
from xraylib.evaluation import calibration, checks, metrics, thresholds
from xraylib.report import html, overview, plots, sentences, tables
from xraylib.report.html import Block, Link
from xraylib.report.overview import Results
from xraylib.report.sentences import interval, short, signed
from xraylib.runs import selection

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def page(folder: Path | str, *, prevalence: float = 0.3, notebooks: Iterable[Link] = ()) -> str:
    """Make the page of a folder of runs.

    Args:
        folder: With records, as for `selection.comparable`.
        prevalence: The share of those X-rayed who have pneumonia, in (0, 1), that the predictive
            values are for.
        notebooks: Links to pages of the executed notebooks; iterated over when all else is there.

    Returns:
        HTML that loads nothing. A section that cannot be made of these runs says so, with the
        reason.

    Raises:
        ValueError: There are no runs that can be compared, or `prevalence` is out of its range.
    """
    prevalence = checks.fraction(prevalence, "prevalence")
    chosen = selection.comparable(folder)
    with progress.bar(
        total=len(chosen.steps) + len(_SECTIONS), description="writing the report"
    ) as bar:
        results = overview.measure(chosen, prevalence=prevalence, update=bar.update)
        blocks = [html.text(overview.opening(results))]
        for title, make in _SECTIONS.items():
            blocks.append(html.heading(title))
            try:
                blocks += list(make(results))
            # What a record lacks must not cost the page.
            except (ValueError, KeyError, TypeError) as error:
                # Nobody wrote the messages of others than ValueError for readers.
                kind = "" if type(error) is ValueError else f"{type(error).__name__}: "
                reason = errors.one_line(error, limit=None)
                blocks.append(html.text(f"Not shown: {kind}{reason}"))
            bar.update()
    if links := list(notebooks):
        blocks += [html.heading("The executed notebooks"), html.bullets(links)]
    now = datetime.datetime.now().astimezone()
    version = importlib.metadata.version("xraylib")
    blocks.append(
        html.text(f"This page was made on {now:%Y-%m-%d at %H:%M %Z} by xraylib {version}.")
    )
    name = Path(folder).expanduser().resolve().name
    return html.page(f"Pneumonia on chest radiographs: the runs in {name}", blocks)


# ------------------------------------------------------------------ the sections


def _steps(results: Results) -> Iterator[Block]:
    unit = results.selection.unit
    yield _table(
        tables.steps(results.reached),
        caption=f"At threshold .5. In brackets: 95 % interval over {unit}; after ±: standard "
        "deviation over seeds, where there are several.",
    )
    validation, test = results.auc["validation"], results.auc["test"]
    numbers = "; ".join(
        f"{name}: {short(validation.loc[name, 'value'])} and "
        f"{interval(*test.loc[name, ['value', 'low', 'high']])}"
        for name in test.index
    )
    figure = plots.steps(results.reached[results.reached["metric"] == "AUC"], unit=unit)
    by = " by patient" if unit == "patients" else f" by {unit}" if unit != "images" else ""
    figure.set_figwidth(5)  # to be seen whole on a phone
    yield _figure(
        figure,
        alt=f"One line a step, with its AUC on validation and on test: {numbers}.",
        caption=f"Open: validation, cut from train{by}. Filled: test. Dotted: chance. "
        "Ticks: single seeds, where there are several.",
    )


def _neighbours(results: Results) -> Iterator[Block]:
    if results.not_compared:
        yield html.text(results.not_compared)
        return
    unit = results.selection.unit
    lines = sentences.steps(results.reached, results.compared, unit=unit)
    yield html.bullets(f"{step}: {sentence}" for step, sentence in lines.items())
    yield _table(
        tables.pairs(results.compared, unit=unit),
        caption="Paired tests on the same test images; values in the order step, against. In "
        "brackets: 95 % interval of the difference. p is corrected for the number of steps.",
    )


def _curves(results: Results) -> Iterator[Block]:
    first = results.selection.first
    reliability, benefit = tables.curves(first)
    numbers = []
    for step in results.selection.steps:
        labels, scores = step.test["label"].to_numpy(), step.test["score"].to_numpy()
        auc = metrics.estimate(labels, scores, resamples=0).set_index("metric").loc["AUC"]
        table = benefit[step.label]
        middle = table.iloc[(table["threshold"] - 0.5).abs().argmin()]
        numbers.append(
            f"{step.label}: area {short(auc['value'])}, mean score minus share of sick "
            f"{signed(scores.mean() - labels.mean())}, net benefit at .5 {short(middle['scores'])} "
            f"(calling all: {short(middle['all'])})"
        )
    yield _figure(
        plots.curves(first, reliability, benefit),
        alt="Four panels, one line a step: sensitivity against 1 - specificity, precision "
        "against recall, share of sick against score, and net benefit against threshold. "
        f"{'; '.join(numbers)}.",
        caption="On test, the first seed of each step. Reliability: of images that score .8, "
        "eight in ten should be sick. Net benefit: what acting on the scores is worth, where "
        "the threshold tells how a missed pneumonia weighs against a false alarm (Vickers and "
        "Elkin, 2006).",
    )


def _thresholds(results: Results) -> Iterator[Block]:
    points = thresholds.operating_points(results.best.predictions[0], prevalence=results.prevalence)
    yield _table(
        tables.operating_points(points),
        caption=f"{results.best.label}, on test, each with its 95 % interval. PPV and NPV are "
        f"those at a prevalence of {short(results.prevalence)}, not at that of this test.",
    )


def _calibration(results: Results) -> Iterator[Block]:
    yield _table(
        tables.calibration(calibration.summary(results.best.predictions[0])),
        caption=f"{results.best.label}: the scores as they are (temperature 1.00), and with "
        "the temperature that was fitted on validation. Brier score and ECE: 0 is best.",
    )


def _kinds(results: Results) -> Iterator[Block]:
    yield _table(
        tables.subtypes(results.best.test),
        caption=f"{results.best.label}: each kind that the file names tell, against all normal "
        "images of test; sensitivity at threshold .5.",
    )


def _swaps(results: Results) -> Iterator[Block]:
    measured = [
        (f"{step.label}, seed {record.seed}", record, record.swap_effects, step is results.best)
        for step in results.selection.steps
        for record in step.records
        if record.swap_effects is not None and len(record.swap_effects)
    ]
    if not measured:
        yield html.text("No run looked at that: their records hold no effects of swaps.")
        return
    rows = [
        {"run": name} | _effects(effects.sort_values("cue")) for name, _, effects, _ in measured
    ]
    yield _table(
        pd.DataFrame(rows).fillna("–"),
        caption="How far the scores move towards the other class's when one property of the "
        "file is swapped for that class's: 1 is the whole gap between the classes. In "
        "brackets: 95 % interval.",
    )
    if defined := [each for each in measured if each[2]["value"].notna().all()]:
        name, record, effects, _ = max(defined, key=lambda each: each[3])
        numbers = "; ".join(f"{cue} {effect}" for cue, effect in _effects(effects).items())
        yield _figure(
            plots.swaps(effects, class_names=record.classes or CLASSES),
            alt=f"One bar a property of the file, with its effect for {name}: {numbers}.",
            caption=f"{name}: 0 is no change, 1 the whole way to the other class's mean score.",
        )


def _effects(effects: pd.DataFrame) -> dict[str, str]:
    return {
        row.cue: interval(row.value, row.low, row.high) if pd.notna(row.value) else "not defined"
        for row in effects.itertuples()
    }


def _runs(results: Results) -> Iterator[Block]:
    yield _table(tables.runs(results.selection.records), caption="One row a run, at threshold .5.")
    if len(results.selection.left_out):
        caption = "What was left out of everything above."
        yield _table(results.selection.left_out, caption=caption)
    else:
        yield html.text("No run was left out.")


def _protocols(results: Results) -> Iterator[Block]:
    records = results.selection.records
    yield html.bullets(dict.fromkeys(sentences.protocol(record) for record in records))
    yield _table(
        tables.folders(records),
        caption="What each run took its images and patients for, and what of the folder it did not "
        "take, by kind, with how many there are and an example.",
    )
    dates = sorted(record.finished[:10] for record in records)
    rows = {
        "runs finished": dates[:1] if dates[0] == dates[-1] else [f"{dates[0]} to {dates[-1]}"],
        "device": [record.device or "not recorded" for record in records],
    }
    for record in records:
        for package, version in record.versions.items():
            rows.setdefault(package, []).append(version)
    table = pd.DataFrame(
        [(what, ", ".join(dict.fromkeys(values))) for what, values in rows.items()],
        columns=["what", "which"],
    )
    yield html.table(table, caption="When, on what and with which versions the runs were made.")


def _table(frame: pd.DataFrame, *, caption: str) -> Block:
    return html.table(frame, caption=caption, stacked=True)


def _figure(figure: "Figure", *, alt: str, caption: str) -> Block:
    try:
        return html.figure(figure, alt=alt, caption=caption)
    finally:
        plt.close(figure)


_SECTIONS: dict[str, Callable[[Results], Iterator[Block]]] = {
    "What each step reached": _steps,
    "Each step against the one before": _neighbours,
    "Four views of the scores": _curves,
    "Which threshold": _thresholds,
    "Do the scores mean what they say?": _calibration,
    "By kind of pneumonia": _kinds,
    "What the verdicts rest on": _swaps,
    "The runs": _runs,
    "How they were made": _protocols,
}
