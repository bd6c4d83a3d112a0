"""Text, tables and figures -> one HTML page that can be sent by mail: no script, no network.

Everything that a block is given is escaped: file names come from anywhere. A browser is told, too,
to run and to load nothing.
"""

import base64
import io
import math
import re
from collections.abc import Iterable
from html import escape
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, NewType
from urllib.parse import quote

import pandas as pd

from xraylib import files

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Block = NewType("Block", str)


class Link(NamedTuple):
    """An item of `bullets` that leads to another page.

    Attributes:
        words: What is shown of it.
        address: A path relative to the page, as it is on disk; "" leads nowhere.
        note: What follows.
    """

    words: str
    address: str
    note: str = ""


# An interval and a p are not torn apart by the end of a line.
_TOGETHER: Final = re.compile(r"\[[-+.\d]+, [-+.\d]+\]( ± [.\d]+)?|\bp (=|&lt;) [.\d]+")

# Whatever got into a page all the same: no script runs, and nothing is loaded from elsewhere.
_POLICY: Final = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"

_STYLE: Final = """
body { font: 1rem/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff;
  max-width: 62rem; margin: 0 auto; padding: 1rem; overflow-wrap: anywhere; }
h1 { font-size: 1.7rem; line-height: 1.2; }
h2 { font-size: 1.25rem; margin: 2.2rem 0 .6rem; }
p, ul { max-width: 44rem; margin: .6rem 0; }
ul { padding-left: 1.2rem; }
li { margin: .4rem 0; }
.wide { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-size: .93rem; font-variant-numeric: tabular-nums; }
caption, figcaption { text-align: left; color: #555; font-size: .93rem; padding: .3rem 0; }
th, td { text-align: left; vertical-align: top; padding: .35rem .6rem .35rem 0;
  border-bottom: 1px solid #ccc; overflow-wrap: break-word; }
thead th { border-bottom: 2px solid #1a1a1a; }
tbody th { white-space: nowrap; }
td { white-space: pre-line; }
.number { text-align: right; }
figure { margin: 1rem 0; }
figure img { max-width: 100%; height: auto; }
figure > img { width: 36rem; }
footer { margin-top: 3rem; padding-top: .6rem; border-top: 1px solid #ccc; color: #555; }
@media screen and (max-width: 40rem) {
  caption { max-width: calc(100vw - 2rem); }
  figure .wide img { max-width: none; width: 44rem; }
  .stacked table, .stacked caption, .stacked tbody { display: block; }
  .stacked thead { display: none; }
  .stacked tr, .stacked th, .stacked td { display: block; border: 0; padding: 0; }
  .stacked tr { border-bottom: 1px solid #ccc; padding: .7rem 0; }
  .stacked th { white-space: normal; }
  .stacked .number { text-align: left; }
  .stacked td::before { content: attr(data-of) ": "; color: #555; }
}
@media print {
  body { max-width: none; padding: 0; font-size: 10pt; }
  .wide { overflow: visible; }
  table { font-size: 8pt; }
  th, td { padding-right: .6rem; }
  tbody th { white-space: normal; }
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
    return Block("\n".join(f"<p>{_words(part)}</p>" for part in paragraphs))


def bullets(items: Iterable[str | Link]) -> Block:
    """A list.

    Args:
        items: Plain text, or links to pages beside this one.

    Returns:
        The block.
    """
    lines = []
    for item in items:
        if isinstance(item, Link):
            shown, note = escape(item.words), f" {escape(item.note)}" if item.note else ""
            if item.address:
                # On Windows as well; and "./", so that no name is taken for a scheme.
                path = quote(Path(item.address).as_posix(), errors="surrogateescape")
                shown = f'<a href="./{path}">{shown}</a>'
            lines.append(f"<li>{shown}{note}</li>")
        else:
            lines.append(f"<li>{_words(item)}</li>")
    return Block("<ul>\n" + "\n".join(lines) + "\n</ul>")


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
        drawn: By matplotlib; it is left as it is. One of up to 5.5 inches is shown whole on a
            narrow screen, a wider one is scrolled sideways.
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
    shown = f'<img src="data:image/png;base64,{data}" alt="{escape(alt)}">'
    if drawn.get_figwidth() > 5.5:
        shown = f'<div class="wide" role="region" tabindex="0" aria-label="figure">{shown}</div>'
    return Block(f"<figure>{shown}{below}</figure>")


def page(title: str, blocks: Iterable[Block], *, style: str = "") -> str:
    """One page of blocks.

    Args:
        title: Of the page and its first line.
        blocks: As the functions above return them, in their order.
        style: CSS for what else is in them.

    Returns:
        HTML that loads nothing.
    """
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}{style}</style>\n</head>\n<body>\n"
        f"<main>\n<h1>{escape(title)}</h1>\n" + "\n".join(blocks) + "\n</main>\n"
        "<footer><p>Made by xraylib for education. This is not a medical device: nothing here "
        "may guide the care of a patient.</p></footer>\n</body>\n</html>\n"
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
    with files.whole(path) as unfinished:
        unfinished.write_text(words, encoding="utf-8", errors="backslashreplace")
    return path


def _cell(value: object) -> str:
    if isinstance(value, Integral):
        return f"{value:,}"
    if isinstance(value, Real):
        number = float(value)
        if math.isnan(number):
            return "–"
        return f"{number:,.0f}" if abs(number) >= 1000 else f"{number:.4g}"
    return _words(str(value))


def _words(plain: str) -> str:
    return _TOGETHER.sub(lambda part: part[0].replace(" ", "\N{NO-BREAK SPACE}"), escape(plain))
