import io

import numpy as np
import pytest
from PIL import Image

from xraylib.data import reading
from xraylib.data.signatures import IMAGE_FORMATS, image_format, in_words

PIXELS = Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8))


def saved(form, image=PIXELS, **options):
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


@pytest.mark.parametrize(
    ("form", "options"),
    [
        ("JPEG", {}),
        ("JPEG", {"progressive": True}),
        ("PNG", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("TIFF", {"big_tiff": True}),
        ("BMP", {}),
        ("GIF", {}),
        ("WEBP", {}),
        ("WEBP", {"lossless": True}),
        ("JPEG2000", {}),
        ("JPEG2000", {"no_jp2": True}),
        ("PPM", {}),
    ],
)
def test_an_image_is_recognised_whatever_its_name(tmp_path, form, options):
    content = saved(form, **options)
    assert image_format(content) == form
    (tmp_path / "film").write_bytes(content)
    assert reading.is_image(tmp_path / "film")


@pytest.mark.parametrize(
    ("content", "form"),
    [
        (b"P2\n# a comment\n3 2\n255\n0 1 2 3 4 5", "PPM"),
        (b"P5 3 2 65535\n", "PPM"),
        (b"Pf\n3 2\n-1.0\n", "PPM"),
        (b"MM\0*\0\0\0\x08", "TIFF"),
        (b"\0\0\0\x20ftypavif", "AVIF"),
        (bytes(128) + b"DICM", "DICOM"),
    ],
)
def test_an_image_that_pillow_does_not_write(content, form):
    assert image_format(content) == form
    assert form in (*IMAGE_FORMATS, "DICOM")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"%PDF-1.4", "a PDF document"),
        (b"%!PS-Adobe-3.0 EPSF-3.0", "a PostScript drawing"),
        (b"<?xml version='1.0'?><svg width='1'>", "an SVG drawing"),
        (b"\xd7\xcd\xc6\x9a" + bytes(50), r"a Windows drawing \(WMF or EMF\)"),
        (b"icns" + bytes(50), "an icon"),
        (b"\0\0\1\0\1\0" + bytes(50), "an icon"),
        (b"8BPS\0\1", "a Photoshop document"),
        (b"\xff\xd8\xff\xf7" + bytes(50), "a JPEG-LS image"),
        (b"\0\0\0\x18ftypheic", "a HEIF image, or a film"),
        (b"BMI,age,label\n21,4,1\n", "text that begins with 'BMI,age"),
        (b"P5 was left out", "text that begins with 'P5 was"),
        (b"", "only zeros"),
    ],
)
def test_no_image(tmp_path, content, words):
    assert image_format(content) == ""
    assert in_words(content).startswith(words.replace("\\", ""))
    (tmp_path / "film.jpeg").write_bytes(content)
    assert not reading.is_image(tmp_path / "film.jpeg")


def test_what_cannot_be_opened_is_no_image(tmp_path):
    assert not reading.is_image(tmp_path)
    assert not reading.is_image(tmp_path / "missing.png")
    assert not reading.is_image("nul\0.png")
