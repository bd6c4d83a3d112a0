"""Decode files to squares, written with what decoding noticed into a folder of the cache."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, TypeVar

import numpy as np
import pandas as pd

from xraylib import cache, errors, progress
from xraylib.data import depth, films, reading
from xraylib.data.preparation import Preparation

# Images in memory at once while decoding.
_PORTION: Final = 128
# Files of a set whose colours are looked at, for that takes time: evenly spread over the table.
LOOKED_AT: Final = 256
# What is kept of each file: attributes of `reading.Film`, then what `films.looks` says.
_READ: Final = np.dtype(
    [
        ("format", "S9"),
        ("mode", "S8"),
        ("pages", "u4"),
        ("bits", "u1"),
        ("largest", "u4"),
        ("transparent", "?"),
        ("coloured", "f4"),
        ("flat_rows", "f4"),
    ]
)
_LOOKS: Final = np.dtype(
    [*((name, "f4") for name in films.COLUMNS), ("miniature", f"V{films.MINIATURE**2}")]
)
_FACTS: Final = np.dtype([*_READ.descr, *_LOOKS.descr])

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Decoded:
    """What a folder of the cache holds.

    Attributes:
        pixels: Grey uint8 in [0, 255], (readable files, size, size, 1); a read-only memory map.
        facts: A row for each readable file: format, mode, pages, bits, largest, transparent,
            coloured and flat_rows, as `reading.Film` has them, and what `films.looks` returns.
            `coloured` is NaN but for about `LOOKED_AT` files.
        reasons: Why a file was left out, by its position.
        bits: Of the files of more than 8 bits that do not state their own; None without such files.
    """

    pixels: np.ndarray
    facts: pd.DataFrame
    reasons: dict[int, str]
    bits: int | None


def write(folder: Path, paths: list[Path], preparation: Preparation) -> None:
    """Decode files and write `pixels.npy`, `facts.npy` and `unreadable.json`.

    Where the preparation has no depth, files of more than 8 bits are decoded a second time as soon
    as the depth of the set is known.
    """
    step = max(1, len(paths) // LOOKED_AT)

    def attempt(item: tuple[int, Path]) -> tuple[np.ndarray, np.ndarray] | str:
        row, path = item
        try:
            film = reading.film(path, bits=preparation.depth, colour=row % step == 0)
        except errors.UnreadableImage as error:
            # Without the path, for the entry is used again when the files have moved.
            return str(error).removeprefix(f"{path} ")
        return preparation.square(film.pixels), _facts(film)

    reasons: dict[int, str] = {}
    readable: list[Path] = []
    facts = np.zeros(len(paths), _FACTS)
    with (folder / "pixels.npy").open("wb") as file:
        _write_header(file, len(paths), preparation.image_size)
        begin = file.tell()
        for row, result in enumerate(each(attempt, list(enumerate(paths)), description="decoding")):
            if isinstance(result, str):
                reasons[row] = result
                continue
            square, facts[len(readable)] = result
            # A write raises an error where the disk is full; a memory map would be killed.
            file.write(square.tobytes())
            readable.append(paths[row])
        facts = facts[: len(readable)]
        if preparation.depth is None:
            _rescale(file, begin, readable, facts, preparation)
        # Now the number of readable images is known; NumPy leaves room for it in the header.
        file.seek(0)
        _write_header(file, len(readable), preparation.image_size)
    np.save(folder / "facts.npy", facts)
    (folder / "unreadable.json").write_text(json.dumps(reasons), encoding="utf-8")


def _rescale(
    file: BinaryIO, begin: int, paths: list[Path], facts: np.ndarray, preparation: Preparation
) -> None:
    """Write the squares of files of more than 8 bits again, scaled by the bits of their set."""
    bits = depth.of_set(facts["bits"].tolist(), facts["largest"].tolist())
    if bits in (None, depth.BITS[-1]):
        return

    def attempt(row: int) -> tuple[np.ndarray, np.ndarray]:
        film = reading.film(paths[row], bits=bits, colour=False)
        return preparation.square(film.pixels), _facts(film)

    wide = np.flatnonzero(facts["largest"]).tolist()
    for row, (square, read) in zip(wide, each(attempt, wide, description="scaling"), strict=True):
        file.seek(begin + row * square.size)
        file.write(square.tobytes())
        for name in ("bits", *(_LOOKS.names or ())):
            facts[name][row] = read[name]


def _facts(film: reading.Film) -> np.ndarray:
    """The row of a file, of the type `_FACTS`."""
    looks = films.looks(film.pixels)
    read = [getattr(film, name) for name in _READ.names or ()]
    return np.array((*read, *(looks[name] for name in _LOOKS.names or ())), _FACTS)


def _write_header(file: BinaryIO, count: int, image_size: int) -> None:
    shape = (count, image_size, image_size, 1)
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)


def read(folder: Path, count: int, *, image_size: int) -> Decoded:
    """Open what `write` has written of `count` files.

    Raises:
        OSError, ValueError, KeyError: The folder holds something else.
    """
    stored = json.loads((folder / "unreadable.json").read_text(encoding="utf-8"))
    reasons = {int(row): str(reason) for row, reason in stored.items()}
    shape = (count - len(reasons), image_size, image_size, 1)
    pixels = cache.array(folder / "pixels.npy") if shape[0] else np.empty(shape, np.uint8)
    if pixels.dtype != np.uint8 or pixels.shape != shape:
        raise ValueError(f"{pixels.dtype} {pixels.shape} instead of uint8 {shape}")
    facts = np.load(folder / "facts.npy")
    if facts.dtype != _FACTS or len(facts) != shape[0]:
        raise ValueError(f"facts of {len(facts)} files instead of {shape[0]}")
    columns = {name: facts[name] for name in _FACTS.names or () if name != "miniature"}
    table = pd.DataFrame(columns).assign(miniature=[each.tobytes() for each in facts["miniature"]])
    for name in ("format", "mode"):
        table[name] = pd.Categorical(table[name].str.decode("ascii"))
    wide = table.loc[table["largest"] > 0, "bits"]
    return Decoded(pixels, table, reasons, int(wide.iloc[0]) if len(wide) else None)


def each(
    work: Callable[[_Item], _Result], items: list[_Item], *, description: str
) -> Iterator[_Result]:
    """Yield the result for each item, in order, from several threads."""
    bar = progress.bar(total=len(items), description=description)
    with ThreadPoolExecutor() as pool, bar:
        # In portions, so that results do not pile up in front of a slow disk.
        for start in range(0, len(items), _PORTION):
            for result in pool.map(work, items[start : start + _PORTION]):
                yield result
                bar.update()
