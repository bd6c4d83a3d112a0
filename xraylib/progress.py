"""Show the progress of long work: a bar where somebody watches, and what the library logs."""

import logging
import os
import sys
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm


def bar(iterable: Iterable[Any] | None = None, *, total: int, description: str) -> tqdm:
    """A progress bar that appears after two seconds in a terminal or a notebook.

    It stays silent in a file or a pipe, and where the environment variable `TQDM_DISABLE` is set.

    Args:
        iterable: The items to go through; or None, and the caller calls `update`.
        total: Number of items.
        description: Name of the work, e.g. `"decoding"`.

    Returns:
        The bar, to be iterated over or used in a `with` statement.

    Example:
        >>> [2 * number for number in bar([1, 2, 3], total=3, description="doubling")]
        [2, 4, 6]
    """
    # tqdm itself looks at the environment only when imported, and not where `disable` is given.
    silent = bool(os.environ.get("TQDM_DISABLE")) or None  # None is silent in a file or a pipe
    ipython = sys.modules.get("IPython")
    options: dict[str, Any] = {}
    if ipython is not None and hasattr(ipython.get_ipython(), "kernel"):
        options = {"file": _NotebookLine(), "mininterval": 0.5, "ncols": 80}
    return tqdm(iterable, total=total, desc=description, delay=2, disable=silent, **options)


def show_log() -> None:
    """Shows what the library logs, such as one line for each epoch, on standard output.

    Without it, the log goes where your own handlers of `logging` send it. Called again, it changes
    nothing.
    """
    logger = logging.getLogger("xraylib")
    if not any(isinstance(handler, _AboveBars) for handler in logger.handlers):
        logger.addHandler(_AboveBars())
        logger.setLevel(logging.INFO)


class _AboveBars(logging.Handler):
    """Writes each message above the bars that are at work."""

    def emit(self, record: logging.LogRecord) -> None:
        tqdm.write(self.format(record))
        sys.stdout.flush()  # a log file shows the message at once


class _NotebookLine:
    """A file whose last line is shown in place: carriage returns would fill a stored notebook."""

    handle: Any = None

    def write(self, text: str) -> None:
        from IPython.display import display

        text = text.strip()
        if not text:  # the line feed at the end
            return
        line = {"text/plain": text}
        if self.handle is None:
            self.handle = display(line, raw=True, display_id=True)
        else:
            self.handle.update(line, raw=True)
