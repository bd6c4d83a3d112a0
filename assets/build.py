"""Makes what README.md shows: `figures` draws the pictures, `readme` writes the table.

Both read the accepted runs in `assets/results/` and type no number. `make assets`, `make readme`.
"""

import argparse
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import matplotlib
import pandas as pd

matplotlib.use("Agg")

ASSETS = Path(__file__).resolve().parent
RESULTS = ASSETS / "results"
README = ASSETS.parent / "README.md"
# In the name of a run whose training images were scaled at random.
SCALED = ", random scale"
# Trained to stand beside those, and no part of the progression.
BESIDE = {"01_basic_cnn, 64 px", "02_tuned_cnn, 64 px"}

_Steps: TypeAlias = Mapping[str, Sequence[pd.DataFrame]]


def figures() -> None:
    """Draws VGG-19, one made radiograph of each kind, the progression, and what 01 rests on."""
    from xraylib.data.tree import CLASSES
    from xraylib.evaluation import comparison
    from xraylib.networks import models
    from xraylib.report import plots
    from xraylib.runs import selection
    from xraylib.synthetic import dataset

    network = models.vgg19(400)
    figure = plots.architecture(
        models.blocks(network),
        title=f"VGG-19 at 400 px: 16 convolutions, {network.count_params():,} weights",
    )
    figure.savefig(ASSETS / "vgg19.png", dpi=110)

    kinds = ("normal", "bacteria", "virus")
    pictures = [dataset.radiograph(4, kind=kind, size=320).pixels for kind in kinds]
    figure = plots.gallery(pictures, ["normal", "bacterial pneumonia", "viral pneumonia"])
    figure.savefig(ASSETS / "radiographs.png", dpi=150)

    parted = _parted(selection.comparable(RESULTS).steps)
    for name, steps in zip(("progression", "again"), parted, strict=True):
        reached = comparison.averages(steps)
        figure = plots.steps(reached[reached["metric"] == "AUC"], metric="AUC")
        figure.savefig(ASSETS / f"{name}.png", dpi=110)

    shares = pd.read_csv(RESULTS / "shortcuts" / "shares.csv")
    first = shares[shares["run"] == shares["run"].iloc[0]]
    figure = plots.swaps(first, class_names=CLASSES)
    figure.savefig(ASSETS / "cues.png", dpi=100)


def readme() -> None:
    """Writes the tables of the accepted runs, each between its two marks in README.md."""
    from xraylib.evaluation import comparison
    from xraylib.report import sentences, tables
    from xraylib.runs import selection

    kept = selection.comparable(RESULTS)
    progression, again = _parted(kept.steps)
    text = README.read_text(encoding="utf-8")
    for mark, steps in (("results", progression), ("again", again)):
        lines = _markdown(tables.steps(comparison.averages(steps)))
        runs = [record for name in steps for record in kept.records[name]]
        lines += ["", *sorted({sentences.protocol(record) for record in runs})]
        text = _filled(text, mark, "\n".join(lines))
    chosen = {name: [_chosen(record) for record in kept.records[name]] for name in again}
    reached = comparison.averages(again, splits=["test"], threshold=chosen)
    lines = _markdown(tables.steps(reached[reached["metric"] != "AUC"]))
    text = _filled(text, "again, chosen threshold", "\n".join(lines))
    compared = {
        "comparison": comparison.differences(progression),
        "again, compared": comparison.differences(again, _of_again(again)),
    }
    for mark, table in compared.items():
        lines = _markdown(tables.pairs(table, ("AUC", "balanced accuracy")))
        text = _filled(text, mark, "\n".join(lines))
    both = pd.concat(compared, names=["table"]).reset_index(level=0)
    both.to_csv(RESULTS / "comparison.csv", index=False, float_format="%.4g")
    effects = pd.read_csv(RESULTS / "shortcuts" / "cues.csv", keep_default_na=False)
    shares = pd.read_csv(RESULTS / "shortcuts" / "shares.csv").sort_values(
        "run", key=lambda names: names.map(_place), kind="stable"
    )
    text = _filled(text, "cues", "\n".join(_markdown(tables.resting(shares, effects))))
    protocols = tables.protocols(pd.read_csv(RESULTS / "protocols.csv"))
    text = _filled(text, "protocols", "\n".join(_markdown(protocols)))
    for name in ("synthetic", "real"):
        found = pd.read_csv(RESULTS / "shortcuts" / f"{name}.csv")
        if name == "synthetic":  # made countermeasure by countermeasure, read trap by trap
            place = {trap: number for number, trap in enumerate(found["traps"].unique())}
            found = found.sort_values("traps", key=lambda traps: traps.map(place), kind="stable")
        tried = tables.countermeasures(found)
        text = _filled(text, f"countermeasures, {name}", "\n".join(_markdown(tried)))
    README.write_text(text, encoding="utf-8")


def _parted(steps: _Steps) -> tuple[_Steps, _Steps]:
    """The progression, and the steps with the shape taken away beside the same without."""
    again = {name for pair in _of_again(steps) for name in pair}
    progression = {name for name in steps if SCALED not in name} - BESIDE
    return tuple(
        {name: runs for name, runs in steps.items() if name in chosen}
        for chosen in (progression, again)
    )


def _of_again(steps: Iterable[str]) -> list[tuple[str, str]]:
    """Each network with the shape taken away against without; then, with it, against the first."""
    scaled = [name for name in steps if SCALED in name]
    return [(name.split(SCALED)[0], name) for name in scaled] + [
        (scaled[0], name) for name in scaled[1:]
    ]


def _chosen(record: dict[str, Any]) -> float:
    """The threshold that a run chose on its validation."""
    from xraylib.evaluation.thresholds import Rule

    return next(
        row["threshold"] for row in record["metrics"] if row["rule"] == Rule.BEST_ON_VALIDATION
    )


def _place(run: str) -> list[list[tuple[str, float]]]:
    """What to sort runs by: all seeds of a step, then those of the next."""
    from xraylib.runs import selection

    return [selection.in_order(part) for part in run.split(", seed ")]


def _markdown(table: pd.DataFrame) -> list[str]:
    lines = ["| " + " | ".join(table.columns) + " |", "|" + "---|" * len(table.columns)]
    return lines + ["| " + " | ".join(map(str, r)) + " |" for r in table.itertuples(index=False)]


def _filled(text: str, name: str, lines: str) -> str:
    """The text with these lines between the marks of this name."""
    begin, end = f"<!-- {name}: written by `make readme` -->", f"<!-- end of {name} -->"
    before, _, rest = text.partition(begin)
    _, mark, after = rest.partition(end)
    if not mark:
        raise SystemExit(f"README.md must hold the two lines {begin} and {end}")
    return f"{before}{begin}\n{lines}\n{end}{after}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["figures", "readme"])
    {"figures": figures, "readme": readme}[parser.parse_args().what]()
