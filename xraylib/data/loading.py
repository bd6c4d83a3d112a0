"""The table of images -> batches, every file decoded once.

`decode` turns the files into one array of grey pixels in the cache, and every epoch of every run
reads from there, through a memory map. The array is keyed by the content of the files and by how
they were made squares: a changed file is decoded again, a moved one is not.
"""

import hashlib
import json
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, get_args

import keras
import numpy as np
import pandas as pd

from xraylib import progress
from xraylib.data import reading, sources
from xraylib.data.augmentation import Augmentation, recompressed
from xraylib.data.resizing import Fit, Resize, square

# Part of every key: raise it when the same files would give other pixels.
_VERSION: Final = 2
# Images in memory at once while decoding.
_PORTION: Final = 128


@dataclass(frozen=True)
class Images:
    """Decoded radiographs and the table that they belong to.

    Attributes:
        table: One row an image, as `index` makes it, less what could not be read, with a fresh
            index.
        pixels: Grey uint8 in [0, 255], (images, size, size, 1), row for row as `table`; a
            read-only memory map.
        fingerprint: 16 hexadecimal digits of what the images are, their labels and their splits,
            wherever they lie. Two runs of one fingerprint saw the same data.
        unreadable: Of each image that was left out, its path and the reason.
    """

    table: pd.DataFrame
    pixels: np.ndarray
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
        named = self.table.assign(
            **{"class": [sources.CLASSES[label] for label in self.table["label"]]}
        )
        groups = named.groupby(["split", "class"], sort=True)
        return groups.agg(images=("path", "size"), patients=("patient", "nunique")).reset_index()

    def predictions(self, model: keras.Model, *, batch_size: int) -> pd.DataFrame:
        """Scores validation and test, the one time that test is looked at.

        Args:
            model: Gives the probability of PNEUMONIA, (batch, 1).
            batch_size: Images a batch.

        Returns:
            The rows of the table in validation and test, with the column score, float in [0, 1].
        """
        rows = self.table[self.table["split"].isin(("validation", "test"))]
        batches = Batches(
            self.pixels,
            self.table["label"].to_numpy(),
            rows.index.to_numpy(),
            batch_size=batch_size,
        )
        scores = []
        for number in progress.bar(range(len(batches)), total=len(batches), description="scoring"):
            scores.append(model.predict_on_batch(batches[number][0]).ravel())
        return rows.assign(score=np.concatenate(scores).astype(float)).reset_index(drop=True)


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
        if self.augment:
            for image, row in zip(pixels, rows, strict=True):
                # From 1, for NumPy seeds alike with a 0 at the end and without, as the orders are.
                rng = np.random.default_rng([self.seed, self.epoch, row + 1])
                image[:] = self.augment.apply(image, rng)
        return pixels, self.labels[chosen].astype(np.float32)[:, np.newaxis]


def decode(
    table: pd.DataFrame,
    *,
    image_size: int,
    resize: Resize = "bilinear",
    fit: Fit = "stretch",
    quality: int | None = None,
    strict: bool = False,
) -> Images:
    """Decodes every image of a table to one size, or finds it decoded already.

    Args:
        table: As `index` makes it; `path` and `label` and `split` are read.
        image_size: Height and width in pixels.
        resize: As for `resizing.square`.
        fit: As for `resizing.square`.
        quality: Of JPEG, 1 to 100, at which every image is saved again at its own size before it
            is resized, so that the files' own qualities differ less; None to take them as they are.
        strict: Whether an unreadable image is an error, or left out with a warning that names it.

    Returns:
        The images, in the order of the table.

    Raises:
        reading.UnreadableImage: With `strict`, an image cannot be read.
        ValueError: No image can be read, one class or a split has none left, or an argument is
            out of range.
        OSError: The cache cannot be written, e.g. for want of space; what is missing and what to
            do is said.
    """
    if image_size < 1:
        raise ValueError(f"image_size must be 1 or more pixels. Received: {image_size}")
    for name, value, known in (("resize", resize, get_args(Resize)), ("fit", fit, get_args(Fit))):
        if value not in known:
            raise ValueError(f"{name} must be one of {', '.join(known)}. Received: {value!r}")
    if quality is not None and quality not in range(1, 101):
        raise ValueError(f"quality must be None or a whole number 1 to 100. Received: {quality!r}")
    if table.empty:
        raise ValueError("the table has no images: give one as index.from_tree returns it")

    def read(path: Path) -> np.ndarray:
        pixels = reading.grey(path)
        if quality is not None:
            pixels = recompressed(pixels, quality)
        return square(pixels, image_size=image_size, resize=resize, fit=fit)

    contents = _contents(list(table["path"]))
    settings = [str(_VERSION), str(image_size), resize, fit]
    if quality is not None:
        settings.append(f"quality {quality}")
    folder = sources.cache_folder() / "pixels" / _digest([*settings, *contents])
    if not folder.exists():
        _fill(folder, list(table["path"]), read, image_size=image_size)
    # By position, for one file may stand in the table twice.
    broken = json.loads((folder / "unreadable.json").read_text(encoding="utf-8"))
    readable = np.array([str(row) not in broken for row in range(len(table))])
    paths = {row: str(table["path"].iloc[int(row)]) for row in broken}
    unreadable = {paths[row]: f"{paths[row]} {reason}" for row, reason in broken.items()}
    _complain(table, readable, unreadable, strict=strict)

    kept = table[readable].reset_index(drop=True)
    images = zip(contents, table["label"], table["split"], readable, strict=True)
    fingerprint = _digest(sorted(f"{c} {label} {split}" for c, label, split, ok in images if ok))
    pixels = np.load(folder / "pixels.npy", mmap_mode="r")
    return Images(kept, pixels, fingerprint, unreadable)


def _contents(paths: Sequence[Path]) -> list[str]:
    """A digest of each file's bytes; of a file that cannot be opened, the reason."""

    def digest(path: Path) -> str:
        try:
            return hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as error:
            return f"{path}: {error.strerror}"

    with ThreadPoolExecutor() as pool:
        digests = pool.map(digest, paths)
        return list(progress.bar(digests, total=len(paths), description="checking"))


def _digest(lines: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def _fill(
    folder: Path, paths: list[Path], read: Callable[[Path], np.ndarray], *, image_size: int
) -> None:
    """Writes `pixels.npy` and `unreadable.json` into a folder that appears only when complete."""
    parent = folder.parent
    try:
        parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(
            prefix=".writing-", dir=parent, ignore_cleanup_errors=True
        ) as half_written:
            _write(Path(half_written), paths, read, image_size=image_size)
            try:
                Path(half_written).rename(folder)
            except OSError:
                # Another process was faster with the same pixels.
                if not folder.exists():
                    raise
    except OSError as error:
        need = len(paths) * image_size**2 / 1e6
        raise OSError(
            error.errno,
            f"cannot write {need:,.0f} MB of decoded images to {parent} ({error.strerror}): free "
            "some space, or set the environment variable XRAYLIB_CACHE to another folder",
        ) from None


def _write(
    folder: Path, paths: list[Path], read: Callable[[Path], np.ndarray], *, image_size: int
) -> None:
    unreadable: dict[int, str] = {}
    with (folder / "pixels.npy").open("wb") as file:
        _write_header(file, len(paths), image_size)
        for row, pixels in enumerate(_squares(paths, read)):
            if isinstance(pixels, str):
                unreadable[row] = pixels
            else:
                # A plain write tells of a full disk; a memory map would be killed by it.
                file.write(pixels.tobytes())
        # Now the number of readable images is known; NumPy leaves room to write it.
        file.seek(0)
        _write_header(file, len(paths) - len(unreadable), image_size)
    (folder / "unreadable.json").write_text(json.dumps(unreadable), encoding="utf-8")


def _write_header(file: BinaryIO, count: int, image_size: int) -> None:
    shape = (count, image_size, image_size, 1)
    np.lib.format.write_array_header_1_0(
        file, {"descr": "|u1", "fortran_order": False, "shape": shape}
    )


def _squares(paths: list[Path], read: Callable[[Path], np.ndarray]) -> Iterator[np.ndarray | str]:
    """Each file's square, or the reason why it cannot be read, in order."""

    def attempt(path: Path) -> np.ndarray | str:
        try:
            return read(path)
        except reading.UnreadableImage as error:
            # Less the path, for the cache is found again when the files have moved.
            return str(error).removeprefix(f"{path} ")

    with ThreadPoolExecutor() as pool:
        try:
            # In portions, so that a slow disk does not let the decoded images pile up.
            with progress.bar(total=len(paths), description="decoding") as bar:
                for start in range(0, len(paths), _PORTION):
                    for pixels in pool.map(attempt, paths[start : start + _PORTION]):
                        yield pixels
                        bar.update()
        finally:
            pool.shutdown(cancel_futures=True)


def _complain(
    table: pd.DataFrame, readable: np.ndarray, unreadable: dict[str, str], *, strict: bool
) -> None:
    """Says what could not be read; raises where nothing useful is left."""
    if not unreadable:
        return
    first = next(iter(unreadable.values()))
    if strict:
        raise reading.UnreadableImage(
            f"{len(unreadable)} of {len(table)} images cannot be read, and strict=True: {first}"
        )
    before = set(table[["split", "label"]].itertuples(index=False, name=None))
    after = set(table.loc[readable, ["split", "label"]].itertuples(index=False, name=None))
    if before != after:
        split, label = min(before - after)
        raise ValueError(f"not one image of {split}/{sources.CLASSES[label]} can be read: {first}")
    shown = "; ".join(list(unreadable.values())[:3])
    more = f"; and {len(unreadable) - 3} more" if len(unreadable) > 3 else ""
    warnings.warn(f"{len(unreadable)} of {len(table)} images left out: {shown}{more}", stacklevel=3)
