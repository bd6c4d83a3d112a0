"""Read one image file as grey pixels, or raise an error that says what is wrong with it.

The content decides what a file is, not its name: JPEG, PNG, TIFF, BMP, GIF, WebP, JPEG 2000, PGM
and its relatives, AVIF where Pillow has it, and DICOM where pydicom is installed. `damage` says
what counts as damaged, and what cannot be seen.
"""

import contextlib
import io
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image, UnidentifiedImageError, features

from xraylib import errors
from xraylib.data import damage, depth, dicom, jpeg, signatures

# Four times the largest radiograph detector. It also lies below the size from which Pillow warns,
# so that the verdict does not depend on how the caller has set up warnings.
MOST_PIXELS: Final = 80_000_000

# Words in the reasons for which a file counts as cut short, ours and those of the decoders.
_CUT_SHORT: Final = ("truncated", "remature end", "its end", "its last", "missing")
# Formats that some builds of Pillow cannot decode, and its names of what they lack.
_OPTIONAL: Final = {"WEBP": "webp", "JPEG2000": "jpg_2000", "AVIF": "avif"}
_ORIENTATION: Final = 0x0112  # the tag of EXIF and TIFF
_SUBFILE: Final = 254  # the tag NewSubfileType of TIFF; its lowest bit: a reduced copy
# Channels that differ by as much are a colour, not what is left of one by compression.
_COLOURED: Final = 24
_BLOCK: Final = 16  # rows


def stored(path: Path | str) -> bytes:
    """Read the bytes of one file, at least one; `~` in the path is expanded.

    Raises:
        UnreadableImage: The file is missing, a folder, forbidden, or empty.
    """
    path = Path(path)
    try:
        path = path.expanduser()
        if path.is_dir():
            raise errors.UnreadableImage(f"{path} is a folder: give one image file")
        if path.exists() and not path.is_file():
            raise errors.UnreadableImage(f"{path} is a device or a pipe: give one image file")
        content = path.read_bytes()
    except FileNotFoundError:
        raise errors.UnreadableImage(
            f"{path} does not exist: check the path (the working folder is {Path.cwd()})"
        ) from None
    except PermissionError:
        message = f"{path} may not be read (permission denied): chmod it"
        raise errors.UnreadableImage(message) from None
    except (OSError, RuntimeError, ValueError) as error:
        if isinstance(error, errors.UnreadableImage):
            raise
        raise errors.UnreadableImage(f"{path} cannot be read: {errors.one_line(error)}") from None
    if not content:
        raise errors.UnreadableImage(f"{path} is empty (0 bytes): fetch it again or remove it")
    return content


def is_image(path: Path | str) -> bool:
    """Tell by its first bytes whether a file is an image in which a radiograph may come.

    Whether it can be decoded is for `grey` to say. False also where the file cannot be opened.
    """
    try:
        with open(path, "rb", buffering=0) as file:
            return bool(signatures.image_format(file.read(signatures.HEAD)))
    except (OSError, ValueError):
        return False


@dataclass(frozen=True)
class Film:
    """The grey pixels of a file, and what decoding noticed of the file.

    Attributes:
        pixels: (height, width) uint8 in [0, 255], upright, the caller's own writable copy.
        format: One of `signatures.IMAGE_FORMATS`, or `"DICOM"`.
        mode: Pillow's name of the pixel format as it is stored, e.g. `"L"`, `"RGB"`, `"I;16"`.
        pages: Pages or frames in the file, of which the first is read.
        bits: The bits by which the values were scaled: 2^bits - 1 became 255. 8 for 8-bit files.
        largest: The largest stored value of a file of more than 8 bits whose scale nothing but its
            set can tell, and 0 for all other files.
        transparent: Whether some pixel is; the values stored under it are used.
        coloured: Share of pixels whose channels differ by 24 or more of 255, in [0, 1], seen at an
            eighth of the size; NaN where it was not asked for.
        flat_rows: Share of rows at the bottom that are one single grey value, in [0, 1].
        quantization: Sum of a JPEG's first quantization table, that of the brightness; else NaN.
    """

    pixels: np.ndarray
    format: str
    mode: str
    pages: int
    bits: int
    largest: int
    transparent: bool
    coloured: float
    flat_rows: float
    quantization: float


def grey(path: Path | str, *, content: bytes | None = None, bits: int | None = None) -> np.ndarray:
    """Read one file as grey pixels, (height, width) uint8 in [0, 255]: `film` without the rest.

    Warns of a 16-bit file that uses less than a quarter of 16 bits, where nothing says that it has
    fewer.
    """
    read = film(path, content=content, bits=bits, colour=False)
    if bits is None and 0 < read.largest < depth.SUSPECT:
        warnings.warn(
            f"{path} has 16 bits a pixel but no value above {read.largest:,}, and looks dark: name "
            f"the bits of its set, e.g. bits={depth.fewest(read.largest)}",
            stacklevel=2,
        )
    return read.pixels


def film(
    path: Path | str,
    *,
    content: bytes | None = None,
    bits: int | None = None,
    colour: bool = True,
) -> Film:
    """Read one image file.

    - Colour becomes luma, .299 R + .587 G + .114 B (ITU-R BT.601). Of a colour JPEG it is the Y
      that the file stores. CMYK goes through RGB first.
    - Transparency is ignored: the values stored under a transparent pixel are used as they are.
    - Grey of more than 8 bits is scaled by the bits that the file states (`depth.stated`), else by
      `bits`: 2^bits - 1 becomes 255. Floats within [0, 1] fill that range. 16-bit grey with alpha
      and 16-bit colour come from Pillow as their high bytes, at most one level away from that.
    - The EXIF orientation is applied. Colour profiles and gamma are not.
    - Of several pages or frames, the first is read.

    Safe to call from many threads at once.

    Args:
        path: The file; `~` is expanded.
        content: The file's bytes, if `stored` has read them already; None reads them.
        bits: The bits of the set that a file of more than 8 belongs to; None takes all 16.
        colour: Whether to measure `Film.coloured`, which adds half the time to a colour JPEG.

    Raises:
        UnreadableImage: The file is missing, a folder, forbidden, empty, no image, cut short,
            damaged, of more than `MOST_PIXELS` pixels, or has values above 2^bits - 1.
    """
    path = Path(path)
    content = stored(path) if content is None else content
    try:
        return _decoded(content, bits, colour)
    except MemoryError:
        raise  # this machine's state, not the file's
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise errors.UnreadableImage(
            f"{path} claims to be too large ({errors.one_line(error)}): at most "
            f"{MOST_PIXELS:,} pixels are read; check where the file comes from, or reduce it first"
        ) from None
    except errors.UnreadableImage as error:
        raise errors.UnreadableImage(f"{path} {error}") from None
    except (UnidentifiedImageError, KeyError):
        raise errors.UnreadableImage(f"{path} {_not_identified(content)}") from None
    except Exception as error:
        # Decoders raise nearly anything on damaged input (OSError, SyntaxError, struct.error,
        # zlib.error, ...), and to the caller they all mean the same.
        reason = errors.one_line(error)
        trouble = "cut short" if any(word in reason for word in _CUT_SHORT) else "damaged"
        raise errors.UnreadableImage(
            f"{path} is {trouble} ({reason}; {len(content):,} bytes on disk): "
            "fetch it again or remove it"
        ) from None


def _not_identified(content: bytes) -> str:
    """Say why Pillow does not recognise a file, and what to do."""
    form = signatures.image_format(content)
    if form == "DICOM":
        return "is a DICOM file: pip install 'xraylib[dicom]' to read it, or convert it to PNG"
    if form in _OPTIONAL and not features.check(_OPTIONAL[form]):
        return f"is a {form} image, for which this Pillow is not made: convert it to PNG"
    if form == "JPEG" and (bits := jpeg.bits(content)) > 8:
        return (
            f"is a JPEG of {bits} bits, and only those of 8 can be read: convert it to 16-bit PNG"
        )
    if form == "TIFF":
        return "is a TIFF image that is damaged, or of a rare kind: fetch it again or convert it"
    return f"is not a readable image but {signatures.in_words(content)}: convert or remove it"


def _decoded(content: bytes, bits: int | None, colour: bool) -> Film:
    """Decode a file by its content; an error's message is without the path."""
    form = signatures.image_format(content)
    if form == "DICOM":
        return _of_dicom(content)
    # Without a format Pillow would try all that it knows, drawings among them.
    with Image.open(io.BytesIO(content), formats=(form or "none",)) as image:
        width, height = image.size
        if width * height > MOST_PIXELS:
            raise Image.DecompressionBombError(f"{width} x {height} pixels")
        mode, tables = image.mode, getattr(image, "quantization", None)
        pixels = jpeg.luma(content) if form == "JPEG" else None
        largest, transparent, coloured = 0, False, np.nan
        if pixels is not None:
            bits = 8
            if colour:
                coloured = 0.0 if mode == "L" else _coloured(jpeg.miniature(content))
        else:
            _load(image, content)
            transparent = _is_transparent(image)
            if colour:
                coloured = _coloured(_miniature(image))
            pixels, bits, largest = _greys(image, content, bits)
            if form != "JPEG":
                damage.check(content, image)
                damage.check_rows(pixels[::-1] if _is_bottom_up(image, content) else pixels)
        # After load(): a PNG may carry its EXIF behind the pixels.
        pixels = _upright(pixels, image)
        return Film(
            pixels,
            format=form,
            mode=mode,
            pages=getattr(image, "n_frames", 1),
            bits=bits,
            largest=largest,
            transparent=transparent,
            coloured=coloured,
            flat_rows=_flat_rows(pixels),
            quantization=float(sum(tables[min(tables)])) if tables else np.nan,
        )


def _of_dicom(content: bytes) -> Film:
    """Read a DICOM object, where the extra `dicom` is installed."""
    try:
        pixels, bits = dicom.read(content, most_pixels=MOST_PIXELS)
    except ImportError:
        raise errors.UnreadableImage(_not_identified(content)) from None
    except ValueError as error:
        raise errors.UnreadableImage(f"cannot be read: {error}") from None
    return Film(
        pixels,
        format="DICOM",
        mode="L",
        pages=1,
        bits=bits,
        largest=0,
        transparent=False,
        coloured=0.0,
        flat_rows=_flat_rows(pixels),
        quantization=np.nan,
    )


def _load(image: Image.Image, content: bytes) -> None:
    """Let Pillow decode the first page."""
    tags = getattr(image, "tag_v2", {})
    if tags.get(_SUBFILE, 0) & 1 and getattr(image, "n_frames", 1) > 1:
        raise errors.UnreadableImage(
            "begins with a page that is a reduced copy of another: save that one as a file"
        )
    # All at once: Pillow would release the interpreter every 64 kB and wait for other threads to
    # get it back.
    image.decodermaxblock = len(content)  # type: ignore[attr-defined]
    image.load()


def _greys(image: Image.Image, content: bytes, bits: int | None) -> tuple[np.ndarray, int, int]:
    """Convert what Pillow has loaded to grey: the pixels, their bits and the largest, as `Film`."""
    if depth.is_wide(image):
        wide = depth.values(image)
        if wide.dtype.kind == "f":
            return depth.to_uint8(wide, 16, image), 16, 0
        largest = int(wide.max())
        stated = depth.stated(image, content, largest)
        if stated is None and bits is not None and largest >= 2**bits:
            raise errors.UnreadableImage(
                f"has values up to {largest:,}, but those of its set end with {bits} bits at "
                f"{2**bits - 1:,}: it comes from somewhere else"
            )
        used = stated or bits or 16
        return depth.to_uint8(wide, used, image), used, 0 if stated else largest
    pixels = _to_uint8(image)
    if depth.bits_stored(image, content) > 8 and pixels.max() < depth.SUSPECT >> 8:
        raise errors.UnreadableImage(
            "has 16 bits a channel and uses less than a quarter of them: save it as 16-bit grey "
            "without colour and transparency"
        )
    return pixels, 8, 0


def _to_uint8(image: Image.Image) -> np.ndarray:
    """Convert an image of any mode of 8 bits to (height, width) uint8."""
    # With this entry, Pillow looks for alpha in a conversion to grey, and warns.
    image.info.pop("transparency", None)
    if image.mode == "CMYK":
        image = image.convert("RGB")
    # A conversion to the same mode would be another copy.
    return np.array(image if image.mode == "L" else image.convert("L"))


def _is_transparent(image: Image.Image) -> bool:
    """Tell whether some pixel is."""
    if image.mode in ("LA", "PA", "RGBA"):
        return bool(np.asarray(image.getchannel("A")).min() < 255)
    return "transparency" in image.info


def _miniature(image: Image.Image) -> np.ndarray:
    """Reduce what Pillow has loaded to an eighth in RGB, (h, w, 3) uint8; empty if it is grey."""
    if Image.getmodebase(image.mode) == "L":
        return np.empty((0, 0, 3), np.uint8)
    image = image.copy()
    image.info.pop("transparency", None)
    return np.asarray(image.convert("RGB").reduce(8))


def _coloured(miniature: np.ndarray) -> float:
    """Measure the share of pixels of an RGB image that are not grey."""
    if not miniature.size:
        return 0.0
    red, green, blue = (miniature[..., channel] for channel in range(3))
    spread = np.maximum(np.maximum(red, green), blue) - np.minimum(np.minimum(red, green), blue)
    return np.count_nonzero(spread >= _COLOURED) / spread.size


def _is_bottom_up(image: Image.Image, content: bytes) -> bool:
    """Tell whether the end of the file is the top of the image, as mostly in a BMP."""
    return image.format == "BMP" and int.from_bytes(content[22:26], "little", signed=True) > 0


def _flat_rows(pixels: np.ndarray) -> float:
    """Measure the share of the rows at the bottom that have the grey value of the last pixel."""
    height = len(pixels)
    for end in range(height, 0, -_BLOCK):  # mostly, the first block has the answer
        flat = (pixels[max(end - _BLOCK, 0) : end] == pixels[-1, -1]).all(axis=1)
        if not flat.all():
            return float(height - end + np.argmin(flat[::-1])) / height
    return 1.0


def _upright(pixels: np.ndarray, image: Image.Image) -> np.ndarray:
    """Turn pixels as the EXIF orientation says (EXIF 2.32, tag 274)."""
    orientation = 1
    # Where it is damaged, the pixels are whole all the same.
    with contextlib.suppress(Exception):
        orientation = image.getexif().get(_ORIENTATION, 1)
    if orientation in (5, 6, 7, 8):
        pixels = pixels.T
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)
