"""Progress of long work: a bar where somebody watches, silence in a log file."""

import os
import sys
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm


def bar(iterable: Iterable[Any] | None = None, *, total: int, description: str) -> tqdm:
    """A progress bar that comes up after two seconds in a terminal or a notebook.

    Where the output is a file or a pipe, or the environment variable `TQDM_DISABLE` is set, it
    stays silent.

    Args:
        iterable: What to go through; or None, and the caller calls `update`.
        total: How many there are.
        description: What is being done, e.g. `"decoding"`.

    Returns:
        The bar, to be iterated over or used in a `with` statement.
    """
    # tqdm itself looks at the environment only when imported, and not where `disable` is given.
    silent = bool(os.environ.get("TQDM_DISABLE"))
    if _in_notebook():
        # A notebook's stream is no terminal, and yet somebody may be watching.
        return tqdm(
            iterable,
            total=total,
            desc=description,
            delay=2,
            mininterval=0.5,
            file=sys.stdout,
            disable=silent,
        )
    return tqdm(iterable, total=total, desc=description, delay=2, disable=silent or None)


def _in_notebook() -> bool:
    shell = sys.modules.get("IPython")
    return shell is not None and hasattr(shell.get_ipython(), "kernel")
