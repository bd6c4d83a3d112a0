"""Notebooks in a batch: what runs, what is refused, what a failure leaves."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import psutil
import pytest
from support.notebooks import notebook

from xraylib import errors
from xraylib.errors import ParameterError
from xraylib.runs import execution, parameters


def test_a_failing_notebook_does_not_keep_the_next_from_running(tmp_path, capsys):
    bad = notebook(tmp_path / "bad.ipynb", "1 / 0")
    good = notebook(tmp_path / "good.ipynb", "print(A)", parameters="A: int = 1")
    done = execution.run_notebooks([bad, good], out=tmp_path / "out", given={"A": 7})
    assert done["status"].tolist() == ["failed", "done"]
    assert "ZeroDivisionError: division by zero" in done["error"][0]
    ran = nbformat.read(done["output"][1], as_version=4)
    assert ran.cells[-1].outputs[0]["text"] == "7\n"
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("bad   failed") and lines[1].startswith("good  done")


def test_each_notebook_gets_what_it_knows_and_the_folder(tmp_path):
    path = notebook(tmp_path / "one.ipynb", "print(RUN_DIR)")
    other = notebook(tmp_path / "two.ipynb", "print(B)", parameters="B: int = 1")
    done = execution.run_notebooks([path, other], out=tmp_path / "out", given={"B": 2})
    assert done["status"].tolist() == ["done", "done"]
    ran = nbformat.read(done["output"][0], as_version=4)
    assert ran.cells[-1].outputs[0]["text"].strip() == str(tmp_path / "out")


def test_side_by_side_the_first_meet_and_the_last_waits(tmp_path, capsys):
    # Each of the two waits until the other one is there, too.
    meet = """
from pathlib import Path
import time
Path(RUN_DIR, "{mine}").touch()
while not Path(RUN_DIR, "{other}").exists():
    time.sleep(0.05)
time.sleep({after})
Path(RUN_DIR, "{mine} done").touch()
"""
    slow = notebook(tmp_path / "slow.ipynb", meet.format(mine="slow", other="quick", after=1))
    quick = notebook(tmp_path / "quick.ipynb", meet.format(mine="quick", other="slow", after=0))
    last = notebook(
        tmp_path / "last.ipynb",
        "import os; print(sorted(n for n in os.listdir(RUN_DIR) if 'done' in n))",
    )
    done = execution.run_notebooks(
        [slow, quick, last], out=tmp_path / "out", jobs=2, timeout_seconds=120
    )
    assert done["notebook"].tolist() == ["slow", "quick", "last"]
    assert done["status"].tolist() == ["done"] * 3
    said = nbformat.read(done["output"][2], as_version=4).cells[-1].outputs[0]["text"]
    assert said.strip() == "['quick done', 'slow done']"
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines][2] == "last"


def test_side_by_side_a_failure_and_a_process_that_dies_are_told(tmp_path):
    bad = notebook(tmp_path / "bad.ipynb", "1 / 0")
    # The kernel's parent is the process that executes the notebook, and no longer this one.
    dead = notebook(
        tmp_path / "dead.ipynb",
        f"import os; assert os.getppid() != {os.getpid()}; os.kill(os.getppid(), 9)",
    )
    good = notebook(tmp_path / "good.ipynb", "print(A)")
    done = execution.run_notebooks([bad, dead, good], out=tmp_path / "out", jobs=2)
    assert done["status"].tolist() == ["failed", "failed", "done"]
    assert "ZeroDivisionError: division by zero" in done["error"][0]
    assert done["error"][1] == "its process was ended by SIGKILL, perhaps for want of memory"


def test_side_by_side_in_a_script_without_a_guard(tmp_path):
    paths = [str(notebook(tmp_path / name)) for name in ("a.ipynb", "b.ipynb")]
    script = tmp_path / "script.py"
    script.write_text(
        "from xraylib.runs import execution\n"
        f"done = execution.run_notebooks({paths}, out={str(tmp_path / 'out')!r}, jobs=2)\n"
        "print(done['error'][0])"
    )
    ran = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert 'call run_notebooks under if __name__ == "__main__":' in ran.stdout


@contextlib.contextmanager
def started(paths, out, *, on_interrupt=signal.SIG_DFL):
    """The command line at work on notebooks, two at a time; killed in the end."""
    run = subprocess.Popen(
        [Path(sys.executable).with_name("xraylib"), "run", *paths, "--out", out, "--jobs", "2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # In the background of a shell script, the tests themselves may ignore it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, on_interrupt),
    )
    try:
        yield run
    finally:
        run.kill()
        run.wait()


def kernels_of(run, out):
    """The process numbers of two kernels, once both are there."""
    deadline = time.monotonic() + 120
    while run.poll() is None and time.monotonic() < deadline:
        found = [int(name) for name in os.listdir(out) if name.isdigit()] if out.exists() else []
        if len(found) == 2:
            return found
        time.sleep(0.1)
    raise AssertionError("the kernels did not start")


def gone(process, within=60):
    """Whether a process ends in so many seconds; one that nobody asks for its status has ended."""
    try:
        asked = psutil.Process(process)
        deadline = time.monotonic() + within
        while asked.is_running() and asked.status() != psutil.STATUS_ZOMBIE:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.1)
    except psutil.NoSuchProcess:
        pass
    return True


@pytest.mark.parametrize(
    ("ended_by", "on_interrupt"),
    [
        (signal.SIGINT, signal.SIG_DFL),
        (signal.SIGTERM, signal.SIG_IGN),  # as in the background of a shell script
        (signal.SIGKILL, signal.SIG_DFL),
    ],
)
def test_nothing_goes_on_when_what_runs_side_by_side_is_stopped(tmp_path, ended_by, on_interrupt):
    wait = "import os, time; open(RUN_DIR + '/' + str(os.getpid()), 'w').close(); time.sleep(300)"
    paths = [notebook(tmp_path / name, wait) for name in ("a.ipynb", "b.ipynb", "c.ipynb")]
    out = tmp_path / "out"
    with started(paths, out, on_interrupt=on_interrupt) as run:
        kernels = kernels_of(run, out)
        executing = [psutil.Process(kernel).ppid() for kernel in kernels]
        if ended_by == signal.SIGINT:
            os.killpg(run.pid, ended_by)  # as a terminal does
        else:
            run.send_signal(ended_by)
        said = run.communicate(timeout=60)[1]
    if ended_by == signal.SIGINT:
        assert run.returncode == 130
        assert said.strip() == "stopped; what was finished is kept"
    else:
        assert run.returncode == -ended_by
    assert all(gone(process) for process in kernels + executing)


# A new process first has no handler, then imports, then runs.
@pytest.mark.parametrize("after_seconds", [0.0, 0.3, 1.0])
def test_ctrl_c_while_processes_start(tmp_path, after_seconds):
    paths = [notebook(tmp_path / name, "1") for name in ("a.ipynb", "b.ipynb", "c.ipynb")]
    with started(paths, tmp_path / "out") as run:
        while run.poll() is None and not any(
            "spawn_main" in " ".join(child.cmdline())
            for child in psutil.Process(run.pid).children()
        ):
            time.sleep(0.01)
        time.sleep(after_seconds)
        os.killpg(run.pid, signal.SIGINT)
        said = run.communicate(timeout=60)[1]
    assert run.returncode == 130
    assert said.strip() == "stopped; what was finished is kept"


def test_no_jobs_at_all(tmp_path):
    path = notebook(tmp_path / "one.ipynb")
    with pytest.raises(ValueError, match=r"jobs must be at least 1\. Received: 0"):
        execution.run_notebooks([path], out=tmp_path / "out", jobs=0)


def test_an_unknown_parameter_is_refused_before_anything_runs(tmp_path):
    path = notebook(tmp_path / "one.ipynb", "print(A)")
    with pytest.raises(ParameterError, match="unknown parameter EPOCH: there are A, RUN_DIR"):
        execution.run_notebooks([path], out=tmp_path / "out", given={"EPOCH": 1})
    assert not (tmp_path / "out").exists()


def test_a_cell_that_takes_too_long_is_a_failure(tmp_path):
    path = notebook(tmp_path / "slow.ipynb", "import time; time.sleep(60)")
    done = execution.run_notebooks([path], out=tmp_path / "out", timeout_seconds=2)
    assert done["status"].tolist() == ["failed"]
    assert "imeout" in done["error"][0]


def test_a_missing_notebook_and_one_that_is_none(tmp_path):
    with pytest.raises(errors.NotebookError, match="no such notebook"):
        execution.run_notebooks([tmp_path / "no.ipynb"], out=tmp_path)
    text = tmp_path / "text.ipynb"
    text.write_text("no JSON")
    with pytest.raises(errors.NotebookError, match="is not a notebook"):
        execution.run_notebooks([text], out=tmp_path)


def test_two_notebooks_of_one_name(tmp_path):
    path = notebook(tmp_path / "one.ipynb")
    with pytest.raises(errors.NotebookError, match=r"two notebooks are called one\.ipynb"):
        execution.run_notebooks([path, path], out=tmp_path / "out")


def test_a_notebook_is_not_written_over(tmp_path):
    path = notebook(tmp_path / "one.ipynb")
    before = path.read_bytes()
    with pytest.raises(errors.NotebookError, match="would be written over by its executed copy"):
        execution.run_notebooks([path], out=tmp_path)
    assert path.read_bytes() == before


def test_no_notebooks(tmp_path):
    with pytest.raises(errors.NotebookError, match="no notebooks were given"):
        execution.run_notebooks([], out=tmp_path)


def test_an_output_folder_that_is_a_file(tmp_path):
    path = notebook(tmp_path / "one.ipynb")
    (tmp_path / "file").touch()
    with pytest.raises(errors.NotebookError, match="cannot make the folder"):
        execution.run_notebooks([path], out=tmp_path / "file")


def test_read_parameters(tmp_path):
    path = tmp_path / "p.yaml"
    path.write_text("SOURCE: synthetic\nEPOCHS: 3\n")
    assert parameters.read_parameters(path) == {"SOURCE": "synthetic", "EPOCHS": 3}
    path.write_text("")
    assert parameters.read_parameters(path) == {}


@pytest.mark.parametrize("text", ["- a\n- b\n", "just words", "a: [unclosed"])
def test_a_file_of_parameters_that_is_none(text, tmp_path):
    path = tmp_path / "p.yaml"
    path.write_text(text)
    with pytest.raises(errors.NotebookError, match=r"p\.yaml"):
        parameters.read_parameters(path)


def test_a_missing_file_of_parameters(tmp_path):
    with pytest.raises(errors.NotebookError, match="cannot read the parameters"):
        parameters.read_parameters(tmp_path / "no.yaml")
