"""The exceptions that this library raises, as one tree.

    XraylibError
    ├── DataSourceError      (ValueError)    a data source that cannot be used
    ├── UnreadableImage      (ValueError)    a file that gives no pixels
    ├── TooFewPatientsError  (ValueError)    too few patients of a class to cross-validate
    ├── ParameterError       (ValueError)    a notebook's parameter that does not exist or fit
    ├── NotebookError        (ValueError)    a notebook or a parameter file that cannot be run
    ├── CacheError           (OSError)       no cache folder, or no lock in it
    └── RunInProgressError   (RuntimeError)  another process is at the same run

Each is also the built-in exception beside it. An argument out of its range is a plain `ValueError`,
a disk that is full a plain `OSError`.
"""


class XraylibError(Exception):
    """Whatever this library raises under a name of its own; the message says what to do."""


class DataSourceError(XraylibError, ValueError):
    """A data source that cannot be used; the message says why and what to do, in one line."""


class UnreadableImage(XraylibError, ValueError):  # noqa: N818 - what it is, is said
    """A file that gives no pixels; the message names the file and the reason in one line."""


class TooFewPatientsError(XraylibError, ValueError):
    """Too few patients of a class to cross-validate."""


class ParameterError(XraylibError, ValueError):
    """A parameter that does not exist or has the wrong type; the message lists those there are."""


class NotebookError(XraylibError, ValueError):
    """A notebook or a file of parameters that cannot be run; the message says why."""


class CacheError(XraylibError, OSError):
    """No cache folder, or no lock in it; the message says why and what to do, in one line."""


class RunInProgressError(XraylibError, RuntimeError):
    """Another process is at the same run."""


def one_line(error: Exception, *, limit: int | None = 200) -> str:
    """Puts the message of an error on one line, for use in a message of our own.

    Args:
        error: Any error, mostly one of another library.
        limit: The most characters to keep; None for all.

    Returns:
        The message without line breaks; the error's name where it has no message.

    Example:
        >>> one_line(ValueError("too   wide."))
        'too wide'
    """
    return " ".join(str(error).split())[:limit].rstrip(".") or type(error).__name__
