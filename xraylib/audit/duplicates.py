"""Which radiographs look the same, though their bytes differ: hashes, and the search for pairs."""

from collections.abc import Iterable
from typing import Final

import numpy as np
import pandas as pd
from PIL import Image

from xraylib import progress

_HASH_SIZE: Final = 16
# Hashes compared at a time: 2,048 times 2,048 float32 are 16 MB, and near a processor's cache.
_BLOCK: Final = 2048


def perceptual_hash(pixels: np.ndarray) -> str:
    """What a radiograph looks like, in 256 bits that saving and resizing hardly change.

    Each bit tells whether one of the lowest 16 x 16 coefficients of the cosine transform, at
    64 x 64 pixels, lies above their median (Zauner, "Implementation and benchmarking of perceptual
    image hash functions", 2010).

    Args:
        pixels: Grey uint8 in [0, 255], (height, width).

    Returns:
        64 hexadecimal digits. Of a flat picture they mean nothing.
    """
    from scipy.fft import dctn

    small = Image.fromarray(pixels).resize((64, 64), Image.Resampling.BILINEAR)  # antialiased
    low = dctn(np.asarray(small, np.float32), type=2)[:_HASH_SIZE, :_HASH_SIZE]
    return np.packbits(low > np.median(low)).tobytes().hex()


def hash_bits(hashes: Iterable[str]) -> np.ndarray:
    """Hexadecimal hashes, as `perceptual_hash` gives them, for `near_copies`.

    Args:
        hashes: 64 digits each.

    Returns:
        (n, 32) uint8.

    Raises:
        ValueError: A hash is missing or has another length.
    """
    hashes = list(hashes)
    digits = 2 * _HASH_SIZE**2 // 8
    wrong = [each for each in hashes if not isinstance(each, str) or len(each) != digits]
    if wrong:
        raise ValueError(f"a hash must have {digits} hexadecimal digits. Received: {wrong[0]!r}")
    return np.frombuffer(bytes.fromhex("".join(hashes)), np.uint8).reshape(-1, digits // 2)


def near_copies(hashes: np.ndarray, *, distance: int = 20) -> pd.DataFrame:
    """All pairs of hashes that differ in few bits.

    Of 256 bits, a copy saved again differs in a few, while the most alike of 5,808 different
    radiographs of the Kaggle set differ in 38. Hashes of flat pictures mean nothing: leave them
    out.

    Args:
        hashes: (n, 32) uint8, as from `hash_bits`.
        distance: The most bits that may differ, 0 to 256.

    Returns:
        One row a pair, sorted, with the int columns first and second, positions in `hashes` with
        first < second, and distance.

    Raises:
        ValueError: `hashes` has another shape or type, or `distance` is out of range.
    """
    hashes = np.asarray(hashes)
    if hashes.dtype != np.uint8 or hashes.ndim != 2 or hashes.shape[1] != _HASH_SIZE**2 // 8:
        raise ValueError(
            f"hashes must be (n, {_HASH_SIZE**2 // 8}) uint8. Received: {hashes.shape} "
            f"{hashes.dtype}"
        )
    bits = _HASH_SIZE**2
    if not 0 <= distance <= bits:
        raise ValueError(f"distance must be 0 to {bits} bits. Received: {distance}")
    # With +1 and -1 for the bits, the inner product is the bits that agree less those that do not;
    # float32 holds it exactly.
    signs = 2 * np.unpackbits(hashes, axis=1).astype(np.float32) - 1
    starts = range(0, len(signs), _BLOCK)
    found = [np.empty((0, 3), int)]
    for top in progress.bar(starts, total=len(starts), description="comparing"):
        for left in range(top, len(signs), _BLOCK):
            products = signs[top : top + _BLOCK] @ signs[left : left + _BLOCK].T
            first, second = np.divmod(
                np.flatnonzero(products >= bits - 2 * distance), products.shape[1]
            )
            apart = (bits - products[first, second].astype(int)) // 2
            pairs = np.column_stack([first + top, second + left, apart])
            found.append(pairs[pairs[:, 0] < pairs[:, 1]])
    pairs = pd.DataFrame(np.concatenate(found), columns=["first", "second", "distance"])
    return pairs.sort_values(["first", "second"], ignore_index=True)
