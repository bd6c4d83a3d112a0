import io
import logging
import struct
import zlib

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from xraylib.audit import measurements
from xraylib.data import depth, reading
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


# ------------------------------------------------------------------ what a file itself states

ONE_ROW = [0, 1000, 2047, 4095]
OF_12, OF_16 = [0, 62, 127, 255], [0, 4, 8, 16]


def tiff(row, *, bits=16, **tags):
    """One row of grey as TIFF, written by hand; a tag is named as `T281`."""
    packed = "".join(f"{value:0{bits}b}" for value in row)
    data = int(packed, 2).to_bytes(len(packed) // 8, "big")
    data = data if bits == 12 else struct.pack(f"<{len(row)}H", *row)
    photometric = tags.pop("photometric", 1)
    entries = {256: len(row), 257: 1, 258: bits, 259: 1, 262: photometric, 273: 8, 277: 1, 278: 1}
    entries |= {279: len(data)} | {int(name[1:]): value for name, value in tags.items()}
    body = b"".join(struct.pack("<HHII", tag, 3, 1, entries[tag]) for tag in sorted(entries))
    head = struct.pack("<2sHI", b"II", 42, 8 + len(data))
    return head + data + struct.pack("<H", len(entries)) + body + bytes(4)


def png(row, sbit=None, *, colour_type=0):
    """One row of 16-bit values as PNG, with the chunk sBIT."""

    def chunk(kind, body):
        crc = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + crc

    channels = {0: 1, 2: 3, 4: 2, 6: 4}[colour_type]
    header = struct.pack(">IIBBBBB", len(row) // channels, 1, 16, colour_type, 0, 0, 0)
    data = zlib.compress(b"\0" + struct.pack(f">{len(row)}H", *row))
    stated = b"" if sbit is None else chunk(b"sBIT", bytes([sbit]))
    chunks = chunk(b"IHDR", header) + stated + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def pgm(row, maxval, *, head="P5 {} 1 {}\n"):
    return head.format(len(row), maxval).encode() + struct.pack(f">{len(row)}H", *row)


@pytest.mark.filterwarnings("ignore:.*looks dark")
@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (tiff(ONE_ROW), OF_16),
        (tiff(ONE_ROW, bits=12), OF_12),
        (tiff(ONE_ROW, T281=4095), OF_12),  # MaxSampleValue
        (tiff(ONE_ROW, T341=4095), OF_12),  # SMaxSampleValue
        (tiff(ONE_ROW, T281=4000), OF_16),  # the brightest pixel of some film
        (tiff(ONE_ROW, T281=1023), OF_16),  # contradicts the pixels
        (tiff(ONE_ROW, T281=255), OF_16),
        (tiff(ONE_ROW, T281=4095, photometric=0), [255, 193, 128, 0]),
        (tiff([0, 65535], photometric=0), [255, 0]),
        (png(ONE_ROW), OF_16),
        (png(ONE_ROW, 12), OF_12),
        (png([0, 1023], 10), [0, 255]),
        # Spread over 16 bits, as the standard demands; too wide for what it states.
        (png([0, 32768, 65520], 12), [0, 128, 255]),
        (pgm(ONE_ROW, 4095), OF_12),
        (pgm([0, 1023], 1023), [0, 255]),
        (pgm([0, 300], 300, head="P5\n# by hand\n{} 1\n# most\n{}\n"), [0, 255]),
        (b"P2\n4 1\n4095\n0 1000 2047 4095\n", OF_12),
        (pgm(ONE_ROW, 65535), OF_16),
    ],
)
def test_what_a_file_states_of_its_bits_counts(content, expected):
    assert reading.grey("x", content=content)[0].tolist() == expected


@pytest.mark.parametrize("content", [tiff([0, 4095], bits=12), png([0, 4095], 12)])
def test_what_a_file_states_goes_before_its_set(content):
    film = reading.film("x", content=content, bits=16)
    assert (film.bits, film.largest, film.pixels.max()) == (12, 0, 255)


def test_jpeg_2000():
    file = io.BytesIO()
    wide = (RAMP * 65535).astype(np.uint16).repeat(8, 0).repeat(8, 1)
    Image.fromarray(wide).save(file, "JPEG2000", irreversible=False)
    content = bytearray(file.getvalue())
    film = reading.film("x", content=bytes(content))
    assert (film.format, film.bits, film.largest) == ("JPEG2000", 16, 65535)
    np.testing.assert_array_equal(film.pixels, np.rint(wide / 257).astype(np.uint8))
    content[content.index(b"\xff\x4f\xff\x51") + 42] = 11  # 12 bits, less one
    with Image.open(io.BytesIO(content)) as image:
        assert depth.bits_stored(image, bytes(content)) == 12
        assert depth.stated(image, bytes(content), 65535) == 16  # Pillow has spread them


@pytest.mark.parametrize("colour_type", [2, 4, 6])
def test_colour_and_alpha_of_12_bits_in_16_are_refused(colour_type):
    with pytest.raises(UnreadableImage, match="16 bits a channel and uses less than a quarter"):
        reading.grey("x", content=png(12 * [4095], colour_type=colour_type))
    assert reading.grey("x", content=png(12 * [65535], colour_type=colour_type)).min() == 255


@pytest.mark.parametrize(("frame", "bits"), [(0xC0, 12), (0xC1, 12), (0xC2, 12), (0xC3, 16)])
def test_a_jpeg_of_more_than_8_bits_is_called_that(frame, bits):
    file = io.BytesIO()
    Image.fromarray((RAMP * 255).astype(np.uint8)).save(file, "JPEG")
    content = bytearray(file.getvalue())
    at = content.index(b"\xff\xc0")
    content[at + 1], content[at + 4] = frame, bits
    with pytest.raises(UnreadableImage, match=f"x is a JPEG of {bits} bits, and only .*16-bit PNG"):
        reading.grey("x", content=bytes(content))


# ------------------------------------------------------------------ what decoding tells of a set


def many_pages(path, pixels):
    Image.fromarray(pixels).save(
        path, "TIFF", save_all=True, append_images=[Image.new("L", (8, 8))]
    )


def with_alpha(path, pixels):
    Image.fromarray(np.dstack([pixels, pixels // 2])).save(path, "PNG")


def coloured(path, pixels):
    Image.fromarray(np.dstack([pixels, pixels // 2, pixels // 4])).save(path, "PNG")


def half_flat(path, pixels):
    pixels[20:] = 7
    Image.fromarray(pixels).save(path, "PNG")


def palette(path, pixels):
    image = Image.fromarray(pixels).convert("P")
    image.save(path, "PNG", transparency=9)


@pytest.mark.parametrize(
    ("save", "notice"),
    [
        (many_pages, "hold several pages or frames, of which the first is read"),
        (with_alpha, "have transparent pixels, whose stored values are taken"),
        (palette, "have transparent pixels, whose stored values are taken"),
        (coloured, "of 4 looked at are not grey"),
        (half_flat, "lack a part: the lines at one edge are one grey or repeat each other"),
    ],
)
def test_what_is_odd_is_told_by_count_and_example(tmp_path, caplog, save, notice):
    pixels = np.random.default_rng(0).integers(100, 256, (32, 32), np.uint8)
    paths = [tmp_path / f"{number}.png" for number in range(4)]
    for number, path in enumerate(paths):
        (save if number == 2 else lambda path, pixels: Image.fromarray(pixels).save(path))(
            path, pixels.copy()
        )
    table = pd.DataFrame(
        {"path": paths, "label": 0, "split": "train", "patient": "p", "subtype": ""}
    )
    with caplog.at_level(logging.WARNING):
        decode(table, Preparation(8))
    assert caplog.messages == [f"1 of 4 images {notice}; e.g. {paths[2]}"]
