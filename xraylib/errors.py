"""The exceptions that this library raises, as one tree.

    XraylibError
    ├── DataSourceError      (ValueError)    a data source that cannot be used
    ├── UnreadableImage      (ValueError)    a file that cannot be read as an image
    ├── TooFewPatientsError  (ValueError)    too few patients of a class to cross-validate
    ├── ParameterError       (ValueError)    a parameter that does not exist or has a wrong value
    ├── ClassifierError      (ValueError)    a packed classifier that is missing, damaged or changed
    ├── NotebookError        (ValueError)    a notebook or a parameter file that cannot be run
    ├── CacheError           (OSError)       a cache folder that cannot be created or locked
    ├── BackendError         (RuntimeError)  settings with which Keras cannot be loaded
    └── RunInProgressError   (RuntimeError)  a run that another process is working on

Each is also the built-in exception in brackets. An argument out of its range raises a plain
`ValueError`, a full disk a plain `OSError`.
"""


class XraylibError(Exception):
    """The base of all exceptions of this library; their messages say what to do."""


class DataSourceError(XraylibError, ValueError):
    """A data source that cannot be used; the message says why and what to do, in one line."""


class UnreadableImage(XraylibError, ValueError):  # noqa: N818 - the name is clear without Error
    """A file that cannot be read as an image; the message names it and says why, in one line."""


class TooFewPatientsError(XraylibError, ValueError):
    """Too few patients of a class to cross-validate."""


class ParameterError(XraylibError, ValueError):
    """A parameter that does not exist or has a wrong value; the message says what is possible."""


class ClassifierError(XraylibError, ValueError):
    """A packed classifier that is missing, damaged or changed; the message says which, and why."""


class NotebookError(XraylibError, ValueError):
    """A notebook or a file of parameters that cannot be run; the message says why."""


class CacheError(XraylibError, OSError):
    """A cache folder that cannot be created or locked; the message says why and what to do."""


class BackendError(XraylibError, RuntimeError):
    """Settings with which Keras cannot be loaded; the message names them and says what to do."""


class RunInProgressError(XraylibError, RuntimeError):
    """A run that another process is working on."""


def one_line(error: Exception, *, limit: int | None = 200) -> str:
    """Puts the message of an error on one line, for use in a message of our own.

    Args:
        error: Any error, mostly one of another library.
        limit: The largest number of characters; None for all.

    Returns:
        The message without line breaks or its full stop; the error's name if it has no message.

    Example:
        >>> one_line(ValueError("too   wide."))
        'too wide'
    """
    return " ".join(str(error).split())[:limit].rstrip(".") or type(error).__name__
