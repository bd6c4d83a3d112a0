"""Report what is wrong with a collection of images, before anything is trained.

Files and the balance of the classes are checked here; `copies` judges copies, `patient_checks`
looks at patients, and `shortcuts` finds what separates the classes or the splits without the lungs.
"""

import os
from pathlib import Path
from typing import Final

import pandas as pd

from xraylib.audit import copies, looks, patient_checks, shortcuts
from xraylib.audit.finding import Finding, counted, finding_of, not_judged
from xraylib.data import layout
from xraylib.data.index import class_names

_LEAST_IMAGES: Final = 10


def findings(measured: pd.DataFrame, *, seed: int = 0) -> pd.DataFrame:
    """Checks the images, one row a check whatever the result.

    Copies and patients are looked for between each split and each other. For the balance of the
    classes, shortcuts and shifts, all splits but `test` count as one side, called train.

    Args:
        measured: Table as `measurements.measure` returns it.
        seed: Random seed of the baselines.

    Returns:
        Table of the `Finding`s, with their attributes as columns.

    Raises:
        ValueError: The table has no images.
    """
    if measured.empty:
        raise ValueError("the table has no images: give one as measurements.measure returns it")
    names = class_names(measured)
    common = os.path.commonpath([Path(path).parent for path in measured["path"]])
    everything = measured.reset_index(drop=True).assign(
        side=measured["split"].where(measured["split"].isin(("test", "all")), "train").to_numpy(),
        name=[Path(path).relative_to(common).as_posix() for path in measured["path"]],
    )
    rows = everything[everything["problem"] == ""]
    results = [
        _unreadable(everything),
        _passed_over(measured),
        _misnamed(rows),
        _images_per_class(everything, names),
        *looks.find(rows, names),
        *copies.find(rows),
        patient_checks.across_splits(rows),
        patient_checks.unknown(rows),
        _class_priors(rows, names),
        *shortcuts.find(rows, names, seed=seed),
    ]
    return pd.DataFrame(results)


def _unreadable(everything: pd.DataFrame) -> Finding:
    readable = everything["problem"] == ""
    broken = everything[~readable]
    what = "images of the two classes" if everything.attrs.get("passed_over") else "files"
    class_is_lost = everything[readable]["label"].nunique() < everything["label"].nunique()
    return finding_of(
        "unreadable files",
        "severe" if class_is_lost else "warning",
        len(broken),
        f"{len(broken):,} of {counted(len(everything), 'file')} cannot be read and would be left "
        "out: download them again or remove them.",
        f"All {len(everything):,} {what} can be read.",
        [f"{row.name} {row.problem}" for row in broken.itertuples(index=False)],
        compared="nothing; every file of the class folders was decoded as a whole",
    )


def _passed_over(measured: pd.DataFrame) -> Finding:
    if "passed_over" not in measured.attrs:
        return not_judged("files passed over", "the folder of the images was not listed")
    rows = measured.attrs["passed_over"]
    images = sum(row["count"] for row in rows if row["kind"].startswith("images"))
    advice = " Images in no class folder are not audited: sort them into one." if images else ""
    return finding_of(
        "files passed over",
        "warning" if images else "note",
        sum(row["count"] for row in rows),
        f"Not taken for images of the two classes: {layout.summary(rows)}.{advice}",
        "Every file of the folder is an image of one of the two classes.",
        [str(row["example"]) for row in rows],
        compared="every file of the folder but hidden ones, with those of the two classes",
    )


def _misnamed(rows: pd.DataFrame) -> Finding:
    wrong = rows[rows["misnamed"].astype(bool)]
    return finding_of(
        "misnamed files",
        "warning",
        len(wrong),
        f"{counted(len(wrong), 'file')} named as the other format, a JPEG as .png or a PNG as "
        ".jpeg: they can be read here, but other programs may refuse them, and they may come from "
        "another source than the rest.",
        "The name of every file matches its format.",
        [f"{row.name} is a {row.format}" for row in wrong.itertuples(index=False)],
        compared="the format of each file's content with the suffix of its name",
    )


def _images_per_class(everything: pd.DataFrame, names: dict[int, str]) -> Finding:
    readable = (everything["problem"] == "").groupby([everything["split"], everything["label"]])
    counts = {
        f"{split}/{name}": int(readable.sum().get((split, label), 0))
        for split in everything["split"].unique()
        for label, name in names.items()
    }
    few = {place: count for place, count in counts.items() if count < _LEAST_IMAGES}
    listed = ", ".join(f"{place} {count:,}" for place, count in counts.items())
    advice = (
        f" Fewer than {_LEAST_IMAGES} are too few to learn or measure anything: add images, or "
        "join splits."
    )
    return Finding(
        "images per class",
        "warning" if few else "fine",
        len(few),
        f"Readable images: {listed}.{advice if few else ''}",
        [f"{place}: {count}" for place, count in few.items()][:3],
        f"the number of readable images of each class in each split with {_LEAST_IMAGES}",
    )


def _class_priors(rows: pd.DataFrame, names: dict[int, str]) -> Finding:
    shares = rows.groupby("side", sort=False)["label"].mean()
    listed = " and ".join(f"{share:.1%} of {side}" for side, share in shares.items())
    differ = {"train", "test"} <= set(shares.index) and abs(shares["train"] - shares["test"]) > 0.05
    advice = (
        " Accuracy and thresholds do not transfer from one to the other: report balanced accuracy "
        "or both error rates."
    )
    return Finding(
        "class priors",
        "warning" if differ else "note",
        len(rows),
        f"{names[1]} makes up {listed or 'nothing'}.{advice if differ else ''}",
        compared=f"the share of {names[1]} in {shortcuts.sides(rows)}",
    )
