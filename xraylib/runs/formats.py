"""Bring the records of earlier versions up to date."""

import copy
from typing import Any, Final

from xraylib.evaluation.thresholds import Rule

METRIC_COLUMNS: Final = ("split", "rule", "threshold", "metric", "value", "low", "high")
_REQUIRED: Final = ("step", "parameters", "fingerprint", "finished", "metrics")
_TYPES: Final = {
    **dict.fromkeys(("step", "fingerprint", "finished", "network", "precision", "device"), str),
    "tree": str,
    **dict.fromkeys(("seed", "weight_count", "epochs", "best_epoch", "unreadable"), int),
    **dict.fromkeys(("metrics", "counts", "perturbation_effects", "swap_effects"), list),
    **dict.fromkeys(("classes", "passed_over"), list),
    **dict.fromkeys(("parameters", "versions", "preparation", "patients", "environment"), dict),
}
# What records of earlier versions call it, and what it is called now.
_RENAMED: Final = {
    "weights": "weight_count",
    "interventions": "perturbation_effects",
    "shares": "swap_effects",
}


def upgrade(stored: Any) -> dict[str, Any]:
    """Check the content of a `record.json` of any version, and bring a copy of it up to date.

    Returns:
        The fields of `records.Record` but for the folder, as JSON values, with today's names. A
        network whose record does not say how its images were prepared was trained by a version
        that stretched them to `IMAGE_SIZE`, which becomes its preparation.

    Raises:
        ValueError: It is no record, or lacks what cannot be known.

    Example:
        >>> old = {"step": "00", "parameters": {"SEED": 3}, "fingerprint": "", "finished": ""}
        >>> upgrade(old | {"metrics": [], "weights": 12})["weight_count"]
        12
    """
    if not isinstance(stored, dict):
        raise ValueError(f"a record is a JSON object, not {type(stored).__name__}")
    if missing := sorted(set(_REQUIRED) - set(stored)):
        raise ValueError(f"it has no {', '.join(missing)}")
    stored = copy.deepcopy(stored)
    upgraded = {_RENAMED.get(str(name), str(name)): stored[name] for name in stored}
    if isinstance(stored["parameters"], dict):
        upgraded.setdefault("seed", stored["parameters"].get("SEED"))
    for name, kind in _TYPES.items():
        value = upgraded.get(name)
        if not isinstance(value, kind) and (name in _REQUIRED or value is not None):
            raise ValueError(f"its {name} must be {kind.__name__}. Received: {str(value)[:40]!r}")
    for row in upgraded.get("perturbation_effects") or ():
        if "intervention" in row:
            row["perturbation"] = row.pop("intervention")
    parameters = upgraded["parameters"]
    if upgraded.get("network") and not upgraded.get("preparation"):
        if "IMAGE_SIZE" not in parameters:
            raise ValueError("it has neither a preparation nor the parameter IMAGE_SIZE")
        upgraded["preparation"] = {"image_size": parameters["IMAGE_SIZE"]}
    for row in upgraded["metrics"]:
        if lacking := [name for name in METRIC_COLUMNS if name not in row]:
            raise ValueError(f"its metrics have no {', '.join(lacking)}")
        Rule(row["rule"])  # an error names a rule that this version does not know
    return upgraded
