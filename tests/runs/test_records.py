import errno
import json
import pickle
import subprocess
import sys
import types
import zipfile
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest

from xraylib import files, machine
from xraylib.data.loading import Images
from xraylib.data.preparation import Preparation
from xraylib.errors import RunInProgressError
from xraylib.runs import records
from xraylib.runs.records import Run
from xraylib.runs.stored import PREDICTION_COLUMNS

PARAMETERS = {"SOURCE": "synthetic", "RUN_DIR": "runs", "EPOCHS": 4, "SEED": 7, "WEIGHTS": None}
DATA = Path("data").absolute()  # nothing here opens an image
PATHS = [
    "train/NORMAL/IM-0001-0001.jpeg",
    "train/PNEUMONIA/person9_virus_1.jpeg",
    "test/NORMAL/mine.jpeg",
    "test/PNEUMONIA/person1_virus_1.jpeg",
]
TABLE = pd.DataFrame(
    {
        "path": [DATA / path for path in PATHS],
        "patient": ["IM-1", "virus-9", (DATA / PATHS[2]).as_posix(), "virus-1"],
        "split": ["validation", "validation", "test", "test"],
        "label": [0, 1, 0, 1],
        "subtype": ["", "virus", "", "virus"],
        "sha256": ["0" * 64, "1" * 64, "2" * 64, "3" * 64],
    }
)


def begin(
    folder,
    *,
    step="01_basic_cnn",
    fingerprint="0123456789abcdef",
    table=TABLE,
    model=None,
    **parameters,
):
    unreadable = {"a.jpeg": "a.jpeg is empty"}
    images = Images(table, None, Preparation(8, fit="pad"), fingerprint, unreadable)
    parameters = PARAMETERS | parameters
    return Run(folder, step=step, parameters=parameters, images=images, model=model)


@pytest.fixture(scope="module")
def model():
    inputs = keras.Input((2,), name="pixels")
    return keras.Model(inputs, keras.layers.Dense(1, name="score")(inputs), name="tiny")


@pytest.fixture
def results(model):
    """What a notebook hands to `finish`: epoch 2 is the best, a tie that its loss decides."""
    return {
        "model": model,
        "history": pd.DataFrame(
            {
                "epoch": [1, 1, 2, 2, 3, 3],
                "split": ["train", "validation"] * 3,
                "loss": [0.7, 0.6, 0.5, 0.4, 0.3, 0.5],
                "auc": [0.5, 0.6, 0.8, 0.9, 0.99, 0.9],
                "accuracy": [0.5, 0.6, 0.8, 0.9, 1.0, 0.9],
                "seconds": [1.0, 0.25] * 3,
            }
        ),
        "predictions": TABLE.loc[[0, 2, 3]].assign(score=[0.25, 0.5, 1 / 3]),
        "metrics": pd.DataFrame(
            {
                "split": ["validation", "validation", "test"],
                "rule": ["0.5", "validation", "0.5"],
                "threshold": [0.5, 0.7, 0.5],
                "metric": "AUC",
                "value": [np.nan, np.nan, 2 / 3],
                "low": [np.nan, np.nan, 0.5],
                "high": [np.nan, np.nan, 0.75],
            }
        ),
    }


def names(folder):
    return sorted(path.name for path in folder.iterdir() if path.name != ".lock")


def plant(folder, **more):
    """A record as the shortest that `read` takes."""
    folder.mkdir(parents=True, exist_ok=True)
    record = {
        "step": "01_basic_cnn",
        "parameters": PARAMETERS,
        "fingerprint": "0123456789abcdef",
        "finished": "2026-01-01T00:00:00+00:00",
        "metrics": [
            {
                "split": split,
                "rule": rule,
                "threshold": 0.5,
                "metric": "AUC",
                "value": value,
                "low": value - 0.1,
                "high": value + 0.1,
            }
            for split, rule, value in (
                ("validation", "0.5", 0.75),
                ("validation", "validation", 0.25),
                ("test", "0.5", 0.5),
            )
        ],
    }
    (folder / "record.json").write_text(json.dumps(record | more))
    return folder


# ------------------------------------------------------------------ folders


@pytest.mark.parametrize(
    "other",
    [
        {"SEED": 8},
        {"EPOCHS": 5},
        {"WEIGHTS": "imagenet"},
        {"LIMIT": 0},
        {"step": "02_tuned_cnn"},
        {"fingerprint": "f" * 16},
    ],
)
def test_another_run_lies_beside(tmp_path, other):
    first, second = begin(tmp_path), begin(tmp_path, **other)
    assert first.folder != second.folder
    assert first.folder.parent == second.folder.parent == tmp_path


def test_the_places_make_no_other_run(tmp_path):
    first = begin(tmp_path / "a", SOURCE="kaggle", RUN_DIR="a")
    second = begin(tmp_path / "b", SOURCE="../data", RUN_DIR="b")
    assert first.folder.name == second.folder.name


def test_the_order_of_the_parameters_makes_no_other_run(tmp_path):
    first = begin(tmp_path)
    backwards = dict(reversed(PARAMETERS.items()))
    run = Run(tmp_path, step="01_basic_cnn", parameters=backwards, images=first.images)
    assert run.folder == first.folder


def test_the_folder_of_a_run_stays_the_same_from_version_to_version(tmp_path):
    # Whoever changes this number cuts users off from their unfinished runs.
    assert begin(tmp_path).folder.name == "01_basic_cnn-52e2bcbc"


def test_a_run_has_a_folder_for_its_checkpoint(tmp_path):
    run = begin(tmp_path / "not" / "yet")
    assert run.checkpoint.is_dir()
    assert run.checkpoint.parent == run.folder


def test_home_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert begin("~/runs").folder.parent == tmp_path / "runs"


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(OSError, match=r"cannot make the run's folder .*give another RUN_DIR"):
        begin(tmp_path / "runs")


# ------------------------------------------------------------------ one at a time


def test_a_cell_that_is_run_again_gets_its_run(tmp_path):
    first = begin(tmp_path)
    assert begin(tmp_path).folder == first.folder


@pytest.mark.slow
def test_another_process_at_the_same_run_is_refused_until_it_ends(tmp_path):
    images = Images(TABLE, None, Preparation(8), "0123456789abcdef", {})
    (tmp_path / "images").write_bytes(pickle.dumps(images))
    code = (
        "import pickle, sys; from pathlib import Path; from xraylib.runs.records import Run; "
        f"run = Run({str(tmp_path)!r}, step='01_basic_cnn', parameters={PARAMETERS!r}, "
        f"images=pickle.loads(Path({str(tmp_path / 'images')!r}).read_bytes())); "
        "print(run.folder.name, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        name = other.stdout.readline().strip()
        message = "another process is at the same run in .*: wait for it, stop it, or give another"
        with pytest.raises(RunInProgressError, match=rf"{message} RUN_DIR"):
            begin(tmp_path)
        assert begin(tmp_path, SEED=8)
        other.kill()
    assert begin(tmp_path).folder.name == name


@pytest.mark.slow
def test_a_finished_run_is_free_for_others(tmp_path, results):
    run = begin(tmp_path)
    begin(tmp_path).finish(**results)
    code = (
        f"import filelock; filelock.FileLock({str(run.folder / '.lock')!r}).acquire(blocking=False)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# ------------------------------------------------------------------ finish


LEFT = ["history.csv", "images.csv", "model.keras", "predictions.csv", "record.json"]


def test_finish_leaves_five_files_and_no_checkpoint(tmp_path, results):
    run = begin(tmp_path)
    (run.checkpoint / "last.npz").write_text("x")
    path = run.finish(**results)
    assert path == run.folder / "record.json"
    assert names(run.folder) == LEFT


def test_the_record_says_what_was_run(tmp_path, results):
    path = begin(tmp_path).finish(**results)
    record = json.loads(path.read_text())
    finished = pd.Timestamp(record.pop("finished"))
    assert abs(pd.Timestamp.now("UTC") - finished) < pd.Timedelta(minutes=1)
    assert record == {
        "step": "01_basic_cnn",
        "parameters": PARAMETERS,
        "seed": 7,
        "fingerprint": "0123456789abcdef",
        "preparation": {
            "image_size": 8,
            "resize": "bilinear",
            "fit": "pad",
            "quality": None,
            "depth": None,
        },
        "network": "tiny",
        "weight_count": 3,
        "precision": "float32",
        "epochs": 3,
        "best_epoch": 2,
        "training_seconds": 3.8,
        "device": machine.device(),
        "versions": machine.versions(),
        "counts": [
            # Whose the normal image of test is, its name does not tell.
            {
                "split": split,
                "class": name,
                "images": 1,
                "patients": int((split, name) != ("test", "NORMAL")),
            }
            for split in ("test", "validation")
            for name in ("NORMAL", "PNEUMONIA")
        ],
        "unreadable": 1,
        "metrics": [
            {
                "split": split,
                "rule": rule,
                "threshold": threshold,
                "metric": "AUC",
                "value": value,
                "low": low,
                "high": high,
            }
            for split, rule, threshold, value, low, high in (
                ("validation", "0.5", 0.5, None, None, None),
                ("validation", "validation", 0.7, None, None, None),
                ("test", "0.5", 0.5, 0.666667, 0.5, 0.75),
            )
        ],
        "perturbation_effects": None,
        "swap_effects": None,
        "tree": str(DATA),
        "classes": None,
        "passed_over": None,
        "patients": None,
        "environment": machine.environment(),
    }


def test_paths_are_stored_from_the_data_folder_on(tmp_path, results):
    run = begin(tmp_path)
    run.finish(**results)
    stored = pd.read_csv(run.folder / "predictions.csv")
    assert tuple(stored) == PREDICTION_COLUMNS
    assert stored["path"].tolist() == [PATHS[0], *PATHS[2:]]
    assert stored["patient"].tolist() == ["IM-1", "test/NORMAL/mine.jpeg", "virus-1"]
    assert stored["score"].tolist() == [0.25, 0.5, 1 / 3]


def test_only_the_record_tells_where_the_images_lay(tmp_path, results):
    run = begin(tmp_path)
    run.finish(**results)
    contents = [path.read_bytes() for path in run.folder.iterdir() if path.name != "record.json"]
    with zipfile.ZipFile(run.folder / "model.keras") as archive:
        contents += [archive.read(name) for name in archive.namelist()]
    for place in (DATA, tmp_path):
        assert not any(str(place).encode() in content for content in contents)
    assert str(tmp_path) not in (run.folder / "record.json").read_text()


def test_what_is_handed_over_stays_as_it_was(tmp_path, results):
    before = results["predictions"].copy()
    begin(tmp_path).finish(**results)
    pd.testing.assert_frame_equal(results["predictions"], before)


def test_the_history_can_be_read_back(tmp_path, results):
    run = begin(tmp_path)
    run.finish(**results)
    stored = pd.read_csv(run.folder / "history.csv")
    pd.testing.assert_frame_equal(stored, results["history"])


def test_what_is_no_network_has_no_epochs(tmp_path, results):
    results |= {"model": None, "history": None}
    path = begin(tmp_path, step="00_file_metadata").finish(**results)
    assert names(path.parent) == ["images.csv", "predictions.csv", "record.json"]
    record = one(tmp_path)
    assert (record.network, record.weight_count, record.precision) == (None, None, None)
    assert (record.epochs, record.preparation, record.is_network) == (None, None, False)
    assert record.counts.to_dict("list") == {"split": ["test", "validation"], "images": [2, 1]}


def test_bfloat16_is_told(tmp_path, results):
    inputs = keras.Input((2,))
    outputs = keras.layers.Dense(1, dtype="mixed_bfloat16")(inputs)
    path = begin(tmp_path).finish(**results | {"model": keras.Model(inputs, outputs)})
    assert json.loads(path.read_text())["precision"] == "bfloat16"


@pytest.mark.parametrize("name", LEFT)
def test_what_cannot_be_written_costs_nothing_else(tmp_path, results, monkeypatch, name):
    def whole(path):
        if path.name == name:
            raise OSError(errno.ENOSPC, "No space left on device")
        return to_disk(path)

    run = begin(tmp_path)
    (run.checkpoint / "last.npz").write_text("x")
    to_disk = files.whole
    monkeypatch.setattr(files, "whole", whole)
    with pytest.raises(OSError, match=rf"\({name}: .*No space left .*without training") as error:
        run.finish(**results)
    assert error.value.errno == errno.ENOSPC
    assert names(run.checkpoint) == ["last.npz"]
    # The record is the last, and says that the run is complete.
    left_out = {name, "record.json"}
    assert names(run.folder) == sorted({"checkpoint", *LEFT} - left_out)
    monkeypatch.undo()
    assert begin(tmp_path).finish(**results).exists()


@pytest.mark.parametrize("column", ["path", "patient", "split", "label", "score"])
def test_finish_needs_every_column_and_keeps_what_was_trained(tmp_path, results, column):
    predictions = results["predictions"].drop(columns=column)
    run = begin(tmp_path)
    with pytest.raises(ValueError, match=f"the predictions have no column {column}"):
        run.finish(**results | {"predictions": predictions})
    assert names(run.folder) == ["checkpoint", "history.csv", "images.csv", "model.keras"]


def test_finish_needs_every_score(tmp_path, results):
    predictions = results["predictions"].assign(score=[0.5, np.nan, np.nan])
    with pytest.raises(ValueError, match="2 predictions have no score"):
        begin(tmp_path).finish(**results | {"predictions": predictions})


def test_a_network_that_cannot_be_saved_costs_nothing_else(tmp_path, results):
    def save(path):
        raise NotImplementedError("no such layer")

    odd = types.SimpleNamespace(name="odd", layers=[], count_params=lambda: 3, save=save)
    run = begin(tmp_path)
    with pytest.raises(ValueError, match=r"\(model.keras: no such layer\): what was trained"):
        run.finish(**results | {"model": odd})
    assert names(run.folder) == ["checkpoint", "history.csv", "images.csv", "predictions.csv"]


# ------------------------------------------------------------------ read


def one(folder):
    (record,), problems = records.read(folder)
    assert problems.empty
    return record


def test_read_what_finish_wrote(tmp_path, results):
    effects = pd.DataFrame({"cue": ["shape"], "value": [0.5], "low": [np.nan]})
    run = begin(tmp_path)
    run.finish(**results, swap_effects=effects)
    record = one(run.folder)
    assert (record.folder, record.parameters, record.seed) == (run.folder, PARAMETERS, 7)
    assert (record.network, record.weight_count, record.precision) == ("tiny", 3, "float32")
    assert (record.epochs, record.best_epoch, record.training_seconds) == (3, 2, 3.8)
    assert record.preparation == Preparation(8, fit="pad")
    pd.testing.assert_frame_equal(record.swap_effects, effects)
    assert record.counts["images"].tolist() == [1, 1, 1, 1]
    assert record.tree == str(DATA)
    assert record.images()["sha256"].tolist() == TABLE["sha256"].tolist()
    assert record.images()["path"].tolist() == PATHS
    assert record.unreadable == 1
    pd.testing.assert_frame_equal(record.metrics, results["metrics"], atol=1e-6)
    assert record.perturbation_effects is None


def test_read_sorts_by_step_and_time(tmp_path):
    plant(tmp_path / "a", step="02_tuned_cnn", finished="2026-01-01T00:00:00+00:00")
    plant(tmp_path / "b", step="01_basic_cnn", finished="2026-01-03T00:00:00+00:00")
    plant(tmp_path / "below" / "c", step="01_basic_cnn", finished="2026-01-02T00:00:00+00:00")
    assert [record.folder.name for record in records.read(tmp_path).records] == ["c", "b", "a"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"step": "01', "Unterminated string"),
        ("", "Expecting value"),
        ('{"step": 1, "parameters": 2, "metrics": 3}', "it has no fingerprint, finished"),
        ("[]", "a record is a JSON object, not list"),
        ("3", "a record is a JSON object, not int"),
    ],
)
def test_a_broken_record_is_a_problem_with_its_reason(tmp_path, text, reason):
    plant(tmp_path / "good")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "record.json").write_text(text)
    reading = records.read(tmp_path)
    assert [record.folder.name for record in reading.records] == ["good"]
    (problem,) = reading.problems.to_dict("records")
    assert problem["run"] == "bad" and reason in problem["reason"]


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"parameters": 2}, "its parameters must be dict. Received: '2'"),
        ({"metrics": [{"split": "test"}]}, "its metrics have no rule, threshold, metric"),
        ({"metrics": [3]}, "cannot be read"),
        ({"network": "tiny"}, "neither a preparation nor the parameter IMAGE_SIZE"),
        ({"network": "tiny", "preparation": {"image_size": 0}}, "image_size must be 1 or more"),
        ({"network": "tiny", "preparation": {"size": 8}}, "unexpected keyword argument 'size'"),
        ({"counts": 3}, "its counts must be list. Received: '3'"),
        ({"seed": "zero"}, "its seed must be int. Received: 'zero'"),
    ],
)
def test_what_cannot_be_upgraded_is_a_problem(tmp_path, wrong, reason):
    plant(tmp_path / "bad", **wrong)
    with pytest.raises(ValueError, match=r"no records in .*Left out: bad: its record") as error:
        records.read(tmp_path)
    assert reason in str(error.value)


def test_a_rule_that_this_version_does_not_know_is_a_problem(tmp_path):
    plant(tmp_path / "good")
    stored = json.loads((tmp_path / "good" / "record.json").read_text())
    stored["metrics"][0]["rule"] = "by eye"
    plant(tmp_path / "bad", metrics=stored["metrics"])
    assert "'by eye' is not a valid Rule" in records.read(tmp_path).problems["reason"][0]


def test_a_run_without_a_record_is_not_finished(tmp_path):
    plant(tmp_path / "good")
    begin(tmp_path)
    (problem,) = records.read(tmp_path).problems.to_dict("records")
    assert problem["run"].startswith("01_basic_cnn-") and "not finished" in problem["reason"]


def test_no_records(tmp_path):
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(ValueError, match=r"no records in .*: run notebooks 01 to 04"):
            records.read(folder)


def test_a_record_of_an_earlier_version(tmp_path):
    share = {"cue": "shape", "value": 0.5, "low": None}
    plant(
        tmp_path,
        network="vgg19",
        parameters=PARAMETERS | {"IMAGE_SIZE": 96},
        weights=12,
        shares=[share],
        interventions=[{"intervention": "wider"}],
        unreadable=3,
    )
    record = one(tmp_path)
    assert (record.seed, record.weight_count, record.unreadable) == (7, 12, 3)
    assert record.preparation == Preparation(96)
    assert record.swap_effects["value"].tolist() == [0.5]
    assert record.swap_effects["low"].isna().all() and record.swap_effects["low"].dtype == float
    assert record.perturbation_effects["perturbation"].tolist() == ["wider"]
    assert (record.device, record.counts, dict(record.versions)) == (None, None, {})
    assert (record.tree, record.classes, record.passed_over) == (None, None, None)
    assert record.patients is None and record.images() is None


# ------------------------------------------------------------------ names


@pytest.mark.parametrize(
    ("parameters", "name"),
    [
        ({"IMAGE_SIZE": 224, "SEED": 3}, "00_step, 224 px"),
        ({"SEED": 3, "SOURCE": "kaggle", "RUN_DIR": "runs"}, "00_step"),
        ({"RANDOM_SCALE": 0.35, "EPOCHS": 4}, "00_step, epochs 4, random scale 0.35"),
        ({"EPOCHS": 4, "RANDOM_SCALE": 0.35}, "00_step, epochs 4, random scale 0.35"),
        ({"RANDOM_SCALE": 0.0, "WEIGHTS": None, "LIMIT": 0, "OUTSIDE": ""}, "00_step"),
    ],
)
def test_a_run_is_named_by_its_step_and_what_is_on(tmp_path, parameters, name):
    plant(tmp_path, step="00_step", parameters=parameters)
    assert one(tmp_path).name == name


# ------------------------------------------------------------------ network and predictions


def test_the_network_of_a_record(tmp_path, results):
    begin(tmp_path).finish(**results)
    record = one(tmp_path)
    network = record.load_network()
    np.testing.assert_array_equal(
        network.get_layer("score").kernel, results["model"].get_layer("score").kernel
    )
    assert not network.compiled
    (record.folder / "model.keras").write_bytes(b"no network")
    with pytest.raises(ValueError, match=r"model\.keras cannot be loaded .*: run .* again"):
        record.load_network()
    (record.folder / "model.keras").unlink()
    assert record.load_network() is None


def test_predictions_of_a_run(tmp_path, results):
    begin(tmp_path).finish(**results)
    stored = one(tmp_path).predictions()
    assert tuple(stored) == PREDICTION_COLUMNS
    assert stored["label"].tolist() == [0, 0, 1]
    assert stored["subtype"].tolist() == ["", "", "virus"]


def test_predictions_without_any_subtype(tmp_path, results):
    results["predictions"]["subtype"] = ""
    begin(tmp_path).finish(**results)
    assert one(tmp_path).predictions()["subtype"].tolist() == ["", "", ""]


def test_predictions_keep_what_tells_scores_apart(tmp_path, results):
    # Two numbers next to 1, which fewer digits would make one, and their order a tie.
    results["predictions"]["score"] = [0.25, 1 - 1e-15, 1 - 2e-15]
    begin(tmp_path).finish(**results)
    scores = one(tmp_path).predictions()["score"]
    assert scores[1] > scores[2]


def test_predictions_of_an_earlier_version_get_their_subtype_from_the_file_name(tmp_path):
    plant(tmp_path)
    (tmp_path / "predictions.csv").write_text(
        "path,patient,split,label,score\n"
        "test/NORMAL/IM-0001-0001.jpeg,IM-1,test,0,0.5\n"
        "test/PNEUMONIA/person1_bacteria_1.jpeg,bacteria-1,test,1,0.5\n"
    )
    assert one(tmp_path).predictions()["subtype"].tolist() == ["", "bacteria"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "predictions.csv cannot be read .*run 01_basic_cnn again"),
        ("", "cannot be read"),
        ("path,patient,split,label\na,b,test,0\n", "the predictions have no column score"),
        ("path,label,score\na,0,0.5\n", "the predictions have no column patient, split"),
        ("path,patient,split,label,score\na,b,test,0,\n", "1 predictions have no score"),
    ],
)
def test_predictions_that_are_gone_or_broken(tmp_path, text, message):
    plant(tmp_path)
    if text is not None:
        (tmp_path / "predictions.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        one(tmp_path).predictions()
