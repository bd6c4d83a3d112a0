"""Draw matplotlib figures that stay readable in grey and for the colour-blind.

The two colours of the classes are from the palette of Okabe and Ito (2008) and differ in lightness;
where lines cross, their style differs as well. A figure of one panel is drawn on `ax` where that is
given, so that it can stand beside others.
"""

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any, Final, cast

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from sklearn.metrics import precision_recall_curve, roc_curve

from xraylib.evaluation import metrics

# Of NORMAL and PNEUMONIA.
CLASS_COLOURS: Final = ("#56B4E9", "#D55E00")

_PROPERTIES: Final = {
    "aspect": "width / height",
    "megapixels": "megapixels",
    "bytes_per_pixel": "bytes per pixel",
    "quality": "estimated JPEG quality",
}
# From the middle of a line to the marks of labels 0 and 1.
_SHIFTS: Final = (-0.15, 0.15)


def gallery(pixels: Sequence[np.ndarray], titles: Sequence[str], *, columns: int = 6) -> Figure:
    """Radiographs side by side, each with its own ratio of width to height.

    Args:
        pixels: Grey uint8 in [0, 255], each (height, width) or (height, width, 1).
        titles: One for each.
        columns: Pictures a row.

    Raises:
        ValueError: There are no pictures, or not as many titles as pictures.

    Example:
        >>> figure = gallery(np.zeros((3, 4, 4), np.uint8), ["a", "b", "c"], columns=2)
        >>> len(figure.axes)
        4
    """
    if not len(pixels) or len(pixels) != len(titles):
        raise ValueError(f"{len(pixels)} pictures and {len(titles)} titles: give one or more each")
    columns = min(columns, len(pixels))
    rows = -(-len(pixels) // columns)
    tallest = max(picture.shape[0] / picture.shape[1] for picture in pixels)
    size = (2.1 * columns, (2.1 * tallest + 0.35) * rows)
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained")
    for ax in axes.flat:
        ax.axis("off")
    for ax, picture, title in zip(axes.flat, pixels, titles, strict=False):
        ax.imshow(np.squeeze(picture), cmap="gray", vmin=0, vmax=255)
        ax.set_title(title, fontsize=8)
    return figure


def properties(measured: pd.DataFrame, *, class_names: Sequence[str]) -> Figure:
    """What the files alone reveal about the class, without a look at the anatomy.

    Args:
        measured: What `measurements.measure` returns, of at least one image.
        class_names: Names of the labels 0 and 1.

    Returns:
        The figure: one line for each split and class, with the median, the middle half of the
        images as a box (hatched for label 1), and at most 300 random images as dots (triangles for
        label 1).

    Raises:
        ValueError: There are no images.
    """
    if measured.empty:
        raise ValueError("0 images: give at least one")
    counts = measured.groupby(["split", "label"]).size()
    names = {
        (split, label): f"{split} {name} ({counts[split, label]:,})"
        for split in measured["split"].unique()
        for label, name in enumerate(class_names)
        if (split, label) in counts
    }
    lines = [names[group] for group in zip(measured["split"], measured["label"], strict=True)]
    size = (9.1, 1.8 + 0.72 * len(names))
    figure, axes = plt.subplots(2, 2, figsize=size, sharey=True, layout="constrained")
    for ax, (column, title) in zip(axes.flat, _PROPERTIES.items(), strict=True):
        _boxes(ax, measured.assign(line=lines), column, order=list(names.values()))
        ax.set(xlabel=title, ylabel="")
    handles = [
        Line2D([], [], color="black", linewidth=2.5, label="median"),
        Patch(facecolor="none", edgecolor="0.25", label="middle half"),
    ]
    figure.legend(handles=handles, loc="outside upper right", ncols=2, fontsize=8)
    return figure


def _boxes(ax: Axes, measured: pd.DataFrame, column: str, *, order: list[str]) -> None:
    """Draws a box over dots for each value of the column line, from top to bottom in `order`."""
    measured = measured.dropna(subset=column)
    if measured.empty:
        ax.text(0.5, 0.5, "no values", transform=ax.transAxes, ha="center", va="center")
        ax.set_xticks([])
    rng = np.random.default_rng(0)
    style: dict[str, Any] = {"width": 0.66, "whis": 0, "showfliers": False, "showcaps": False}
    style["medianprops"] = {"color": "black", "linewidth": 2.5}
    dots: dict[str, Any] = {"s": 9, "alpha": 0.45, "linewidths": 0, "zorder": 0.9}
    for label, (marker, hatch) in enumerate((("o", ""), ("^", "///"))):
        rows = measured[measured["label"] == label]
        box = {"facecolor": "none", "edgecolor": "0.25", "hatch": hatch}
        sns.boxplot(rows, x=column, y="line", order=order, boxprops=box, ax=ax, **style)
        # More dots would hide one another.
        rows = rows.sample(frac=1, random_state=0).groupby("line").head(300)
        # Seaborn's own strips are scattered by NumPy's global generator, differently each time.
        places = rows["line"].map(order.index) + rng.uniform(-0.3, 0.3, len(rows))
        ax.scatter(rows[column], places, marker=marker, color=CLASS_COLOURS[label], **dots)


def history(epochs: pd.DataFrame) -> Figure:
    """Loss and AUC over the epochs, train solid and validation dashed, the best epoch marked.

    Args:
        epochs: What `training.fit` returns: the columns epoch, split, loss and auc.
    """
    figure, axes = plt.subplots(1, 2, figsize=(9, 3), layout="constrained")
    for ax, metric in zip(axes, ("loss", "auc"), strict=True):
        for split, style, colour in (("train", "-", "0.45"), ("validation", "--", "#0072B2")):
            rows = epochs[epochs["split"] == split]
            ax.plot(rows["epoch"], rows[metric], style, color=colour, marker=".", label=split)
        ax.set(xlabel="epoch", ylabel="AUC" if metric == "auc" else metric)
        ax.xaxis.get_major_locator().set_params(integer=True)
    validation = epochs[epochs["split"] == "validation"]
    best = validation[validation["epoch"] == metrics.best_epoch(epochs)]
    axes[1].plot(best["epoch"], best["auc"], "o", mfc="none", ms=11, color="black", label="best")
    axes[1].legend()
    return figure


def scores(predictions: pd.DataFrame, *, class_names: Sequence[str], threshold: float) -> Figure:
    """Distribution of the scores of each class, on validation and on test.

    Args:
        predictions: One row an image, with the columns split, label (0 or 1) and score in [0, 1].
        class_names: Names of the labels 0 and 1.
        threshold: Drawn as a line, in [0, 1].

    Returns:
        The figure: label 0 as a filled histogram, label 1 as an outline, each of area 1.
    """
    figure, axes = plt.subplots(1, 2, figsize=(9, 2.8), sharex=True, layout="constrained")
    for ax, split in zip(axes, ("validation", "test"), strict=True):
        for label, name in enumerate(class_names):
            rows = predictions[(predictions["split"] == split) & (predictions["label"] == label)]
            ax.hist(
                rows["score"],
                bins=np.linspace(0, 1, 26),
                density=True,
                histtype="step" if label else "stepfilled",
                linewidth=2,
                color=CLASS_COLOURS[label],
                label=f"{name} ({len(rows):,})",
            )
        ax.axvline(threshold, color="black", linestyle=":", label=f"threshold {threshold:.2f}")
        ax.set(title=split, xlabel="score", ylabel="density")
        ax.legend(fontsize=8)
    return figure


def perturbations(
    effects: pd.DataFrame, *, class_names: Sequence[str], ax: Axes | None = None
) -> Figure:
    """How far each perturbation moves a network's logit, the cue with the largest effect on top.

    Args:
        effects: What `perturbations.effects` returns.
        class_names: Names of the labels 0 and 1.
        ax: Where to draw; None for a figure of its own.

    Returns:
        The figure: one line a perturbation, one mark a class, with 95 % intervals.
    """
    measures = [f"logit, class {label}" for label in range(len(class_names))]
    moved = effects[effects["measure"].isin(measures)]
    strength = moved["value"].abs().groupby(moved["cue"]).mean()
    lines = moved.drop_duplicates("perturbation")[["cue", "perturbation"]]
    lines = lines.sort_values("cue", key=lambda names: names.map(strength.rank(ascending=False)))
    figure, ax = _panel(ax, height=1.0 + 0.27 * len(lines) + 0.15 * len(strength))
    # A gap before each new cue.
    gaps = lines["cue"].ne(lines["cue"].shift()).cumsum() - 1
    places = pd.Series(np.arange(len(lines)) + 0.5 * gaps.to_numpy(), index=lines["perturbation"])
    for label, (measure, name) in enumerate(zip(measures, class_names, strict=True)):
        rows = moved[moved["measure"] == measure]
        _marks(ax, rows, rows["perturbation"].map(places), label=label, name=name)
    ax.axvline(0, color="0.6", linewidth=0.8)
    ax.set_yticks(places, lines["cue"] + ": " + lines["perturbation"])
    ax.invert_yaxis()
    ax.set_xlabel("mean change of an image's logit, in standard deviations of all logits")
    _legend_above(ax)
    return figure


def swaps(effects: pd.DataFrame, *, class_names: Sequence[str], ax: Axes | None = None) -> Figure:
    """The effect of swapping each cue for that of the other class, the largest on top.

    Args:
        effects: What `swaps.effects` returns.
        class_names: Names of the labels 0 and 1.
        ax: Where to draw; None for a figure of its own.

    Returns:
        The figure: one line a cue, its effect as a bar with the 95 % interval, and a mark for each
        class.
    """
    figure, ax = _panel(ax, height=1.0 + 0.42 * len(effects))
    places = np.arange(len(effects))
    bars: dict[str, Any] = {"color": "0.88", "edgecolor": "0.4", "height": 0.5, "capsize": 3}
    ax.barh(places, effects["value"], xerr=_whiskers(effects), label="both classes", **bars)
    for label, name in enumerate(class_names):
        ax.plot(effects[f"class {label}"], places, label=f"{name} only", **_look(label))
    ax.axvline(0, color="0.6", linewidth=0.8)
    ax.set_yticks(places, effects["cue"])
    ax.invert_yaxis()
    ax.set_xlabel("effect of swapping the cue, as a share of the gap between the classes' scores")
    _legend_above(ax)
    return figure


def steps(
    reached: pd.DataFrame,
    *,
    metric: str = "AUC",
    unit: str = "patients",
    ax: Axes | None = None,
) -> Figure:
    """What each step reached on validation and on test.

    Args:
        reached: One row a step and split: the columns step, split, value (the mean over its seeds),
            low, high, and each, a list with the value of every seed.
        metric: Name of what was measured, for the axis.
        unit: What the intervals are over, as `patients.unit` says it.
        ax: Where to draw; None for a figure of its own.

    Returns:
        The figure: one line a step, from top to bottom; validation open, test filled, the seeds as
        small ticks.
    """
    names = list(dict.fromkeys(reached["step"]))
    figure, ax = _panel(ax, height=0.9 + 0.62 * len(names))
    for label, split in enumerate(("validation", "test")):
        rows = reached[reached["split"] == split]
        places = rows["step"].map(names.index)
        _marks(ax, rows, places, label=label, name=split)
        for place, seeds in zip(places, rows["each"], strict=True):
            if len(seeds) > 1:
                at = [place + _SHIFTS[label]] * len(seeds)
                ax.plot(seeds, at, "|", color="black", markersize=9, markeredgewidth=1.2)
    ax.axvline(0.5, color="0.6", linestyle=":", label="chance")
    # Right-aligned, it is whole below a panel that long names of steps make narrow.
    ax.set_xlabel(f"{metric}, 95 % interval over {unit}", loc="right")
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.set_yticks(range(len(names)), names)
    _legend_above(ax)
    return figure


def curves(
    predictions: Mapping[str, pd.DataFrame],
    reliability: Mapping[str, pd.DataFrame],
    benefit: Mapping[str, pd.DataFrame],
) -> Figure:
    """Four views of the same scores on test, one line a run.

    Args:
        predictions: By the name of the run: one row an image, with the columns split, label and
            score, for the receiver operating characteristic and for precision against recall.
        reliability: By the same names, what `calibration.reliability` returns.
        benefit: By the same names, what `calibration.net_benefit` returns.
    """
    figure, axes = plt.subplots(2, 2, figsize=(9.5, 9), layout="constrained")
    (roc, precision), (reliable, worth) = axes
    styles = cycle(("-", "--", "-.", ":"))
    colours = cycle(("#0072B2", "#D55E00", "#009E73", "#000000", "#CC79A7"))
    for (name, rows), style, colour in zip(predictions.items(), styles, colours, strict=False):
        look: dict[str, Any] = {"linestyle": style, "color": colour, "label": name}
        test = rows[rows["split"] == "test"]
        roc.plot(*roc_curve(test["label"], test["score"])[:2], **look)
        precisions, recalls, _ = precision_recall_curve(test["label"], test["score"])
        precision.plot(recalls, precisions, **look)
        bins, decisions = reliability[name], benefit[name]
        reliable.plot(bins["score"], bins["observed"], marker=".", **look)
        worth.plot(decisions["threshold"], decisions["scores"], **look)
    for ax in (roc, reliable):
        ax.plot([0, 1], [0, 1], color="0.7", linewidth=0.8)
        ax.set_aspect("equal")
    roc.set(xlabel="1 - specificity", ylabel="sensitivity", title="ROC")
    precision.set(xlabel="recall (sensitivity)", ylabel="precision", title="Precision and recall")
    precision.set_ylim(0, 1.02)
    reliable.set(xlabel="mean score in each tenth of the images", title="Reliability")
    reliable.set_ylabel("share with pneumonia")
    worth.plot(decisions["threshold"], decisions["all"], color="0.6", lw=0.8, label="call all")
    worth.axhline(0, color="0.8", linewidth=0.8, label="call none")
    top = max(float(each["scores"].max()) for each in benefit.values())
    worth.set_ylim(-0.15 * top, 1.1 * top)
    worth.set(xlabel="threshold", ylabel="net benefit", title="Decision curve")
    handles, labels = worth.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=8)
    return figure


def architecture(
    blocks: Sequence[tuple[str, int, int, int]], *, title: str, ax: Axes | None = None
) -> Figure:
    """A convolutional network as boxes: the larger its maps the taller, the more maps the wider.

    Args:
        blocks: For each group of layers its name, the number of layers, the height and width of
            its maps in pixels (1 for Dense layers), and the number of maps or units.
        title: Above the figure.
        ax: Where to draw; None for a figure of its own.

    Example:
        >>> figure = architecture([("block1", 2, 64, 32), ("dense", 1, 1, 128)], title="a CNN")
        >>> len(figure.axes[0].patches)
        3
    """
    figure, ax = _panel(ax, width=11, height=3.6)
    tallest = max(size for _, _, size, _ in blocks)
    x = 0.0
    for name, count, size, maps in blocks:
        height = 0.12 + 0.88 * np.sqrt(size / tallest)
        width = 0.05 + 0.16 * np.log2(maps + 1) / np.log2(4097)
        colour = "#999999" if size == 1 else "#0072B2"
        left = x
        for _ in range(count):
            ax.add_patch(Rectangle((x, -height / 2), width, height, fc=colour, ec="white"))
            x += width + 0.015
        shape = f"{maps:,}" if size == 1 else f"{size}×{size}×{maps}"
        middle, below = (left + x) / 2, -height / 2 - 0.03
        ax.text(middle, below, f"{name}\n{shape}", ha="center", va="top", fontsize=8)
        x = max(x + 0.15, left + 0.3)  # room for the text
    ax.set(xlim=(-0.05, x), ylim=(-0.75, 0.6), title=title)
    ax.axis("off")
    return figure


def _panel(ax: Axes | None, *, height: float, width: float = 8) -> tuple[Figure, Axes]:
    """The figure and axes to draw on, made where there are none; sizes in inches."""
    if ax is None:
        return plt.subplots(figsize=(width, height), layout="constrained")
    return cast(Figure, ax.figure), ax


def _legend_above(ax: Axes) -> None:
    ax.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=3, fontsize=8)


def _look(label: int) -> dict[str, Any]:
    """An open circle for label 0, a filled square for label 1, both without a line."""
    colour = CLASS_COLOURS[label]
    face = colour if label else "white"
    return {"marker": "os"[label], "linestyle": "", "ms": 5, "color": colour, "mfc": face}


def _marks(ax: Axes, rows: pd.DataFrame, places: pd.Series, *, label: int, name: str) -> None:
    """Marks each value with its interval; label 0 a little above its place, label 1 below it."""
    places = places + _SHIFTS[label]
    ax.errorbar(rows["value"], places, xerr=_whiskers(rows), capsize=3, label=name, **_look(label))


def _whiskers(rows: pd.DataFrame) -> list[pd.Series]:
    """Distances from value down to low and up to high."""
    # At a value of 1 a percentile interval may end a rounding error below it.
    return [(rows["value"] - rows["low"]).clip(0), (rows["high"] - rows["value"]).clip(0)]
