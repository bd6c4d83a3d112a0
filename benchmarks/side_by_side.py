"""What all benchmarks share: turns, medians, ratios, the machine, tables and files of results.

Whatever is compared takes turns, so that what else the machine does meets all of it. Each
benchmark writes `results/NAME.json`, and `table.py` makes one page of them.
"""

import argparse
import contextlib
import json
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, Final, TypeVar

# Before Keras, for TensorFlow reads these when it is loaded. Of two processes on one GPU, none may
# take all of its memory. In a process of `as_it_comes`, xraylib comes too late to ask for kernels.
os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
if "BENCHMARK_AS_IT_COMES" in os.environ:
    import tensorflow  # noqa: F401
else:
    import xraylib  # noqa: F401

# isort: split
import keras
import numpy as np
from PIL import Image, features

from xraylib import files, machine, progress
from xraylib.data.loading import Batches
from xraylib.synthetic import dataset

RESULTS = Path(__file__).parent / "results"
# What the table shows of a row, ratios first; the others are in the file of results.
COLUMNS: Final = ("times faster", "target", "met", "work", "against", "ours", "theirs", "unit")

_Result = TypeVar("_Result")


def repeats(description: str | None, arguments: Sequence[str] | None, *, default: int) -> int:
    """The one option of a benchmark, of the command line or of the arguments given."""
    parser = argparse.ArgumentParser(description=(description or "").splitlines()[0])
    parser.add_argument("--repeats", type=int, default=default, help=f"of each; {default} if left")
    repeats: int = parser.parse_args(arguments).repeats
    if repeats < 1:
        parser.error(f"--repeats must be 1 or more. Received: {repeats}")
    return repeats


# ------------------------------------------------------------------------------ measuring


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def in_turns(
    works: Mapping[str, Callable[[], object]],
    *,
    repeats: int,
    description: str,
    prepare: Callable[[], object] = lambda: None,
) -> dict[str, list[float]]:
    """The seconds of each repeat of each work; `prepare` runs before each, outside the clock."""
    times: dict[str, list[float]] = {name: [] for name in works}
    turns = [name for _ in range(repeats) for name in works]
    for name in progress.bar(turns, total=len(turns), description=description):
        prepare()
        times[name].append(seconds(works[name]))
    return times


def rows(
    times: Mapping[str, Sequence[float]],
    *,
    work: str,
    ours: str,
    against: Iterable[str] | None = None,
    images: int | None = None,
    target: float | Mapping[str, float] | None = None,
    where: str | None = None,
) -> list[dict[str, Any]]:
    """How many times faster one contender is than each other, and what that follows from.

    Args:
        times: Of each contender its seconds, as `in_turns` gives them.
        work: What was done.
        ours: Which contender is this library.
        against: Which it is compared with; None for all others.
        images: How many were worked on, to tell images/s and not seconds.
        target: The least times faster that is wanted, of all or of each by its name; None for no
            target.
        where: Where this library's time goes, in words and measured numbers.
    """
    mine = statistics.median(times[ours])
    results = []
    for other in against if against is not None else [name for name in times if name != ours]:
        theirs = statistics.median(times[other])
        row: dict[str, Any] = {
            "times faster": rounded(theirs / mine),
            "target": target.get(other) if isinstance(target, Mapping) else target,
            "work": work,
            "against": other,
            "ours": rounded(mine if images is None else images / mine),
            "theirs": rounded(theirs if images is None else images / theirs),
            "unit": "s" if images is None else "images/s",
            "all seconds of ours": [rounded(one) for one in times[ours]],
            "all seconds of theirs": [rounded(one) for one in times[other]],
        }
        if where is not None:
            row["where the time goes"] = where
        results.append(row)
    return results


def alone(work: Callable[..., _Result], *arguments: object) -> _Result:
    """What a function of a module returns in a new process, whose memory is then its own."""
    # Forked, it would have what this process has.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(work, *arguments).result()


@contextlib.contextmanager
def as_it_comes() -> Iterator[Callable[..., Any]]:
    """A process with TensorFlow as it is without xraylib, which asks for other kernels.

    It waits while others work. Gives a function that calls a module's function there and waits
    for what it returns.
    """
    changed: dict[str, str | None] = {"TF_ENABLE_ONEDNN_OPTS": None, "BENCHMARK_AS_IT_COMES": "1"}
    before = {name: os.environ.get(name) for name in changed}
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        try:
            _set_environment(changed)
            pool.submit(os.getpid).result()  # now it has started, and keeps this environment
        finally:
            _set_environment(before)
        yield lambda work, *arguments: pool.submit(work, *arguments).result()


def _set_environment(values: Mapping[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def tells_memory() -> bool:
    return Path("/proc/self/status").exists()


def resident(name: str) -> float:
    """MB: `VmRSS`, the resident memory now, or `VmHWM`, the most of it since `forget_peak`."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith(f"{name}:"))


def forget_peak() -> None:
    """Lets `VmHWM` start again from here; where the system refuses, it counts from the start."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


# ------------------------------------------------------------------------------ work


def radiographs(place: Path) -> tuple[Path, str]:
    """A tree of large files and what they are: `XRAYLIB_REAL_DATA`'s originals, else made ones."""
    data = os.environ.get("XRAYLIB_REAL_DATA")
    if data:
        return Path(data, "chest_xray_originals"), "originals"
    made = dataset.make_tree(place / "made", images=120, size=1500)
    return made / "chest_xray", "made JPEGs of about 1500 px"


def unlike(content: bytes, number: int) -> bytes:
    """The same JPEG as another file: with a comment that tells the number, up to 99,999,999."""
    return content[:2] + b"\xff\xfe\0\x0a" + b"%08d" % number + content[2:]


def noise(count: int, image_size: int) -> np.ndarray:
    """Random grey uint8 (count, image_size, image_size, 1)."""
    shape = (count, image_size, image_size, 1)
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def keras_dataset(folder: Path, *, image_size: int, batch_size: int) -> Any:
    """What a user of Keras reads a folder of one folder a class with, files in order."""
    return keras.utils.image_dataset_from_directory(
        folder,
        color_mode="grayscale",
        image_size=(image_size, image_size),
        batch_size=batch_size,
        shuffle=False,
        verbose=False,
    )


def epoch(batches: Batches) -> None:
    """Takes every batch once, as `fit` does."""
    for number in range(len(batches)):
        batches[number]
    batches.on_epoch_end()


# ------------------------------------------------------------------------------ telling


def this_machine() -> dict[str, Any]:
    """What the numbers depend on; to be asked before anything is measured."""
    more = {"pillow": Image.__version__, "libjpeg-turbo": features.version("libjpeg_turbo")}
    gpus = _gpus()
    facts: dict[str, Any] = {
        # Of a processor, its cores are told as well.
        "device": f"{', '.join(gpus)}, {os.cpu_count()} cores" if gpus else machine.device(),
        "versions": machine.versions() | more,
    }
    if hasattr(os, "getloadavg"):
        facts["load average before"] = [round(load, 1) for load in os.getloadavg()]
    return facts


def _gpus() -> list[str]:
    """What the GPUs that Keras computes on are sold as; none where the backend does not tell."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        return [
            tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name)
            for gpu in tf.config.list_physical_devices("GPU")
        ]
    if backend == "jax":
        import jax

        return [device.device_kind for device in jax.devices() if device.platform == "gpu"]
    return []


def write(name: str, report: dict[str, Any]) -> Path:
    """Writes `results/NAME.json` and prints what is in it, in Markdown.

    Args:
        name: Of the benchmark.
        report: machine, as `this_machine` tells it; settings, a dict of what was chosen; rows, as
            `rows` makes them; and where there are such, notes (sentences), tables (of each title
            its rows) and figure (the name of a picture beside the page).
    """
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    with files.whole(path) as unfinished:
        unfinished.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(f"\n{name}: {in_words(report['machine'])}; {in_words(report['settings'])}")
    for table in (compared(report["rows"]), *report.get("tables", {}).values()):
        if table:
            print(f"\n{markdown(table)}")
    where = [
        f"{row['work']}: {row['where the time goes']}"
        for row in report["rows"]
        if "where the time goes" in row
    ]
    for note in dict.fromkeys([*where, *report.get("notes", [])]):
        print(f"\n{note}")
    return path


def compared(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows as the table shows them, with whether each target is met."""
    return [
        {name: row[name] for name in COLUMNS}
        for row in ({**row, "target": row["target"] or "", "met": met(row)} for row in rows)
    ]


def met(row: Mapping[str, Any]) -> str:
    if row["target"] is None:
        return ""
    return "yes" if row["times faster"] >= row["target"] else "no"


def in_words(facts: Mapping[str, Any]) -> str:
    """Names and values in one line."""
    return "; ".join(f"{name}: {_cell(value)}" for name, value in facts.items())


def markdown(table: Sequence[Mapping[str, Any]]) -> str:
    """Rows of the same columns as a table; numbers to the right."""
    names = list(table[0])
    numeric = [not any(isinstance(row[name], str) and row[name] for row in table) for name in names]
    lines = [names, ["---:" if right else "---" for right in numeric]]
    lines += [[_cell(row[name]) for name in names] for row in table]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def rounded(number: float) -> float:
    """To three digits that count."""
    return float(f"{number:.3g}")


def _cell(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_cell(one)}" for name, one in value.items())
    if isinstance(value, list):
        return ", ".join(_cell(one) for one in value)
    if isinstance(value, float) and value.is_integer() and abs(value) >= 100:
        value = int(value)
    return f"{value:,}" if isinstance(value, int | float) else str(value)
