"""Execute many notebooks with one set of parameters, in turn or side by side."""

import concurrent.futures
import contextlib
import functools
import json
import os
import sys
import tempfile
from collections.abc import Collection, Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm import tqdm

from xraylib import errors, names, progress
from xraylib.runs import process
from xraylib.runs.parameters import refuse_unknown, typed, types_in

# The notebooks to execute, and how.
_Tasks = Mapping[Path, functools.partial[process.Outcome]]
_Outcomes = Generator[tuple[Path, process.Outcome], None, None]


def run_notebooks(
    notebooks: Sequence[Path | str],
    *,
    out: Path | str,
    parameters: Mapping[str, Any] | None = None,
    jobs: int = 1,
) -> pd.DataFrame:
    """Executes notebooks, in turn or side by side; one that fails does not stop the others.

    Executed copies go to `out`, which is also their `RUN_DIR` unless `parameters` names another,
    and what the kernels write to their standard error to `kernels.log` there. A notebook that has
    ended gets a line on standard output. In a terminal, those that run have a progress bar.

    Args:
        notebooks: Paths of the notebooks.
        out: Folder for the executed notebooks; made if missing.
        parameters: Names and values. Each notebook gets those that it knows; a name that none of
            them knows is refused before anything runs.
        jobs: How many run side by side; at least 1. With more than one, a notebook that `waits`
            says begins when all before it have ended; those after it need not wait for it.

    Returns:
        One row a notebook: notebook (its name without ending), status (`"done"` or `"failed"`),
        seconds, output (path), error (one line, or `""`).

    Raises:
        NotebookError: There is no notebook, one is missing, cannot be read or lies in `out`
            itself, or two have the same name; or `out` cannot be made.
        ParameterError: A name in `parameters` exists in no notebook, or a value does not fit the
            type that a notebook annotates.
        ValueError: `jobs` is below 1.
    """
    if jobs < 1:
        raise ValueError(f"jobs must be at least 1. Received: {jobs}")
    paths = [Path(path) for path in notebooks]
    if not paths:
        raise errors.NotebookError("no notebooks were given: name at least one")
    out = Path(out)
    known = {path: types_in(path) for path in paths}
    _refuse_overwriting(paths, out)
    parameters = dict(parameters or {})
    refuse_unknown(parameters, dict.fromkeys(name for kinds in known.values() for name in kinds))
    parameters = {"RUN_DIR": str(out)} | parameters
    values_for = {
        path: {
            name: typed(name, value, kinds[name])
            for name, value in parameters.items()
            if name in kinds
        }
        for path, kinds in known.items()
    }
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise errors.NotebookError(f"cannot make the folder {out} ({error.strerror})") from None
    _refuse_unwritable(paths, out, parameters)
    tasks = {
        path: functools.partial(process.execute, path, out / path.name, values)
        for path, values in values_for.items()
    }
    width = max(len(path.stem) for path in paths)
    rows = {}
    with contextlib.closing(_outcomes(tasks, jobs)) as outcomes:
        for path, (seconds, failure) in outcomes:
            status = "failed" if failure else "done"
            tqdm.write(f"{path.stem:{width}}  {status:6} {seconds:5.0f} s  {failure}".rstrip())
            sys.stdout.flush()
            rows[path] = (path.stem, status, seconds, out / path.name, failure)
    columns = ["notebook", "status", "seconds", "output", "error"]
    return pd.DataFrame([rows[path] for path in paths], columns=columns)


def _refuse_overwriting(paths: Sequence[Path], out: Path) -> None:
    """Refuses notebooks whose executed copies would replace themselves or each other."""
    names = [path.name for path in paths]
    for path in paths:
        if (out / path.name).resolve() == path.resolve():
            raise errors.NotebookError(
                f"{path} would be written over by its executed copy: run it into another folder "
                f"than {out}"
            )
        if names.count(path.name) > 1:
            raise errors.NotebookError(
                f"two notebooks are called {path.name}, and the second would be written over the "
                f"first in {out}: run them into different folders"
            )


def _refuse_unwritable(paths: Sequence[Path], out: Path, parameters: Mapping[str, Any]) -> None:
    """Refuses what would keep an executed notebook from being written when it has ended."""
    for name, value in parameters.items():
        if isinstance(value, str) and names.encodable(value) != value:
            raise errors.ParameterError(
                f"{name} is no UTF-8, so that no notebook can hold it: rename the folder, or give "
                f"a link to it. Received: {names.shown(value)}"
            )
    try:
        tempfile.TemporaryFile(dir=out).close()
        for path in paths:
            if (out / path.name).exists():
                (out / path.name).open("ab").close()
    except OSError as error:
        raise errors.NotebookError(
            f"cannot write executed notebooks to {out} ({error.strerror}): give another folder"
        ) from None


def waits(notebook: Path | str) -> bool:
    """Tells whether a notebook reads what those before it write.

    It says so in its metadata: `{"xraylib": {"waits": true}}`.

    Args:
        notebook: Path of a notebook that can be read, see `parameters.types_in`.
    """
    metadata = json.loads(Path(notebook).read_text(encoding="utf-8")).get("metadata", {})
    own = metadata.get("xraylib")
    return isinstance(own, dict) and own.get("waits") is True


def _outcomes(tasks: _Tasks, jobs: int) -> _Outcomes:
    """Executes the tasks and gives the outcome of each when it has ended."""
    if jobs > 1:
        yield from _side_by_side(tasks, jobs)
        return
    for path, task in tasks.items():
        yield path, task(live=sys.stdout.isatty())


def _side_by_side(tasks: _Tasks, jobs: int) -> _Outcomes:
    # A thread a task waits for its process. All processes hold the reading end of this pipe, and
    # end when the writing end is closed: below, or by the system when it ends this process.
    lifeline, writing = os.pipe()
    pool = concurrent.futures.ThreadPoolExecutor(jobs)
    unfinished = list(tasks)
    running: dict[concurrent.futures.Future[process.Outcome], Path] = {}
    try:
        with progress.bar(total=len(tasks), description="notebooks") as bar:
            while unfinished:
                for path in _ready(unfinished, running.values())[: jobs - len(running)]:
                    running[pool.submit(tasks[path], lifeline=lifeline)] = path
                bar.set_description(", ".join(path.stem for path in running.values()))
                ended, _ = concurrent.futures.wait(running, 1, concurrent.futures.FIRST_COMPLETED)
                for future in ended:
                    bar.update()
                    path = running.pop(future)
                    unfinished.remove(path)
                    yield path, future.result()
    finally:
        os.close(writing)
        pool.shutdown(cancel_futures=True)
        os.close(lifeline)


def _ready(unfinished: Sequence[Path], running: Collection[Path]) -> list[Path]:
    """Those that may begin: one that waits only where all before it have ended."""
    first = unfinished[0]
    return [
        path for path in unfinished if path not in running and (path == first or not waits(path))
    ]
