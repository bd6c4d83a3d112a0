"""Describe one result of an audit: a check, how severe it is, what it means and rests on."""

from dataclasses import dataclass, field
from typing import Literal

Severity = Literal["severe", "warning", "note", "fine"]


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Attributes:
        check: The check's name, the same for every data set.
        severity: `"severe"` (a result would mean something other than it seems to), `"warning"`
            (look at it), `"note"` (good to know; or it could not be judged) or `"fine"`.
        count: The files, groups, pairs, patients or classes concerned; for a comparison the number
            of images it rests on.
        meaning: One to three sentences.
        examples: Up to three, as paths below the folder that all images share.
        compared: What was compared with what, without a full stop: a claim is not wider than this.
    """

    check: str
    severity: Severity
    count: int
    meaning: str
    examples: list[str] = field(default_factory=list)
    compared: str = "nothing"


def not_judged(check: str, reason: str) -> Finding:
    """The finding of a check that the data do not allow, for a reason without a full stop.

    Example:
        >>> not_judged("shift: size", "there are no train and test splits").meaning
        'Not judged: there are no train and test splits.'
    """
    return Finding(check, "note", 0, f"Not judged: {reason}.")


def finding_of(
    check: str,
    severity: Severity,
    count: int,
    meaning: str,
    otherwise: str,
    examples: list[str],
    *,
    compared: str,
) -> Finding:
    """The finding of things that should not be there, or otherwise that there are none.

    Example:
        >>> finding_of("flat", "warning", 0, "Flat.", "None is flat.", [], compared="each").meaning
        'None is flat.'
    """
    if not count:
        return Finding(check, "fine", 0, otherwise, compared=compared)
    return Finding(check, severity, int(count), meaning, examples[:3], compared)


def counted(count: int, noun: str) -> str:
    """A number of things in words.

    Example:
        >>> counted(1, "file"), counted(2000, "file")
        ('1 file', '2,000 files')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
