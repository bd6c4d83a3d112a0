"""Write files whole or not at all."""

import contextlib
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def whole(path: Path | str) -> Iterator[Path]:
    """Gives the name to write a file under, which takes the file's own name once it is complete.

    A process that is killed meanwhile, or a disk that is full, leaves what was at `path` before.

    The unfinished file lies beside it, in a folder that exists, has the same suffix, and is removed
    after any error. One process at a time writes there.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with whole(Path(folder) / "record.json") as unfinished:
        ...         written = unfinished.write_text("{}")
    """
    path = Path(path)
    unfinished = path.with_name(f".writing-{path.name}")
    try:
        yield unfinished
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
