"""Notebooks in a batch: what runs, what is refused, what a failure leaves."""

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from xraylib import batch
from xraylib.parameters import ParameterError


def notebook(path, *sources, parameters="A: int = 1\nRUN_DIR: str = '.'"):
    cells = [new_code_cell(parameters, metadata={"tags": ["parameters"]})]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    made = new_notebook(
        cells=cells + [new_code_cell(source) for source in sources],
        metadata={"kernelspec": kernel},
    )
    nbformat.write(made, path)
    return path


def test_a_failing_notebook_does_not_keep_the_next_from_running(tmp_path, capsys):
    bad = notebook(tmp_path / "bad.ipynb", "1 / 0")
    good = notebook(tmp_path / "good.ipynb", "print(A)", parameters="A: int = 1")
    done = batch.run_notebooks([bad, good], out=tmp_path / "out", given={"A": 7})
    assert done["status"].tolist() == ["failed", "done"]
    assert "ZeroDivisionError: division by zero" in done["error"][0]
    ran = nbformat.read(done["output"][1], as_version=4)
    assert ran.cells[-1].outputs[0]["text"] == "7\n"
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("bad   failed") and lines[1].startswith("good  done")


def test_each_notebook_gets_what_it_knows_and_the_folder(tmp_path):
    path = notebook(tmp_path / "one.ipynb", "print(RUN_DIR)")
    other = notebook(tmp_path / "two.ipynb", "print(B)", parameters="B: int = 1")
    done = batch.run_notebooks([path, other], out=tmp_path / "out", given={"B": 2})
    assert done["status"].tolist() == ["done", "done"]
    ran = nbformat.read(done["output"][0], as_version=4)
    assert ran.cells[-1].outputs[0]["text"].strip() == str(tmp_path / "out")


def test_an_unknown_parameter_is_refused_before_anything_runs(tmp_path):
    path = notebook(tmp_path / "one.ipynb", "print(A)")
    with pytest.raises(ParameterError, match="unknown parameter EPOCH: there are A, RUN_DIR"):
        batch.run_notebooks([path], out=tmp_path / "out", given={"EPOCH": 1})
    assert not (tmp_path / "out").exists()


def test_a_cell_that_takes_too_long_is_a_failure(tmp_path):
    path = notebook(tmp_path / "slow.ipynb", "import time; time.sleep(60)")
    done = batch.run_notebooks([path], out=tmp_path / "out", timeout_seconds=2)
    assert done["status"].tolist() == ["failed"]
    assert "imeout" in done["error"][0]


def test_a_missing_notebook_and_one_that_is_none(tmp_path):
    with pytest.raises(batch.NotebookError, match="no such notebook"):
        batch.run_notebooks([tmp_path / "no.ipynb"], out=tmp_path)
    text = tmp_path / "text.ipynb"
    text.write_text("no JSON")
    with pytest.raises(batch.NotebookError, match="is not a notebook"):
        batch.run_notebooks([text], out=tmp_path)


def test_an_output_folder_that_is_a_file(tmp_path):
    path = notebook(tmp_path / "one.ipynb")
    (tmp_path / "file").touch()
    with pytest.raises(batch.NotebookError, match="cannot make the folder"):
        batch.run_notebooks([path], out=tmp_path / "file")


def test_read_parameters(tmp_path):
    path = tmp_path / "p.yaml"
    path.write_text("SOURCE: synthetic\nEPOCHS: 3\n")
    assert batch.read_parameters(path) == {"SOURCE": "synthetic", "EPOCHS": 3}
    path.write_text("")
    assert batch.read_parameters(path) == {}


@pytest.mark.parametrize("text", ["- a\n- b\n", "just words", "a: [unclosed"])
def test_a_file_of_parameters_that_is_none(text, tmp_path):
    path = tmp_path / "p.yaml"
    path.write_text(text)
    with pytest.raises(batch.NotebookError, match=r"p\.yaml"):
        batch.read_parameters(path)


def test_a_missing_file_of_parameters(tmp_path):
    with pytest.raises(batch.NotebookError, match="cannot read the parameters"):
        batch.read_parameters(tmp_path / "no.yaml")
