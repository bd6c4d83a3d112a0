"""Read the parameters of notebooks, and refuse what a notebook does not know.

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
    """Checks the parameters of the notebook that calls this.

    Args:
        namespace: The notebook's `globals()`. Its parameters are the annotated upper-case names of
            its `parameters` cell, with the values that papermill passed.

    Returns:
        Names and values, in the order of the cell.

    Raises:
        ParameterError: papermill passed a name that the cell does not know, or a value is not of
            the annotated type.

    Example:
        >>> EPOCHS: int = 10
        >>> check(globals())
        {'EPOCHS': 10}
    """
    annotations = {
        name: kind
        for name, kind in namespace.get("__annotations__", {}).items()
        if name.isupper() and name in namespace
    }
    refuse_unknown(_names_from_papermill(namespace.get("In", ())), annotations)
    return {name: _of_type(name, namespace[name], kind) for name, kind in annotations.items()}


def refuse_unknown(names: Iterable[str], known: Iterable[str]) -> None:
    """Refuses names of parameters that are not among those known.

    Raises:
        ParameterError: Lists the unknown names, what is nearest to each, and all that exist.

    Example:
        >>> refuse_unknown(["EPOCH"], ["EPOCHS", "SEED"])
        Traceback (most recent call last):
        xraylib.errors.ParameterError: unknown parameter EPOCH (do you mean EPOCHS?): there are ...
    """
    known = list(known)
    unknown = []
    for name in names:
        if name not in known:
            nearest = difflib.get_close_matches(name.upper(), known, n=1)
            unknown.append(f"{name} (do you mean {nearest[0]}?)" if nearest else name)
    if unknown:
        raise errors.ParameterError(
            f"unknown parameter {', '.join(unknown)}: there are {', '.join(known)}"
        )


def literal(text: str) -> Any:
    """The number, truth value or None that a text spells in Python; otherwise the text itself.

    Example:
        >>> literal("1e-3"), literal("None"), literal("kaggle")
        (0.001, None, 'kaggle')
    """
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def read_yaml(path: Path | str) -> dict[str, Any]:
    """Reads a YAML file of parameters, one `NAME: value` a line, as papermill's `-f` takes it.

    Raises:
        NotebookError: The file is missing or holds something else.
    """
    import yaml

    path = Path(path).expanduser()
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = getattr(error, "strerror", None) or errors.one_line(error)
        raise errors.NotebookError(f"cannot read the parameters in {path}: {reason}") from None
    if not isinstance(values, dict | None):
        raise errors.NotebookError(f"{path} must hold lines like NAME: value. Received: {values!r}")
    return {str(name): value for name, value in (values or {}).items()}


def names_in(notebook: Path | str) -> list[str]:
    """Reads the names in the `parameters` cell of a notebook, in the order of the cell.

    Raises:
        NotebookError: There is no such file, or it is not a notebook.
    """
    import papermill

    notebook = Path(notebook)
    if not notebook.is_file():
        raise errors.NotebookError(f"no such notebook: {notebook}")
    try:
        return list(papermill.inspect_notebook(str(notebook)))
    # Which error it is depends on what the file is instead.
    except Exception as error:
        reason = errors.one_line(error)
        raise errors.NotebookError(f"{notebook} is not a notebook: {reason}") from None


def _names_from_papermill(cells: Iterable[str]) -> list[str]:
    """The names that papermill assigns, from the sources of a notebook's cells."""
    # papermill tags its cell, but a kernel sees no tags, only the comment in the first line.
    for source in cells:
        if source.startswith("# Parameters\n"):
            assignments = [node for node in ast.parse(source).body if isinstance(node, ast.Assign)]
            targets = [target for node in assignments for target in node.targets]
            return [target.id for target in targets if isinstance(target, ast.Name)]
    return []


def _of_type(name: str, value: Any, kind: Any) -> Any:
    """The value where it is of the annotated type; a whole number becomes a float if need be."""
    allowed = typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
    if type(value) is int and float in allowed and int not in allowed:
        return float(value)
    if not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed):
        expected = kind.__name__ if isinstance(kind, type) else str(kind)
        raise errors.ParameterError(
            f"{name} must be {expected}. Received: {value!r} ({type(value).__name__})"
        )
    return value
