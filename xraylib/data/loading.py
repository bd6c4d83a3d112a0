"""Decode the images of a table once, and serve them as batches.

`decode` writes all images into one array in the cache, which every run reads through a memory map.
The array is keyed by the content of the files and by the preparation: a changed file is decoded
again, a moved one is not.
"""

import dataclasses
import hashlib
import logging
import mmap
import warnings
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from xraylib import cache
from xraylib.backend import keras
from xraylib.data import decoding, films, patients
from xraylib.data.augmentation import Augmentation
from xraylib.data.index import class_names
from xraylib.data.preparation import Preparation
from xraylib.data.resizing import Resize

# Part of every key: raise a version when the same files give other pixels or facts.
_VERSIONS: Final[dict[Resize, int]] = {"bilinear": 4, "area": 6}
# The share above which decoding tells of a file.
_COLOURED: Final = 0.05

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Images:
    """Decoded radiographs and the table that they belong to.

    Attributes:
        table: As `index` makes it, with its `attrs`, without the unreadable images, with a fresh
            index and a column sha256, 64 hexadecimal digits of each file's bytes.
        pixels: Grey uint8 in [0, 255], (images, size, size, 1), in the order of `table`; a
            read-only memory map.
        preparation: How each file became its square; with the depth that the set was found to
            have, so that a single file of it can be read alike.
        fingerprint: 16 hexadecimal digits of the images, their labels and their splits, wherever
            the files lie. Two runs with one fingerprint saw the same data.
        unreadable: The reason for each image that was left out, by its path.
        facts: What decoding noticed of each image, in the order of `table`, with its looks: see
            `decoding.Decoded`.
    """

    table: pd.DataFrame
    pixels: np.ndarray
    preparation: Preparation
    fingerprint: str
    unreadable: dict[str, str]
    facts: pd.DataFrame = field(default_factory=pd.DataFrame)

    def batches(
        self,
        split: str,
        *,
        batch_size: int,
        shuffle: bool = False,
        seed: int = 0,
        augment: Augmentation | None = None,
        labels: str = "label",
    ) -> "Batches":
        """Make the batches of one split, `"train"`, `"validation"` or `"test"`.

        The labels are a column of the table. The other arguments are those of `Batches`, which
        Keras' `fit` and `predict` take.

        Raises:
            ValueError: `split` has no images, or `batch_size` is below 1.
        """
        rows = np.flatnonzero(self.table["split"] == split)
        if not len(rows):
            known = sorted(self.table["split"].unique())
            raise ValueError(f"no images in the split {split!r}: there are {known}")
        return Batches(
            self.pixels,
            self.table[labels].to_numpy(),
            rows,
            batch_size=batch_size,
            shuffle=shuffle,
            seed=seed,
            augment=augment,
        )

    def counts(self) -> pd.DataFrame:
        """Count images and known patients of each class in each split.

        The columns are split, class, images, and patients where anybody is known.
        """
        names = class_names(self.table)
        named = self.table.assign(**{"class": [names[label] for label in self.table["label"]]})
        named["patient"] = named["patient"].mask(patients.unknown(named))
        groups = named.groupby(["split", "class"], sort=True)
        counts = groups.agg(images=("path", "size"), patients=("patient", "nunique")).reset_index()
        return counts if named["patient"].notna().any() else counts.drop(columns="patients")


class Batches(keras.utils.PyDataset):
    """Batches of pixels and labels for any Keras backend.

    Args:
        pixels: Grey uint8 in [0, 255], (images, size, size, 1).
        labels: 0 for NORMAL, 1 or more for others, (images,).
        rows: The images to serve, int (n,).
        batch_size: Images per batch; the last one may be smaller.
        shuffle: Whether every epoch has an order of its own.
        seed: Random seed of the orders and of `augment`. The order of an epoch depends only on
            `seed` and `epoch`, and an augmented image also on its row, so that a resumed training
            continues as if it had never stopped.
        augment: Random changes to each image, new in every epoch; for training only.

    Raises:
        ValueError: `batch_size` is below 1.

    Example:
        >>> pixels, labels = np.zeros((3, 8, 8, 1), np.uint8), np.array([0, 1, 0])
        >>> len(Batches(pixels, labels, np.arange(3), batch_size=2))
        2
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
        """Set the order to that of one epoch, counted from 0."""
        self.epoch = epoch
        self.order = np.arange(len(self.rows))
        if self.shuffle:
            np.random.default_rng([self.seed, epoch]).shuffle(self.order)

    def on_epoch_end(self) -> None:
        """Set the order to that of the next epoch; Keras calls it."""
        self.start_epoch(self.epoch + 1)

    def __len__(self) -> int:
        return -(-len(self.rows) // self.batch_size)

    def __getitem__(self, batch: int) -> tuple[np.ndarray, np.ndarray]:
        """Get one batch: pixels uint8 (n, size, size, 1) and labels float32 (n, 1)."""
        places = self.order[batch * self.batch_size : (batch + 1) * self.batch_size]
        rows = self.rows[places]
        pixels = self.pixels[rows]
        _release(self.pixels)
        if self.augment:
            # From 1: to NumPy a seed that ends in 0 is the one without it, that of the order.
            rngs = [np.random.default_rng([self.seed, self.epoch, row + 1]) for row in rows]
            with ThreadPoolExecutor() as pool:
                pixels = np.stack(
                    list(pool.map(self.augment.apply, pixels, rngs, self._donors(places)))
                )
        return pixels, self.labels[places].astype(np.float32)[:, np.newaxis]

    def _donors(self, places: np.ndarray) -> Iterable[np.ndarray | None]:
        """An image of the other class, NORMAL or not, for each that may borrow its grey values."""
        if not self.augment or not self.augment.borrow:
            return [None] * len(places)
        ill = self.labels > 0
        others = {kind: np.flatnonzero(ill != kind) for kind in (False, True)}
        rng = np.random.default_rng([self.seed, self.epoch, 0, *places[:1]])
        return self.pixels[self.rows[[rng.choice(others[ill[place]]) for place in places]]]


def decode(table: pd.DataFrame, preparation: Preparation) -> Images:
    """Decode every image of a table, or find it decoded already.

    Where the cache cannot be written, or its content is damaged, a warning says so, and the images
    are decoded all the same.

    Args:
        table: As `index` makes it; path, label and split are read.
        preparation: How a file becomes the square that the network takes.

    Returns:
        The images, in the order of the table. Unreadable ones are left out, with a warning.

    Raises:
        ValueError: The table is empty, or a class of a split has no readable image.
        OSError: Neither the cache nor a temporary folder can be written, e.g. for want of space.
    """
    if table.empty:
        raise ValueError("the table has no images: give one as index.from_tree returns it")
    paths = list(table["path"])
    # Also where they are decoded already: 5,840 files of 6 kB take a quarter of a second, and a
    # date and a size do not tell a file from another that was put in its place.
    contents = list(decoding.each(_content, paths, description="checking"))
    size = preparation.image_size
    # By position, for one file may stand in the table twice.
    decoded = cache.load_or_make(
        "pixels",
        _digest([*_settings(preparation), *contents]),
        what=f"{len(paths):,} images, {preparation}",
        size=len(paths) * size**2,
        make=lambda folder: decoding.write(folder, paths, preparation),
        read=lambda folder: decoding.read(folder, len(paths), image_size=size),
    )
    readable = np.array([row not in decoded.reasons for row in range(len(table))])
    rows = table[readable].assign(sha256=np.array(contents)[readable])
    unreadable = {
        str(paths[row]): f"{paths[row]} {reason}" for row, reason in decoded.reasons.items()
    }
    if unreadable:
        _report(table, rows, list(unreadable.values()))
    rows.attrs = dict(table.attrs)  # whatever pandas keeps
    rows = rows.reset_index(drop=True)
    if decoded.bits:
        rows.attrs["depth"] = {
            "bits": decoded.bits,
            "files": int((decoded.facts.largest > 0).sum()),
        }
        preparation = dataclasses.replace(preparation, depth=decoded.bits)
    _log(decoded.facts, rows["path"])
    facts = zip(rows["sha256"], rows["label"], rows["split"], strict=True)
    fingerprint = _digest(sorted(f"{content} {label} {split}" for content, label, split in facts))
    return Images(rows, decoded.pixels, preparation, fingerprint, unreadable, decoded.facts)


def _content(path: Path) -> str:
    """A digest of a file's bytes; where it cannot be opened, the reason."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        return f"{path}: {error.strerror}"


def _settings(preparation: Preparation) -> list[str]:
    """The part of the cache's key that is not content."""
    size, resize, fit, quality, depth = dataclasses.astuple(preparation)
    settings = [str(_VERSIONS[resize]), str(size), resize, fit]
    settings += [] if quality is None else [f"quality {quality}"]
    return settings if depth is None else [*settings, f"{depth} bits"]


def _digest(lines: Iterable[str]) -> str:
    # The name of a file that cannot be opened may be no UTF-8.
    return hashlib.sha256("\n".join(lines).encode(errors="surrogatepass")).hexdigest()[:16]


def _release(pixels: np.ndarray) -> None:
    """Take the pages of a memory map out of this process; the system still has them.

    In a random order, each image maps half a MB around it, which would add up to the whole file.
    """
    memory: object = pixels.base
    if isinstance(memory, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        memory.madvise(mmap.MADV_DONTNEED)


def _report(table: pd.DataFrame, readable: pd.DataFrame, problems: list[str]) -> None:
    """Warn of unreadable images; raise where a class of a split has no others."""
    before, after = (
        set(zip(rows["split"], rows["label"], strict=True)) for rows in (table, readable)
    )
    if missing := sorted(before - after):
        split, label = missing[0]
        raise ValueError(
            f"not one image of {split}/{class_names(table)[label]} can be read: {problems[0]}"
        )
    more = f"; and {len(problems) - 3} more" if len(problems) > 3 else ""
    examples = "; ".join(problems[:3]) + more
    warnings.warn(f"{len(problems)} of {len(table)} images left out: {examples}", stacklevel=3)


def _log(facts: pd.DataFrame, paths: pd.Series) -> None:
    """Tell of what decoding noticed, and of films that look wrong, by count and example."""
    wide = facts["largest"] > 0
    largest = facts["largest"].max()
    bits = facts.loc[wide, "bits"].max()
    notices = {
        f"have 16 bits a pixel and no value above {largest:,}: {bits} bits are taken for all of "
        f"them, so that {2.0**bits - 1:,.0f} becomes white": wide & (bits < 16),
        f"use less than an eighth of the {bits} bits that others of the set fill, and look dark": (
            wide & (facts["largest"] < 2.0**bits / 8)
        ),
        "hold several pages or frames, of which the first is read": facts["pages"] > 1,
        "have transparent pixels, whose stored values are taken": facts["transparent"],
        f"of {facts['coloured'].notna().sum()} looked at are not grey": (
            facts["coloured"] > _COLOURED
        ),
    }
    if len(facts):
        for fault, concerned in films.faults(facts).items():
            if concerned is not None:
                notices[films.FAULTS[fault]] = concerned
    for notice, concerned in notices.items():
        if concerned.any():
            example = paths[np.asarray(concerned)].iloc[0]
            _logger.warning(
                "%d of %d images %s; e.g. %s", concerned.sum(), len(facts), notice, example
            )
