"""Text, tables and figures -> one HTML page that can be sent by mail: no script, no network.

Everything that a block is given is escaped: file names come from anywhere.
"""

import base64
import io
import math
from collections.abc import Iterable
from html import escape
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Final, NewType

import pandas as pd

if TYPE_CHECKING:
    from matplotlib.figure import Figure

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

Block = NewType("Block", str)

_STYLE: Final = """
body { font: 1rem/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff;
  max-width: 62rem; margin: 0 auto; padding: 1rem; overflow-wrap: anywhere; }
h1 { font-size: 1.7rem; line-height: 1.2; }
h2 { font-size: 1.25rem; margin: 2.2rem 0 .6rem; }
p { max-width: 44rem; margin: .6rem 0; }
.wide { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-size: .93rem; font-variant-numeric: tabular-nums; }
caption, figcaption { text-align: left; color: #555; font-size: .93rem; padding: .3rem 0; }
th, td { text-align: left; vertical-align: top; padding: .35rem .9rem .35rem 0;
  border-bottom: 1px solid #ccc; overflow-wrap: break-word; }
thead th { border-bottom: 2px solid #1a1a1a; }
tbody th { white-space: nowrap; }
td { white-space: pre-line; }
.number { text-align: right; }
figure { margin: 1rem 0; }
figure img { max-width: 100%; height: auto; }
footer { margin-top: 3rem; padding-top: .6rem; border-top: 1px solid #ccc; color: #555; }
@media screen and (max-width: 40rem) {
  caption { max-width: calc(100vw - 2rem); }
  figure img { max-width: none; width: 44rem; }
  .stacked thead { display: none; }
  .stacked tr, .stacked th, .stacked td { display: block; border: 0; padding: 0; }
  .stacked tr { border-bottom: 1px solid #ccc; padding: .7rem 0; }
  .stacked .number { text-align: left; }
  .stacked td::before { content: attr(data-of) ": "; color: #555; }
}
@media print {
  body { max-width: none; padding: 0; font-size: 10pt; }
  .wide { overflow: visible; }
  tr, figure { break-inside: avoid; }
  h2, caption { break-after: avoid; }
}
"""


def heading(words: str) -> Block:
    """A heading below the page's title."""
    return Block(f"<h2>{escape(words)}</h2>")


def text(words: str) -> Block:
    """Paragraphs.

    Args:
        words: Plain text; an empty line begins a new paragraph.

    Returns:
        The block.
    """
    paragraphs = [part.strip() for part in words.split("\n\n") if part.strip()]
    return Block("\n".join(f"<p>{escape(part)}</p>" for part in paragraphs))


def table(frame: pd.DataFrame, *, caption: str, stacked: bool = False) -> Block:
    """A table without its index; the first column names the rows.

    Args:
        frame: Numbers are grouped by thousands and shortened to four digits, NaN is a dash.
        caption: What is in it.
        stacked: On a narrow screen, each row becomes a paragraph: for sentences. Otherwise the
            table is scrolled sideways: for numbers.

    Returns:
        The block.
    """
    looks = [
        ' class="number"' if pd.api.types.is_numeric_dtype(kind) else "" for kind in frame.dtypes
    ]
    names = [escape(str(name)) for name in frame.columns]
    head = "".join(
        f'<th scope="col"{look}>{name}</th>' for name, look in zip(names, looks, strict=True)
    )
    body = []
    for row in frame.itertuples(index=False, name=None):
        first, *others = map(_cell, row)
        cells = "".join(
            f'<td{look} data-of="{name}">{cell}</td>'
            for cell, name, look in zip(others, names[1:], looks[1:], strict=True)
        )
        body.append(f'<tr><th scope="row"{looks[0]}>{first}</th>{cells}</tr>')
    return Block(
        f'<div class="wide{" stacked" if stacked else ""}" role="region" tabindex="0" '
        f'aria-label="{escape(caption)}"><table>\n<caption>{escape(caption)}</caption>\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n" + "\n".join(body) + "\n</tbody></table></div>"
    )


def figure(drawn: "Figure", *, alt: str, caption: str = "") -> Block:
    """A figure as a picture inside the page.

    Args:
        drawn: By matplotlib; it is left as it is.
        alt: What is to be seen, for those who cannot see it.
        caption: Below it.

    Returns:
        The block.

    Raises:
        ValueError: `alt` is empty.
    """
    if not alt.strip():
        raise ValueError(
            f"a figure needs words for those who cannot see it as alt. Received: {alt!r}"
        )
    picture = io.BytesIO()
    drawn.savefig(picture, format="png", dpi=160)
    data = base64.b64encode(picture.getvalue()).decode()
    below = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return Block(
        '<figure><div class="wide" role="region" tabindex="0" aria-label="figure">'
        f'<img src="data:image/png;base64,{data}" alt="{escape(alt)}"></div>{below}</figure>'
    )


def page(title: str, blocks: Iterable[Block]) -> str:
    """One page of blocks.

    Args:
        title: Of the page and its first line.
        blocks: As `heading`, `text`, `table` and `figure` return them, in their order.

    Returns:
        HTML that loads nothing.
    """
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"<main>\n<h1>{escape(title)}</h1>\n" + "\n".join(blocks) + "\n</main>\n"
        "<footer><p>Made by xraylib for education. This is not a medical device: nothing here "
        "may guide the care of a patient.</p></footer>\n</body>\n</html>\n"
    )


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


def audit(title: str, *, findings: pd.DataFrame, facts: pd.DataFrame, drawn: "Figure") -> str:
    """The page of an audit of a data set.

    Args:
        title: Of the page.
        findings: As `audit.findings` returns it.
        facts: As `audit.facts` returns it.
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
    groups = facts.groupby([facts["split"] + " " + facts["class"]], sort=False)
    medians = groups[list(_MEDIANS)].median().rename(columns=_MEDIANS)
    medians.insert(0, "images", groups.size())
    medians.insert(1, "patients", groups["patient"].nunique())
    return page(
        title,
        [
            heading(verdict(findings)),
            table(shown, caption=f"Found in {len(facts):,} images, worst first.", stacked=True),
            heading("What the files tell without a look at the anatomy"),
            figure(
                drawn,
                alt="For each split and class, properties of the files as boxes and dots, one "
                "panel each. The medians are in the next table.",
                caption="Where two classes differ in train, a network can learn the file instead "
                "of the lungs; where a class differs between train and test, what it learned need "
                "not hold. Line: median; box: middle half; dots: at most 300 images a row.",
            ),
            table(
                medians.rename_axis("split and class").reset_index(),
                caption="Counts, and medians of the files. Patients as far as file names tell.",
            ),
        ],
    )


def write(path: Path | str, words: str) -> Path:
    """Writes a text file, whole or not at all.

    Args:
        path: Of the file; its folder exists.
        words: What is to be in it.

    Returns:
        The path.

    Raises:
        OSError: It cannot be written.
    """
    path = Path(path)
    # A file name that is no UTF-8 must not cost the work of minutes.
    half_written = path.with_name(f".{path.name}.writing")
    half_written.write_text(words, encoding="utf-8", errors="backslashreplace")
    half_written.replace(path)
    return path


def _cell(value: object) -> str:
    if isinstance(value, Integral):
        return f"{value:,}"
    if isinstance(value, Real):
        number = float(value)
        if math.isnan(number):
            return "–"
        return f"{number:,.0f}" if abs(number) >= 1000 else f"{number:.4g}"
    return escape(str(value))
