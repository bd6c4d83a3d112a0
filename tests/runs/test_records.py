import errno
import json
import re
import subprocess
import sys
import zipfile

import keras
import numpy as np
import pandas as pd
import pytest

from xraylib import machine
from xraylib.data.preparation import Preparation
from xraylib.errors import RunInProgressError
from xraylib.runs import records, selection
from xraylib.runs.records import PREDICTION_COLUMNS, Run

PARAMETERS = {"SOURCE": "synthetic", "RUN_DIR": "runs", "EPOCHS": 4, "SEED": 7, "WEIGHTS": None}


def begin(folder, *, step="01_basic_cnn", fingerprint="0123456789abcdef", **parameters):
    return Run(folder, step=step, parameters=PARAMETERS | parameters, fingerprint=fingerprint)


@pytest.fixture(scope="module")
def model():
    inputs = keras.Input((2,), name="pixels")
    return keras.Model(inputs, keras.layers.Dense(1, name="score")(inputs), name="tiny")


@pytest.fixture
def results(model, tmp_path):
    """What a notebook hands to `finish`: epoch 2 is the best, a tie that its loss decides."""
    data = tmp_path / "data"
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
        "predictions": pd.DataFrame(
            {
                "path": [
                    data / "train/NORMAL/IM-0001-0001.jpeg",
                    data / "test/NORMAL/mine.jpeg",
                    data / "test/PNEUMONIA/person1_virus_1.jpeg",
                ],
                "patient": ["IM-1", (data / "test/NORMAL/mine.jpeg").as_posix(), "virus-1"],
                "split": ["validation", "test", "test"],
                "label": [0, 0, 1],
                "score": [0.25, 0.5, 1 / 3],
                "subtype": ["", "", "virus"],
            }
        ),
        "preparation": Preparation(8, fit="pad"),
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
    folder.mkdir(parents=True)
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
    backwards = dict(reversed(PARAMETERS.items()))
    run = Run(tmp_path, step="01_basic_cnn", parameters=backwards, fingerprint="0123456789abcdef")
    assert run.folder == begin(tmp_path).folder


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


def test_another_process_at_the_same_run_is_refused_until_it_ends(tmp_path):
    code = (
        "import sys; from xraylib.runs.records import Run; "
        f"run = Run({str(tmp_path)!r}, step='01_basic_cnn', parameters={PARAMETERS!r}, "
        "fingerprint='0123456789abcdef'); print(run.folder.name, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        name = other.stdout.readline().strip()
        said = "another process is at the same run in .*: wait for it, stop it, or give another"
        with pytest.raises(RunInProgressError, match=rf"{said} RUN_DIR"):
            begin(tmp_path)
        assert begin(tmp_path, SEED=8)
        other.kill()
    assert begin(tmp_path).folder.name == name


def test_a_finished_run_is_free_for_others(tmp_path, results):
    run = begin(tmp_path)
    begin(tmp_path).finish(**results)
    code = (
        f"import filelock; filelock.FileLock({str(run.folder / '.lock')!r}).acquire(blocking=False)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# ------------------------------------------------------------------ finish


def test_finish_leaves_four_files_and_no_checkpoint(tmp_path, results):
    run = begin(tmp_path)
    (run.checkpoint / "last.npz").write_text("x")
    path = run.finish(**results)
    assert path == run.folder / "record.json"
    assert names(run.folder) == ["history.csv", "model.keras", "predictions.csv", "record.json"]


def test_the_record_says_what_was_run(tmp_path, results):
    path = begin(tmp_path).finish(**results, counts=[{"split": "test", "images": 2}])
    record = json.loads(path.read_text())
    finished = pd.Timestamp(record.pop("finished"))
    assert abs(pd.Timestamp.now("UTC") - finished) < pd.Timedelta(minutes=1)
    assert record == {
        "step": "01_basic_cnn",
        "parameters": PARAMETERS,
        "seed": 7,
        "fingerprint": "0123456789abcdef",
        "preparation": {"image_size": 8, "resize": "bilinear", "fit": "pad", "quality": None},
        "network": "tiny",
        "weights": 3,
        "precision": "float32",
        "epochs": 3,
        "best_epoch": 2,
        "training_seconds": 3.8,
        "device": machine.device(),
        "versions": machine.versions(),
        "counts": [{"split": "test", "images": 2}],
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
    }


def test_paths_are_stored_from_the_data_folder_on(tmp_path, results):
    run = begin(tmp_path)
    run.finish(**results)
    stored = pd.read_csv(run.folder / "predictions.csv")
    assert tuple(stored) == PREDICTION_COLUMNS
    assert stored["path"].tolist() == [
        "train/NORMAL/IM-0001-0001.jpeg",
        "test/NORMAL/mine.jpeg",
        "test/PNEUMONIA/person1_virus_1.jpeg",
    ]
    assert stored["patient"].tolist() == ["IM-1", "test/NORMAL/mine.jpeg", "virus-1"]
    assert stored["score"].tolist() == [0.25, 0.5, 1 / 3]


def test_no_file_tells_where_it_was_made(tmp_path, results):
    run = begin(tmp_path)
    run.finish(**results)
    contents = [path.read_bytes() for path in run.folder.iterdir()]
    with zipfile.ZipFile(run.folder / "model.keras") as archive:
        contents += [archive.read(name) for name in archive.namelist()]
    assert not any(str(tmp_path).encode() in content for content in contents)


def test_what_is_handed_over_stays_as_it_was(tmp_path, results):
    before = results["predictions"].copy()
    begin(tmp_path).finish(**results)
    pd.testing.assert_frame_equal(results["predictions"], before)


def test_history_and_model_can_be_read_back(tmp_path, results):
    run = begin(tmp_path)
    run.finish(**results)
    stored = pd.read_csv(run.folder / "history.csv")
    pd.testing.assert_frame_equal(stored, results["history"])
    kernel = keras.models.load_model(run.folder / "model.keras").get_layer("score").kernel
    np.testing.assert_array_equal(kernel, results["model"].get_layer("score").kernel)


def test_the_network_of_a_record(tmp_path, results):
    begin(tmp_path).finish(**results)
    (record,) = records.read(tmp_path)
    network = records.network(record)
    np.testing.assert_array_equal(
        network.get_layer("score").kernel, results["model"].get_layer("score").kernel
    )
    assert not network.compiled
    (record["folder"] / "model.keras").write_bytes(b"no network")
    with pytest.raises(ValueError, match=r"model\.keras cannot be loaded .*: run .* again"):
        records.network(record)
    (record["folder"] / "model.keras").unlink()
    assert records.network(record) is None


def test_what_is_no_network_has_no_epochs(tmp_path, results):
    results |= {"model": None, "history": None}
    path = begin(tmp_path, step="00_file_metadata").finish(**results)
    assert names(path.parent) == ["predictions.csv", "record.json"]
    (record,) = records.read(tmp_path)
    assert [record[name] for name in ("network", "weights", "precision", "epochs")] == [None] * 4
    assert record["metrics"][2]["value"] == pytest.approx(2 / 3)


def test_the_preparation_comes_back_from_the_record(tmp_path, results):
    begin(tmp_path / "new").finish(**results)
    (record,) = records.read(tmp_path / "new")
    assert records.preparation(record) == Preparation(8, fit="pad")


def test_an_earlier_version_prepared_its_images_as_its_notebooks_did(tmp_path):
    old = plant(tmp_path / "old", network="tiny", parameters=PARAMETERS | {"IMAGE_SIZE": 96})
    assert records.preparation(records.read(old)[0]) == Preparation(96)
    assert records.preparation(records.read(plant(tmp_path / "baseline"))[0]) is None


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"IMAGE_SIZE": 224, "SEED": 3}, "00_step, 224 px, seed 3"),
        ({"SEED": 3}, "00_step, seed 3"),
        (
            {"IMAGE_SIZE": 64, "RANDOM_SCALE": 0.35, "SEED": 3},
            "00_step, 64 px, random scale 0.35, seed 3",
        ),
        ({"IMAGE_SIZE": 64, "RANDOM_SCALE": 0.0, "SEED": 3}, "00_step, 64 px, seed 3"),
    ],
)
def test_the_name_of_a_run(given, name):
    assert selection.name({"step": "00_step", "parameters": given}) == name


def test_bfloat16_is_told(tmp_path, results):
    inputs = keras.Input((2,))
    outputs = keras.layers.Dense(1, dtype="mixed_bfloat16")(inputs)
    path = begin(tmp_path).finish(**results | {"model": keras.Model(inputs, outputs)})
    assert json.loads(path.read_text())["precision"] == "bfloat16"


@pytest.mark.parametrize("name", ["predictions.csv", "history.csv", "record.json"])
def test_a_full_disk_keeps_the_checkpoint_and_writes_no_record(
    tmp_path, results, monkeypatch, name
):
    def write(path, text):
        if path.name == name:
            raise OSError(errno.ENOSPC, "No space left on device")
        path.write_text(text)

    run = begin(tmp_path)
    (run.checkpoint / "last.npz").write_text("x")
    monkeypatch.setattr(records, "_write", write)
    with pytest.raises(OSError, match="No space left on device"):
        run.finish(**results)
    assert names(run.checkpoint) == ["last.npz"]
    assert "record.json" not in names(run.folder)
    monkeypatch.undo()
    assert begin(tmp_path).finish(**results).exists()


@pytest.mark.parametrize("column", PREDICTION_COLUMNS)
def test_finish_needs_every_column(tmp_path, results, column):
    predictions = results["predictions"].drop(columns=column)
    run = begin(tmp_path)
    with pytest.raises(ValueError, match=f"the predictions have no column {column}"):
        run.finish(**results | {"predictions": predictions})
    assert names(run.folder) == ["checkpoint"]


def test_finish_needs_every_score(tmp_path, results):
    predictions = results["predictions"].assign(score=[0.5, np.nan, np.nan])
    with pytest.raises(ValueError, match="2 predictions have no score"):
        begin(tmp_path).finish(**results | {"predictions": predictions})


# ------------------------------------------------------------------ read


def test_read_what_finish_wrote(tmp_path, results):
    run = begin(tmp_path)
    run.finish(**results)
    (record,) = records.read(run.folder)
    assert record["folder"] == run.folder
    assert record["parameters"] == PARAMETERS


def test_read_sorts_by_step_and_time(tmp_path):
    plant(tmp_path / "a", step="02_tuned_cnn", finished="2026-01-01T00:00:00+00:00")
    plant(tmp_path / "b", step="01_basic_cnn", finished="2026-01-03T00:00:00+00:00")
    plant(tmp_path / "below" / "c", step="01_basic_cnn", finished="2026-01-02T00:00:00+00:00")
    assert [record["folder"].name for record in records.read(tmp_path)] == ["c", "b", "a"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"step": "01', "Unterminated string"),
        ("", "Expecting value"),
        ('{"step": 1, "parameters": 2, "metrics": 3}', "it has no fingerprint, finished"),
        ("[]", "it has no fingerprint, finished, metrics, parameters, step"),
        ("3", "not iterable"),
    ],
)
def test_a_broken_record_is_left_out_with_a_warning(tmp_path, text, said):
    plant(tmp_path / "good")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "record.json").write_text(text)
    with pytest.warns(UserWarning, match=f"bad.record.json left out: .*{said}"):
        (record,) = records.read(tmp_path)
    assert record["folder"] == tmp_path / "good"


@pytest.mark.parametrize("function", [records.read, records.table, selection.comparable])
def test_no_records(tmp_path, function):
    begin(tmp_path)
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(ValueError, match=r"no records in .*: run notebooks 01 to 04"):
            function(folder)


# ------------------------------------------------------------------ tables


def test_table_by_hand(tmp_path):
    more = {"network": "vgg19", "weights": 20024897, "precision": "bfloat16", "epochs": 4}
    more |= {"best_epoch": 3, "training_seconds": 12.5}
    plant(tmp_path / "run", **more)
    plant(tmp_path / "second", parameters=PARAMETERS | {"LIMIT": 20}, step="04_resnet50")
    table = records.table(tmp_path)
    assert len(table) == 2
    first = table.iloc[0].to_dict()
    assert np.isnan(first.pop("limit"))
    assert first == {
        "step": "01_basic_cnn",
        "run": "run",
        "source": "synthetic",
        "seed": 7,
        "weights": None,
        "network": "vgg19",
        "weight_count": 20024897,
        "precision": "bfloat16",
        "epochs": 4,
        "best_epoch": 3,
        "training_seconds": 12.5,
        "fingerprint": "0123456789abcdef",
        "validation AUC": 0.75,
        "validation AUC low": 0.65,
        "validation AUC high": 0.85,
        "test AUC": 0.5,
        "test AUC low": 0.4,
        "test AUC high": 0.6,
    }
    assert table["limit"].iloc[1] == 20


def test_table_of_a_run_that_finish_wrote(tmp_path, results):
    begin(tmp_path, WEIGHTS="imagenet").finish(**results)
    row = records.table(tmp_path).iloc[0]
    assert (row["weights"], row["weight_count"], row["epochs"]) == ("imagenet", 3, 3)
    assert row["test AUC"] == pytest.approx(2 / 3, abs=1e-6)
    assert pd.isna(row["validation AUC"])


# ------------------------------------------------------------------ predictions


def test_predictions_of_a_run(tmp_path, results):
    run = begin(tmp_path)
    run.finish(**results)
    stored = records.predictions(records.read(tmp_path)[0])
    assert tuple(stored) == PREDICTION_COLUMNS
    assert stored["label"].tolist() == [0, 0, 1]


def test_predictions_keep_what_tells_scores_apart(tmp_path, results):
    # Two numbers next to 1, which fewer digits would make one, and their order a tie.
    near = [1 - 1e-15, 1 - 2e-15]
    results["predictions"]["score"] = [0.25, *near]
    begin(tmp_path).finish(**results)
    stored = records.predictions(records.read(tmp_path)[0])["score"]
    assert stored[1] > stored[2]


def test_shares_are_in_the_record(tmp_path, results):
    shares = pd.DataFrame({"cue": ["shape"], "value": [0.5], "low": [np.nan]})
    path = begin(tmp_path).finish(**results, shares=shares)
    assert json.loads(path.read_text())["shares"] == [{"cue": "shape", "value": 0.5, "low": None}]


def test_predictions_that_are_gone(tmp_path):
    record = {"folder": tmp_path, "step": "01_basic_cnn"}
    with pytest.raises(ValueError, match=r"predictions.csv cannot be read .*run 01_basic_cnn"):
        records.predictions(record)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "cannot be read"),
        ("path,patient,split,label\na,b,test,0\n", "the predictions have no column score"),
        ("path,label,score\na,0,0.5\n", "the predictions have no column patient, split"),
        ("path,patient,split,label,score\na,b,test,0,\n", "1 predictions have no score"),
    ],
)
def test_predictions_that_are_broken(tmp_path, text, said):
    (tmp_path / "predictions.csv").write_text(text)
    with pytest.raises(ValueError, match=said):
        records.predictions({"folder": tmp_path, "step": "01_basic_cnn"})


# ------------------------------------------------------------------ comparable


SCORED = pd.DataFrame(
    {
        "path": ["train/NORMAL/v.jpeg", "test/NORMAL/a.jpeg", "test/PNEUMONIA/b.jpeg"],
        "patient": ["v", "a", "b"],
        "split": ["validation", "test", "test"],
        "label": [0, 0, 1],
        "score": [0.1, 0.2, 0.9],
    }
)


def plant_run(folder, *, predictions=SCORED, seed=0, **more):
    parameters = PARAMETERS | {"SEED": seed} | more.pop("parameters", {})
    plant(folder, parameters=parameters, seed=seed, **{"network": "tiny"} | more)
    if predictions is not None:
        predictions.to_csv(folder / "predictions.csv", index=False)


def left_out(folder):
    return selection.comparable(folder).left_out.set_index("run")["reason"].to_dict()


def test_runs_that_differ_in_the_seed_are_one_step(tmp_path):
    for seed in (1, 0):
        plant_run(tmp_path / f"small-{seed}", seed=seed, parameters={"IMAGE_SIZE": 64})
    plant_run(tmp_path / "large", parameters={"IMAGE_SIZE": 224})
    plant_run(tmp_path / "longer", parameters={"IMAGE_SIZE": 224, "EPOCHS": 9})
    plant_run(tmp_path / "other", step="00_file_metadata", network=None, fingerprint="else")
    found = selection.comparable(tmp_path)
    seeds = {name: [each["seed"] for each in runs] for name, runs in found.records.items()}
    assert list(seeds.items()) == [
        ("00_file_metadata", [0]),
        ("01_basic_cnn, 64 px", [0, 1]),
        ("01_basic_cnn, 224 px, epochs 4", [0]),
        ("01_basic_cnn, 224 px, epochs 9", [0]),
    ]
    assert [len(runs) for runs in found.steps.values()] == [1, 2, 1, 1]
    assert found.left_out.empty


def test_what_is_off_is_no_other_step(tmp_path):
    plant_run(tmp_path / "before", seed=0, parameters={"IMAGE_SIZE": 64})
    plant_run(tmp_path / "off", seed=1, parameters={"IMAGE_SIZE": 64, "RANDOM_SCALE": 0.0})
    plant_run(tmp_path / "on", seed=1, parameters={"IMAGE_SIZE": 64, "RANDOM_SCALE": 0.35})
    found = selection.comparable(tmp_path).records
    assert {name: len(runs) for name, runs in found.items()} == {
        "01_basic_cnn, 64 px": 2,
        "01_basic_cnn, 64 px, random scale 0.35": 1,
    }


def test_what_cannot_be_compared_is_left_out_by_name(tmp_path):
    for seed in (0, 1, 2):
        plant_run(tmp_path / f"good-{seed}", seed=seed)
    plant_run(tmp_path / "gone", predictions=None)
    plant_run(tmp_path / "nan", predictions=SCORED.assign(score=[0.1, np.nan, 0.9]))
    plant_run(tmp_path / "outside", predictions=SCORED.assign(score=[0.1, 1.5, 0.9]))
    plant_run(tmp_path / "one", predictions=SCORED.assign(label=[0, 0, 0]))
    plant_run(tmp_path / "fewer", predictions=SCORED.assign(path=["v", "c", "d"]))
    plant_run(tmp_path / "mixed", seed=1, fingerprint="ffff")
    (tmp_path / "dead" / "checkpoint").mkdir(parents=True)
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "record.json").write_text("{")
    reasons = left_out(tmp_path)
    said = {
        "gone": "predictions.csv cannot be read",
        "nan": "1 predictions have no score",
        "outside": r"scores outside \[0, 1\]",
        "one": r"labels \[0\]",
        "fewer": "tested on other images",
        "mixed": "other data than the other networks of seed 1",
        "dead": "not finished",
        "torn": "record cannot be read",
    }
    assert set(reasons) == set(said)
    for name, words in said.items():
        assert re.search(words, reasons[name]), reasons[name]
    (runs,) = selection.comparable(tmp_path).steps.values()
    assert len(runs) == 3


def test_a_run_that_is_trained_again_is_not_unfinished(tmp_path):
    plant_run(tmp_path / "run")
    (tmp_path / "run" / "checkpoint").mkdir()
    assert left_out(tmp_path) == {}


def test_nothing_to_compare(tmp_path):
    plant_run(tmp_path / "gone", predictions=None)
    with pytest.raises(ValueError, match=r"no run in .* can be compared .*gone: .*cannot be read"):
        selection.comparable(tmp_path)
