"""The command `predict`: what it prints and writes, and with which exit status it ends."""

import csv
import json

import numpy as np
import pytest
from PIL import Image
from support import packed as made

from xraylib import classifier, cli

pytest.importorskip("tf2onnx", reason="the extra `export` is not installed")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return made.copied(tmp_path_factory.mktemp("packed") / "tiny")


@pytest.fixture
def films(tmp_path):
    place = tmp_path / "films"
    (place / "below").mkdir(parents=True)
    rng = np.random.default_rng(7)
    for number, name in enumerate(("a.png", "b.png", "below/c.png")):
        pixels = made.film(number % 2, rng).repeat(2, axis=0).repeat(2, axis=1)
        Image.fromarray(pixels).save(place / name)
    return place


def predict(folder, *arguments):
    return cli.main(["predict", *map(str, arguments), "--classifier", str(folder)])


def rows(path):
    if path.suffix == ".csv":
        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
    text = path.read_text(encoding="utf-8")
    return json.loads(text) if path.suffix == ".json" else [*map(json.loads, text.splitlines())]


def test_a_line_a_file_and_a_summary_that_says_what_it_means(folder, films, capsys):
    assert predict(folder, films, "--refer", 0) == 0
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert [line.split()[2] for line in lines] == [
        str(films / name) for name in ("a.png", "b.png", "below/c.png")
    ]
    assert {line.split()[0] for line in lines} <= {"NORMAL", "PNEUMONIA"}
    assert printed.err.startswith("3 files: ")
    assert "at a prevalence of 0.5; tiny 1" in printed.err
    assert "not a medical device" in printed.err


def test_a_folder_is_listed_whole_and_what_is_no_image_is_told(folder, films, capsys):
    (films / "a.png").rename(films / "without_suffix")
    for name in ("notes.txt", "more.txt", ".hidden"):
        (films / name).write_text("a note", encoding="utf-8")
    assert predict(folder, films) == 0
    printed = capsys.readouterr()
    assert len(printed.out.splitlines()) == 3 and "without_suffix" in printed.out
    (line,) = [line for line in printed.err.splitlines() if "not taken" in line]
    assert line.endswith(": .txt files: 2 (more.txt)")


@pytest.mark.parametrize("suffix", [".csv", ".json", ".jsonl"])
def test_rows_are_written_with_every_column(folder, films, tmp_path, suffix, capsys):
    (films / "bad.jpeg").write_bytes(b"no image")
    out = tmp_path / "new" / f"scores{suffix}"
    assert predict(folder, films, "--out", out) == 3
    assert capsys.readouterr().out == f"{out}\n"
    written = rows(out)
    assert all(list(row) == list(classifier.COLUMNS) for row in written)
    assert [row["path"].rsplit("/")[-1] for row in written] == [
        "a.png",
        "b.png",
        "bad.jpeg",
        "c.png",
    ]
    assert not written[2]["probability"] and "text that begins" in written[2]["reason"]
    assert 0 <= float(written[0]["probability"]) <= 1
    assert [path.name for path in out.parent.iterdir()] == [out.name]


def test_a_stopped_run_goes_on_where_it_was(folder, films, tmp_path, monkeypatch, capsys):
    out = tmp_path / "scores.csv"
    asked = []

    class Stopped(classifier.Classifier):
        most = 2

        def predict(self, paths, **options):
            asked.append([str(path) for path in paths])
            for number, each in enumerate(super().predict(paths, **options)):
                if number == self.most:
                    raise KeyboardInterrupt
                yield each

    monkeypatch.setattr(classifier, "Classifier", Stopped)
    assert predict(folder, films, "--out", out) == 130
    assert not out.exists()
    Stopped.most = 99
    (films / "a.png").write_bytes((films / "b.png").read_bytes())
    assert predict(folder, films, "--out", out) == 0
    # The second is used again; the first has changed, the third was never reached.
    assert asked[-1] == [str(films / "a.png"), str(films / "below/c.png")]
    a, b, c = rows(out)
    assert a["probability"] == b["probability"] != c["probability"]
    assert predict(folder, films, "--out", out) == 0 and len(asked[-1]) == 3


def test_a_run_with_other_options_starts_anew(folder, films, tmp_path):
    out = tmp_path / "scores.csv"
    journal = tmp_path / ".scores.csv.part"
    journal.write_text('{"key": "another"}\n{"path": 1}\n', encoding="utf-8")
    assert predict(folder, films, "--out", out) == 0
    assert len(rows(out)) == 3 and not journal.exists()


def test_names_that_no_file_can_hold_are_written_all_the_same(folder, films, tmp_path, capsys):
    odd = films / "d\udcf6\n.png"
    try:
        odd.write_bytes((films / "a.png").read_bytes())
    except OSError:
        pytest.skip("this file system takes no such name")
    for suffix in (".csv", ".json", ".jsonl"):
        assert predict(folder, films, "--out", tmp_path / f"scores{suffix}") == 0
        assert len(rows(tmp_path / f"scores{suffix}")) == 4
    assert predict(folder, odd) == 0
    assert len(capsys.readouterr().out.splitlines()) == 4


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--out", "scores.txt"], "--out must end in .csv, .json, .jsonl"),
        (["--prevalence", "2"], "prevalence must be between 0 and 1"),
        (["--refer", "-1"], "share to refer"),
    ],
)
def test_wrong_options_are_one_line(folder, films, arguments, said, capsys):
    assert predict(folder, films, *arguments) == 1
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1


def test_what_cannot_be_done_is_one_line(folder, films, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    for arguments, said in (
        ([tmp_path / "empty"], "no images in the folder"),
        ([films, "--out", films / "a.png" / "x.csv"], "File exists"),
    ):
        assert predict(folder, *arguments) == 1
        error = capsys.readouterr().err
        assert said in error and error.count("\n") == 1
    assert predict(tmp_path, films) == 1
    assert "holds no classifier" in capsys.readouterr().err


def test_the_command_and_the_library_say_the_same(folder, films, tmp_path):
    out = tmp_path / "scores.json"
    predict(folder, films, "--out", out)
    expected = classifier.load(folder).table([films / "a.png"])
    assert rows(out)[0]["probability"] == pytest.approx(expected["probability"][0], abs=1e-5)
