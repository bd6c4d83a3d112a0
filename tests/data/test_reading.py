import io
import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from xraylib.data.reading import MOST_PIXELS, grey, stored
from xraylib.errors import UnreadableImage

GREY_4X4 = np.arange(16, dtype=np.uint8).reshape(4, 4) * 17
# .299 R + .587 G + .114 B, by hand: 76.2, 149.7, 29.1, 255
COLOURS = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]]], np.uint8)
LUMA = [[76, 150, 29, 255]]


def png_bytes(*, width, height, depth, colour_type, rows):
    """Write a PNG of any bit depth by hand: Pillow cannot write 2, 4 or 16-bit colour ones."""

    def chunk(kind, body):
        checksum = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + checksum

    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def saved(path, pixels, **options):
    Image.fromarray(pixels).save(path, **options)
    return path


def jpeg_bytes(pixels):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG")
    return buffer.getvalue()


# ------------------------------------------------------------------ modes and bit depths


def test_grey_png_comes_back_as_it_is(tmp_path):
    path = saved(tmp_path / "a.png", GREY_4X4)
    for pixels in (grey(path), grey(str(path))):
        assert pixels.dtype == np.uint8
        assert pixels.flags.writeable and pixels.flags.c_contiguous
        np.testing.assert_array_equal(pixels, GREY_4X4)


def test_content_at_hand_is_not_read_again(tmp_path):
    path = saved(tmp_path / "a.png", GREY_4X4)
    content = stored(str(path))
    assert content == path.read_bytes()
    path.unlink()
    np.testing.assert_array_equal(grey(path, content=content), GREY_4X4)
    with pytest.raises(UnreadableImage, match=r"a\.png is not a readable image but a PDF"):
        grey(path, content=b"%PDF-1.7")


@pytest.mark.parametrize(
    "colour, luma", [((255, 0, 0), 76), ((0, 255, 0), 150), ((0, 0, 255), 29), ((90, 90, 90), 90)]
)
@pytest.mark.parametrize("keep_rgb", [False, True])
def test_colour_jpeg_gives_luma(tmp_path, colour, luma, keep_rgb):
    pixels = np.full((16, 16, 3), colour, np.uint8)
    path = saved(tmp_path / "a.jpeg", pixels, quality=100, keep_rgb=keep_rgb)
    assert np.abs(grey(path).astype(int) - luma).max() <= 1  # JPEG stores rounded chroma


def test_cmyk_and_ycck_jpeg(tmp_path):
    path = tmp_path / "a.jpeg"
    Image.new("CMYK", (8, 8), (0, 0, 0, 100)).save(path, quality=100)
    assert (grey(path) == 155).all()  # 255 - 100 of black ink
    # The same file, marked as YCCK. Adobe stores ink as 255 - ink, so these are the planes
    # Y, Cb, Cr = 0, 128, 128, which stand for no cyan, magenta and yellow, and 100 of black.
    Image.new("CMYK", (8, 8), (255, 127, 127, 100)).save(path, quality=100)
    content = bytearray(path.read_bytes())
    content[content.index(b"Adobe") + 11] = 2
    path.write_bytes(content)
    assert np.abs(grey(path).astype(int) - 155).max() <= 1


def test_colour_png_gives_luma_whatever_its_alpha(tmp_path):
    assert grey(saved(tmp_path / "rgb.png", COLOURS)).tolist() == LUMA
    transparent = np.dstack([COLOURS, np.zeros((1, 4), np.uint8)])
    assert grey(saved(tmp_path / "rgba.png", transparent)).tolist() == LUMA
    pixels = np.array([[[10, 0], [200, 128]]], np.uint8)
    assert grey(saved(tmp_path / "la.png", pixels)).tolist() == [[10, 200]]


@pytest.mark.parametrize("transparency", [None, 1, b"\x00\x80\xff\x00"])
def test_palette(tmp_path, transparency):
    image = Image.new("P", (4, 1))
    image.putpalette(COLOURS.ravel().tolist())
    image.putdata([0, 1, 2, 3])
    options = {} if transparency is None else {"transparency": transparency}
    image.save(tmp_path / "a.png", **options)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # Pillow warns of transparency in palettes
        assert grey(tmp_path / "a.png").tolist() == LUMA


@pytest.mark.parametrize(
    "depth, row, expected",
    [
        (1, b"\xa0", [[255, 0, 255, 0]]),  # 1010
        (2, b"\x1b", [[0, 85, 170, 255]]),  # 00 01 10 11
        (4, b"\x01\x8f", [[0, 17, 136, 255]]),  # 0 1 8 15
        # x / 257: 0; .498; 128.498; 255
        (16, bytes.fromhex("0000 0080 8101 ffff"), [[0, 0, 129, 255]]),
        # 129 / 257 = .502 -> 1; 385 -> 1.498; 386 -> 1.502
        (16, bytes.fromhex("0081 0181 0182 ffff"), [[1, 1, 2, 255]]),
    ],
)
def test_grey_png_of_every_bit_depth(tmp_path, depth, row, expected):
    path = tmp_path / "a.png"
    path.write_bytes(png_bytes(width=4, height=1, depth=depth, colour_type=0, rows=[row]))
    assert grey(path).tolist() == expected


@pytest.mark.parametrize(
    "colour_type, pixel, expected",
    [(2, "8080 8080 8080", 128), (6, "ffff 0000 0000 0000", 76), (4, "8080 0000", 128)],
)
def test_16_bit_colour_and_alpha(tmp_path, colour_type, pixel, expected):
    row = bytes.fromhex(pixel)
    path = tmp_path / "a.png"
    path.write_bytes(png_bytes(width=1, height=1, depth=16, colour_type=colour_type, rows=[row]))
    assert grey(path).tolist() == [[expected]]


def test_png_named_jpeg_is_read(tmp_path):
    path = saved(tmp_path / "a.jpeg", GREY_4X4, format="PNG")
    np.testing.assert_array_equal(grey(path), GREY_4X4)


# ------------------------------------------------------------------ orientation

# As a viewer shows the stored pixels 1 2 3 / 4 5 6 (EXIF 2.32, tag 274).
UPRIGHT = {
    1: [[1, 2, 3], [4, 5, 6]],
    2: [[3, 2, 1], [6, 5, 4]],
    3: [[6, 5, 4], [3, 2, 1]],
    4: [[4, 5, 6], [1, 2, 3]],
    5: [[1, 4], [2, 5], [3, 6]],
    6: [[4, 1], [5, 2], [6, 3]],
    7: [[6, 3], [5, 2], [4, 1]],
    8: [[3, 6], [2, 5], [1, 4]],
    9: [[1, 2, 3], [4, 5, 6]],  # there is no 9
}


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_orientation(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = np.array(UPRIGHT[1], np.uint8)
    pixels = grey(saved(tmp_path / "a.png", stored, exif=exif))
    assert pixels.tolist() == UPRIGHT[orientation]
    assert pixels.flags.c_contiguous


def test_orientation_of_a_colour_jpeg(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: the left edge of the stored picture is the top
    stored = np.full((16, 32, 3), 200, np.uint8)
    stored[:, 16:] = 0
    pixels = grey(saved(tmp_path / "a.jpeg", stored, exif=exif, quality=95))
    assert pixels.shape == (32, 16)
    assert pixels[:14].min() > 190 and pixels[18:].max() < 10


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_damaged_exif_does_not_lose_the_image(tmp_path):
    path = saved(tmp_path / "a.jpeg", GREY_4X4, exif=b"Exif\0\0MM\0*\xff\xff\xff\xff broken")
    assert grey(path).shape == (4, 4)


# ------------------------------------------------------------------ errors


def test_no_file_to_read(tmp_path):
    (tmp_path / "a.jpeg").touch()
    for path, message in (
        (tmp_path / "nowhere.png", r"nowhere\.png does not exist: check the path"),
        (tmp_path, "is a folder: give one image file"),
        (tmp_path / "a.jpeg", r"a\.jpeg is empty \(0 bytes\): fetch it again"),
    ):
        with pytest.raises(UnreadableImage, match=message):
            grey(path)


def test_forbidden(tmp_path, monkeypatch):
    path = saved(tmp_path / "a.png", GREY_4X4)

    def refuse(self):
        raise PermissionError(13, "Permission denied")  # chmod does not stop a test run as root

    monkeypatch.setattr(type(path), "read_bytes", refuse)
    with pytest.raises(UnreadableImage, match=r"a\.png may not be read \(permission denied\)"):
        grey(path)


@pytest.mark.parametrize(
    "content, words",
    [
        (b"<html>please log in</html>", "text that begins with '<html>please log in"),
        (b"\0\x05\x16\x07\0\x02" + bytes(50), "macOS metadata"),
        (bytes(1000), "only zeros"),
        (b"\xff\xd8\xff", "the damaged beginning of a JPEG image"),
        (b"\x01\x02\0\xfe" + bytes(50), "something else that begins with the bytes 01 02 00 fe"),
    ],
)
def test_file_that_is_no_image(tmp_path, content, words):
    path = tmp_path / "a.jpeg"
    path.write_bytes(content)
    with pytest.raises(UnreadableImage, match=rf"a\.jpeg is not a readable image but {words}"):
        grey(path)


def test_a_tiff_that_cannot_be_opened_may_be_whole():
    with pytest.raises(
        UnreadableImage, match="x is a TIFF image that is damaged, or of a rare kind"
    ):
        grey("x", content=b"II*\0" + bytes(50))


NOISE = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_cut_short(tmp_path, form):
    path = saved(tmp_path / "a.jpeg", NOISE, format=form)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(UnreadableImage, match=r"a\.jpeg is cut short \(.*2,000 bytes on disk\)"):
        grey(path)


def test_end_of_a_jpeg_filled_with_zeros(tmp_path):
    content = jpeg_bytes(NOISE)
    path = tmp_path / "a.jpeg"
    path.write_bytes(content[:2000] + bytes(len(content) - 2000))
    with pytest.raises(UnreadableImage, match=r"is cut short \(Premature end of JPEG file"):
        grey(path)


@pytest.mark.parametrize("appended", [bytes(100), b"something of the scanner's" + bytes(100)[:8]])
def test_whole_jpeg_with_something_behind_it_is_read(tmp_path, appended):
    path = tmp_path / "a.jpeg"
    path.write_bytes(jpeg_bytes(NOISE) + appended)
    assert grey(path).shape == (64, 64)


def test_damaged_png(tmp_path):
    path = saved(tmp_path / "a.png", NOISE)
    content = path.read_bytes()
    path.write_bytes(content[:200] + bytes(800) + content[1000:])
    with pytest.raises(UnreadableImage, match=r"a\.png is damaged \(.*\): fetch it again"):
        grey(path)


# 81 million pixels: above our limit only; 400 million: Pillow refuses as well.
@pytest.mark.parametrize("side", [9_000, 20_000])
def test_decompression_bomb(tmp_path, side):
    path = tmp_path / "a.png"
    path.write_bytes(png_bytes(width=side, height=side, depth=8, colour_type=0, rows=[b"\0"]))
    with pytest.raises(UnreadableImage, match=rf"claims to be too large.*at most {MOST_PIXELS:,}"):
        grey(path)


@pytest.mark.parametrize("seed", range(20))
def test_random_damage_gives_pixels_or_a_clear_error(tmp_path, seed):
    rng = np.random.default_rng(seed)
    pixels, form = (np.dstack([NOISE] * 3), "JPEG") if seed % 2 else (NOISE, "PNG")
    path = saved(tmp_path / "a.jpeg", pixels, format=form)
    content = bytearray(path.read_bytes())
    for place in rng.integers(0, min(700, len(content)), 8):
        content[place] = rng.integers(256)
    path.write_bytes(content)
    try:
        assert grey(path).dtype == np.uint8
    except UnreadableImage as error:
        assert str(path) in str(error)
        assert "\n" not in str(error)
        assert error.__cause__ is None


def test_many_threads(tmp_path):
    paths = [
        saved(tmp_path / f"{value}.{suffix}", np.full((40, 30, 3), value, np.uint8))
        for value in range(0, 250, 10)
        for suffix in ("png", "jpeg")
    ]
    with ThreadPoolExecutor(8) as pool:
        values = [int(np.median(pixels)) for pixels in pool.map(grey, paths * 8)]
    assert values == [int(path.stem) for path in paths] * 8
