import os

import pytest
from PIL import Image
from support.trees import plant

from xraylib.data.listing import IMAGE, everything
from xraylib.errors import DataSourceError


def kinds(folder):
    files = everything(folder).files
    return {file.below: file.kind for file in files}


def film(path, form):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (4, 4)).save(path, form)


def test_every_file_but_clutter_is_listed(tmp_path):
    plant(tmp_path, ["a.JPEG", "below/deep/b.png", "c.PNG", "notes.txt", "d.jpeg.txt", "jpeg"])
    plant(tmp_path, ["._a.JPEG", ".a.png", "Thumbs.db", "__MACOSX/b.jpeg", ".hidden/b.jpeg"])
    (tmp_path / "folder.jpeg").mkdir()
    assert kinds(tmp_path) == {
        "a.JPEG": IMAGE,
        "below/deep/b.png": IMAGE,
        "c.PNG": IMAGE,
        "notes.txt": ".txt files",
        "d.jpeg.txt": ".txt files",
        "jpeg": "files without a suffix",
    }
    folders = [("below",), ("below", "deep"), ("folder.jpeg",)]
    assert sorted(everything(tmp_path).folders) == folders


@pytest.mark.parametrize(
    "name, form",
    [
        ("film.jfif", "JPEG"),
        ("film.tif", "TIFF"),
        ("film.bmp", "BMP"),
        ("film.webp", "WEBP"),
        ("film", "JPEG"),
        ("film.dcm", "PNG"),
        ("film.001", "JPEG"),
        ("film.txt", "PNG"),
    ],
)
def test_content_makes_an_image_of_any_suffix(tmp_path, name, form):
    film(tmp_path / name, form)
    assert kinds(tmp_path) == {name: IMAGE}


@pytest.mark.parametrize(
    "name, kind",
    [
        ("scores.CSV", ".csv files"),
        ("scan.001", "other files"),
        ("a.b c", "other files"),
        ("set.zip", "archives"),
        ("set.tar.gz", "archives"),
        ("README", "files without a suffix"),
    ],
)
def test_kinds_of_what_is_no_image(tmp_path, name, kind):
    assert kinds(plant(tmp_path, [name])) == {name: kind}


def test_known_suffixes_are_not_opened(tmp_path, monkeypatch):
    plant(tmp_path, ["a.jpeg", "b.JPG", "c.png", "d.zip"])
    monkeypatch.setattr("builtins.open", lambda *arguments, **options: pytest.fail("opened"))
    assert set(kinds(tmp_path).values()) == {IMAGE, "archives"}


def test_links_to_files_and_folders_are_followed(tmp_path):
    plant(tmp_path / "elsewhere", ["a.png", "below/b.png"])
    folder = plant(tmp_path / "mine", ["c.png"])
    (folder / "folder").symlink_to(tmp_path / "elsewhere")
    (folder / "film.png").symlink_to(tmp_path / "elsewhere/a.png")
    names = ["c.png", "film.png", "folder/a.png", "folder/below/b.png"]
    assert sorted(kinds(folder)) == names
    linked = {file.below: file.linked for file in everything(folder).files}
    assert linked == {"c.png": False, **dict.fromkeys(names[1:], True)}
    assert len({file.identity for file in everything(folder).files}) == 3  # film.png is a.png


def test_links_that_lead_back_are_said_not_followed(tmp_path):
    folder = plant(tmp_path / "mine", ["deep/a.png"])
    (folder / "deep/itself").symlink_to(folder / "deep")
    (folder / "deep/up").symlink_to("..")
    (folder / "nowhere.png").symlink_to("no such file")
    (folder / "circle").symlink_to("circle")
    assert kinds(folder) == {
        "deep/a.png": IMAGE,
        "deep/itself": "links to folders that are listed already",
        "deep/up": "links to folders that are listed already",
        "nowhere.png": "broken links",
        "circle": "broken links",
    }


def test_folders_that_link_to_one_another_have_an_end(tmp_path):
    for number in range(8):
        folder = plant(tmp_path / f"{number}", ["a.png"])
        for other in range(8):
            (folder / f"to {other}").symlink_to(tmp_path / f"{other}")
    assert len(kinds(tmp_path)) < 2000


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "film")
    assert kinds(tmp_path) == {"film": "devices or pipes"}


def test_a_name_that_is_no_text(tmp_path):
    name = os.fsdecode(b"f\xe9.png")
    try:
        plant(tmp_path, [name])
    except OSError:
        pytest.skip("the disk takes no such name")
    assert kinds(tmp_path) == {name: IMAGE}


def test_a_folder_that_cannot_be_listed(tmp_path, monkeypatch):
    with pytest.raises(DataSourceError, match=r"cannot list the folder .*nowhere \(.+\): give one"):
        everything(tmp_path / "nowhere")

    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))  # root may read everything

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(DataSourceError, match=r"cannot list the folder .* \(Permission denied\)"):
        everything(tmp_path)
