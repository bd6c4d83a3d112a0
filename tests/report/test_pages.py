"""Pages of an audit and of executed notebooks, and what a browser makes of them all."""

import json
import re
import shutil
import subprocess
from html import escape

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pandas as pd
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from support.pages import NASTY, Page
from support.runs import plant

from xraylib.report import audit_page, html, notebook_page, publish

PICTURE = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
)


@pytest.fixture
def findings():
    return pd.DataFrame(
        {
            "check": ["copies", "shortcut: shape", "unreadable"],
            "severity": ["severe", "warning", "fine"],
            "count": [1234, 2, 0],
            "meaning": ["The same file twice.", "The shape tells the class.", "All can be read."],
            "examples": [[NASTY, "train/b.jpeg"], [], []],
        }
    )


@pytest.fixture
def measured():
    table = pd.DataFrame(
        {
            "split": ["train"] * 3 + ["test"],
            "class": ["<b>SICK</b>", "<b>SICK</b>", "WELL", "WELL"],
            "patient": ["a", "a", "b", "c"],
            "quality": [75.0, 95.0, np.nan, np.nan],
            "bytes_per_pixel": [0.1, 0.3, 0.05, 0.07],
        }
    )
    return table.assign(width=1200, height=1000, aspect=1.2, mean=120.0)


@pytest.fixture
def drawn():
    figure, _ = plt.subplots(figsize=(2, 1))
    yield figure
    plt.close(figure)


def executed(path, *cells):
    nbformat.write(new_notebook(cells=list(cells)), path)
    return path


def ran(source, *outputs, **data):
    """A cell with what it showed: kinds of data as `text_html="..."`."""
    shown = {kind.replace("_", "/"): value for kind, value in data.items()}
    outputs = [*outputs, new_output("display_data", data=shown)] if shown else list(outputs)
    return new_code_cell(source, outputs=outputs)


# ------------------------------------------------------------------ audit


def test_verdict_counts_the_worst_first(findings):
    assert audit_page.verdict(findings) == "1 severe, 1 warning, 1 fine"
    assert audit_page.verdict(findings.tail(1)) == "0 severe, 1 fine"
    many = pd.concat([findings] * 2)
    assert audit_page.verdict(many) == "2 severe, 2 warnings, 2 fine"


def test_audit_shows_findings_counts_and_medians(findings, measured, drawn):
    html = audit_page.audit("Audit of x", findings=findings, measured=measured, drawn=drawn)
    page = Page(html)
    assert {"1 severe, 1 warning, 1 fine", "Found in 4 images, worst first."} <= set(page.words)
    # Told by word and mark, not by colour.
    assert [
        words for words in page.words if words.startswith(tuple(audit_page.MARKS.values()))
    ] == [
        "■\N{NO-BREAK SPACE}severe",
        "▲\N{NO-BREAK SPACE}warning",
        "○\N{NO-BREAK SPACE}fine",
    ]
    assert f"The same file twice.\ne.g. {NASTY}, train/b.jpeg" in page.words
    first = page.words.index("train <b>SICK</b>")
    assert page.words[first + 1 : first + 9] == [*"21", "1,200", "1,000", "1.2", "0.2", "85", "120"]
    assert page.words[page.words.index("test WELL") + 7] == "–"
    assert page.all("img")[0]["alt"].startswith("For each split and class")


# ------------------------------------------------------------------ notebooks


def test_a_notebook_keeps_its_words_code_tables_and_figures(tmp_path):
    table = pd.DataFrame({"b": [42]}).to_html()
    path = executed(
        tmp_path / "one.ipynb",
        new_markdown_cell("# The title\n\nWords of **weight**.\n\n## Below"),
        ran("draw(1 < 2)", image_png=PICTURE),
        ran("table", text_html=table),
        ran("print(3)", new_output("stream", text="three & more\n")),
    )
    page = Page(notebook_page.notebook(path))
    assert [*page.all("h1"), *page.all("title")] == [{}, {}] and len(page.all("h2")) == 1
    assert page.words.count("The title") == 2
    assert {"weight", "42", "three & more\n"} <= set(page.words)
    assert "draw(1<2)" in "".join(page.words)
    (picture,) = page.all("img")
    assert picture["src"] == f"data:image/png;base64,{PICTURE}"
    assert picture["alt"] == "Figure under the heading “Below”; the text beside it explains it."


def test_a_figure_keeps_the_words_that_its_cell_gives_it(tmp_path):
    cell = ran("draw()", image_png=PICTURE)
    cell.metadata["alt"] = "A black dot."
    (picture,) = Page(notebook_page.notebook(executed(tmp_path / "one.ipynb", cell))).all("img")
    assert picture["alt"] == "A black dot."


def test_nothing_of_a_notebook_runs_or_is_loaded(tmp_path):
    style = "<style>td { color: red }</style><style>td { background: url(http://a.b/c) }</style>"
    html = (
        '<script src="http://a.b/c.js">bad()</script><img src="http://a.b/c.png" onerror="bad()">'
        f'<a href="javascript:bad()">j</a><iframe src="http://a.b"></iframe>{style}'
        '<td style="background:url(http://a.b/c)">cell</td>'
    )
    path = executed(
        tmp_path / "one.ipynb",
        new_markdown_cell(
            f"{html}\n\n![two](http://a.b/d.png) ![three](gone.png)\n\n[k](http://k.l)"
        ),
        ran("show()", text_html=html),
        ran("show()", application_javascript="bad()", text_plain="no script"),
    )
    html = notebook_page.notebook(path)
    page = Page(html)
    assert not page.all("script", "link", "iframe", "object", "img")
    assert [each["href"] for each in page.all("a") if "href" in each] == ["http://k.l"]
    assert not re.search(r"url\(|@import|bad\(|\bon\w+=|src=", html)
    assert "td { color: red }" in html and "no script" in page.words
    assert {"two", "three"} <= set(re.findall(r"\[picture: (\w+)\]", html))


# ------------------------------------------------------------------ publish


@pytest.fixture
def links_only(monkeypatch):
    """A page of links in the place of the long one."""

    def page(folder, *, prevalence, notebooks):
        return html.page(f"{folder.name} {prevalence}", [html.bullets(notebooks)])

    monkeypatch.setattr("xraylib.report.runs_page.page", page)


def test_publish_writes_the_page_and_links_the_notebooks(tmp_path, links_only):
    shown = tmp_path / "executed"
    (shown / ".ipynb_checkpoints").mkdir(parents=True)
    executed(shown / ".ipynb_checkpoints" / "old.ipynb")
    executed(shown / "a #1.ipynb", ran("1"))
    error = new_output("error", ename="ValueError", evalue="no", traceback=["no"])
    executed(shown / "b.ipynb", ran("raise", error))
    (shown / "c.ipynb").write_text("{", encoding="utf-8")
    runs = tmp_path / "runs"
    runs.mkdir()
    path = publish.publish(runs, out=tmp_path / "all.html", notebooks=shown, prevalence=0.2)
    assert path == tmp_path / "all.html"
    page = Page(path.read_text(encoding="utf-8"))
    assert "runs 0.2" in page.words
    links = [each["href"] for each in page.all("a")]
    assert links == ["./all-notebooks/a%20%231.html", "./all-notebooks/b.html"]
    written = sorted(each.name for each in (tmp_path / "all-notebooks").iterdir())
    assert written == ["a #1.html", "b.html"]
    first, second, note, third = page.words[page.words.index("a #1") :][:4]
    assert (first, second, note) == ("a #1", "b", " stopped at an error")
    assert third.startswith("c cannot be shown: NotJSONError: ")


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
    with pytest.raises(ValueError, match="no records in"):
        publish.publish(tmp_path)
    assert not (tmp_path / "report.html").exists()


# ------------------------------------------------------------------ browser


@pytest.fixture(scope="module")
def browse(tmp_path_factory):
    names = ("chromium", "chromium-browser", "google-chrome", "msedge")
    found = [path for name in names if (path := shutil.which(name))]
    if not found:
        pytest.skip(f"no browser on PATH: {', '.join(names)}")
    profile = tmp_path_factory.mktemp("profile")
    quiet = [
        *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
        *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
        f"--user-data-dir={profile}",
    ]

    def run(*arguments):
        return subprocess.run(
            [found[0], *quiet, *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        ).stdout

    return run


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    folder = tmp_path_factory.mktemp("browser")
    runs = plant(folder / "runs")
    line = "a_very_long_name = another_very_long_name(" + ", ".join(map(str, range(60))) + ")"
    wide = pd.DataFrame(np.zeros((2, 40))).to_html()
    cells = [ran(line, image_png=PICTURE), ran("wide", text_html=wide)]
    executed(runs / "01_one.ipynb", new_markdown_cell(f"# One\n\n`{'x' * 200}`"), *cells)
    return [publish.publish(runs), runs / "report-notebooks" / "01_one.html"]


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


def test_pages_can_be_printed(browse, published, tmp_path):
    for path in published:
        browse(f"--print-to-pdf={tmp_path / 'printed.pdf'}", path.as_uri())
        assert (tmp_path / "printed.pdf").read_bytes().startswith(b"%PDF")
        (tmp_path / "printed.pdf").unlink()
