import numpy as np
import pandas as pd
import pytest
from PIL import Image

from xraylib.audit import measurements
from xraylib.data import index, reading


def one(folder, pixels, name="x.jpeg", **save):
    """What is measured of one picture, saved."""
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(folder / name, **save)
    return measured(folder / name)


def measured(path):
    table = pd.DataFrame(
        [(path, 0, "train", "p", "")], columns=["path", "label", "split", "patient", "subtype"]
    )
    return measurements.measure(table).iloc[0]


def noise(height=40, width=60):
    return np.random.default_rng(0).integers(0, 256, (height, width)).astype(np.uint8)


def blobs(seed):
    """A smooth picture, as a radiograph is."""
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 9)).astype(np.uint8)
    return Image.fromarray(coarse).resize((66, 55), Image.Resampling.BICUBIC)


def test_rows_and_columns_of_the_table_stay(tree):
    table = index.from_class_folders(tree).sample(frac=1, random_state=0)
    row = measurements.measure(table)
    pd.testing.assert_frame_equal(row[list(table)], table.reset_index(drop=True))
    assert set(measurements.FILE_FACTS) | set(measurements.PIXEL_FACTS) <= set(row)
    assert len(measurements.PIXEL_FACTS) == 11


def test_every_file_is_read_once(tree, monkeypatch):
    read = []
    stored = reading.stored

    def counted(path):
        read.append(path)
        return stored(path)

    monkeypatch.setattr(reading, "stored", counted)
    table = index.from_class_folders(tree)
    measurements.measure(table)
    assert sorted(read) == sorted(table["path"])


def test_size_and_bytes(tmp_path):
    row = one(tmp_path, noise(40, 60))
    size = (tmp_path / "x.jpeg").stat().st_size
    assert (row["width"], row["height"], row["aspect"]) == (60, 40, 1.5)
    assert row["megapixels"] == 0.0024
    assert (row["bytes"], row["bytes_per_pixel"]) == (size, size / 2400)


def test_size_is_that_of_the_upright_picture(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    row = one(tmp_path, noise(40, 60), exif=exif)
    assert (row["width"], row["height"]) == (40, 60)


@pytest.mark.parametrize("mode, colour", [("L", 0), ("RGB", 1), ("CMYK", 1)])
def test_mode_and_colour(tmp_path, mode, colour):
    row = one(tmp_path, Image.fromarray(noise()).convert(mode))
    assert (row["mode"], row["colour"]) == (mode, colour)


@pytest.mark.parametrize(
    "name, saved_as, misnamed",
    [
        ("x.jpeg", "JPEG", False),
        ("x.JPG", "JPEG", False),
        ("x.PNG", "PNG", False),
        ("x.jpeg", "PNG", True),
        ("x.png", "JPEG", True),
    ],
)
def test_format_is_that_of_the_content(tmp_path, name, saved_as, misnamed):
    row = one(tmp_path, noise(), name, format=saved_as)
    assert (row["format"], row["misnamed"], row["problem"]) == (saved_as, misnamed, "")


@pytest.mark.parametrize("quality", [1, 5, 40, 50, 75, 95, 100])
def test_quality_is_what_the_file_was_saved_with(tmp_path, quality):
    assert one(tmp_path, noise(), quality=quality)["quality"] == quality


def test_a_table_of_another_program_gets_the_nearest_quality(tmp_path):
    # 329 lies between 369 of quality 95 and 292 of quality 96.
    row = one(tmp_path, noise(), qtables=[[5] * 63 + [14]] * 2)
    assert (row["quantization"], row["quality"]) == (329, 96)


def test_a_png_has_no_quality(tmp_path):
    assert one(tmp_path, noise(), "x.png")[["quality", "quantization"]].isna().all()


def test_sha256(tmp_path):
    (tmp_path / "x.jpeg").write_bytes(b"abc")
    # FIPS 180-2, appendix B.1.
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert measured(tmp_path / "x.jpeg")["sha256"] == expected


def test_grey_statistics(tmp_path):
    # Half 0, a quarter 5, a quarter 255.
    pixels = np.repeat(np.array([0, 0, 5, 255], np.uint8), 56)[np.newaxis].repeat(224, axis=0)
    row = one(tmp_path, pixels, "x.png")
    assert row["mean"] == 65
    assert row["spread"] == pytest.approx(np.sqrt((25 + 255**2) / 4 - 65**2))
    assert row["black_share"] == 0.75


@pytest.mark.parametrize("cycles, ring", [(1, 1), (15, 1), (16, 2), (40, 3), (96, 7), (112, 7)])
def test_a_wave_lies_in_the_ring_of_its_frequency(tmp_path, cycles, ring):
    wave = np.cos(2 * np.pi * cycles * np.arange(224) / 224)
    pixels = np.rint(128 + 100 * wave).astype(np.uint8)[np.newaxis].repeat(224, axis=0)
    rings = one(tmp_path, pixels, "x.png")[[f"ring_{number}" for number in range(1, 8)]]
    assert rings.astype(float).idxmax() == f"ring_{ring}"
    # 224 x 224 / 2 times the amplitude is the one coefficient of the half plane, or both for 112.
    share = 1.0 if cycles == 112 else 0.5
    assert rings.max() == pytest.approx(2 * np.log(224**2 * 100 * share), abs=0.02)


def test_an_unreadable_file_has_its_problem_and_nothing_else(tmp_path):
    (tmp_path / "x.jpeg").write_bytes(b"not a picture")
    row = measured(tmp_path / "x.jpeg")
    assert row["problem"].startswith("is not a readable image but text that begins with 'not")
    assert row["bytes"] == 13
    assert (row["format"], row["mode"], row["phash"]) == ("", "", None)
    assert not row["misnamed"]
    assert np.isnan(row[["width", "quality", "mean", "ring_1"]].astype(float)).all()


def test_the_hash_of_an_unreadable_file_is_none_among_others(tree):
    table = index.from_class_folders(tree).head(2)
    table["path"][0].write_text("see attachment")
    hashes = measurements.measure(table)["phash"].tolist()
    assert hashes[0] is None
    assert len(hashes[1]) == 64


def test_a_missing_file_is_unreadable(tmp_path):
    row = measured(tmp_path / "x.jpeg")
    assert row["problem"].startswith("does not exist")
    assert row["sha256"] == ""


def test_measures_of_nothing(tree):
    with pytest.raises(ValueError, match="no images: give one as index"):
        measurements.measure(index.from_class_folders(tree).head(0))


def bits_apart(first, second):
    return (int(first["phash"], 16) ^ int(second["phash"], 16)).bit_count()


def test_the_hash_outlives_saving_and_resizing(tmp_path):
    original = one(tmp_path, blobs(0), quality=85)
    again = one(tmp_path, blobs(0).resize((190, 150)).convert("RGB"), "y.jpeg", quality=50)
    assert bits_apart(original, again) <= 20


def test_the_hash_tells_pictures_apart(tmp_path):
    row, other = one(tmp_path, blobs(0)), one(tmp_path, blobs(1), "y.jpeg")
    assert bits_apart(row, other) > 80


def test_real_data(real_data):
    measured = measurements.measure(index.from_class_folders(real_data / "chest_xray_originals"))
    assert len(measured) == 177
    truth = pd.read_csv(real_data / "originals.csv")
    key = truth["split"] + "/" + truth["label"] + "/" + truth["file"]
    names = measured["path"].map(lambda path: path.name)
    truth = truth.set_index(key).loc[measured["split"] + "/" + measured["class"] + "/" + names]
    for column in ("width", "height", "bytes", "mode"):
        assert measured[column].tolist() == truth[column].tolist()
    assert measured["quantization"].tolist() == truth["luminance_quantization_sum"].tolist()
