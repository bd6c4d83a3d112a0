"""Folders of finished runs, written without a training."""

import json

import numpy as np
import pandas as pd
from support.pages import NASTY

from xraylib.evaluation import thresholds

CUES = ("shape", "exposure")


def predictions(strength, *, images=60, seed=0):
    """Scores that tell the classes the better the stronger, of two images a patient."""
    rng = np.random.default_rng(seed)
    parts = []
    for split in ("validation", "test"):
        labels = np.arange(images) // 2 % 2
        kinds = np.where(np.arange(images) % 8 < 4, "virus", "bacteria")
        subtypes = np.where(labels, kinds, "")
        folder = "test" if split == "test" else "train"
        names = [
            f"{folder}/PNEUMONIA/person{at // 2}_{kind}_{at}.jpeg"
            if label
            else f"{folder}/NORMAL/IM-{at // 2:04}-{at:04}.jpeg"
            for at, (label, kind) in enumerate(zip(labels, kinds, strict=True))
        ]
        score = np.clip(0.5 + strength * (labels - 0.5) + rng.normal(0, 0.2, images), 0, 1)
        part = pd.DataFrame({"path": names, "split": split, "label": labels, "score": score})
        patients = [f"{split} {at // 2}" for at in range(images)]
        parts.append(part.assign(patient=patients, subtype=subtypes))
    return pd.concat(parts, ignore_index=True)


def run(folder, step, scored, *, name=None, network="tiny", seed=0, source="synthetic", **more):
    """One finished run, written as `records.Run.finish` does."""
    own = folder / (name or f"{step}-{seed:08}")
    own.mkdir(parents=True)
    scored.to_csv(own / "predictions.csv", index=False)
    parameters = {"SOURCE": source, "SEED": seed, "RUN_DIR": "runs"}
    record = {
        "step": step,
        "parameters": parameters | ({"IMAGE_SIZE": 64} if network else {}),
        "seed": seed,
        "fingerprint": "0123456789abcdef",
        "network": network,
        "weight_count": 3,
        "precision": "float32",
        "epochs": 4 if network else None,
        "best_epoch": 2 if network else None,
        "finished": f"2026-01-0{seed + 1}T00:00:00+00:00",
        "device": "a processor",
        "versions": {"python": "3.11.7", "xraylib": "0.1.0"},
        "counts": [
            {"split": split, "class": "NORMAL", "images": 1234}
            for split in ("train", "validation", "test")
        ],
    }
    if "metrics" not in more:
        metrics = thresholds.summary(scored, resamples=50)
        record["metrics"] = json.loads(metrics.to_json(orient="records", double_precision=6))
    (own / "record.json").write_text(json.dumps(record | more), encoding="utf-8")
    return own


def swap_effects(*values):
    """The rows of a record: the same value for each cue's effect, interval and classes."""
    rows = [
        {
            "cue": cue,
            "value": value,
            "low": value,
            "high": value,
            "class 0": value,
            "class 1": value,
        }
        for cue, value in zip(CUES, values, strict=True)
    ]
    return pd.DataFrame(rows).to_dict("records")


def plant(folder):
    """Three steps, one with two seeds, one run that is not finished, and one that is broken."""
    run(folder, "00_file_metadata", predictions(0.1), network=None)
    run(folder, "01_cnn", predictions(0.3, seed=1), swap_effects=swap_effects(0.75, 0.125))
    run(folder, "01_cnn", predictions(0.35, seed=2), seed=1)
    run(folder, "02_cnn", predictions(0.6, seed=3), name=f"02_cnn-{NASTY}".replace("/", ""))
    (folder / "04_unfinished" / "checkpoint").mkdir(parents=True)
    (folder / "05_broken").mkdir()
    (folder / "05_broken" / "record.json").write_text("{", encoding="utf-8")
    return folder
