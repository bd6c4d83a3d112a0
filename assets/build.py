"""Makes what README.md shows: `figures` draws the pictures, `readme` writes the table.

Both read the accepted runs in `assets/results/` and type no number. `make assets`, `make readme`.
"""

import argparse
from pathlib import Path

import matplotlib
import pandas as pd

matplotlib.use("Agg")

ASSETS = Path(__file__).resolve().parent
RESULTS = ASSETS / "results"
README = ASSETS.parent / "README.md"


def figures() -> None:
    """Draws VGG-19, one made radiograph of each kind, the progression, and what 01 rests on."""
    from xraylib import comparison, models, plots, records
    from xraylib.data import sources, synthetic

    network = models.vgg19(400)
    figure = plots.architecture(
        models.blocks(network),
        title=f"VGG-19 at 400 px: 16 convolutions, {network.count_params():,} weights",
    )
    figure.savefig(ASSETS / "vgg19.png", dpi=110)

    kinds = ("normal", "bacteria", "virus")
    pictures = [synthetic.radiograph(4, kind=kind, size=320).pixels for kind in kinds]
    figure = plots.gallery(pictures, ["normal", "bacterial pneumonia", "viral pneumonia"])
    figure.savefig(ASSETS / "radiographs.png", dpi=150)

    reached = comparison.together(records.comparable(RESULTS).steps)
    figure = plots.progression(reached[reached["metric"] == "AUC"], metric="AUC")
    figure.savefig(ASSETS / "progression.png", dpi=110)

    shares = pd.read_csv(RESULTS / "shortcuts" / "shares.csv")
    first = shares[shares["run"] == shares["run"].iloc[0]]
    figure = plots.shares(first, class_names=sources.CLASSES)
    figure.savefig(ASSETS / "cues.png", dpi=100)


def readme() -> None:
    """Writes the table of the accepted runs between the two marks in README.md."""
    from xraylib import comparison, prose, records

    kept = records.comparable(RESULTS)
    scaled = {name for name in kept.steps if ", random scale" in name}
    # What was trained again, with that and without, has a table of its own.
    again = scaled | {name for name in kept.steps if any(s.startswith(f"{name},") for s in scaled)}
    # VGG-19's longest training stands in both.
    progression = set(kept.steps) - again | {"03_vgg19, 64 px"}
    text, tables = README.read_text(encoding="utf-8"), []
    for mark, chosen in (("results", progression), ("again", again)):
        steps = {name: runs for name, runs in kept.steps.items() if name in chosen}
        tables.append(comparison.neighbours(steps))
        lines = _markdown(prose.steps(comparison.together(steps)))
        runs = [record for name in steps for record in kept.records[name]]
        lines += ["", *sorted({prose.protocol(record) for record in runs})]
        if mark == "again":
            lines += ["", *_markdown(prose.neighbours(tables[-1], ("AUC", "balanced accuracy")))]
        text = _filled(text, mark, "\n".join(lines))
    lines = _markdown(prose.neighbours(tables[0], ("AUC", "balanced accuracy")))
    text = _filled(text, "comparison", "\n".join(lines))
    compared = pd.concat(tables, ignore_index=True)
    compared.to_csv(RESULTS / "comparison.csv", index=False, float_format="%.4g")
    effects = pd.read_csv(RESULTS / "shortcuts" / "cues.csv", keep_default_na=False)
    shares = pd.read_csv(RESULTS / "shortcuts" / "shares.csv").sort_values("run", kind="stable")
    text = _filled(text, "cues", "\n".join(_markdown(prose.resting(shares, effects))))
    protocols = prose.protocols(pd.read_csv(RESULTS / "protocols.csv"))
    text = _filled(text, "protocols", "\n".join(_markdown(protocols)))
    for name in ("synthetic", "real"):
        found = pd.read_csv(RESULTS / "shortcuts" / f"{name}.csv")
        if name == "synthetic":  # made countermeasure by countermeasure, read trap by trap
            place = {trap: number for number, trap in enumerate(found["traps"].unique())}
            found = found.sort_values("traps", key=lambda traps: traps.map(place), kind="stable")
        tried = prose.countermeasures(found)
        text = _filled(text, f"countermeasures, {name}", "\n".join(_markdown(tried)))
    README.write_text(text, encoding="utf-8")


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
