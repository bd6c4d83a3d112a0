"""Bring the records of earlier versions up to date."""

import copy
from typing import Any, Final

from xraylib.evaluation.thresholds import Rule

METRIC_COLUMNS: Final = ("split", "rule", "threshold", "metric", "value", "low", "high")
_REQUIRED: Final = {
    "step": str,
    "parameters": dict,
    "fingerprint": str,
    "finished": str,
    "metrics": list,
}
# What records of earlier versions call it, and what it is called now.
_RENAMED: Final = {
    "weights": "weight_count",
    "interventions": "perturbation_effects",
    "shares": "swap_effects",
}


def upgrade(stored: Any) -> dict[str, Any]:
    """Bring the content of a `record.json` that any version wrote up to date.

    Args:
        stored: What the file holds; it is not changed.

    Returns:
        The fields of `records.Record` but for the folder, as JSON values, with today's names. A
        network whose record does not say how its images were prepared was trained by a version
        that stretched them to `IMAGE_SIZE`, which becomes its preparation.

    Raises:
        ValueError: It is no record, or lacks what cannot be guessed.

    Example:
        >>> old = {"step": "00", "parameters": {"SEED": 3}, "fingerprint": "", "finished": ""}
        >>> upgrade(old | {"metrics": [], "weights": 12})["weight_count"]
        12
    """
    if not isinstance(stored, dict):
        raise ValueError(f"a record is a JSON object, not {type(stored).__name__}")
    if missing := sorted(set(_REQUIRED) - set(stored)):
        raise ValueError(f"it has no {', '.join(missing)}")
    for name, kind in _REQUIRED.items():
        if not isinstance(stored[name], kind):
            raise ValueError(
                f"its {name} must be {kind.__name__}. Received: {str(stored[name])[:40]!r}"
            )
    stored = copy.deepcopy(stored)
    upgraded = {_RENAMED.get(str(name), str(name)): stored[name] for name in stored}
    for row in upgraded.get("perturbation_effects") or ():
        if "intervention" in row:
            row["perturbation"] = row.pop("intervention")
    parameters = upgraded["parameters"]
    upgraded.setdefault("seed", parameters.get("SEED"))
    if upgraded.get("network") and not upgraded.get("preparation"):
        if "IMAGE_SIZE" not in parameters:
            raise ValueError("it has neither a preparation nor the parameter IMAGE_SIZE")
        upgraded["preparation"] = {"image_size": parameters["IMAGE_SIZE"]}
    for row in upgraded["metrics"]:
        if lacking := [name for name in METRIC_COLUMNS if name not in row]:
            raise ValueError(f"its metrics have no {', '.join(lacking)}")
        Rule(row["rule"])  # an error names a rule that this version does not know
    return upgraded
