import shutil
import subprocess
import sys
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest

from xraylib.data import sources, synthetic
from xraylib.data.sources import (
    CLASSES,
    KAGGLE_HANDLE,
    DataSourceError,
    cache_folder,
    image_files,
    locate,
)

IMAGES = [
    "train/NORMAL/IM-0001-0001.jpeg",
    "train/NORMAL/IM-0003-0001.JPG",
    "train/PNEUMONIA/person1_bacteria_1.jpeg",
    "train/PNEUMONIA/person1_virus_2.png",
    "val/NORMAL/NORMAL2-IM-1427-0001.jpeg",
    "val/PNEUMONIA/person1946_bacteria_4874.jpeg",
    "test/NORMAL/IM-0005-0001.jpeg",
    "test/PNEUMONIA/person3_virus_15.jpeg",
]


def plant(tree, names=IMAGES):
    """A tree of files that only have the names of images; nothing here opens them."""
    for name in names:
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return tree


def plant_clutter(tree):
    """What the real archive holds beside its tree."""
    plant(tree / "chest_xray")
    plant(tree / "__MACOSX", [str(Path(name).with_name("._" + Path(name).name)) for name in IMAGES])
    plant(tree / "__MACOSX" / "chest_xray")
    for folder in (tree, tree / "train", tree / "train" / "NORMAL", tree / "chest_xray"):
        (folder / ".DS_Store").write_bytes(b"x")
    plant(tree, [str(Path(name).with_name("._" + Path(name).name)) for name in IMAGES])
    plant(tree / "train" / "NORMAL" / "__MACOSX", ["a.jpeg"])
    plant(tree / "train" / "NORMAL" / ".cache", ["b.jpeg"])
    return tree


def found(tree):
    """All images of a tree, as the index collects them."""
    return [
        path.relative_to(tree).as_posix()
        for split in ("train", "val", "test")
        for name in CLASSES
        for path in image_files(tree / split / name)
    ]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setenv("XRAYLIB_CACHE", str(folder))
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path / "kagglehub"))
    monkeypatch.delenv("KAGGLE_KERNEL_RUN_TYPE", raising=False)
    return folder


# ------------------------------------------------------------------ cache_folder


def test_cache_folder_is_created(cache):
    assert cache_folder() == cache
    assert cache.is_dir()


@pytest.mark.parametrize("value", [None, "", " "])
def test_cache_folder_of_the_system(tmp_path, monkeypatch, value):
    import platformdirs

    monkeypatch.setattr(platformdirs, "user_cache_path", lambda name, appauthor: tmp_path / name)
    if value is None:
        monkeypatch.delenv("XRAYLIB_CACHE")
    else:
        monkeypatch.setenv("XRAYLIB_CACHE", value)
    assert cache_folder() == tmp_path / "xraylib"


def test_cache_folder_expands_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("XRAYLIB_CACHE", "~/there")
    assert cache_folder() == tmp_path / "there"


def test_cache_folder_that_is_a_file(cache):
    cache.write_text("")
    with pytest.raises(DataSourceError, match=r"cannot create the cache folder .* XRAYLIB_CACHE"):
        cache_folder()


# ------------------------------------------------------------------ image_files


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
    with pytest.raises(DataSourceError, match=r"no such folder of images.*Received: .*nowhere"):
        image_files(tmp_path / "nowhere")


def test_image_files_of_a_forbidden_folder(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))  # root may read everything

    monkeypatch.setattr(sources.os, "scandir", refuse)
    with pytest.raises(DataSourceError, match=r"cannot list the folder .* \(Permission denied\)"):
        image_files(tmp_path)


# ------------------------------------------------------------------ a folder


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
    assert sorted(found(tree)) == sorted(IMAGES)  # each once


def test_val_is_optional(tmp_path):
    plant(tmp_path, [name for name in IMAGES if not name.startswith("val/")])
    assert locate(tmp_path) == tmp_path


def test_chest_xray_wins_over_its_neighbours(tmp_path):
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
    right = str(tmp_path / "chest_xray").replace("\\", "\\\\")
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


def test_empty_folder(tmp_path):
    match = r"no train/ and test/ in .* levels down \(found: no folders and no images in it\)"
    with pytest.raises(DataSourceError, match=match):
        locate(tmp_path)


def test_folder_of_something_else(tmp_path):
    plant(tmp_path, ["a/x.txt", "b/x.txt", "c.png", "d.jpeg", "__MACOSX/x.png"])
    with pytest.raises(DataSourceError, match=r"found: the folders a, b and 2 images in it"):
        locate(tmp_path)


def test_too_deep(tmp_path):
    plant(tmp_path / "a/b/c/d")
    with pytest.raises(DataSourceError, match="up to 3 levels down"):
        locate(tmp_path)


def test_one_split_given(tmp_path):
    tree = plant(tmp_path / "tree")
    with pytest.raises(DataSourceError, match=r"train is one split.*its parent .*tree\. Received"):
        locate(tree / "train")


def test_one_class_folder_given(tmp_path):
    tree = plant(tmp_path / "tree")
    with pytest.raises(DataSourceError, match=r"NORMAL is one class.*folder .*tree\. Received"):
        locate(tree / "train" / "NORMAL")


@pytest.mark.parametrize("here, missing", [("train", "test"), ("test", "train")])
def test_half_a_tree(tmp_path, here, missing):
    plant(tmp_path / "tree", [name for name in IMAGES if name.startswith(here)])
    with pytest.raises(DataSourceError, match=rf"is {here}/ but no {missing}/ in .*tree: both"):
        locate(tmp_path)


def test_two_trees_side_by_side(tmp_path):
    plant(tmp_path / "large")
    plant(tmp_path / "small")
    with pytest.raises(DataSourceError, match=r"holds 2 trees \(.*large, .*small\): give one"):
        locate(tmp_path)


def test_no_images_at_all(tmp_path):
    for name in IMAGES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    plant(tmp_path, ["train/NORMAL/._a.jpeg", "train/NORMAL/a.txt"])
    with pytest.raises(DataSourceError, match=r"there are no images at all: expected <split>/{NOR"):
        locate(tmp_path)


def test_images_in_no_class_folder(tmp_path):
    plant(tmp_path, ["train/a.png", "train/b.png", "test/c.png"])
    with pytest.raises(DataSourceError, match="the 3 images lie in no class folder: sort them"):
        locate(tmp_path)


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_split_without_images(tmp_path, split):
    plant(tmp_path, [name for name in IMAGES if not name.startswith(split)])
    (tmp_path / split / "NORMAL").mkdir(parents=True)
    with pytest.raises(DataSourceError, match=rf"{split}/ holds no images: expected .*\. Received"):
        locate(tmp_path)


@pytest.mark.parametrize("split", ["train", "val", "test"])
@pytest.mark.parametrize("present, missing", [CLASSES, CLASSES[::-1]])
def test_one_class_only(tmp_path, split, present, missing):
    plant(tmp_path)
    shutil.rmtree(tmp_path / split / missing)
    number = len(image_files(tmp_path / split / present))
    match = rf"{split}/ holds only one class: .* {number} images in {present} but none in {missing}"
    with pytest.raises(DataSourceError, match=match):
        locate(tmp_path)


def test_other_classes(tmp_path):
    plant(tmp_path, [*IMAGES, "test/VIRUS/a.jpeg", "test/COVID/b.jpeg", "test/notes/c.txt"])
    with pytest.raises(DataSourceError, match="test/ has images in COVID, VIRUS, but the classes"):
        locate(tmp_path)


def test_classes_in_small_letters(tmp_path):
    plant(tmp_path, [name.replace("/NORMAL/", "/normal/") for name in IMAGES])
    with pytest.raises(DataSourceError, match="train/ has images in normal, but the classes are"):
        locate(tmp_path)


# ------------------------------------------------------------------ "synthetic"


def test_synthetic_is_made_once(cache, monkeypatch):
    made = []

    def make_tree(folder):
        made.append(folder)
        time.sleep(0.2)  # so that the others do meet it at work
        plant_clutter(plant(folder / "chest_xray"))
        plant(folder / "masks")

    monkeypatch.setattr(synthetic, "make_tree", make_tree)
    with ThreadPoolExecutor(4) as pool:
        located = set(pool.map(locate, ["synthetic"] * 4))
    folder = cache / f"synthetic-{synthetic.MODEL_VERSION}"
    assert located == {folder / "chest_xray"}
    assert made == [folder]


def test_synthetic_of_a_newer_model_is_made_anew(cache, monkeypatch):
    monkeypatch.setattr(synthetic, "make_tree", lambda folder: plant(folder / "chest_xray"))
    old = locate("synthetic")
    monkeypatch.setattr(synthetic, "MODEL_VERSION", synthetic.MODEL_VERSION + 1)
    assert locate("synthetic") != old


def test_synthetic_on_a_full_disk(monkeypatch):
    def make_tree(folder):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(synthetic, "make_tree", make_tree)
    with pytest.raises(DataSourceError, match=r"No space left on device\): .* XRAYLIB_CACHE"):
        locate("synthetic")


def test_synthetic_with_images_removed(monkeypatch):
    monkeypatch.setattr(synthetic, "make_tree", lambda folder: plant(folder / "chest_xray"))
    shutil.rmtree(locate("synthetic") / "test" / "NORMAL")
    with pytest.raises(DataSourceError, match=r'none in NORMAL .*"synthetic" \(if .* delete it'):
        locate("synthetic")


def test_two_processes_make_the_real_synthetic_tree(cache):
    code = (
        "from xraylib.data import sources, synthetic; make = synthetic.make_tree; "
        "synthetic.make_tree = lambda folder: make(folder, images=20, size=32); "
        "print(sources.locate('synthetic'))"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    printed = [process.communicate()[0].strip() for process in processes]
    tree = cache / f"synthetic-{synthetic.MODEL_VERSION}" / "chest_xray"
    assert printed == [str(tree)] * 2
    assert len(found(tree)) == 20


# ------------------------------------------------------------------ "kaggle", by hand


def zipped(path, *, tree="chest_xray/", names=IMAGES, more=()):
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in (*(tree + name for name in names), *more):
            archive.writestr(name, f"the content of {name}")
    return path


CLUTTER = [
    "chest_xray/chest_xray/train/NORMAL/IM-0001-0001.jpeg",
    "chest_xray/chest_xray/test/NORMAL/IM-0005-0001.jpeg",
    "chest_xray/__MACOSX/train/NORMAL/IM-0001-0001.jpeg",
    "__MACOSX/chest_xray/train/NORMAL/._IM-0001-0001.jpeg",
    "chest_xray/train/NORMAL/._IM-0001-0001.jpeg",
    "chest_xray/train/.DS_Store",
    "chest_xray/read_me.txt",
    "chest_xray/train/NORMAL/notes.txt",
]


@pytest.fixture
def no_network(monkeypatch):
    """Fails on any request, as without a network, and counts them."""
    import requests

    tried = []

    def send(self, request, **options):
        tried.append(request.url)
        raise requests.ConnectionError(f"Failed to resolve host of {request.url}")

    monkeypatch.setattr(requests.Session, "send", send)
    return tried


def test_kaggle_unpacked_by_hand(cache, no_network):
    tree = plant_clutter(plant(cache / "kaggle" / "chest_xray"))
    assert locate("kaggle") == tree
    assert not no_network


@pytest.mark.parametrize("tree", ["chest_xray/", "", "ChestXRay2017/chest_xray/"])
def test_kaggle_zip_by_hand(cache, no_network, tree):
    archive = zipped(cache / "kaggle" / "archive.ZIP", tree=tree, more=CLUTTER if tree else ())
    located = locate("kaggle")
    assert located == cache / "kaggle" / "chest_xray"
    written = [path for path in located.rglob("*") if path.is_file()]
    assert sorted(path.relative_to(located).as_posix() for path in written) == sorted(IMAGES)
    for name in IMAGES:
        assert (located / name).read_text() == f"the content of {tree}{name}"
    assert sorted(path.name for path in (cache / "kaggle").iterdir()) == [
        "archive.ZIP",
        located.name,
    ]
    archive.unlink()  # not needed any more
    assert locate("kaggle") == located
    assert not no_network


def test_kaggle_zip_with_backslashes(cache):
    path = cache / "kaggle" / "a.zip"
    path.parent.mkdir(parents=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name in IMAGES:
            member = zipfile.ZipInfo()
            member.filename = "chest_xray\\" + name.replace("/", "\\")
            archive.writestr(member, "x")
    assert sorted(found(locate("kaggle"))) == sorted(IMAGES)


def test_kaggle_zip_unpacked_by_several_at_once(cache):
    zipped(cache / "kaggle" / "a.zip")
    with ThreadPoolExecutor(4) as pool:
        located = set(pool.map(locate, ["kaggle"] * 4))
    assert located == {cache / "kaggle" / "chest_xray"}


def test_kaggle_zip_after_a_killed_attempt(cache):
    plant(cache / "kaggle" / ".unpacking", ["train/NORMAL/old.jpeg"])
    zipped(cache / "kaggle" / "a.zip")
    assert sorted(found(locate("kaggle"))) == sorted(IMAGES)


def assert_nothing_unpacked(folder):
    assert [path.name for path in folder.iterdir() if path.suffix.lower() != ".zip"] == []


@pytest.mark.parametrize(
    "name", ["chest_xray/train/NORMAL/../../../../evil.jpeg", "/train/evil.jpeg", "C:\\evil.jpeg"]
)
def test_kaggle_zip_that_would_leave_its_folder(cache, name):
    zipped(cache / "kaggle" / "a.zip", more=[name])
    with pytest.raises(DataSourceError, match=r"a\.zip has a member that would leave its folder"):
        locate("kaggle")
    assert_nothing_unpacked(cache / "kaggle")


@pytest.mark.parametrize("kept", [0, 0.5, 0.99])
def test_kaggle_zip_cut_short(cache, kept):
    path = zipped(cache / "kaggle" / "a.zip")
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(DataSourceError, match=r"a\.zip is not a whole zip \(.*download it again"):
        locate("kaggle")
    assert_nothing_unpacked(cache / "kaggle")


def test_kaggle_zip_with_a_damaged_member(cache):
    path = zipped(cache / "kaggle" / "a.zip")
    content = bytearray(path.read_bytes())
    content[70:80] = bytes(10)
    path.write_bytes(content)
    with pytest.raises(DataSourceError, match=r"a\.zip is not a whole zip \("):
        locate("kaggle")
    assert_nothing_unpacked(cache / "kaggle")


def test_kaggle_zip_of_something_else(cache):
    zipped(cache / "kaggle" / "a.zip", names=["readme.txt", "train/a.png"])
    with pytest.raises(DataSourceError, match=r"a\.zip has no train/ and test/ with images"):
        locate("kaggle")
    assert_nothing_unpacked(cache / "kaggle")


def test_kaggle_zip_that_lacks_a_class(cache):
    zipped(cache / "kaggle" / "a.zip", names=[name for name in IMAGES if "st/NORM" not in name])
    with pytest.raises(DataSourceError, match=r"test/ holds only one class.*\(in .*a\.zip\)"):
        locate("kaggle")
    assert_nothing_unpacked(cache / "kaggle")


def test_kaggle_zip_larger_than_the_disk(cache, monkeypatch):
    zipped(cache / "kaggle" / "a.zip")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=10))
    with pytest.raises(
        DataSourceError, match=r"cannot unpack .*a\.zip \(needs 0 MB, 0 MB are free"
    ):
        locate("kaggle")
    assert_nothing_unpacked(cache / "kaggle")


def test_two_kaggle_zips(cache):
    zipped(cache / "kaggle" / "a.zip")
    zipped(cache / "kaggle" / "b.zip")
    with pytest.raises(DataSourceError, match=r"holds 2 zips \(a\.zip, b\.zip\): leave only one"):
        locate("kaggle")


# ------------------------------------------------------------------ "kaggle", by kagglehub


def plant_kagglehub(folder):
    """The pinned version as the real kagglehub leaves it in its cache."""
    version = folder / "datasets" / KAGGLE_HANDLE
    plant_clutter(plant(version / "chest_xray"))
    (folder / "datasets/paultimothymooney/chest-xray-pneumonia/2.complete").touch()
    return version


def test_kaggle_from_the_real_kagglehub_offline(tmp_path, no_network):
    version = plant_kagglehub(tmp_path / "kagglehub")
    assert locate("kaggle") == version / "chest_xray"
    assert sorted(found(version / "chest_xray")) == sorted(IMAGES)
    assert not no_network


def test_kaggle_is_downloaded(tmp_path, monkeypatch):
    import kagglehub
    import requests

    asked = []

    def download(handle):
        asked.append(handle)
        return str(plant_kagglehub(tmp_path / "kagglehub"))

    monkeypatch.setattr(requests, "head", lambda url, timeout: asked.append(url))
    monkeypatch.setattr(kagglehub, "dataset_download", download)
    version = tmp_path / "kagglehub" / "datasets" / KAGGLE_HANDLE
    assert locate("kaggle") == version / "chest_xray"
    assert locate("kaggle") == version / "chest_xray"
    assert asked == ["https://api.kaggle.com", KAGGLE_HANDLE, KAGGLE_HANDLE]


def test_kaggle_inside_a_kaggle_notebook_needs_no_internet(tmp_path, monkeypatch, no_network):
    import kagglehub

    tree = plant(tmp_path / "input" / "chest-xray-pneumonia" / "chest_xray")
    monkeypatch.setenv("KAGGLE_KERNEL_RUN_TYPE", "Batch")
    monkeypatch.setattr(kagglehub, "dataset_download", lambda handle: str(tree.parent))
    assert locate("kaggle") == tree
    assert not no_network


def test_kaggle_offline(cache, no_network):
    with pytest.raises(DataSourceError) as error:
        locate("kaggle")
    message = str(error.value)
    assert len(no_network) == 1
    assert "\n" not in message
    assert 'cannot get "kaggle" (no answer from Kaggle): either' in message
    assert (
        'python -c "import kagglehub; kagglehub.dataset_download('
        "'paultimothymooney/chest-xray-pneumonia/versions/2')\"" in message
    )
    assert f"into {cache / 'kaggle'};" in message
    assert (cache / "kaggle").is_dir()
    assert "SOURCE=synthetic and SOURCE=<folder> work without it" in message
    assert error.value.__cause__ is None


def test_kaggle_download_that_breaks(monkeypatch):
    import kagglehub
    import requests

    def download(handle):
        raise KeyError("something\nof many lines")

    monkeypatch.setattr(requests, "head", lambda url, timeout: None)
    monkeypatch.setattr(kagglehub, "dataset_download", download)
    with pytest.raises(DataSourceError, match=r'cannot get "kaggle" \(KeyError: '):
        locate("kaggle")


def test_kaggle_download_that_is_not_complete(tmp_path):
    version = plant_kagglehub(tmp_path / "kagglehub")
    shutil.rmtree(version / "chest_xray" / "test" / "NORMAL")
    with pytest.raises(DataSourceError, match=r'none in NORMAL .*"kaggle" \(if .*2, delete it'):
        locate("kaggle")


def test_importing_sources_imports_nothing_heavy():
    code = (
        "import sys, xraylib.data.sources, xraylib.data.reading; "
        "print(*{'kagglehub', 'requests', 'PIL', 'numpy', 'tqdm'} & set(sys.modules))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == ""
