"""Many notebooks through papermill with one set of parameters, in turn or side by side."""

import contextlib
import itertools
import multiprocessing
import multiprocessing.connection
import multiprocessing.resource_tracker
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Generator, Iterator, Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from tqdm import tqdm

from xraylib import errors, progress
from xraylib.runs import parameters


class _Task(NamedTuple):
    """One notebook to execute."""

    path: Path
    output: Path
    passed: dict[str, Any]
    label: str  # of its lines on standard output
    timeout_seconds: int | None


# A task that has ended, the seconds it took, and what went wrong in one line or "".
_Ended = tuple[_Task, float, str]


def run_notebooks(
    notebooks: Sequence[Path | str],
    *,
    out: Path | str,
    given: Mapping[str, Any] | None = None,
    jobs: int = 1,
    timeout_seconds: int | None = None,
) -> pd.DataFrame:
    """Executes notebooks, in turn or side by side; one that fails does not stop the others.

    Executed copies go to `out`, which is also their `RUN_DIR` unless `given` names another. What
    the kernels write to their standard error goes to `kernels.log` there. On standard output each
    notebook has a line when it has ended, and in a terminal a live one, or all have a bar together.

    Args:
        notebooks: Paths of the notebooks.
        out: Folder for the executed notebooks; made if missing.
        given: Parameters. Each notebook gets those that it knows; a name that none of them knows
            is refused before anything runs.
        jobs: How many run side by side, each in a process of its own; at least 1. With more than
            one, the last notebook begins when all others have ended, for it may read what they
            wrote; the order in which the others end is theirs. A script that asks for more than
            one needs an `if __name__ == "__main__":`.
        timeout_seconds: The most that one cell may take; None for ever.

    Returns:
        One row a notebook: notebook (its name without ending), status (`"done"` or `"failed"`),
        seconds, output (path), error (one line, or `""`).

    Raises:
        NotebookError: There is no notebook, one is missing, cannot be read or lies in `out`
            itself, or two have the same name.
        parameters.ParameterError: A name in `given` exists in no notebook.
        ValueError: `jobs` is below 1.
    """
    if jobs < 1:
        raise ValueError(f"jobs must be at least 1. Received: {jobs}")
    paths = [Path(path) for path in notebooks]
    if not paths:
        raise errors.NotebookError("no notebooks were given: name at least one")
    known = {path: parameters.known_parameters(path) for path in paths}
    out = Path(out)
    for number, path in enumerate(paths):
        if (out / path.name).resolve() == path.resolve():
            raise errors.NotebookError(
                f"{path} would be written over by its executed copy: run it into another folder "
                f"than {out}"
            )
        if path.name in {other.name for other in paths[:number]}:
            raise errors.NotebookError(
                f"two notebooks are called {path.name}, and the second would be written over the "
                f"first in {out}: run them into different folders"
            )
    given = dict(given or {})
    parameters.refuse_unknown(given, dict.fromkeys(n for names in known.values() for n in names))
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise errors.NotebookError(f"cannot make the folder {out} ({error.strerror})") from None
    given = {"RUN_DIR": str(out)} | given
    width = max(len(path.stem) for path in paths)
    tasks = []
    for path in paths:
        passed = {name: value for name, value in given.items() if name in known[path]}
        label = f"{path.stem:{width}}"
        tasks.append(_Task(path, out / path.name, passed, label, timeout_seconds))
    apart = len(tasks) - 1 if jobs > 1 else 0
    rows = {}
    with contextlib.closing(_side_by_side(tasks[:apart], jobs)) as first:
        for task, seconds, failure in itertools.chain(first, _in_turn(tasks[apart:])):
            status = "failed" if failure else "done"
            tqdm.write(f"{task.label}  {status:6} {seconds:5.0f} s  {failure}".rstrip())
            sys.stdout.flush()
            rows[task.path] = (task.path.stem, status, seconds, task.output, failure)
    in_order = [rows[path] for path in paths]
    return pd.DataFrame(in_order, columns=["notebook", "status", "seconds", "output", "error"])


def _in_turn(tasks: Sequence[_Task]) -> Iterator[_Ended]:
    for task in tasks:
        started = time.perf_counter()
        failure = _execute(task, live=sys.stdout.isatty())
        yield task, time.perf_counter() - started, failure


def _side_by_side(tasks: Sequence[_Task], jobs: int) -> Generator[_Ended, None, None]:
    # Not forked: a copy of a process in which TensorFlow has threads may hang.
    context = multiprocessing.get_context("spawn")
    if tasks:
        # The first process would start it, and it lets Ctrl-C through that is held.
        multiprocessing.resource_tracker.ensure_running()
    waiting = deque(tasks)
    running: dict[Any, tuple[_Task, Any, float]] = {}  # by this end of its pipe
    try:
        with progress.bar(total=len(tasks), description="notebooks") as bar:
            while waiting or running:
                while waiting and len(running) < jobs:
                    task = waiting.popleft()
                    ours, theirs = context.Pipe()
                    process = context.Process(
                        target=_execute_apart, args=(task, theirs), daemon=True
                    )
                    with _interrupts_held():
                        process.start()
                        theirs.close()
                        running[ours] = task, process, time.perf_counter()
                bar.set_description(", ".join(task.path.stem for task, *_ in running.values()))
                ready: list[Any] = multiprocessing.connection.wait(list(running), timeout=1)
                for pipe in ready:
                    task, process, started = running.pop(pipe)
                    try:
                        failure = pipe.recv()
                    except (EOFError, OSError):
                        process.join()
                        failure = _why_ended(process.exitcode)
                    pipe.close()
                    bar.update()
                    yield task, time.perf_counter() - started, failure
    finally:
        for pipe in running:
            pipe.close()
        for _, process, _ in running.values():
            process.join(timeout=10)
            process.terminate()


@contextlib.contextmanager
def _interrupts_held() -> Iterator[None]:
    """Lets Ctrl-C wait, also in a process that is started here, until that one lets it through."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _execute_apart(task: _Task, pipe: Connection) -> None:
    """What a process of its own does: executes a notebook and sends what went wrong."""
    # A Ctrl-C in the terminal is for the process that waits, which then closes the pipe.
    os.setsid()
    with contextlib.suppress(OSError), _log(task).open("ab") as log:
        os.dup2(log.fileno(), 2)
    # Several share one GPU: each takes of its memory what it needs, and not all at once.
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    with contextlib.suppress(KeyboardInterrupt):
        threading.Thread(target=_interrupt_when_closed, args=(pipe,), daemon=True).start()
        # In the background of a shell script, it would be ignored.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        failure = _execute(task, live=False)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        pipe.send(failure)


def _interrupt_when_closed(pipe: Connection) -> None:
    """Stops the notebook, with its kernel, when the process that waits for it is no more."""
    with contextlib.suppress(EOFError, OSError):
        pipe.recv()
    os.kill(os.getpid(), signal.SIGINT)


def _why_ended(status: int) -> str:
    """What is to be said of a process that ended without a word."""
    if status < 0:
        name = signal.Signals(-status).name
        memory = ", perhaps for want of memory" if -status == signal.SIGKILL else ""
        return f"its process was ended by {name}{memory}"
    return (
        f"its process ended with status {status}; in a script, call run_notebooks under "
        'if __name__ == "__main__":'
    )


def _execute(task: _Task, *, live: bool) -> str:
    """Runs one notebook; "" or, in one line, what went wrong."""
    import papermill
    from papermill.exceptions import PapermillExecutionError

    bar = {
        "desc": task.label,
        "bar_format": "{desc}  cell {n_fmt}/{total_fmt}, {elapsed}",
        "leave": False,
        "file": sys.stdout,
        "disable": not live,
    }
    try:
        with _errors_to(_log(task)):
            papermill.execute_notebook(
                str(task.path),
                str(task.output),
                parameters=task.passed,
                kernel_name="python3",
                progress_bar=bar,
                execution_timeout=task.timeout_seconds,
                # TensorFlow talks to the process' own error stream; it goes to the log instead.
                extra_arguments=[
                    "--IPKernelApp.log_level=40",
                    "--IPKernelApp.capture_fd_output=False",
                ],
            )
    except PapermillExecutionError as error:
        return f"cell {error.exec_count}: {error.ename}: {' '.join(error.evalue.split())}"
    except Exception as error:
        # A kernel that died, a cell that took too long, a full disk: the next one may still run.
        return f"{type(error).__name__}: {' '.join(str(error).split())}"
    return ""


def _log(task: _Task) -> Path:
    return task.output.parent / "kernels.log"


@contextlib.contextmanager
def _errors_to(path: Path) -> Iterator[None]:
    """Lets this process' error stream, which kernels inherit, end in a file for a while."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with path.open("ab") as file:
            os.dup2(file.fileno(), 2)
            yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)
