import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageOps

from xraylib.audit import duplicates

SYMMETRIES = {
    "the same look": lambda image: image,
    "mirrored": ImageOps.mirror,
    "flipped top to bottom": ImageOps.flip,
    "turned by 180°": lambda image: image.transpose(Image.Transpose.ROTATE_180),
    "turned by 90°": lambda image: image.transpose(Image.Transpose.ROTATE_90),
    "turned by 90° the other way": lambda image: image.transpose(Image.Transpose.ROTATE_270),
    "mirrored and turned by 90°": lambda image: image.transpose(Image.Transpose.TRANSPOSE),
    "mirrored and turned by 90°, too": lambda image: image.transpose(Image.Transpose.TRANSVERSE),
}


def picture(seed):
    """A smooth picture, as a radiograph is."""
    coarse = np.random.default_rng(seed).integers(0, 256, (20, 20)).astype(np.uint8)
    return Image.fromarray(coarse).resize((150, 110), Image.Resampling.BICUBIC)


def hash_of(image):
    return duplicates.perceptual_hash(np.asarray(image))


def table(*images, sha256=None):
    names = sha256 or [f"{id(image)}" for image in images]
    return pd.DataFrame({"sha256": names, "phash": [hash_of(image) for image in images]})


def test_pairs_within_the_distance(monkeypatch):
    monkeypatch.setattr(duplicates, "_BLOCK", 2)  # so that pairs lie within and between blocks
    hashes = np.zeros((5, 32), np.uint8)
    hashes[1, 0] = 0b1  # 1 bit from 0
    hashes[2, :16] = 255  # far from all, in every symmetry
    hashes[3, :3] = 0b1111111, 255, 0b111111  # 21 bits from 0, 20 from 1
    hashes[4, :3] = 0b1111111, 255, 0b11111  # 20 from 0, 19 from 1, 1 from 3
    pairs = duplicates.near_copies(each.tobytes().hex() for each in hashes)
    assert list(pairs) == ["first", "second", "distance", "how"]
    expected = [[0, 1, 1], [0, 4, 20], [1, 3, 20], [1, 4, 19], [3, 4, 1]]
    assert pairs[["first", "second", "distance"]].to_numpy().tolist() == expected
    assert set(pairs["how"]) == {"the same look"}


@pytest.mark.parametrize("negative", [False, True])
@pytest.mark.parametrize("name", SYMMETRIES)
def test_a_copy_is_found_in_every_symmetry_and_as_a_negative(name, negative):
    other = SYMMETRIES[name](picture(0))
    how = name.removesuffix(" the other way").removesuffix(", too")
    if negative:
        other = ImageOps.invert(other)
        how = "negative" if how == "the same look" else f"{how}, negative"
    (pair,) = duplicates.near_copies(
        [hash_of(picture(1)), hash_of(picture(0)), hash_of(other)]
    ).to_dict("records")
    assert (pair["first"], pair["second"], pair["how"]) == (1, 2, how)
    assert pair["distance"] <= 3


def test_the_distance_in_a_symmetry_is_that_of_the_turned_hash():
    rng = np.random.default_rng(0)
    signs = rng.random((16, 16)) > 0.5
    other = signs.T.copy()
    other[:, 1::2] ^= True
    wrong = rng.choice(np.arange(1, 256), 20, replace=False)
    other.ravel()[wrong] ^= True
    hashes = [np.packbits(each).tobytes().hex() for each in (signs, other)]
    (pair,) = duplicates.near_copies(hashes).to_numpy().tolist()
    assert pair == [0, 1, 20, "turned by 90°"]


@pytest.mark.parametrize("count", [0, 1])
def test_no_pairs_of_fewer_than_two(count):
    assert duplicates.near_copies(["0" * 64] * count).empty


@pytest.mark.parametrize("missing", [None, "", np.nan])
def test_a_picture_without_a_hash_is_like_no_other(missing):
    pairs = duplicates.near_copies([missing, "0" * 64, missing, "0" * 64])
    assert pairs[["first", "second"]].to_numpy().tolist() == [[1, 3]]


def test_a_hash_of_another_length():
    with pytest.raises(ValueError, match="64 hexadecimal digits"):
        duplicates.near_copies(["0" * 64, "ff"])


@pytest.mark.parametrize("level", [0, 7, 255])
def test_a_flat_picture_has_no_hash(level):
    assert duplicates.perceptual_hash(np.full((30, 40), level, np.uint8)) == ""


def test_the_same_bytes_and_looks_are_found_between_two_tables():
    ours = table(picture(0), picture(1), picture(2), sha256=["a", "b", "c"])
    theirs = table(picture(3), ImageOps.mirror(picture(2)), picture(0), sha256=["x", "y", "a"])
    pairs = duplicates.between(ours, theirs)
    assert list(pairs) == ["first", "second", "how", "distance"]
    assert pairs[["first", "second", "how"]].to_numpy().tolist() == [
        [0, 2, "same bytes"],
        [2, 1, "mirrored"],
    ]


def test_the_first_table_may_have_any_index_and_unreadable_files():
    ours = table(picture(0), picture(1), sha256=["a", "b"])
    ours.index = [7, 7]
    lost = pd.DataFrame({"sha256": ["", "z"], "phash": [None, None]})
    pairs = duplicates.between(pd.concat([lost, ours]), pd.concat([lost.head(1), ours.tail(1)]))
    assert pairs.to_numpy().tolist() == [[3, 1, "same bytes", 0]]


def test_between_nothing_and_something():
    assert duplicates.between(table(picture(0)).head(0), table(picture(0))).empty
    assert duplicates.between(table(picture(0)), table(picture(0)).head(0)).empty


def test_saving_again_resizing_and_brightness_hardly_change_the_hash(tmp_path):
    image = picture(0)
    image.resize((400, 260)).save(tmp_path / "x.jpg", quality=50)
    changed = [Image.open(tmp_path / "x.jpg"), image.point(lambda grey: grey // 3)]
    assert len(duplicates.between(table(image), table(*changed))) == 2
