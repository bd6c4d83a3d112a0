"""The command: what it prints, and with which exit status it ends."""

import subprocess
import sys

import pytest
from test_batch import notebook

from xraylib import cli


def test_run_ends_with_the_table_and_the_folder(tmp_path, capsys):
    path = notebook(tmp_path / "one.ipynb", "print(A)")
    assert cli.main(["run", str(path), "--out", str(tmp_path / "out"), "-p", "A", "3"]) == 0
    out = capsys.readouterr().out
    assert "one  done" in out
    assert f"executed notebooks and records: {tmp_path / 'out'}/" in out


def test_run_with_a_failing_notebook_exits_1_and_names_it(tmp_path, capsys):
    path = notebook(tmp_path / "one.ipynb", "1 / 0")
    assert cli.main(["run", str(path), "--out", str(tmp_path / "out")]) == 1
    assert "FAILED one: cell 3: ZeroDivisionError" in capsys.readouterr().err


def test_run_without_notebooks_says_where_to_run_it(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["run"]) == 1
    assert "run this in the project's folder" in capsys.readouterr().err


def test_an_error_is_one_line(tmp_path, capsys):
    assert cli.main(["table", str(tmp_path / "nowhere")]) == 0
    assert "no records" in capsys.readouterr().out
    assert cli.main(["synthetic", str(tmp_path / "made"), "--images", "3"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("xraylib: images must be at least") and error.count("\n") == 1


def test_synthetic_with_chosen_traps(tmp_path, capsys):
    folder = tmp_path / "made"
    size = ["--images", "20", "--size", "32"]
    assert cli.main(["synthetic", str(folder), *size, "--traps"]) == 0
    assert capsys.readouterr().out.strip() == str(folder)
    assert not list(folder.rglob(".DS_Store"))


def test_ctrl_c_is_no_stack_trace(monkeypatch, capsys):
    def stop(asked):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_table", stop)
    assert cli.main(["table", "anywhere"]) == 130
    assert "stopped" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["unknown"], ["run", "-p", "ONE"]])
def test_wrong_arguments_exit_2(arguments):
    with pytest.raises(SystemExit, match="2"):
        cli.main(arguments)


def test_help_needs_no_heavy_import():
    code = "import sys, xraylib.cli; assert not {'tensorflow', 'keras'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
