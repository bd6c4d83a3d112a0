"""Loading decoded images against what one would use instead, side by side in one run.

Compares passes over the same JPEGs at 400 px. The first pass of `loading.decode`, which fills the
cache, stands against `image_dataset_from_directory`; a later epoch, which reads from it, against
that function again, with `.cache(file)`, and against a PyTorch DataLoader with Pillow where PyTorch
is installed. Then it tells where the time of a first pass goes, and how much memory 50,000 images
take. Prints tables of medians, ratios first, and writes `results/loading.json`.

The files are those of `chest_xray_originals` in the folder that `XRAYLIB_REAL_DATA` names, else
made ones.
"""

import contextlib
import hashlib
import importlib.util
import io
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
from PIL import Image, features

from xraylib import progress, records
from xraylib.data import index, loading, reading, resizing, synthetic

IMAGE_SIZE = 400
BATCH_SIZE = 32
REPEATS = 5
MANY = 50_000
RESULTS = Path(__file__).parent / "results" / "loading.json"


def main() -> None:
    """Measures, prints and writes."""
    with tempfile.TemporaryDirectory() as place:
        tree, files = _tree(Path(place))
        table = index.from_tree(tree)
        table = table[table["split"] == "train"].reset_index(drop=True)
        told = {
            "device": records.device(),
            "versions": records.versions()
            | {"pillow": Image.__version__, "libjpeg-turbo": features.version("libjpeg_turbo")},
            "load average": [round(load, 1) for load in os.getloadavg()],
            "files": f"{len(table)} {files}",
            "image size": IMAGE_SIZE,
            "repeats": REPEATS,
        }
        for name, value in told.items():
            print(f"{name}: {value}")
        told["first pass"] = _first_pass(tree, table, Path(place))
        told["later epoch"] = _later_epoch(tree, table, Path(place))
        told["where a first pass goes"] = _profile(list(table["path"]))
        told["memory"] = _memory(Path(place))
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


def _tree(place: Path) -> tuple[Path, str]:
    data = os.environ.get("XRAYLIB_REAL_DATA")
    if data:
        return Path(data, "chest_xray_originals"), "originals"
    made = synthetic.make_tree(place / "made", images=120, size=1500)
    return made / "chest_xray", "made JPEGs of about 1500 px"


# ------------------------------------------------------------------------------ contenders


def _keras_dataset(tree: Path) -> Any:
    return keras.utils.image_dataset_from_directory(
        tree / "train",
        color_mode="grayscale",
        image_size=(IMAGE_SIZE, IMAGE_SIZE),
        batch_size=BATCH_SIZE,
        shuffle=False,
        verbose=False,
    )


def _go_through(batches: Any) -> None:
    for _ in batches:
        pass


def _first_pass(tree: Path, table: pd.DataFrame, place: Path) -> list[dict[str, Any]]:
    numbers = itertools.count()

    def decode(resize: resizing.Resize) -> None:
        os.environ["XRAYLIB_CACHE"] = f"{place}/cache-{next(numbers)}"
        loading.decode(table, image_size=IMAGE_SIZE, resize=resize)

    return _compared(
        "first pass",
        {
            "image_dataset_from_directory": lambda: _go_through(_keras_dataset(tree)),
            "decode": lambda: decode("bilinear"),
            'decode, resize="area"': lambda: decode("area"),
        },
        against=["image_dataset_from_directory"],
        images=len(table),
    )


def _later_epoch(tree: Path, table: pd.DataFrame, place: Path) -> list[dict[str, Any]]:
    images = loading.decode(table, image_size=IMAGE_SIZE)
    batches = images.batches("train", batch_size=BATCH_SIZE, shuffle=True)
    cached = _keras_dataset(tree).cache(str(place / "by-keras"))
    _go_through(cached)  # writes the file

    def epoch() -> None:
        for number in range(len(batches)):
            batches[number]
        batches.on_epoch_end()

    contenders = {
        "image_dataset_from_directory": lambda: _go_through(_keras_dataset(tree)),
        "the same with .cache(file)": lambda: _go_through(cached),
    }
    if importlib.util.find_spec("torch"):
        torch_batches = _torch_batches(list(table["path"]))
        contenders["PyTorch DataLoader with Pillow"] = lambda: _go_through(torch_batches)
    else:
        print("\nno PyTorch DataLoader: torch is not installed")
    return _compared(
        "later epoch",
        {**contenders, "batches": epoch},
        against=list(contenders),
        images=len(table),
    )


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


# ------------------------------------------------------------------------------ comparison


def _compared(
    title: str, contenders: dict[str, Callable[[], None]], *, against: list[str], images: int
) -> list[dict[str, Any]]:
    """Medians of repeats in which the contenders take turns, so that all meet the same load."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    processor: dict[str, list[float]] = {name: [] for name in contenders}
    turns = [name for _ in range(REPEATS) for name in contenders]
    for name in progress.bar(turns, total=len(turns), description=title):
        wall, cpu = time.perf_counter(), time.process_time()
        contenders[name]()
        seconds[name].append(time.perf_counter() - wall)
        processor[name].append(time.process_time() - cpu)
    median = {name: statistics.median(seconds[name]) for name in contenders}
    rows = []
    for name in contenders:
        row: dict[str, Any] = {title: name}
        for other in against:
            row[f"times {other}"] = _rounded(median[other] / median[name])
        row["images/s"] = _rounded(images / median[name])
        row["slowest to fastest, images/s"] = (
            f"{images / max(seconds[name]):,.0f} to {images / min(seconds[name]):,.0f}"
        )
        row["CPU ms/image"] = _rounded(1e3 * statistics.median(processor[name]) / images)
        rows.append(row)
    _show(rows)
    return rows


def _profile(paths: list[Path]) -> list[dict[str, Any]]:
    """Processor time of each step of a first pass, one thread at a time, and of Keras' decoder."""
    import tensorflow as tf

    contents = [path.read_bytes() for path in paths]

    def luma(content: bytes, size: tuple[int, int] | None = None) -> Image.Image:
        image = Image.open(io.BytesIO(content))
        image.decodermaxblock = len(content)
        image.draft("L", size)
        image.load()
        return image

    pictures = [luma(content) for content in contents]
    pixels = [np.array(picture.convert("L")) for picture in pictures]

    def squares(resize: resizing.Resize) -> None:
        for each in pixels:
            resizing.square(each, image_size=IMAGE_SIZE, resize=resize, fit="stretch")

    steps: dict[str, Callable[[], object]] = {
        "tf.io.decode_jpeg, Keras' decoder": lambda: [
            tf.io.decode_jpeg(content, channels=1) for content in contents
        ],
        "all of decode but writing": lambda: [_square(path) for path in paths],
        "reading the file": lambda: [path.read_bytes() for path in paths],
        "sha256 of the file": lambda: [hashlib.sha256(content) for content in contents],
        "libjpeg, whole": lambda: [luma(content) for content in contents],
        "libjpeg, reduced to 1/8: entropy decoding, and little else": lambda: [
            luma(content, (1, 1)) for content in contents
        ],
        "Pillow's picture to an array": lambda: [np.array(picture) for picture in pictures],
        "square, bilinear": lambda: squares("bilinear"),
        "square, area, of the whole": lambda: squares("area"),
    }
    rows = []
    for name, step in progress.bar(steps.items(), total=len(steps), description="profile"):
        times = []
        for _ in range(3):
            # Of all threads: TensorFlow has its own.
            started = time.process_time()
            step()
            times.append(time.process_time() - started)
        rows.append(
            {
                "step": name,
                "CPU ms/image": _rounded(1e3 * statistics.median(times) / len(paths)),
            }
        )
    _show(rows)
    return rows


def _square(path: Path) -> np.ndarray:
    hashlib.sha256(path.read_bytes()).hexdigest()
    return resizing.square(
        reading.grey(path), image_size=IMAGE_SIZE, resize="bilinear", fit="stretch"
    )


# ------------------------------------------------------------------------------ memory


def _memory(place: Path) -> dict[str, Any]:
    """The memory of a process of its own that decodes many images and goes through an epoch."""
    if not Path("/proc/self/status").exists():
        print("\nno memory: this system has no /proc/self/status")
        return {}
    _make_many(place / "many")
    done = subprocess.run(
        [sys.executable, __file__, str(place / "many")],
        env=os.environ | {"XRAYLIB_CACHE": str(place / "cache-many")},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        sys.exit(done.stderr)
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    _show([told])
    return told


def _make_many(folder: Path) -> None:
    """Small grey JPEGs, no two alike: one picture, and a comment that tells the number."""
    folder.mkdir()
    file = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)
    Image.fromarray(noise).save(file, "JPEG")
    start, rest = file.getvalue()[:2], file.getvalue()[2:]
    for number in progress.bar(range(MANY), total=MANY, description="making"):
        comment = b"\xff\xfe\0\x0a" + b"%08d" % number
        (folder / f"{number}.jpeg").write_bytes(start + comment + rest)


def _measure_memory(folder: Path) -> None:
    """The work of the process of its own: prints what it needs beyond the import, as JSON."""
    imported = _megabytes("VmRSS")
    table = pd.DataFrame(
        {
            "path": [folder / f"{number}.jpeg" for number in range(MANY)],
            "label": np.arange(MANY) % 2,
            "split": "train",
        }
    )
    listed = _megabytes("VmRSS")
    started = time.perf_counter()
    images = loading.decode(table, image_size=128)
    decoded = time.perf_counter()
    peak_of_decode = _megabytes("VmHWM")
    batches = images.batches("train", batch_size=BATCH_SIZE, shuffle=True)
    for number in range(len(batches)):
        batches[number]
    told = {
        "MB above the import at the peak": round(_megabytes("VmHWM") - imported),
        "while decoding": round(peak_of_decode - imported),
        "of which the table of paths": round(listed - imported),
        "the array": round(images.pixels.nbytes / 1e6),
        "images": MANY,
        "decoding, s": round(decoded - started, 1),
        "an epoch, s": round(time.perf_counter() - decoded, 1),
    }
    print(json.dumps(told))


def _megabytes(name: str) -> float:
    """`VmRSS`, the resident memory now, or `VmHWM`, the most of it so far."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith(f"{name}:"))


# ------------------------------------------------------------------------------ tables


def _rounded(number: float) -> float:
    return float(f"{number:.3g}")


def _show(rows: Sequence[dict[str, Any]]) -> None:
    """Prints a table in Markdown, numbers first."""
    names = sorted(rows[0], key=lambda name: isinstance(rows[0][name], str))
    print("\n| " + " | ".join(names) + " |")
    print("|" + "---|" * len(names))
    for row in rows:
        cells = [
            f"{row[name]:,}" if not isinstance(row[name], str) else row[name] for name in names
        ]
        print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        _measure_memory(Path(sys.argv[1]))
    else:
        with contextlib.suppress(BrokenPipeError):
            main()
