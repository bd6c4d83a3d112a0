"""Judge what films look like: blank, half lost, two-tone, dim, negative, turned, tinted, tiny."""

from collections.abc import Iterator
from typing import Final

import numpy as np
import pandas as pd

from xraylib.audit.finding import Finding, Severity, counted, finding_of, not_judged
from xraylib.data import films

_SEVERITIES: Final[dict[str, Severity]] = {"turned": "warning"}
_ADVICE: Final = {
    "blank": "remove them, or fetch them again",
    "two-tone": "a mask is no radiograph, so remove them",
    "few grey levels": "they were converted wrongly, for instance from 12 bits, so convert them "
    "again from their source",
    "small range": "they were converted wrongly, for instance from 12 bits or another window, so "
    "convert them again from their source",
    "half pictures": "fetch them again, or remove them",
    "negatives": "invert them, for a network would see air as bone",
    "turned": "turn them upright",
}
_TINTED: Final = 0.01
# A part of the median size from which on a film is a thumbnail, or of the median shape a strip.
_TINY: Final = 1 / 4
_FRAME: Final = 0.02


def find(rows: pd.DataFrame, names: dict[int, str]) -> Iterator[Finding]:
    """Judges every film alone, and some against the other films.

    Args:
        rows: Table as `measurements.measure` returns it, without the unreadable files, and with a
            column name, of a file as a finding shows it.
        names: The names of classes 0 and 1.

    Returns:
        A finding for each of `films.FAULTS`, then for tinted films, for sizes and for frames.
    """
    for fault, films_with_it in films.faults(rows).items():
        check = f"films: {fault}"
        if films_with_it is None:
            reason = f"fewer than {films.LEAST_FILMS} films, or they have too little in common"
            yield not_judged(check, reason)
            continue
        chosen = rows[films_with_it]
        yield finding_of(
            check,
            _SEVERITIES.get(fault, "severe" if len(chosen) > len(rows) / 20 else "warning"),
            len(chosen),
            f"{counted(len(chosen), 'film')} of {len(rows):,} ({_by_class(chosen, names)}) "
            f"{films.FAULTS[fault]}; {_ADVICE[fault]}.",
            f"There are no films that {films.FAULTS[fault]}.",
            chosen["name"].tolist(),
            compared=_compared(fault, len(rows)),
        )
    yield _tinted(rows, names)
    yield _sizes(rows, names)
    yield _frames(rows, names)


def _compared(fault: str, count: int) -> str:
    if fault in ("negatives", "turned"):
        return (
            f"each film at 16 x 16 pixels with what {count:,} films of all splits and classes have "
            "in common, upright and turned by 90°"
        )
    if fault == "half pictures":
        return "the lines along each edge of a film, at 224 x 224 pixels, with each other"
    return "the histogram of each film with fixed limits, which no radiograph of the Kaggle set met"


def _tinted(rows: pd.DataFrame, names: dict[int, str]) -> Finding:
    chosen = rows[rows["tinted_share"] >= _TINTED]
    return finding_of(
        "films: not grey",
        "warning",
        len(chosen),
        f"{counted(len(chosen), 'film')} ({_by_class(chosen, names)}) with colours, in at least "
        "1 % of the picture: photos, tinted films or coloured marks; colour is read as grey, so "
        "look whether they are radiographs.",
        "There are no films with colours, whether they are stored as grey or as colour.",
        chosen["name"].tolist(),
        compared="the red, green and blue of each film stored as colour, at 64 x 64 pixels, with "
        "each other",
    )


def _sizes(rows: pd.DataFrame, names: dict[int, str]) -> Finding:
    side, shape = rows[["width", "height"]].min(axis=1), np.log(rows["aspect"])
    tiny = side < side.median() * _TINY
    strip = (shape - shape.median()).abs() > -np.log(_TINY) * 0.75
    chosen = rows[tiny | strip]
    return finding_of(
        "films: size outliers",
        "warning",
        len(chosen),
        f"{counted(len(chosen), 'film')} ({_by_class(chosen, names)}) with a shorter side below a "
        f"quarter of the median, {side.median():,.0f} px, or with a width/height 2.8 times or more "
        "away from the median: thumbnails or cut-outs, so fetch the whole films or remove them.",
        "No film is much smaller than the others, or of quite another shape.",
        [f"{row.name} {row.width:.0f} x {row.height:.0f}" for row in chosen.itertuples()],
        compared=f"the sides of each film with the medians of all {len(rows):,}",
    )


def _frames(rows: pd.DataFrame, names: dict[int, str]) -> Finding:
    chosen = rows[rows["frame"] >= _FRAME].sort_values("frame", ascending=False)
    return finding_of(
        "films: frames and bars",
        "note",
        len(chosen),
        f"{counted(len(chosen), 'film')} ({_by_class(chosen, names)}) with bars of one grey at the "
        "edges, in at least 2 % of the picture: collimation, or a frame that a program added; see "
        "'shortcut: frame' for whether they tell the class.",
        "There are no films with bars of one grey at the edges.",
        [f"{row.name} ({row.frame:.0%})" for row in chosen.head(3).itertuples()],
        compared="the pixels of each line along the edges of a film, at 224 x 224 pixels, with "
        "each other",
    )


def _by_class(rows: pd.DataFrame, names: dict[int, str]) -> str:
    counts = rows["label"].value_counts()
    return ", ".join(f"{name} {counts.get(label, 0):,}" for label, name in names.items())
