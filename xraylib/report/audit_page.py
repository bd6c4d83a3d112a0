"""Show the audit of a data set as one page."""

from typing import TYPE_CHECKING, Final

import pandas as pd

from xraylib.data import patients
from xraylib.report import html

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# The severities of `checks.findings`, worst first, each with a mark that needs no colour.
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
    """The number of findings of each severity, worst first; severe even where there is none.

    Args:
        findings: What `checks.findings` returns; only the column severity is read.

    Example:
        >>> verdict(pd.DataFrame({"severity": ["fine", "warning", "warning"]}))
        '0 severe, 2 warnings, 1 fine'
    """
    counts = findings["severity"].value_counts().reindex(list(MARKS), fill_value=0)
    plurals = {"warning": "warnings", "note": "notes"}
    return ", ".join(
        f"{count} {severity if count == 1 else plurals.get(severity, severity)}"
        for severity, count in counts.items()
        if count or severity == "severe"
    )


def audit(
    title: str, *, findings: pd.DataFrame, measured: pd.DataFrame, properties: "Figure"
) -> str:
    """The page of an audit of a data set, as HTML that loads nothing.

    Args:
        title: Title of the page.
        findings: What `checks.findings` returns.
        measured: What `measurements.measure` returns.
        properties: What `plots.properties` returns.
    """
    worst_first = f"Findings in {len(measured):,} images, worst first."
    alt = (
        "For each split and class, properties of the files as boxes and dots, one panel each. "
        "The medians are in the next table."
    )
    caption = (
        "Where two classes differ in train, a network can learn the file instead of the lungs; "
        "where a class differs between train and test, what it learned need not hold. "
        "Line: median; box: middle half; dots: at most 300 images a row."
    )
    counted = f"Counts, and medians of the files. {patients.describe(patients.facts(measured))}"
    blocks = [
        html.heading(verdict(findings)),
        html.table(_findings(findings), caption=worst_first, stacked=True),
        html.heading("What the files reveal without a look at the anatomy"),
        html.figure(properties, alt=alt, caption=caption),
        html.table(_medians(measured), caption=counted),
    ]
    return html.page(title, blocks)


def _findings(findings: pd.DataFrame) -> pd.DataFrame:
    columns = (findings[name] for name in ("meaning", "examples", "compared"))
    meanings = [
        "\n".join([meaning, *_listed(examples), f"compared: {compared}"])
        for meaning, examples, compared in zip(*columns, strict=True)
    ]
    marks = findings["severity"].map(MARKS) + "\N{NO-BREAK SPACE}"
    table = findings[["check", "severity", "count"]].rename(columns={"check": "finding"})
    return table.assign(**{"severity": marks + findings["severity"], "what it means": meanings})


def _listed(examples: list[str]) -> list[str]:
    return [f"e.g. {', '.join(examples)}"] if examples else []


def _medians(measured: pd.DataFrame) -> pd.DataFrame:
    places = measured["split"] + " " + measured["class"]
    groups = measured.groupby(places, sort=False)
    medians = groups[list(_MEDIANS)].median().rename(columns=_MEDIANS)
    medians.insert(0, "images", groups.size())
    if patients.unit(measured) != "images":
        known = measured.loc[~patients.unknown(measured)]
        counts = known.groupby(places)["patient"].nunique()
        medians.insert(1, "patients", counts.reindex(medians.index, fill_value=0))
    return medians.rename_axis("split and class").reset_index()
