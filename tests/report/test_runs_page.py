"""The page of a folder of runs: what it says, and what it says instead where something lacks."""

import matplotlib

matplotlib.use("Agg")

import pytest
from support.pages import NASTY, Page
from support.runs import plant, predictions, run, swap_effects

from xraylib.evaluation import thresholds
from xraylib.report import runs_page, sentences, tables
from xraylib.report.html import Link
from xraylib.runs import records

pytestmark = pytest.mark.slow  # each page draws its figures


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    return plant(tmp_path_factory.mktemp("planted") / "runs")


@pytest.fixture(scope="module")
def html(planted):
    return runs_page.page(planted, prevalence=0.25, notebooks=[Link("one", "n/one.html")])


@pytest.fixture(scope="module")
def page(html):
    return Page(html)


def plain(html):
    """The words of a page, with common spaces."""
    return "\n".join(Page(html).texts).replace("\N{NO-BREAK SPACE}", " ")


def section(html, title):
    """The words below one heading."""
    _, _, rest = plain(html).partition(f"\n{title}\n")
    return rest


def test_every_record_shows_its_auc(html, planted):
    words = section(html, "The runs")
    reading = records.read(planted)
    assert len(reading.records) == 4 and "05_broken" in set(reading.problems["run"])
    for text in tables.runs(reading.records)["test AUC"]:
        assert text in words


def test_every_part_is_there_in_its_order(page, html):
    titles = [
        "What each step reached",
        "Each step against the one before",
        "Four views of the scores",
        "Which threshold",
        "Do the scores mean what they say?",
        "By kind of pneumonia",
        "What the verdicts rest on",
        "The runs",
        "How they were made",
        "The executed notebooks",
    ]
    assert [text for text in page.texts if text in titles] == titles
    assert len(page.all("h1")) == 1 and len(page.all("h2")) == len(titles)
    assert len(page.all("caption")) == len(page.all("table")) == 10
    assert "Not shown" not in html


def test_the_tables_hold_what_was_computed(html):
    reached = section(html, "What each step reached")
    assert "01_cnn, 64 px\n2\n" in reached and " ± ." in reached
    against = section(html, "Each step against the one before")
    assert "01_cnn, 64 px\n00_file_metadata\nbalanced accuracy\n" in against
    assert "PPV and NPV are those at a prevalence of .250" in section(html, "Which threshold")
    assert "mean score minus prevalence" in section(html, "Do the scores mean what they say?")
    kinds = section(html, "By kind of pneumonia")
    assert "\nbacteria\n14\n7\n" in kinds and "\nvirus\n16\n8\n" in kinds
    rests = section(html, "What the verdicts rest on")
    assert "01_cnn, 64 px, seed 0\n.125 [.125, .125]\n.750 [.750, .750]\n" in rests
    made = section(html, "How they were made")
    assert "2026-01-01 to 2026-01-02" in made and "python\n3.11.7\n" in made
    assert "1,234 images to train on" in made


def test_what_was_left_out_is_named_with_the_reason(html):
    runs = section(html, "The runs")
    assert "04_unfinished\nnot finished: run it again" in runs
    assert "05_broken\nits record cannot be read: " in runs


def test_figures_have_words_with_numbers(page, html):
    words = [each["alt"] for each in page.all("img")]
    assert len(words) == 3
    for name in ("00_file_metadata", "01_cnn, 64 px", "02_cnn, 64 px"):
        assert f"{name}: " in words[0] and f"{name}: area " in words[1]
    assert "net benefit at .5" in words[1]
    assert words[2].endswith("shape .750 [.750, .750]; exposure .125 [.125, .125].")


def test_a_name_does_not_become_markup_and_nothing_is_loaded(page, html):
    assert NASTY.replace("/", "") in "".join(page.texts)
    assert not page.all("script", "link", "iframe", "object")
    for _, attributes in page.elements:
        assert not any(name.startswith("on") for name in attributes)
        assert attributes.get("src", "data:").startswith("data:")
    assert [each["href"] for each in page.all("a")] == ["./n/one.html"]
    assert not any(word in html for word in ("://", "@import", "url("))


def test_what_the_runs_took_the_folder_for_is_shown(tmp_path):
    facts = {
        "classes": ["gesund", "krank"],
        "passed_over": [{"kind": ".csv files", "count": 1200, "example": "train/a.csv"}],
        "patients": {"rule": "nih", "patients": 12, "unknown": 0},
    }
    effects = swap_effects(0.75, 0.125)
    run(tmp_path, "01_cnn", predictions(0.3), swap_effects=effects, **facts)
    run(tmp_path, "02_cnn", predictions(0.6), **facts)
    run(tmp_path, "03_cnn", predictions(0.2))
    html = runs_page.page(tmp_path)
    made = section(html, "How they were made")
    assert (
        "01_cnn-00000000, 02_cnn-00000000\ngesund\nkrank\n"
        "12 patients are told apart by file names like NIH's.\n.csv files: 1,200 (train/a.csv)\n"
        "03_cnn-00000000\n-\n-\n-\n-\n"
    ) in made
    assert "images of krank." in plain(html) and "of those of krank sick" in plain(html)


# ------------------------------------------------------------------ what lacks


def test_what_is_not_there_is_said(tmp_path):
    run(tmp_path, "01_cnn", predictions(0.0))
    html = runs_page.page(tmp_path)
    assert section(html, "Each step against the one before").startswith("There is one step only")
    assert section(html, "What the verdicts rest on").startswith("No run looked at that")
    assert "No run was left out." in html


def test_shares_that_are_not_defined_are_said_to_be(tmp_path):
    undefined = [dict.fromkeys(row, None) | {"cue": row["cue"]} for row in swap_effects(0, 0)]
    run(tmp_path, "01_cnn", predictions(0.3), swap_effects=undefined)
    rests = section(runs_page.page(tmp_path), "What the verdicts rest on")
    assert "seed 0\nnot defined\nnot defined\n" in rests


def test_a_record_that_lacks_something_costs_its_section_only(tmp_path):
    run(tmp_path, "01_cnn", predictions(0.3), counts=None, metrics=[])
    html = runs_page.page(tmp_path)
    assert section(html, "How they were made").startswith(
        "Not shown: the record in 01_cnn-00000000 does not say"
    )
    assert "Brier" in section(html, "Do the scores mean what they say?")


def test_the_page_shows_what_the_scores_give_and_not_what_the_record_says(tmp_path):
    scored = predictions(0.3)
    own = run(tmp_path, "01_cnn", scored)
    rounded = scored.assign(score=scored["score"].round())
    rounded.to_csv(own / "predictions.csv", index=False)
    auc = thresholds.summary(rounded).query("split == 'test' and rule == '0.5' and metric == 'AUC'")
    interval = sentences.interval(*auc.iloc[0][["value", "low", "high"]])
    assert interval in section(runs_page.page(tmp_path), "The runs")


@pytest.mark.parametrize("prevalence", [0, 1, -0.5, float("nan")])
def test_a_prevalence_out_of_its_range_is_refused_before_the_work(tmp_path, prevalence):
    with pytest.raises(ValueError, match="prevalence"):
        runs_page.page(tmp_path, prevalence=prevalence)
