import os

from support.trees import plant

from xraylib.data import tree


def test_a_forbidden_folder(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))  # root may read everything

    folders = tree.subfolders(plant(tmp_path))
    assert folders == [tmp_path / name for name in ("test", "train", "val")]
    monkeypatch.setattr(os, "scandir", refuse)
    assert tree.subfolders(tmp_path) == []


def test_the_first_level_that_has_the_folders_is_the_last(tmp_path):
    plant(tmp_path / "a/b", ["train/x.png"])
    plant(tmp_path / "c/d", ["Training/x.png", "Training/deep/train/x.png"])
    assert tree.folders_with("train", within=tmp_path) == [tmp_path / "a/b", tmp_path / "c/d"]
    assert tree.folders_with("train", "test", within=tmp_path) == []


def test_trees_need_not_be_complete_to_be_found(tmp_path):
    names = ["train/x.png", "test/x.png"]
    one, two = plant(tmp_path / "one", names), plant(tmp_path / "two", names)
    plant(tmp_path / "masks", names)
    assert tree.find_trees(tmp_path) == [one, two]


def test_a_tree_of_masks_alone_is_a_tree(tmp_path):
    masks = plant(tmp_path / "masks", ["train/x.png", "test/x.png"])
    assert tree.find_trees(tmp_path) == tree.find_trees(masks) == [masks]
