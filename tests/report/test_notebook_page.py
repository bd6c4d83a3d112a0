import re

import pandas as pd
import pytest
from nbformat.v4 import new_markdown_cell, new_output
from support.notebooks import PICTURE, executed, executed_cell
from support.pages import Page

from xraylib.report import notebook_page


@pytest.fixture
def content(tmp_path):
    """The page of a notebook of these cells."""
    return lambda *cells: notebook_page.notebook(executed(tmp_path / "one.ipynb", *cells))[0]


def test_a_notebook_keeps_its_text_code_tables_and_figures(content):
    table = pd.DataFrame({"b": [42]}).style.hide().set_properties(color="teal").to_html()
    html = content(
        new_markdown_cell("# The title\n\nText with **weight**.\n\n## Below"),
        executed_cell("draw(1 < 2)", image_png=PICTURE),
        executed_cell("table", text_html=table),
        executed_cell("print(3)", new_output("stream", text="three & more\n")),
    )
    page = Page(html)
    assert [*page.all("h1"), *page.all("title")] == [{}, {}] and len(page.all("h2")) == 1
    assert page.texts.count("The title") == 2
    assert {"weight", "42", "three & more\n"} <= set(page.texts)
    assert "color: teal" in html and len(page.all("th")) == 1
    assert "draw(1<2)" in "".join(page.texts)
    (picture,) = page.all("img")
    assert picture["src"] == f"data:image/png;base64,{PICTURE}"
    assert picture["alt"] == "Figure under the heading “Below”; the text beside it explains it."


def test_a_figure_keeps_the_alternative_text_of_its_cell(content):
    cell = executed_cell("draw()", image_png=PICTURE)
    cell.metadata["alt"] = "A black dot."
    (picture,) = Page(content(cell)).all("img")
    assert picture["alt"] == "A black dot."


def test_nothing_of_a_notebook_runs_or_is_loaded(content):
    style = "<style>td { color: red }</style><style>td { background: url(http://a.b/c) }</style>"
    nasty = (
        '<script src="http://a.b/c.js">bad()</script><img src="http://a.b/c.png" onerror="bad()">'
        f'<a href="javascript:bad()">j</a><iframe src="http://a.b"></iframe>{style}'
        '<td style="background:url(http://a.b/c)">cell</td>'
    )
    html = content(
        new_markdown_cell(
            f"{nasty}\n\n![two](http://a.b/d.png) ![three](gone.png)\n\n[k](http://k.l)"
        ),
        executed_cell("show()", text_html=nasty),
        executed_cell("show()", application_javascript="bad()", text_plain="no script"),
    )
    page = Page(html)
    assert not page.all("script", "link", "iframe", "object", "img")
    assert [each["href"] for each in page.all("a") if "href" in each] == ["http://k.l"]
    assert not re.search(r"url\(|@import|bad\(|\bon\w+=|src=", html)
    assert "td { color: red }" in html and "no script" in page.texts
    assert {"two", "three"} <= set(re.findall(r"\[picture: (\w+)\]", html))


def test_a_notebook_that_ended_in_an_error_is_told_from_one_that_speaks_of_it(tmp_path):
    error = new_output("error", ename="ValueError", evalue="no", traceback=["no"])
    mention = new_markdown_cell('`<div class="output_subarea output_text output_error">`')
    path = executed(tmp_path / "a.ipynb", mention, executed_cell("1"), executed_cell("2", error))
    assert notebook_page.notebook(path)[1]
    assert not notebook_page.notebook(executed(path, mention, executed_cell("1")))[1]
