"""Many notebooks: what runs, what is refused, and what a failure or an end from outside leaves."""

import contextlib
import errno
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nbformat
import psutil
import pytest
from support.notebooks import notebook

from xraylib import errors
from xraylib.runs import execution, process

SAFETY_SECONDS = 300  # no test rests on how long something takes


def printed(output):
    """What the last cell of an executed notebook printed."""
    return nbformat.read(output, as_version=4).cells[-1].outputs[0]["text"].strip()


# ------------------------------------------------------------------ what runs


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 2])
def test_a_failing_notebook_does_not_keep_the_next_from_running(tmp_path, capsys, jobs):
    bad = notebook(tmp_path / "bad.ipynb", "raise ValueError('two\\n  lines')")
    good = notebook(tmp_path / "good.ipynb", "print(A)", parameters="A: int = 1")
    out = tmp_path / "out"
    done = execution.run_notebooks([bad, good], out=out, parameters={"A": 7}, jobs=jobs)
    assert done["notebook"].tolist() == ["bad", "good"]
    assert done["status"].tolist() == ["failed", "done"]
    assert done["error"].tolist() == ["cell 3: ValueError: two lines", ""]
    assert printed(done["output"][1]) == "7"
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("bad   failed") and lines[1].startswith("good  done")


@pytest.mark.slow
def test_each_notebook_gets_what_it_knows_and_the_folder(tmp_path):
    one = notebook(tmp_path / "one.ipynb", "print(RUN_DIR)")
    two = notebook(tmp_path / "two.ipynb", "print(B)", parameters="B: str = ''")
    done = execution.run_notebooks([one, two], out=tmp_path / "out", parameters={"B": "größer\n'"})
    assert [printed(output) for output in done["output"]] == [str(tmp_path / "out"), "größer\n'"]


@pytest.mark.slow
def test_side_by_side_the_first_meet_and_the_last_waits(tmp_path):
    # Each of the two waits until the other one is there, too.
    meet = """
from pathlib import Path
import time
Path(RUN_DIR, "{mine}").touch()
while not Path(RUN_DIR, "{other}").exists():
    time.sleep(0.05)
Path(RUN_DIR, "{mine} done").touch()
"""
    one = notebook(tmp_path / "one.ipynb", meet.format(mine="one", other="two"))
    two = notebook(tmp_path / "two.ipynb", meet.format(mine="two", other="one"))
    seen = "import os; print(sorted(name for name in os.listdir(RUN_DIR) if 'done' in name))"
    last = notebook(tmp_path / "last.ipynb", seen)
    out = tmp_path / "out"
    done = execution.run_notebooks(
        [one, two, last], out=out, jobs=2, timeout_seconds=SAFETY_SECONDS
    )
    assert done["status"].tolist() == ["done"] * 3
    assert printed(done["output"][2]) == "['one done', 'two done']"


@pytest.mark.slow
def test_a_process_that_is_killed_is_a_failure_and_the_others_run(tmp_path):
    # The kernel's parent is the process that executes the notebook, and not this one.
    killing = f"import os; assert os.getppid() != {os.getpid()}; os.kill(os.getppid(), 9)"
    dead = notebook(tmp_path / "dead.ipynb", killing)
    good = notebook(tmp_path / "good.ipynb", "print(A)")
    last = notebook(tmp_path / "last.ipynb", "print(A)")
    done = execution.run_notebooks([dead, good, last], out=tmp_path / "out", jobs=2)
    assert done["status"].tolist() == ["failed", "done", "done"]
    assert done["error"][0] == "its process was ended by SIGKILL, perhaps for want of memory"


@pytest.mark.slow
def test_a_kernel_that_dies_and_a_cell_that_takes_too_long_are_failures(tmp_path):
    dead = notebook(tmp_path / "dead.ipynb", "import os; os._exit(3)")
    slow = notebook(tmp_path / "slow.ipynb", "import time; time.sleep(3600)")
    copy = tmp_path / "copy.ipynb"
    assert process.execute(dead, copy, {}).error.startswith("DeadKernelError: ")
    error = process.execute(slow, copy, {}, timeout_seconds=3).error
    assert error.startswith("CellTimeoutError: ")


@pytest.mark.slow
def test_what_kernels_write_to_standard_error_is_in_the_log(tmp_path, capfd):
    path = notebook(tmp_path / "one.ipynb", "import os; os.write(2, b'from C');")
    execution.run_notebooks([path], out=tmp_path / "out")
    assert "from C" in (tmp_path / "out" / "kernels.log").read_text(encoding="utf-8")
    assert capfd.readouterr().err == ""


@pytest.mark.slow
def test_one_notebook_by_itself(tmp_path, capfd):
    path = notebook(tmp_path / "one.ipynb", "print(A)")
    output = tmp_path / "copy.ipynb"
    assert process.execute(path, output, {"A": 3}, live=True).error == ""
    assert printed(output) == "3"
    assert "one  cell 0/3" in capfd.readouterr().out
    unwritable = tmp_path / "no folder" / "copy.ipynb"
    assert process.execute(path, unwritable, {}).error.startswith("FileNotFoundError: ")


@pytest.mark.slow
def test_kernels_talk_over_sockets_where_their_names_fit(tmp_path, monkeypatch):
    about = "from ipykernel import connect; print(connect.get_connection_info())"
    path = notebook(tmp_path / "one.ipynb", about)
    output = tmp_path / "copy.ipynb"
    with tempfile.TemporaryDirectory(prefix="x") as short:
        for folder, transport in ((short, "ipc"), (tmp_path / (100 * "x"), "tcp")):
            Path(folder).mkdir(exist_ok=True)
            monkeypatch.setattr(tempfile, "tempdir", str(folder))
            assert process.execute(path, output, {}).error == ""
            assert json.loads(printed(output))["transport"] == transport
            assert not os.listdir(folder)


@pytest.mark.slow
def test_parameters_of_any_length_arrive(tmp_path):
    path = notebook(tmp_path / "one.ipynb", "print(len(A))")
    output = tmp_path / "copy.ipynb"
    assert process.execute(path, output, {"A": 3_000_000 * "x"}).error == ""
    assert printed(output) == "3000000"


def test_a_process_that_cannot_be_started_is_a_failure_of_its_notebook(tmp_path, monkeypatch):
    def fail(*args, **kwargs):
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    monkeypatch.setattr(subprocess, "Popen", fail)
    paths = [notebook(tmp_path / name) for name in ("one.ipynb", "two.ipynb", "three.ipynb")]
    done = execution.run_notebooks(paths, out=tmp_path / "out", jobs=2)
    assert done["status"].tolist() == ["failed"] * 3
    assert done["error"][0].startswith("its process cannot be started (Cannot allocate memory): ")


# ------------------------------------------------------------------ ended from outside


@contextlib.contextmanager
def started(tmp_path, source, *, jobs=2, on_interrupt=signal.SIG_DFL):
    """The command line at work on three notebooks; killed in the end."""
    paths = [notebook(tmp_path / name, source) for name in ("a.ipynb", "b.ipynb", "c.ipynb")]
    command = Path(sys.executable).with_name("xraylib")
    (tmp_path / "temporary").mkdir()
    run = subprocess.Popen(
        [command, "run", *paths, "--out", tmp_path / "out", "--jobs", str(jobs)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=os.environ | {"STARTED_BY": str(tmp_path), "TMPDIR": str(tmp_path / "temporary")},
        # In the background of a shell script, the tests themselves may ignore it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, on_interrupt),
    )
    try:
        yield run
    finally:
        run.kill()
        run.wait()


def of_this_test(tmp_path):
    """The processes that `started` led to, whoever is their parent now."""
    alive = []
    for each in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            mine = each.environ().get("STARTED_BY") == str(tmp_path)
            if mine and each.status() != psutil.STATUS_ZOMBIE:
                alive.append(each)
    return alive


def wait_until(reached, what):
    deadline = time.monotonic() + SAFETY_SECONDS
    while not reached():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def end(run, tmp_path, by):
    """Ends the command; what it wrote to standard error, once its processes and files are gone."""
    if by == signal.SIGINT:
        os.killpg(run.pid, by)  # as a terminal does
    else:
        run.send_signal(by)
    said = run.communicate(timeout=SAFETY_SECONDS)[1]
    wait_until(lambda: not of_this_test(tmp_path), "processes go on")
    assert not os.listdir(tmp_path / "temporary")
    return said


@pytest.mark.slow
@pytest.mark.parametrize(
    ("by", "jobs", "on_interrupt", "status", "said"),
    [
        (signal.SIGINT, 1, signal.SIG_DFL, 130, "\nstopped; what was finished is kept\n"),
        (signal.SIGINT, 2, signal.SIG_DFL, 130, "\nstopped; what was finished is kept\n"),
        # As in the background of a shell script.
        (signal.SIGTERM, 2, signal.SIG_IGN, -signal.SIGTERM, ""),
        (signal.SIGKILL, 2, signal.SIG_DFL, -signal.SIGKILL, ""),
    ],
)
def test_nothing_goes_on_when_the_command_is_ended(tmp_path, by, jobs, on_interrupt, status, said):
    wait = "import os, time; open(f'{RUN_DIR}/{os.getpid()}', 'w').close(); time.sleep(3600)"
    with started(tmp_path, wait, jobs=jobs, on_interrupt=on_interrupt) as run:
        wait_until(lambda: len(list(tmp_path.glob("out/[0-9]*"))) == jobs, "kernels do not start")
        assert len(of_this_test(tmp_path)) >= 1 + 2 * jobs  # the command, processes and kernels
        assert end(run, tmp_path, by) == said
    assert run.returncode == status


# A new process first has nothing but Python, then imports, then starts a kernel.
@pytest.mark.slow
@pytest.mark.parametrize("processes", [2, 3, 4, 5])
def test_ctrl_c_while_processes_start(tmp_path, processes):
    with started(tmp_path, "import time; time.sleep(3600)") as run:
        wait_until(lambda: len(of_this_test(tmp_path)) >= processes, "processes do not start")
        assert end(run, tmp_path, signal.SIGINT) == "\nstopped; what was finished is kept\n"
    assert run.returncode == 130


# ------------------------------------------------------------------ refused before anything runs


@pytest.mark.parametrize("jobs", [0, -1])
def test_no_jobs_at_all(jobs, tmp_path):
    with pytest.raises(ValueError, match=rf"jobs must be at least 1\. Received: {jobs}"):
        execution.run_notebooks([tmp_path / "one.ipynb"], out=tmp_path, jobs=jobs)


def test_an_unknown_parameter_is_refused_before_anything_runs(tmp_path):
    path = notebook(tmp_path / "one.ipynb", "print(A)")
    with pytest.raises(errors.ParameterError, match="unknown parameter EPOCH: there are A, RUN_D"):
        execution.run_notebooks([path], out=tmp_path / "out", parameters={"EPOCH": 1})
    assert not (tmp_path / "out").exists()


def test_a_missing_notebook_and_a_file_that_is_not_one(tmp_path):
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
