import errno
import hashlib
import io
import os
import shutil
import warnings
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from xraylib.data import index, loading, reading, resizing, splits
from xraylib.data.augmentation import ALL, Augmentation
from xraylib.data.loading import Batches, decode, square
from xraylib.errors import UnreadableImage

KERAS_FITS = {
    "stretch": {},
    "crop": {"crop_to_aspect_ratio": True},
    "pad": {"pad_to_aspect_ratio": True},
}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty one for each test, for what is decoded twice here must be decoded twice."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("XRAYLIB_CACHE", str(folder))
    return folder


@pytest.fixture
def table(tree):
    return splits.hold_out_validation(index.from_tree(tree))


@pytest.fixture
def read(monkeypatch):
    """The names of the files that are decoded."""
    names = []
    decoded = reading._decoded

    def watched(path, **options):
        names.append(path.name)
        return decoded(path, **options)

    monkeypatch.setattr(reading, "_decoded", watched)
    return names


def entries(cache):
    return sorted(path.name for path in (cache / "pixels").iterdir())


def spoil(path):
    """Makes a whole image an unreadable one."""
    path.write_bytes(b"")


def by_keras(folder, paths, *, image_size, fit, interpolation="bilinear"):
    """What Keras' own loader makes of one split: float32 (images, size, size, 1)."""
    dataset = keras.utils.image_dataset_from_directory(
        folder,
        labels="inferred",
        color_mode="grayscale",
        image_size=(image_size, image_size),
        interpolation=interpolation,
        shuffle=False,
        verbose=False,
        **KERAS_FITS[fit],
    )
    pixels = np.concatenate([batch.numpy() for batch, _ in dataset])
    rows = {path: row for row, path in enumerate(dataset.file_paths)}
    return pixels[[rows[str(path)] for path in paths]]


# ------------------------------------------------------------------ resizing


@pytest.mark.parametrize("fit", KERAS_FITS)
@pytest.mark.parametrize("image_size", [16, 37, 96])
@pytest.mark.parametrize("resize", ["bilinear", "area"])
def test_the_pixels_are_what_keras_takes(tmp_path, resize, fit, image_size):
    rng = np.random.default_rng(1)
    shapes = [(37, 41), (41, 37), (30, 53), (90, 20), (96, 96), (128, 200), (5, 50), (97, 8)]
    for number, shape in enumerate(shapes):
        folder = tmp_path / "train" / ("NORMAL", "PNEUMONIA")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, shape, np.uint8)).save(folder / f"{number}.png")
    images = decode(index.from_tree(tmp_path), image_size=image_size, fit=fit, resize=resize)
    expected = by_keras(
        tmp_path / "train",
        images.table["path"],
        image_size=image_size,
        fit=fit,
        interpolation=resize,
    )
    # Whole numbers where Keras has fractions, and nothing more.
    assert np.abs(images.pixels - expected).max() < 0.51


@pytest.mark.parametrize("fit", KERAS_FITS)
def test_bilinear_is_what_keras_takes_of_radiographs(real_data, fit):
    folder = real_data / "chest_xray_originals"
    table = index.from_tree(folder)
    # Of train, one in four, and all of test.
    for split, step in (("train", 4), ("test", 1)):
        images = decode(table[table["split"] == split][::step], image_size=224, fit=fit)
        expected = by_keras(folder / split, images.table["path"], image_size=224, fit=fit)
        # A quarter is from rounding; the rest from the two JPEG decoders.
        assert np.abs(images.pixels - expected).mean(axis=(1, 2, 3)).max() < 0.75


def test_area_averages_what_falls_into_a_pixel():
    pixels = np.array([[0, 10, 20, 30], [2, 8, 20, 34], [0, 0, 255, 255], [0, 4, 255, 255]])
    averages = square(pixels.astype(np.uint8), image_size=2, resize="area", fit="stretch")
    assert averages.tolist() == [[5, 26], [1, 255]]


def test_area_does_not_alias():
    board = np.indices((9, 9)).sum(axis=0) % 2 * np.uint8(255)
    # 4 or 5 of 9 pixels are white; without antialiasing, the middle one alone counts.
    area = square(board.astype(np.uint8), image_size=3, resize="area", fit="stretch")
    assert area.tolist() == [[113, 142, 113], [142, 113, 142], [113, 142, 113]]
    bilinear = square(board.astype(np.uint8), image_size=3, resize="bilinear", fit="stretch")
    assert bilinear.tolist() == [[0, 255, 0], [255, 0, 255], [0, 255, 0]]


def test_area_shares_out_a_pixel_on_the_edge_of_two():
    # (2 x 30 + 60) / 3 and (60 + 2 x 120) / 3.
    pixels = np.array([[30, 60, 120]] * 2, np.uint8)
    for given in (pixels, pixels.T):
        averages = square(given, image_size=2, resize="area", fit="stretch")
        assert sorted(averages.ravel()) == [40, 40, 100, 100]


@pytest.mark.parametrize("fit", KERAS_FITS)
def test_area_in_portions_is_the_same(monkeypatch, fit):
    pixels = np.random.default_rng(0).integers(0, 256, (97, 61), np.uint8)
    whole = square(pixels, image_size=23, resize="area", fit=fit)
    monkeypatch.setattr(resizing, "_AT_ONCE", 500)
    np.testing.assert_array_equal(square(pixels, image_size=23, resize="area", fit=fit), whole)


@pytest.mark.parametrize("fit", KERAS_FITS)
@pytest.mark.parametrize("factor", [2, 4])
def test_area_of_a_reduced_picture_is_that_of_the_whole(fit, factor):
    # Each pixel of the reduced picture as a block of the whole one, whose last row and column of
    # blocks is cut.
    reduced = np.random.default_rng(0).integers(0, 256, (24, 17), np.uint8)
    whole = np.repeat(np.repeat(reduced, factor, 0), factor, 1)[: 1 - factor, : 1 - factor]
    expected = square(whole, image_size=8, resize="area", fit=fit)
    given = square(reduced, image_size=8, resize="area", fit=fit, shape=whole.shape)
    np.testing.assert_array_equal(given, expected)


@pytest.mark.parametrize("resize", ["bilinear", "area"])
@pytest.mark.parametrize("fit", ["stretch", "crop"])
@pytest.mark.parametrize("image_size", [7, 64])
def test_a_constant_image_stays_constant(resize, fit, image_size):
    pixels = np.full((31, 45), 77, np.uint8)
    result = square(pixels, image_size=image_size, resize=resize, fit=fit)
    assert result.dtype == np.uint8
    assert result.shape == (image_size, image_size)
    assert np.unique(result).tolist() == [77]


@pytest.mark.parametrize("resize", ["bilinear", "area"])
def test_crop_cuts_the_longer_side_about_the_middle(resize):
    pixels = np.array([[9, 1, 2, 9], [9, 3, 4, 9]], np.uint8)
    for turned in (pixels, pixels.T):
        middle = square(turned, image_size=2, resize=resize, fit="crop")
        assert sorted(middle.ravel()) == [1, 2, 3, 4]


@pytest.mark.parametrize("resize", ["bilinear", "area"])
def test_pad_adds_black_to_the_shorter_side(resize):
    pixels = np.full((4, 8), 9, np.uint8)
    expected = [[0] * 4, [9] * 4, [9] * 4, [0] * 4]
    assert square(pixels, image_size=4, resize=resize, fit="pad").tolist() == expected
    turned = square(pixels.T, image_size=4, resize=resize, fit="pad")
    assert turned.T.tolist() == expected


# ------------------------------------------------------------------ decode


def test_decoded_row_for_row(table):
    images = decode(table, image_size=24, resize="area")
    pd.testing.assert_frame_equal(images.table, table)
    assert images.pixels.shape == (35, 24, 24, 1)
    assert images.pixels.dtype == np.uint8
    assert not images.pixels.flags.writeable
    assert images.unreadable == {}
    for row in (0, 17, 34):
        expected = square(
            reading.grey(table["path"][row]), image_size=24, resize="area", fit="stretch"
        )
        np.testing.assert_array_equal(images.pixels[row, ..., 0], expected)


@pytest.fixture
def large(tmp_path):
    """One radiograph-like JPEG a class, of 259 x 203 px: smooth, with some grain."""
    rows, columns = np.mgrid[:259, :203]
    for label, name in enumerate(("NORMAL", "PNEUMONIA")):
        folder = tmp_path / "large" / "train" / name
        folder.mkdir(parents=True)
        smooth = 120 + 60 * np.sin(rows / 40) + 60 * np.cos(columns / 30 + label)
        grain = np.random.default_rng(label).normal(0, 4, smooth.shape)
        Image.fromarray((smooth + grain).clip(0, 255).astype(np.uint8)).save(
            folder / "a.jpeg", quality=90
        )
    return index.from_tree(tmp_path / "large")


@pytest.mark.parametrize("fit", KERAS_FITS)
def test_area_of_large_files_is_nearly_that_of_the_whole_ones(large, fit):
    images = decode(large, image_size=24, resize="area", fit=fit)
    for row, path in enumerate(large["path"]):
        pixels, shape = reading.reduced(path, least=48)
        assert pixels.shape == (65, 51) and shape == (259, 203)  # 259 / 4 and 203 / 4, rounded up
        whole = square(reading.grey(path), image_size=24, resize="area", fit=fit)
        differences = np.abs(images.pixels[row, ..., 0].astype(int) - whole)
        assert differences.mean() < 0.4 and differences.max() <= 2


@pytest.mark.parametrize("image_size", [64, 224, 400])
def test_area_of_radiographs_is_nearly_that_of_the_whole_ones(real_data, image_size):
    for path in sorted((real_data / "chest_xray_originals").rglob("*.jpeg"))[::9]:
        pixels, shape = reading.reduced(path, least=2 * image_size)
        how = {"image_size": image_size, "resize": "area", "fit": "stretch"}
        whole = square(reading.grey(path), **how)
        assert np.abs(square(pixels, shape=shape, **how).astype(int) - whole).mean() < 0.45


@pytest.mark.parametrize(
    "options", [{"resize": "bilinear"}, {"resize": "area", "quality": 90}], ids=str
)
def test_nothing_is_reduced_for_bilinear_or_a_quality(large, monkeypatch, options):
    monkeypatch.setattr(reading, "reduced", None)
    assert len(decode(large, image_size=24, **options).pixels) == 2


def test_a_part_of_a_table_in_any_order(table):
    whole = decode(table, image_size=24)
    part = decode(table.loc[[30, 2, 11]], image_size=24)
    assert part.table["path"].tolist() == table["path"][[30, 2, 11]].tolist()
    assert part.table.index.tolist() == [0, 1, 2]
    np.testing.assert_array_equal(part.pixels, whole.pixels[[30, 2, 11]])


def test_bad_arguments(table):
    with pytest.raises(ValueError, match=r"image_size must be 1 or more pixels\. Received: 0"):
        decode(table, image_size=0)
    with pytest.raises(
        ValueError, match=r"resize must be one of bilinear, area\. Received: 'cubic'"
    ):
        decode(table, image_size=8, resize="cubic")
    with pytest.raises(
        ValueError, match=r"fit must be one of stretch, crop, pad\. Received: 'squeeze'"
    ):
        decode(table, image_size=8, fit="squeeze")
    for quality in (0, 101, 7.5):
        with pytest.raises(ValueError, match=f"whole number 1 to 100. Received: {quality}"):
            decode(table, image_size=8, quality=quality)
    with pytest.raises(ValueError, match="the table has no images: give one as"):
        decode(table[:0], image_size=8)


def test_quality_saves_every_image_again_before_it_is_resized(tmp_path, table):
    saved = tmp_path / "saved"
    saved.mkdir()
    for row, path in enumerate(table["path"]):
        with Image.open(path) as image:
            image.save(saved / f"{row}.jpeg", quality=20)
    by_hand = decode(table.assign(path=[saved / f"{n}.jpeg" for n in range(35)]), image_size=24)
    images = decode(table, image_size=24, quality=20)
    np.testing.assert_array_equal(images.pixels, by_hand.pixels)
    assert images.fingerprint != by_hand.fingerprint


# ------------------------------------------------------------------ the cache


def test_the_key_of_bilinear_is_what_it_always_was(table, cache):
    decode(table, image_size=24, fit="pad")
    contents = [hashlib.sha256(path.read_bytes()).hexdigest() for path in table["path"]]
    lines = "\n".join(["2", "24", "bilinear", "pad", *contents])
    assert entries(cache) == [hashlib.sha256(lines.encode()).hexdigest()[:16]]


def test_what_an_earlier_version_made_is_taken_or_made_again(table, cache, read):
    pixels = decode(table, image_size=24).pixels.tobytes()
    (entry,) = (cache / "pixels").iterdir()
    (entry / "about.json").unlink()  # it wrote none
    assert decode(table, image_size=24).pixels.tobytes() == pixels
    assert len(read) == 35
    content = (entry / "pixels.npy").read_bytes()
    for spoilt in (content[:-5], b"garbage" + content[7:], content.replace(b"(35,", b"(34,"), b""):
        (entry / "pixels.npy").write_bytes(spoilt)
        (entry / "about.json").unlink(missing_ok=True)
        with pytest.warns(UserWarning, match=r"is damaged \(.*\): it is made again") as caught:
            assert decode(table, image_size=24).pixels.tobytes() == pixels
        assert caught[0].filename == __file__
    assert len(read) == 5 * 35


@pytest.mark.parametrize("name", ["pixels.npy", "unreadable.json", "about.json"])
def test_a_file_of_the_entry_is_garbage(table, cache, name):
    pixels = decode(table, image_size=24).pixels.tobytes()
    (entry,) = (cache / "pixels").iterdir()
    (entry / name).write_bytes(b"garbage")
    with pytest.warns(UserWarning, match="is damaged"):
        assert decode(table, image_size=24).pixels.tobytes() == pixels


def test_one_changed_pixel_is_noticed(table, cache):
    pixels = decode(table, image_size=24).pixels.tobytes()
    (entry,) = (cache / "pixels").iterdir()
    with (entry / "pixels.npy").open("r+b") as file:
        file.seek(-1000, 2)
        file.write(bytes([255 - pixels[-1000]]))
    with pytest.warns(UserWarning, match=r"the checksum of pixels\.npy is wrong"):
        assert decode(table, image_size=24).pixels.tobytes() == pixels


def test_a_warning_names_no_trouble_that_is_over(table):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(2):
            decode(table, image_size=24)


def test_every_quality_is_another_entry(table, cache):
    pixels = {decode(table, image_size=24, quality=q).pixels.tobytes() for q in (None, 75, 30)}
    assert len(pixels) == 3
    assert len(entries(cache)) == 3


def test_decoded_once(table, monkeypatch):
    first = decode(table, image_size=24)

    def refuse(path):
        raise AssertionError("decoded again")

    monkeypatch.setattr(reading, "grey", refuse)
    again = decode(table, image_size=24)
    np.testing.assert_array_equal(first.pixels, again.pixels)
    assert first.fingerprint == again.fingerprint


def test_changed_content_is_decoded_again(table, read):
    decode(table, image_size=24)
    changed = table["path"][5]
    Image.new("L", (30, 30), 77).save(changed, quality=95)
    again = decode(table, image_size=24)
    assert len(read) == 2 * 35
    assert np.unique(again.pixels[5]).tolist() == [77]


def test_a_moved_tree_is_found_in_the_cache(tree, table, read):
    first = decode(table, image_size=24)
    moved = tree.rename(tree.parent / "elsewhere")
    again = decode(splits.hold_out_validation(index.from_tree(moved)), image_size=24)
    assert len(read) == 35
    np.testing.assert_array_equal(first.pixels, again.pixels)
    assert all(moved in path.parents for path in again.table["path"])


@pytest.mark.parametrize("other", [{"image_size": 25}, {"resize": "area"}, {"fit": "crop"}])
def test_other_settings_are_another_entry(table, read, cache, other):
    first = decode(table, image_size=24)
    second = decode(table, **{"image_size": 24, **other})
    assert len(read) == 2 * 35
    assert len(entries(cache)) == 2
    assert first.pixels.tobytes() != second.pixels.tobytes()


def test_labels_and_splits_do_not_touch_the_cache(table, read):
    decode(table, image_size=24)
    decode(table.assign(label=1 - table["label"], split="train"), image_size=24)
    assert len(read) == 35


class FullDisk(io.FileIO):
    def write(self, content):
        if self.tell() + len(content) > 10_000:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(content)


def test_a_full_disk(table, cache, monkeypatch):
    whole_disk = Path.open

    def open_on_a_full_disk(path, mode="r", *args, **options):
        if mode == "wb":
            return io.BufferedWriter(FullDisk(path, mode))
        return whole_disk(path, mode, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", open_on_a_full_disk)
        with pytest.raises(OSError, match=r"cannot write 0 MB .*, nor to .* free some") as error:
            decode(table, image_size=24)
    assert error.value.errno == errno.ENOSPC
    assert "XRAYLIB_CACHE" in str(error.value)
    assert "\n" not in str(error.value)
    assert entries(cache) == []
    assert decode(table, image_size=24).pixels.shape == (35, 24, 24, 1)


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_a_cache_that_cannot_be_written_is_gone_round(table, tmp_path, monkeypatch, place):
    pixels = decode(table, image_size=24).pixels.tobytes()
    (tmp_path / "file").touch()  # root may write to any folder
    monkeypatch.setenv("XRAYLIB_CACHE", str(tmp_path / place))
    with pytest.warns(UserWarning, match=r"35 images, 24 px, .* for this process only") as caught:
        images = decode(table, image_size=24)
    assert images.pixels.tobytes() == pixels
    (message,) = [str(warning.message) for warning in caught]
    assert "XRAYLIB_CACHE" in message and "\n" not in message
    assert caught[0].filename == __file__


def test_stopped_half_way(table, cache, monkeypatch):
    def interrupt(path):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(reading, "grey", interrupt)
        with pytest.raises(KeyboardInterrupt):
            decode(table, image_size=24)
    assert entries(cache) == []
    assert decode(table, image_size=24).pixels.any(axis=(1, 2, 3)).all()


def test_batches_let_go_of_what_they_have_copied(table, monkeypatch):
    images = decode(table, image_size=24)
    asked = []
    monkeypatch.setattr(loading, "_let_go", asked.append)
    batches = Batches(images.pixels, table["label"], np.arange(35), batch_size=10)
    for number in range(4):
        batches[number]
    assert len(asked) == 4 and asked[0] is images.pixels


def test_what_was_let_go_is_read_again(table):
    pixels = decode(table, image_size=24).pixels
    before = pixels.tobytes()
    loading._let_go(pixels)
    assert pixels.tobytes() == before


def test_an_array_in_memory_is_never_let_go():
    pixels = np.full((4, 1000, 1000, 1), 7, np.uint8)
    loading._let_go(pixels)
    assert (pixels == 7).all()


# ------------------------------------------------------------------ unreadable images


def test_unreadable_images_are_named_and_left_out(table):
    whole = decode(table, image_size=24)
    for row in (3, 20):
        spoil(table["path"][row])
    with pytest.warns(UserWarning) as caught:
        images = decode(table, image_size=24)
    (message,) = [str(warning.message) for warning in caught]
    assert message.startswith(f"2 of 35 images left out: {table['path'][3]} is empty")
    assert f"; {table['path'][20]} is empty" in message
    assert caught[0].filename == __file__
    assert list(images.unreadable) == [str(table["path"][3]), str(table["path"][20])]

    rest = table.drop([3, 20])
    assert images.table["path"].tolist() == rest["path"].tolist()
    assert images.table.index.tolist() == list(range(33))
    np.testing.assert_array_equal(images.pixels, whole.pixels[rest.index])


def test_many_unreadable_images_are_counted(table):
    for row in (0, 1, 2, 12, 13):
        spoil(table["path"][row])
    with pytest.warns(UserWarning, match=r"^5 of 35 images left out: .*; and 2 more$"):
        images = decode(table, image_size=24)
    assert len(images.unreadable) == 5


def test_a_missing_image(table):
    table["path"][7].unlink()
    with pytest.warns(UserWarning, match=rf"1 of 35 .*{table['path'][7].name} does not exist"):
        assert len(decode(table, image_size=24).pixels) == 34


def test_unreadable_images_in_a_moved_tree_have_their_new_names(tree, table):
    spoil(table["path"][3])
    with pytest.warns(UserWarning, match="1 of 35"):
        decode(table, image_size=24)
    tree.rename(tree.parent / "elsewhere")
    moved = table.assign(path=[tree.parent / "elsewhere" / p.relative_to(tree) for p in table.path])
    with pytest.warns(UserWarning, match=r"left out: \S+/elsewhere/\S+ is empty"):
        images = decode(moved, image_size=24)
    (path,) = images.unreadable
    assert path == str(moved["path"][3])
    assert images.unreadable[path].startswith(f"{path} is empty")


def test_strict(table):
    spoil(table["path"][3])
    name = table["path"][3].name
    with pytest.raises(UnreadableImage, match=rf"1 of 35 .* strict=True: .*{name} is empty"):
        decode(table, image_size=24, strict=True)


def test_strict_with_whole_images(table):
    assert len(decode(table, image_size=24, strict=True).pixels) == 35


def test_no_image_of_a_class_is_left_in_a_split(table):
    for path in table["path"][(table["split"] == "test") & (table["label"] == 1)]:
        spoil(path)
    with pytest.raises(
        ValueError, match=r"not one image of test/PNEUMONIA can be read: \S+ is empty"
    ):
        decode(table, image_size=24)


def test_no_image_is_left_at_all(table):
    for path in table["path"]:
        path.write_text("no image")
    with pytest.raises(
        ValueError, match=r"not one image of test/NORMAL can be read: \S+ is not a JP"
    ):
        decode(table, image_size=24)


# ------------------------------------------------------------------ fingerprint


def test_fingerprint_of_the_same_images_elsewhere(tree, table, tmp_path):
    there = shutil.copytree(tree, tmp_path / "there")
    copied = splits.hold_out_validation(index.from_tree(there))
    fingerprint = decode(table, image_size=24).fingerprint
    assert len(fingerprint) == 16
    assert int(fingerprint, 16) >= 0
    assert decode(copied, image_size=24).fingerprint == fingerprint
    assert decode(copied[::-1], image_size=16).fingerprint == fingerprint


def test_fingerprint_of_other_data(table):
    fingerprints = {decode(table, image_size=24).fingerprint}
    fingerprints.add(decode(table[:-1], image_size=24).fingerprint)
    changed = table.copy()
    changed.loc[4, "label"] = 1
    fingerprints.add(decode(changed, image_size=24).fingerprint)
    changed = table.copy()
    changed.loc[4, "split"] = "test"
    fingerprints.add(decode(changed, image_size=24).fingerprint)
    Image.new("L", (30, 30), 77).save(table["path"][4])
    fingerprints.add(decode(table, image_size=24).fingerprint)
    assert len(fingerprints) == 5


def test_fingerprint_leaves_out_what_is_unreadable(table):
    rest = decode(table.drop(4), image_size=24).fingerprint
    spoil(table["path"][4])
    with pytest.warns(UserWarning, match="1 of 35"):
        assert decode(table, image_size=24).fingerprint == rest


# ------------------------------------------------------------------ Images


def test_counts(tree):
    counts = decode(index.from_tree(tree), image_size=8).counts()
    assert counts.columns.tolist() == ["split", "class", "images", "patients"]
    assert counts.to_numpy().tolist() == [
        ["test", "NORMAL", 3, 3],
        ["test", "PNEUMONIA", 4, 3],
        ["train", "NORMAL", 12, 9],
        ["train", "PNEUMONIA", 12, 9],
        ["val", "NORMAL", 2, 2],
        ["val", "PNEUMONIA", 2, 1],
    ]


def test_batches_of_a_split(table):
    images = decode(table, image_size=24)
    for split in ("train", "validation", "test"):
        rows = np.flatnonzero(table["split"] == split)
        batches = images.batches(split, batch_size=100)
        pixels, labels = batches[0]
        np.testing.assert_array_equal(pixels, images.pixels[rows])
        assert labels.ravel().tolist() == table["label"][rows].tolist()


def test_batches_of_a_split_are_augmented_if_asked_for(table):
    images = decode(table, image_size=24)
    plain = images.batches("train", batch_size=4, seed=1)[0][0]
    made = images.batches("train", batch_size=4, seed=1, augment=ALL)[0][0]
    rows = np.flatnonzero(table["split"] == "train")
    expected = Batches(images.pixels, table["label"], rows, batch_size=4, seed=1, augment=ALL)
    np.testing.assert_array_equal(made, expected[0][0])
    assert (made != plain).any(axis=(1, 2, 3)).all()


def test_batches_of_no_split(table):
    images = decode(table, image_size=24)
    with pytest.raises(ValueError, match=r"'val': there are \['test', 'train', 'validation'\]"):
        images.batches("val", batch_size=4)


def test_predictions_stand_beside_their_images(table):
    # In another order than by split, so that a row of the split is not a row of the table.
    images = decode(table.sample(frac=1, random_state=0), image_size=8)
    mean = keras.Sequential(
        [
            keras.Input((8, 8, 1), dtype="uint8"),
            keras.layers.Rescaling(1 / 255),
            keras.layers.GlobalAveragePooling2D(),
        ]
    )
    scored = images.predictions(mean, batch_size=4)
    chosen = images.table["split"].isin(("validation", "test"))
    pd.testing.assert_frame_equal(
        scored.drop(columns="score"), images.table[chosen].reset_index(drop=True)
    )
    assert scored["score"].dtype == float
    expected = images.pixels[chosen].mean(axis=(1, 2, 3)) / 255
    np.testing.assert_allclose(scored["score"], expected, rtol=1e-5)
    assert len(set(expected.round(4))) > 5  # a wrong order would not pass


def test_sure_predictions_are_not_made_ties(table):
    inputs = keras.Input((8, 8, 1), dtype="uint8")
    mean = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(0.2)(inputs))
    logit = keras.layers.Activation("linear", name="logit")(mean)
    model = keras.Model(inputs, keras.layers.Activation("sigmoid", name="score")(logit))
    images = decode(table, image_size=8)
    scored = images.predictions(model, batch_size=4)["score"]
    # Beyond a logit of 17, where float32 knows only 1.
    assert images.pixels.mean(axis=(1, 2, 3)).min() * 0.2 > 14
    assert len(set(scored)) > len(set(scored.astype(np.float32)))
    assert scored.max() < 1


# ------------------------------------------------------------------ Batches

# Seven images of one pixel, of which five are in: the pixel tells the row.
PIXELS = np.arange(7, dtype=np.uint8).reshape(7, 1, 1, 1)
LABELS = np.array([0, 1, 0, 1, 1, 0, 1])
ROWS = np.array([0, 2, 3, 5, 6])


def batches(**options):
    return Batches(PIXELS, LABELS, ROWS, **{"batch_size": 2, **options})


def epoch(batches):
    return np.concatenate([batches[n][0] for n in range(len(batches))]).ravel().tolist()


def test_batches_are_of_pixels_and_labels():
    pixels, labels = batches()[1]
    assert pixels.dtype == np.uint8
    assert labels.dtype == np.float32
    assert pixels.tolist() == [[[[3]]], [[[5]]]]
    assert labels.tolist() == [[1], [0]]


def test_the_last_batch_may_be_smaller():
    made = batches()
    assert len(made) == 3
    assert [len(made[number][0]) for number in range(3)] == [2, 2, 1]
    assert [made[number][1].shape for number in range(3)] == [(2, 1), (2, 1), (1, 1)]
    assert len(batches(batch_size=5)) == 1
    assert len(batches(batch_size=64)) == 1


def test_unshuffled_epochs_are_alike():
    made = batches()
    for _ in range(3):
        assert epoch(made) == ROWS.tolist()
        made.on_epoch_end()


def test_every_image_once_an_epoch_with_its_label():
    made = batches(shuffle=True)
    for _ in range(20):
        assert sorted(epoch(made)) == ROWS.tolist()
        for number in range(3):
            pixels, labels = made[number]
            assert labels.ravel().tolist() == LABELS[pixels.ravel()].tolist()
        made.on_epoch_end()


def test_order_depends_on_seed_and_epoch_alone():
    def orders(seed):
        made = batches(shuffle=True, seed=seed)
        for _ in range(8):
            yield tuple(epoch(made))
            made.on_epoch_end()

    first = list(orders(0))
    assert len(set(first)) > 4
    np.random.seed(1)
    keras.utils.set_random_seed(1)
    assert list(orders(0)) == first
    assert list(orders(1)) != first


def test_start_epoch_goes_on_as_if_never_stopped():
    made = batches(shuffle=True, seed=5)
    for _ in range(3):
        made.on_epoch_end()
    resumed = batches(shuffle=True, seed=5)
    resumed.start_epoch(3)
    assert epoch(resumed) == epoch(made)
    made.on_epoch_end()
    resumed.on_epoch_end()
    assert epoch(resumed) == epoch(made)


def test_keras_takes_every_batch_and_moves_on():
    taken = []

    class Watched(Batches):
        def __getitem__(self, batch):
            taken.append((self.epoch, batch))
            return super().__getitem__(batch)

    watched = Watched(PIXELS, LABELS, ROWS, batch_size=2, shuffle=True)
    network = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(1)])
    network.compile("sgd", "mse", run_eagerly=True)
    network.fit(watched, epochs=2, shuffle=False, verbose=0)
    # Keras may take some batches before the first epoch, to see their shapes.
    last = watched.epoch
    assert taken[-6:] == [(epoch, batch) for epoch in (last - 2, last - 1) for batch in range(3)]


@pytest.mark.parametrize("batch_size", [0, -4])
def test_bad_batch_size(batch_size):
    with pytest.raises(ValueError, match=rf"batch_size must be 1 or more\. Received: {batch_size}"):
        batches(batch_size=batch_size)


# ------------------------------------------------------------------ augmented Batches


def augmented(*, augment=ALL, epoch=0, **options):
    """Each row's image in one epoch: {row: bytes}."""
    pixels = np.random.default_rng(0).integers(0, 256, (7, 8, 8, 1), np.uint8)
    # The label tells the row.
    made = Batches(
        pixels, np.arange(7), ROWS, augment=augment, **{"batch_size": 2, "seed": 3, **options}
    )
    made.start_epoch(epoch)
    return {
        int(row): image.tobytes()
        for images, rows in (made[number] for number in range(len(made)))
        for image, row in zip(images, rows.ravel(), strict=True)
    }


def test_nothing_is_augmented_unless_asked_for():
    assert augmented(augment=Augmentation()) == augmented(augment=None)
    assert augmented(augment=ALL) != augmented(augment=None)


def test_an_augmented_image_depends_on_seed_epoch_and_row_alone():
    first = augmented()
    np.random.seed(1)
    keras.utils.set_random_seed(1)
    assert augmented(batch_size=5, shuffle=True) == first
    assert all(augmented(epoch=1)[row] != first[row] for row in ROWS)
    assert all(augmented(seed=4)[row] != first[row] for row in ROWS)


def test_each_row_is_augmented_in_a_way_of_its_own():
    alike = np.full((7, 8, 8, 1), 128, np.uint8)
    noise = Augmentation(noise=20)
    images = Batches(alike, LABELS, ROWS, batch_size=5, augment=noise)[0][0]
    assert len({image.tobytes() for image in images}) == 5


def test_augmenting_leaves_the_stored_pixels_alone():
    pixels = np.full((7, 8, 8, 1), 128, np.uint8)
    Batches(pixels, LABELS, ROWS, batch_size=5, augment=Augmentation(noise=20))[0]
    assert (pixels == 128).all()


def test_what_is_drawn_for_the_first_row_is_not_what_the_order_was_drawn_from():
    drawn = []

    class Watched(Augmentation):
        def apply(self, pixels, rng):
            drawn.append(rng.random())
            return pixels

    Batches(PIXELS, LABELS, ROWS, batch_size=1, seed=3, augment=Watched())[0]
    assert drawn != [np.random.default_rng([3, 0]).random()]
