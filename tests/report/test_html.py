import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from support.pages import NASTY, Page

from xraylib.report import html


@pytest.fixture
def picture():
    figure = Figure(figsize=(2, 1))
    figure.subplots().plot([0, 1])
    return figure


def test_text_has_one_paragraph_after_each_empty_line():
    assert html.text("a < b\nc\n\n\n d ") == "<p>a &lt; b\nc</p>\n<p>d</p>"


def test_table_names_its_columns_and_rows():
    frame = pd.DataFrame({"run": ["one", "two"], "AUC": [0.91234, np.nan], "images": [5216, 7]})
    page = Page(html.table(frame, caption="What was reached"))
    assert [each["scope"] for each in page.all("th")] == ["col"] * 3 + ["row"] * 2
    assert [each["data-of"] for each in page.all("td")] == ["AUC", "images"] * 2
    caption, *cells = page.texts
    assert caption == "What was reached"
    assert cells == ["run", "AUC", "images", "one", "0.9123", "5,216", "two", "–", "7"]


def test_table_shortens_numbers_but_not_words():
    frame = pd.DataFrame({"a": ["0.123456"], "b": [123456.7], "c": [0.000123456], "d": [-1500.4]})
    page = Page(html.table(frame, caption="numbers"))
    assert page.texts[-4:] == ["0.123456", "123,457", "0.0001235", "-1,500"]


def test_nothing_from_data_becomes_markup(picture):
    frame = pd.DataFrame({NASTY: [NASTY], "b": [NASTY]})
    blocks = [html.heading(NASTY), html.text(NASTY), html.bullets([NASTY])]
    blocks.append(html.table(frame, caption=NASTY))
    blocks.append(html.figure(picture, alt=NASTY, caption=NASTY))
    page = Page(html.page(NASTY, blocks))
    (element,) = page.all("img")
    assert element["alt"] == NASTY and "onerror" not in element
    assert element["src"].startswith("data:image/png;base64,iVBORw0KGgo")
    assert "".join(page.texts).count(NASTY) == 10


def test_what_is_no_block_is_escaped():
    assert "&lt;b&gt;" in html.page("Results", ["<b>"])


def test_an_interval_and_a_p_stay_on_one_line():
    space = "\N{NO-BREAK SPACE}"
    frame = pd.DataFrame({"a": ["-.01 [-.020, +1.0] ± .003 of 5"], "b": ["p < .001, [a, b]"]})
    page = Page(html.table(frame, caption="c"))
    assert page.texts[-2:] == [
        f"-.01 [-.020,{space}+1.0]{space}±{space}.003 of 5",
        f"p{space}<{space}.001, [a, b]",
    ]
    assert html.text("p = .05 x") == f"<p>p{space}={space}.05 x</p>"


def test_bullets_lead_to_pages_beside_this_one_only():
    links = [
        html.Link(NASTY, "a b/#1?.html", NASTY),
        html.Link("script", "javascript:alert(1)"),
        html.Link("gone", "", "cannot be shown"),
    ]
    page = Page(html.bullets([NASTY, *links]))
    addresses = [each["href"] for each in page.all("a")]
    assert addresses == ["./a%20b/%231%3F.html", "./javascript%3Aalert%281%29"]
    assert "".join(page.texts).count(NASTY) == 3
    assert len(page.all("li")) == 4 and page.texts[-1] == "gone cannot be shown"


def test_a_figure_that_fits_a_phone_is_not_scrolled(picture):
    assert "class" not in html.figure(picture, alt="A line.")
    picture.set_figwidth(6)
    assert '<div class="wide"' in html.figure(picture, alt="A line.")


def test_figure_needs_words(picture):
    with pytest.raises(ValueError, match=r"describe the figure in alt, .* Received: ' '"):
        html.figure(picture, alt=" ")


def test_page_stands_alone_and_is_no_medical_device(picture):
    written = html.page("Results", [html.figure(picture, alt="A line.")])
    page = Page(written)
    assert written.startswith("<!DOCTYPE html>")
    assert page.all("html") == [{"lang": "en"}]
    assert len(page.all("h1")) == len(page.all("title")) == 1
    meta = {each.get("name", each.get("http-equiv")): each for each in page.all("meta")}
    assert meta["viewport"]["content"] == "width=device-width, initial-scale=1"
    policy = meta["Content-Security-Policy"]["content"]
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert not page.all("script", "link", "iframe", "object")
    loaded = [each.get("src", each.get("href")) for _, each in page.elements]
    assert all(address.startswith("data:") for address in loaded if address)
    assert "p { color: red }" in html.page("Results", [], style="p { color: red }")
    assert not any(word in written for word in ("://", "@import", "url("))
    assert "This is not a medical device" in written


def test_write_replaces_whole_files_only(tmp_path):
    path = html.write(tmp_path / "a.html", "old")
    with pytest.raises(TypeError):
        html.write(path, 3)
    assert path.read_text(encoding="utf-8") == "old"


def test_write_bears_a_file_name_that_is_no_utf_8(tmp_path):
    path = html.write(tmp_path / "a.html", b"caf\xe9".decode(errors="surrogateescape"))
    assert path.read_text(encoding="utf-8") == r"caf\xe9"
    assert [each.name for each in tmp_path.iterdir()] == ["a.html"]
