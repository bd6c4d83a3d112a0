"""An executed notebook -> a page that loads nothing."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

from xraylib.report import html
from xraylib.report.html import Block

if TYPE_CHECKING:
    from nbformat import NotebookNode

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
    return html.page(title, [_harmless(body)], style=_NOTEBOOK_STYLE + colours)


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
