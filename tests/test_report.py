import matplotlib

matplotlib.use("Agg")

from html.parser import HTMLParser

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from xraylib import report

NASTY = '<img src=x onerror="alert(1)">&.jpeg'


class Page(HTMLParser):
    """What a page is made of; every element must be closed."""

    VOID = ("meta", "img", "br", "hr", "col")

    def __init__(self, html):
        super().__init__()
        self.elements, self.words, self.open = [], [], []
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag in self.VOID:  # as <img/>
            return
        assert self.open.pop() == tag

    def handle_data(self, data):
        if data.strip():
            self.words.append(data)

    def all(self, *tags):
        return [attributes for tag, attributes in self.elements if tag in tags]


@pytest.fixture
def drawn():
    figure, ax = plt.subplots(figsize=(2, 1))
    ax.plot([0, 1])
    yield figure
    plt.close(figure)


# ------------------------------------------------------------------ blocks


def test_text_has_one_paragraph_after_each_empty_line():
    assert report.text("a < b\nc\n\n\n d ") == "<p>a &lt; b\nc</p>\n<p>d</p>"


def test_heading_is_escaped():
    assert report.heading("a & b") == "<h2>a &amp; b</h2>"


def test_table_names_its_columns_and_rows():
    frame = pd.DataFrame({"run": ["one", "two"], "AUC": [0.91234, np.nan], "images": [5216, 7]})
    page = Page(report.table(frame, caption="What was reached"))
    assert [each["scope"] for each in page.all("th")] == ["col"] * 3 + ["row"] * 2
    assert [each["data-of"] for each in page.all("td")] == ["AUC", "images"] * 2
    caption, *said = page.words
    assert caption == "What was reached"
    assert said == ["run", "AUC", "images", "one", "0.9123", "5,216", "two", "–", "7"]


def test_table_shortens_numbers_but_not_words():
    frame = pd.DataFrame({"a": ["0.123456"], "b": [123456.7], "c": [0.000123456], "d": [-1500.4]})
    page = Page(report.table(frame, caption="numbers"))
    assert page.words[-4:] == ["0.123456", "123,457", "0.0001235", "-1,500"]


def test_nothing_from_data_becomes_markup(drawn):
    frame = pd.DataFrame({NASTY: [NASTY], "b": [NASTY]})
    page = Page(
        report.page(
            NASTY,
            [
                report.heading(NASTY),
                report.text(NASTY),
                report.bullets([NASTY]),
                report.table(frame, caption=NASTY),
                report.figure(drawn, alt=NASTY, caption=NASTY),
            ],
        )
    )
    (picture,) = page.all("img")
    assert picture["alt"] == NASTY and "onerror" not in picture
    assert "".join(page.words).count(NASTY) == 10


def test_an_interval_and_a_p_stay_on_one_line():
    space = "\N{NO-BREAK SPACE}"
    frame = pd.DataFrame({"a": ["-.01 [-.020, +1.0] ± .003 of 5"], "b": ["p < .001, [a, b]"]})
    page = Page(report.table(frame, caption="c"))
    assert page.words[-2:] == [
        f"-.01 [-.020,{space}+1.0]{space}±{space}.003 of 5",
        f"p{space}<{space}.001, [a, b]",
    ]
    assert report.text("p = .05 x") == f"<p>p{space}={space}.05 x</p>"


def test_bullets_lead_to_pages_beside_this_one_only():
    page = Page(
        report.bullets(
            [
                NASTY,
                report.Link(NASTY, "a b/#1?.html", NASTY),
                report.Link("script", "javascript:alert(1)"),
                report.Link("gone", "", "cannot be shown"),
            ]
        )
    )
    assert [each["href"] for each in page.all("a")] == [
        "./a%20b/%231%3F.html",
        "./javascript%3Aalert%281%29",
    ]
    assert "".join(page.words).count(NASTY) == 3
    assert len(page.all("li")) == 4 and page.words[-1] == "gone cannot be shown"


def test_a_figure_that_fits_a_phone_is_not_scrolled(drawn):
    assert "class" not in report.figure(drawn, alt="A line.")
    drawn.set_figwidth(6)
    assert '<div class="wide"' in report.figure(drawn, alt="A line.")


def test_figure_is_inside_the_page_and_needs_words(drawn):
    page = Page(report.figure(drawn, alt="A rising line."))
    (picture,) = page.all("img")
    assert picture["alt"] == "A rising line."
    assert picture["src"].startswith("data:image/png;base64,iVBORw0KGgo")
    with pytest.raises(ValueError, match=r"needs words .* Received: ' '"):
        report.figure(drawn, alt=" ")


# ------------------------------------------------------------------ page


def test_page_stands_alone_and_says_what_it_is_not(drawn):
    html = report.page("Results", [report.figure(drawn, alt="A line.")])
    page = Page(html)
    assert html.startswith("<!DOCTYPE html>")
    assert page.all("html") == [{"lang": "en"}]
    assert len(page.all("h1")) == len(page.all("title")) == 1
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in page.all(
        "meta"
    )
    policy = {each.get("http-equiv"): each.get("content") for each in page.all("meta")}
    assert policy["Content-Security-Policy"].startswith("default-src 'none'; img-src data:;")
    assert not page.all("script", "link", "iframe", "object")
    loaded = [each.get("src", each.get("href")) for _, each in page.elements]
    assert all(address.startswith("data:") for address in loaded if address)
    assert "p { color: red }" in report.page("Results", [], style="p { color: red }")
    assert not any(word in html for word in ("://", "@import", "url("))
    assert "This is not a medical device" in html


# ------------------------------------------------------------------ write


def test_write_replaces_whole_files_only(tmp_path, monkeypatch):
    path = report.write(tmp_path / "a.html", "old")
    assert path.read_text(encoding="utf-8") == "old"
    with pytest.raises(TypeError):
        report.write(path, 3)
    assert path.read_text(encoding="utf-8") == "old"


def test_write_bears_a_file_name_that_is_no_utf_8(tmp_path):
    path = report.write(tmp_path / "a.html", b"caf\xe9".decode(errors="surrogateescape"))
    assert path.read_text(encoding="utf-8") == r"caf\udce9"
    assert [each.name for each in tmp_path.iterdir()] == ["a.html"]
