"""Find out from the names of folders to which split and to which class each image belongs.

The label of an image is that of the class folder that it lies in, however many folders are between:
sites above the classes, or patients below them. Which of two class folders is class 1 is taken from
the words NORMAL and PNEUMONIA, of which one is enough, or from the user; the order of the alphabet
decides nothing. What lies in no split or class is not taken, nor are masks; all of it is counted.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, Final, NamedTuple, TypeAlias

from xraylib.data import classes
from xraylib.data.classes import ALL, Place
from xraylib.data.listing import IMAGE, File, everything
from xraylib.data.words import (
    CLASSES,
    SPLITS,
    is_masks,
    key,
    split_of,
)
from xraylib.errors import DataSourceError

_ORDER: Final = (*SPLITS, ALL)

_Names: TypeAlias = tuple[str, ...]


class Image(NamedTuple):
    """An image and where it belongs."""

    path: Path
    label: int
    split: str


@dataclass(frozen=True)
class Layout:
    """The images of a tree, sorted into splits and classes.

    Attributes:
        base: The folder that holds the splits, or else the classes.
        images: Sorted by split, label and path.
        classes: The names of class 0 and of class 1 as the folders have them; where the folders of
            one class differ in their spelling, the word of `CLASSES`, or the first spelling.
        splits: Those that have a folder, even without images; or `ALL`.
        passed_over: A row for each kind of what is in the folder but not in `images`, with the keys
            kind, count, and example, a path below the folder that was read.
    """

    base: Path
    images: list[Image]
    classes: tuple[str, str]
    splits: list[str]
    passed_over: list[dict[str, str | int]]


def read(folder: Path, *, positive: str = "") -> Layout:
    """Sorts the images below a folder into two classes, and into splits where there are any.

    Args:
        folder: The folder, or one above it.
        positive: The name of class 1's folders, where the words do not tell.

    Raises:
        DataSourceError: It cannot be told what belongs where; there are not two classes, both with
            images; or a folder cannot be listed.
    """
    listing = everything(folder)
    filled = {file.folders for file in listing.files if file.kind == IMAGE}
    top = _top(folder, sorted(filled))
    base = folder.joinpath(*top)
    places = _places(base, top, filled, listing.folders)
    pair = classes.choose(base, [place for place in places.values() if not place.reason], positive)
    labels = {folders: classes.label_of(base, place, pair) for folders, place in places.items()}
    classes.refuse_others(base, places, labels, pair)
    names = classes.named(places.values(), pair)

    taken: list[File] = []
    rest: list[tuple[str, File]] = []
    masks = _masks_of_others(listing.files)
    for file in listing.files:
        reason = "masks" if file in masks else _reason(file, places, labels)
        if reason:
            rest.append((reason, file))
        else:
            taken.append(file)
    again = _links_to_others(folder, taken, places, labels)
    rest += [("links to images that are listed already", file) for file in again]
    images = [
        Image(Path(folder, below), label, _ORDER[split])
        for split, label, below in sorted(
            (_ORDER.index(places[file.folders].split), labels[file.folders] or 0, file.below)
            for file in taken
            if file not in again
        )
    ]
    for label, name in enumerate(names):
        if not any(image.label == label for image in images):
            raise DataSourceError(
                f"the class {name} in {base} has no images: fill it or give another folder"
            )
    present = {place.split for place in places.values() if not place.reason}
    splits = [split for split in _ORDER if split in present]
    return Layout(base, images, names, splits, _summary(rest))


def read_splits(folder: Path, *, positive: str = "") -> Layout:
    """Sorts the images of a tree, and demands train and test with images of both classes.

    `val/` may be missing, as in the original publication, but not be incomplete.

    Raises:
        DataSourceError: As `read` does, or a split is incomplete.
    """
    layout = read(folder, positive=positive)
    problem = ""
    for split in (split for split in SPLITS if split != "val" or split in layout.splits):
        labels = [image.label for image in layout.images if image.split == split]
        if not labels:
            advice = ", or remove it" if split == "val" else ""
            expected = " and ".join(f"{split}/{name}/" for name in layout.classes)
            problem = (
                f"{split}/ holds no images in class folders: expected some in {expected}{advice}"
            )
        elif len(set(labels)) == 1:
            problem = (
                f"{split}/ holds only one class: there are {len(labels)} images in "
                f"{layout.classes[labels[0]]} but none in {layout.classes[1 - labels[0]]}"
            )
        if problem:
            rest = f"; not taken: {summary(layout.passed_over)}" if layout.passed_over else ""
            raise DataSourceError(f"{problem} (in {layout.base}{rest})")
    return layout


def summary(passed_over: Iterable[Mapping[str, Any]]) -> str:
    """Says what was in a folder but not taken, from `Layout.passed_over`, without a full stop.

    Example:
        >>> summary([{"kind": ".csv files", "count": 2, "example": "train/a.csv"}])
        '.csv files: 2 (train/a.csv)'
    """
    return "; ".join(
        # A name may hold what a terminal obeys or cannot show.
        f"{row['kind']}: {row['count']:,} "
        f"({row['example'] if row['example'].isprintable() else ascii(row['example'])})"
        for row in passed_over
    )


def _top(folder: Path, filled: list[_Names]) -> _Names:
    """The names that lead to the folder that holds the splits, or else the classes."""
    filled = [names for names in filled if not any(map(is_masks, names))] or filled
    top: _Names = ()
    # Archives often wrap everything in a folder or two.
    while filled and all(len(names) > len(top) + 1 for names in filled):
        outer, inner = ({names[len(top) + step] for names in filled} for step in (0, 1))
        if len(outer) > 1 or not _is_wrapper(min(outer), inner):
            break
        top += (min(outer),)
    trees: list[_Names] = []
    for names in sorted(filled, key=len):
        depths = [d for d in range(len(top), len(names)) if split_of(names[d])]
        if depths and not any(names[: len(tree)] == tree for tree in trees):
            trees.append(names[: depths[0]])
    if len(trees) > 1:
        listed = ", ".join(str(folder.joinpath(*names)) for names in trees)
        raise DataSourceError(
            f"{folder} holds {len(trees)} trees ({listed}): give one of them, or put classes and "
            "sites into the folders of the splits"
        )
    return trees[0] if trees else top


def _is_wrapper(name: str, inner: Iterable[str]) -> bool:
    """Whether the only folder, called like a split or a class, holds several of these itself."""
    if split := split_of(name):
        return bool({split_of(below) for below in inner} - {split, ""})
    if (word := key(name)) in CLASSES:
        return any(
            split_of(below) or (key(below) in CLASSES and key(below) != word) for below in inner
        )
    return True


def _places(
    base: Path, top: _Names, filled: set[_Names], folders: Iterable[_Names]
) -> dict[_Names, Place]:
    """Reads the names of all folders that hold images, and of those where no image is."""
    above = {names[:length] for names in filled for length in range(len(names))}
    inside = [names[len(top) :] for names in filled if names[: len(top)] == top]
    has_splits = any(names and split_of(names[0]) for names in inside)
    copy = _copy_in(base, inside, has_splits)
    places = {}
    for folders_to in sorted({*filled, *(names for names in folders if names not in above)}):
        names = folders_to[len(top) :]
        reason = ""
        splits = {split_of(name): name for name in names if split_of(name)}
        if any(map(is_masks, names if folders_to[: len(top)] == top else folders_to)):
            reason = "masks"
        elif folders_to[: len(top)] != top:
            reason = "images beside the tree"
        elif copy and names[:1] == (copy,):
            reason = f"images in a copy of the tree, {copy}/"
        elif has_splits and not (names and split_of(names[0])):
            reason = "images beside the splits"
        elif len(splits) > 1:
            raise DataSourceError(
                f"{base.joinpath(*names)} lies in {' and in '.join(splits.values())}: move it out "
                "of one of them"
            )
        rest = tuple(name for name in names if not split_of(name))
        split = next(iter(splits), ALL)
        places[folders_to] = Place(rest, split, reason, folders_to in filled)
    return places


def _copy_in(base: Path, inside: list[_Names], has_splits: bool) -> str:
    """The name of a folder called like the base, with all that is beside it; or an empty text."""
    name = base.resolve().name
    beside = {names[0] for names in inside if names and (split_of(names[0]) or not has_splits)}
    within = {names[1] for names in inside if len(names) > 1 and names[0] == name}
    beside -= {name}
    return name if not split_of(name) and beside and beside <= within else ""


def _reason(file: File, places: Mapping[_Names, Place], labels: Mapping[_Names, int | None]) -> str:
    """Why a file is not taken, as a kind of such files; empty if it is."""
    if file.kind != IMAGE:
        return file.kind
    place = places[file.folders]
    if place.reason or labels[file.folders] is not None:
        return place.reason
    return "images in no class folder" + ("" if place.split == ALL else f" of {place.split}/")


def _masks_of_others(files: Iterable[File]) -> set[File]:
    """Finds images like film_mask.png that lie beside film.png, or a film of another suffix."""
    stems = {}
    for file in files:
        if file.kind == IMAGE and "mask" in file.below.lower():
            match = re.fullmatch(r"(.+?)[ _-]*masks?", PurePath(file.below).stem, re.IGNORECASE)
            if match:
                stems[file] = (file.folders, match[1])
    if not stems:
        return set()
    films = {(f.folders, PurePath(f.below).stem) for f in files if f.kind == IMAGE}
    return {file for file, stem in stems.items() if stem in films}


def _links_to_others(
    folder: Path,
    taken: list[File],
    places: Mapping[_Names, Place],
    labels: Mapping[_Names, int | None],
) -> set[File]:
    """Finds links to images that are taken for the same split and class in any case.

    Raises:
        DataSourceError: A link leads from one class into the other.
    """
    links = sorted(file for file in taken if file.linked)
    if not links:
        return set()
    targets: dict[tuple[int, int], list[File]] = {}
    for file in taken:
        if not file.linked:
            targets.setdefault(file.identity, []).append(file)
    again = set()
    for link in links:
        same = targets.setdefault(link.identity, [])
        for other in same:
            if labels[other.folders] != labels[link.folders]:
                raise DataSourceError(
                    f"{folder / link.below} is or lies in a link to {other.below}, which is of "
                    "the other class: remove one of them"
                )
            if places[other.folders].split == places[link.folders].split:
                again.add(link)
        same.append(link)
    return again


def _summary(rest: list[tuple[str, File]]) -> list[dict[str, str | int]]:
    """Counts what is not taken by its kind, images first."""
    examples: dict[str, list[str]] = {}
    for kind, file in rest:
        examples.setdefault(kind, []).append(file.below)
    kinds = sorted(examples, key=lambda kind: (not kind.startswith("images"), kind))
    return [
        {"kind": kind, "count": len(examples[kind]), "example": min(examples[kind])}
        for kind in kinds
    ]
