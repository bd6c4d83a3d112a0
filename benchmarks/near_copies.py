"""The search for near copies among 100,000 images, with planted ones that it must find.

Makes random hashes of 256 bits and plants copies with up to 20 other bits, compares all five
billion pairs, checks that exactly the planted ones come out, and prints the seconds and the memory
at its peak.
"""

import resource
import sys
import time

import numpy as np

from xraylib import records
from xraylib.data import copies

IMAGES = 100_000
PLANTED = 1_000
DISTANCE = 20


def main() -> None:
    """Measures, checks and prints."""
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 256, (IMAGES, 32), dtype=np.uint8)
    # Each at most once, so that no two copies are copies of each other.
    places = rng.permutation(IMAGES)[: 2 * PLANTED].reshape(PLANTED, 2)
    distances = np.arange(PLANTED) % (DISTANCE + 1)
    for (original, copy), distance in zip(places, distances, strict=True):
        flipped = np.zeros(256, bool)
        flipped[rng.permutation(256)[:distance]] = True
        hashes[copy] = hashes[original] ^ np.packbits(flipped)
    expected = np.column_stack([np.sort(places, axis=1), distances])
    expected = expected[np.lexsort((expected[:, 1], expected[:, 0]))]

    before = peak()
    started = time.perf_counter()
    found = copies.near_copies(hashes, distance=DISTANCE)
    seconds = time.perf_counter() - started

    print(f"{IMAGES:,} hashes, {IMAGES * (IMAGES - 1) // 2:,} pairs, {PLANTED:,} planted copies")
    print(records.device(), records.versions())
    print(f"{seconds:.1f} s, {peak():,.0f} MB at the peak ({before:,.0f} MB before)")
    if not np.array_equal(found.to_numpy(), expected):
        sys.exit(f"found {len(found):,} pairs that are not the {PLANTED:,} planted ones")
    print(f"found the {len(found):,} planted pairs, each with its distance, and no others")


def peak() -> float:
    """The most memory that this process has had so far, in MB."""
    # Linux counts kB, macOS bytes.
    unit = 1e6 if sys.platform == "darwin" else 1e3
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


if __name__ == "__main__":
    main()
