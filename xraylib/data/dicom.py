"""Read the pixels of a DICOM object as a radiologist's screen would show them, in grey.

It needs the extra `dicom`: pydicom, and of compressed syntaxes the decoders of JPEG 2000 and RLE.
Overlays and the patient's orientation are not applied.
"""

import io
from typing import Any, Final

import numpy as np

from xraylib import errors

# A DICOM file has 128 bytes of anything, then this.
MAGIC: Final = b"DICM"
_OFFSET: Final = 128


def is_dicom(content: bytes) -> bool:
    """Whether a file's first 132 bytes are those of a DICOM file.

    Example:
        >>> is_dicom(bytes(128) + b"DICM"), is_dicom(b"DICM")
        (True, False)
    """
    return content[_OFFSET : _OFFSET + len(MAGIC)] == MAGIC


def read(content: bytes, *, most_pixels: int) -> tuple[np.ndarray, int]:
    """Read the image of a DICOM object as grey pixels.

    The stored values go through the modality LUT or rescaling, then through the first VOI LUT or
    window (DICOM PS3.3, C.7.6.3, C.11.1 and C.11.2); where there is none, the whole range of the
    stored bits becomes 0 to 255. MONOCHROME1, in which high values are dark, is inverted.

    Args:
        content: The bytes of the file.
        most_pixels: An object of more pixels is refused before it is decoded.

    Returns:
        The pixels, (height, width) uint8 in [0, 255], high values bright; and the bits in which
        each was stored.

    Raises:
        ValueError: The object holds no image, more than one, a coloured one, too large a one, or
            one that is damaged or compressed in a way that cannot be read here; in one line.
        ImportError: pydicom is not installed; the message names the extra.
    """
    try:
        import pydicom
    except ImportError:
        raise ImportError("DICOM needs pydicom: pip install 'xraylib[dicom]'") from None
    try:
        dataset = pydicom.dcmread(io.BytesIO(content))
        _check(dataset, most_pixels)
        stored = _stored(dataset)
        low, high = _stored_range(dataset)
        values, low, high = _with_modality(dataset, stored, low, high)
        shown = _with_voi(dataset, values, low, high)
    except (ValueError, MemoryError):
        raise
    except Exception as error:
        # pydicom meets damage with nearly any error: KeyError, AttributeError, EOFError, ...
        raise ValueError(f"its DICOM is damaged ({errors.one_line(error)})") from None
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        shown = 1 - shown
    return np.rint(255 * shown).astype(np.uint8), int(dataset.BitsStored)


def _check(dataset: Any, most_pixels: int) -> None:
    """Refuse what is no single grey image, before anything is decoded."""
    if "PixelData" not in dataset:
        kind = getattr(getattr(dataset.get("SOPClassUID"), "name", None), "strip", str)()
        raise ValueError(f"a DICOM object without an image ({kind or 'of an unknown class'})")
    if (frames := int(dataset.get("NumberOfFrames") or 1)) > 1:
        raise ValueError(f"a DICOM object of {frames} frames: give one image")
    photometric = dataset.get("PhotometricInterpretation")
    if photometric not in ("MONOCHROME1", "MONOCHROME2"):
        raise ValueError(f"a DICOM image in {photometric}, not a grey radiograph")
    if (pixels := int(dataset.Rows) * int(dataset.Columns)) > most_pixels:
        raise ValueError(f"a DICOM image of {pixels:,} pixels: at most {most_pixels:,} are read")


def _stored(dataset: Any) -> np.ndarray:
    """The stored values as float64 (height, width)."""
    syntax = dataset.file_meta.TransferSyntaxUID
    try:
        return np.asarray(dataset.pixel_array, float)
    except Exception as error:
        missing = isinstance(error, RuntimeError | NotImplementedError | ImportError)
        if missing and syntax.is_compressed:
            raise ValueError(
                f"a DICOM image compressed as {syntax.name}, which cannot be read here: "
                "save it uncompressed, as JPEG 2000 or as RLE"
            ) from None
        raise ValueError(f"its DICOM pixels are damaged ({errors.one_line(error)})") from None


def _stored_range(dataset: Any) -> tuple[float, float]:
    """The lowest and the highest value that the stored bits can have."""
    bits = int(dataset.BitsStored)
    if dataset.get("PixelRepresentation"):
        return -float(2 ** (bits - 1)), float(2 ** (bits - 1) - 1)
    return 0.0, float(2**bits - 1)


def _with_modality(
    dataset: Any, stored: np.ndarray, low: float, high: float
) -> tuple[np.ndarray, float, float]:
    """Apply the modality LUT or rescaling to the values and to the range that they can have."""
    if dataset.get("ModalityLUTSequence"):
        table, first, most = _table(dataset.ModalityLUTSequence[0], dataset)
        return _looked_up(stored, table, first), 0.0, most
    slope = float(dataset.get("RescaleSlope") or 1)
    intercept = float(dataset.get("RescaleIntercept") or 0)
    low, high = sorted((slope * low + intercept, slope * high + intercept))
    return slope * stored + intercept, low, high


def _with_voi(dataset: Any, values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Apply the first VOI LUT or window, or else the whole range; float64 in [0, 1]."""
    if dataset.get("VOILUTSequence"):
        table, first, most = _table(dataset.VOILUTSequence[0], dataset)
        return _looked_up(values, table, first) / most
    centre, width = (_first(dataset.get(name)) for name in ("WindowCenter", "WindowWidth"))
    if centre is None or width is None:
        return np.clip((values - low) / (high - low), 0, 1)
    function = dataset.get("VOILUTFunction") or "LINEAR"
    if function == "SIGMOID":
        return np.asarray(1 / (1 + np.exp(np.clip(-4 * (values - centre) / width, -700, 700))))
    if function == "LINEAR":
        centre, width = centre - 0.5, width - 1
    elif function != "LINEAR_EXACT":
        raise ValueError(f"a DICOM image with the VOI function {function!r}, which is unknown")
    if width <= 0:
        return (values > centre).astype(float)
    return np.clip((values - centre) / width + 0.5, 0, 1)


def _table(item: Any, dataset: Any) -> tuple[np.ndarray, int, float]:
    """The entries of a LUT, float64, the value of the first one, and the most that one can be."""
    count, first, bits = (int(number) for number in item.LUTDescriptor)
    entries = item.LUTData
    if isinstance(entries, bytes):
        order = "<" if dataset.original_encoding[1] else ">"
        entries = np.frombuffer(entries, f"{order}u{1 if len(entries) <= (count or 65536) else 2}")
    # The standard writes 65,536 entries as 0, and a first value below 0 as 16 bits without a sign.
    table = np.asarray(entries, float)[: count or 65536]
    signed = dataset.get("PixelRepresentation") and first >= 2**15
    return table, first - 2**16 if signed else first, float(2**bits - 1)


def _looked_up(values: np.ndarray, table: np.ndarray, first: int) -> np.ndarray:
    """The entry of each value; values outside of the table get its first or last one."""
    return np.asarray(table[np.clip(np.rint(values) - first, 0, len(table) - 1).astype(int)])


def _first(value: Any) -> float | None:
    """The first of one or more numbers; None where there is none."""
    if value is None or value == "":
        return None
    try:
        return float(value)
    except TypeError:
        return float(value[0]) if len(value) else None
