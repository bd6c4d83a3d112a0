import json
import shutil
import warnings

import pandas as pd
import pytest
from support.trees import plant

from xraylib.data import index, splits
from xraylib.data.words import CLASSES
from xraylib.errors import DataSourceError

KAGGLE = pd.DataFrame(
    [
        {"split": split, "label": label}
        for split, counts in index.KAGGLE_COUNTS.items()
        for label, count in enumerate(counts)
        for _ in range(count)
    ]
)


@pytest.fixture
def table(tree):
    return index.from_tree(tree)


def test_columns_and_rows(tree, table):
    assert tuple(table.columns) == index.COLUMNS
    first = tree / "train/NORMAL/IM-0115-0001-0001.jpeg"
    last = tree / "test/PNEUMONIA/person1_virus_7.jpeg"
    assert table.iloc[0].tolist() == [first, 0, "train", "IM-115", "", "NORMAL"]
    assert table.iloc[-1].tolist() == [last, 1, "test", "virus-1", "virus", "PNEUMONIA"]


def test_every_image_once_with_the_label_of_its_folder(tree, table):
    assert sorted(table["path"]) == sorted(tree.rglob("*.jpeg"))
    sizes = {"train": (12, 12), "val": (2, 2), "test": (3, 4)}
    assert table.groupby(["split", "label"]).size().to_dict() == {
        (split, label): sizes[split][label] for split in sizes for label in (0, 1)
    }


def test_patients_are_counted_by_kind(table):
    train = table[table["split"] == "train"].groupby("label")["patient"].nunique()
    assert train.to_dict() == {0: 9, 1: 9}  # 1 is a patient of bacteria and another of virus


def test_a_name_of_no_scheme_is_its_own_patient(tmp_path):
    names = [f"{split}/{name}/a.png" for split in ("train", "test") for name in CLASSES]
    assert index.from_tree(str(plant(tmp_path, names)))["patient"].tolist() == names


def test_a_copy_of_the_tree_has_the_same_patients(tree, table, tmp_path):
    shutil.copy(tree / "test/NORMAL/IM-0001-0001.jpeg", tree / "test/NORMAL/other.jpeg")
    there = shutil.copytree(tree, tmp_path / "there")
    assert index.from_tree(there)["patient"].equals(index.from_tree(tree)["patient"])


def test_class_folders_of_the_kaggle_set_agree_with_from_tree(tree, table):
    listed = index.from_class_folders(tree)
    pd.testing.assert_frame_equal(listed, table)
    classes = set(zip(listed["label"], listed["class"], strict=True))
    assert classes == {(0, "NORMAL"), (1, "PNEUMONIA")}


@pytest.mark.parametrize("read", [index.from_tree, index.from_class_folders])
def test_what_the_table_rests_on_is_kept_and_logged(tree, read, caplog):
    (tree / "train/NORMAL").rename(tree / "train/normals")
    plant(
        tree, ["train/labels.csv", "test/loose.png", "test/NORMAL/masks/a.png", "test/.hidden.png"]
    )
    with caplog.at_level("INFO", "xraylib"):
        table = read(tree)
    assert table.attrs["classes"] == ["NORMAL", "PNEUMONIA"]
    assert json.loads(json.dumps(table.attrs["passed_over"])) == [
        {"kind": "images in no class folder of test/", "count": 1, "example": "test/loose.png"},
        {"kind": ".csv files", "count": 1, "example": "train/labels.csv"},
        {"kind": "masks", "count": 1, "example": "test/NORMAL/masks/a.png"},
    ]
    assert caplog.messages == [
        "class 0 is NORMAL, class 1 is PNEUMONIA",
        f"not taken from {tree}: images in no class folder of test/: 1 (test/loose.png); "
        ".csv files: 1 (train/labels.csv); masks: 1 (test/NORMAL/masks/a.png)",
    ]


@pytest.mark.parametrize(
    "change",
    [
        lambda table: splits.hold_out_validation(table),
        lambda table: splits.folds(table, number=2, seed=0)[1],
        lambda table: splits.limit(table, 2),
        lambda table: table.loc[[3, 1]].reset_index(drop=True),
        lambda table: table.assign(split="test"),
    ],
)
def test_what_the_table_rests_on_survives_what_is_done_with_it(table, change):
    table.attrs["passed_over"] = [{"kind": "masks", "count": 1, "example": "a"}]
    assert change(table).attrs == table.attrs


def test_nothing_is_said_where_everything_is_taken(table, caplog):
    assert table.attrs["passed_over"] == []
    assert not caplog.messages


def test_class_folders_without_splits(tmp_path):
    names = ["sick/b.png", "Healthy/IM-0012-0001.JPG", "Healthy/deep/c.png"]
    folder = plant(tmp_path / "mine", names)
    listed = index.from_class_folders(str(folder), positive="sick")
    assert listed.to_numpy().tolist() == [
        [folder / "Healthy/IM-0012-0001.JPG", 0, "all", "IM-12", "", "Healthy"],
        [folder / "Healthy/deep/c.png", 0, "all", "Healthy/deep/c.png", "", "Healthy"],
        [folder / "sick/b.png", 1, "all", "sick/b.png", "", "sick"],
    ]


def test_the_alphabet_decides_nothing(tmp_path):
    folder = plant(tmp_path, ["sick/a.png", "well/b.png"])
    for positive, name in (("sick", "a.png"), ("well", "b.png")):
        table = index.from_class_folders(folder, positive=positive)
        assert [path.name for path in table["path"][table["label"] == 1]] == [name]


def test_class_folders_that_are_not_there(tmp_path):
    with pytest.raises(DataSourceError, match=r"images is missing.* Received: .*nowhere"):
        index.from_class_folders(tmp_path / "nowhere")


def test_the_complete_set_is_met_with_silence():
    assert len(KAGGLE) == 5856
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        index.warn_unless_kaggle(KAGGLE)


def test_each_difference_is_named():
    other = pd.concat(
        [KAGGLE[KAGGLE["split"] != "val"], pd.DataFrame({"split": ["train"] * 2, "label": [1, 1]})]
    )
    with pytest.warns(UserWarning) as caught:
        index.warn_unless_kaggle(other)
    assert [str(warning.message) for warning in caught] == [
        "not the complete Kaggle set of 5,856 images: "
        "train/PNEUMONIA has 3,877 instead of 3,875; "
        "val/NORMAL has 0 instead of 8; val/PNEUMONIA has 0 instead of 8"
    ]


def test_real_data(real_data):
    table = index.from_tree(real_data / "chest_xray_224")
    assert len(table) == 5840
    with pytest.warns(UserWarning) as caught:
        index.warn_unless_kaggle(table)
    assert [str(warning.message) for warning in caught] == [
        "not the complete Kaggle set of 5,856 images: "
        "val/NORMAL has 0 instead of 8; val/PNEUMONIA has 0 instead of 8"
    ]
    assert (table.groupby("patient")["split"].nunique() == 1).all()
    assert set(table.loc[table["label"] == 1, "subtype"]) == {"bacteria", "virus"}


# ------------------------------------------------------------------ kinds


def test_kinds_without_a_subtype_are_the_labels():
    table = pd.DataFrame({"label": [0, 1, 1], "subtype": ["", "virus", ""]})
    assert index.kinds(table).tolist() == [0, 1, 1]


def test_kinds_of_healthy_images_only():
    assert index.kinds(pd.DataFrame({"label": [0, 0], "subtype": ["", ""]})).tolist() == [0, 0]
