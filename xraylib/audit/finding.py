"""What a check of the files says: what it found, how severe it is, and by which names."""

from dataclasses import dataclass
from typing import Literal

import pandas as pd

from xraylib.data.tree import CLASSES

Severity = Literal["severe", "warning", "note", "fine"]


@dataclass(frozen=True)
class Finding:
    """What one check found; `checks.findings` tells what each field holds."""

    check: str
    severity: Severity
    count: int
    meaning: str
    examples: list[str]


def class_names(table: pd.DataFrame) -> dict[int, str]:
    """What the classes are called where something is said of them.

    Args:
        table: As `index` makes it; where it has a column class, that names its labels.

    Returns:
        The name of each label; of one that the table does not name, the one in
        `tree.CLASSES`.
    """
    known = dict(enumerate(CLASSES))
    if "class" in table:
        known |= dict(zip(table["label"], table["class"], strict=True))
    return known
