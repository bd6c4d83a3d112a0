import shutil
import zipfile
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
from support.trees import IMAGES, image_names, plant, plant_clutter

from xraylib.data.kaggle import HANDLE
from xraylib.data.sources import locate
from xraylib.errors import DataSourceError


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setenv("XRAYLIB_CACHE", str(folder))
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path / "kagglehub"))
    monkeypatch.delenv("KAGGLE_KERNEL_RUN_TYPE", raising=False)
    return folder


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
    written = {path: path.read_text() for path in located.rglob("*") if path.is_file()}
    assert written == {located / name: f"the content of {tree}{name}" for name in IMAGES}
    assert set((cache / "kaggle").iterdir()) == {archive, located}
    archive.unlink()  # not needed any more
    assert locate("kaggle") == located
    assert not no_network


def test_kaggle_zip_with_what_is_no_image_by_its_name(cache, caplog):
    others = ["train/NORMAL/notes.txt", "train/PNEUMONIA/film.tif", "test/labels.csv"]
    zipped(cache / "kaggle" / "a.zip", names=[*IMAGES, *others], more=CLUTTER)
    with caplog.at_level("INFO", logger="xraylib"):
        located = locate("kaggle")
    # Whoever lists the tree counts them; only what is beside the splits is not there any more.
    written = {p.relative_to(located).as_posix() for p in located.rglob("*") if p.is_file()}
    assert written == {*IMAGES, *others}
    assert "not unpacked from" in caplog.text
    assert "3 files beside the splits (chest_xray/chest_xray/test/NORMAL/IM-" in caplog.text


def test_kaggle_zip_with_backslashes(cache):
    path = cache / "kaggle" / "a.zip"
    path.parent.mkdir(parents=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name in IMAGES:
            member = zipfile.ZipInfo()
            member.filename = "chest_xray\\" + name.replace("/", "\\")
            archive.writestr(member, "x")
    assert sorted(image_names(locate("kaggle"))) == sorted(IMAGES)


def test_kaggle_zip_unpacked_by_several_at_once(cache):
    zipped(cache / "kaggle" / "a.zip")
    with ThreadPoolExecutor(4) as pool:
        located = set(pool.map(locate, ["kaggle"] * 4))
    assert located == {cache / "kaggle" / "chest_xray"}


def test_kaggle_zip_after_a_killed_attempt(cache):
    plant(cache / "kaggle" / ".unpacking", ["train/NORMAL/old.jpeg"])
    zipped(cache / "kaggle" / "a.zip")
    assert sorted(image_names(locate("kaggle"))) == sorted(IMAGES)


def assert_refused(cache, match):
    with pytest.raises(DataSourceError, match=match):
        locate("kaggle")
    assert [path.name for path in (cache / "kaggle").iterdir()] == ["a.zip"]


@pytest.mark.parametrize(
    "name", ["chest_xray/train/NORMAL/../../../../evil.jpeg", "/train/evil.jpeg", "C:\\evil.jpeg"]
)
def test_kaggle_zip_that_would_leave_its_folder(cache, name):
    zipped(cache / "kaggle" / "a.zip", more=[name])
    assert_refused(cache, r"a\.zip has a member that would leave its folder")


@pytest.mark.parametrize("kept", [0, 0.5, 0.99])
def test_kaggle_zip_cut_short(cache, kept):
    path = zipped(cache / "kaggle" / "a.zip")
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    assert_refused(cache, r"a\.zip is not a whole zip \(.*download it again")


def test_kaggle_zip_with_a_damaged_member(cache):
    path = zipped(cache / "kaggle" / "a.zip")
    content = bytearray(path.read_bytes())
    content[70:80] = bytes(10)
    path.write_bytes(content)
    assert_refused(cache, r"a\.zip is not a whole zip \(")


@pytest.mark.parametrize(
    "names, match",
    [
        (["readme.txt", "train/a.png"], r"a\.zip has no train/ and test/ with images"),
        (
            [name for name in IMAGES if "st/NORM" not in name],
            r"test/ holds only one class.*\(in .*a\.zip\)",
        ),
    ],
)
def test_kaggle_zip_without_the_whole_tree(cache, names, match):
    zipped(cache / "kaggle" / "a.zip", names=names)
    assert_refused(cache, match)


def test_kaggle_zip_larger_than_the_disk(cache, monkeypatch):
    zipped(cache / "kaggle" / "a.zip")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=10))
    assert_refused(cache, r"cannot unpack .*a\.zip \(needs 0 MB, 0 MB are free")


def test_two_kaggle_zips(cache):
    zipped(cache / "kaggle" / "a.zip")
    zipped(cache / "kaggle" / "b.zip")
    with pytest.raises(DataSourceError, match=r"holds 2 zips \(a\.zip, b\.zip\): leave only one"):
        locate("kaggle")


def plant_kagglehub(folder):
    """The pinned version as the real kagglehub leaves it in its cache."""
    version = folder / "datasets" / HANDLE
    plant_clutter(plant(version / "chest_xray"))
    (folder / "datasets/paultimothymooney/chest-xray-pneumonia/2.complete").touch()
    return version


def test_kaggle_from_the_real_kagglehub_offline(tmp_path, no_network):
    version = plant_kagglehub(tmp_path / "kagglehub")
    assert locate("kaggle") == version / "chest_xray"
    assert sorted(image_names(version / "chest_xray")) == sorted(IMAGES)
    assert not no_network


def test_kaggle_is_downloaded(tmp_path, monkeypatch):
    import kagglehub
    import requests

    requests_made = []

    def download(handle):
        requests_made.append(handle)
        return str(plant_kagglehub(tmp_path / "kagglehub"))

    monkeypatch.setattr(requests, "head", lambda url, timeout: requests_made.append(url))
    monkeypatch.setattr(kagglehub, "dataset_download", download)
    version = tmp_path / "kagglehub" / "datasets" / HANDLE
    assert locate("kaggle") == version / "chest_xray"
    assert locate("kaggle") == version / "chest_xray"
    assert requests_made == ["https://api.kaggle.com", HANDLE, HANDLE]


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
