"""Many notebooks: what runs, what is refused, and what a failure or an end from outside leaves."""

import ast
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
    # Side by side, whichever ends first.
    told = sorted(lines[:2])
    assert told[0].startswith("bad   failed") and told[1].startswith("good  done")


@pytest.mark.slow
def test_each_notebook_gets_what_it_knows_of_any_length_and_the_folder(tmp_path):
    one = notebook(tmp_path / "one.ipynb", "print(RUN_DIR)")
    two = notebook(tmp_path / "two.ipynb", "print(B[:8], len(B))", parameters="B: str = ''")
    out = tmp_path / "out"
    done = execution.run_notebooks([one, two], out=out, parameters={"B": "größer\n'" * 400_000})
    assert [printed(output) for output in done["output"]] == [str(out), "größer\n' 3200000"]


WAITS = {"xraylib": {"waits": True}}


@pytest.mark.slow
def test_side_by_side_one_that_waits_begins_when_those_before_it_have_ended(tmp_path):
    # Each of two waits until the other one is there, too.
    meet = """
from pathlib import Path
import time
Path(RUN_DIR, "{mine}").touch()
deadline = time.monotonic() + {limit}
while not Path(RUN_DIR, "{other}").exists():
    assert time.monotonic() < deadline
    time.sleep(0.05)
Path(RUN_DIR, "{mine} done").touch()
"""
    seen = "\nimport os; print(sorted(name for name in os.listdir(RUN_DIR) if 'done' in name))"
    one, two, four = (
        notebook(tmp_path / f"{mine}.ipynb", meet.format(mine=mine, other=other, limit=limit))
        for mine, other, limit in (
            ("one", "two", SAFETY_SECONDS),
            ("two", "one", SAFETY_SECONDS),
            # Does not end unless it runs beside the one that waits, which stands before it.
            ("four", "three", SAFETY_SECONDS),
        )
    )
    three = meet.format(mine="three", other="four", limit=SAFETY_SECONDS) + seen
    three = notebook(tmp_path / "three.ipynb", three, **WAITS)
    last = notebook(tmp_path / "last.ipynb", seen, **WAITS)
    out = tmp_path / "out"
    done = execution.run_notebooks([one, two, three, four, last], out=out, jobs=2)
    assert done["status"].tolist() == ["done"] * 5, done["error"].tolist()
    assert {"one done", "two done"} <= set(ast.literal_eval(printed(done["output"][2])))
    assert printed(done["output"][4]) == "['four done', 'one done', 'three done', 'two done']"


@pytest.mark.parametrize(
    ("about", "waits"),
    [
        (WAITS, True),
        ({"xraylib": {"waits": False}}, False),
        ({"xraylib": {}}, False),
        ({"xraylib": "waits"}, False),
        ({"waits": True}, False),
        ({}, False),
    ],
)
def test_a_notebook_says_itself_that_it_waits(tmp_path, about, waits):
    assert execution.waits(notebook(tmp_path / "one.ipynb", **about)) is waits


def test_the_notebooks_that_read_what_others_write_wait():
    paths = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
    assert {path.stem[:2] for path in paths if execution.waits(path)} == {"05", "08"}


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
def test_a_kernel_that_dies_is_a_failure_and_what_it_wrote_is_in_the_log(tmp_path, capfd):
    dead = notebook(tmp_path / "dead.ipynb", "import os; os.write(2, b'from C'); os._exit(3)")
    error = process.execute(dead, tmp_path / "copy.ipynb", {}).error
    assert error.startswith("DeadKernelError: ")
    assert "from C" in (tmp_path / "kernels.log").read_text(encoding="utf-8")
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


def test_what_cannot_run_is_refused_before_anything_runs(tmp_path):
    path = notebook(tmp_path / "one.ipynb", "print(A)")
    before = path.read_bytes()
    text, file = tmp_path / "text.ipynb", tmp_path / "file"
    text.write_text("no JSON")
    file.touch()
    out = tmp_path / "out"
    unknown = "unknown parameter EPOCH: there are A, RUN_D"
    for notebooks, options, kind, said in (
        ([path], {"jobs": 0}, ValueError, r"jobs must be at least 1\. Received: 0"),
        ([path], {"parameters": {"EPOCH": 1}}, errors.ParameterError, unknown),
        ([], {}, errors.NotebookError, "no notebooks were given"),
        ([tmp_path / "no.ipynb"], {}, errors.NotebookError, "no such notebook"),
        ([text], {}, errors.NotebookError, "is not a notebook"),
        ([path, path], {}, errors.NotebookError, r"two notebooks are called one\.ipynb"),
        ([path], {"out": tmp_path}, errors.NotebookError, "would be written over by its executed"),
        ([path], {"out": file}, errors.NotebookError, "cannot make the folder"),
    ):
        with pytest.raises(kind, match=said):
            execution.run_notebooks(notebooks, **{"out": out} | options)
    assert path.read_bytes() == before and not out.exists()


def test_what_cannot_be_written_is_refused_before_anything_runs(tmp_path):
    path = notebook(tmp_path / "one.ipynb", "open('ran', 'w')")
    out = tmp_path / "out"
    (out / "one.ipynb").mkdir(parents=True)
    with pytest.raises(errors.NotebookError, match=r"cannot write executed notebooks to \S+out"):
        execution.run_notebooks([path], out=out)


def test_a_parameter_that_is_no_utf_8_is_refused(tmp_path):
    path = notebook(tmp_path / "one.ipynb", parameters="SOURCE: str = ''")
    with pytest.raises(errors.ParameterError, match=r"SOURCE is no UTF-8.* /data/R\\xf6ntgen"):
        execution.run_notebooks(
            [path], out=tmp_path / "out", parameters={"SOURCE": "/data/R\udcf6ntgen"}
        )
