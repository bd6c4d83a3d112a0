"""Loading decoded images against what one would use instead, side by side in one run.

Compares passes over the same JPEGs at 400 px. The first pass of `loading.decode`, which fills the
cache, stands against `image_dataset_from_directory`; a later epoch, which reads from it, against
that function again, with `.cache(file)`, and against a PyTorch DataLoader with Pillow where PyTorch
is installed. Then it tells where the time of a first pass goes, and how much memory 50,000 images
take. Writes `results/loading.json`.

The files are those of `chest_xray_originals` in the folder that `XRAYLIB_REAL_DATA` names, else
made ones.
"""

import hashlib
import importlib.util
import io
import itertools
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import side_by_side
from PIL import Image
from side_by_side import rounded

from xraylib import progress
from xraylib.data import index, loading, resizing
from xraylib.data.preparation import Preparation

IMAGE_SIZE = 400
BATCH_SIZE = 32
REPEATS = 5
MANY = 50_000
FIRST_PASS = 2.5
LATER_EPOCH = {
    "image_dataset_from_directory": 50,
    "the same with .cache(file)": 2,
    "PyTorch DataLoader with Pillow": 50,
}
PROFILE = "where a first pass goes"
# Of the steps of the profile, those that the notes speak of.
KERAS_DECODER = "tf.io.decode_jpeg, Keras' decoder"
ALL = "all of decode but writing"
WHOLE = "libjpeg, whole"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures and writes."""
    repeats = side_by_side.repeats(__doc__, arguments, default=REPEATS)
    this_machine = side_by_side.this_machine()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        tree, files = side_by_side.radiographs(place)
        table = index.from_tree(tree)
        table = table[table["split"] == "train"].reset_index(drop=True)
        first = _first_pass(tree, table, place, repeats)
        later, notes = _later_epoch(tree, table, place, repeats)
        profile = _profile(list(table["path"]))
        notes = [*_explained(first[0], profile), *notes]
        tables = {PROFILE: profile}
        if side_by_side.tells_memory():
            tables[f"memory of {MANY:,} images"] = [_memory(place)]
        else:
            notes.append("Memory is not measured: this system has no /proc/self/status.")
    report = {
        "machine": this_machine,
        "settings": {
            "files": f"{len(table)} {files}",
            "image size": IMAGE_SIZE,
            "images a batch": BATCH_SIZE,
            "repeats": repeats,
        },
        "rows": first + later,
        "notes": notes,
        "tables": tables,
    }
    side_by_side.write("loading", report)


# ------------------------------------------------------------------------------ contenders


def _keras_dataset(tree: Path) -> Any:
    return side_by_side.keras_dataset(tree / "train", image_size=IMAGE_SIZE, batch_size=BATCH_SIZE)


def _go_through(batches: Any) -> None:
    for _ in batches:
        pass


def _first_pass(tree: Path, table: pd.DataFrame, place: Path, repeats: int) -> list[dict[str, Any]]:
    numbers = itertools.count()

    def decode() -> None:
        os.environ["XRAYLIB_CACHE"] = f"{place}/cache-{next(numbers)}"
        loading.decode(table, Preparation(IMAGE_SIZE))

    theirs, ours = "image_dataset_from_directory", "xraylib"
    times = side_by_side.in_turns(
        {theirs: lambda: _go_through(_keras_dataset(tree)), ours: decode},
        repeats=repeats,
        description="first pass",
    )
    return side_by_side.rows(
        times, work="first pass", ours=ours, against=[theirs], images=len(table), target=FIRST_PASS
    )


def _later_epoch(
    tree: Path, table: pd.DataFrame, place: Path, repeats: int
) -> tuple[list[dict[str, Any]], list[str]]:
    images = loading.decode(table, Preparation(IMAGE_SIZE))
    batches = images.batches("train", batch_size=BATCH_SIZE, shuffle=True)
    cached = _keras_dataset(tree).cache(str(place / "by-keras"))
    _go_through(cached)  # writes the file
    contenders: dict[str, Callable[[], None]] = {
        "xraylib": lambda: side_by_side.epoch(batches),
        "image_dataset_from_directory": lambda: _go_through(_keras_dataset(tree)),
        "the same with .cache(file)": lambda: _go_through(cached),
    }
    notes = []
    if importlib.util.find_spec("torch"):
        torch_batches = _torch_batches(list(table["path"]))
        contenders["PyTorch DataLoader with Pillow"] = lambda: _go_through(torch_batches)
    else:
        notes.append("No PyTorch DataLoader: torch is not installed.")
    times = side_by_side.in_turns(contenders, repeats=repeats, description="later epoch")
    rows = side_by_side.rows(
        times, work="later epoch", ours="xraylib", images=len(table), target=LATER_EPOCH
    )
    return rows, notes


def _torch_batches(paths: list[Path]) -> Any:
    import torch

    class Files(torch.utils.data.Dataset):
        def __len__(self) -> int:
            return len(paths)

        def __getitem__(self, row: int) -> Any:
            with Image.open(paths[row]) as image:
                grey = image.convert("L").resize((IMAGE_SIZE, IMAGE_SIZE), Image.BILINEAR)
            return torch.from_numpy(np.array(grey))

    return torch.utils.data.DataLoader(
        Files(), batch_size=BATCH_SIZE, shuffle=True, num_workers=os.cpu_count() or 1
    )


# ------------------------------------------------------------------------------ profile


def _profile(paths: list[Path]) -> list[dict[str, Any]]:
    """Processor time of each step of a first pass, one thread at a time, and of Keras' decoder."""
    import tensorflow as tf

    contents = [path.read_bytes() for path in paths]

    def luma(content: bytes) -> Image.Image:
        image = Image.open(io.BytesIO(content))
        image.decodermaxblock = len(content)
        image.draft("L", None)
        image.load()
        return image

    pictures = [luma(content) for content in contents]
    pixels = [np.array(picture.convert("L")) for picture in pictures]

    def squares(resize: resizing.Resize) -> None:
        for each in pixels:
            resizing.square(each, image_size=IMAGE_SIZE, resize=resize, fit="stretch")

    steps: dict[str, Callable[[], object]] = {
        KERAS_DECODER: lambda: [tf.io.decode_jpeg(content, channels=1) for content in contents],
        ALL: lambda: [_square(path) for path in paths],
        "reading the file": lambda: [path.read_bytes() for path in paths],
        "sha256 of the file": lambda: [hashlib.sha256(content) for content in contents],
        WHOLE: lambda: [luma(content) for content in contents],
        "Pillow's picture to an array": lambda: [np.array(picture) for picture in pictures],
        "square, bilinear": lambda: squares("bilinear"),
        "square, area": lambda: squares("area"),
    }
    rows = []
    for name, step in progress.bar(steps.items(), total=len(steps), description="profile"):
        times = []
        for _ in range(3):
            # Of all threads: TensorFlow has its own.
            started = time.process_time()
            step()
            times.append(time.process_time() - started)
        taken = rounded(1e3 * statistics.median(times) / len(paths))
        rows.append({"CPU ms/image": taken, "step": name})
    return rows


def _square(path: Path) -> np.ndarray:
    hashlib.sha256(path.read_bytes()).hexdigest()
    return Preparation(IMAGE_SIZE).read(path)


def _explained(first: dict[str, Any], profile: list[dict[str, Any]]) -> list[str]:
    """What the profile leaves to be gained."""
    taken = {row["step"]: row["CPU ms/image"] for row in profile}
    most = first["times faster"] * taken[ALL] / taken[WHOLE]
    return [
        f"A first pass: libjpeg alone takes {taken[WHOLE]} of {taken[ALL]} ms of the "
        f"processor an image; Keras' decoder takes {taken[KERAS_DECODER]} ms. Were all but libjpeg "
        f"free, it would be {rounded(most)} times as fast as Keras' instead of "
        f"{first['times faster']}. Bilinear needs the whole picture, as Keras decodes it.",
    ]


# ------------------------------------------------------------------------------ memory


def _memory(place: Path) -> dict[str, Any]:
    """The memory of a process of its own that decodes many images and goes through an epoch."""
    folder = place / "many"
    folder.mkdir()
    file = io.BytesIO()
    Image.fromarray(side_by_side.noise(1, 64)[0, :, :, 0]).save(file, "JPEG")
    for number in progress.bar(range(MANY), total=MANY, description="making"):
        content = side_by_side.unlike(file.getvalue(), number)
        (folder / f"{number}.jpeg").write_bytes(content)
    os.environ["XRAYLIB_CACHE"] = str(place / "cache-many")
    return side_by_side.alone(measure_memory, folder, MANY)


def measure_memory(folder: Path, many: int) -> dict[str, Any]:
    """The work of the process of its own: what it needs beyond the import."""
    side_by_side.forget_peak()
    imported = side_by_side.resident("VmRSS")
    table = pd.DataFrame(
        {
            "path": [folder / f"{number}.jpeg" for number in range(many)],
            "label": np.arange(many) % 2,
            "split": "train",
        }
    )
    listed = side_by_side.resident("VmRSS")
    started = time.perf_counter()
    images = loading.decode(table, Preparation(128))
    decoded = time.perf_counter()
    peak_of_decode = side_by_side.resident("VmHWM")
    side_by_side.epoch(images.batches("train", batch_size=BATCH_SIZE, shuffle=True))
    return {
        "MB above the import at the peak": round(side_by_side.resident("VmHWM") - imported),
        "while decoding": round(peak_of_decode - imported),
        "of which the table of paths": round(listed - imported),
        "MB of the array": round(images.pixels.nbytes / 1e6),
        "images": many,
        "decoding, s": round(decoded - started, 1),
        "an epoch, s": round(time.perf_counter() - decoded, 1),
    }


if __name__ == "__main__":
    main()
