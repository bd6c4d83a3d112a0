import errno
import hashlib
import io
import os
import shutil
import warnings
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from xraylib.data import index, loading, reading, splits
from xraylib.data.augmentation import ALL, Augmentation
from xraylib.data.loading import Batches, decode
from xraylib.data.preparation import Preparation

SMALL = Preparation(24)


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
    grey = reading.grey

    def watched(path):
        names.append(path.name)
        return grey(path)

    monkeypatch.setattr(reading, "grey", watched)
    return names


def entries(cache):
    return sorted(path.name for path in (cache / "pixels").iterdir())


def spoil(path):
    """Makes a whole image an unreadable one."""
    path.write_bytes(b"")


# ------------------------------------------------------------------ decode


def test_decoded_row_for_row(table):
    preparation = Preparation(24, resize="area")
    images = decode(table, preparation)
    pd.testing.assert_frame_equal(images.table, table)
    assert images.pixels.shape == (35, 24, 24, 1)
    assert images.pixels.dtype == np.uint8
    assert not images.pixels.flags.writeable
    assert images.unreadable == {}
    for row in (0, 17, 34):
        expected = preparation.read(table["path"][row])
        np.testing.assert_array_equal(images.pixels[row, ..., 0], expected)
    assert images.preparation == preparation


def test_a_part_of_a_table_in_any_order(table):
    whole = decode(table, SMALL)
    part = decode(table.loc[[30, 2, 11]], SMALL)
    assert part.table["path"].tolist() == table["path"][[30, 2, 11]].tolist()
    assert part.table.index.tolist() == [0, 1, 2]
    np.testing.assert_array_equal(part.pixels, whole.pixels[[30, 2, 11]])


def test_a_table_of_no_images(table):
    with pytest.raises(ValueError, match="the table has no images: give one as"):
        decode(table[:0], SMALL)


# ------------------------------------------------------------------ the cache


def test_the_key_of_bilinear_is_what_it_always_was(table, cache):
    decode(table, Preparation(24, fit="pad"))
    contents = [hashlib.sha256(path.read_bytes()).hexdigest() for path in table["path"]]
    lines = "\n".join(["2", "24", "bilinear", "pad", *contents])
    assert entries(cache) == [hashlib.sha256(lines.encode()).hexdigest()[:16]]


def test_what_an_earlier_version_made_is_taken_or_made_again(table, cache, read):
    pixels = decode(table, SMALL).pixels.tobytes()
    (entry,) = (cache / "pixels").iterdir()
    (entry / "about.json").unlink()  # it wrote none
    assert decode(table, SMALL).pixels.tobytes() == pixels
    assert len(read) == 35
    content = (entry / "pixels.npy").read_bytes()
    for spoilt in (content[:-5], b"garbage" + content[7:], content.replace(b"(35,", b"(34,"), b""):
        (entry / "pixels.npy").write_bytes(spoilt)
        (entry / "about.json").unlink(missing_ok=True)
        with pytest.warns(UserWarning, match=r"is damaged \(.*\): it is made again") as caught:
            assert decode(table, SMALL).pixels.tobytes() == pixels
        assert caught[0].filename == __file__
    assert len(read) == 5 * 35


@pytest.mark.parametrize("name", ["pixels.npy", "unreadable.json", "about.json"])
def test_a_file_of_the_entry_is_garbage(table, cache, name):
    pixels = decode(table, SMALL).pixels.tobytes()
    (entry,) = (cache / "pixels").iterdir()
    (entry / name).write_bytes(b"garbage")
    with pytest.warns(UserWarning, match="is damaged"):
        assert decode(table, SMALL).pixels.tobytes() == pixels


def test_one_changed_pixel_is_noticed(table, cache):
    pixels = decode(table, SMALL).pixels.tobytes()
    (entry,) = (cache / "pixels").iterdir()
    with (entry / "pixels.npy").open("r+b") as file:
        file.seek(-1000, 2)
        file.write(bytes([255 - pixels[-1000]]))
    with pytest.warns(UserWarning, match=r"the checksum of pixels\.npy is wrong"):
        assert decode(table, SMALL).pixels.tobytes() == pixels


def test_a_warning_names_no_trouble_that_is_over(table):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(2):
            decode(table, SMALL)


def test_every_quality_is_another_entry(table, cache):
    pixels = {decode(table, Preparation(24, quality=q)).pixels.tobytes() for q in (None, 75, 30)}
    assert len(pixels) == 3
    assert len(entries(cache)) == 3


def test_decoded_once(table, monkeypatch):
    first = decode(table, SMALL)

    def refuse(path):
        raise AssertionError("decoded again")

    monkeypatch.setattr(reading, "grey", refuse)
    again = decode(table, SMALL)
    np.testing.assert_array_equal(first.pixels, again.pixels)
    assert first.fingerprint == again.fingerprint


def test_changed_content_is_decoded_again(table, read):
    decode(table, SMALL)
    changed = table["path"][5]
    Image.new("L", (30, 30), 77).save(changed, quality=95)
    again = decode(table, SMALL)
    assert len(read) == 2 * 35
    assert np.unique(again.pixels[5]).tolist() == [77]


def test_a_moved_tree_is_found_in_the_cache(tree, table, read):
    first = decode(table, SMALL)
    moved = tree.rename(tree.parent / "elsewhere")
    again = decode(splits.hold_out_validation(index.from_tree(moved)), SMALL)
    assert len(read) == 35
    np.testing.assert_array_equal(first.pixels, again.pixels)
    assert all(moved in path.parents for path in again.table["path"])


@pytest.mark.parametrize("other", [{"image_size": 25}, {"resize": "area"}, {"fit": "crop"}])
def test_other_settings_are_another_entry(table, read, cache, other):
    first = decode(table, SMALL)
    second = decode(table, replace(SMALL, **other))
    assert len(read) == 2 * 35
    assert len(entries(cache)) == 2
    assert first.pixels.tobytes() != second.pixels.tobytes()


def test_labels_and_splits_do_not_touch_the_cache(table, read):
    decode(table, SMALL)
    decode(table.assign(label=1 - table["label"], split="train"), SMALL)
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
            decode(table, SMALL)
    assert error.value.errno == errno.ENOSPC
    assert "XRAYLIB_CACHE" in str(error.value)
    assert "\n" not in str(error.value)
    assert entries(cache) == []
    assert decode(table, SMALL).pixels.shape == (35, 24, 24, 1)


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_a_cache_that_cannot_be_written_is_gone_round(table, tmp_path, monkeypatch, place):
    pixels = decode(table, SMALL).pixels.tobytes()
    (tmp_path / "file").touch()  # root may write to any folder
    monkeypatch.setenv("XRAYLIB_CACHE", str(tmp_path / place))
    with pytest.warns(UserWarning, match=r"35 images, 24 px, .* for this process only") as caught:
        images = decode(table, SMALL)
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
            decode(table, SMALL)
    assert entries(cache) == []
    assert decode(table, SMALL).pixels.any(axis=(1, 2, 3)).all()


def test_batches_let_go_of_what_they_have_copied(table, monkeypatch):
    images = decode(table, SMALL)
    asked = []
    monkeypatch.setattr(loading, "_let_go", asked.append)
    batches = Batches(images.pixels, table["label"], np.arange(35), batch_size=10)
    for number in range(4):
        batches[number]
    assert len(asked) == 4 and asked[0] is images.pixels


def test_what_was_let_go_is_read_again(table):
    pixels = decode(table, SMALL).pixels
    before = pixels.tobytes()
    loading._let_go(pixels)
    assert pixels.tobytes() == before


def test_an_array_in_memory_is_never_let_go():
    pixels = np.full((4, 1000, 1000, 1), 7, np.uint8)
    loading._let_go(pixels)
    assert (pixels == 7).all()


# ------------------------------------------------------------------ unreadable images


def test_unreadable_images_are_named_and_left_out(table):
    whole = decode(table, SMALL)
    for row in (3, 20):
        spoil(table["path"][row])
    with pytest.warns(UserWarning) as caught:
        images = decode(table, SMALL)
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
        images = decode(table, SMALL)
    assert len(images.unreadable) == 5


def test_a_missing_image(table):
    table["path"][7].unlink()
    with pytest.warns(UserWarning, match=rf"1 of 35 .*{table['path'][7].name} does not exist"):
        assert len(decode(table, SMALL).pixels) == 34


def test_unreadable_images_in_a_moved_tree_have_their_new_names(tree, table):
    spoil(table["path"][3])
    with pytest.warns(UserWarning, match="1 of 35"):
        decode(table, SMALL)
    tree.rename(tree.parent / "elsewhere")
    moved = table.assign(path=[tree.parent / "elsewhere" / p.relative_to(tree) for p in table.path])
    with pytest.warns(UserWarning, match=r"left out: \S+/elsewhere/\S+ is empty"):
        images = decode(moved, SMALL)
    (path,) = images.unreadable
    assert path == str(moved["path"][3])
    assert images.unreadable[path].startswith(f"{path} is empty")


def test_no_image_of_a_class_is_left_in_a_split(table):
    for path in table["path"][(table["split"] == "test") & (table["label"] == 1)]:
        spoil(path)
    with pytest.raises(
        ValueError, match=r"not one image of test/PNEUMONIA can be read: \S+ is empty"
    ):
        decode(table, SMALL)


def test_no_image_is_left_at_all(table):
    for path in table["path"]:
        path.write_text("no image")
    with pytest.raises(
        ValueError, match=r"not one image of test/NORMAL can be read: \S+ is not a JP"
    ):
        decode(table, SMALL)


# ------------------------------------------------------------------ fingerprint


def test_fingerprint_of_the_same_images_elsewhere(tree, table, tmp_path):
    there = shutil.copytree(tree, tmp_path / "there")
    copied = splits.hold_out_validation(index.from_tree(there))
    fingerprint = decode(table, SMALL).fingerprint
    assert len(fingerprint) == 16
    assert int(fingerprint, 16) >= 0
    assert decode(copied, SMALL).fingerprint == fingerprint
    assert decode(copied[::-1], Preparation(16)).fingerprint == fingerprint


def test_fingerprint_of_other_data(table):
    fingerprints = {decode(table, SMALL).fingerprint}
    fingerprints.add(decode(table[:-1], SMALL).fingerprint)
    changed = table.copy()
    changed.loc[4, "label"] = 1
    fingerprints.add(decode(changed, SMALL).fingerprint)
    changed = table.copy()
    changed.loc[4, "split"] = "test"
    fingerprints.add(decode(changed, SMALL).fingerprint)
    Image.new("L", (30, 30), 77).save(table["path"][4])
    fingerprints.add(decode(table, SMALL).fingerprint)
    assert len(fingerprints) == 5


def test_fingerprint_leaves_out_what_is_unreadable(table):
    rest = decode(table.drop(4), SMALL).fingerprint
    spoil(table["path"][4])
    with pytest.warns(UserWarning, match="1 of 35"):
        assert decode(table, SMALL).fingerprint == rest


# ------------------------------------------------------------------ Images


def test_counts(tree):
    counts = decode(index.from_tree(tree), Preparation(8)).counts()
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
    images = decode(table, SMALL)
    for split in ("train", "validation", "test"):
        rows = np.flatnonzero(table["split"] == split)
        batches = images.batches(split, batch_size=100)
        pixels, labels = batches[0]
        np.testing.assert_array_equal(pixels, images.pixels[rows])
        assert labels.ravel().tolist() == table["label"][rows].tolist()


def test_batches_of_a_split_are_augmented_if_asked_for(table):
    images = decode(table, SMALL)
    plain = images.batches("train", batch_size=4, seed=1)[0][0]
    made = images.batches("train", batch_size=4, seed=1, augment=ALL)[0][0]
    rows = np.flatnonzero(table["split"] == "train")
    expected = Batches(images.pixels, table["label"], rows, batch_size=4, seed=1, augment=ALL)
    np.testing.assert_array_equal(made, expected[0][0])
    assert (made != plain).any(axis=(1, 2, 3)).all()


def test_batches_of_no_split(table):
    images = decode(table, SMALL)
    with pytest.raises(ValueError, match=r"'val': there are \['test', 'train', 'validation'\]"):
        images.batches("val", batch_size=4)


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
