"""Find radiographs that look the same although their bytes differ, by perceptual hashes."""

from collections.abc import Iterable
from typing import Final

import numpy as np
import pandas as pd
from PIL import Image

from xraylib import progress

# The largest number of different bits in two hashes of the same picture.
_NEAR: Final = 20
# Hashes compared with all others at a time: 256 times 5,856 float32 are 6 MB.
_BLOCK: Final = 256


def perceptual_hash(pixels: np.ndarray) -> str:
    """Hashes a radiograph to 256 bits that saving again and resizing hardly change.

    Each bit tells whether one of the lowest 16 x 16 coefficients of the cosine transform, at
    64 x 64 pixels, lies above their median (Zauner, "Implementation and benchmarking of perceptual
    image hash functions", 2010).

    Args:
        pixels: Grey uint8 in [0, 255], (height, width).

    Returns:
        64 hexadecimal digits, which mean nothing for a flat picture.

    Example:
        >>> len(perceptual_hash(np.eye(300, dtype=np.uint8)))
        64
    """
    from scipy.fft import dctn

    small = Image.fromarray(pixels).resize((64, 64), Image.Resampling.BILINEAR)  # antialiased
    low = dctn(np.asarray(small, np.float32), type=2)[:16, :16]
    return np.packbits(low > np.median(low)).tobytes().hex()


def near_copies(hashes: Iterable[str]) -> pd.DataFrame:
    """Finds all pairs of hashes that differ in at most 20 of 256 bits.

    A copy that was saved again differs in a few, while the most similar of 5,808 different
    radiographs of the Kaggle set differ in 38. Leave out flat pictures.

    Args:
        hashes: 64 digits each, as `perceptual_hash` returns them.

    Returns:
        One row a pair, sorted, with the int columns first and second, positions in `hashes` with
        first < second, and distance.

    Raises:
        ValueError: A hash is missing or has not 64 digits.

    Example:
        >>> near_copies(["0" * 64, "f" * 64, "1" + "0" * 63]).to_numpy().tolist()
        [[0, 2, 1]]
    """
    hashes = list(hashes)
    for each in hashes:
        if not isinstance(each, str) or len(each) != 64:
            raise ValueError(f"a hash must have 64 hexadecimal digits. Received: {each!r}")
    packed = np.frombuffer(bytes.fromhex("".join(hashes)), np.uint8).reshape(-1, 32)
    # With +1 and -1 for the bits, the inner product is 256 - 2 * distance, exact in float32.
    signs = 2 * np.unpackbits(packed, axis=1).astype(np.float32) - 1
    starts = range(0, len(signs), _BLOCK)
    pairs = [np.empty((0, 3), int)]
    for start in progress.bar(starts, total=len(starts), description="comparing"):
        products = signs[start : start + _BLOCK] @ signs[start:].T
        first, second = np.nonzero(np.triu(products >= 256 - 2 * _NEAR, k=1))
        distances = (256 - products[first, second].astype(int)) // 2
        pairs.append(np.column_stack([first + start, second + start, distances]))
    return pd.DataFrame(np.concatenate(pairs), columns=["first", "second", "distance"])
