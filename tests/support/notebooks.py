"""Tiny notebooks: to be executed, or as an execution leaves them."""

import nbformat
from nbformat.v4 import new_code_cell, new_notebook, new_output

# One black pixel as PNG.
PICTURE = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
)


def notebook(path, *sources, parameters="A: int = 1\nRUN_DIR: str = '.'", **about):
    cells = [new_code_cell(parameters, metadata={"tags": ["parameters"]})]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    made = new_notebook(
        cells=cells + [new_code_cell(source) for source in sources],
        metadata={"kernelspec": kernel} | about,
    )
    nbformat.write(made, path)
    return path


def executed(path, *cells):
    """Writes an executed notebook of these cells."""
    nbformat.write(new_notebook(cells=list(cells)), path)
    return path


def executed_cell(source, *outputs, **data):
    """A cell with its outputs; what it displays by kind, as `text_html="..."`."""
    data = {kind.replace("_", "/"): value for kind, value in data.items()}
    display = [new_output("display_data", data=data)] if data else []
    return new_code_cell(source, outputs=[*outputs, *display])
