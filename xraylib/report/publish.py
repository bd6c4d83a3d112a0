"""Write the pages of a folder of runs beside it."""

from pathlib import Path

from xraylib import errors, progress
from xraylib.report import html, notebook_page, runs_page
from xraylib.report.html import Link


def publish(
    folder: Path | str,
    *,
    out: Path | str | None = None,
    prevalence: float = 0.3,
    notebooks: Path | str | None = None,
) -> Path:
    """Writes the page of a folder of runs, and one of each executed notebook beside it.

    Args:
        folder: Folder with records, as `RUN_DIR` is.
        out: The file to write, in a folder that exists; None for `report.html` in `folder`.
        prevalence: Of pneumonia among those X-rayed, in (0, 1), for the predictive values.
        notebooks: Folder of the executed notebooks; None for `folder`.

    Returns:
        The path of the page. The notebooks' pages lie beside it, in `<its name>-notebooks/`.

    Raises:
        ValueError: `folder` is none or has no runs that can be compared, `out` is a folder, or
            `prevalence` is out of its range.
        OSError: A page cannot be written.
    """
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise ValueError(f"give a folder with records, as RUN_DIR is. Received: {str(folder)!r}")
    out = folder / "report.html" if out is None else Path(out)
    if out.is_dir():
        raise ValueError(f"give a file to write the page to. Received the folder {str(out)!r}")
    paths = sorted(Path(notebooks or folder).expanduser().glob("*.ipynb"))
    bar = progress.bar(paths, total=len(paths), description="notebooks to pages")
    # Made when the page asks for them, which it does not where there are no records.
    links = (_notebook(path, out.with_name(f"{out.stem}-notebooks")) for path in bar)
    return html.write(out, runs_page.page(folder, prevalence=prevalence, notebooks=links))


def _notebook(path: Path, folder: Path) -> Link:
    """Writes the page of a notebook; returns the link to it, or says why there is none."""
    try:
        content, stopped = notebook_page.notebook(path)
    # What a file that is no notebook raises depends on what it is instead.
    except Exception as error:
        return Link(path.stem, "", f"cannot be shown: {errors.one_line(error)}")
    folder.mkdir(exist_ok=True)
    html.write(folder / f"{path.stem}.html", content)
    note = "stopped at an error" if stopped else ""
    return Link(path.stem, f"{folder.name}/{path.stem}.html", note)
