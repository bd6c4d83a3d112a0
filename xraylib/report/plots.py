"""Tables and arrays -> matplotlib figures, readable in grey and by the colour-blind.

The two colours are from Okabe and Ito's palette (2008) and differ in lightness; where lines
cross, their style differs as well.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

NORMAL_COLOUR: Final = "#56B4E9"
PNEUMONIA_COLOUR: Final = "#D55E00"
CLASS_COLOURS: Final = (NORMAL_COLOUR, PNEUMONIA_COLOUR)


def gallery(pixels: Sequence[np.ndarray], titles: Sequence[str], *, columns: int = 6) -> Figure:
    """Radiographs side by side, each in its own shape.

    Args:
        pixels: Grey uint8 in [0, 255], each (height, width) or (height, width, 1).
        titles: One for each.
        columns: Pictures a row.

    Returns:
        The figure.

    Raises:
        ValueError: There are none, or not as many titles as pictures.
    """
    if not len(pixels) or len(pixels) != len(titles):
        raise ValueError(f"{len(pixels)} pictures and {len(titles)} titles: give one or more each")
    columns = min(columns, len(pixels))
    rows = -(-len(pixels) // columns)
    width = 2.1
    height = width * max(picture.shape[0] / picture.shape[1] for picture in pixels) + 0.35
    figure, axes = plt.subplots(
        rows,
        columns,
        figsize=(width * columns, height * rows),
        squeeze=False,
        layout="constrained",
    )
    for each in axes.flat:
        each.axis("off")
    for each, picture, title in zip(axes.flat, pixels, titles, strict=False):
        each.imshow(np.squeeze(picture), cmap="gray", vmin=0, vmax=255)
        each.set_title(title, fontsize=8)
    return figure


_PROPERTIES: Final = {
    "aspect": "width / height",
    "megapixels": "megapixels",
    "bytes": "bytes",
    "bytes_per_pixel": "bytes per pixel",
    "quality": "estimated JPEG quality",
    "mean": "mean grey, 0 to 255",
    "spread": "standard deviation of the greys",
    "black_share": "share of black pixels",
}


def properties(
    facts: pd.DataFrame,
    columns: Sequence[str] = ("aspect", "megapixels", "bytes_per_pixel", "quality"),
    *,
    class_names: Sequence[str],
) -> Figure:
    """What the files themselves tell of their class, without a look at the anatomy.

    Args:
        facts: One row an image, with split, label and the columns, NaN where there is no value.
        columns: Of numbers, one panel each.
        class_names: Of the labels 0 and 1.

    Returns:
        The figure: one line a split and class, with the median, the middle half of the images as
        a box, and at most 300 of them, drawn at random, as dots; triangles are label 1.

    Raises:
        ValueError: There are no images or no columns.
    """
    if not len(facts) or not len(columns):
        raise ValueError(
            f"{len(facts)} images and {len(columns)} columns: give at least one of each"
        )
    rng = np.random.default_rng(0)
    groups = [
        (f"{split} {name}", label, rows)
        for split in facts["split"].unique()
        for label, name in enumerate(class_names)
        if len(rows := facts[(facts["split"] == split) & (facts["label"] == label)])
    ]
    across = min(2, len(columns))
    down = -(-len(columns) // across)
    figure, axes = plt.subplots(
        down,
        across,
        figsize=(1.3 + 3.9 * across, 0.4 + down * (0.7 + 0.36 * len(groups))),
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    for ax in axes.flat[len(columns) :]:
        ax.axis("off")
    for ax, column in zip(axes.flat, columns, strict=False):
        ax.use_sticky_edges = False  # a box may end where the values do, and is still to be seen
        for at, (_, label, rows) in enumerate(groups):
            values = rows[column].dropna().to_numpy(dtype=float)
            if not len(values):
                continue
            low, median, high = np.percentile(values, [25, 50, 75])
            dots = rng.choice(values, min(len(values), 300), replace=False)
            ax.scatter(
                dots,
                at + rng.uniform(-0.3, 0.3, len(dots)),
                s=9,
                marker="o^"[label],
                color=CLASS_COLOURS[label],
                alpha=0.45,
                linewidths=0,
            )
            ax.barh(
                at,
                high - low,
                left=low,
                height=0.66,
                facecolor="none",
                edgecolor="0.25",
                hatch=["", "///"][label],
                label="middle half",
            )
            ax.plot([median, median], [at - 0.4, at + 0.4], color="black", lw=2.5, label="median")
        if not ax.lines:
            ax.text(0.5, 0.5, "no values", transform=ax.transAxes, ha="center", va="center")
            ax.set_xticks([])
        ax.set_xlabel(_PROPERTIES.get(column, column.replace("_", " ")))
    axes[0, 0].set_yticks(range(len(groups)), [f"{n} ({len(rows):,})" for n, _, rows in groups])
    axes[0, 0].set_ylim(len(groups) - 0.4, -0.6)
    shown = {
        name: handle
        for ax in axes.flat
        for handle, name in zip(*ax.get_legend_handles_labels(), strict=True)
    }
    figure.legend(shown.values(), shown.keys(), loc="outside upper right", ncols=2, fontsize=8)
    return figure


def history(table: pd.DataFrame) -> Figure:
    """Loss and AUC over the epochs, train solid and validation dashed, the best epoch marked.

    Args:
        table: As `training.fit` returns it.

    Returns:
        The figure.
    """
    # Here, for Keras takes seconds to load, and the other pictures do not need it.
    from xraylib.networks import training

    figure, axes = plt.subplots(1, 2, figsize=(9, 3), layout="constrained")
    for ax, metric in zip(axes, ("loss", "auc"), strict=True):
        for split, style, colour in (("train", "-", "0.45"), ("validation", "--", "#0072B2")):
            rows = table[table["split"] == split]
            ax.plot(rows["epoch"], rows[metric], style, color=colour, marker=".", label=split)
        ax.set(xlabel="epoch", ylabel="AUC" if metric == "auc" else metric)
        ax.xaxis.get_major_locator().set_params(integer=True)
    best = table[(table["split"] == "validation") & (table["epoch"] == training.best_epoch(table))]
    axes[1].plot(best["epoch"], best["auc"], "o", mfc="none", ms=11, color="black", label="best")
    axes[1].legend()
    return figure


def scores(predictions: pd.DataFrame, *, class_names: Sequence[str], threshold: float) -> Figure:
    """How the scores of each class are spread, validation beside test.

    Args:
        predictions: One row an image, with the columns split, label and score in [0, 1].
        class_names: Of the labels 0 and 1.
        threshold: Drawn as a line, in [0, 1].

    Returns:
        The figure.
    """
    figure, axes = plt.subplots(1, 2, figsize=(9, 2.8), sharex=True, layout="constrained")
    bins = np.linspace(0, 1, 26)
    for ax, split in zip(axes, ("validation", "test"), strict=True):
        for label, name in enumerate(class_names):
            rows = predictions[(predictions["split"] == split) & (predictions["label"] == label)]
            ax.hist(
                rows["score"],
                bins=bins,
                density=True,
                histtype="stepfilled" if label == 0 else "step",
                linewidth=2,
                alpha=0.8 if label == 0 else 1,
                color=CLASS_COLOURS[label],
                label=f"{name} ({len(rows)})",
            )
        ax.axvline(threshold, color="black", linestyle=":", label=f"threshold {threshold:.2f}")
        ax.set(title=split, xlabel="score", ylabel="density")
        ax.legend(fontsize=8)
    return figure


def cues(effects: pd.DataFrame, *, class_names: Sequence[str]) -> Figure:
    """What moves a network's logit that says nothing of the lungs, the cue moving it most on top.

    Args:
        effects: As `perturbations.effects` returns it.
        class_names: Of the labels 0 and 1.

    Returns:
        The figure: one line an intervention, one mark a class, with 95 % intervals.
    """
    moved = effects[effects["measure"].str.startswith("logit")]
    strength = moved["value"].abs().groupby(moved["cue"]).mean()
    lines = moved.drop_duplicates("intervention")[["cue", "intervention"]]
    lines = lines.sort_values("cue", key=lambda names: names.map(strength.rank(ascending=False)))
    height = 1.0 + 0.27 * len(lines) + 0.15 * len(strength)
    figure, ax = plt.subplots(figsize=(8, height), layout="constrained")
    cue_of = lines.set_index("intervention")["cue"]
    # A gap before each new cue.
    places = np.arange(len(lines)) + 0.5 * (lines["cue"].ne(lines["cue"].shift()).cumsum() - 1)
    at = dict(zip(lines["intervention"], places, strict=True))
    for label, (name, marker, shift) in enumerate(
        zip(class_names, "os", (-0.15, 0.15), strict=True)
    ):
        rows = moved[moved["measure"] == f"logit, class {label}"]
        ax.errorbar(
            rows["value"],
            [at[each] + shift for each in rows["intervention"]],
            xerr=[
                np.clip(rows["value"] - rows["low"], 0, None),
                np.clip(rows["high"] - rows["value"], 0, None),
            ],
            fmt=marker,
            markersize=5,
            color=CLASS_COLOURS[label],
            mfc="white" if label == 0 else CLASS_COLOURS[label],
            capsize=2,
            label=name,
        )
    ax.axvline(0, color="0.6", linewidth=0.8)
    ax.set_yticks(list(at.values()), [f"{cue_of[each]}: {each}" for each in at])
    ax.invert_yaxis()
    ax.set_xlabel(
        "mean change of the logit of the same image, in standard deviations of all logits"
    )
    figure.legend(loc="outside upper right", ncols=2, fontsize=8)
    return figure


def shares(table: pd.DataFrame, *, class_names: Sequence[str]) -> Figure:
    """The cues ranked by the part of a network's verdict that rests on each.

    Args:
        table: As `swaps.shares` returns it.
        class_names: Of the labels 0 and 1.

    Returns:
        The figure: one line a cue, its share as a bar with the 95 % interval, and a mark for each
        class.
    """
    figure, ax = plt.subplots(figsize=(8, 1.0 + 0.42 * len(table)), layout="constrained")
    at = np.arange(len(table))
    ax.barh(at, table["value"], height=0.5, color="0.88", edgecolor="0.4", label="both")
    ends = [
        np.clip(table["value"] - table["low"], 0, None),
        np.clip(table["high"] - table["value"], 0, None),
    ]
    ax.errorbar(table["value"], at, xerr=ends, fmt="none", ecolor="black", capsize=3)
    for label, name in enumerate(class_names):
        ax.plot(
            table[f"class {label}"],
            at,
            "os"[label],
            markersize=5,
            color=CLASS_COLOURS[label],
            mfc="white" if label == 0 else CLASS_COLOURS[label],
            label=f"{name} given the other look",
        )
    ax.axvline(0, color="0.6", linewidth=0.8)
    ax.set_yticks(at, table["cue"])
    ax.invert_yaxis()
    ax.set_xlabel("share of the distance between the classes' scores that goes with the look")
    figure.legend(loc="outside upper right", ncols=3, fontsize=8)
    return figure


def progression(steps: pd.DataFrame, *, metric: str = "AUC") -> Figure:
    """What each step reached on validation and on test.

    Args:
        steps: One row a step and split: the columns step, split, value (the mean over its seeds),
            low, high, and each, a list with the value of every seed.
        metric: What the values are; the axis' label.

    Returns:
        The figure: one line a step, from top to bottom; validation open, test filled, the seeds as
        small ticks.
    """
    names = list(dict.fromkeys(steps["step"]))
    figure, ax = plt.subplots(figsize=(8, 0.9 + 0.62 * len(names)), layout="constrained")
    for split, shift, face in (("validation", -0.14, "white"), ("test", 0.14, PNEUMONIA_COLOUR)):
        rows = steps[steps["split"] == split]
        at = [names.index(name) + shift for name in rows["step"]]
        # At value 1 a percentile interval may end a rounding error below it.
        below = np.clip(rows["value"] - rows["low"], 0, None)
        above = np.clip(rows["high"] - rows["value"], 0, None)
        ax.errorbar(
            rows["value"],
            at,
            xerr=[below, above],
            fmt="o",
            color=NORMAL_COLOUR if split == "validation" else PNEUMONIA_COLOUR,
            mfc=face,
            capsize=3,
            label=split,
        )
        for place, seeds in zip(at, rows["each"], strict=True):
            if len(seeds) > 1:
                ax.plot(seeds, [place] * len(seeds), "|", color="black", ms=9, mew=1.2)
    ax.axvline(0.5, color="0.6", linestyle=":", label="chance")
    ax.set(yticks=range(len(names)), xlabel=f"{metric}, 95 % interval over patients")
    ax.set_yticklabels(names)
    ax.set_ylim(len(names) - 0.5, -0.5)
    figure.legend(loc="outside upper right", ncols=3, fontsize=8)
    return figure


def curves(
    predictions: Mapping[str, pd.DataFrame],
    reliability: Mapping[str, pd.DataFrame],
    benefit: Mapping[str, pd.DataFrame],
) -> Figure:
    """Four views of the same scores on test, one line a run.

    Args:
        predictions: Of each run's name, one row an image with the columns split, label and score:
            for the receiver operating characteristic and for precision against recall.
        reliability: As `calibration.reliability` returns it, of some or all of these runs.
        benefit: As `calibration.net_benefit` returns it, of some or all of these runs.

    Returns:
        The figure.
    """
    from sklearn.metrics import precision_recall_curve, roc_curve

    figure, axes = plt.subplots(2, 2, figsize=(9.5, 9), layout="constrained")
    (roc, precision), (reliable, worth) = axes
    styles = ("-", "--", "-.", ":")
    colours = ("#0072B2", "#D55E00", "#009E73", "#000000", "#CC79A7")
    for number, (name, rows) in enumerate(predictions.items()):
        look = {
            "linestyle": styles[number % len(styles)],
            "color": colours[number % len(colours)],
            "label": name,
        }
        test = rows[rows["split"] == "test"]
        roc.plot(*roc_curve(test["label"], test["score"])[:2], **look)
        share, found, _ = precision_recall_curve(test["label"], test["score"])
        precision.plot(found, share, **look)
        if name in reliability:
            bins = reliability[name]
            reliable.plot(bins["score"], bins["observed"], marker=".", **look)
        if name in benefit:
            worth.plot(benefit[name]["threshold"], benefit[name]["scores"], **look)
    roc.plot([0, 1], [0, 1], color="0.7", linewidth=0.8)
    roc.set(xlabel="1 - specificity", ylabel="sensitivity", title="At every threshold")
    precision.set(xlabel="sensitivity (recall)", ylabel="precision", title="Of those called sick")
    precision.set_ylim(0, 1.02)
    reliable.plot([0, 1], [0, 1], color="0.7", linewidth=0.8)
    reliable.set(xlabel="mean score of a tenth", ylabel="share with pneumonia", title="Reliability")
    if benefit:
        first = next(iter(benefit.values()))
        worth.plot(first["threshold"], first["all"], color="0.6", linewidth=0.8, label="call all")
        worth.axhline(0, color="0.8", linewidth=0.8, label="call none")
        top = max(float(each["scores"].max()) for each in benefit.values())
        worth.set_ylim(-0.15 * top, 1.1 * top)
    worth.set(xlabel="threshold", ylabel="net benefit", title="Decision curve")
    for ax in (roc, reliable):
        ax.set_aspect("equal")
    handles = dict(zip(*reversed(worth.get_legend_handles_labels()), strict=True))
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=3, fontsize=8)
    return figure


def architecture(blocks: Sequence[tuple[str, int, int, int]], *, title: str) -> Figure:
    """A convolutional network as boxes: as tall as its maps are wide, as wide as they are many.

    Args:
        blocks: Of each group of layers its name, how many layers, the height and width of its
            maps in pixels (1 for Dense layers), and how many maps or units it has.
        title: Above the figure.

    Returns:
        The figure.
    """
    figure, ax = plt.subplots(figsize=(11, 3.6), layout="constrained")
    tallest = max(size for _, _, size, _ in blocks)
    x = 0.0
    for name, count, size, maps in blocks:
        height = 0.12 + 0.88 * np.sqrt(size / tallest)
        width = 0.05 + 0.16 * np.log2(maps + 1) / np.log2(4097)
        left = x
        for _ in range(count):
            colour = "#999999" if size == 1 else "#0072B2"
            ax.add_patch(
                plt.Rectangle((x, -height / 2), width, height, facecolor=colour, edgecolor="white")
            )
            x += width + 0.015
        shape = f"{maps:,}" if size == 1 else f"{size}×{size}×{maps}"
        ax.text(
            (left + x) / 2,
            -height / 2 - 0.03,
            f"{name}\n{shape}",
            ha="center",
            va="top",
            fontsize=8,
        )
        x = max(x + 0.15, left + 0.3)  # room for the text
    ax.set(xlim=(-0.05, x), ylim=(-0.75, 0.6), title=title)
    ax.axis("off")
    return figure
