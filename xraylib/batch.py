"""Many notebooks through papermill, one after the other, with one set of parameters."""

import contextlib
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from xraylib import parameters


class NotebookError(ValueError):
    """A notebook or a file of parameters that cannot be run; the message says why."""


def read_parameters(path: Path | str) -> dict[str, Any]:
    """Reads a YAML file of parameters, as papermill's `-f` takes it.

    Args:
        path: The file: one `NAME: value` a line.

    Returns:
        Names and values.

    Raises:
        NotebookError: The file is missing or holds something else.
    """
    import yaml

    path = Path(path).expanduser()
    try:
        read = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise NotebookError(f"cannot read the parameters in {path}: {reason}") from None
    if read is None:
        return {}
    if not isinstance(read, dict):
        raise NotebookError(f"{path} must hold lines like NAME: value. Received: {read!r}")
    return {str(name): value for name, value in read.items()}


def known_parameters(path: Path | str) -> list[str]:
    """The names in a notebook's `parameters` cell.

    Args:
        path: The notebook.

    Returns:
        The names, in the order of the cell.

    Raises:
        NotebookError: There is no such notebook, or the file is none.
    """
    import papermill

    path = Path(path)
    if not path.is_file():
        raise NotebookError(f"no such notebook: {path}")
    try:
        return list(papermill.inspect_notebook(str(path)))
    except Exception as error:
        # What a file that is no notebook raises depends on what it is instead.
        raise NotebookError(f"{path} is not a notebook: {' '.join(str(error).split())}") from None


def run_notebooks(
    notebooks: Sequence[Path | str],
    *,
    out: Path | str,
    given: Mapping[str, Any] | None = None,
    timeout_seconds: int | None = None,
) -> pd.DataFrame:
    """Executes notebooks in order; one that fails does not keep the others from running.

    Executed copies go to `out`, which is also their `RUN_DIR` unless `given` names another. What
    the kernels write to their standard error goes to `kernels.log` there. One live line a notebook
    on standard output tells how it goes.

    Args:
        notebooks: Paths of the notebooks.
        out: Folder for the executed notebooks; made if missing.
        given: Parameters. Each notebook gets those that it knows; a name that none of them knows
            is refused before anything runs.
        timeout_seconds: The most that one cell may take; None for ever.

    Returns:
        One row a notebook: notebook (its name without ending), status (`"done"` or `"failed"`),
        seconds, output (path), error (one line, or `""`).

    Raises:
        NotebookError: A notebook is missing or cannot be read.
        parameters.ParameterError: A name in `given` exists in no notebook.
    """
    paths = [Path(path) for path in notebooks]
    known = {path: known_parameters(path) for path in paths}
    given = dict(given or {})
    parameters.refuse_unknown(given, dict.fromkeys(n for names in known.values() for n in names))
    out = Path(out)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise NotebookError(f"cannot make the folder {out} ({error.strerror})") from None
    given = {"RUN_DIR": str(out)} | given
    width = max(len(path.stem) for path in paths)
    rows = []
    for path in paths:
        started = time.perf_counter()
        passed = {name: value for name, value in given.items() if name in known[path]}
        failure = _execute(path, out / path.name, passed, width, timeout_seconds)
        seconds = time.perf_counter() - started
        status = "failed" if failure else "done"
        print(f"{path.stem:{width}}  {status:6} {seconds:5.0f} s  {failure}".rstrip(), flush=True)
        rows.append((path.stem, status, seconds, out / path.name, failure))
    return pd.DataFrame(rows, columns=["notebook", "status", "seconds", "output", "error"])


def _execute(
    path: Path, output: Path, passed: dict[str, Any], width: int, timeout_seconds: int | None
) -> str:
    """Runs one notebook; "" or, in one line, what went wrong."""
    import papermill
    from papermill.exceptions import PapermillExecutionError

    bar = {
        "desc": f"{path.stem:{width}}",
        "bar_format": "{desc}  cell {n_fmt}/{total_fmt}, {elapsed}",
        "leave": False,
        "file": sys.stdout,
        "disable": not sys.stdout.isatty(),
    }
    try:
        with _errors_to(output.parent / "kernels.log"):
            papermill.execute_notebook(
                str(path),
                str(output),
                parameters=passed,
                kernel_name="python3",
                progress_bar=bar,
                execution_timeout=timeout_seconds,
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
