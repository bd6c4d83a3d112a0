"""Read the parameters of notebooks, and refuse what a notebook does not know.

papermill only logs a warning about a parameter that no cell knows, so that a misspelt name would
train with the default. `check` runs inside a notebook, `refuse_unknown` before one is started.
"""

import ast
import contextlib
import difflib
import math
import types
import typing
from collections.abc import Iterable, MutableMapping
from pathlib import Path
from typing import Any, ClassVar

from xraylib import errors

_TRUTH = {
    **dict.fromkeys(("true", "yes", "on"), True),
    **dict.fromkeys(("false", "no", "off"), False),
}


def check(namespace: MutableMapping[str, Any]) -> dict[str, Any]:
    """Checks the parameters of the notebook that calls this, and gives them their types.

    Args:
        namespace: The notebook's `globals()`. Its parameters are the annotated upper-case names of
            its `parameters` cell, with the values that papermill passed. A value that only spells
            one of the annotated type is replaced by it, as `typed` does.

    Returns:
        Names and values, in the order of the cell.

    Raises:
        ParameterError: papermill passed a name that the cell does not know, or a value does not
            fit the annotated type.

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
    values = {name: typed(name, namespace[name], kind) for name, kind in annotations.items()}
    namespace.update(values)
    return values


def typed(name: str, value: Any, kind: Any) -> Any:
    """Gives a parameter the type that its notebook annotates.

    YAML, papermill and a shell disagree on what `1e-3`, `1_000`, `yes` or a folder called `2024`
    are; the annotation decides. A text may spell a number or a truth value, a whole number may be a
    float or, where text is wanted, a name.

    Args:
        name: Of the parameter, for the message.
        value: As it was passed.
        kind: `str`, `int`, `float`, `bool`, None, or a union of these; `object` leaves the value.

    Raises:
        ParameterError: The value does not fit the type.

    Example:
        >>> typed("LEARNING_RATE", "1e-3", float), typed("SOURCE", 2024, str)
        (0.001, '2024')
    """
    allowed = typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
    if object in allowed:
        return value
    result = value
    if isinstance(value, str) and str not in allowed:
        result = _spelled(value, allowed)
    elif type(value) is int and int not in allowed:
        result = float(value) if float in allowed else str(value) if str in allowed else value
    fits = isinstance(result, allowed) and (bool in allowed or not isinstance(result, bool))
    if not fits or (isinstance(result, float) and not math.isfinite(result)):
        expected = kind.__name__ if isinstance(kind, type) else str(kind)
        advice = ": put it in quotes" if str in allowed and value is not None else ""
        raise errors.ParameterError(
            f"{name} must be {expected}{advice}. Received: {value!r} ({type(value).__name__})"
        )
    return result


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


def read_yaml(path: Path | str) -> dict[str, Any]:
    """Reads a YAML file of parameters, one `NAME: value` a line, as papermill's `-f` takes it.

    Values are texts, to which each notebook gives its own types, or None where there is nothing.

    Raises:
        NotebookError: The file is missing or holds something else.
    """
    import yaml

    class Texts(yaml.SafeLoader):
        """Leaves numbers and truth values as they are spelled."""

        yaml_implicit_resolvers: ClassVar = {
            first: [(tag, pattern) for tag, pattern in resolvers if tag.endswith(":null")]
            for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
        }

    path = Path(path).expanduser()
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), Texts)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = getattr(error, "strerror", None) or errors.one_line(error)
        raise errors.NotebookError(f"cannot read the parameters in {path}: {reason}") from None
    if not isinstance(values, dict | None):
        raise errors.NotebookError(f"{path} must hold lines like NAME: value. Received: {values!r}")
    return {str(name): value for name, value in (values or {}).items()}


def types_in(notebook: Path | str) -> dict[str, Any]:
    """Reads the names in the `parameters` cell of a notebook, in its order, and their types.

    A type is `object` where the annotation is none of `str`, `int`, `float` and `bool`: any value
    fits then, for all that can be said without the notebook.

    Raises:
        NotebookError: There is no such file, or it is not a notebook.
    """
    import papermill

    notebook = Path(notebook)
    if not notebook.is_file():
        raise errors.NotebookError(f"no such notebook: {notebook}")
    try:
        inspected = papermill.inspect_notebook(str(notebook))
    # Which error it is depends on what the file is instead.
    except Exception as error:
        reason = errors.one_line(error)
        raise errors.NotebookError(f"{notebook} is not a notebook: {reason}") from None
    kinds = {kind.__name__: kind for kind in (str, int, float, bool)}
    return {
        name: kinds.get(parameter["inferred_type_name"], object)
        for name, parameter in inspected.items()
    }


def _names_from_papermill(cells: Iterable[str]) -> list[str]:
    """The names that papermill assigns, from the sources of a notebook's cells."""
    # papermill tags its cell, but a kernel sees no tags, only the comment in the first line.
    for source in cells:
        if source.startswith("# Parameters\n"):
            assignments = [node for node in ast.parse(source).body if isinstance(node, ast.Assign)]
            targets = [target for node in assignments for target in node.targets]
            return [target.id for target in targets if isinstance(target, ast.Name)]
    return []


def _spelled(text: str, allowed: tuple[Any, ...]) -> Any:
    """What a text spells of the types that are allowed; the text where it spells none of them."""
    word = text.strip()
    if bool in allowed and word.lower() in _TRUTH:
        return _TRUTH[word.lower()]
    if types.NoneType in allowed and word.lower() in ("", "none", "null"):
        return None
    for kind in (int, float):
        if kind in allowed:
            with contextlib.suppress(ValueError):
                return kind(word)
    return text
