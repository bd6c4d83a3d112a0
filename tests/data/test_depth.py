import logging

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from xraylib.audit import measurements
from xraylib.data import reading
from xraylib.data.loading import decode
from xraylib.data.preparation import Preparation
from xraylib.errors import UnreadableImage

RAMP = np.linspace(0, 1, 64).reshape(8, 8)


def planted(folder, tops, suffix="png", kind=np.uint16):
    """A table of films whose brightest values are given, of both classes."""
    for number, top in enumerate(tops):
        pixels = (RAMP * top).round().astype(kind)
        Image.fromarray(pixels).save(folder / f"{number}.{suffix}")
    paths = [folder / f"{number}.{suffix}" for number in range(len(tops))]
    return pd.DataFrame(
        {"path": paths, "label": 0, "split": "train", "patient": "p", "subtype": ""}
    )


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XRAYLIB_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize(
    ("tops", "bits", "whites"),
    [
        ([4095, 2047], 12, [255, 127]),
        ([200, 255], 8, [200, 255]),
        ([1023, 512], 10, [255, 128]),
        ([9000, 16383], 14, [140, 255]),
        ([65535, 4095], 16, [255, 16]),
    ],
)
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_a_set_has_the_fewest_bits_that_hold_its_values(tmp_path, tops, bits, whites, suffix):
    table = planted(tmp_path, tops, suffix)
    for _ in range(2):  # decoded, and found in the cache
        images = decode(table, Preparation(8))
        assert images.preparation.depth == bits
        assert images.table.attrs["depth"] == {"bits": bits, "files": 2}
        assert images.pixels.max(axis=(1, 2, 3)).tolist() == whites
    for path, square in zip(table["path"], images.pixels, strict=True):
        np.testing.assert_array_equal(images.preparation.read(path), square[..., 0])
    assert measurements.measure(table).attrs["depth"]["bits"] == bits


def test_a_set_of_eight_bits_has_no_depth(tmp_path):
    images = decode(planted(tmp_path, [90, 255], kind=np.uint8), Preparation(8))
    assert images.preparation == Preparation(8)
    assert "depth" not in images.table.attrs


def test_what_was_decided_is_logged(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        decode(planted(tmp_path, [4095, 300]), Preparation(8))
    assert "2 of 2 images have 16 bits a pixel and no value above 4,095: 12 bits" in caplog.text
    assert "1 of 2 images use less than an eighth of the 12 bits" in caplog.text


def test_a_film_alone_that_looks_dark_is_told_of(tmp_path):
    (path,) = planted(tmp_path, [4095])["path"]
    with pytest.warns(UserWarning, match=r"no value above 4,095, and looks dark.*bits=12"):
        assert reading.grey(path).max() == 16
    assert reading.grey(path, bits=12).max() == 255
    with pytest.raises(UnreadableImage, match="up to 4,095, but those of its set end with 10 bits"):
        reading.grey(path, bits=10)


def test_negative_values_are_refused(tmp_path):
    Image.fromarray(np.array([[-1000, 200]], np.int32)).save(tmp_path / "a.tif")
    with pytest.raises(UnreadableImage, match="has values from -1,000 to 200"):
        reading.grey(tmp_path / "a.tif")


def test_floats_within_one_fill_their_range(tmp_path):
    Image.fromarray(np.array([[0, 0.5, 1]], np.float32)).save(tmp_path / "a.tif")
    assert reading.grey(tmp_path / "a.tif").tolist() == [[0, 128, 255]]
