"""The table of images -> batches, every file decoded once.

`decode` turns the files into one array of grey pixels in the cache, and every epoch of every run
reads from there, through a memory map. The array is keyed by the content of the files and by how
they were made squares: a changed file is decoded again, a moved one is not. Memory stays flat: what
is decoded goes straight to the file, and what was read from it is let go again.
"""

import dataclasses
import hashlib
import json
import mmap
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, TypeVar

import keras
import numpy as np
import pandas as pd

from xraylib import cache, errors, progress
from xraylib.data.augmentation import Augmentation
from xraylib.data.preparation import Preparation
from xraylib.data.resizing import Resize
from xraylib.data.tree import CLASSES

# Part of every key: raise it when the same files would give other pixels.
_VERSIONS: Final[dict[Resize, int]] = {"bilinear": 2, "area": 4}
# Images in memory at once while decoding.
_PORTION: Final = 128

_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Images:
    """Decoded radiographs and the table that they belong to.

    Attributes:
        table: One row an image, as `index` makes it, less what could not be read, with a fresh
            index.
        pixels: Grey uint8 in [0, 255], (images, size, size, 1), row for row as `table`; a
            read-only memory map.
        preparation: How each file became its square.
        fingerprint: 16 hexadecimal digits of what the images are, their labels and their splits,
            wherever they lie. Two runs of one fingerprint saw the same data.
        unreadable: Of each image that was left out, its path and the reason.
    """

    table: pd.DataFrame
    pixels: np.ndarray
    preparation: Preparation
    fingerprint: str
    unreadable: dict[str, str]

    def batches(
        self,
        split: str,
        *,
        batch_size: int,
        shuffle: bool = False,
        seed: int = 0,
        augment: Augmentation | None = None,
    ) -> "Batches":
        """The batches of one split.

        Args:
            split: `"train"`, `"validation"` or `"test"`.
            batch_size: Images a batch; the last may have fewer.
            shuffle: Whether every epoch has an order of its own.
            seed: Of the orders and of what `augment` draws.
            augment: As for `Batches`.

        Returns:
            `Batches`, which Keras' `fit`, `evaluate` and `predict` take.

        Raises:
            ValueError: `split` has no images, or `batch_size` is below 1.
        """
        rows = np.flatnonzero(self.table["split"] == split)
        if not len(rows):
            known = sorted(self.table["split"].unique())
            raise ValueError(f"no images in the split {split!r}: there are {known}")
        labels = self.table["label"].to_numpy()
        return Batches(
            self.pixels,
            labels,
            rows,
            batch_size=batch_size,
            shuffle=shuffle,
            seed=seed,
            augment=augment,
        )

    def counts(self) -> pd.DataFrame:
        """Images and patients of each class in each split: split, class, images, patients."""
        named = self.table.assign(**{"class": [CLASSES[label] for label in self.table["label"]]})
        groups = named.groupby(["split", "class"], sort=True)
        return groups.agg(images=("path", "size"), patients=("patient", "nunique")).reset_index()


class Batches(keras.utils.PyDataset):
    """Batches of pixels and labels for any Keras backend.

    Args:
        pixels: Grey uint8 in [0, 255], (images, size, size, 1).
        labels: 0 or 1, (images,).
        rows: Which images are in, (n,).
        batch_size: Images a batch; the last may have fewer.
        shuffle: Whether every epoch has an order of its own.
        seed: Of the orders and of what `augment` draws. The order of an epoch depends on `seed`
            and `epoch` alone, an augmented image also on its row, so that a resumed training goes
            on as if it had never stopped.
        augment: What to change of each image at random, anew in every epoch; for training only.
    """

    def __init__(
        self,
        pixels: np.ndarray,
        labels: np.ndarray,
        rows: np.ndarray,
        *,
        batch_size: int,
        shuffle: bool = False,
        seed: int = 0,
        augment: Augmentation | None = None,
    ) -> None:
        super().__init__()
        if batch_size < 1:
            raise ValueError(f"batch_size must be 1 or more. Received: {batch_size}")
        self.pixels = pixels
        self.labels = np.asarray(labels)[rows]
        self.rows = np.asarray(rows)
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.seed = seed
        self.augment = augment
        self.start_epoch(0)

    def start_epoch(self, epoch: int) -> None:
        """Takes the order of one epoch, counted from 0."""
        self.epoch = epoch
        count = len(self.rows)
        self.order = (
            np.random.default_rng([self.seed, epoch]).permutation(count)
            if self.shuffle
            else np.arange(count)
        )

    def on_epoch_end(self) -> None:
        """Moves on to the next epoch's order; Keras calls it."""
        self.start_epoch(self.epoch + 1)

    def __len__(self) -> int:
        return -(-len(self.rows) // self.batch_size)

    def __getitem__(self, batch: int) -> tuple[np.ndarray, np.ndarray]:
        """Pixels uint8 (n, size, size, 1) and labels float32 (n, 1) of one batch."""
        chosen = self.order[batch * self.batch_size : (batch + 1) * self.batch_size]
        rows = self.rows[chosen]
        pixels = self.pixels[rows]
        _let_go(self.pixels)
        if self.augment:
            with ThreadPoolExecutor() as pool:
                pixels = np.stack(list(pool.map(self._augmented, pixels, rows)))
        return pixels, self.labels[chosen].astype(np.float32)[:, np.newaxis]

    def _augmented(self, image: np.ndarray, row: int) -> np.ndarray:
        assert self.augment
        # From 1, for NumPy seeds alike with a 0 at the end and without, as the orders are.
        rng = np.random.default_rng([self.seed, self.epoch, row + 1])
        return self.augment.apply(image, rng)


def decode(table: pd.DataFrame, preparation: Preparation) -> Images:
    """Decode every image of a table, or find it decoded already.

    Where the cache cannot be written, or what is there is damaged, a warning says so, and the
    images are decoded all the same; see `cache.kept`.

    Args:
        table: As `index` makes it; `path` and `label` and `split` are read.
        preparation: How a file becomes the square that the network takes.

    Returns:
        The images, in the order of the table. One that cannot be read is left out with a warning
        that names it.

    Raises:
        ValueError: The table is empty, or one class or a split has no image that can be read.
        OSError: Neither the cache nor a temporary folder can be written, e.g. for want of space;
            what is missing and what to do is said.
    """
    if table.empty:
        raise ValueError("the table has no images: give one as index.from_tree returns it")

    paths = list(table["path"])
    contents = _contents(paths)
    size = preparation.image_size
    pixels, broken = cache.kept(
        "pixels",
        _digest([*_settings(preparation), *contents]),
        what=f"{len(paths):,} images, {preparation}",
        size=len(paths) * size**2,
        make=lambda folder: _write(folder, paths, preparation),
        read=lambda folder: _opened(folder, len(paths), image_size=size),
    )
    # By position, for one file may stand in the table twice.
    readable = np.array([row not in broken for row in range(len(table))])
    unreadable = {str(paths[row]): f"{paths[row]} {reason}" for row, reason in broken.items()}
    _complain(table, readable, unreadable)

    kept = table[readable].reset_index(drop=True)
    images = zip(contents, table["label"], table["split"], readable, strict=True)
    fingerprint = _digest(sorted(f"{c} {label} {split}" for c, label, split, ok in images if ok))
    return Images(kept, pixels, preparation, fingerprint, unreadable)


def _contents(paths: list[Path]) -> list[str]:
    """A digest of each file's bytes; of a file that cannot be opened, the reason."""

    def digest(path: Path) -> str:
        try:
            return hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as error:
            return f"{path}: {error.strerror}"

    return list(_each(digest, paths, description="checking"))


def _settings(preparation: Preparation) -> list[str]:
    """What of a preparation is part of the cache's key."""
    size, resize, fit, quality = dataclasses.astuple(preparation)
    settings = [str(_VERSIONS[resize]), str(size), resize, fit]
    return settings if quality is None else [*settings, f"quality {quality}"]


def _digest(lines: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def _write(folder: Path, paths: list[Path], preparation: Preparation) -> None:
    """Writes `pixels.npy` and `unreadable.json`."""

    def attempt(path: Path) -> np.ndarray | str:
        try:
            return preparation.read(path)
        except errors.UnreadableImage as error:
            # Less the path, for the cache is found again when the files have moved.
            return str(error).removeprefix(f"{path} ")

    unreadable: dict[int, str] = {}
    with (folder / "pixels.npy").open("wb") as file:
        _write_header(file, len(paths), preparation.image_size)
        for row, pixels in enumerate(_each(attempt, paths, description="decoding")):
            if isinstance(pixels, str):
                unreadable[row] = pixels
            else:
                # A plain write tells of a full disk; a memory map would be killed by it.
                file.write(pixels.tobytes())
        # Now the number of readable images is known; NumPy leaves room to write it.
        file.seek(0)
        _write_header(file, len(paths) - len(unreadable), preparation.image_size)
    (folder / "unreadable.json").write_text(json.dumps(unreadable), encoding="utf-8")


def _write_header(file: BinaryIO, count: int, image_size: int) -> None:
    shape = (count, image_size, image_size, 1)
    np.lib.format.write_array_header_1_0(
        file, {"descr": "|u1", "fortran_order": False, "shape": shape}
    )


def _opened(folder: Path, count: int, *, image_size: int) -> tuple[np.ndarray, dict[int, str]]:
    """What `_write` has written: the pixels, and why a row has none. Raises ValueError if not."""
    told = json.loads((folder / "unreadable.json").read_text(encoding="utf-8"))
    unreadable = {int(row): str(reason) for row, reason in told.items()}
    shape = (count - len(unreadable), image_size, image_size, 1)
    if not shape[0]:
        return np.empty(shape, np.uint8), unreadable
    pixels = cache.array(folder / "pixels.npy")
    if pixels.dtype != np.uint8 or pixels.shape != shape:
        raise ValueError(f"{pixels.dtype} {pixels.shape} instead of uint8 {shape}")
    return pixels, unreadable


def _let_go(pixels: np.ndarray) -> None:
    """Takes the pages of a map out of this process; the system still has them.

    Around each image of a random order it maps half a MB, which would add up to the whole file.
    """
    memory: object = pixels.base
    if isinstance(memory, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        memory.madvise(mmap.MADV_DONTNEED)


def _each(
    work: Callable[[Path], _Result], paths: list[Path], *, description: str
) -> Iterator[_Result]:
    """The result for each file, in order, from several threads."""
    with ThreadPoolExecutor() as pool:
        try:
            # In portions, so that a slow disk does not let the results pile up.
            with progress.bar(total=len(paths), description=description) as bar:
                for start in range(0, len(paths), _PORTION):
                    for result in pool.map(work, paths[start : start + _PORTION]):
                        yield result
                        bar.update()
        finally:
            pool.shutdown(cancel_futures=True)


def _complain(table: pd.DataFrame, readable: np.ndarray, unreadable: dict[str, str]) -> None:
    """Says what could not be read; raises where nothing useful is left."""
    if not unreadable:
        return
    first = next(iter(unreadable.values()))
    before = set(table[["split", "label"]].itertuples(index=False, name=None))
    after = set(table.loc[readable, ["split", "label"]].itertuples(index=False, name=None))
    if before != after:
        split, label = min(before - after)
        raise ValueError(f"not one image of {split}/{CLASSES[label]} can be read: {first}")
    shown = "; ".join(list(unreadable.values())[:3])
    more = f"; and {len(unreadable) - 3} more" if len(unreadable) > 3 else ""
    warnings.warn(f"{len(unreadable)} of {len(table)} images left out: {shown}{more}", stacklevel=3)
