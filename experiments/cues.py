"""Measure what the networks of finished runs read: perturbations and swaps on their validation.

`python experiments/cues.py RUNS --data FOLDER` writes cues.csv (`perturbations.effects`) and
shares.csv (`swaps.effects`) into assets/results/shortcuts. RUNS holds records and models as the
notebooks leave them, FOLDER the images they were trained on; `--shapes` names a CSV of the columns
file, width and height, where the images themselves no longer have their shape. Every network is
written as it comes; a second start skips those that are there.
"""

import argparse
import io
from pathlib import Path

import pandas as pd
from countermeasures import RESULTS, profiles_of

from xraylib.data import index, sources, splits
from xraylib.explain import perturbations, swaps
from xraylib.runs import records


def measure(runs: Path, data: Path, *, aspects: pd.Series | None, images: int) -> None:
    """Add the effects of perturbations and swaps on all networks of `runs` to the two files."""
    of_perturbations, of_swaps = (RESULTS / name for name in ("cues.csv", "shares.csv"))
    networks = 0
    for record in records.read(runs).records:
        model = record.load_network()
        preparation = record.preparation
        if model is None or preparation is None:
            continue
        networks += 1
        name, seed = record.folder.name, record.seed or 0
        if of_swaps.exists() and name in set(pd.read_csv(of_swaps)["run"]):
            continue
        cut = 0 if record.step == "07_classifier" else seed  # it has one validation for all seeds
        table = splits.hold_out_validation(index.from_tree(sources.locate(data)), seed=cut)
        train, validation = (table[table["split"] == split] for split in ("train", "validation"))
        expected = record.predictions().query("split == 'validation'")["path"]
        if {Path(path).name for path in expected} != {path.name for path in validation["path"]}:
            raise SystemExit(f"{data} does not give the validation images of {record.folder}")
        profiles = profiles_of(train, aspects, seed=seed)
        perturbed = perturbations.rescore(model, validation, preparation, images=images, seed=seed)
        swapped = swaps.rescore(model, validation, preparation, profiles, images=images, seed=seed)
        effects = swaps.effects(swapped, seed=seed)
        _add(of_perturbations, name, perturbed, perturbations.effects(perturbed, seed=seed))
        # Last, for a run in this file is complete.
        _add(of_swaps, name, swapped, effects)
        print(name, effects.set_index("cue")["value"].round(2).to_dict(), flush=True)
    if not networks:
        raise SystemExit(f"no trained networks (model.keras) in {runs}")


def _add(path: Path, name: str, scored: pd.DataFrame, rows: pd.DataFrame) -> None:
    rows.insert(0, "run", name)
    rows.insert(1, "images", scored["path"].nunique())
    if path.exists():
        # As text, so that the rows of other runs stay as they were.
        stored = pd.read_csv(path, dtype=str, keep_default_na=False)
        text = io.StringIO(rows.to_csv(index=False, float_format="%.4g"))
        rows = pd.read_csv(text, dtype=str, keep_default_na=False)
        rows = pd.concat([stored[stored["run"] != name], rows])
    rows.to_csv(path, index=False, float_format="%.4g")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--shapes", type=Path)
    parser.add_argument("--images", type=int, default=0, help="of validation, 0 for all")
    arguments = parser.parse_args()
    aspects = None
    if arguments.shapes:
        shapes = pd.read_csv(arguments.shapes).set_index("file")
        aspects = shapes["width"] / shapes["height"]
    RESULTS.mkdir(parents=True, exist_ok=True)
    measure(arguments.runs, arguments.data, aspects=aspects, images=arguments.images)
