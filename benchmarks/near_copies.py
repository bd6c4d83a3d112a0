"""The search for near copies among 100,000 images, with planted ones that it must find.

Makes random hashes of 256 bits and plants copies with up to 20 other bits, compares all five
billion pairs, checks that exactly the planted ones come out, and tells the seconds and the memory
at its peak. Writes `results/near_copies.json`.
"""

import statistics
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import side_by_side
from side_by_side import rounded

from xraylib.audit import duplicates

IMAGES = 100_000
PLANTED = 1_000
DISTANCE = 20
REPEATS = 1  # a long one, with nothing to compare it with


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, checks and writes."""
    repeats = side_by_side.repeats(__doc__, arguments, default=REPEATS)
    this_machine = side_by_side.this_machine()
    hashes, expected = planted(np.random.default_rng(0))
    found: list[pd.DataFrame] = []

    def search() -> None:
        found[:] = [duplicates.near_copies(hashes, distance=DISTANCE)]

    if side_by_side.tells_memory():
        side_by_side.forget_peak()
        before = side_by_side.resident("VmRSS")
    times = side_by_side.in_turns({"near_copies": search}, repeats=repeats, description="search")
    if not np.array_equal(found[0].to_numpy(), expected):
        sys.exit(f"found {len(found[0]):,} pairs that are not the {PLANTED:,} planted ones")
    taken, pairs = statistics.median(times["near_copies"]), IMAGES * (IMAGES - 1) // 2
    told: dict[str, Any] = {
        "seconds": rounded(taken),
        "million pairs/s": rounded(pairs / taken / 1e6),
        "images": IMAGES,
        "pairs": pairs,
        "planted and found": len(found[0]),
    }
    if side_by_side.tells_memory():
        told["MB above the start at the peak"] = round(side_by_side.resident("VmHWM") - before)
    report = {
        "machine": this_machine,
        "settings": {"repeats": repeats},
        "rows": [],
        "tables": {"all pairs of images": [told]},
    }
    side_by_side.write("near_copies", report)


def planted(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Hashes, uint8 (IMAGES, 32), and the pairs planted among them with their distances."""
    hashes = rng.integers(0, 256, (IMAGES, 32), dtype=np.uint8)
    # Each at most once, so that no two copies are copies of each other.
    places = rng.permutation(IMAGES)[: 2 * PLANTED].reshape(PLANTED, 2)
    distances = np.arange(PLANTED) % (DISTANCE + 1)
    for (original, copy), distance in zip(places, distances, strict=True):
        flipped = np.zeros(256, bool)
        flipped[rng.permutation(256)[:distance]] = True
        hashes[copy] = hashes[original] ^ np.packbits(flipped)
    expected = np.column_stack([np.sort(places, axis=1), distances])
    return hashes, expected[np.lexsort((expected[:, 1], expected[:, 0]))]


if __name__ == "__main__":
    main()
