import errno
import hashlib
import io
import os
import shutil
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from xraylib.data import index, reading, splits
from xraylib.data.augmentation import Augmentation
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
    film = reading.film

    def watched(path, **options):
        names.append(path.name)
        return film(path, **options)

    monkeypatch.setattr(reading, "film", watched)
    return names


def entries(cache):
    return sorted(path.name for path in (cache / "pixels").iterdir())


# ------------------------------------------------------------------ decode


def test_decoded_row_for_row(table):
    preparation = Preparation(24, resize="area")
    images = decode(table, preparation)
    pd.testing.assert_frame_equal(images.table.drop(columns="sha256"), table)
    assert images.pixels.shape == (35, 24, 24, 1)
    assert images.pixels.dtype == np.uint8
    assert not images.pixels.flags.writeable
    assert images.unreadable == {}
    assert images.preparation == preparation
    for row in (0, 17, 34):
        expected = preparation.read(table["path"][row])
        np.testing.assert_array_equal(images.pixels[row, ..., 0], expected)


def test_a_part_of_a_table_in_any_order(table):
    whole = decode(table, SMALL)
    part = decode(table.loc[[30, 2, 11]], SMALL)
    assert part.table["path"].tolist() == table["path"][[30, 2, 11]].tolist()
    assert part.table.index.tolist() == [0, 1, 2]
    np.testing.assert_array_equal(part.pixels, whole.pixels[[30, 2, 11]])


def test_a_file_that_stands_in_the_table_twice(table):
    twice = decode(pd.concat([table[:3], table[1:2]]), SMALL)
    np.testing.assert_array_equal(twice.pixels[3], twice.pixels[1])


def test_the_hash_of_every_files_bytes(table):
    table["path"][3].write_bytes(b"")
    with pytest.warns(UserWarning, match="1 of 35"):
        images = decode(table, SMALL)
    contents = [path.read_bytes() for path in table["path"].drop(3)]
    assert images.table["sha256"].tolist() == [hashlib.sha256(b).hexdigest() for b in contents]
    with pytest.warns(UserWarning, match="1 of 35"):
        again = decode(table, SMALL)  # from the cache
    assert again.table["sha256"].tolist() == images.table["sha256"].tolist()


def test_what_is_known_of_the_folder_stays_with_the_table(table):
    table.attrs = {"classes": ["well", "ill"], "passed_over": [{"kind": "link", "count": 2}]}
    table["path"][3].write_bytes(b"")
    with pytest.warns(UserWarning, match="1 of 35"):
        images = decode(table, SMALL)
    assert images.table.attrs == table.attrs


@pytest.mark.skipif(os.name == "nt", reason="names are bytes on Linux and macOS alone")
def test_a_file_that_is_gone_and_whose_name_is_no_utf_8(table):
    table["path"] = table["path"].astype(object)
    table.at[3, "path"] = table["path"][3].with_name(os.fsdecode(b"R\xf6ntgen.jpeg"))
    with pytest.warns(UserWarning, match=r"1 of 35 images left out: .*R\udcf6ntgen.jpeg"):
        images = decode(table, SMALL)
    assert len(images.table) == 34


def test_a_table_of_no_images(table):
    with pytest.raises(ValueError, match="the table has no images: give one as"):
        decode(table[:0], SMALL)


# ------------------------------------------------------------------ the cache


@pytest.mark.parametrize(
    ("preparation", "settings"),
    [
        (Preparation(24, fit="pad"), ["4", "24", "bilinear", "pad"]),
        (Preparation(24, quality=75), ["4", "24", "bilinear", "stretch", "quality 75"]),
        (Preparation(24, depth=12), ["4", "24", "bilinear", "stretch", "12 bits"]),
    ],
)
def test_the_key_stays_the_same_from_version_to_version(table, cache, preparation, settings):
    decode(table, preparation)
    contents = [hashlib.sha256(path.read_bytes()).hexdigest() for path in table["path"]]
    lines = "\n".join([*settings, *contents])
    assert entries(cache) == [hashlib.sha256(lines.encode()).hexdigest()[:16]]


def test_decoded_once_whatever_the_labels_and_splits(table, read):
    first, again = decode(table, SMALL), decode(table, SMALL)
    decode(table.assign(label=1 - table["label"], split="train"), SMALL)
    assert len(read) == 35
    np.testing.assert_array_equal(first.pixels, again.pixels)
    assert first.fingerprint == again.fingerprint


def test_changed_content_is_decoded_again(table, read):
    decode(table, SMALL)
    Image.new("L", (30, 30), 77).save(table["path"][5], quality=95)
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


@pytest.mark.parametrize(
    "other", [{"image_size": 25}, {"resize": "area"}, {"fit": "crop"}, {"quality": 30}], ids=str
)
def test_another_preparation_is_another_entry(table, cache, other):
    first, second = decode(table, SMALL), decode(table, replace(SMALL, **other))
    assert len(entries(cache)) == 2
    assert first.pixels.tobytes() != second.pixels.tobytes()


@pytest.mark.parametrize("old, new", [(b"(35,", b"(34,"), (b"|u1", b"|i1")])
def test_pixels_of_another_shape_or_type_are_decoded_again(table, cache, old, new):
    pixels = decode(table, SMALL).pixels.tobytes()
    (entry,) = (cache / "pixels").iterdir()
    (entry / "about.json").unlink()  # with its checksums, as an early version left it
    content = (entry / "pixels.npy").read_bytes()
    (entry / "pixels.npy").write_bytes(content.replace(old, new))
    with pytest.warns(UserWarning, match=r"is damaged \(.*\): it is made again") as caught:
        assert decode(table, SMALL).pixels.tobytes() == pixels
    assert caught[0].filename == __file__


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
    assert entries(cache) == []
    assert decode(table, SMALL).pixels.shape == (35, 24, 24, 1)


def test_an_interrupted_decoding_leaves_nothing_half_done(table, cache, monkeypatch):
    def interrupt(path, **_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(reading, "film", interrupt)
        with pytest.raises(KeyboardInterrupt):
            decode(table, SMALL)
    assert entries(cache) == []
    assert decode(table, SMALL).pixels.any(axis=(1, 2, 3)).all()


def test_a_cache_that_cannot_be_written_is_not_needed(table, tmp_path, monkeypatch):
    pixels = decode(table, SMALL).pixels.tobytes()
    (tmp_path / "file").touch()
    monkeypatch.setenv("XRAYLIB_CACHE", str(tmp_path / "file" / "below"))
    with pytest.warns(UserWarning, match=r"35 images, 24 px, bilinear, stretch.* only") as caught:
        images = decode(table, SMALL)
    assert images.pixels.tobytes() == pixels
    assert [warning.filename for warning in caught] == [__file__]


# ------------------------------------------------------------------ unreadable images


def test_unreadable_images_are_named_and_left_out(table):
    whole = decode(table, SMALL)
    for row in (3, 20):
        table["path"][row].write_bytes(b"")
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
    assert images.fingerprint == decode(rest, SMALL).fingerprint


def test_many_unreadable_images_are_counted(table):
    table["path"][0].unlink()
    for row in (1, 2, 12, 13):
        table["path"][row].write_bytes(b"")
    name = table["path"][0].name
    with pytest.warns(UserWarning, match=rf"^5 of 35 .*{name} does not exist: .*; and 2 more$"):
        images = decode(table, SMALL)
    assert len(images.unreadable) == 5


def test_unreadable_images_in_a_moved_tree_have_their_new_names(tree, table):
    table["path"][3].write_bytes(b"")
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
        path.write_bytes(b"")
    message = r"not one image of test/PNEUMONIA can be read: \S+ is empty"
    with pytest.raises(ValueError, match=message):
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
    other_label, other_split = table.copy(), table.copy()
    other_label.loc[4, "label"] = 1
    other_split.loc[4, "split"] = "test"
    tables = [table, table[:-1], other_label, other_split]
    fingerprints = {decode(each, SMALL).fingerprint for each in tables}
    Image.new("L", (30, 30), 77).save(table["path"][4])
    assert len(fingerprints | {decode(table, SMALL).fingerprint}) == 5


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


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_batches_of_a_split(table, split):
    images = decode(table, SMALL)
    rows = np.flatnonzero(table["split"] == split)
    made = images.batches(split, batch_size=100)
    for _ in range(2):  # the pages of the memory map are released in between
        pixels, labels = made[0]
        np.testing.assert_array_equal(pixels, images.pixels[rows])
        assert labels.ravel().tolist() == table["label"][rows].tolist()
    options = {"batch_size": 4, "shuffle": True, "seed": 1, "augment": Augmentation(noise=20)}
    expected = Batches(images.pixels, table["label"], rows, **options)[0]
    for ours, theirs in zip(images.batches(split, **options)[0], expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


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


@pytest.mark.parametrize("batch_size, sizes", [(2, [2, 2, 1]), (5, [5]), (64, [5])])
def test_unshuffled_batches_the_last_of_which_may_be_smaller(batch_size, sizes):
    made = batches(batch_size=batch_size)
    assert [len(made[number][0]) for number in range(len(made))] == sizes
    assert epoch(made) == ROWS.tolist()
    pixels, labels = made[0]
    assert (pixels.dtype, labels.dtype) == (np.uint8, np.float32)
    assert (pixels.shape, labels.shape) == ((sizes[0], 1, 1, 1), (sizes[0], 1))


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


@pytest.mark.slow
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


def test_bad_batch_size():
    with pytest.raises(ValueError, match=r"batch_size must be 1 or more\. Received: 0"):
        batches(batch_size=0)


# ------------------------------------------------------------------ augmented Batches

NOISY = Augmentation(noise=20)


def augmented(*, augment=NOISY, epoch=0, **options):
    """Each row's image in one epoch: {row: bytes}. All stored images are alike."""
    # The label tells the row.
    options = {"batch_size": 2, "seed": 3, "augment": augment, **options}
    made = Batches(np.full((7, 8, 8, 1), 128, np.uint8), np.arange(7), ROWS, **options)
    made.start_epoch(epoch)
    return {
        int(row): image.tobytes()
        for images, rows in (made[number] for number in range(len(made)))
        for image, row in zip(images, rows.ravel(), strict=True)
    }


def test_nothing_is_augmented_unless_asked_for():
    assert set(augmented(augment=None).values()) == {bytes([128] * 64)}
    assert augmented(augment=Augmentation()) == augmented(augment=None)


def test_an_augmented_image_depends_on_seed_epoch_and_row_alone():
    first = augmented()
    assert len(set(first.values())) == 5
    np.random.seed(1)
    keras.utils.set_random_seed(1)
    assert augmented(batch_size=5, shuffle=True) == first
    assert all(augmented(epoch=1)[row] != first[row] for row in ROWS)
    assert all(augmented(seed=4)[row] != first[row] for row in ROWS)


def test_the_first_row_is_not_augmented_from_the_seed_of_the_order():
    numbers = []

    class Watched(Augmentation):
        def apply(self, pixels, rng, donor=None):
            numbers.append(rng.random())
            return pixels

    Batches(PIXELS, LABELS, ROWS, batch_size=1, seed=3, augment=Watched())[0]
    assert numbers != [np.random.default_rng([3, 0]).random()]


def change_films(table, change, count=3):
    """Save some films of a table again, changed."""
    for path in table["path"].head(count):
        Image.fromarray(change(np.array(Image.open(path).convert("L")))).save(path, "PNG")


CHANGES = {
    "show nothing": lambda film: np.full_like(film, 90),
    "have two greys": lambda film: np.where(film > np.median(film), 200, 20).astype(np.uint8),
    "use fewer than 34 of 256 grey levels": lambda film: film // 16 * 16,
    "use fewer than 64 of 256 grey values": lambda film: (
        100 + film.ravel().argsort().argsort().reshape(film.shape) * 60 // film.size
    ).astype(np.uint8),
    "lack a part": lambda film: np.vstack([film[:14], np.full_like(film[14:], 128)]),
}


@pytest.mark.parametrize("notice", CHANGES)
def test_films_that_look_wrong_are_told_in_every_run(table, cache, caplog, notice):
    change_films(table, CHANGES[notice])
    for _ in range(2):  # the second time they are decoded already
        caplog.clear()
        images = decode(table, Preparation(24))
        told = [record.getMessage() for record in caplog.records]
        assert any(
            message.startswith(f"3 of {len(table)} images {notice}")
            and message.endswith(f"e.g. {table['path'].iloc[0]}")
            for message in told
        )
    assert images.facts["grey_levels"].between(1, 256).all()
