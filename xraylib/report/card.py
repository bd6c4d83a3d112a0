"""Write the model card of a packed classifier: what it is, what it reached, where it fails.

Mitchell et al., "Model Cards for Model Reporting", FAT* 2019. Every figure comes from the
classifier's own description and from the records of its training; what neither of them holds is
said to be missing.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import jinja2
import numpy as np
import pandas as pd

from xraylib import errors, files
from xraylib.data import patients
from xraylib.data.patient_rules import family
from xraylib.evaluation import calibration, comparison, metrics
from xraylib.evaluation.thresholds import Rule
from xraylib.networks import packed
from xraylib.report import sentences, tables
from xraylib.runs import selection
from xraylib.runs.record import Record
from xraylib.runs.selection import Step

FILE: Final = "card.md"
STEP: Final = "07_classifier"


def write(
    results: Path | str,
    *,
    classifier: Path | str | None = None,
    shapes: pd.Series | None = None,
    swaps: pd.DataFrame | None = None,
    seed: int = 0,
) -> Path:
    """Write the card beside a packed classifier.

    Args:
        results: Folder of records, of which those of the notebook `STEP` count.
        classifier: Its folder; None for the one in the box.
        shapes: Width / height of test images by their path, as in the predictions; None where the
            images are not at hand.
        swaps: Rows as `swaps.effects` returns them with a column run, measured with the true shapes
            of files whose copies have lost them; None for what the record says.
        seed: Of the resampling for the intervals.

    Returns:
        The path of the card.

    Raises:
        ClassifierError: There is no classifier, or its description is damaged.
        OSError: The card cannot be written.
    """
    path = Path(classifier or packed.FOLDER).expanduser() / FILE
    content = text(packed.read(classifier), steps(results), shapes=shapes, swaps=swaps, seed=seed)
    with files.whole(path) as unfinished:
        unfinished.write_text(content, encoding="utf-8", newline="\n")
    return path


def read(classifier: Path | str | None = None) -> str:
    """Read the card of a packed classifier.

    Raises:
        ClassifierError: There is no classifier, or none was written for it.
    """
    packed.read(classifier)
    path = Path(classifier or packed.FOLDER).expanduser() / FILE
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise errors.ClassifierError(
            f"the classifier has no card ({path}: {reason}): write it with `make card`"
        ) from None


def steps(results: Path | str) -> list[Step]:
    """The steps of the notebook `STEP` in a folder of records; none where there are none."""
    try:
        chosen = selection.comparable(results).steps
    except ValueError:
        return []
    return [step for step in chosen if step.records[0].step == STEP]


def text(
    description: packed.Description,
    steps: Sequence[Step],
    *,
    shapes: pd.Series | None = None,
    swaps: pd.DataFrame | None = None,
    seed: int = 0,
) -> str:
    """Compose the card, in Markdown.

    Args:
        description: Of the packed classifier.
        steps: The records of its training, as `steps` reads them. Those at the classifier's image
            size count, if there are any. Subgroups, thresholds and calibration are of the first
            seed.
        shapes: As of `write`.
        swaps: As of `write`.
        seed: As of `write`.
    """
    size = description.preparation.image_size
    same = [step for step in steps if step.settings.get("IMAGE_SIZE") == size]
    template = _templates().get_template("card.md")
    content = {"about": description, "number": sentences.short, "markdown": _markdown}
    measured = _measured(same, shapes, swaps, seed) if same else None
    return template.render(**content, measured=measured, others=len(steps) - len(same)) + "\n"


def subgroups(
    test: pd.DataFrame, *, threshold: float, shapes: pd.Series | None = None, seed: int = 0
) -> pd.DataFrame:
    """Measure groups of test images for themselves: by kind, by file name, by shape.

    Args:
        test: One row an image, with the columns path, label, score, patient and subtype.
        threshold: Scores of at least this are called by the second class.
        shapes: Width / height by path; None leaves these groups out.
        seed: Of the resampling.

    Returns:
        As `metrics.by_group` returns it. Groups are the kinds of pneumonia, the families of names
        of NORMAL where there are several, and thirds of the images by shape.
    """
    ill = test["label"].to_numpy() == 1
    kinds = test["subtype"].fillna("").to_numpy()
    families = test["path"].map(family).to_numpy()
    groups = [
        np.where(ill & (kinds != ""), kinds, ""),
        np.where(~ill & (families != ""), "NORMAL, files named " + families.astype(object), ""),
    ]
    if shapes is not None:
        groups.append(_thirds(test["path"].map(shapes).to_numpy(float)))
    labels, scores, keys = (test[name].to_numpy() for name in ("label", "score", "patient"))
    parts = [
        metrics.by_group(labels, scores, each, threshold=threshold, patients=keys, seed=seed)
        for each in groups
    ]
    return pd.concat(parts, ignore_index=True)


def _thirds(shapes: np.ndarray) -> np.ndarray:
    """The third of each image by its width / height, in words; `""` where it is unknown."""
    known = np.isfinite(shapes)
    if not known.any():
        return np.full(len(shapes), "", object)
    low, high = np.quantile(shapes[known], [1 / 3, 2 / 3])
    names = [
        f"width / height up to {low:.2f}",
        f"width / height {low:.2f} to {high:.2f}",
        f"width / height above {high:.2f}",
    ]
    places = (shapes > low).astype(int) + (shapes > high)
    return np.where(known, np.array(names, object)[places], "")


def _measured(
    steps: Sequence[Step], shapes: pd.Series | None, swaps: pd.DataFrame | None, seed: int
) -> dict[str, Any]:
    """What the records say, for the template."""
    records = [record for step in steps for record in step.records]
    first, scored = steps[0].records[0], steps[0].predictions[0]
    effects = first.swap_effects if swaps is None else swaps[swaps["run"] == first.folder.name]
    averages = comparison.averages({s.label: list(s.predictions) for s in steps}, seed=seed)
    chosen = {step.label: [_chosen(record) for record in step.records] for step in steps}
    at_chosen = comparison.averages(
        {step.label: list(step.predictions) for step in steps}, threshold=chosen, seed=seed
    )
    threshold = _chosen(first)
    groups = subgroups(steps[0].test, threshold=threshold, shapes=shapes, seed=seed)
    return {
        "first": first,
        "unit": patients.unit_of([record.patients for record in records]),
        "protocols": sorted({sentences.protocol(r) for r in records if r.counts is not None}),
        "at_half": tables.steps(averages),
        "at_chosen": tables.steps(at_chosen),
        "runs": _runs(records),
        "threshold": threshold,
        "subgroups": tables.groups(groups),
        "with_shapes": shapes is not None,
        "calibration": tables.calibration(calibration.summary(scored, seed=seed)),
        "swaps": None if effects is None or effects.empty else sentences.swaps(effects),
        "true_shapes": swaps is not None,
    }


def _runs(records: Sequence[Record]) -> pd.DataFrame:
    """Seeds, hardware and time."""
    rows = [
        {
            "run": record.folder.name,
            "seed": record.seed,
            "epochs": record.epochs or "-",
            "precision": record.precision or "-",
            "device": record.device or "-",
            "minutes": "-"
            if not record.training_seconds
            else f"{record.training_seconds / 60:.0f}",
            "versions": ", ".join(f"{name} {each}" for name, each in record.versions.items()),
        }
        for record in records
    ]
    return pd.DataFrame(rows)


def _chosen(record: Record) -> float:
    rows = record.metrics[record.metrics["rule"] == Rule.BEST_ON_VALIDATION]
    return float(rows["threshold"].iloc[0])


def _markdown(table: pd.DataFrame) -> str:
    """A table in Markdown; a bar or the end of a line in a cell would end it."""
    rows = [list(table.columns), ["---"] * len(table.columns), *table.to_numpy().tolist()]
    return "\n".join(
        "| " + " | ".join(str(cell).replace("|", "\\|").replace("\n", " ") for cell in row) + " |"
        for row in rows
    )


def _templates() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("xraylib.report"),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
