"""A notebook's parameters, checked before anything is done with them.

papermill only logs a warning about a parameter that no cell knows, so that a misspelt name would
train with the default. `check` runs inside a notebook, `refuse_unknown` before one is started.
"""

import ast
import difflib
import types
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from xraylib import errors


def check(namespace: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of the notebook that calls this, after what papermill put in.

    Args:
        namespace: The notebook's `globals()`. Its parameters are the annotated names of its
            `parameters` cell; what papermill passed is read from the cell that it injected.

    Returns:
        Each parameter's name and value, in the order of the cell.

    Raises:
        ParameterError: papermill passed a name that the cell does not know, or a value is not of
            the annotated type.
    """
    annotations = {
        name: kind
        for name, kind in namespace.get("__annotations__", {}).items()
        if name.isupper() and name in namespace
    }
    refuse_unknown(_injected(namespace.get("In", ())), annotations)
    values = {}
    for name, kind in annotations.items():
        value = namespace[name]
        allowed = typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
        if type(value) is int and float in allowed and int not in allowed:
            value = float(value)
        if not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed):
            raise errors.ParameterError(
                f"{name} must be {_name(kind)}. Received: {value!r} ({type(value).__name__})"
            )
        values[name] = value
    return values


def refuse_unknown(given: Iterable[str], known: Iterable[str]) -> None:
    """Refuses names that are not known.

    Args:
        given: Names that somebody passes.
        known: Names that exist.

    Raises:
        ParameterError: Lists the unknown names, what is nearest to each, and all that exist.
    """
    known = list(known)
    unknown = [name for name in given if name not in known]
    if not unknown:
        return
    nearest = {name: difflib.get_close_matches(name.upper(), known, n=1) for name in unknown}
    said = ", ".join(
        f"{name} (do you mean {nearest[name][0]}?)" if nearest[name] else name for name in unknown
    )
    raise errors.ParameterError(f"unknown parameter {said}: there are {', '.join(known)}")


def literal(text: str) -> Any:
    """What a parameter on a command line means.

    Args:
        text: As typed.

    Returns:
        The number, truth value or None that it spells in Python; otherwise the text itself.
    """
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _injected(cells: Iterable[str]) -> list[str]:
    """The names that papermill's cell assigns, if this notebook was run by papermill."""
    for source in cells:
        if source.startswith("# Parameters\n"):
            return [
                target.id
                for statement in ast.parse(source).body
                if isinstance(statement, ast.Assign)
                for target in statement.targets
                if isinstance(target, ast.Name)
            ]
    return []


def _name(kind: Any) -> str:
    return kind.__name__ if isinstance(kind, type) else str(kind)


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
        raise errors.NotebookError(f"cannot read the parameters in {path}: {reason}") from None
    if read is None:
        return {}
    if not isinstance(read, dict):
        raise errors.NotebookError(f"{path} must hold lines like NAME: value. Received: {read!r}")
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
        raise errors.NotebookError(f"no such notebook: {path}")
    try:
        return list(papermill.inspect_notebook(str(path)))
    except Exception as error:
        # What a file that is no notebook raises depends on what it is instead.
        raise errors.NotebookError(
            f"{path} is not a notebook: {' '.join(str(error).split())}"
        ) from None
