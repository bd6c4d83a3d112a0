"""Read one image file as grey pixels, or raise an error that says what is wrong with it."""

import contextlib
import io
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from xraylib import errors
from xraylib.data import signatures

# Four times the largest radiograph detector. It also lies below the size from which Pillow warns,
# so that the verdict does not depend on how the caller has set up warnings.
MOST_PIXELS: Final = 80_000_000

_LOST_TAIL: Final = "its end is filled with zeros"


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


def grey(path: Path | str, *, content: bytes | None = None) -> np.ndarray:
    """Read one JPEG or PNG file as grey pixels.

    The content decides, not the name: a PNG named `.jpeg` is read all the same.

    - Colour becomes luma, .299 R + .587 G + .114 B (ITU-R BT.601). Of a colour JPEG it is the Y
      that the file stores. CMYK goes through RGB first.
    - Transparency is ignored: the values stored under a transparent pixel are used as they are.
    - 16-bit grey x becomes round(x / 257), the full range 0-65535 onto 0-255, also where the file
      uses only its lower 12 bits. 16-bit grey with alpha and 16-bit colour come from Pillow as
      their high bytes, at most one level away from that.
    - The EXIF orientation is applied. Colour profiles and gamma are not.
    - Of an animation, the first frame is read.

    Safe to call from many threads at once.

    Args:
        path: The file; `~` is expanded.
        content: The file's bytes, if `stored` has read them already; None reads them.

    Returns:
        (height, width) uint8 in [0, 255], the caller's own writable copy.

    Raises:
        UnreadableImage: The file is missing, a folder, forbidden, empty, not a JPEG or PNG, cut
            short, damaged, or of more than `MOST_PIXELS` pixels.
    """
    path = Path(path)
    content = stored(path) if content is None else content
    try:
        return _decoded(content)
    except MemoryError:
        raise  # this machine's state, not the file's
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise errors.UnreadableImage(
            f"{path} claims to be too large ({errors.one_line(error)}): at most "
            f"{MOST_PIXELS:,} pixels are read; check where the file comes from, or reduce it first"
        ) from None
    except UnidentifiedImageError:
        what = signatures.in_words(content)
        raise errors.UnreadableImage(
            f"{path} is not a JPEG or PNG image but {what}: convert it or remove it"
        ) from None
    except Exception as error:
        # Decoders raise nearly anything on damaged input (OSError, SyntaxError, struct.error,
        # zlib.error, ...), and to the caller they all mean the same.
        reason = errors.one_line(error)
        damage = "cut short" if "truncated" in reason or reason == _LOST_TAIL else "damaged"
        raise errors.UnreadableImage(
            f"{path} is {damage} ({reason}; {len(content):,} bytes on disk): "
            "fetch it again or remove it"
        ) from None


def _decoded(content: bytes) -> np.ndarray:
    """Decode a JPEG or PNG: upright uint8 (height, width)."""
    with Image.open(io.BytesIO(content), formats=("JPEG", "PNG")) as image:
        width, height = image.size
        if width * height > MOST_PIXELS:
            raise Image.DecompressionBombError(f"{width} x {height} pixels")
        # All at once: Pillow would release the interpreter every 64 kB and wait for other threads
        # to get it back.
        image.decodermaxblock = len(content)
        # libjpeg then skips the chroma planes: the same luma in half the time. It leaves grey and
        # CMYK JPEGs alone, and does nothing for a PNG.
        image.draft("L", None)
        image.load()
        # After load(): a PNG may carry its EXIF behind the pixels. Where it is damaged, the pixels
        # are whole all the same.
        with contextlib.suppress(Exception):
            ImageOps.exif_transpose(image, in_place=True)
        pixels = _to_uint8(image)
    if image.format != "PNG" and _tail_is_lost(content):
        # libjpeg decodes the zeros as a part of the image, without an error.
        raise ValueError(_LOST_TAIL)
    return pixels


def _to_uint8(image: Image.Image) -> np.ndarray:
    """Convert an image of any mode that JPEG and PNG have to (height, width) uint8."""
    if image.mode.startswith("I"):
        wide = np.array(image).astype(np.int64)
        return ((wide + 128) // 257).astype(np.uint8)  # 257 is odd: this is round(x / 257)
    # With this entry, Pillow looks for alpha in a conversion to grey, and warns.
    image.info.pop("transparency", None)
    if image.mode == "CMYK":
        image = image.convert("RGB")
    # A conversion to the same mode would be another copy.
    return np.array(image if image.mode == "L" else image.convert("L"))


def _tail_is_lost(content: bytes) -> bool:
    """Tell whether a JPEG ends in zeros that do not follow its end mark, as broken downloads do.

    Some programs pad a whole file with zeros, and some append data of their own: both are fine.
    """
    return content.endswith(bytes(16)) and not content.rstrip(b"\0").endswith(b"\xff\xd9")
