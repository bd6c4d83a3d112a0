"""What would fail after the last epoch is refused before the first, and nothing is left behind."""

import errno
import os
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from xraylib.data.loading import Images
from xraylib.data.preparation import Preparation
from xraylib.runs import readiness, records

PLACES = [
    (split, label, f"{split}/{name}")
    for split in ("train", "validation", "test")
    for label, name in enumerate(("NORMAL", "PNEUMONIA"))
]
NAMES = [
    b"plain.jpeg",
    b"R\xf6ntgen_1.jpeg",
    b"two\nlines.jpeg",
    b"cr\r.jpeg",
    b'a,"b",c.jpeg',
    b"=1+1.jpeg",
    b"NA",
    b"\xe2\x80\x8fright.jpeg",
    b"\xed\xa0\x80.jpeg",
    b"back\\slash\\xf6.jpeg",
]


def table(name="film.jpeg"):
    rows = [
        {"path": Path("/data", place, name), "label": label, "split": split}
        for split, label, place in PLACES
    ]
    listed = pd.DataFrame(rows)
    patients = [path.as_posix() for path in listed["path"]]
    return listed.assign(patient=patients, subtype="", sha256="0" * 64)


def begin(folder, listed, **more):
    images = Images(listed, None, Preparation(8), "0123456789abcdef", {})
    parameters = {"SEED": 0} | more.pop("parameters", {})
    return records.Run(folder, step="01", parameters=parameters, images=images, **more)


def left(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file() and path.suffix)


# ------------------------------------------------------------------ names


@pytest.mark.skipif(sys.platform == "win32", reason="names are bytes on Linux and macOS alone")
@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_files_of_any_name_can_be_recorded(tmp_path, name):
    listed = table(os.fsdecode(name))
    run = begin(tmp_path, listed)
    assert left(run.folder) == []
    scored = listed[listed["split"] != "train"].assign(score=0.5)
    metrics = {"split": "test", "rule": "0.5", "threshold": 0.5, "metric": "AUC", "value": 0.5}
    run.finish(predictions=scored, metrics=pd.DataFrame([metrics | {"low": 0.4, "high": 0.6}]))
    (record,), _ = records.read(tmp_path)
    for stored, expected in ((record.predictions(), scored), (record.images(), listed)):
        paths = [path.relative_to("/data").as_posix() for path in expected["path"]]
        assert stored["path"].tolist() == stored["patient"].tolist() == paths
    for path in run.folder.glob("*.*"):
        path.read_text(encoding="utf-8")


def test_a_parameter_that_json_cannot_hold(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        begin(tmp_path, table(), parameters={"LEARNING_RATE": float("nan")})
    assert not (tmp_path / "record.json").exists()


# ------------------------------------------------------------------ folders


def test_a_run_dir_that_is_a_file(tmp_path):
    (tmp_path / "runs").touch()
    with pytest.raises(OSError, match=r"cannot make the run's folder .*: give another RUN_DIR"):
        begin(tmp_path / "runs", table())


def test_a_run_dir_below_a_file(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"cannot make the run's folder .*: give another RUN_DIR"):
        begin(tmp_path / "file" / "runs", table())


def test_a_path_that_is_too_long(tmp_path):
    with pytest.raises(OSError, match=r"cannot make the run's folder .*: give another RUN_DIR"):
        begin(tmp_path / ("x" * 300), table())


@pytest.mark.skipif(not hasattr(os, "pathconf"), reason="the longest path is that of POSIX")
def test_a_path_that_is_too_long_for_the_longest_name_alone(tmp_path):
    longest = os.pathconf(tmp_path, "PC_PATH_MAX")
    # The run's folder and its lock fit, ".writing-predictions.csv" does not.
    room = longest - len(str(tmp_path)) - len("/01-01234567/checkpoint") - 3
    folder = tmp_path
    while room > 101:
        folder /= "x" * 100
        room -= 101
    folder /= "y" * (room - 1)
    with pytest.raises(OSError, match=r"cannot (write|make the run's folder) .*RUN_DIR") as error:
        begin(folder, table())
    assert error.value.errno == errno.ENAMETOOLONG


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write")
def test_a_folder_that_may_not_be_written(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(OSError, match=r"cannot make the run's folder .*Permission denied"):
        begin(tmp_path, table())


@pytest.mark.parametrize("name", ["predictions.csv", "images.csv", "record.json", "model.keras"])
def test_a_file_that_cannot_be_written_is_named(tmp_path, name):
    folder = begin(tmp_path, table()).folder
    (folder / f".writing-{name}").mkdir()  # as if it were forbidden
    with pytest.raises(OSError, match=rf"cannot write \S+{name} .*: give another RUN_DIR"):
        begin(tmp_path, table())
    # Not a run that was begun, and not locked.
    assert not (folder / "checkpoint").exists()
    (folder / f".writing-{name}").rmdir()
    assert begin(tmp_path, table()).folder == folder


def test_a_checkpoint_outlives_a_refusal(tmp_path):
    run = begin(tmp_path, table())
    (run.checkpoint / "last.npz").write_text("x")
    (run.folder / ".writing-record.json").mkdir()
    with pytest.raises(OSError, match="cannot write"):
        begin(tmp_path, table())
    assert (run.checkpoint / "last.npz").read_text() == "x"


# ------------------------------------------------------------------ space


def network(*shapes, frozen=0):
    weights = [SimpleNamespace(shape=shape) for shape in shapes]
    count = frozen + sum(shape[0] for shape in shapes)
    return SimpleNamespace(trainable_variables=weights, count_params=lambda: count)


@pytest.mark.parametrize(
    ("model", "megabytes"),
    [
        # Two of the network, and two of the last state with both numbers of Adam.
        (network((1_000_000,)), 4 * (1 + 2 * 3 + 1)),
        # What is frozen has no numbers of Adam.
        (network((1_000_000,), frozen=1_000_000), 4 * (2 + 2 * 4 + 2)),
        (network(frozen=1_000_000), 4 * (1 + 2 + 1)),
    ],
)
def test_too_little_space_is_refused(tmp_path, monkeypatch, model, megabytes):
    def free(size):
        monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=size))

    free(megabytes * 10**6)
    readiness.space(tmp_path, model, tables=0)
    readiness.space(tmp_path, None, tables=megabytes * 10**6)
    with pytest.raises(OSError, match=rf"need {megabytes} MB, and {megabytes} MB are free in"):
        readiness.space(tmp_path, model, tables=1)
    free(0)
    with pytest.raises(OSError, match=r"need .* MB, and 0 MB are free in .* free some space"):
        begin(tmp_path, table(), model=model)
    assert not list(tmp_path.rglob("checkpoint"))


# ------------------------------------------------------------------ classes


@pytest.mark.parametrize(("split", "label", "place"), PLACES)
def test_a_split_without_a_class(tmp_path, split, label, place):
    listed = table()
    listed = listed[(listed["split"] != split) | (listed["label"] != label)]
    name = place.rpartition("/")[2]
    with pytest.raises(ValueError, match=f"the split {split} has no images of {name}"):
        begin(tmp_path, listed)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("split", ["validation", "test"])
def test_no_such_split(tmp_path, split):
    listed = table()
    with pytest.raises(ValueError, match=f"the split {split} has no images of NORMAL"):
        begin(tmp_path, listed[listed["split"] != split])
