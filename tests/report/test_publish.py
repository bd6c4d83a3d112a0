"""What is written beside a folder of runs, and what a browser makes of it."""

import json
import re
import shutil
import subprocess
from html import escape

import numpy as np
import pandas as pd
import pytest
from nbformat.v4 import new_markdown_cell, new_output
from support.notebooks import PICTURE, executed, executed_cell
from support.pages import Page
from support.runs import plant

from xraylib.report import html, publish


@pytest.fixture
def links_only(monkeypatch):
    """A page of links in the place of the long one."""

    def page(folder, *, prevalence, notebooks):
        return html.page(f"{folder.name} {prevalence}", [html.bullets(notebooks)])

    monkeypatch.setattr("xraylib.report.runs_page.page", page)


def test_publish_writes_the_page_and_links_the_notebooks(tmp_path, links_only):
    notebooks = tmp_path / "executed"
    (notebooks / ".ipynb_checkpoints").mkdir(parents=True)
    executed(notebooks / ".ipynb_checkpoints" / "old.ipynb")
    executed(notebooks / "a #1.ipynb", executed_cell("1"))
    error = new_output("error", ename="ValueError", evalue="no", traceback=["no"])
    executed(notebooks / "b.ipynb", executed_cell("raise", error))
    (notebooks / "c.ipynb").write_text("{", encoding="utf-8")
    runs = tmp_path / "runs"
    runs.mkdir()
    path = publish.publish(runs, out=tmp_path / "all.html", notebooks=notebooks, prevalence=0.2)
    assert path == tmp_path / "all.html"
    page = Page(path.read_text(encoding="utf-8"))
    assert "runs 0.2" in page.texts
    links = [each["href"] for each in page.all("a")]
    assert links == ["./all-notebooks/a%20%231.html", "./all-notebooks/b.html"]
    pages = sorted(each.name for each in (tmp_path / "all-notebooks").iterdir())
    assert pages == ["a #1.html", "b.html"]
    first, second, note, third = page.texts[page.texts.index("a #1") :][:4]
    assert (first, second, note) == ("a #1", "b", " stopped at an error")
    assert third.startswith("c cannot be shown: Notebook does not")


def test_publish_without_notebooks_makes_no_folder_for_them(tmp_path, links_only):
    assert publish.publish(tmp_path) == tmp_path / "report.html"
    assert [each.name for each in tmp_path.iterdir()] == ["report.html"]


def test_publish_refuses_what_is_no_folder_or_no_file(tmp_path):
    (tmp_path / "file").touch()
    for wrong in ("file", "nowhere"):
        with pytest.raises(ValueError, match=rf"give a folder with records.*{wrong}'"):
            publish.publish(tmp_path / wrong)
    assert not (tmp_path / "nowhere").exists()
    with pytest.raises(ValueError, match="give a file to write the page to"):
        publish.publish(tmp_path, out=tmp_path)
    executed(tmp_path / "one.ipynb", executed_cell("1"))
    with pytest.raises(ValueError, match="no records in"):
        publish.publish(tmp_path)
    assert not list(tmp_path.glob("report*"))


# ------------------------------------------------------------------ browser


@pytest.fixture(scope="module")
def browse(tmp_path_factory):
    names = ("chromium", "chromium-browser", "google-chrome", "msedge")
    browsers = [path for name in names if (path := shutil.which(name))]
    if not browsers:
        pytest.skip(f"no browser on PATH: {', '.join(names)}")
    profile = tmp_path_factory.mktemp("profile")
    options = [
        *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
        *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
        f"--user-data-dir={profile}",
    ]

    command = [browsers[0], *options]
    how = {"capture_output": True, "text": True, "timeout": 120, "check": True}
    return lambda *arguments: subprocess.run([*command, *arguments], **how).stdout


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    folder = tmp_path_factory.mktemp("browser")
    runs = plant(folder / "runs")
    line = "a_very_long_name = another_very_long_name(" + ", ".join(map(str, range(60))) + ")"
    wide = pd.DataFrame(np.zeros((2, 40))).to_html()
    cells = [executed_cell(line, image_png=PICTURE), executed_cell("wide", text_html=wide)]
    executed(runs / "01_one.ipynb", new_markdown_cell(f"# One\n\n`{'x' * 200}`"), *cells)
    return [publish.publish(runs), runs / "report-notebooks" / "01_one.html"]


@pytest.mark.slow
@pytest.mark.parametrize("width", [375, 1000])
def test_pages_fit_the_window_and_show_their_pictures(browse, published, tmp_path, width):
    for path in published:
        html = path.read_text(encoding="utf-8")
        # A window is never narrower than 500 px, but a frame is; the page itself stays as it is.
        frame = tmp_path / "frame.html"
        frame.write_text(
            f'<iframe style="width: {width}px; height: 900px; border: 0" '
            f'srcdoc="{escape(html)}"></iframe><script>onload = () => {{'
            "const page = document.querySelector('iframe').contentDocument;"
            "const pictures = [...page.images].map(each => each.naturalWidth > 0);"
            "document.title = JSON.stringify([page.documentElement.clientWidth,"
            "page.documentElement.scrollWidth, page.body.scrollWidth, pictures]);"
            "}</script><title></title>",
            encoding="utf-8",
        )
        dumped = browse("--window-size=1200,900", "--dump-dom", frame.as_uri())
        client, *widths, pictures = json.loads(re.search(r"<title>(\[.*?)</title>", dumped)[1])
        assert client == pytest.approx(width, abs=20)  # less a scroll bar
        assert max(widths) <= client
        assert pictures and set(pictures) == {True}


@pytest.mark.slow
def test_pages_can_be_printed(browse, published, tmp_path):
    for path in published:
        printed = tmp_path / f"{path.stem}.pdf"
        browse(f"--print-to-pdf={printed}", path.as_uri())
        assert printed.read_bytes().startswith(b"%PDF")
