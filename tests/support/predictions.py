"""Tables of predictions."""

import numpy as np
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


def simulated(count, *, seed, images=1, gain=0.0, effect=1.0):
    """Labels, two scores that correlate, and patients, of whom each has some images."""
    rng = np.random.default_rng(seed)
    patients = np.repeat(np.arange(count), images)
    labels = patients % 2
    common = labels + rng.normal(size=len(patients))
    scores = [
        common + shift * labels + rng.normal(size=len(patients)) + effect * own[patients]
        for shift, own in zip((0, gain), rng.normal(size=(2, count)), strict=True)
    ]
    return labels, *scores, patients
