"""Find damage in the bytes of an image file that Pillow decodes without a word.

What is seen, here and by the strict decoder of `jpeg`: a file that ends too early, whatever was
put in place of its end; bytes that were lost, added or exchanged so that a checksum or the number
of blocks no longer fits. What cannot be seen is a change that leaves another valid file: some
flipped bits of a JPEG (two of three change blocks but not their number), JPEG 2000, WebP, GIF or
LZW; a changed quantization table; and in a BMP, PGM or uncompressed TIFF, which hold nothing but
pixels, everything except a long end of zeros that begins within a row.
"""

import struct
import zlib
from typing import Final

import numpy as np
from PIL import Image

from xraylib.data import jpeg

# Compressed data do not hold so many zeros in a row; a broken download ends in blocks of them.
_ZEROS: Final = bytes(16)
_LOST_END: Final = "its end is filled with zeros"
_PNG_CHANNELS: Final = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by the colour type
# Tags of TIFF 6.0 and its supplement 2.
_COMPRESSION, _JPEG_TABLES = 259, 347
_PLACES: Final = ((324, 325), (273, 279))  # offsets and byte counts of tiles, of strips


def check(content: bytes, image: Image.Image) -> None:
    """Check the bytes of a file that Pillow has opened and loaded; of a JPEG, `jpeg.luma` does.

    Raises:
        ValueError: They are not whole; the message says how that is seen.
    """
    if image.format == "PNG":
        _check_png(content, image)
    elif image.format == "TIFF":
        _check_tiff(content, image.tag_v2)  # type: ignore[attr-defined]
    elif image.format == "WEBP":
        _check_webp(content)
    elif image.format == "AVIF" and content.endswith(_ZEROS):
        raise ValueError(_LOST_END)


def check_rows(pixels: np.ndarray) -> None:
    """Check that no fill replaces the end of lossless pixels, (height, width), from within a row.

    Such a fill covers an eighth of the rows or more. A black edge begins with a row, and where a
    film is narrower, the row above it is, too.

    Raises:
        ValueError: A fill does.
    """
    fill = pixels[-1, -1]
    if np.ptp(pixels[-1]) or fill not in (0, 255):
        return
    last = np.flatnonzero((pixels != fill).any(axis=1))[-1:]
    for row in last[(last > 0) & (last < len(pixels) * 7 // 8)]:
        begin = int(np.flatnonzero(pixels[row] != fill)[-1]) + 1
        above = pixels[row - 1, begin:] != fill
        if above.size and above.mean() > 0.5:
            raise ValueError(_LOST_END)


def _check_png(content: bytes, image: Image.Image) -> None:
    """Check each chunk's checksum; Pillow passes over those of the pixels."""
    view = memoryview(content)
    at, kind, packed = 8, b"", []
    while kind != b"IEND":
        if at + 12 > len(content):
            raise ValueError("its last chunks are missing")
        length, kind = struct.unpack_from(">I4s", content, at)
        end = at + 8 + length
        if end + 4 > len(content):
            raise ValueError("its last chunk is not whole")
        if zlib.crc32(view[at + 4 : end]) != int.from_bytes(view[end : end + 4], "big"):
            raise ValueError(f"wrong checksum of a chunk {kind.decode('latin-1')!r}")
        if kind == b"IDAT":
            packed.append(view[at + 8 : end])
        at = end + 4
    width, height, bits, colours, *_, interlaced = struct.unpack_from(">IIBBBBB", content, 16)
    # Rows that are not there are black to Pillow, without a word.
    if not interlaced and not any(image.crop((0, height - 1, width, height)).tobytes()):
        row = 1 + (width * bits * _PNG_CHANNELS[colours] + 7) // 8  # 1: the number of its filter
        if len(zlib.decompress(b"".join(packed))) < height * row:
            raise ValueError("its last rows are missing")


def _check_tiff(content: bytes, tags: dict[int, object]) -> None:
    """Check that the compressed strips or tiles of the first page are all there, and whole."""
    compression = tags.get(_COMPRESSION, 1)
    if compression == 1:
        return
    offsets, counts = next((tags[a], tags[b]) for a, b in _PLACES if a in tags and b in tags)
    for offset, count in zip(offsets, counts, strict=True):  # type: ignore[call-overload]
        strip = content[offset : offset + count]
        if not strip or len(strip) < count:
            raise ValueError("some of its strips are missing")
        if compression == 7:
            tables = tags.get(_JPEG_TABLES, b"\xff\xd8\xff\xd9")
            jpeg.luma(bytes(tables)[:-2] + strip[2:])  # type: ignore[call-overload]
        elif strip.endswith(_ZEROS):
            raise ValueError(_LOST_END)


def _check_webp(content: bytes) -> None:
    """Check that no chunk of pixels ends in zeros, which VP8 decodes as if they were data."""
    at = 12
    while at + 8 <= len(content):
        kind, length = struct.unpack_from("<4sI", content, at)
        if kind in (b"VP8 ", b"VP8L", b"ANMF") and content[at + 8 :][:length].endswith(_ZEROS):
            raise ValueError(_LOST_END)
        at += 8 + length + length % 2
