"""Tell from the names of folders which class an image is of, and which class is class 1.

Class folders may lie at any depth: below sites, and above patients. The words NORMAL and PNEUMONIA
are recognised, and one of them is enough: the other class is then what lies beside it. Without
either, the name of class 1 has to be given; the order of the alphabet decides nothing.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

from xraylib.data.words import CLASSES, SPLITS, key, resembles_split
from xraylib.errors import DataSourceError

# The split where there are no folders of splits.
ALL: Final = "all"

_Names: TypeAlias = tuple[str, ...]


class Place(NamedTuple):
    """What the names of a folder and of those above it say.

    Attributes:
        names: From the base on, without splits.
        split: One of `SPLITS`, or `ALL`.
        reason: Why images there are not taken, as a kind of them; empty if they may be.
        filled: Whether there are images.
    """

    names: _Names
    split: str
    reason: str
    filled: bool

    def depth(self, keys: Iterable[str]) -> int | None:
        """The position of the first name with one of the keys; None if there is none."""
        return next((d for d, name in enumerate(self.names) if key(name) in keys), None)


def choose(base: Path, places: list[Place], positive: str) -> tuple[str, str]:
    """Returns the keys of class 0 and of class 1, as `words.key` makes them.

    Args:
        base: The folder that holds the splits, or else the classes; for messages.
        places: All folders that may hold images of the set.
        positive: The name of class 1's folders; it may be empty where the words tell.

    Raises:
        DataSourceError: There are not two classes, or it cannot be told which is which.
    """
    present = {key(name) for place in places for name in place.names}
    wanted = key(positive)
    words = [word for word in CLASSES if word in present]
    if wanted in present:
        anchor, label = wanted, 1
    elif len(words) == 2:
        return CLASSES
    elif words:
        anchor, label = words[0], CLASSES.index(words[0])
    else:
        raise DataSourceError(_question(base, places, positive))
    if anchor not in CLASSES and len({place.depth({anchor}) for place in places} - {None}) > 1:
        raise DataSourceError(
            f"folders called {positive} lie at different depths in {base}, so that it cannot be "
            "told which of them are a class: rename the others"
        )
    others = _beside(places, anchor)
    if len(others) != 1:
        names = [_spellings(places, name)[0] for name in {anchor, *others}]
        raise DataSourceError(_not_two(base, names))
    other = others.pop()
    return (other, anchor) if label else (anchor, other)


def _beside(places: list[Place], anchor: str) -> set[str]:
    """The keys of what lies beside the folders of a key, or else as deep as they do."""
    parents = {
        (place.split, place.names[:depth])
        for place in places
        if (depth := place.depth({anchor})) is not None
    }
    depths = {len(names) for _, names in parents}
    deep = [
        (p, d) for p in places for d in depths if len(p.names) > d and p.depth({anchor}) is None
    ]
    for chosen in ([(p, d) for p, d in deep if (p.split, p.names[:d]) in parents], deep):
        # An empty folder is a class only where there is no other.
        for candidates in ([(p, d) for p, d in chosen if p.filled], chosen):
            if candidates:
                return {key(p.names[d]) for p, d in candidates}
    return set()


def _question(base: Path, places: list[Place], positive: str) -> str:
    """Asks for class 1, or says why there are no two classes to choose from."""
    outer = {place.names[0] for place in places if place.names and place.filled}
    inner = [{p.names[1] for p in places if len(p.names) > 1 and p.names[0] == o} for o in outer]
    empty = {place.names[0] for place in places if place.names} - outer
    if not outer:
        return f"no images in class folders in {base}: sort them into two folders"
    if len(outer) == 1 and len(empty) == 1:
        return f"the class {empty.pop()} in {base} has no images: fill it or give another folder"
    common = sorted(set.intersection(*inner))
    if not positive.strip() and len(outer) != 2 and len(common) < 2:
        return _not_two(base, outer)
    problem = (
        f"none is called {positive}" if positive.strip() else f"none is {' or '.join(CLASSES)}"
    )
    within = f", each with {_listed(common)}" if len(common) > 1 else ""
    return (
        f"which folder is class 1? {base} holds {_listed(outer)}{within}, and {problem}: give its "
        "name as the parameter POSITIVE, or with --positive"
    )


def _not_two(base: Path, names: Iterable[str]) -> str:
    names = set(names)
    return (
        f"there must be two class folders with images in {base}, but there are {len(names)} "
        f"({_listed(names)}): leave two or give another folder"
    )


def _listed(names: Iterable[str]) -> str:
    shown = [name if name.isprintable() else ascii(name) for name in sorted(names)]
    more = f" and {len(shown) - 6} more" if len(shown) > 6 else ""
    return ", ".join(shown[:6]) + more


def label_of(base: Path, place: Place, pair: tuple[str, str]) -> int | None:
    """Returns the label of images in a place; None if no name on the way is that of a class.

    Raises:
        DataSourceError: One class lies inside the other.
    """
    depth = place.depth(pair)
    if depth is None or place.reason:
        return None
    label = pair.index(key(place.names[depth]))
    other = pair[1 - label]
    # Patients and studies may have numbers as names, too.
    if not other.isdigit() and (wrong := place.depth({other})) is not None:
        inside = "" if place.split == ALL else f"{place.split}/"
        raise DataSourceError(
            f"{inside}{'/'.join(place.names[: wrong + 1])} is a folder of one class inside one of "
            f"the other (in {base}): move it out"
        )
    return label


def refuse_others(
    base: Path,
    places: dict[_Names, Place],
    labels: dict[_Names, int | None],
    pair: tuple[str, str],
) -> None:
    """Refuses folders that may be a third class, or a split of an unknown name.

    Raises:
        DataSourceError: There is one.
    """
    parents = {
        (place.split, place.names[: place.depth(pair)])
        for folders, place in places.items()
        if labels[folders] is not None
    }
    splits = {split for split, _ in parents}
    others = set()
    for folders, place in places.items():
        if place.reason or not place.filled or labels[folders] is not None:
            continue
        above = [(place.split, place.names[:depth]) for depth in range(len(place.names))]
        # Where a class was recognised by its neighbour, it might be a neighbour of these.
        inferred = pair != CLASSES and place.names and place.split in splits
        if inferred or parents.intersection(above):
            others.add("/".join(folders))
    if others:
        raise DataSourceError(
            f"there are images in {_listed(others)}, but the classes in {base} are "
            f"{' and '.join(named(places.values(), pair))}: rename or move the others"
        )
    if ALL in splits:
        for place in places.values():
            for name in place.names[: place.depth(pair)]:
                if resembles_split(name) and not place.reason:
                    raise DataSourceError(
                        f"{name} in {base} may be a split: rename it to one of {', '.join(SPLITS)}"
                    )


def _spellings(places: Iterable[Place], word: str) -> list[str]:
    """How the folders of a key are called."""
    return sorted({name for place in places for name in place.names if key(name) == word})


def named(places: Iterable[Place], pair: tuple[str, str]) -> tuple[str, str]:
    """Returns the names of two classes by their keys, as their folders have them.

    Where the folders of one class differ in their spelling, it is the word of `CLASSES`, or the
    first spelling in the alphabet.
    """
    names = []
    for word in pair:
        spellings = _spellings(places, word)
        names.append(word if word in CLASSES and len(spellings) > 1 else spellings[0])
    return (names[0], names[1])
