"""A folder of runs -> its pages, written beside it."""

from pathlib import Path
from typing import Final

from xraylib import progress
from xraylib.report import html, notebook_page, runs_page
from xraylib.report.html import Link

# How nbconvert marks the error that ends a notebook; in a text, quotes would be escaped.
_STOPPED: Final = '<div class="output_subarea output_text output_error">'


def publish(
    folder: Path | str,
    *,
    out: Path | str | None = None,
    prevalence: float = 0.3,
    notebooks: Path | str | None = None,
) -> Path:
    """Writes the page of a folder of runs, and one of each executed notebook beside it.

    Args:
        folder: As for `runs_page.page`.
        out: The file to write, in a folder that exists; None for `report.html` in `folder`.
        prevalence: As for `runs_page.page`.
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
            page = notebook_page.notebook(path)
        # What a file that is no notebook raises depends on what it is instead.
        except Exception as error:
            links.append(Link(path.stem, "", f"cannot be shown: {runs_page.reason(error)}"))
            continue
        beside.mkdir(exist_ok=True)
        html.write(beside / f"{path.stem}.html", page)
        note = "stopped at an error" if _STOPPED in page else ""
        links.append(Link(path.stem, f"{beside.name}/{path.stem}.html", note))
    return html.write(out, runs_page.page(folder, prevalence=prevalence, notebooks=links))
