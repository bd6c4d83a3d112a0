"""Recognise what a file is by its first bytes, whatever its name."""

import re
from typing import Final

# As many bytes from the beginning of a file as `image_format` needs.
HEAD: Final = 512

# Pillow's names of the formats in which a radiograph may come: (offset, first bytes, name). Left
# out is what holds no photograph, like icons and drawings, and what starts a program to be drawn,
# like EPS and WMF.
_IMAGES: Final = (
    (0, rb"\xff\xd8\xff(?!\xf7)", "JPEG"),  # \xf7 is JPEG-LS, which Pillow does not read
    (0, rb"\x89PNG\r\n\x1a\n", "PNG"),
    (0, rb"II[*+]\0|MM\0[*+]", "TIFF"),
    # Two letters alone might begin a text. 6: four reserved bytes; 14: the size of what follows.
    (0, rb"BM.{4}\0{4}.{4}[\x0c\x10\x28\x34\x38\x40\x6c\x7c]\0\0\0", "BMP"),
    (0, rb"GIF8[79]a", "GIF"),
    (0, rb"RIFF.{4}WEBP", "WEBP"),
    (0, rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51", "JPEG2000"),
    (0, rb"(?:P[1-6]|Pf)(?:\s|#[^\n]*\n)+\d+(?:\s|#[^\n]*\n)+\d", "PPM"),
    (4, rb"ftypavi[fs]", "AVIF"),
)
IMAGE_FORMATS: Final = tuple(name for _, _, name in _IMAGES)

# The suffixes of each format, in lower case; of what has another, a name says nothing.
SUFFIXES: Final = {
    "JPEG": (".jpeg", ".jpg", ".jpe", ".jfif"),
    "PNG": (".png", ".apng"),
    "TIFF": (".tif", ".tiff"),
    "BMP": (".bmp", ".dib"),
    "GIF": (".gif",),
    "WEBP": (".webp",),
    "JPEG2000": (".jp2", ".j2k", ".jpf", ".jpx", ".j2c", ".jpc"),
    "PPM": (".pgm", ".ppm", ".pnm", ".pbm", ".pfm"),
    "AVIF": (".avif", ".avifs"),
    "DICOM": (".dcm", ".dicom"),
}

# What people name .jpeg or .png by mistake, in plain words.
_OTHERS: Final = (
    (0, rb"\0\x05\x16\x07", "macOS metadata (a '._' companion), not the image itself"),
    (0, rb"%PDF", "a PDF document"),
    (0, rb"%!PS|\xc5\xd0\xd3\xc6", "a PostScript drawing"),
    (0, rb"\s*<(?:svg\b|!DOCTYPE svg|(?:\?xml|!--)[^\0]*<svg\b)", "an SVG drawing"),
    (0, rb"\xd7\xcd\xc6\x9a|\x01\0\0\0.{36} EMF", "a Windows drawing (WMF or EMF)"),
    (0, rb"\0\0[\1\2]\0.\0|icns", "an icon"),
    (0, rb"8BPS", "a Photoshop document"),
    (0, rb"SIMPLE  =", "a FITS table"),
    (0, rb"\x89HDF", "an HDF5 file"),
    (0, rb"\x93NUMPY", "a NumPy array"),
    (344, rb"n[i+]1\0", "a NIfTI volume"),
    (0, rb"\xff\xd8\xff\xf7", "a JPEG-LS image"),
    (0, rb"\xff\x0a|\0\0\0\x0cJXL ", "a JPEG XL image"),
    (4, rb"ftyp", "a HEIF image, or a film"),
    (0, rb"PK\x03\x04", "a zip archive"),
    (0, rb"\x1f\x8b|7z\xbc\xaf|Rar!|BZh|\xfd7zXZ", "a packed archive"),
)


def _first(table: tuple[tuple[int, bytes, str], ...], content: bytes) -> str:
    head = content[:HEAD]
    for offset, pattern, name in table:
        if re.compile(pattern, re.DOTALL).match(head, offset):
            return name
    return ""


def image_format(content: bytes) -> str:
    """Recognise a radiograph by the first `HEAD` bytes of its file.

    Returns:
        One of `IMAGE_FORMATS`, as Pillow names them, or `"DICOM"`; empty for anything else.

    Example:
        >>> image_format(b"GIF89a"), image_format(bytes(128) + b"DICM"), image_format(b"%PDF-1.7")
        ('GIF', 'DICOM', '')
    """
    return "DICOM" if content.startswith(b"DICM", 128) else _first(_IMAGES, content)


def in_words(content: bytes) -> str:
    """Say in words what the content of a file that is no image seems to be.

    Example:
        >>> in_words(b"%PDF-1.7"), in_words(b"see attachment")
        ('a PDF document', "text that begins with 'see attachment'")
    """
    if words := _first(_OTHERS, content):
        return words
    if form := image_format(content):
        return "a DICOM file" if form == "DICOM" else f"the damaged beginning of a {form} image"
    if not content.strip(b"\0"):
        return "only zeros (a broken download)"
    if b"\0" not in content[:HEAD]:
        beginning = content[:HEAD].decode("utf-8", errors="replace")
        if "\ufffd" not in beginning[:-4]:
            return f"text that begins with {' '.join(beginning.split())[:40]!r}"
    return f"something else that begins with the bytes {content[:4].hex(' ')}"
