"""Execute one notebook in a process of its own, which ends when the waiting process does.

`execute` is the unit of work: threads, or workers on other machines, may call it as they like. The
notebook's kernel is this Python with this library, whatever kernels and startup files the user has.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import xraylib

# Variables that would run other code in a notebook, or stop it where Python by itself goes on.
_DROPPED: Final = (
    "PYTHONSTARTUP",
    "PYTHONINSPECT",
    "PYTHONWARNINGS",
    "PYTHONOPTIMIZE",
    "MPLBACKEND",
)


class Outcome(NamedTuple):
    """How the execution of a notebook ended."""

    seconds: float
    error: str  # one line, or "" where all cells ran


def execute(
    notebook: Path | str,
    output: Path | str,
    parameters: Mapping[str, Any],
    *,
    live: bool = False,
    lifeline: int = subprocess.PIPE,
) -> Outcome:
    """Executes one notebook through papermill, and waits for it.

    The kernel's standard error goes to `kernels.log` beside the output. However the process that
    calls this ends, the notebook's process and its kernel end, too.

    Args:
        notebook: Path of the notebook.
        output: Path of the executed copy; its folder exists.
        parameters: Names and values for its `parameters` cell. What is neither text, a number, a
            truth value nor None arrives as text.
        live: Whether to show the number of the cell on standard output while it runs.
        lifeline: The reading end of a pipe. The execution is given up when the writing end is
            closed; by default, that is when the calling process ends.

    Returns:
        The seconds that it took, and the error of the notebook, which is not raised.
    """
    request = {
        "input_path": str(notebook),
        "output_path": str(output),
        "parameters": dict(parameters),
        "live": live,
    }
    started = time.perf_counter()
    try:
        with tempfile.TemporaryDirectory(prefix="xraylib-", ignore_cleanup_errors=True) as folder:
            Path(folder, "request.json").write_text(json.dumps(request, default=str))
            error = _error(*_wait(folder, lifeline))
    except OSError as failure:
        error = (
            f"its process cannot be started ({failure.strerror}): free memory and disk space, or "
            "run fewer side by side"
        )
    return Outcome(time.perf_counter() - started, error)


def _wait(folder: str, lifeline: int) -> tuple[int, str]:
    """Executes the request in a folder; the process' exit status and its standard error."""
    with subprocess.Popen(
        [sys.executable, "-P", "-m", __name__, folder],
        env=_environment(folder),
        stdin=lifeline,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
        # A Ctrl-C in the terminal is for the waiting process alone.
        start_new_session=True,
    ) as process:
        assert process.stderr
        message = process.stderr.read()
    return process.returncode, message


def _environment(folder: str) -> dict[str, str]:
    """The variables of the process and its kernel: those here, but for what changes a notebook."""
    # This library first: the kernel shall not import another one.
    paths = [str(Path(xraylib.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    own = {
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "JUPYTER_PATH": folder,  # where kernels are looked for
    }
    kept = {name: value for name, value in os.environ.items() if name not in _DROPPED}
    return kept | own


def _error(status: int, message: str) -> str:
    """Tells in one line why a process failed, from its exit status and its standard error."""
    if status == 0:
        return ""
    if status < 0:
        memory = ", perhaps for want of memory" if -status == signal.SIGKILL else ""
        return f"its process was ended by {signal.Signals(-status).name}{memory}"
    return message.strip().rpartition("\n")[2] or f"its process ended with status {status}"


def _main(folder: Path) -> int:
    """Executes the request in a folder; what goes wrong is told on standard error."""
    threading.Thread(target=_end_with_caller, args=[folder], daemon=True).start()
    # From here on, only the error goes to the caller: this and the kernel write to the log.
    stream = os.dup(sys.stderr.fileno())
    with open(stream, "w", encoding="utf-8", errors="backslashreplace") as caller:
        try:
            request = json.loads((folder / "request.json").read_text())
            with Path(request["output_path"]).with_name("kernels.log").open("ab") as log:
                os.dup2(log.fileno(), sys.stderr.fileno())
            error = _papermill(request, folder)
        except Exception as failure:
            # A kernel that died, a full disk.
            error = f"{type(failure).__name__}: {failure}"
        caller.write(" ".join(error.split()).rstrip(": "))
    return 1 if error else 0


def _papermill(request: dict[str, Any], folder: Path) -> str:
    """Executes a notebook, the kernel's files in `folder`; "" or what went wrong in a cell."""
    # Several kernels share one GPU: each takes of its memory what it needs, and not all at once.
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    import papermill
    import zmq
    from ipykernel.kernelspec import get_kernel_dict
    from papermill.exceptions import PapermillExecutionError
    from traitlets.config import Config

    # A kernel called python3 that is this Python, and not what the user has installed as such. No
    # module in the working directory takes the place of another one (-P).
    kernel = get_kernel_dict()
    kernel["argv"] = [sys.executable, "-P", *kernel["argv"][1:]]
    place = folder / "kernels" / "python3"
    place.mkdir(parents=True)
    (place / "kernel.json").write_text(json.dumps(kernel))
    # Kernels that start at the same time race for TCP ports, but each has sockets of its own. Where
    # these would have too long a name, or there are none, as on Windows, it is TCP after all.
    sockets = str(folder / "kernel")
    connection = {"connection_file": f"{sockets}.json"}
    if len(f"{sockets}-5") <= zmq.IPC_PATH_MAX_LEN:
        connection |= {"transport": "ipc", "ip": sockets}
    bar = {
        "desc": Path(request["input_path"]).stem,
        "bar_format": "{desc}  cell {n_fmt}/{total_fmt}, {elapsed}",
        "leave": False,
        "file": sys.stdout,
    }
    # TensorFlow writes to the process' own standard error, which is the log.
    options = ["--IPKernelApp.log_level=40", "--IPKernelApp.capture_fd_output=False"]
    # A fresh profile of IPython, without anybody's startup files and settings.
    profile = folder / "profile"
    profile.mkdir()
    options += [f"--ProfileDir.location={profile}"]
    # The user's own modules there can be imported all the same, after all others.
    options += ["--InteractiveShellApp.ignore_cwd=True"]
    options += ["--InteractiveShellApp.exec_lines=__import__('sys').path.append('')"]
    live = request.pop("live")
    try:
        papermill.execute_notebook(
            **request,
            progress_bar=live and bar,
            kernel_name="python3",
            config=Config(KernelManager=connection, AsyncKernelManager=connection),
            extra_arguments=options,
        )
    except PapermillExecutionError as failure:
        return f"cell {failure.exec_count}: {failure.ename}: {failure.evalue}"
    return ""


def _end_with_caller(folder: Path) -> None:
    """Waits for the end of standard input, then ends this process and its kernel."""
    import psutil

    # Nothing is ever written to it. Not `sys.stdin`, whose lock a process' regular end would need.
    os.read(0, 1)
    # Without its folder, no kernel can be started any more; one that is just being started appears.
    shutil.rmtree(folder, ignore_errors=True)
    time.sleep(0.5)
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()
    # A kernel makes the folder anew where it is missing.
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)


if __name__ == "__main__":
    sys.exit(_main(Path(sys.argv[1])))
