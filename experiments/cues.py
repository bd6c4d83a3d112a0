"""Which cues the networks of finished runs lean on: every intervention on their own validation.

`python experiments/cues.py RUNS --data FOLDER` writes assets/results/shortcuts/cues.csv.
RUNS holds records and models as the notebooks leave them, FOLDER the images they were trained on.
"""

import argparse
from pathlib import Path

import keras
import pandas as pd

from xraylib import interventions, records
from xraylib.data import index, sources

RESULTS = Path(__file__).resolve().parents[1] / "assets" / "results" / "shortcuts"


def lean(runs: Path, data: Path, *, images: int) -> pd.DataFrame:
    """All effects of all runs that left a network, in long form."""
    parts = []
    for record in records.read(runs):
        path = record["folder"] / "model.keras"
        if not path.exists():
            continue
        table = index.from_tree(sources.locate(data))
        table = index.hold_out_validation(table, seed=record["seed"])
        validation = table[table["split"] == "validation"]
        scored_then = records.predictions(record).query("split == 'validation'")["path"]
        if {Path(path).name for path in scored_then} != {path.name for path in validation["path"]}:
            raise SystemExit(f"{data} does not give the validation images of {record['folder']}")
        model = keras.saving.load_model(path, compile=False)
        scored = interventions.rescore(model, validation, images=images, seed=record["seed"])
        part = interventions.effects(scored, seed=record["seed"])
        part.insert(0, "run", records.name(record))
        part.insert(1, "images", scored["path"].nunique())
        parts.append(part)
        print(
            records.name(record), interventions.cues(part)["value"].round(2).to_dict(), flush=True
        )
    if not parts:
        raise SystemExit(f"no trained networks (model.keras) in {runs}")
    return pd.concat(parts, ignore_index=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--images", type=int, default=0, help="of validation, 0 for all")
    asked = parser.parse_args()
    found = lean(asked.runs, asked.data, images=asked.images)
    RESULTS.mkdir(parents=True, exist_ok=True)
    found.to_csv(RESULTS / "cues.csv", index=False, float_format="%.4g")
