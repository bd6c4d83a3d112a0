"""The command: what it prints, and with which exit status it ends."""

import io
import json
import re
import shutil
import subprocess
import sys
import warnings

import pandas as pd
import pytest
from support.notebooks import notebook

from xraylib import cli
from xraylib.data import index


def error_of(capsys, *arguments):
    """What a command that fails writes to standard error, which is one line."""
    assert cli.main([str(each) for each in arguments]) == 1
    error = capsys.readouterr().err
    assert error.startswith("xraylib: ") and error.count("\n") == 1
    return error


@pytest.mark.slow
def test_run_tells_what_failed_and_where_the_rest_is(tmp_path, capsys):
    good = notebook(tmp_path / "good.ipynb", "print(A)")
    bad = notebook(tmp_path / "bad.ipynb", "1 / 0")
    out = tmp_path / "out"
    assert cli.main(["run", str(bad), str(good), "--out", str(out), "-p", "A", "3"]) == 1
    printed = capsys.readouterr()
    assert "good  done" in printed.out
    assert f"executed notebooks and records: {out}/" in printed.out
    no_page, *failed = printed.err.splitlines()
    # Notebooks do not fail for want of a page about them.
    assert no_page.startswith(f"no report.html: no records in {out}")
    assert failed == [
        "FAILED bad: cell 3: ZeroDivisionError: division by zero",
        f"       see {out / 'bad.ipynb'}",
    ]


def test_an_error_is_one_line_and_no_records_are_none(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "run this in the project's folder" in error_of(capsys, "run")
    assert "images must be at least" in error_of(capsys, "synthetic", "made", "--images", 3)
    assert "give a size" in error_of(capsys, "cache", "prune", "--to", "much")
    assert cli.main(["table", "nowhere"]) == 0
    assert "no records" in capsys.readouterr().out


def test_synthetic_with_chosen_traps(tmp_path, capsys):
    folder = tmp_path / "made"
    size = ["--images", "20", "--size", "32"]
    assert cli.main(["synthetic", str(folder), *size, "--traps"]) == 0
    assert capsys.readouterr().out.strip() == str(folder)
    assert not list(folder.rglob(".DS_Store"))


@pytest.mark.slow
def test_audit_prints_the_worst_first_and_writes_a_page_and_json(tree, tmp_path, capsys):
    shutil.copy(next(tree.glob("train/NORMAL/*")), tree / "test/PNEUMONIA/copy.jpeg")
    out = tmp_path / "new" / "out"
    assert cli.main(["audit", str(tree), "--out", str(out)]) == 1
    printed = capsys.readouterr().out
    assert printed.splitlines()[2].startswith("SEVERE")
    assert f"{out / 'audit.html'}\n{out / 'audit.json'}\n" in printed
    report = json.loads((out / "audit.json").read_text(encoding="utf-8"))
    assert report["folder"] == "chest_xray" and report["verdict"] in printed
    assert {"split": "val", "class": "NORMAL", "images": 2} in report["counts"]
    assert {"check", "severity", "count", "meaning", "examples", "compared"} == set(
        report["findings"][0]
    )
    page = (out / "audit.html").read_text(encoding="utf-8")
    assert "copy.jpeg" in page and report["verdict"] in page
    assert sorted(path.name for path in out.iterdir()) == ["audit.html", "audit.json"]


@pytest.mark.parametrize(("severity", "status"), [("severe", 1), ("warning", 0)])
def test_audit_exits_1_for_a_severe_finding_only(tree, capsys, monkeypatch, severity, status):
    finding = {"check": "copies", "severity": severity, "count": 1234, "meaning": "word " * 40}
    finding |= {"compared": "each with each"}
    findings = pd.DataFrame([{**finding, "examples": ["a.jpeg", "\x1b[2J.jpeg", "\udcf6"]}])
    monkeypatch.setattr("xraylib.audit.measurements.measure", lambda table: table)
    monkeypatch.setattr("xraylib.audit.checks.findings", lambda measured, seed: findings)
    monkeypatch.setenv("COLUMNS", "50")
    assert cli.main(["audit", str(tree)]) == status
    classes, _, first, *lines = capsys.readouterr().out.splitlines()
    assert classes == "class 0 is NORMAL, class 1 is PNEUMONIA"
    assert first == f"{severity.upper():<8} copies (1,234)"
    assert max(map(len, lines[:-1])) <= 50
    # A file's name must not clear the screen.
    assert r"  e.g. a.jpeg, \x1b[2J.jpeg, \xf6" in lines


def test_audit_tells_a_wrong_folder_or_an_unwritable_one_before_the_work(
    tree, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr("xraylib.audit.measurements.measure", None)
    out, file = tmp_path / "out", tmp_path / "file"
    assert "nowhere" in error_of(capsys, "audit", tmp_path / "nowhere", "--out", out)
    assert not out.exists()
    file.touch()
    assert "give another --out" in error_of(capsys, "audit", tree, "--out", file)


def test_ctrl_c_is_not_a_stack_trace(monkeypatch, capsys):
    def stop(folder):
        raise KeyboardInterrupt

    monkeypatch.setattr("xraylib.runs.records.read", stop)
    assert cli.main(["table", "anywhere"]) == 130
    assert capsys.readouterr().err == "\nstopped; what was finished is kept\n"


@pytest.mark.parametrize(
    "arguments",
    [[], ["unknown"], ["run", "-p", "ONE"], ["audit"], ["report", "--prevalence", "much"]],
)
def test_wrong_arguments_exit_2(arguments):
    with pytest.raises(SystemExit, match="2"):
        cli.main(arguments)


@pytest.mark.slow
def test_help_needs_no_heavy_import():
    code = "import sys, xraylib.cli; assert not {'tensorflow', 'keras'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_cache_lists_and_prunes(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("XRAYLIB_CACHE", str(tmp_path))
    (tmp_path / "pixels" / "a1").mkdir(parents=True)
    (tmp_path / "pixels" / "a1" / "pixels.npy").write_bytes(bytes(1_500_000))
    (tmp_path / "synthetic-9").mkdir()
    (tmp_path / "synthetic-9" / "made.json").write_text("{}")
    assert cli.main(["cache"]) == 0
    made, decoded, last = sorted(capsys.readouterr().out.splitlines())
    assert re.fullmatch(r"       0\.0 MB  20.* synthetic-9  synthetic radiographs", made)
    assert re.fullmatch(r"       1\.5 MB  20.* pixels/a1  decoded images", decoded)
    assert last == f"1.5 MB in {tmp_path}"
    assert cli.main(["cache", "prune", "--to", "2MB"]) == 0
    assert capsys.readouterr().out == "removed 0.0 MB, 1.5 MB are left\n"
    assert cli.main(["cache", "prune"]) == 0
    pruned = capsys.readouterr().out
    assert "pixels/a1" in pruned and pruned.endswith("removed 1.5 MB, 0.0 MB are left\n")
    assert (tmp_path / "synthetic-9").is_dir()
    assert cli.main(["cache", "prune", "--all"]) == 0
    assert not (tmp_path / "synthetic-9").exists()


@pytest.fixture
def page(monkeypatch):
    """The arguments for the long page, which takes seconds to make and is not made."""
    calls = []

    def page(folder, **options):
        calls.append(options | {"notebooks": list(options["notebooks"])})
        return "the page"

    monkeypatch.setattr("xraylib.report.runs_page.page", page)
    return calls


def test_report_writes_one_page(tmp_path, capsys, page):
    assert cli.main(["report", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'report.html'}\n"
    out = tmp_path / "new" / "all.html"
    assert cli.main(["report", str(tmp_path), "--out", str(out), "--prevalence", ".2"]) == 0
    assert capsys.readouterr().out == f"{out}\n"
    assert out.read_text(encoding="utf-8") == "the page"
    assert [options["prevalence"] for options in page] == [0.3, 0.2]


def test_report_tells_a_wrong_argument_in_one_line(tmp_path, capsys):
    empty, file, nowhere = tmp_path / "empty", tmp_path / "file", tmp_path / "nowhere"
    empty.mkdir()
    file.touch()
    for arguments, said in (
        ([nowhere], "give a folder with records"),
        ([file], "give a folder with records"),
        ([empty], "no records in"),
        ([empty, "--out", tmp_path], "give a file to write the page to"),
        ([empty, "--out", file / "all.html"], "give another --out"),
        ([empty, "--prevalence", "nan"], "prevalence must be between 0 and 1"),
    ):
        assert said in error_of(capsys, "report", *arguments)
    assert not list(empty.iterdir()) and not nowhere.exists()


@pytest.mark.slow
def test_run_ends_with_the_page_of_its_records_and_notebooks(tmp_path, capsys, page):
    path = notebook(tmp_path / "one.ipynb", "print(A)")
    out, runs = tmp_path / "out", tmp_path / "runs"
    runs.mkdir()
    assert cli.main(["run", str(path), "--out", str(out), "-p", "RUN_DIR", str(runs)]) == 0
    assert f"all on one page: {runs / 'report.html'}\n" in capsys.readouterr().out
    (options,) = page
    assert [link.address for link in options["notebooks"]] == ["report-notebooks/one.html"]


def test_a_terminal_without_a_letter_ends_no_command(tmp_path, monkeypatch):
    poor = io.TextIOWrapper(io.BytesIO(), encoding="ascii", write_through=True)
    monkeypatch.setattr(sys, "stderr", poor)
    assert cli.main(["report", str(tmp_path / "größer")]) == 1
    assert b"gr\\xf6\\xdfer" in poor.buffer.getvalue()


def test_a_closed_terminal_ends_no_command(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    assert cli.main(["table", str(tmp_path)]) == 0


def test_warnings_that_were_made_errors_end_no_command(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "warnoptions", ["error"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert cli.main(["table", str(tmp_path)]) == 0
        warnings.warn("told, and not raised", stacklevel=1)


def test_audit_asks_for_class_1_and_says_it(tree, capsys):
    for split in ("train", "val", "test"):
        (tree / split / "NORMAL").rename(tree / split / "gesund")
        (tree / split / "PNEUMONIA").rename(tree / split / "krank")
    assert cli.main(["audit", str(tree)]) == 1
    assert "holds gesund, krank, and none is NORMAL or PNEUMONIA" in capsys.readouterr().err
    cli.main(["audit", str(tree), "--positive", "krank"])
    assert "class 0 is gesund, class 1 is krank" in capsys.readouterr().out


def test_audit_says_once_what_was_passed_over(tree, capsys, caplog):
    (tree / "train" / "labels.csv").touch()
    cli.main(["audit", str(tree)])
    printed = capsys.readouterr()
    assert ".csv files: 1 (train/labels.csv)" in printed.out
    assert "labels.csv" not in printed.err + caplog.text
    # Elsewhere it is still a warning.
    index.from_class_folders(tree)
    assert "labels.csv" in caplog.text
