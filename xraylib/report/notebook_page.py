"""Show an executed notebook as one page that loads nothing."""

import importlib.resources
from pathlib import Path
from typing import TYPE_CHECKING, Final

from markupsafe import Markup

from xraylib.report import html
from xraylib.report.html import Block

if TYPE_CHECKING:
    from nbformat import NotebookNode

# What of an output is shown, the first that there is.
_KINDS: Final = [
    *("text/html", "text/markdown", "image/svg+xml", "image/png", "image/jpeg", "text/plain")
]
_ACTIVE: Final = ["script", "link", "meta", "base", "object", "embed", "iframe", "form"]
_LOADING: Final = ("src", "srcset", "href", "xlink:href", "data", "poster", "background", "action")


def notebook(path: Path | str) -> tuple[str, bool]:
    """The page of an executed notebook, with its figures inside.

    Scripts are left out, as are pictures from elsewhere, whose alternative text takes their place.
    A figure without alternative text is given the heading above it as one.

    Args:
        path: Of the notebook.

    Returns:
        HTML that loads nothing, and whether a cell of the notebook ended in an error.

    Raises:
        Exception: It is no notebook, or one that nbconvert cannot read.
    """
    import nbformat
    from nbconvert.exporters import HTMLExporter
    from pygments.formatters import HtmlFormatter
    from traitlets.config import Config

    path = Path(path)
    document = nbformat.read(path, as_version=4)
    title = _prepare(document) or path.stem
    exporter = HTMLExporter(
        # No head, no styles and no scripts.
        template_name="basic",
        embed_images=True,
        exclude_anchor_links=True,
        exclude_input_prompt=True,
        exclude_output_prompt=True,
        config=Config({"NbConvertBase": {"display_data_priority": _KINDS}}),
    )
    body, _ = exporter.from_notebook_node(document, {"metadata": {"path": str(path.parent)}})
    style = importlib.resources.files("xraylib.report").joinpath("templates", "notebook.css")
    colours = HtmlFormatter(style="bw", nobackground=True).get_style_defs(".highlight")
    content = html.page(title, [_harmless(body)], style=style.read_text("utf-8") + colours)
    outputs = [output for cell in document.cells for output in cell.get("outputs", [])]
    return content, any(output.output_type == "error" for output in outputs)


def _prepare(document: "NotebookNode") -> str:
    """Takes the title out, and describes figures by the heading above; returns the title, or ""."""
    title, heading = "", ""
    for cell in document.cells:
        if cell.cell_type == "markdown":
            first, *rest = lines = cell.source.split("\n")
            if not title and first.startswith("# "):
                title, cell.source = first[2:].strip(), "\n".join(rest)
            headings = [line.lstrip("# ") for line in lines if line.startswith("#")]
            heading = headings[-1] if headings else heading
        for output in cell.get("outputs", []):
            for kind in output.get("data", {}):
                if kind.startswith("image/") and "alt" not in cell.metadata:
                    alt = f"Figure under the heading “{heading}”; the text beside it explains it."
                    output.metadata.setdefault(kind, {}).setdefault("alt", alt)
    return title


def _harmless(body: str) -> Block:
    """Removes from an exporter's HTML all that would run or be loaded.

    The exporter's own `sanitize_html` does not: it escapes headings, paragraphs, heads of tables
    and their styles, which then stand on the page as text.
    """
    from bs4 import BeautifulSoup  # the one that nbconvert itself uses

    soup = BeautifulSoup(body, "html.parser")
    for element in soup(_ACTIVE):
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
            element.replace_with(f"[picture: {element.get('alt') or 'not described'}]")
    return Block(Markup(str(soup)))
