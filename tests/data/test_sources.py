import re
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import filelock
import pytest
from support.trees import IMAGES, image_names, plant, plant_clutter

from xraylib.data.sources import locate
from xraylib.errors import DataSourceError
from xraylib.synthetic import dataset


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setenv("XRAYLIB_CACHE", str(folder))
    return folder


@pytest.mark.parametrize("clutter", [False, True])
@pytest.mark.parametrize("above", ["", "chest_xray", "chest_xray/chest_xray", "archive/a/b"])
def test_every_form_of_folder(tmp_path, above, clutter):
    tree = plant(tmp_path / "given" / above)
    if clutter:
        plant_clutter(tree)
        plant(tmp_path / "given" / "__MACOSX")
        plant(tmp_path / "given" / ".Trash")
    assert locate(tmp_path / "given") == tree
    assert locate(str(tmp_path / "given")) == tree
    assert sorted(image_names(tree)) == sorted(IMAGES)  # each once


def test_val_is_optional(tmp_path):
    plant(tmp_path, [name for name in IMAGES if not name.startswith("val/")])
    assert locate(tmp_path) == tmp_path


def test_a_tree_of_masks_beside_it_does_not_count(tmp_path):
    plant(tmp_path / "masks")
    assert locate(plant(tmp_path / "chest_xray").parent) == tmp_path / "chest_xray"


def test_home_and_relative_paths(tmp_path, monkeypatch):
    plant(tmp_path / "data")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for source in ("~/data", "data", "./data/../data", Path("data")):
        assert locate(source) == tmp_path / "data"


def test_path_named_like_a_source_is_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plant(tmp_path / "kaggle")
    assert locate(Path("kaggle")) == tmp_path / "kaggle"


@pytest.mark.parametrize("nothing", ["", "  ", None, 3, ["kaggle"]])
def test_nothing_given(nothing):
    with pytest.raises(DataSourceError, match='give "synthetic", "kaggle", or a folder'):
        locate(nothing)


def test_missing_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataSourceError) as error:
        locate("nowhere/data")
    assert str(error.value) == (
        f"the folder {tmp_path / 'nowhere' / 'data'} does not exist: give "
        '"synthetic", "kaggle", or a folder that holds train/ and test/. Received: nowhere/data'
    )


def test_missing_folder_with_a_close_name(tmp_path):
    (tmp_path / "chest_xray").mkdir()
    right = re.escape(str(tmp_path / "chest_xray"))
    for wrong in ("chest-xray", "Chest_Xray/train"):
        if not (tmp_path / wrong).exists():  # a disk that ignores case
            with pytest.raises(DataSourceError, match=rf"\(did you mean {right}\?\)"):
                locate(tmp_path / wrong)


@pytest.mark.parametrize("wrong, right", [("Kaggle", "kaggle"), ("sinthetic", "synthetic")])
def test_mistyped_name(wrong, right):
    with pytest.raises(DataSourceError, match=rf'\(did you mean "{right}"\?\).*Received: {wrong}'):
        locate(wrong)


def test_unknown_home():
    with pytest.raises(DataSourceError, match=r"home directory.*Received: ~nobody-of-this-name"):
        locate("~nobody-of-this-name/data")


@pytest.mark.parametrize("name, advice", [("a.ZIP", "unzip it and"), ("a.jpeg", "give a folder")])
def test_file(tmp_path, name, advice):
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(DataSourceError, match=rf"{name} is a file: {advice}"):
        locate(tmp_path / name)


@pytest.mark.parametrize(
    "names, match",
    [
        ([], r"no train/ and test/ in .* levels down \(found: no folders and no images in it\)"),
        (
            ["a/x.txt", "b/x.txt", "c.png", "d.jpeg", "__MACOSX/x.png"],
            "found: the folders a, b and 2 images in it",
        ),
        ([f"a/b/c/d/{name}" for name in IMAGES], "up to 3 levels down"),
        (["tree/train/NORMAL/x.png"], r"is train/ but no test/ in .*tree: both"),
        (["tree/test/NORMAL/x.png"], r"is test/ but no train/ in .*tree: both"),
        (
            [f"{tree}/{name}" for tree in ("chest_xray", "small") for name in IMAGES],
            r"holds 2 trees \(.*chest_xray, .*small\): give one",
        ),
    ],
)
def test_what_is_no_tree(tmp_path, names, match):
    with pytest.raises(DataSourceError, match=match):
        locate(plant(tmp_path, names))


@pytest.mark.parametrize(
    "below, match",
    [
        ("train", r"train is one split.*its parent .*tree\. Received"),
        ("train/NORMAL", r"NORMAL is one class.*folder .*tree\. Received"),
    ],
)
def test_a_part_of_a_tree(tmp_path, below, match):
    with pytest.raises(DataSourceError, match=match):
        locate(plant(tmp_path / "tree") / below)


def test_synthetic_is_made_once(cache, monkeypatch):
    made = []

    def make_tree(folder):
        made.append(folder)
        plant_clutter(plant(folder / "chest_xray"))
        plant(folder / "masks")

    monkeypatch.setattr(dataset, "make_tree", make_tree)
    start = threading.Barrier(4)

    def locate_together(source):
        start.wait()
        return locate(source)

    with ThreadPoolExecutor(4) as pool:
        located = set(pool.map(locate_together, ["synthetic"] * 4))
    folder = cache / f"synthetic-{dataset.MODEL_VERSION}"
    assert located == {folder / "chest_xray"}
    assert made == [folder]


def test_synthetic_of_a_newer_model_is_made_anew(cache, monkeypatch):
    monkeypatch.setattr(dataset, "make_tree", lambda folder: plant(folder / "chest_xray"))
    old = locate("synthetic")
    monkeypatch.setattr(dataset, "MODEL_VERSION", dataset.MODEL_VERSION + 1)
    assert locate("synthetic") != old


def test_synthetic_on_a_full_disk(monkeypatch):
    def make_tree(folder):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(dataset, "make_tree", make_tree)
    with pytest.raises(DataSourceError, match=r"No space left on device\): .* XRAYLIB_CACHE"):
        locate("synthetic")


def test_synthetic_with_images_removed(monkeypatch):
    monkeypatch.setattr(dataset, "make_tree", lambda folder: plant(folder / "chest_xray"))
    shutil.rmtree(locate("synthetic") / "test" / "NORMAL")
    with pytest.raises(DataSourceError, match=r'none in NORMAL .*"synthetic" \(if .* delete it'):
        locate("synthetic")


@pytest.mark.slow
def test_two_processes_make_the_real_synthetic_tree(cache):
    code = (
        "from xraylib.data import sources; from xraylib.synthetic import dataset; "
        "make = dataset.make_tree; "
        "dataset.make_tree = lambda folder: make(folder, images=20, size=32); "
        "print(sources.locate('synthetic'))"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    printed = [process.communicate()[0].strip() for process in processes]
    tree = cache / f"synthetic-{dataset.MODEL_VERSION}" / "chest_xray"
    assert printed == [str(tree)] * 2
    assert len(image_names(tree)) == 20


@pytest.mark.parametrize("name", ["synthetic", "kaggle"])
def test_without_a_cache_folder(cache, name):
    cache.write_text("")
    with pytest.raises(DataSourceError, match=r"cannot create the cache folder .* XRAYLIB_CACHE"):
        locate(name)


@pytest.mark.parametrize("name", ["synthetic", "kaggle"])
def test_without_a_lock(monkeypatch, name):
    def acquire(lock, **options):
        raise NotImplementedError("no flock")

    monkeypatch.setattr(filelock.FileLock, "acquire", acquire)
    with pytest.raises(DataSourceError, match=r"cannot lock .*\.lock \(no flock\): set the env"):
        locate(name)


@pytest.mark.slow
def test_importing_sources_imports_nothing_heavy():
    code = (
        "import sys, xraylib.data.sources; "
        "print(*{'kagglehub', 'requests', 'PIL', 'numpy', 'pandas', 'tqdm'} & set(sys.modules))"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == ""
