"""A notebook that is run where other kernels, startup files and modules lie in its way."""

import json
import sys

import nbformat
import pytest
from support.notebooks import notebook

import xraylib
from xraylib.runs import process

ASK = """
import sys, warnings
import random, yaml, xraylib
warnings.warn("one that nobody asked to be an error")
print([sys.executable, xraylib.__file__, "STARTED" in globals(), random.randint(3, 3)])
"""
OTHER_KERNEL = json.dumps(
    {"argv": ["false", "{connection_file}"], "display_name": "x", "language": "python"}
)
STARTUP = "STARTED = True\n"
BROKEN = "raise SystemError('a module in the way')\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variables", "files"),
    [
        ({"JUPYTER_PATH": "."}, {"kernels/python3/kernel.json": OTHER_KERNEL}),
        ({"JUPYTER_DATA_DIR": "."}, {"kernels/python3/kernel.json": OTHER_KERNEL}),
        ({"PYTHONSTARTUP": "startup.py"}, {"startup.py": STARTUP}),
        ({"IPYTHONDIR": "."}, {"profile_default/startup/0.py": STARTUP}),
        (
            {"IPYTHONDIR": "."},
            {"profile_default/ipython_config.py": "c.IPKernelApp.exec_lines = ['STARTED=1']"},
        ),
        ({}, {"random.py": BROKEN, "yaml.py": BROKEN, "papermill.py": BROKEN}),
        ({}, {"xraylib/__init__.py": BROKEN, "tokenize.py": BROKEN}),
        ({"PYTHONWARNINGS": "error", "MPLBACKEND": "none such"}, {}),
        ({"PYTHONIOENCODING": "ascii", "LC_ALL": "C", "TZ": "Nowhere/X"}, {}),
        ({"PYTHONOPTIMIZE": "2", "PYTHONHASHSEED": "7", "HOME": "/dev/null"}, {}),
    ],
    ids=lambda each: " ".join(each),
)
def test_the_kernel_is_this_python_with_this_library_alone(tmp_path, monkeypatch, variables, files):
    path = notebook(tmp_path / "one.ipynb", ASK)
    folder = tmp_path / "folder"
    folder.mkdir()
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    monkeypatch.chdir(folder)
    for name, value in variables.items():
        here = name not in ("LC_ALL", "HOME") and (folder / value).exists()
        monkeypatch.setenv(name, str(folder / value) if here else value)
    output = tmp_path / "copy.ipynb"
    assert process.execute(path, output, {}).error == ""
    *_, printed = [
        out["text"]
        for out in nbformat.read(output, as_version=4).cells[-1].outputs
        if out.get("name") == "stdout"
    ]
    assert printed.strip() == str([sys.executable, xraylib.__file__, False, 3])


@pytest.mark.slow
def test_a_module_of_the_users_own_can_be_imported(tmp_path, monkeypatch):
    path = notebook(tmp_path / "one.ipynb", "import helper_of_mine")
    (tmp_path / "helper_of_mine.py").touch()
    monkeypatch.chdir(tmp_path)
    assert process.execute(path, tmp_path / "copy.ipynb", {}).error == ""
