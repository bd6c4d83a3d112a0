import dataclasses
import io

import numpy as np
import pytest
from PIL import Image

from xraylib.data.preparation import Preparation
from xraylib.errors import UnreadableImage

NOISE = np.random.default_rng(0).integers(0, 256, (30, 40), np.uint8)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"image_size": 0}, r"image_size must be 1 or more pixels\. Received: 0"),
        ({"image_size": "8"}, r"image_size must be 1 or more pixels\. Received: '8'"),
        ({"resize": "cubic"}, r"resize must be one of bilinear, area\. Received: 'cubic'"),
        ({"fit": "squeeze"}, r"fit must be one of stretch, crop, pad\. Received: 'squeeze'"),
        ({"quality": 0}, "None or a whole number 1 to 100. Received: 0"),
        ({"quality": 101}, "None or a whole number 1 to 100. Received: 101"),
        ({"depth": 11}, r"None or one of \(8, 10, 12, 14, 16\) bits\. Received: 11"),
        ({"quality": 7.5}, r"None or a whole number 1 to 100\. Received: 7\.5"),
    ],
)
def test_fields_out_of_range(fields, message):
    with pytest.raises(ValueError, match=message):
        Preparation(**{"image_size": 8, **fields})


def test_what_a_record_stores_brings_the_preparation_back():
    preparation = Preparation(224, resize="area", fit="pad", quality=75, depth=12)
    stored = dataclasses.asdict(preparation)
    assert stored == {"image_size": 224, "resize": "area", "fit": "pad", "quality": 75, "depth": 12}
    assert Preparation(**stored) == preparation


def test_in_words():
    assert str(Preparation(224)) == "224 px, bilinear, stretch"
    assert str(Preparation(8, "area", "crop", 75)) == "8 px, area, crop, quality 75"


def test_an_image_is_saved_again_before_it_is_resized():
    file = io.BytesIO()
    Image.fromarray(NOISE).save(file, "JPEG", quality=20)
    saved = np.asarray(Image.open(file))
    expected = Preparation(12).square(saved)
    np.testing.assert_array_equal(Preparation(12, quality=20).square(NOISE), expected)
    assert (expected != Preparation(12).square(NOISE)).any()


def test_a_file_is_read_as_its_pixels_are_prepared(tmp_path):
    preparation = Preparation(12, fit="crop")
    Image.fromarray(NOISE).save(tmp_path / "a.png")
    np.testing.assert_array_equal(preparation.read(tmp_path / "a.png"), preparation.square(NOISE))
    with pytest.raises(UnreadableImage, match=r"b\.png does not exist"):
        preparation.read(tmp_path / "b.png")
