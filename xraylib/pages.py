"""Results -> whole pages: of an audit, of a folder of runs, of an executed notebook."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

import pandas as pd

from xraylib import progress, progression, report
from xraylib.report import Block, Link

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from nbformat import NotebookNode

# Severities as `audit.findings` names them, worst first, each with a mark that needs no colour.
MARKS: Final = {"severe": "■", "warning": "▲", "note": "●", "fine": "○"}

_MEDIANS: Final = {
    "width": "width, px",
    "height": "height, px",
    "aspect": "width / height",
    "bytes_per_pixel": "bytes per pixel",
    "quality": "JPEG quality",
    "mean": "mean grey",
}

# How nbconvert marks the error that ends a notebook; in a text, quotes would be escaped.
_STOPPED: Final = '<div class="output_subarea output_text output_error">'

_NOTEBOOK_STYLE: Final = """
pre { overflow-x: auto; font-size: .85rem; line-height: 1.4; margin: .6rem 0; }
.input_area pre { background: #f5f5f5; padding: .5rem .7rem; }
.output_subarea { overflow-x: auto; }
.output_stderr pre { color: #555; font-size: .75rem; }
.output_subarea img { max-width: 100%; height: auto; }
td, th { padding-right: .9rem; }
@media screen and (max-width: 40rem) { .output_subarea img { max-width: none; width: 44rem; } }
@media print { pre { white-space: pre-wrap; } .output_subarea { overflow: visible; } }
"""


def verdict(findings: pd.DataFrame) -> str:
    """How many findings there are of each severity, e.g. `"3 severe, 2 warnings, 4 fine"`.

    Args:
        findings: With the column severity, as `audit.findings` returns it.

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
        findings: As `audit.findings` returns it.
        measured: As `facts.measure` returns it.
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
    return report.page(
        title,
        [
            report.heading(verdict(findings)),
            report.table(
                shown, caption=f"Found in {len(measured):,} images, worst first.", stacked=True
            ),
            report.heading("What the files tell without a look at the anatomy"),
            report.figure(
                drawn,
                alt="For each split and class, properties of the files as boxes and dots, one "
                "panel each. The medians are in the next table.",
                caption="Where two classes differ in train, a network can learn the file instead "
                "of the lungs; where a class differs between train and test, what it learned need "
                "not hold. Line: median; box: middle half; dots: at most 300 images a row.",
            ),
            report.table(
                medians.rename_axis("split and class").reset_index(),
                caption="Counts, and medians of the files. Patients as far as file names tell.",
            ),
        ],
    )


def publish(
    folder: Path | str,
    *,
    out: Path | str | None = None,
    prevalence: float = 0.3,
    notebooks: Path | str | None = None,
) -> Path:
    """Writes the page of a folder of runs, and one of each executed notebook beside it.

    Args:
        folder: As for `progression.page`.
        out: The file to write, in a folder that exists; None for `report.html` in `folder`.
        prevalence: As for `progression.page`.
        notebooks: The folder of the executed notebooks; None for `folder`.

    Returns:
        The path of the page. Those of the notebooks lie in a folder beside it, of the same name
        with `-notebooks` at its end.

    Raises:
        ValueError: `folder` is none or has no runs that can be compared, or `prevalence` is out of
            its range.
        OSError: A page cannot be written.
    """
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise ValueError(f"give a folder with records, as RUN_DIR is. Received: {str(folder)!r}")
    out = folder / "report.html" if out is None else Path(out)
    if out.is_dir():
        raise ValueError(f"give a file to write the page to. Received the folder {str(out)!r}")
    found = sorted(Path(notebooks or folder).expanduser().glob("*.ipynb"))
    beside = out.with_name(f"{out.stem}-notebooks")
    links = []
    for path in progress.bar(found, total=len(found), description="notebooks to pages"):
        try:
            html = notebook(path)
        # What a file that is no notebook raises depends on what it is instead.
        except Exception as error:
            links.append(Link(path.stem, "", f"cannot be shown: {progression.reason(error)}"))
            continue
        beside.mkdir(exist_ok=True)
        report.write(beside / f"{path.stem}.html", html)
        note = "stopped at an error" if _STOPPED in html else ""
        links.append(Link(path.stem, f"{beside.name}/{path.stem}.html", note))
    return report.write(out, progression.page(folder, prevalence=prevalence, notebooks=links))


def notebook(path: Path | str) -> str:
    """The page of an executed notebook, with its figures inside.

    Args:
        path: Of the notebook.

    Returns:
        HTML that loads nothing: scripts are left out, as are pictures from elsewhere, whose
        place is taken by their words. A figure without words for those who cannot see it says
        under which heading it stands.

    Raises:
        Exception: It is no notebook, or one that nbconvert cannot read.
    """
    import nbformat
    from nbconvert.exporters import HTMLExporter
    from pygments.formatters import HtmlFormatter
    from traitlets.config import Config

    path = Path(path)
    read = nbformat.read(path, as_version=4)
    title = _prepare(read) or path.stem
    shown = ["text/html", "text/markdown", "image/svg+xml", "image/png", "image/jpeg", "text/plain"]
    exporter = HTMLExporter(
        # No head, no styles and no scripts.
        template_name="basic",
        embed_images=True,
        exclude_anchor_links=True,
        exclude_input_prompt=True,
        exclude_output_prompt=True,
        config=Config({"NbConvertBase": {"display_data_priority": shown}}),
    )
    body, _ = exporter.from_notebook_node(read, {"metadata": {"path": str(path.parent)}})
    colours = HtmlFormatter(style="bw", nobackground=True).get_style_defs(".highlight")
    return report.page(title, [_harmless(body)], style=_NOTEBOOK_STYLE + colours)


# ------------------------------------------------------------------ notebooks


def _prepare(read: "NotebookNode") -> str:
    """Takes the title out and gives words to figures; returns the title, or ""."""
    title, below = "", ""
    for cell in read.cells:
        if cell.cell_type == "markdown":
            lines = cell.source.split("\n")
            if not title and lines[0].startswith("# "):
                title, cell.source = lines[0][2:].strip(), "\n".join(lines[1:])
            headings = [line.lstrip("# ") for line in lines if line.startswith("#")]
            below = headings[-1] if headings else below
        for output in cell.get("outputs", []):
            for kind in output.get("data", {}):
                if kind.startswith("image/") and "alt" not in cell.metadata:
                    words = f"Figure under the heading “{below}”; the text beside it explains it."
                    output.metadata.setdefault(kind, {}).setdefault("alt", words)
    return title


def _harmless(body: str) -> Block:
    """What an exporter made, without all that would run or be loaded."""
    from bs4 import BeautifulSoup  # the one that nbconvert itself uses

    soup = BeautifulSoup(body, "html.parser")
    for element in soup(["script", "link", "meta", "base", "object", "embed", "iframe", "form"]):
        element.decompose()
    for element in soup("style"):
        if any(word in element.get_text().lower() for word in ("url(", "@import", "</")):
            element.decompose()
    for element in soup(True):
        for name in list(element.attrs):
            value = " ".join(str(element.attrs[name]).split()) if name != "class" else ""
            linked = element.name == "a" and value.startswith(("http://", "https://", "#"))
            loads = name in _LOADING and not linked and not value.startswith("data:image/")
            if loads or name.startswith("on") or (name == "style" and "url(" in value.lower()):
                del element.attrs[name]
    for element in soup("img"):
        if "src" not in element.attrs:
            element.replace_with(f"[picture: {element.get('alt') or 'without words'}]")
    return Block(str(soup))


_LOADING: Final = ("src", "srcset", "href", "xlink:href", "data", "poster", "background", "action")
