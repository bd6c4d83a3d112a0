import pytest
from support.notebooks import notebook as notebook_file

from xraylib.errors import NotebookError, ParameterError
from xraylib.runs.parameters import check, literal, names_in, read_yaml, refuse_unknown


def notebook(injected=None, **values):
    """A notebook's `globals()`: its parameters cell, and what papermill puts in after it."""
    namespace = {
        "__annotations__": {
            "SOURCE": str,
            "WEIGHTS": str | None,
            "EPOCHS": int,
            "LEARNING_RATE": float,
            "CHART": bool,
            "path": str,
            "MISSING": int,
        },
        "SOURCE": "synthetic",
        "WEIGHTS": None,
        "EPOCHS": 10,
        "LEARNING_RATE": 1e-3,
        "CHART": False,
        "path": "lower case is no parameter",
        "SIZES": "not annotated",
        "In": ["", "import xraylib", "SOURCE: str = 'synthetic'"],
    }
    if injected is not None:
        namespace["In"].append(f"# Parameters\n{injected}\n")
        exec(injected, namespace)
    return namespace | values


def test_the_annotated_names_in_their_order():
    assert list(check(notebook()).items()) == [
        ("SOURCE", "synthetic"),
        ("WEIGHTS", None),
        ("EPOCHS", 10),
        ("LEARNING_RATE", 0.001),
        ("CHART", False),
    ]


def test_a_notebook_without_parameters():
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
        ("ZOOM = 3", "unknown parameter ZOOM"),
        ("SIZES = 'an assigned name that is no parameter'", "unknown parameter SIZES"),
        (
            "EPOCHS = 3\nZOOM = 3\nLEARNINGRATE = 1.0",
            r"unknown parameter ZOOM, LEARNINGRATE \(do you mean LEARNING_RATE\?\)",
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
        ("EPOCHS", 3.0, r"EPOCHS must be int. Received: 3.0 \(float\)"),
        ("EPOCHS", None, r"EPOCHS must be int. Received: None \(NoneType\)"),
        ("LEARNING_RATE", "1e-3", r"LEARNING_RATE must be float. Received: '1e-3' \(str\)"),
        ("LEARNING_RATE", True, r"LEARNING_RATE must be float. Received: True \(bool\)"),
        ("SOURCE", 3, r"SOURCE must be str. Received: 3 \(int\)"),
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
        (str | None, None, None),
        (str | None, "imagenet", "imagenet"),
        (bool, True, True),
    ],
)
def test_a_value_of_its_type_passes_and_a_whole_number_may_be_a_float(kind, value, checked):
    result = check({"__annotations__": {"NAME": kind}, "NAME": value})["NAME"]
    assert (result, type(result)) == (checked, type(checked))


# ------------------------------------------------------------------ refuse_unknown


def test_known_names_pass():
    assert refuse_unknown(["EPOCHS"], ["SEED", "EPOCHS"]) is None
    assert refuse_unknown([], ["SEED"]) is None


def test_an_unknown_name_is_told_with_the_nearest():
    said = r"^unknown parameter SEDE \(do you mean SEED\?\): there are EPOCHS, SEED$"
    with pytest.raises(ParameterError, match=said):
        refuse_unknown(["SEDE"], iter(["EPOCHS", "SEED"]))


def test_the_error_is_a_value_error():
    with pytest.raises(ValueError, match="unknown parameter ZOOM: there are SEED"):
        refuse_unknown(["ZOOM"], ["SEED"])


# ------------------------------------------------------------------ literal


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("1e-3", 0.001),
        ("True", True),
        ("None", None),
        ("'3'", "3"),
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


@pytest.mark.parametrize("text", ["- a\n- b\n", "just words", "a: [unclosed", "a: \x00"])
def test_a_file_of_something_else(text, tmp_path):
    path = tmp_path / "p.yaml"
    path.write_text(text)
    with pytest.raises(NotebookError, match=r"p\.yaml") as caught:
        read_yaml(path)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_text_and_a_missing_one(tmp_path):
    path = tmp_path / "p.yaml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(NotebookError, match=r"cannot read the parameters in .*: 'utf-8' codec"):
        read_yaml(path)
    with pytest.raises(NotebookError, match=r"cannot read the parameters in .*: No such file"):
        read_yaml(tmp_path / "no.yaml")


# ------------------------------------------------------------------ names_in


def test_the_names_in_a_notebook(tmp_path):
    path = notebook_file(tmp_path / "one.ipynb", parameters="B: int = 1  # more\nA: str = ''\n")
    assert names_in(path) == ["B", "A"]
