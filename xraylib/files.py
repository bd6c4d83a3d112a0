"""Write files whole or not at all."""

import contextlib
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def whole(path: Path | str) -> Iterator[Path]:
    """Gives the name to write a file under, which takes the file's own name once it is complete.

    A process that is killed meanwhile, or a disk that is full, leaves what was at `path` before.

    Example:
        >>> with whole("record.json") as unfinished:  # doctest: +SKIP
        ...     unfinished.write_text("{}")

    Args:
        path: Of the file; its folder exists. One process at a time writes there.

    Yields:
        The path of an unfinished file beside it, with the same suffix.

    Raises:
        OSError: It cannot be written. The unfinished file is removed, as after any other error.
    """
    path = Path(path)
    unfinished = path.with_name(f".writing-{path.name}")
    try:
        yield unfinished
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
