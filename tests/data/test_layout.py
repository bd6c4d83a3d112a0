import shutil
import unicodedata

import pytest
from support.trees import IMAGES, plant

from xraylib.data import layout
from xraylib.data.words import CLASSES
from xraylib.errors import DataSourceError


def both(*places):
    """An image of each class in each place."""
    return [f"{place}{name}/{name}.png" for place in places for name in CLASSES]


def labels(folder, **options):
    """The labels by the paths below the folder."""
    images = layout.read(folder, **options).images
    return {image.path.relative_to(folder).as_posix(): image.label for image in images}


def refused(folder, match, **options):
    with pytest.raises(DataSourceError, match=match) as error:
        layout.read(folder, **options)
    assert "\n" not in str(error.value)


def passed_over(folder, **options):
    rows = layout.read(folder, **options).passed_over
    return {row["kind"]: (row["count"], row["example"]) for row in rows}


@pytest.mark.parametrize(
    "zero, one",
    [
        ("normal", "pneumonia"),
        ("Normals", "1_PNEUMONIA"),
        ("zzz", "Pneumonia"),
        ("NORMAL", "COVID"),
        ("Normal", "Lung_Opacity"),
        ("normal", "Abnormal"),
    ],
)
def test_one_of_the_two_words_is_enough(tmp_path, zero, one):
    plant(tmp_path, [f"{zero}/a.png", f"{one}/b.png"])
    assert labels(tmp_path) == {f"{zero}/a.png": 0, f"{one}/b.png": 1}
    assert layout.read(tmp_path).classes == (zero, one)


@pytest.mark.parametrize(
    "names",
    [
        ("gesund", "krank"),
        ("healthy", "COVID"),
        ("0", "1"),
        ("not normal", "Viral Pneumonia"),
        ("no finding", "lung opacity"),
        ("正常", "肺炎"),
    ],
)
def test_other_names_need_to_be_told(tmp_path, names):
    zero, one = names
    plant(tmp_path, [f"{zero}/a.png", f"{one}/b.png"])
    listed = rf"{min(names)}, {max(names)}, and none is"
    refused(tmp_path, rf"which folder is class 1\? .* holds {listed} NORMAL or .* POSITIVE")
    assert labels(tmp_path, positive=one) == {f"{zero}/a.png": 0, f"{one}/b.png": 1}
    assert labels(tmp_path, positive=zero) == {f"{zero}/a.png": 1, f"{one}/b.png": 0}
    refused(tmp_path, rf"holds {listed} called krnk: give", positive="krnk")


def test_the_name_of_class_1_in_another_spelling(tmp_path):
    plant(tmp_path, [unicodedata.normalize("NFD", "Ödem/a.png"), "aaa/b.png"])
    assert list(labels(tmp_path, positive=" ödem ").values()) == [0, 1]


def test_what_was_told_wins_over_the_words_and_is_not_needed_with_them(tmp_path):
    plant(tmp_path, both(""))
    assert labels(tmp_path, positive="NORMAL") == {
        "NORMAL/NORMAL.png": 1,
        "PNEUMONIA/PNEUMONIA.png": 0,
    }
    assert layout.read(tmp_path, positive="krank").classes == CLASSES


def test_spellings_that_differ_between_the_splits(tmp_path):
    names = ["train/Normal/a.png", "train/Pneumonia/a.png", "test/normal/a.png"]
    plant(tmp_path, [*names, "test/Pneumonia/a.png"])
    assert layout.read_splits(tmp_path).classes == ("NORMAL", "Pneumonia")


@pytest.mark.parametrize("zero, one", [CLASSES, ("normal", "ill"), ("well", "ill")])
@pytest.mark.parametrize(
    "place",
    [
        "site_1/{}/a.png",
        "{}/patient 7/study/a.png",
        "{}/images/a.png",
        "b/c/{}/1/2/a.png",
        "1/{}/1/a.png",
    ],
)
def test_folders_above_and_below_the_classes(tmp_path, place, zero, one):
    plant(tmp_path, [place.format(zero), place.format(one)])
    other = place.replace("1", "2")
    plant(tmp_path, [other.format(zero), other.format(one)])
    read = labels(tmp_path, positive=one)
    assert all(label == (one in path) for path, label in read.items())
    assert len(read) == len({place, other}) * 2


def test_sites_are_not_taken_for_classes(tmp_path):
    plant(tmp_path, [f"site_{site}/{name}/a.png" for site in (1, 2) for name in ("well", "ill")])
    refused(tmp_path, r"holds site_1, site_2, each with ill, well, and none is NORMAL or PNEUMONIA")
    assert sum(labels(tmp_path, positive="ill").values()) == 2


@pytest.mark.parametrize(
    "names, match",
    [
        (
            ["NORMAL/a.png", "PNEUMONIA/b.png", "PNEUMONIA/NORMAL/c.png"],
            "PNEUMONIA/NORMAL is a folder",
        ),
        (
            ["NORMAL/a.png", "PNEUMONIA/b.png", "NORMAL/x/pneumonia/c.png"],
            "NORMAL/x/pneumonia is a",
        ),
        (
            [*both("train/"), "train/PNEUMONIA/p1/Normals/a.png"],
            "train/PNEUMONIA/p1/Normals is a fol",
        ),
        (["normal/a.png", "COVID/b.png", "normal/covid/c.png"], "normal/covid is a folder of one"),
        (
            [*both("train/", "test/"), "test/train/NORMAL/a.png"],
            "lies in test and in train: move it",
        ),
        (
            [*both("train/"), "train/NORMAL/validation/a.png"],
            "lies in train and in validation: move",
        ),
    ],
)
def test_one_class_or_split_inside_another(tmp_path, names, match):
    refused(plant(tmp_path, names), match)


@pytest.mark.parametrize(
    "names, match",
    [
        (
            [*both(""), "COVID/a.png"],
            "there are images in COVID, but the classes in .* are NORMAL and",
        ),
        (
            ["NORMAL/a.png", "VIRUS/a.png", "BACTERIA/a.png"],
            r"there are 3 \(BACTERIA, NORMAL, VIRUS\)",
        ),
        ([*both("train/"), "train/unclear/x/a.png"], "images in train/unclear/x, but the classes"),
        (["a/1.png", "b/1.png", "c/1.png"], r"two class folders .* are 3 \(a, b, c\): leave"),
        (["a/1.png"], r"must be two class folders .* but there are 1 \(a\)"),
        (["normal/1.png", "normal/2/3.png"], r"but there are 1 \(normal\)"),
        (["a/1.png", "b/notes.txt"], r"the class b in .* has no images: fill it"),
        (["PNEUMONIA/1.png", "NORMAL/notes.txt"], r"the class NORMAL in .* has no images: fill it"),
        (["normal/1.png", "ill/notes.txt"], r"the class ill in .* has no images: fill it"),
        (["NORMAL/1.png", "PNEUMONIA/masks/1.png"], r"there are 1 \(NORMAL\)"),
        (["1.png"], r"no images in class folders in .*: sort them into two"),
        ([".hidden/1.png", "a/._1.png", "b/1.txt"], "no images in class folders"),
        (["x/train/a/1.png", "y/train/a/1.png"], r"holds 2 trees \(.*x, .*y\): give one of them"),
        (
            ["gesund/1.png", "krank/pneumonia/1.png", "krank/covid/1.png"],
            "are images in gesund, but",
        ),
    ],
)
def test_what_are_no_two_classes(tmp_path, names, match):
    refused(plant(tmp_path / "mine", names), match)


def test_a_number_that_names_a_class_and_a_site(tmp_path):
    plant(tmp_path, [f"{site}/{label}/a.png" for site in (1, 2) for label in (0, 1)])
    refused(tmp_path, "folders called 1 lie at different depths", positive="1")


@pytest.mark.parametrize("wrap", ["", "archive/", "a/b/", "NORMAL/", "train/", "PNEUMONIA/test/"])
@pytest.mark.parametrize("split", ["", "Training Set/", "test/test/"])
def test_names_of_folders_that_wrap_a_tree_mean_nothing(tmp_path, wrap, split):
    tree = [f"{wrap}{name}" for name in both(split)]
    if split:
        tree += [f"{wrap}{name}" for name in both("val/")]
    folder = plant(tmp_path / "PNEUMONIA", tree)
    plant(folder, ["__MACOSX/NORMAL/a.png", f"{wrap}.DS_Store", f"{wrap}NORMAL/._a.png"])
    if wrap == "train/" and not split:
        assert {image.split for image in layout.read(folder).images} == {"train"}
    assert labels(folder) == {name: int("PNEUMONIA.png" in name) for name in tree}
    assert not layout.read(folder).passed_over


def test_splits_in_other_spellings(tmp_path):
    plant(tmp_path, both("Train/", "validation/", "Test Set/"))
    images = layout.read_splits(tmp_path).images
    assert [image.split for image in images] == ["train", "train", "val", "val", "test", "test"]


def test_what_may_be_a_split_is_refused_by_its_name(tmp_path):
    refused(plant(tmp_path, both("chest_train/", "chest_test/")), "chest_test in .* may be a split")


@pytest.mark.parametrize("split", ["", "train/"])
def test_a_doubled_tree_counts_once_and_is_said(tmp_path, split):
    real = [f"{split}a/1.png", f"{split}b/2.png"]
    folder = plant(tmp_path / "mine", [*real, *(f"mine/{name}" for name in real)])
    assert list(labels(folder, positive="b")) == real
    kind = "images in a copy of the tree, mine/"
    assert passed_over(folder, positive="b") == {kind: (2, f"mine/{split}a/1.png")}


@pytest.mark.parametrize(
    "name, kind",
    [
        ("train/x.png", "images in no class folder of train/"),
        ("x.png", "images beside the splits"),
        ("more/NORMAL/x.png", "images beside the splits"),
        ("val/site/x.png", "images in no class folder of val/"),
        ("train/NORMAL/masks/x.png", "masks"),
        ("train/Segmentations/NORMAL/x.png", "masks"),
        ("train/NORMAL/NORMAL_mask.png", "masks"),
        ("train/NORMAL/labels.csv", ".csv files"),
        ("download.zip", "archives"),
        ("test/LICENSE", "files without a suffix"),
    ],
)
def test_everything_that_is_not_taken_is_counted(tmp_path, name, kind):
    plant(tmp_path, [*both("train/", "test/"), name, "train/Thumbs.db"])
    assert passed_over(tmp_path) == {kind: (1, name)}
    assert len(labels(tmp_path)) == 4


def test_what_lies_beside_the_tree_is_counted(tmp_path):
    plant(tmp_path, [*both("chest/train/", "chest/test/"), "x.png", "y/z.png", "masks/train/a.png"])
    assert layout.read(tmp_path).base == tmp_path / "chest"
    assert passed_over(tmp_path) == {
        "images beside the tree": (2, "x.png"),
        "masks": (1, "masks/train/a.png"),
    }


def test_a_name_with_mask_at_its_end_that_belongs_to_no_film(tmp_path):
    assert len(labels(plant(tmp_path, [*both(""), "NORMAL/with mask.png"]))) == 3


def test_every_file_is_taken_or_counted(tmp_path):
    names = [
        *both("train/", "test/"),
        "train/x.png",
        "train/NORMAL/masks/a.png",
        "a.txt",
        "b/c.png",
    ]
    read = layout.read(plant(tmp_path, names))
    assert len(read.images) + sum(row["count"] for row in read.passed_over) == len(names)


def test_linked_class_folders_and_films(tmp_path):
    store = plant(tmp_path / "store", ["n/a.png", "p/b.png", "c.png"])
    tree = plant(tmp_path / "tree", ["NORMAL/d.png"])
    (tree / "PNEUMONIA").symlink_to(store / "p")
    (tree / "NORMAL/c.png").symlink_to(store / "c.png")
    assert labels(tree) == {"NORMAL/c.png": 0, "NORMAL/d.png": 0, "PNEUMONIA/b.png": 1}


def test_links_to_what_is_taken_already(tmp_path):
    plant(tmp_path, both(""))
    (tmp_path / "NORMAL/again").symlink_to(tmp_path / "NORMAL")
    (tmp_path / "NORMAL/more").symlink_to(tmp_path)
    (tmp_path / "NORMAL/zz.png").symlink_to("NORMAL.png")
    (tmp_path / "NORMAL/gone.png").symlink_to("nothing.png")
    assert len(labels(tmp_path)) == 2
    assert passed_over(tmp_path) == {
        "broken links": (1, "NORMAL/gone.png"),
        "links to folders that are listed already": (2, "NORMAL/again"),
        "links to images that are listed already": (1, "NORMAL/zz.png"),
    }


@pytest.mark.parametrize("link, target", [("x", "NORMAL"), ("x.png", "NORMAL/NORMAL.png")])
def test_a_link_from_one_class_into_the_other(tmp_path, link, target):
    plant(tmp_path, both(""))
    (tmp_path / "PNEUMONIA" / link).symlink_to(tmp_path / target)
    refused(
        tmp_path, r"PNEUMONIA/x.*png is or lies in a link to .*NORMAL.png, which is of the other"
    )


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_a_split_without_images(tmp_path, split):
    plant(tmp_path, [name for name in IMAGES if not name.startswith(split)])
    (tmp_path / split / "NORMAL").mkdir(parents=True)
    match = f"{split}/ holds no images in class folders: expected some in {split}/NORMAL/ and"
    with pytest.raises(DataSourceError, match=match):
        layout.read_splits(tmp_path)


def test_an_unlabelled_split_is_said(tmp_path):
    plant(tmp_path, [*both("train/"), "test/1.png", "test/2.png"])
    assert passed_over(tmp_path) == {"images in no class folder of test/": (2, "test/1.png")}
    with pytest.raises(
        DataSourceError, match=r"test/ holds no .*not taken: .* test/: 2 \(test/1.png\)"
    ):
        layout.read_splits(tmp_path)


def test_val_is_optional(tmp_path):
    assert len(layout.read_splits(plant(tmp_path, both("train/", "test/"))).images) == 4


@pytest.mark.parametrize("split", ["train", "val", "test"])
@pytest.mark.parametrize("present, missing", [CLASSES, CLASSES[::-1]])
def test_one_class_only(tmp_path, split, present, missing):
    plant(tmp_path)
    shutil.rmtree(tmp_path / split / missing)
    number = len(list((tmp_path / split / present).iterdir()))
    match = rf"{split}/ holds only one class: .* {number} images in {present} but none in {missing}"
    with pytest.raises(DataSourceError, match=match):
        layout.read_splits(tmp_path)
