"""Tiny notebooks to be executed."""

import nbformat
from nbformat.v4 import new_code_cell, new_notebook


def notebook(path, *sources, parameters="A: int = 1\nRUN_DIR: str = '.'"):
    cells = [new_code_cell(parameters, metadata={"tags": ["parameters"]})]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    made = new_notebook(
        cells=cells + [new_code_cell(source) for source in sources],
        metadata={"kernelspec": kernel},
    )
    nbformat.write(made, path)
    return path
