"""Make a tree of synthetic radiographs, laid out and named like the Kaggle data set.

With it everybody can run the series without an account. `make_tree` renders thoraxes (`anatomy`
and `imaging` have the physics) into `<folder>/chest_xray/{train,val,test}/{NORMAL,PNEUMONIA}/`,
and their true masks into `<folder>/masks/{split}/{class}/<stem>_lung.png` and `<stem>_lesion.png`.

The faults of the real set are traps that can be set one by one (`TRAPS`):

- `compression`: train/ and val/NORMAL at JPEG quality 95, all else at 75.
- `shape`: width/height has the median 1.2 in train/ and val/NORMAL, 1.33 in test/NORMAL, 1.5 in
  PNEUMONIA. The field of view differs, not the thorax.
- `sharpness`: train/ and val/NORMAL come from another site, with less blur and enhanced edges.
- `exposure`: train/ and val/NORMAL have more photons and another characteristic curve.
- `copies`: a few byte copies under other patients' names, within train/ and within test/.
- `clutter`: `.DS_Store`, a `__MACOSX` tree of `._*.jpeg` and a second, nested `chest_xray`.

With `traps=()` both classes have the same distribution of every parameter but the lungs. A trap
changes its own property and nothing else, for the random numbers do not depend on the traps.
"""

import errno
import json
import os
import shutil
import threading
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from xraylib import progress
from xraylib.synthetic.anatomy import Anatomy, Kind, Pose
from xraylib.synthetic.imaging import Acquisition, Radiograph, take

TRAPS: tuple[str, ...] = ("compression", "shape", "sharpness", "exposure", "copies", "clutter")
MODEL_VERSION = 1  # raise it whenever the same settings give other bytes
LEAST_SIZE = 32

_PNEUMONIA_SHARE = {"train": 0.743, "val": 0.5, "test": 0.625}
_IMAGES_PER_PATIENT = (0.55, 0.25, 0.12, 0.08)  # probabilities of 1, 2, 3 and 4 images
_MEDIAN_ASPECT = {"untrapped": 1.4, "PNEUMONIA": 1.5, "NORMAL": 1.2, "test/NORMAL": 1.33}


@dataclass(frozen=True)
class _Plan:
    """An image to make: its place, its patient and how it is stored."""

    split: str
    kind: Kind
    name: str  # stem of the file
    patient: int
    number: int  # counts the patient's images from 1
    colour: bool
    copy_of: str = ""

    @property
    def label(self) -> str:
        return "NORMAL" if self.kind == "normal" else "PNEUMONIA"


def radiograph(
    seed: int, *, kind: Kind = "normal", size: int = 512, aspect: float = 1.4
) -> Radiograph:
    """Makes one radiograph of a random patient.

    Args:
        seed: Random seed, 0 or more.
        kind: `"normal"`, `"bacteria"` or `"virus"`.
        size: The short side in pixels, at least 32.
        aspect: Width / height, in [0.7, 2.2].

    Returns:
        Pixels, uint8 (height, width) in [0, 255], and the masks of lung and lesion.

    Raises:
        ValueError: An argument is out of its range.

    Example:
        >>> radiograph(0, kind="bacteria", size=96).pixels.shape
        (96, 134)
    """
    if size < LEAST_SIZE:
        raise ValueError(f"size must be at least {LEAST_SIZE} pixels. Received: {size}")
    if not 0.7 <= aspect <= 2.2:
        raise ValueError(f"aspect (width / height) must lie in [0.7, 2.2]. Received: {aspect}")
    rng = np.random.default_rng(seed)
    anatomy, pose = Anatomy.sample(rng), Pose.sample(rng)
    acquisition = Acquisition.sample(rng)
    width, height = round(size * max(aspect, 1)), round(size / min(aspect, 1))
    return take(anatomy, pose, acquisition, kind=kind, width=width, height=height)


def make_tree(
    folder: str | os.PathLike[str],
    *,
    images: int = 600,
    size: int = 512,
    seed: int = 0,
    traps: Collection[str] = TRAPS,
) -> Path:
    """Makes the tree, or returns at once where the same one exists already.

    The tree is made beside `folder` and renamed when it is complete, so that nobody reads half of
    it. The same settings give the same bytes, on any number of cores.

    Args:
        folder: Missing, empty, or a tree of the same settings.
        images: Number of files in the three splits together, at least 20. 600 gives 440, 16, 144.
        size: Nominal short side in pixels, at least 32; single images vary by about 12 %.
        seed: Random seed, at least 0.
        traps: Those of `TRAPS` to set.

    Returns:
        `folder`, which holds `chest_xray/`, `masks/` and `made.json` (the settings).

    Raises:
        ValueError: A trap is unknown, or a number is below its minimum.
        FileExistsError: `folder` holds something else.
        OSError: The disk is full or cannot be written.
    """
    folder = Path(folder)
    if isinstance(traps, str):  # would be taken for a collection of letters
        raise ValueError(f"traps must be a tuple or list of names. Received: {traps!r}")
    unknown = sorted(set(traps) - set(TRAPS))
    if unknown:
        raise ValueError(f"traps must be among {', '.join(TRAPS)}. Received: {', '.join(unknown)}")
    numbers = {"images": int(images), "size": int(size), "seed": int(seed)}
    for name, least in {"images": 20, "size": LEAST_SIZE, "seed": 0}.items():
        if numbers[name] < least:
            raise ValueError(f"{name} must be at least {least}. Received: {numbers[name]}")
    chosen = [trap for trap in TRAPS if trap in traps]
    settings = {"model_version": MODEL_VERSION, **numbers, "traps": chosen}
    if _holds(folder, settings):
        return folder

    part = folder.parent / f".{folder.name}.{os.getpid()}.{threading.get_ident()}.part"
    try:
        part.mkdir(parents=True)
        _write_images(part, list(_plan(settings)), settings)
        if "clutter" in traps:
            _add_clutter(part / "chest_xray")
        (part / "made.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
        if folder.is_dir():
            folder.rmdir()  # empty, as _holds has checked
        part.rename(folder)
    except OSError as error:
        if not _holds(folder, settings):  # else another process was faster: its tree is as good
            reason = error.strerror or str(error)
            raise OSError(error.errno or errno.EIO, f"cannot make {folder}: {reason}") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return folder


def _holds(folder: Path, settings: dict[str, Any]) -> bool:
    """True for a tree of these settings, False for nothing; anything else is an error."""
    try:
        made = json.loads((folder / "made.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        made = None
    if made == settings:
        return True
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    content = "a tree of other settings" if made else "something else"
    raise FileExistsError(f"{folder} holds {content}: choose another folder or remove it")


def _quotas(total: int) -> Iterator[tuple[str, Kind, int]]:
    """How many images of each kind each split has."""
    counts = {"test": round(0.24 * total), "val": min(16, max(2, 2 * (total // 40)))}
    counts["train"] = total - sum(counts.values())
    for split in ("train", "test", "val"):
        sick = round(_PNEUMONIA_SHARE[split] * counts[split])
        bacteria = max(1, round(2 / 3 * sick))
        yield split, "normal", counts[split] - sick
        yield split, "bacteria", bacteria
        yield split, "virus", sick - bacteria


def _plan(settings: dict[str, Any]) -> Iterator[_Plan]:
    """Plans every image of the tree. Of the traps, only the copies matter here."""
    total, rng = settings["images"], np.random.default_rng([settings["seed"], 0])
    coloured = set(rng.permutation(total)[: max(2, round(0.05 * total))].tolist())
    patients = {"IM": 0, "NORMAL2-IM": 0, "bacteria": 0, "virus": 0}  # each family has its numbers
    images = {"bacteria": 0, "virus": 0}
    place = everybody = 0
    for split, kind, quota in _quotas(total):
        plans: list[_Plan] = []
        while len(plans) < quota:
            family = kind if kind != "normal" else rng.choice(["IM", "NORMAL2-IM"])
            several = int(rng.choice(4, p=_IMAGES_PER_PATIENT)) + 1
            patients[family] += 1
            everybody += 1
            for number in range(1, min(several, quota - len(plans)) + 1):
                if kind == "normal":
                    name = f"{family}-{patients[family]:04d}-0001"
                    name += f"-{number:04d}" if number > 1 else ""
                else:
                    images[kind] += 1
                    name = f"person{patients[family]}_{kind}_{images[kind]}"
                plans.append(_Plan(split, kind, name, everybody, number, place in coloured))
                place += 1
        yield from _with_copies(plans, settings) if plans else ()


def _with_copies(plans: list[_Plan], settings: dict[str, Any]) -> list[_Plan]:
    """Turns the last images of a split and kind into copies of the first, under other names."""
    copies = round(0.01 * len(plans) + 0.5)
    # The real copies are few, and in train/ and test/ only.
    if "copies" not in settings["traps"] or plans[0].split == "val" or plans[0].kind == "virus":
        return plans
    others, last = plans[:-copies], plans[-copies:]
    originals = [plan for plan in others if plan.patient != last[0].patient]
    for place, original in zip(range(len(others), len(plans)), originals, strict=False):
        plans[place] = replace(plans[place], copy_of=original.name)
    return plans


def _write_images(part: Path, plans: list[_Plan], settings: dict[str, Any]) -> None:
    for place in product(("chest_xray", "masks"), _PNEUMONIA_SHARE, ("NORMAL", "PNEUMONIA")):
        part.joinpath(*place).mkdir(parents=True)
    originals = [plan for plan in plans if not plan.copy_of]
    write = partial(_write_image, part, settings=settings)
    # Threads, not processes: NumPy, SciPy and Pillow let go of the interpreter while they work,
    # and threads are safe beside TensorFlow, in notebooks and in unguarded scripts.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        # Where one image fails, `map` cancels those that have not begun.
        written = pool.map(write, originals)
        for _ in progress.bar(written, total=len(originals), description="making radiographs"):
            pass
    for plan in plans:
        if plan.copy_of:
            sources = _paths(part, replace(plan, name=plan.copy_of))
            for source, target in zip(sources, _paths(part, plan), strict=True):
                shutil.copyfile(source, target)


def _paths(part: Path, plan: _Plan) -> tuple[Path, Path, Path]:
    """The paths of an image, its lung mask and its lesion mask."""
    image, mask = (part / tree / plan.split / plan.label for tree in ("chest_xray", "masks"))
    name = plan.name
    return image / f"{name}.jpeg", mask / f"{name}_lung.png", mask / f"{name}_lesion.png"


def _write_image(part: Path, plan: _Plan, settings: dict[str, Any]) -> None:
    seed, traps = settings["seed"], settings["traps"]
    anatomy = Anatomy.sample(np.random.default_rng([seed, 1, plan.patient]))
    rng = np.random.default_rng([seed, 2, plan.patient, plan.number])
    pose = Pose.sample(rng)
    # As in the real train/NORMAL, a trap takes these to another site.
    trapped = traps if plan.kind == "normal" and plan.split != "test" else []
    site = {trap: "clinic" if trap in trapped else "ward" for trap in TRAPS}
    acquisition = Acquisition.sample(rng, exposure=site["exposure"], sharpness=site["sharpness"])
    group = "untrapped"
    if "shape" in traps:
        group = "test/NORMAL" if plan.split == "test" and plan.label == "NORMAL" else plan.label
    aspect = float(np.clip(_MEDIAN_ASPECT[group] + 0.1 * rng.standard_normal(), 1.02, 1.9))
    enlargement = float(np.clip(np.exp(0.12 * rng.standard_normal()), 0.75, 1.3))
    height = round(settings["size"] * enlargement)
    width = round(height * aspect)
    picture = take(anatomy, pose, acquisition, kind=plan.kind, width=width, height=height)
    quality = 95 if site["compression"] == "clinic" else 75
    image, lung, lesion = _paths(part, plan)
    grey = Image.fromarray(picture.pixels)
    (grey.convert("RGB") if plan.colour else grey).save(image, quality=quality)
    Image.fromarray(picture.lung.astype(np.uint8) * 255).save(lung, compress_level=1)
    Image.fromarray(picture.lesion.astype(np.uint8) * 255).save(lesion, compress_level=1)


def _add_clutter(tree: Path) -> None:
    """Adds what macOS and a second archive left in the real set: thrice as many `.jpeg` files."""
    files = sorted(tree.rglob("*.jpeg"))
    for file in files:
        place = file.relative_to(tree)
        twin = tree / "chest_xray" / place
        twin.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, twin)
        fork = tree / "__MACOSX" / "chest_xray" / place.with_name(f"._{file.name}")
        fork.parent.mkdir(parents=True, exist_ok=True)
        # The head of an AppleDouble file (RFC 1740): magic number, version 2, no entries.
        fork.write_bytes(bytes.fromhex("0005160700020000") + bytes(18))
    for place in (tree, *(tree / split for split in _PNEUMONIA_SHARE), tree / "chest_xray"):
        # The head of a .DS_Store: its alignment word and its magic.
        (place / ".DS_Store").write_bytes(b"\x00\x00\x00\x01Bud1" + bytes(24))
