import os

import pytest
from support.trees import plant

from xraylib.data import tree
from xraylib.data.tree import image_files
from xraylib.errors import DataSourceError


def test_image_files_are_sorted_and_real(tmp_path):
    names = ["b.jpeg", "a.JPEG", "c.jpg", "d.PNG", "below/e.png"]
    plant(tmp_path, [*names, "._a.JPEG", ".a.png", "notes.txt", "f.jpeg.txt", "jpeg", "g.dcm"])
    plant(tmp_path / "__MACOSX", ["b.jpeg"])
    plant(tmp_path / ".hidden", ["b.jpeg"])
    (tmp_path / "folder.jpeg").mkdir()
    expected = ["a.JPEG", "b.jpeg", "below/e.png", "c.jpg", "d.PNG"]
    assert [path.relative_to(tmp_path).as_posix() for path in image_files(tmp_path)] == expected


def test_image_files_of_a_folder_that_lies_in_a_hidden_one(tmp_path):
    plant(tmp_path / ".cache" / "NORMAL", ["a.png"])
    assert image_files(tmp_path / ".cache" / "NORMAL") == [tmp_path / ".cache/NORMAL/a.png"]


def test_image_files_of_nothing(tmp_path):
    with pytest.raises(
        DataSourceError, match=r"cannot list the folder .*nowhere \(.+\): give one that exists"
    ):
        image_files(tmp_path / "nowhere")


def test_a_forbidden_folder(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))  # root may read everything

    folders = tree.subfolders(plant(tmp_path))
    assert folders == [tmp_path / name for name in ("test", "train", "val")]
    monkeypatch.setattr(os, "scandir", refuse)
    assert tree.subfolders(tmp_path) == []
    with pytest.raises(DataSourceError, match=r"cannot list the folder .* \(Permission denied\)"):
        image_files(tmp_path)


def test_the_first_level_that_has_the_folders_is_the_last(tmp_path):
    plant(tmp_path / "a/b", ["train/x.png"])
    plant(tmp_path / "c/d", ["train/x.png", "train/deep/train/x.png"])
    assert tree.folders_with("train", within=tmp_path) == [tmp_path / "a/b", tmp_path / "c/d"]
    assert tree.folders_with("train", "test", within=tmp_path) == []


def test_trees_need_not_be_complete_to_be_found(tmp_path):
    names = ["train/x.png", "test/x.png"]
    one, two = plant(tmp_path / "one", names), plant(tmp_path / "two", names)
    assert tree.find_trees(tmp_path) == [one, two]
    named = plant(tmp_path / "chest_xray", names)
    assert tree.find_trees(tmp_path) == [named]
