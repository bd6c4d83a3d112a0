import pytest
from support.notebooks import notebook as notebook_file

from xraylib.errors import NotebookError, ParameterError
from xraylib.runs.parameters import check, literal, names_in, read_yaml, refuse_unknown

ANNOTATIONS = {
    "SOURCE": str,
    "WEIGHTS": str | None,
    "EPOCHS": int,
    "LEARNING_RATE": float,
    "CHART": bool,
    "path": str,
    "MISSING": int,
}
VALUES = {
    "SOURCE": "synthetic",
    "WEIGHTS": None,
    "EPOCHS": 10,
    "LEARNING_RATE": 1e-3,
    "CHART": False,
}


def notebook(injected=None, **values):
    """A notebook's `globals()`: its parameters cell, and what papermill puts in after it."""
    namespace = VALUES | {"path": "no parameter", "SIZES": "not annotated"}
    namespace |= {"__annotations__": ANNOTATIONS, "In": ["", "SOURCE: str = 'synthetic'"]}
    if injected is not None:
        namespace["In"].append(f"# Parameters\n{injected}\n")
        exec(injected, namespace)
    return namespace | values


def test_the_annotated_names_in_their_order():
    assert list(check(notebook()).items()) == list(VALUES.items())
    assert check({}) == {}


def test_what_papermill_puts_in_counts():
    values = check(notebook("EPOCHS = 3\nSOURCE = 'kaggle'"))
    assert (values["EPOCHS"], values["SOURCE"]) == (3, "kaggle")


def test_in_jupyterlab_other_cells_may_assign_what_they_like():
    namespace = notebook()
    namespace["In"] += ["EPOCH = 3", "# Parameters of the network\nDEPTH = 4"]
    assert check(namespace)["EPOCHS"] == 10


@pytest.mark.parametrize(
    ("injected", "said"),
    [
        ("EPOCH = 3", r"unknown parameter EPOCH \(do you mean EPOCHS\?\)"),
        ("epochs = 3", r"unknown parameter epochs \(do you mean EPOCHS\?\)"),
        ("path = 'x'", "unknown parameter path"),
        ("SIZES = 'an assigned name that is no parameter'", "unknown parameter SIZES"),
        (
            "EPOCHS = 3\nZOOM = 3\nEPOCH = 1",
            r"unknown parameter ZOOM, EPOCH \(do you mean EPOCHS\?\)",
        ),
    ],
)
def test_an_unknown_name_is_refused_with_those_there_are(injected, said):
    known = "there are SOURCE, WEIGHTS, EPOCHS, LEARNING_RATE, CHART$"
    with pytest.raises(ParameterError, match=f"^{said}: {known}"):
        check(notebook(injected))


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("EPOCHS", "3", r"EPOCHS must be int. Received: '3' \(str\)"),
        ("EPOCHS", True, r"EPOCHS must be int. Received: True \(bool\)"),
        ("LEARNING_RATE", "1e-3", r"LEARNING_RATE must be float. Received: '1e-3' \(str\)"),
        ("SOURCE", None, r"SOURCE must be str. Received: None \(NoneType\)"),
        ("WEIGHTS", 3, r"WEIGHTS must be str \| None. Received: 3 \(int\)"),
        ("CHART", 1, r"CHART must be bool. Received: 1 \(int\)"),
    ],
)
def test_another_type_is_refused(name, value, said):
    with pytest.raises(ParameterError, match=said):
        check(notebook(**{name: value}))


@pytest.mark.parametrize(
    ("kind", "value", "checked"),
    [
        (float, 1, 1.0),
        (float | None, 1, 1.0),
        (int | float, 1, 1),
        (str | None, "imagenet", "imagenet"),
    ],
)
def test_a_value_of_its_type_passes_and_a_whole_number_may_be_a_float(kind, value, checked):
    result = check({"__annotations__": {"NAME": kind}, "NAME": value})["NAME"]
    assert (result, type(result)) == (checked, type(checked))


# ------------------------------------------------------------------ refuse_unknown


def test_known_names_pass():
    assert refuse_unknown(["EPOCHS"], iter(["SEED", "EPOCHS"])) is None


def test_an_unknown_name_is_told_with_the_nearest():
    said = r"^unknown parameter SEDE \(do you mean SEED\?\): there are EPOCHS, SEED$"
    with pytest.raises(ParameterError, match=said):
        refuse_unknown(["SEDE"], iter(["EPOCHS", "SEED"]))


# ------------------------------------------------------------------ literal


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("1e-3", 0.001),
        ("None", None),
        ("kaggle", "kaggle"),
        ("../data/chest x ray", "../data/chest x ray"),
        ("", ""),
    ],
)
def test_what_is_typed_on_a_command_line(text, value):
    meant = literal(text)
    assert (meant, type(meant)) == (value, type(value))


# ------------------------------------------------------------------ read_yaml


def test_a_file_of_parameters(tmp_path):
    path = tmp_path / "p.yaml"
    path.write_text("SOURCE: synthetic\nEPOCHS: 3\n")
    assert read_yaml(path) == {"SOURCE": "synthetic", "EPOCHS": 3}
    path.write_text("# nothing\n")
    assert read_yaml(path) == {}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"- a\n- b\n", r"p\.yaml must hold lines like NAME: value. Received: \['a', 'b'\]$"),
        (b"just words", r"p\.yaml must hold lines like NAME: value. Received: 'just words'$"),
        (b"a: [unclosed", r"^cannot read the parameters in .*p\.yaml: while parsing"),
        (b"a: \x00", r"^cannot read the parameters in .*p\.yaml: unacceptable character"),
        (b"\xff\xfe", r"^cannot read the parameters in .*p\.yaml: 'utf-8' codec"),
        (None, r"^cannot read the parameters in .*p\.yaml: No such file"),
    ],
)
def test_a_file_of_something_else(content, said, tmp_path):
    path = tmp_path / "p.yaml"
    if content:
        path.write_bytes(content)
    with pytest.raises(NotebookError, match=said) as caught:
        read_yaml(path)
    assert "\n" not in str(caught.value)


# ------------------------------------------------------------------ names_in


def test_the_names_in_a_notebook(tmp_path):
    path = notebook_file(tmp_path / "one.ipynb", parameters="B: int = 1  # more\nA: str = ''\n")
    assert names_in(path) == ["B", "A"]
