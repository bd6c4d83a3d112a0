"""A notebook's parameters, checked before anything is done with them.

papermill only logs a warning about a parameter that no cell knows, so that a misspelt name would
train with the default. `check` runs inside a notebook, `refuse_unknown` before one is started.
"""

import ast
import difflib
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any


class ParameterError(ValueError):
    """A parameter that does not exist or has the wrong type; the message lists those there are."""


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
            raise ParameterError(
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
    raise ParameterError(f"unknown parameter {said}: there are {', '.join(known)}")


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
