"""Every notebook keeps the house's rules and runs headless on tiny data."""

import difflib
import itertools
import json
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pandas as pd
import pytest
import yaml
from PIL import Image
from support import packed
from support.networks import mean_network

from xraylib.data import loading
from xraylib.data.preparation import Preparation
from xraylib.data.words import CLASSES
from xraylib.evaluation import thresholds
from xraylib.explain import swaps
from xraylib.networks import scoring
from xraylib.report import plots, publish
from xraylib.runs import execution, parameters, records
from xraylib.synthetic import dataset

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
STEPS = [path for path in NOTEBOOKS if path.stem[:2] in ("01", "02", "03", "04")]
COMPARISON, OWN = (ROOT / f"notebooks/{name}.ipynb" for name in ("05_comparison", "08_your_xrays"))
PARAMETERS = sorted((ROOT / "notebooks/parameters").glob("*.yaml"))
BASELINES = ["00_file_metadata", "00_pixel_statistics"]
TINY = {"IMAGE_SIZE": 32, "BATCH_SIZE": 16, "EPOCHS": 1, "LIMIT": 8}

every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
two_steps = pytest.mark.parametrize(("first", "second"), list(itertools.pairwise(STEPS)))


def cells(path, kind="code"):
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == kind]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    return dataset.make_tree(folder / "tree", images=96, size=48) / "chest_xray"


@pytest.fixture(scope="module")
def executed(made, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs")
    done = execution.run_notebooks(NOTEBOOKS, out=out, parameters={"SOURCE": str(made), **TINY})
    assert done["status"].tolist() == ["done"] * len(NOTEBOOKS), done["error"].tolist()
    return out


def test_the_series_is_complete():
    assert [path.stem for path in NOTEBOOKS] == [
        "00_data",
        "01_basic_cnn",
        "02_tuned_cnn",
        "03_vgg19",
        "04_resnet50",
        "05_comparison",
        "07_classifier",
        "08_your_xrays",
    ]


@every_notebook
def test_is_stored_clean_and_short(path):
    assert sum("parameters" in cell.metadata.get("tags", []) for cell in cells(path)) == 1
    for cell in cells(path):
        assert not cell.outputs and cell.execution_count is None
        assert not re.search(r"^\s*(def |class |!|%)", cell.source, re.MULTILINE), cell.source
        assert cell.source.count("\n") < 15, cell.source


@every_notebook
def test_shares_its_parameters_with_the_others(path):
    names = list(parameters.types_in(path))
    shared = list(parameters.types_in(NOTEBOOKS[0]))
    extra = {path.stem[:2]: ["RANDOM_SCALE"] for path in STEPS}
    extra |= {number: ["RANDOM_SCALE", "WEIGHTS"] for number in ("03", "04")}
    extra |= {"05": ["PREVALENCE", "OUTSIDE"], "08": ["FILES", "CLASSIFIER"]}
    assert names == shared + extra.get(path.stem[:2], [])


@two_steps
def test_the_code_of_two_steps_differs_only_in_what_the_step_changes(first, second):
    changed = [
        line[2:].strip()
        for old, new in zip(cells(first), cells(second), strict=True)
        for line in difflib.ndiff(old.source.splitlines(), new.source.splitlines())
        if line[0] in "+-"
    ]
    allowed = (
        r"(model = |run = |IMAGE_SIZE|BATCH_SIZE|EPOCHS|LEARNING_RATE|WEIGHTS|SEED"
        r"|from xraylib.networks import|if WEIGHTS:|transfer\.freeze|fit = |history = )"
    )
    assert all(re.match(allowed, line) for line in changed), changed


@two_steps
def test_the_prose_of_two_steps_differs_only_where_the_step_is_told(first, second):
    pairs = list(zip(cells(first, "markdown"), cells(second, "markdown"), strict=True))
    changed = [new.source.partition("\n")[0] for old, new in pairs if old.source != new.source]
    title, history, *sections = changed
    assert title.startswith("# ") and history.startswith("**What the original author did.**")
    assert set(sections) <= {"## Parameters", "## Model", "## Training", "## What was learned"}


@pytest.mark.parametrize("path", PARAMETERS, ids=lambda path: path.stem)
def test_a_file_of_parameters_names_only_what_every_notebook_knows(path):
    names = set(yaml.safe_load(path.read_text(encoding="utf-8")))
    assert all(names <= set(parameters.types_in(notebook)) for notebook in NOTEBOOKS)


def test_the_originals_sizes_are_the_defaults():
    sizes = {
        path.stem[3:]: re.search(r"IMAGE_SIZE: int = (\d+)", cells(path)[1].source)[1]
        for path in STEPS
    }
    assert sizes == {"basic_cnn": "256", "tuned_cnn": "400", "vgg19": "400", "resnet50": "400"}


@pytest.mark.slow
def test_every_step_leaves_its_record(executed):
    steps = records.read(executed).records
    trained = [*(path.stem for path in STEPS), "07_classifier"]
    assert [record.step for record in steps] == [*BASELINES, *trained]
    networks = ["basic_cnn", "tuned_cnn", "vgg19", "resnet50", "efficientnet_lite0"]
    assert [record.network for record in steps] == [None, None, *networks]
    assert len({record.fingerprint for record in steps}) == 1
    baseline = steps[0].predictions().query("split == 'test'")
    for record in steps[len(BASELINES) :]:
        assert set(record.perturbation_effects["cue"]) >= {"shape", "compression"}
        assert set(record.swap_effects["cue"]) >= {"shape", "compression"}
        assert record.parameters["IMAGE_SIZE"] == TINY["IMAGE_SIZE"]
        predictions = record.predictions()
        # Two splits of two classes, LIMIT images each where there are so many.
        counts = record.counts.set_index(["split", "class"])["images"]
        assert len(predictions) == counts.drop("train").sum()
        assert set(predictions.query("split == 'test'")["path"]) == set(baseline["path"])
        assert (record.folder / "model.keras").is_file()
        assert not (record.folder / "checkpoint").exists()


@pytest.mark.slow
def test_the_series_ends_with_a_comparison_and_a_page(executed):
    text = json.dumps(nbformat.read(executed / "05_comparison.ipynb", as_version=4))
    assert all(f"- **{path.stem}, 32 px**: AUC" in text for path in STEPS)
    assert all(f"- **{name}**: AUC" in text for name in BASELINES)
    page = publish.publish(executed)
    assert page == executed / "report.html"
    assert "03_vgg19, 32 px" in page.read_text(encoding="utf-8")
    assert (executed / "report-notebooks" / "00_data.html").is_file()


@pytest.mark.slow
def test_the_comparison_scores_a_folder_from_outside(executed, made, tmp_path):
    values = {"SOURCE": str(made), "RUN_DIR": str(executed), "OUTSIDE": str(made / "test")}
    done = execution.run_notebooks([COMPARISON], out=tmp_path, parameters=values)
    assert done["status"].tolist() == ["done"], done["error"].tolist()
    (cell,) = [
        cell for cell in cells(tmp_path / "05_comparison.ipynb") if "(OUTSIDE" in cell.source
    ]
    (table,) = [output for output in cell.outputs if "text/html" in output.get("data", {})]
    assert all(f"{path.stem}, 32 px" in table["data"]["text/html"] for path in STEPS)


@pytest.mark.slow
def test_an_outside_image_is_prepared_as_those_of_training_were(tmp_path):
    rows = []
    for split, label in itertools.product(("validation", "test"), (0, 1)):
        path = tmp_path / "data" / split / CLASSES[label] / f"{label}.png"
        path.parent.mkdir(parents=True)
        Image.new("L", (40, 20), 255 if split == "test" else label).save(path)
        rows.append({"path": path, "patient": f"{split} {label}", "split": split, "label": label})
    predictions = pd.DataFrame(rows).assign(score=0.5)
    images = loading.decode(predictions, Preparation(8, fit="pad"))
    records.Run(tmp_path / "runs", step="01", parameters={"SEED": 0}, images=images).finish(
        predictions=predictions,
        metrics=thresholds.summary(predictions, resamples=0),
        model=mean_network(),
    )
    needed = ("import ", "runs = selection", "(OUTSIDE")
    sources = [cell.source for cell in cells(COMPARISON)]
    sources = [source for source in sources if any(word in source for word in needed)]
    names = {"RUN_DIR": str(tmp_path / "runs"), "OUTSIDE": str(tmp_path / "data" / "test")}
    names |= {"BATCH_SIZE": 2, "SEED": 0, "POSITIVE": ""}
    exec("\n".join(sources), names)
    # Half of the padded square is white: a logit of .5, and 1 / (1 + exp(-.5)).
    ((scored,),) = names["elsewhere"].values()
    assert scored["score"].tolist() == pytest.approx([0.622459] * 2, abs=1e-6)


def printed(path):
    """What an executed notebook shows, as text."""
    outputs = [output for cell in cells(path) for output in cell.outputs]
    data = [output.get("data", {}) for output in outputs]
    kinds = ("text/html", "text/markdown")
    parts = [output.get("text", "") for output in outputs]
    return "\n".join(parts + [each.get(kind, "") for each in data for kind in kinds])


@pytest.mark.slow
def test_your_own_files_are_classified_shown_and_judged(made, tmp_path):
    pytest.importorskip("tf2onnx", reason="the extra `export` is not installed")
    chosen = packed.copied(tmp_path / "classifier")
    folder = tmp_path / "$mine$ <b>"
    folder.mkdir()
    films = sorted((made / "test").rglob("*.jpeg"))
    for number, path in enumerate((films[0], films[-1])):
        (folder / f"$a_{number} <i>.jpeg").write_bytes(path.read_bytes())
    (folder / "broken.png").write_bytes(b"no image")
    (folder / "notes.txt").write_text("not asked about")
    values = {"CLASSIFIER": str(chosen), "FILES": str(folder)}
    done = execution.run_notebooks([OWN], out=tmp_path, parameters=values)
    assert done["status"].tolist() == ["done"], done["error"].tolist()
    text = printed(tmp_path / OWN.name)
    assert "tiny 1. For education; not a medical device." in text
    assert "&lt;i&gt;.jpeg" in text and "broken.png" in text and "notes.txt" not in text
    assert "16 maps miss the shadow" in text
    assert "Of 3 files: " in text and "1 not read" in text
    assert "Of 7 pictures that are no such film it referred" in text
    assert "a colour picture" in text and "inverted" in text


@pytest.mark.slow
@pytest.mark.parametrize("files", ["", "no/such/file.png", "."])
def test_your_own_files_without_a_classifier_are_one_line(tmp_path, files):
    nowhere = tmp_path / "nowhere"
    values = {"CLASSIFIER": str(nowhere), "FILES": files and str(tmp_path / files)}
    done = execution.run_notebooks([OWN], out=tmp_path / "out", parameters=values)
    assert done["status"].tolist() == ["done"], done["error"].tolist()
    text = printed(tmp_path / "out" / OWN.name)
    assert "Without a classifier nothing is classified below: " in text
    assert "maps miss" not in text


@pytest.mark.slow
def test_what_fails_after_the_training_costs_no_training(made, tmp_path, monkeypatch, caplog):
    imports, defaults, *rest = [cell.source for cell in cells(STEPS[0])]
    source = "\n".join([imports, defaults, "globals().update(VALUES)", "del VALUES", *rest])
    values = {"SOURCE": str(made), "RUN_DIR": str(tmp_path / "runs"), **TINY}
    for module, name in ((scoring, "predictions"), (swaps, "effects"), (plots, "swaps")):
        with monkeypatch.context() as patch:
            patch.delattr(module, name)
            with pytest.raises(AttributeError, match=name):
                exec(source, {"VALUES": values})
    caplog.clear()
    exec(source, {"VALUES": values})
    assert "resumed after epoch 1" in caplog.text and "epoch 1/1: train" not in caplog.text
    (record,) = records.read(tmp_path / "runs").records
    assert record.epochs == 1 and not (record.folder / "checkpoint").exists()


@pytest.mark.slow
def test_plain_papermill_runs_from_another_folder_with_the_readmes_command(made, tmp_path):
    ran = papermill(tmp_path, "-p", "SOURCE", str(made), "-p", "EPOCHS", "1", "-p", "LIMIT", "8")
    assert ran.returncode == 0, ran.stderr
    assert [record.step for record in records.read(tmp_path / "runs").records] == ["01_basic_cnn"]


@pytest.mark.slow
def test_plain_papermill_refuses_an_unknown_parameter_and_a_missing_folder(tmp_path):
    ran = papermill(tmp_path, "-p", "LERNING_RATE", "1")
    assert ran.returncode == 1
    assert "unknown parameter LERNING_RATE (do you mean LEARNING_RATE?)" in ran.stderr
    assert "SOURCE, POSITIVE, PATIENTS, RUN_DIR, IMAGE_SIZE" in ran.stderr
    ran = papermill(tmp_path, "-p", "SOURCE", "no/such/folder")
    assert ran.returncode == 1
    assert "DataSourceError: the folder" in ran.stderr and "does not exist" in ran.stderr


def papermill(folder, *arguments):
    command = [sys.executable, "-m", "papermill", str(ROOT / "notebooks/01_basic_cnn.ipynb")]
    command += ["out.ipynb", "-k", "python3", "-p", "IMAGE_SIZE", "32", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
