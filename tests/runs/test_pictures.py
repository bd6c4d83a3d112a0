"""A picture is shown only if its bytes are those that were scored."""

import dataclasses
import hashlib
import json
from pathlib import Path

import pandas as pd
import pytest
from support.runs import predictions, run

from xraylib.data.preparation import Preparation
from xraylib.runs import pictures, records, stored

PATHS = ["test/NORMAL/a.jpeg", "test/PNEUMONIA/b.jpeg", "test/PNEUMONIA/R\udcf6.jpeg"]


def plant(folder, contents=(b"a", b"b", b"c")):
    for path, content in zip(PATHS, contents, strict=True):
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return folder


def scored(folder, tree, *, contents=(b"a", b"b", b"c"), seed=0, listed=True):
    """A record of these files."""
    own = run(folder, "01_cnn", predictions(0.1, images=8), seed=seed, tree=str(tree))
    hashes = [hashlib.sha256(content).hexdigest() for content in contents]
    table = pd.DataFrame({"path": PATHS, "patient": "p", "split": "test", "label": [0, 1, 1]})
    if listed:
        text = stored.text(table.assign(sha256=hashes))
        (own / "images.csv").write_text(text, encoding="utf-8")
    return own


def find(folder, **more):
    return pictures.find(records.read(folder).records, PATHS, **more)


def test_pictures_lie_where_the_run_found_them(tmp_path):
    tree = plant(tmp_path / "tree")
    scored(tmp_path / "runs", tree)
    assert find(tmp_path / "runs") == ({path: tree / path for path in PATHS}, "", None)


def test_a_file_of_the_same_name_and_other_bytes_is_not_shown(tmp_path):
    scored(tmp_path / "runs", plant(tmp_path / "tree", (b"a", b"other", b"c")))
    files, note, _ = find(tmp_path / "runs")
    assert list(files) == [PATHS[0], PATHS[2]]
    assert note == (
        "Not shown of 3 pictures: 1, for the files of that name in tree have other bytes than "
        "those that were scored."
    )


def test_a_source_of_other_films_is_not_shown(tmp_path):
    plant(tmp_path / "other", (b"x", b"y", b"z"))
    scored(tmp_path / "runs", tmp_path / "gone")
    files, note, _ = find(tmp_path / "runs", source=str(tmp_path / "other"))
    assert not files and "are not where the runs found them" in note


def test_files_that_are_gone_are_said_to_be(tmp_path):
    scored(tmp_path / "runs", tmp_path / "gone")
    files, note, _ = find(tmp_path / "runs", source="synthetic")
    assert not files and note.startswith("Not shown of 3 pictures: 3, for the files are not where")


def test_a_record_of_an_earlier_version_does_not_know_the_bytes(tmp_path):
    scored(tmp_path / "runs", plant(tmp_path / "tree"), listed=False)
    files, note, _ = find(tmp_path / "runs")
    assert not files and "3, for the records of an earlier version do not say" in note


def test_runs_that_scored_other_bytes_under_one_name_share_no_picture(tmp_path):
    tree = plant(tmp_path / "tree")
    scored(tmp_path / "runs", tree)
    scored(tmp_path / "runs", tree, contents=(b"a", b"before", b"c"), seed=1)
    files, note, _ = find(tmp_path / "runs")
    assert list(files) == [PATHS[0], PATHS[2]] and "1, for the files of that name" in note


def test_a_moved_tree_is_found_in_another_run(tmp_path):
    scored(tmp_path / "runs", tmp_path / "gone")
    tree = plant(tmp_path / "tree")
    scored(tmp_path / "runs", tree, seed=1)
    assert find(tmp_path / "runs").files == {path: tree / path for path in PATHS}


def test_a_moved_tree_is_found_as_source(tmp_path, tree):
    listed = sorted((tree / "test").rglob("*.jpeg"))
    scored(tmp_path / "runs", tmp_path / "gone")
    (record,) = records.read(tmp_path / "runs").records
    table = pd.DataFrame({"path": [path.relative_to(tree).as_posix() for path in listed]})
    hashes = [hashlib.sha256(path.read_bytes()).hexdigest() for path in listed]
    table = table.assign(patient="p", split="test", label=0, sha256=hashes)
    (record.folder / "images.csv").write_text(stored.text(table), encoding="utf-8")
    found = pictures.find([record], table["path"], source=str(tree))
    assert list(found.files.values()) == listed and not found.note


@pytest.mark.parametrize("source", ["", "kaggle", "synthetic", "no/such/folder"])
def test_a_source_that_is_not_there_changes_nothing(tmp_path, source):
    tree = plant(tmp_path / "tree")
    scored(tmp_path / "runs", tree)
    assert find(tmp_path / "runs", source=source).files == {p: Path(tree, p) for p in PATHS}


@pytest.mark.parametrize(("depths", "bits"), [([12], 12), ([None], None), ([None, 14], 14)])
def test_pictures_have_the_bits_of_the_set_that_was_scored(tmp_path, depths, bits):
    tree = plant(tmp_path / "tree")
    for seed, depth in enumerate(depths):
        own = scored(tmp_path / "runs", tree, seed=seed)
        record = json.loads((own / "record.json").read_text(encoding="utf-8"))
        record["preparation"] = dataclasses.asdict(Preparation(64, depth=depth))
        (own / "record.json").write_text(json.dumps(record), encoding="utf-8")
    assert find(tmp_path / "runs").bits == bits
