"""Measure by an AUC how well one number separates two groups of patients."""

from typing import Final, NamedTuple

import pandas as pd

from xraylib.audit.finding import Severity
from xraylib.evaluation import intervals

# With fewer patients in a group the interval is too wide to judge anything.
LEAST_PATIENTS: Final = 5


class Separation(NamedTuple):
    """An AUC with the limits of its 95 % interval, as `intervals.newcombe_auc` computes them."""

    auc: float  # how often a patient of one group has a larger value than one of the other
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.auc:.2f} ({self.low:.2f} to {self.high:.2f})"

    @property
    def mirrored(self) -> "Separation":
        """The separation by the negative values."""
        return Separation(1 - self.auc, 1 - self.high, 1 - self.low)

    @property
    def severity(self) -> Severity:
        """Severe at .70 or more with a lower limit above .60; a warning with one above .55."""
        if self.auc >= 0.70 and self.low > 0.60:
            return "severe"
        return "warning" if self.low > 0.55 else "fine"


def separation(values: pd.Series, positive: pd.Series, patients: pd.Series) -> Separation | None:
    """Compares the patients of two groups by the mean value of their images.

    Args:
        values: float, one an image; NaN is left out.
        positive: bool, whether the image belongs to the group that is expected to have more.
        patients: The patient of each image.

    Returns:
        The AUC, ties counted half; None if a group has fewer than `LEAST_PATIENTS` patients.

    Example:
        >>> values = pd.Series([5, 6, 7, 8, 9, 0, 1, 2, 3, 4])
        >>> separation(values, values > 4, values.index.to_series()).auc
        1.0
    """
    from scipy.stats import rankdata

    known = values.notna()
    means = values[known].groupby([positive[known], patients[known]]).mean()
    above = means.index.get_level_values(0).to_numpy(dtype=bool)
    positives, negatives = int(above.sum()), int((~above).sum())
    if min(positives, negatives) < LEAST_PATIENTS:
        return None
    rank_sum = rankdata(means.to_numpy())[above].sum()
    auc = float((rank_sum - positives * (positives + 1) / 2) / (positives * negatives))
    return Separation(auc, *intervals.newcombe_auc(auc, positives, negatives))
