import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from xraylib.data import reading
from xraylib.errors import UnreadableImage

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(1, 255, (120, 90), dtype=np.uint8)
COLOURS = RNG.integers(1, 255, (120, 90, 3), dtype=np.uint8)


def encoded(form, pixels=PIXELS, **options):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, form, **options)
    return file.getvalue()


def tiff(pixels, compression, **options):
    return encoded("TIFF", pixels, compression=compression, **options)


JPEGS = {
    "sequential": encoded("JPEG"),
    "colour": encoded("JPEG", COLOURS),
    "progressive": encoded("JPEG", progressive=True),
    "restarts": encoded("JPEG", restart_marker_rows=1),
    "optimized": encoded("JPEG", optimize=True, quality=95),
}
ENDS = {
    "nothing": lambda lost: b"",
    "its end mark": lambda lost: b"\xff\xd9",
    "zeros": lambda lost: bytes(len(lost)),
    "zeros and its end mark": lambda lost: bytes(len(lost)) + b"\xff\xd9",
    "ones": lambda lost: b"\xff" * len(lost),
    "ones and its end mark": lambda lost: b"\xff" * len(lost) + b"\xff\xd9",
    "a repeated block": lambda lost: (lost[:256] * len(lost))[: len(lost)],
    "noise": lambda lost: np.random.default_rng(1).bytes(len(lost)),
    "the whole file again": lambda lost: JPEGS["sequential"],
}


def refused(content):
    with pytest.raises(UnreadableImage, match=r"x is (damaged|cut short) \(.*\): fetch it again"):
        reading.film("x", content=content)


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("kind", JPEGS)
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_half_a_jpeg_however_it_ends(kind, end, share):
    content = JPEGS[kind]
    assert reading.grey("x", content=content).shape == PIXELS.shape
    cut = int(len(content) * share)
    refused(content[:cut] + ENDS[end](content[cut:]))


@pytest.mark.parametrize("scans", [1, 2, 3, 5])
def test_a_progressive_jpeg_without_its_last_scans(scans):
    content = JPEGS["progressive"]
    begin = 0
    for _ in range(scans + 1):
        begin = content.index(b"\xff\xda", begin + 1)
    # The tables of a scan stand before it.
    begin = content.rindex(b"\xff\xc4", 0, begin) if content[begin - 2] == 0xC4 else begin
    with pytest.raises(UnreadableImage, match="is cut short"):
        reading.film("x", content=content[:begin] + b"\xff\xd9")


def test_bytes_lost_from_the_middle_of_a_jpeg():
    content = JPEGS["sequential"]
    refused(content[:3000] + content[3512:])
    refused(content[:3000] + bytes(512) + content[3512:])


@pytest.mark.parametrize("appended", [b"", bytes(500), b"notes", b"\xff\xd9"])
def test_what_stands_behind_a_whole_file_does_no_harm(appended):
    for content in (JPEGS["sequential"], JPEGS["progressive"], encoded("PNG"), encoded("BMP")):
        assert reading.grey("x", content=content + appended).shape == PIXELS.shape


def test_a_jpeg_of_ink_is_read_and_checked():
    file = io.BytesIO()
    Image.fromarray(COLOURS).convert("CMYK").save(file, "JPEG")
    content = file.getvalue()
    assert reading.grey("x", content=content).shape == PIXELS.shape
    refused(content[: len(content) // 2] + b"\xff\xd9")


@pytest.mark.parametrize("place", [0.3, 0.6, 0.95])
def test_a_wrong_bit_in_a_png(place):
    content = bytearray(encoded("PNG"))
    content[int(len(content) * place)] ^= 4
    refused(bytes(content))


def test_a_png_without_its_end():
    content = encoded("PNG")
    for cut in (1, 4, 12, 20, 3000):
        refused(content[:-cut])
    refused(content[:4000] + bytes(len(content) - 4000))


def test_a_png_of_fewer_rows_than_it_says():
    rows = zlib.compress(b"".join(b"\0" + bytes(row) for row in PIXELS[:60]))
    parts = [(b"IHDR", struct.pack(">IIBBBBB", 90, 120, 8, 0, 0, 0, 0)), (b"IDAT", rows)]
    content = b"\x89PNG\r\n\x1a\n"
    for kind, body in [*parts, (b"IEND", b"")]:
        checksum = zlib.crc32(kind + body)
        content += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", checksum)
    refused(content)


def test_the_second_frame_of_a_png_may_not_be_broken():
    file = io.BytesIO()
    frames = [Image.fromarray(PIXELS), Image.fromarray(255 - PIXELS)]
    frames[0].save(file, "PNG", save_all=True, append_images=frames[1:])
    assert reading.film("x", content=file.getvalue()).pages == 2
    refused(file.getvalue()[:-500])


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
@pytest.mark.parametrize(
    "content",
    [
        encoded("TIFF"),
        tiff(PIXELS, "tiff_lzw"),
        tiff(PIXELS, "tiff_adobe_deflate"),
        tiff(PIXELS, "packbits"),
        tiff(PIXELS.astype(np.uint16) * 100, "tiff_lzw"),
        encoded("BMP"),
        encoded("GIF"),
        encoded("PPM"),
        encoded("WEBP"),
        encoded("WEBP", lossless=True),
        encoded("JPEG2000"),
        encoded("JPEG2000", no_jp2=True),
    ],
    ids=range(12),
)
def test_other_formats_without_their_end_or_with_zeros_for_it(content):
    assert reading.grey("x", content=content).shape == PIXELS.shape
    cut = len(content) * 3 // 5
    for damaged in (content[:cut], content[:-20], content[:cut] + bytes(len(content) - cut)):
        with pytest.raises(UnreadableImage):
            reading.film("x", content=damaged)


def test_the_jpeg_within_a_tiff():
    content = tiff(PIXELS, "jpeg")
    begin = content.rindex(b"\xff\xda") + 100
    assert reading.grey("x", content=content).shape == PIXELS.shape
    refused(content[:begin] + bytes(2000) + content[begin + 2000 :])


@pytest.mark.parametrize("form", ["BMP", "PPM", "TIFF", "PNG"])
def test_black_edges_are_no_damage(form):
    film = PIXELS.copy()
    film[80:], film[:, 70:] = 0, 0
    assert reading.film("x", content=encoded(form, film)).flat_rows == 40 / 120
    film = PIXELS.copy()
    film[:20], film[:, :9] = 0, 255
    assert reading.film("x", content=encoded(form, film)).flat_rows == 0
    assert reading.film("x", content=encoded(form, PIXELS * 0)).flat_rows == 1
