"""Build pages of text, tables and figures that can be mailed: no script, nothing loaded.

All text is escaped, for file names come from anywhere, and the page tells the browser to run no
script and to load nothing. What it looks like is in `templates/`.
"""

import base64
import functools
import io
import math
import re
from collections.abc import Iterable
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NewType
from urllib.parse import quote

import jinja2
import pandas as pd
from markupsafe import Markup

from xraylib import files, names

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# A part of a page, already HTML.
Block = NewType("Block", Markup)

# An interval and a p-value are not torn apart by the end of a line.
_UNBROKEN: Final = re.compile(r"\[[-+.\d]+, [-+.\d]+\]( ± [.\d]+)?|\bp [=<] [.\d]+")


class Link(NamedTuple):
    """An item of `bullets` that leads to another page."""

    text: str
    address: str  # a path relative to the page, as it is on disk; "" leads nowhere
    note: str = ""  # follows the link

    @property
    def href(self) -> str:
        """The address as a URL, or ""."""
        # On Windows as well; and "./", so that no name is taken for a scheme.
        path = quote(Path(self.address).as_posix(), errors="surrogateescape")
        return f"./{path}" if self.address else ""


def heading(title: str) -> Block:
    """A heading below the page's title.

    Example:
        >>> print(heading("Sick & well"))
        <h2>Sick &amp; well</h2>
    """
    return _block("heading", title)


def text(content: str) -> Block:
    """Paragraphs of plain text; an empty line begins a new one.

    Example:
        >>> print(text("a < b"))
        <p>a &lt; b</p>
    """
    return _block("text", [part.strip() for part in content.split("\n\n") if part.strip()])


def bullets(items: Iterable[str | Link]) -> Block:
    """A list of plain texts, or of links to pages beside this one.

    Example:
        >>> print(bullets([Link("a run", "runs/a 1.html")]))
        <ul>
        <li><a href="./runs/a%201.html">a run</a> </li>
        </ul>
    """
    return _block("bullets", items)


def table(frame: pd.DataFrame, *, caption: str, stacked: bool = False) -> Block:
    """A table without its index; the first column names the rows.

    Args:
        frame: Numbers are grouped by thousands and shortened to four digits, NaN is a dash.
        caption: What the table shows.
        stacked: On a narrow screen, each row becomes a paragraph: for sentences. Otherwise the
            table is scrolled sideways: for numbers.
    """
    kinds = ["number" if pd.api.types.is_numeric_dtype(dtype) else "text" for dtype in frame.dtypes]
    columns = list(zip(frame.columns, kinds, strict=True))
    cells = frame.map(_cell).itertuples(index=False, name=None)
    rows = [list(zip(columns, row, strict=True)) for row in cells]
    return _block("table", columns, rows, caption, stacked)


def figure(picture: "Figure", *, alt: str, caption: str = "") -> Block:
    """A figure as a picture inside the page.

    Args:
        picture: Drawn by matplotlib, and left open. One of up to 5.5 inches is shown whole on a
            narrow screen, a wider one is scrolled sideways.
        alt: What there is to see, for those who cannot see it.
        caption: Below the picture.

    Raises:
        ValueError: `alt` is empty.
    """
    if not alt.strip():
        raise ValueError(
            f"describe the figure in alt, for those who cannot see it. Received: {alt!r}"
        )
    png = io.BytesIO()
    picture.savefig(png, format="png", dpi=160)
    data = base64.b64encode(png.getvalue()).decode()
    return _block("figure", data, alt, caption, picture.get_figwidth() > 5.5)


def page(title: str, blocks: Iterable[Block], *, style: str = "") -> str:
    """One page of blocks, as HTML that loads nothing.

    Args:
        title: Title of the page, and its first line.
        blocks: In their order, each made by a function above.
        style: More CSS.
    """
    template = _templates().get_template("page.html")
    return template.render(title=title, blocks=blocks, style=style)


def write(path: Path | str, content: str) -> Path:
    """Writes a text file into a folder that exists, whole or not at all, and returns its path.

    Raises:
        OSError: It cannot be written.
    """
    path = Path(path)
    with files.whole(path) as unfinished:
        # A file name that is no UTF-8 must not cost the work of minutes.
        unfinished.write_text(names.encodable(content), encoding="utf-8", newline="\n")
    return path


@functools.cache
def _templates() -> jinja2.Environment:
    templates = jinja2.Environment(
        loader=jinja2.PackageLoader("xraylib.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    templates.filters["unbroken"] = _unbroken
    return templates


def _block(name: str, *content: Any) -> Block:
    """The macro `name` of `templates/blocks.html`, filled."""
    blocks = _templates().get_template("blocks.html").module
    return Block(getattr(blocks, name)(*content).strip())


def _cell(value: object) -> str:
    if isinstance(value, Integral):
        return f"{value:,}"
    if not isinstance(value, Real):
        return str(value)
    number = float(value)
    if math.isnan(number):
        return "–"
    return f"{number:,.0f}" if abs(number) >= 1000 else f"{number:.4g}"


def _unbroken(plain: str) -> str:
    return _UNBROKEN.sub(lambda part: part[0].replace(" ", "\N{NO-BREAK SPACE}"), plain)
