"""Results -> whole pages: of an audit, of a folder of runs, of an executed notebook."""

from typing import TYPE_CHECKING, Final

import pandas as pd

from xraylib.report import html

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Severities as `checks.findings` names them, worst first, each with a mark that needs no colour.
MARKS: Final = {"severe": "■", "warning": "▲", "note": "●", "fine": "○"}

_MEDIANS: Final = {
    "width": "width, px",
    "height": "height, px",
    "aspect": "width / height",
    "bytes_per_pixel": "bytes per pixel",
    "quality": "JPEG quality",
    "mean": "mean grey",
}


def verdict(findings: pd.DataFrame) -> str:
    """How many findings there are of each severity, e.g. `"3 severe, 2 warnings, 4 fine"`.

    Args:
        findings: With the column severity, as `checks.findings` returns it.

    Returns:
        The words, worst first; severe is named even where there is none.
    """
    counts = findings["severity"].value_counts()
    said = []
    for severity in MARKS:
        count = int(counts.get(severity, 0))
        ending = "s" if count != 1 and severity in ("warning", "note") else ""
        if count or severity == "severe":
            said.append(f"{count} {severity}{ending}")
    return ", ".join(said)


def audit(title: str, *, findings: pd.DataFrame, measured: pd.DataFrame, drawn: "Figure") -> str:
    """The page of an audit of a data set.

    Args:
        title: Of the page.
        findings: As `checks.findings` returns it.
        measured: As `measurements.measure` returns it.
        drawn: As `plots.properties` returns it.

    Returns:
        HTML that loads nothing.
    """
    shown = pd.DataFrame(
        {
            "finding": findings["check"],
            "severity": [
                f"{MARKS[severity]}\N{NO-BREAK SPACE}{severity}"
                for severity in findings["severity"]
            ],
            "count": findings["count"],
            "what it means": [
                f"{meaning}\ne.g. {', '.join(examples)}" if examples else meaning
                for meaning, examples in zip(findings["meaning"], findings["examples"], strict=True)
            ],
        }
    )
    groups = measured.groupby([measured["split"] + " " + measured["class"]], sort=False)
    medians = groups[list(_MEDIANS)].median().rename(columns=_MEDIANS)
    medians.insert(0, "images", groups.size())
    medians.insert(1, "patients", groups["patient"].nunique())
    return html.page(
        title,
        [
            html.heading(verdict(findings)),
            html.table(
                shown, caption=f"Found in {len(measured):,} images, worst first.", stacked=True
            ),
            html.heading("What the files tell without a look at the anatomy"),
            html.figure(
                drawn,
                alt="For each split and class, properties of the files as boxes and dots, one "
                "panel each. The medians are in the next table.",
                caption="Where two classes differ in train, a network can learn the file instead "
                "of the lungs; where a class differs between train and test, what it learned need "
                "not hold. Line: median; box: middle half; dots: at most 300 images a row.",
            ),
            html.table(
                medians.rename_axis("split and class").reset_index(),
                caption="Counts, and medians of the files. Patients as far as file names tell.",
            ),
        ],
    )
