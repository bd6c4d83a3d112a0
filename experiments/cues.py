"""Measure what the networks of finished runs read: perturbations and swaps on their validation.

`python experiments/cues.py RUNS --data FOLDER` writes cues.csv (`perturbations.effects`) and
shares.csv (`swaps.effects`) into assets/results/shortcuts. RUNS holds records and models as the
notebooks leave them, FOLDER the images they were trained on; `--shapes` names a CSV of the columns
file, width and height, where the images themselves no longer have their shape. Every network is
written as it comes; started again, those that are there are not asked again.
"""

import argparse
import io
from pathlib import Path

import pandas as pd
from countermeasures import RESULTS, profiles_of

from xraylib.data import index, sources, splits
from xraylib.explain import perturbations, swaps
from xraylib.runs import records


def ask(runs: Path, data: Path, *, aspects: pd.Series | None, images: int) -> None:
    """Adds the effects and the shares of all runs that left a network to the two files."""
    effects, shares = (RESULTS / name for name in ("cues.csv", "shares.csv"))
    networks = 0
    for record in records.read(runs).records:
        model = record.load_network()
        if model is None:
            continue
        networks += 1
        name, seed, preparation = record.folder.name, record.seed or 0, record.preparation
        if shares.exists() and name in set(pd.read_csv(shares)["run"]):
            continue
        table = splits.hold_out_validation(index.from_tree(sources.locate(data)), seed=seed)
        train, validation = (table[table["split"] == split] for split in ("train", "validation"))
        scored_then = record.predictions().query("split == 'validation'")["path"]
        if {Path(path).name for path in scored_then} != {path.name for path in validation["path"]}:
            raise SystemExit(f"{data} does not give the validation images of {record.folder}")
        profiles = profiles_of(train, aspects, seed=seed)
        changed = perturbations.rescore(model, validation, preparation, images=images, seed=seed)
        given = swaps.rescore(model, validation, preparation, profiles, images=images, seed=seed)
        share = swaps.effects(given, seed=seed)
        # The shares last, for they tell what is done.
        _add(effects, name, changed, perturbations.effects(changed, seed=seed))
        _add(shares, name, changed, share)
        print(name, share.set_index("cue")["value"].round(2).to_dict(), flush=True)
    if not networks:
        raise SystemExit(f"no trained networks (model.keras) in {runs}")


def _add(path: Path, name: str, scored: pd.DataFrame, rows: pd.DataFrame) -> None:
    rows.insert(0, "run", name)
    rows.insert(1, "images", scored["path"].nunique())
    if path.exists():
        # As text, so that the rows of other runs stay as they were.
        stored = pd.read_csv(path, dtype=str, keep_default_na=False)
        rows = pd.read_csv(
            io.StringIO(rows.to_csv(index=False, float_format="%.4g")),
            dtype=str,
            keep_default_na=False,
        )
        rows = pd.concat([stored[stored["run"] != name], rows])
    rows.to_csv(path, index=False, float_format="%.4g")


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
    RESULTS.mkdir(parents=True, exist_ok=True)
    ask(asked.runs, asked.data, aspects=known, images=asked.images)
