"""What the networks of finished runs rest on: changes and exchanges on their own validation.

`python experiments/cues.py RUNS --data FOLDER` writes cues.csv (`interventions.effects`) and
shares.csv (`exchange.shares`) into assets/results/shortcuts. RUNS holds records and models as the
notebooks leave them, FOLDER the images they were trained on; `--shapes` names a CSV of the columns
file, width and height, where the images themselves no longer have their shape.
"""

import argparse
from pathlib import Path

import keras
import pandas as pd
from countermeasures import RESULTS, looks_of

from xraylib import exchange, interventions, records
from xraylib.data import index, sources


def asked_again(
    runs: Path, data: Path, *, aspects: pd.Series | None, images: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The effects and the shares of all runs that left a network, in long form."""
    effects, shares = [], []
    for record in records.read(runs):
        path = record["folder"] / "model.keras"
        if not path.exists():
            continue
        name, seed = records.name(record), record["seed"]
        table = index.hold_out_validation(index.from_tree(sources.locate(data)), seed=seed)
        train, validation = (table[table["split"] == split] for split in ("train", "validation"))
        scored_then = records.predictions(record).query("split == 'validation'")["path"]
        if {Path(path).name for path in scored_then} != {path.name for path in validation["path"]}:
            raise SystemExit(f"{data} does not give the validation images of {record['folder']}")
        model = keras.saving.load_model(path, compile=False)
        looks = looks_of(train, aspects, seed=seed)
        changed = interventions.rescore(model, validation, images=images, seed=seed)
        given = exchange.rescore(model, validation, looks, images=images, seed=seed)
        for parts, part in (
            (effects, interventions.effects(changed, seed=seed)),
            (shares, exchange.shares(given, seed=seed)),
        ):
            part.insert(0, "run", name)
            part.insert(1, "images", changed["path"].nunique())
            parts.append(part)
        print(name, shares[-1].set_index("cue")["value"].round(2).to_dict(), flush=True)
    if not shares:
        raise SystemExit(f"no trained networks (model.keras) in {runs}")
    return pd.concat(effects, ignore_index=True), pd.concat(shares, ignore_index=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--shapes", type=Path)
    parser.add_argument("--images", type=int, default=0, help="of validation, 0 for all")
    asked = parser.parse_args()
    known = None
    if asked.shapes:
        listed = pd.read_csv(asked.shapes).set_index("file")
        known = listed["width"] / listed["height"]
    found = asked_again(asked.runs, asked.data, aspects=known, images=asked.images)
    RESULTS.mkdir(parents=True, exist_ok=True)
    for each, table in zip(("cues", "shares"), found, strict=True):
        table.to_csv(RESULTS / f"{each}.csv", index=False, float_format="%.4g")
