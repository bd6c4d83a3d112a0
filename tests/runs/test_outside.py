"""What a network was trained or chosen on is no image from outside."""

import hashlib

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from support.runs import predictions, run

from xraylib.runs import outside, records, stored


def film(seed):
    """Smooth noise, of which no two look alike."""
    small = np.random.default_rng(seed).integers(0, 256, (12, 12), dtype=np.uint8)
    return Image.fromarray(small).resize((96, 96), Image.Resampling.BICUBIC)


@pytest.fixture
def scored(tmp_path):
    """A record of four films: two of train, one of validation, one of test."""
    rows = []
    for seed, split in enumerate(["train", "train", "validation", "test"]):
        path = tmp_path / "tree" / split / f"{seed}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        film(seed).save(path)
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        rows.append({"path": f"{split}/{seed}.png", "split": split, "sha256": sha256})
    own = run(tmp_path / "runs", "01", predictions(0.1, images=8), tree=str(tmp_path / "tree"))
    table = pd.DataFrame(rows).assign(patient="p", label=0)
    (own / "images.csv").write_text(stored.text(table), encoding="utf-8")
    return own


def check(folder, pictures):
    """Checks pictures from outside, two of which are of each class and of their own."""
    rows = []
    pictures = {"own0": film(90), "own1": film(91)} | pictures
    (folder / "elsewhere").mkdir()
    for number, (name, picture) in enumerate(pictures.items()):
        path = folder / "elsewhere" / f"{name}.png"
        picture.save(path)
        rows.append({"path": path, "label": number % 2})
    listed = records.read(folder / "runs").records
    return outside.without_copies(pd.DataFrame(rows), listed)


def test_images_that_no_run_has_met(tmp_path, scored):
    table, copies, note = check(tmp_path, {})
    assert len(table) == 2 and copies.empty
    assert note == (
        "All 2 images from outside. Compared with 3 images of train and validation by bytes and "
        "looks."
    )


@pytest.mark.parametrize(
    ("seed", "change", "how"),
    [
        (0, lambda picture: picture, "same bytes"),
        (2, lambda picture: picture, "same bytes"),
        (1, lambda picture: picture.resize((64, 64)), "the same look"),
        (1, lambda picture: picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT), "mirrored"),
        (2, lambda picture: picture.point(lambda grey: 255 - grey), "negative"),
        (0, lambda picture: picture.point(lambda grey: grey // 2), "the same look"),
    ],
)
def test_copies_of_train_and_validation_are_left_out_by_name(tmp_path, scored, seed, change, how):
    table, copies, note = check(tmp_path, {"copy": change(film(seed))})
    assert [path.stem for path in table["path"]] == ["own0", "own1"]
    assert [path.stem for path in copies["path"]] == ["copy"]
    assert how in copies["how"].iloc[0]
    assert "Left out of 3 images from outside: 1 that these runs were trained or" in note
    assert "copy.png (" in note


def test_what_was_only_tested_is_no_copy(tmp_path, scored):
    table, _, _ = check(tmp_path, {"tested": film(3)})
    assert len(table) == 3


def test_without_the_files_only_bytes_are_compared_and_it_is_said(tmp_path, scored):
    (tmp_path / "tree").rename(tmp_path / "moved")
    table, copies, note = check(tmp_path, {"same": film(0), "smaller": film(1).resize((64, 64))})
    assert len(table) == 3 and copies["how"].tolist() == ["same bytes"]
    assert "by bytes only, for their files are not where they were" in note


def test_a_file_that_was_replaced_is_not_compared_by_looks(tmp_path, scored):
    film(50).save(tmp_path / "tree" / "train" / "0.png")
    table, _, note = check(tmp_path, {"new": film(50)})
    assert len(table) == 3
    assert "by looks with the 2 whose files are where they were" in note


def test_a_record_without_a_list_is_said_to_be_unknown(tmp_path, scored):
    (scored / "images.csv").unlink()
    table, _, note = check(tmp_path, {"copy": film(0)})
    assert len(table) == 3
    assert note.endswith(
        "Not compared with those of 1 of 1 runs, whose records do not say which images they were."
    )


def test_a_class_of_nothing_but_copies_leaves_nothing_to_measure(tmp_path, scored):
    table, copies, note = check(tmp_path, {"own0": film(0)})
    assert table.empty and len(copies) == 1
    assert note.endswith("No images of one class are left: there is nothing to measure.")
