"""Measure the file and the pixels of every image of a table.

None of these numbers says anything about disease: the audit judges the collection by them.
"""

import functools
import hashlib
import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from PIL import Image

from xraylib import errors, progress
from xraylib.audit import duplicates
from xraylib.data import reading, resizing

_SIZES: Final = ("width", "height", "aspect", "megapixels", "bytes", "bytes_per_pixel")
FILE_FACTS: Final = (*_SIZES, "quality", "colour")
_RINGS: Final = tuple(f"ring_{number}" for number in range(1, 8))
PIXEL_FACTS: Final = ("bytes", "mean", "spread", "black_share", *_RINGS)

# The values of a file of which nothing is known.
_UNKNOWN: Final = {
    "problem": "",
    "format": "",
    "misnamed": False,
    "mode": "",
    "sha256": "",
    "phash": None,
    **dict.fromkeys((*FILE_FACTS, "quantization", *PIXEL_FACTS), np.nan),
}

# The luminance table of ITU-T T.81 (1992), Annex K.1: quality 50 of libjpeg.
_ANNEX_K: Final = """
    16 11 10 16 24  40  51  61   12 12 14 19 26  58  60  55
    14 13 16 24 40  57  69  56   14 17 22 29 51  87  80  62
    18 22 37 56 68 109 103  77   24 35 55 64 81 104 113  92
    49 64 78 87 103 121 120 101  72 92 95 98 112 100 103 99
"""
_FORMATS: Final = ((b"\xff\xd8\xff", "JPEG"), (b"\x89PNG\r\n\x1a\n", "PNG"))
_PIXEL_SIZE: Final = 224
_BLACK: Final = 5


def measure(table: pd.DataFrame) -> pd.DataFrame:
    """Measures every file of a table.

    Args:
        table: Table of `index`.

    Returns:
        The rows and columns of `table`, in its order with a fresh index, and the columns
            problem: str, why the file cannot be read, without its path; empty if it can. What
                could not be measured is then NaN, empty, or None;
            format: `"JPEG"`, `"PNG"` or `""`, by the content;
            misnamed: bool, whether a readable file is named as the other format;
            mode: Pillow's name of the pixel format, e.g. `"L"`, `"RGB"`, `"I;16"`;
            colour: 1.0 for several channels, 0.0 for one;
            width, height: float, pixels, after the EXIF orientation;
            aspect: width / height;
            megapixels: width x height / 1e6;
            bytes: float, size on disk;
            bytes_per_pixel: bytes / (width x height);
            quantization: Sum of the luminance quantization table; NaN for a PNG;
            quality: As `jpeg_quality` estimates it;
            sha256: str, 64 hexadecimal digits of the file's bytes;
            phash: str, `duplicates.perceptual_hash` of the pixels;
            mean, spread: Mean and standard deviation of the grey pixels in [0, 255] at 224 x 224;
            black_share: Share of these pixels that are at most 5, in [0, 1];
            ring_1 to ring_7: Natural logarithm of 1 + the energy of these pixels, less their mean,
                in the bands 0-16, 16-32, ..., 96 and more cycles per picture.

    Raises:
        ValueError: The table has no images.
    """
    if table.empty:
        raise ValueError("the table has no images: give one as index.from_tree returns it")
    paths = [Path(path) for path in table["path"]]
    with ThreadPoolExecutor() as pool:
        try:
            measured = pool.map(_measured, paths)
            rows = list(progress.bar(measured, total=len(paths), description="auditing"))
        finally:
            pool.shutdown(cancel_futures=True)
    columns = pd.DataFrame(rows, columns=list(_UNKNOWN))
    # pandas would make NaN of a hash that is None.
    columns["phash"] = pd.Series([row["phash"] for row in rows], dtype=object)
    return table.reset_index(drop=True).assign(**dict(columns.items()))


def jpeg_quality(content: bytes) -> float:
    """Estimates the quality that the JPEG of these bytes was saved at.

    Returns:
        1 to 100, the setting of libjpeg whose quantization table (ITU-T T.81, Annex K.1, scaled as
        libjpeg does) has the nearest sum; NaN for a PNG.
    """
    return _quality(_quantization(content)[0])


def _measured(path: Path) -> dict[str, object]:
    """Measures the new columns of one file."""
    row: dict[str, object] = dict(_UNKNOWN)
    try:
        content = reading.stored(path)
        row["bytes"] = float(len(content))
        row["format"] = next((name for start, name in _FORMATS if content.startswith(start)), "")
        row["sha256"] = hashlib.sha256(content).hexdigest()
        pixels = reading.grey(path, content=content)
    except errors.UnreadableImage as error:
        return row | {"problem": str(error).removeprefix(f"{path} ")}
    quantization, mode = _quantization(content)
    height, width = pixels.shape
    return row | {
        "misnamed": ("PNG" if path.suffix.lower() == ".png" else "JPEG") != row["format"],
        "mode": mode,
        "colour": float(Image.getmodebands(mode) > 1),
        "width": float(width),
        "height": float(height),
        "aspect": width / height,
        "megapixels": width * height / 1e6,
        "bytes_per_pixel": len(content) / (width * height),
        "quantization": quantization,
        "quality": _quality(quantization),
        "phash": duplicates.perceptual_hash(pixels),
        **_pixel_statistics(pixels),
    }


@functools.cache
def _quantization_sums() -> np.ndarray:
    """The sums of libjpeg's luminance tables of quality 1 to 100, (100,)."""
    quality = np.arange(1, 101)[:, np.newaxis]
    percent = np.where(quality < 50, 5000 // quality, 200 - 2 * quality)
    table = np.array(_ANNEX_K.split(), int)
    return np.clip((table * percent + 50) // 100, 1, 255).sum(axis=1)


def _quantization(content: bytes) -> tuple[float, str]:
    """Returns the sum of the luminance quantization table (NaN for a PNG) and the mode."""
    with Image.open(io.BytesIO(content), formats=("JPEG", "PNG")) as image:
        tables = getattr(image, "quantization", {})
        return float(sum(tables[min(tables)])) if tables else np.nan, image.mode


def _quality(quantization: float) -> float:
    if np.isnan(quantization):
        return np.nan
    return float(np.argmin(np.abs(_quantization_sums() - quantization)) + 1)


def _pixel_statistics(pixels: np.ndarray) -> dict[str, float]:
    from scipy.fft import rfft2

    square = resizing.square(pixels, image_size=_PIXEL_SIZE, resize="area", fit="stretch")
    grey = square.astype(np.float32)
    energy = np.abs(rfft2(grey - grey.mean())) ** 2
    rings = np.log1p(np.bincount(_ring_of_frequency(), energy.ravel(), len(_RINGS)))
    return {
        "mean": float(grey.mean()),
        "spread": float(grey.std()),
        "black_share": float((square <= _BLACK).mean()),
        **dict(zip(_RINGS, rings.tolist(), strict=True)),
    }


@functools.cache
def _ring_of_frequency() -> np.ndarray:
    """The ring, 0 to 6, of each coefficient of a real 224 x 224 transform, flattened."""
    down, across = np.fft.fftfreq(_PIXEL_SIZE), np.fft.rfftfreq(_PIXEL_SIZE)
    cycles = _PIXEL_SIZE * np.hypot(down[:, np.newaxis], across)
    width = _PIXEL_SIZE / 2 / len(_RINGS)
    return np.minimum(cycles // width, len(_RINGS) - 1).astype(int).ravel()
