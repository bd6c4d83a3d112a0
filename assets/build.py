"""Makes what README.md shows: `figures` draws the pictures, `readme` writes the table.

Both read the accepted runs in `assets/results/` and type no number. `make assets`, `make readme`.
"""

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

ASSETS = Path(__file__).resolve().parent
RESULTS = ASSETS / "results"
README = ASSETS.parent / "README.md"
BEGIN, END = "<!-- results: written by `make readme` -->", "<!-- end of results -->"


def figures() -> None:
    """Draws VGG-19, one made radiograph of each kind, and the progression."""
    from xraylib import models, plots, records
    from xraylib.data import synthetic

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

    metrics = records.metrics(RESULTS)
    chosen = metrics[(metrics["metric"] == "AUC") & (metrics["rule"] == "0.5")]
    figure = plots.progression(chosen, metric="AUC")
    figure.savefig(ASSETS / "progression.png", dpi=110)


def readme() -> None:
    """Writes the table of the accepted runs between the two marks in README.md."""
    from xraylib import prose, records

    table = prose.progression(records.table(RESULTS))
    lines = ["| " + " | ".join(table.columns) + " |", "|" + "---|" * len(table.columns)]
    lines += ["| " + " | ".join(map(str, row)) + " |" for row in table.itertuples(index=False)]
    found = records.read(RESULTS)
    lines += ["", *sorted({prose.protocol(record) for record in found})]
    text = README.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, mark, after = rest.partition(END)
    if not mark:
        raise SystemExit(f"README.md must hold the two lines {BEGIN} and {END}")
    table_text = "\n".join(lines)
    README.write_text(f"{before}{BEGIN}\n{table_text}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["figures", "readme"])
    {"figures": figures, "readme": readme}[parser.parse_args().what]()
