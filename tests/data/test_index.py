import shutil
import warnings

import pandas as pd
import pytest
from support.trees import plant

from xraylib.data import index
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
    assert tuple(table.columns) == index.COLUMNS == ("path", "label", "split", "patient", "subtype")
    first = tree / "train/NORMAL/IM-0115-0001-0001.jpeg"
    last = tree / "test/PNEUMONIA/person1_virus_7.jpeg"
    assert table.iloc[0].tolist() == [first, 0, "train", "IM-115", ""]
    assert table.iloc[-1].tolist() == [last, 1, "test", "virus-1", "virus"]


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
    names = ["train/NORMAL/a.png", "train/PNEUMONIA/a.png", "test/NORMAL/a.png"]
    assert index.from_tree(str(plant(tmp_path, names)))["patient"].tolist() == names


def test_a_copy_of_the_tree_has_the_same_patients(tree, table, tmp_path):
    shutil.copy(tree / "test/NORMAL/IM-0001-0001.jpeg", tree / "test/NORMAL/other.jpeg")
    there = shutil.copytree(tree, tmp_path / "there")
    assert index.from_tree(there)["patient"].equals(index.from_tree(tree)["patient"])


def test_nothing_in_the_tree(tmp_path):
    (tmp_path / "train" / "NORMAL").mkdir(parents=True)
    with pytest.raises(DataSourceError, match=r"no images in .*: give the folder that holds train"):
        index.from_tree(tmp_path)


def test_class_folders_of_the_kaggle_set_agree_with_from_tree(tree, table):
    listed = index.from_class_folders(tree)
    assert tuple(listed.columns) == (*index.COLUMNS, "class")
    pd.testing.assert_frame_equal(listed.drop(columns="class"), table)
    classes = set(zip(listed["label"], listed["class"], strict=True))
    assert classes == {(0, "NORMAL"), (1, "PNEUMONIA")}


def test_class_folders_without_splits(tmp_path):
    folder = plant(
        tmp_path / "mine", ["sick/b.png", "Healthy/IM-0012-0001.JPG", "Healthy/deep/c.png"]
    )
    listed = index.from_class_folders(str(folder))
    assert listed.to_numpy().tolist() == [
        [folder / "Healthy/IM-0012-0001.JPG", 0, "all", "IM-12", "", "Healthy"],
        [folder / "Healthy/deep/c.png", 0, "all", "Healthy/deep/c.png", "", "Healthy"],
        [folder / "sick/b.png", 1, "all", "sick/b.png", "", "sick"],
    ]


@pytest.mark.parametrize(
    "names, splits",
    [
        (("train/a/1.png", "train/b/2.png"), ["train", "train"]),
        (("test/a/1.png", "test/b/2.png"), ["test", "test"]),
        (("train/a/1.png", "val/b/2.png"), ["train", "val"]),
    ],
)
def test_class_folders_in_whichever_splits_there_are(tmp_path, names, splits):
    listed = index.from_class_folders(plant(tmp_path / "mine", names))
    assert listed["split"].tolist() == splits
    assert listed["label"].tolist() == [0, 1]


@pytest.mark.parametrize("wrap", ["", "archive/", "archive/chest/"])
@pytest.mark.parametrize("split", ["", "train/"])
def test_class_folders_deeper_down_with_clutter(tmp_path, wrap, split):
    real = [f"{wrap}{split}a/1.png", f"{wrap}{split}b/2.png"]
    clutter = [f"{wrap}{split}a/._1.png", f"{wrap}{split}.DS_Store"]
    clutter += [f"__MACOSX/{split}a/3.png", f"{wrap}__MACOSX/{split}a/4.png"]
    folder = plant(tmp_path / "mine", [*real, *clutter])
    listed = index.from_class_folders(folder)
    assert listed["path"].tolist() == [folder / name for name in real]


@pytest.mark.parametrize("split", ["", "train/"])
def test_class_folders_of_a_doubled_tree(tmp_path, split):
    real = [f"{split}a/1.png", f"{split}b/2.png"]
    folder = plant(tmp_path / "mine", [*real, *(f"mine/{name}" for name in real)])
    assert index.from_class_folders(folder)["path"].tolist() == [folder / name for name in real]


@pytest.mark.parametrize(
    "names, match",
    [
        (("a/1.png",), r"must be two class folders .* but there are 1 \(a\)"),
        (("a/1.png", "b/1.png", "c/1.png"), r"two class folders .* are 3 \(a, b, c\): leave"),
        (("a/1.png", "b/notes.txt"), r"the class b in .* has no images: fill it"),
        (("a/of one/1.png", "a/of two/1.png", "b/notes.txt"), r"the class b in .* has no images"),
        (("1.png",), r"no images in class folders in .*: sort them into two"),
        (("x/train/a/1.png", "y/train/a/1.png"), r"holds 2 trees \(.*x, .*y\): give one of them"),
    ],
)
def test_what_are_no_two_class_folders(tmp_path, names, match):
    with pytest.raises(DataSourceError, match=match):
        index.from_class_folders(plant(tmp_path / "mine", names))


def test_class_folders_that_are_not_there(tmp_path):
    with pytest.raises(DataSourceError, match=r"images is missing.* Received: .*nowhere"):
        index.from_class_folders(tmp_path / "nowhere")


@pytest.mark.parametrize("names", [("Train", "Test"), ("train", "validation")])
def test_splits_of_other_names_are_not_taken_for_classes(tmp_path, names):
    plant(tmp_path, [f"{split}/{name}/1.png" for split in names for name in ("a", "b")])
    with pytest.raises(DataSourceError, match="name splits train, val, test"):
        index.from_class_folders(tmp_path)


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
