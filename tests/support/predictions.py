"""Tables of predictions."""

import pandas as pd


def predicted(labels, scores, patients=None, split="test"):
    """Predictions of one split, two images to a patient unless told otherwise."""
    places = range(len(labels))
    if patients is None:
        patients = [f"{split}{place // 2}" for place in places]
    return pd.DataFrame(
        {
            "path": [f"{split}/{place}.jpeg" for place in places],
            "patient": list(patients),
            "split": split,
            "label": labels,
            "score": scores,
        }
    )
