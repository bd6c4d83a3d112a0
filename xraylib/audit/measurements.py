"""Measure the file and the pixels of every image of a table.

None of these numbers says anything about disease: the audit judges the collection by them.
"""

import functools
import hashlib
import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from PIL import Image

from xraylib import errors, progress
from xraylib.audit import duplicates
from xraylib.data import depth, films, reading, resizing, signatures

_SIZES: Final = ("width", "height", "aspect", "megapixels", "bytes", "bytes_per_pixel")
FILE_FACTS: Final = (*_SIZES, "quality", "colour")
_RINGS: Final = tuple(f"ring_{number}" for number in range(1, 8))
PIXEL_FACTS: Final = ("bytes", "mean", "spread", "black_share", *_RINGS)
# What decoding notices of a file, as the attributes of `reading.Film` are called.
DECODED: Final = (
    "mode",
    "pages",
    "bits",
    "largest",
    "transparent",
    "coloured",
    "flat_rows",
    "quantization",
)

# The values of a file of which nothing is known.
_UNKNOWN: Final = {
    "problem": "",
    "format": "",
    "misnamed": False,
    "sha256": "",
    "phash": None,
    "miniature": None,
    "tinted_share": np.nan,
    **dict.fromkeys(films.COLUMNS, np.nan),
    **dict.fromkeys((*FILE_FACTS, *PIXEL_FACTS, *DECODED), np.nan),
    "mode": "",
}

# The luminance table of ITU-T T.81 (1992), Annex K.1: quality 50 of libjpeg.
_ANNEX_K: Final = """
    16 11 10 16 24  40  51  61   12 12 14 19 26  58  60  55
    14 13 16 24 40  57  69  56   14 17 22 29 51  87  80  62
    18 22 37 56 68 109 103  77   24 35 55 64 81 104 113  92
    49 64 78 87 103 121 120 101  72 92 95 98 112 100 103 99
"""
_PIXEL_SIZE: Final = 224
_BLACK: Final = 5
# Channels of a grey picture that was saved as colour differ by less.
_TINT: Final = 12


def measure(table: pd.DataFrame) -> pd.DataFrame:
    """Measures every file of a table.

    Args:
        table: Table of `index`.

    Returns:
        The rows and columns of `table`, in its order with a fresh index, and the columns
            problem: str, why the file cannot be read, without its path; empty if it can. What
                could not be measured is then NaN, empty, or None;
            format: One of `signatures.IMAGE_FORMATS` or `""`, by the content;
            misnamed: bool, whether a readable file has a suffix of another format;
            mode, pages, bits, largest, transparent, coloured, flat_rows, quantization: As
                `reading.Film` has them;
            colour: 1.0 for several channels, 0.0 for one;
            width, height: float, pixels, after the EXIF orientation;
            aspect: width / height;
            megapixels: width x height / 1e6;
            bytes: float, size on disk;
            bytes_per_pixel: bytes / (width x height);
            quality: As `jpeg_quality` estimates it;
            sha256: str, 64 hexadecimal digits of the file's bytes;
            phash: str, `duplicates.perceptual_hash` of the pixels;
            miniature and `films.COLUMNS`: What `films.looks` says of the pixels;
            tinted_share: Share of the pixels whose channels differ by more than 12 levels, in
                [0, 1]; 0 for one channel;
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
    rows = _each(paths, None)
    readable = [row for row in rows if not row["problem"]]
    bits = depth.of_set([row["bits"] for row in readable], [row["largest"] for row in readable])
    if bits:
        wide = [number for number, row in enumerate(rows) if row["largest"] and not row["problem"]]
        if bits != depth.BITS[-1]:
            again = _each([paths[number] for number in wide], bits)
            for number, row in zip(wide, again, strict=True):
                rows[number] = row
    columns = pd.DataFrame(rows, columns=list(_UNKNOWN))
    # pandas would make NaN of a hash that is None.
    for name in ("phash", "miniature"):
        columns[name] = pd.Series([row[name] for row in rows], dtype=object)
    measured = table.reset_index(drop=True).assign(**dict(columns.items()))
    if bits:
        measured.attrs["depth"] = {"bits": bits, "files": len(wide)}
    return measured


def jpeg_quality(quantization: float) -> float:
    """Estimates the quality that a JPEG was saved at, by the sum of its luminance table.

    Returns:
        1 to 100, the setting of libjpeg whose quantization table (ITU-T T.81, Annex K.1, scaled as
        libjpeg does) has the nearest sum; NaN for NaN, of what is no JPEG.
    """
    if np.isnan(quantization):
        return np.nan
    return float(np.argmin(np.abs(_quantization_sums() - quantization)) + 1)


def _each(paths: list[Path], bits: int | None) -> list[dict[str, Any]]:
    """Measures the new columns of all files, of a set of so many bits."""
    with ThreadPoolExecutor() as pool:
        try:
            measured = pool.map(lambda path: _measured(path, bits), paths)
            return list(progress.bar(measured, total=len(paths), description="auditing"))
        finally:
            pool.shutdown(cancel_futures=True)


def _measured(path: Path, bits: int | None) -> dict[str, Any]:
    """Measures the new columns of one file."""
    row: dict[str, Any] = dict(_UNKNOWN)
    try:
        content = reading.stored(path)
        row["bytes"] = float(len(content))
        row["format"] = signatures.image_format(content)
        row["sha256"] = hashlib.sha256(content).hexdigest()
        film = reading.film(path, content=content, bits=bits)
    except errors.UnreadableImage as error:
        return row | {"problem": str(error).removeprefix(f"{path} ")}
    height, width = film.pixels.shape
    suffix = path.suffix.lower()
    named = next((form for form, known in signatures.SUFFIXES.items() if suffix in known), "")
    square = resizing.square(film.pixels, image_size=_PIXEL_SIZE, resize="area", fit="stretch")
    return row | {
        "misnamed": named not in ("", film.format),
        "colour": float(Image.getmodebands(film.mode) > 1),
        **{name: getattr(film, name) for name in DECODED},
        "width": float(width),
        "height": float(height),
        "aspect": width / height,
        "megapixels": width * height / 1e6,
        "bytes_per_pixel": len(content) / (width * height),
        "quality": jpeg_quality(film.quantization),
        "phash": duplicates.perceptual_hash(film.pixels),
        "tinted_share": _tinted_share(content) if film.mode[:1] in "RCYPHB" else 0.0,
        **films.looks(film.pixels),
        **_pixel_statistics(square),
    }


@functools.cache
def _quantization_sums() -> np.ndarray:
    """The sums of libjpeg's luminance tables of quality 1 to 100, (100,)."""
    quality = np.arange(1, 101)[:, np.newaxis]
    percent = np.where(quality < 50, 5000 // quality, 200 - 2 * quality)
    table = np.array(_ANNEX_K.split(), int)
    return np.clip((table * percent + 50) // 100, 1, 255).sum(axis=1)


def _tinted_share(content: bytes) -> float:
    """Looks at the colours of a file, of a JPEG at the smallest size at which it can be decoded."""
    try:
        with Image.open(io.BytesIO(content)) as image:
            image.draft("RGB", (64, 64))
            image.info.pop("transparency", None)
            channels = np.asarray(image.convert("RGB").resize((64, 64)), np.int16)
    except Exception:  # a DICOM file, or another that Pillow does not open
        return np.nan
    return float((np.ptp(channels, axis=2) > _TINT).mean())


def _pixel_statistics(square: np.ndarray) -> dict[str, float]:
    from scipy.fft import rfft2

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
