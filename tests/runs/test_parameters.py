import pytest
from support.notebooks import notebook as notebook_file

from xraylib.errors import NotebookError, ParameterError
from xraylib.runs.parameters import check, read_yaml, refuse_unknown, typed, types_in

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
        ("EPOCHS", "3 epochs", r"EPOCHS must be int. Received: '3 epochs' \(str\)"),
        ("EPOCHS", "1e3", r"EPOCHS must be int. Received: '1e3' \(str\)"),
        ("EPOCHS", "", r"EPOCHS must be int. Received: '' \(str\)"),
        ("EPOCHS", 2.0, r"EPOCHS must be int. Received: 2.0 \(float\)"),
        ("EPOCHS", True, r"EPOCHS must be int. Received: True \(bool\)"),
        ("LEARNING_RATE", "fast", r"LEARNING_RATE must be float. Received: 'fast' \(str\)"),
        ("LEARNING_RATE", "nan", r"LEARNING_RATE must be float. Received: 'nan' \(str\)"),
        ("LEARNING_RATE", True, r"LEARNING_RATE must be float. Received: True \(bool\)"),
        ("SOURCE", None, r"SOURCE must be str. Received: None \(NoneType\)"),
        ("SOURCE", True, r"SOURCE must be str: put it in quotes. Received: True \(bool\)"),
        ("SOURCE", 1.1, r"SOURCE must be str: put it in quotes. Received: 1.1 \(float\)"),
        ("SOURCE", ["a"], r"SOURCE must be str: put it in quotes. Received: \['a'\] \(list\)"),
        ("WEIGHTS", 0.5, r"WEIGHTS must be str \| None: put it in quotes. Received: 0.5"),
        ("CHART", "maybe", r"CHART must be bool. Received: 'maybe' \(str\)"),
        ("CHART", 1, r"CHART must be bool. Received: 1 \(int\)"),
    ],
)
def test_another_type_is_refused(name, value, said):
    with pytest.raises(ParameterError, match=said):
        check(notebook(**{name: value}))


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (float, 1, 1.0),
        (float, "1e-3", 0.001),
        (float, "1E-3", 0.001),
        (float, ".001", 0.001),
        (float, "2", 2.0),
        (float | None, 1, 1.0),
        (int, "1_000", 1000),
        (int, " 8 ", 8),
        (int, "007", 7),
        (int | None, "none", None),
        (int | float, 1, 1),
        (int | float, "1.5", 1.5),
        (bool, "yes", True),
        (bool, "On", True),
        (bool, "false", False),
        (str, 2024, "2024"),
        (str, "2024", "2024"),
        (str, "yes", "yes"),
        (str, "", ""),
        (str | None, "imagenet", "imagenet"),
        (object, True, True),
    ],
)
def test_the_annotation_says_what_a_value_is(kind, value, expected):
    result = typed("NAME", value, kind)
    assert (result, type(result)) == (expected, type(expected))


def test_the_cells_after_the_check_see_what_it_returns():
    namespace = notebook("LEARNING_RATE = '1e-3'\nSOURCE = 2024")
    assert check(namespace)["LEARNING_RATE"] == namespace["LEARNING_RATE"] == 0.001
    assert namespace["SOURCE"] == "2024"


# ------------------------------------------------------------------ refuse_unknown


def test_known_names_pass():
    assert refuse_unknown(["EPOCHS"], iter(["SEED", "EPOCHS"])) is None


def test_an_unknown_name_is_told_with_the_nearest():
    said = r"^unknown parameter SEDE \(do you mean SEED\?\): there are EPOCHS, SEED$"
    with pytest.raises(ParameterError, match=said):
        refuse_unknown(["SEDE"], iter(["EPOCHS", "SEED"]))


# ------------------------------------------------------------------ read_yaml


def test_a_file_of_parameters(tmp_path):
    path = tmp_path / "p.yaml"
    path.write_text(
        "SOURCE: 2024\nEPOCHS: 3\nLEARNING_RATE: 1e-3\nCHART: yes\nWEIGHTS: '007'\nLIMIT:\n"
    )
    assert read_yaml(path) == {
        "SOURCE": "2024",
        "EPOCHS": "3",
        "LEARNING_RATE": "1e-3",
        "CHART": "yes",
        "WEIGHTS": "007",
        "LIMIT": None,
    }
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


# ------------------------------------------------------------------ types_in


def test_the_names_and_types_in_a_notebook(tmp_path):
    cell = "B: int = 1  # more\nA: str = ''\nC: list = []\nD = 2\n"
    path = notebook_file(tmp_path / "one.ipynb", parameters=cell)
    assert types_in(path) == {"B": int, "A": str, "C": object, "D": object}
    assert list(types_in(path)) == ["B", "A", "C", "D"]
