"""Describe one result of an audit: a check, how severe it is, and what it means."""

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
    """

    check: str
    severity: Severity
    count: int
    meaning: str
    examples: list[str] = field(default_factory=list)


def not_judged(check: str, reason: str) -> Finding:
    """The finding of a check that the data do not allow, for a reason without a full stop.

    Example:
        >>> not_judged("shift: size", "there are no train and test splits").meaning
        'Not judged: there are no train and test splits.'
    """
    return Finding(check, "note", 0, f"Not judged: {reason}.")
