import unicodedata

import pytest

from xraylib.data import words


@pytest.mark.parametrize(
    "name, word",
    [
        *((name, "NORMAL") for name in ("normal", "Normal", "NORMALS", "0_normal", " Normal (1)")),
        *((name, "PNEUMONIA") for name in ("Pneumonias", "1-PNEUMONIA", "\uff30neumonia")),
    ],
)
def test_two_words_name_classes_in_any_spelling(name, word):
    assert words.key(name) == word


@pytest.mark.parametrize(
    "name",
    [
        *("Abnormal", "not normal", "Non-Pneumonia", "No Pneumonia", "Viral Pneumonia", "healthy"),
        *("normal_lungs", "NORM", "Pneumothorax", "COVID", "bacteria", "0", "1"),
    ],
)
def test_no_other_name_does(name):
    assert words.key(name) not in words.CLASSES


@pytest.mark.parametrize(
    "one, other",
    [
        ("Krank", "KRANK"),
        (unicodedata.normalize("NFC", "gemäß"), unicodedata.normalize("NFD", "GEMÄSS")),
        ("lung opacity", " Lung Opacity "),
        ("ΠΝΕΥΜΟΝΊΑ", "πνευμονία"),
    ],
)
def test_names_that_are_the_same(one, other):
    assert words.key(one) == words.key(other)


def test_numbers_and_signs_tell_other_names_apart():
    assert len({words.key(name) for name in ("0", "1", "class 1", "class_1", "class 2")}) == 5


@pytest.mark.parametrize(
    "name, split",
    [
        *((name, "train") for name in ("train", "Train", "TRAINING", "train_images", "TrainSet")),
        *((name, "val") for name in ("val", "valid", "Validation", "dev", "validation set")),
        *((name, "test") for name in ("test", "TEST", "testing", "Test Data", "testset", "2_test")),
        *((name, "") for name in ("chest_train", "latest", "contest", "trained", "site_1", "set")),
        *((name, "") for name in ("train_test", "NORMAL", "evaluation", "", "valve")),
    ],
)
def test_splits(name, split):
    assert words.split_of(name) == split


@pytest.mark.parametrize(
    "name, masks",
    [
        *((name, True) for name in ("mask", "Masks", "lung_masks", "LungMask", "segmentations")),
        *((name, False) for name in ("images", "unmasked", "NORMAL", "maskless")),
    ],
)
def test_masks(name, masks):
    assert words.is_masks(name) == masks


@pytest.mark.parametrize(
    "name", ["Thumbs.db", "desktop.ini", "DESKTOP.INI", "__MACOSX", ".DS_Store"]
)
def test_what_systems_leave_is_clutter(name):
    assert words.is_clutter(name)
    assert not words.is_image(name)


def test_images_by_their_names():
    assert [name for name in ("a.JPEG", "b.jpg", "c.PNG") if not words.is_image(name)] == []
    others = ("._a.JPEG", ".a.png", "notes.txt", "f.jpeg.txt", "jpeg", "g.dcm", "h.tif")
    assert [name for name in others if words.is_image(name)] == []
