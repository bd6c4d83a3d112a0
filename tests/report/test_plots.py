import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from xraylib.report import plots


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


@pytest.fixture
def history():
    return pd.DataFrame(
        {
            "epoch": [1, 1, 2, 2, 3, 3],
            "split": ["train", "validation"] * 3,
            "loss": [0.7, 0.6, 0.5, 0.4, 0.3, 0.5],
            "auc": [0.5, 0.6, 0.8, 0.9, 0.99, 0.9],
            "accuracy": 0.5,
            "seconds": 1.0,
        }
    )


@pytest.fixture
def predictions():
    return pd.DataFrame(
        {
            "split": ["validation"] * 4 + ["test"] * 4,
            "label": [0, 0, 0, 1, 0, 0, 1, 1],
            "score": [0.1, 0.2, 0.3, 0.9, 0.2, 0.6, 0.4, 0.8],
        }
    )


@pytest.fixture
def reached():
    return pd.DataFrame(
        {
            "step": ["01_basic_cnn", "01_basic_cnn", "03_vgg19", "03_vgg19"],
            "split": ["validation", "test"] * 2,
            "value": [0.9, 0.7, 1.0, 0.8],
            "low": [0.8, 0.6, 0.99, 0.7],
            "high": [0.95, 0.75, 1.0, 0.85],
            "each": [[0.85, 0.95], [0.65, 0.75], [1.0], [0.8]],
        }
    )


def drawn(figure):
    """Draws the figure, so that what only fails on drawing fails here."""
    assert isinstance(figure, Figure)
    figure.canvas.draw()
    return figure


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def lines(ax):
    """What is drawn as lines, by label."""
    return {line.get_label(): line for line in ax.get_lines()}


# ------------------------------------------------------------------ gallery


def test_gallery_shows_each_picture_in_its_shape_with_its_title():
    pixels = [np.zeros((4, 6), np.uint8), np.ones((3, 3, 1), np.uint8), np.zeros((2, 5), np.uint8)]
    figure = drawn(plots.gallery(pixels, ["a", "b", "c"], columns=2))
    shown = [ax for ax in figure.axes if ax.get_images()]
    assert [ax.get_title() for ax in shown] == ["a", "b", "c"]
    assert [ax.get_images()[0].get_array().shape for ax in shown] == [(4, 6), (3, 3), (2, 5)]
    assert len(figure.axes) == 4
    assert not any(ax.axison for ax in figure.axes)


def test_gallery_does_not_stretch_the_greys():
    figure = plots.gallery([np.full((2, 2), 100, np.uint8)], ["grey"])
    assert figure.axes[0].get_images()[0].get_clim() == (0, 255)
    assert len(figure.axes) == 1


@pytest.mark.parametrize(("count", "titles"), [(0, []), (2, ["a"]), (1, ["a", "b"])])
def test_gallery_needs_a_title_for_each_picture(count, titles):
    said = f"{count} pictures and {len(titles)} titles: give one or more each"
    with pytest.raises(ValueError, match=said):
        plots.gallery(np.zeros((count, 2, 2), np.uint8), titles)


# ------------------------------------------------------------------ properties


@pytest.fixture
def facts():
    return pd.DataFrame(
        {
            "split": ["train"] * 5 + ["test"] * 2,
            "label": [0, 0, 0, 1, 1, 0, 1],
            "aspect": [1.0, 1.2, 1.6, 1.5, 1.7, 1.1, np.nan],
            "quality": np.nan,
        }
    )


def test_properties_has_one_line_a_split_and_class_with_its_median(facts):
    names = ("NORMAL", "PNEUMONIA")
    figure = drawn(plots.properties(facts, ["aspect"], class_names=names))
    (ax,) = figure.axes
    assert ax.get_xlabel() == "width / height"
    assert [label.get_text() for label in ax.get_yticklabels()] == [
        "train NORMAL (3)",
        "train PNEUMONIA (2)",
        "test NORMAL (1)",
        "test PNEUMONIA (1)",
    ]
    assert ax.get_ylim()[0] > ax.get_ylim()[1]
    # The last group has no value.
    assert [line.get_xdata()[0] for line in ax.lines] == pytest.approx([1.2, 1.6, 1.1])
    boxes = [(box.get_x(), box.get_width()) for box in ax.patches]
    assert np.array(boxes) == pytest.approx(np.array([[1.1, 0.3], [1.55, 0.1], [1.1, 0]]))
    (shown,) = figure.legends
    assert [text.get_text() for text in shown.get_texts()] == ["median", "middle half"]


def test_properties_tells_the_classes_apart_in_grey(facts):
    (ax,) = plots.properties(facts, ["aspect"], class_names=("a", "b")).axes
    assert [box.get_hatch() or "" for box in ax.patches] == ["", "///", ""]
    circles, triangles, _ = (dots.get_paths()[0].vertices for dots in ax.collections)
    assert len(circles) != len(triangles)


def test_properties_bears_one_image_and_a_panel_without_values(facts):
    figure = drawn(plots.properties(facts.head(1), ["aspect", "quality"], class_names=("a", "b")))
    aspect, quality = figure.axes
    assert len(aspect.lines) == 1
    assert [text.get_text() for text in quality.texts] == ["no values"]


def test_properties_draws_at_most_300_dots_a_group_and_always_the_same_ones():
    facts = pd.DataFrame({"split": "all", "label": 1, "aspect": np.arange(5856.0)})
    first, second = (plots.properties(facts, ["aspect"], class_names=("a", "b")) for _ in "ab")
    dots = first.axes[0].collections[0].get_offsets()
    assert dots.shape == (300, 2)
    assert dots.tolist() == second.axes[0].collections[0].get_offsets().tolist()


def test_properties_needs_images_and_columns(facts):
    with pytest.raises(ValueError, match="0 images and 4 columns: give at least one of each"):
        plots.properties(facts.head(0), class_names=("a", "b"))
    with pytest.raises(ValueError, match="7 images and 0 columns"):
        plots.properties(facts, [], class_names=("a", "b"))


# ------------------------------------------------------------------ history


def test_history_shows_both_splits_over_the_epochs(history):
    loss, auc = drawn(plots.history(history)).axes
    assert (loss.get_xlabel(), loss.get_ylabel()) == ("epoch", "loss")
    assert (auc.get_xlabel(), auc.get_ylabel()) == ("epoch", "AUC")
    assert legend(auc) == ["train", "validation", "best"]
    assert lines(loss)["train"].get_xydata().tolist() == [[1, 0.7], [2, 0.5], [3, 0.3]]
    assert lines(auc)["validation"].get_xydata().tolist() == [[1, 0.6], [2, 0.9], [3, 0.9]]
    assert lines(auc)["train"].get_linestyle() != lines(auc)["validation"].get_linestyle()


def test_history_marks_the_epoch_that_fit_keeps(history):
    auc = plots.history(history).axes[1]
    # Epoch 3 has the same AUC and a higher loss.
    assert lines(auc)["best"].get_xydata().tolist() == [[2, 0.9]]


def test_history_of_one_epoch(history):
    auc = drawn(plots.history(history.head(2))).axes[1]
    assert lines(auc)["best"].get_xydata().tolist() == [[1, 0.6]]


# ------------------------------------------------------------------ scores


def test_scores_shows_both_splits_and_counts_each_class(predictions):
    figure = drawn(plots.scores(predictions, class_names=("NORMAL", "PNEUMONIA"), threshold=0.35))
    assert [ax.get_title() for ax in figure.axes] == ["validation", "test"]
    assert {(ax.get_xlabel(), ax.get_ylabel()) for ax in figure.axes} == {("score", "density")}
    validation, test = (set(legend(ax)) for ax in figure.axes)
    assert validation == {"NORMAL (3)", "PNEUMONIA (1)", "threshold 0.35"}
    assert test == {"NORMAL (2)", "PNEUMONIA (2)", "threshold 0.35"}
    for ax in figure.axes:
        assert list(lines(ax)["threshold 0.35"].get_xdata()) == [0.35, 0.35]


# ------------------------------------------------------------------ progression


def test_progression_names_every_run_from_top_to_bottom(reached):
    figure = drawn(plots.progression(reached))
    (ax,) = figure.axes
    assert [label.get_text() for label in ax.get_yticklabels()] == ["01_basic_cnn", "03_vgg19"]
    assert ax.get_ylim()[0] > ax.get_ylim()[1]
    assert ax.get_xlabel() == "AUC, 95 % interval over patients"
    (shown,) = figure.legends
    assert {text.get_text() for text in shown.get_texts()} == {"validation", "test", "chance"}


def test_progression_shows_value_and_interval(reached):
    (ax,) = plots.progression(reached, metric="accuracy").axes
    assert ax.get_xlabel() == "accuracy, 95 % interval over patients"
    validation, test = ax.containers
    assert list(validation.lines[0].get_xdata()) == [0.9, 1.0]
    bars = [segment[:, 0].tolist() for segment in test.lines[2][0].get_segments()]
    assert np.array(bars) == pytest.approx(np.array([[0.6, 0.75], [0.7, 0.85]]))
    # Validation a little above test, on the same run's line.
    at = np.array([each.lines[0].get_ydata() for each in (validation, test)], dtype=float)
    assert np.rint(at).tolist() == [[0, 1], [0, 1]]
    assert (at[0] < at[1]).all()


def test_progression_bears_an_interval_that_rounding_put_beside_its_value(reached):
    reached.loc[2, "high"] = 1 - 1e-12
    reached.loc[3, "low"] = 0.8 + 1e-12
    drawn(plots.progression(reached))


def test_progression_bears_what_is_not_defined(reached):
    reached.loc[3, ["value", "low", "high"]] = np.nan
    (ax,) = drawn(plots.progression(reached)).axes
    assert len(ax.get_yticklabels()) == 2


def test_progression_shows_each_seed_where_there_are_several(reached):
    (ax,) = plots.progression(reached).axes
    ticks = [list(line.get_xdata()) for line in ax.lines if line.get_marker() == "|"]
    assert [0.85, 0.95] in ticks and [0.65, 0.75] in ticks
    assert [1.0] not in ticks


# ------------------------------------------------------------------ curves


def test_curves_has_one_line_a_run_and_reads_test_only(predictions):
    other = predictions.assign(score=1 - predictions["score"])
    reliability = {"first": pd.DataFrame({"score": [0.25, 0.75], "observed": [0.0, 1.0]})}
    worth = {"threshold": [0.25, 0.75], "scores": [0.5, 0.25], "all": [0.4, -1.0], "none": 0.0}
    benefit = {name: pd.DataFrame(worth) for name in ("first", "second")}
    figure = drawn(plots.curves({"first": predictions, "second": other}, reliability, benefit))
    roc, precision, reliable, decision = figure.axes
    # .8 is of class 1, .6 of 0, .4 of 1, .2 of 0.
    points = [[0, 0], [0, 0.5], [0.5, 0.5], [0.5, 1], [1, 1]]
    assert lines(roc)["first"].get_xydata().tolist() == points
    found = lines(precision)["first"].get_xydata().tolist()
    assert found == [[1, 0.5], [1, 2 / 3], [0.5, 0.5], [0.5, 1], [0, 1]]
    assert lines(reliable)["first"].get_xydata().tolist() == [[0.25, 0], [0.75, 1]]
    assert "second" not in lines(reliable)
    assert lines(decision)["second"].get_ydata().tolist() == [0.5, 0.25]
    assert decision.get_ylim() == pytest.approx((-0.075, 0.55))
    (shown,) = figure.legends
    said = [text.get_text() for text in shown.get_texts()]
    assert said == ["first", "second", "call all", "call none"]


def test_curves_tell_many_runs_apart(predictions):
    roc = plots.curves({f"run {n}": predictions for n in range(9)}, {}, {}).axes[0]
    looks = {(line.get_linestyle(), line.get_color()) for line in roc.get_lines()}
    assert len(looks) == 9 + 1


# ------------------------------------------------------------------ architecture


def test_architecture_draws_one_box_a_layer_and_names_the_blocks():
    blocks = [("block1", 2, 224, 64), ("block2", 2, 112, 128), ("fc", 3, 1, 4096)]
    (ax,) = drawn(plots.architecture(blocks, title="VGG")).axes
    assert ax.get_title() == "VGG"
    assert [text.get_text() for text in ax.texts] == [
        "block1\n224×224×64",
        "block2\n112×112×128",
        "fc\n4,096",
    ]
    boxes = ax.patches
    assert len(boxes) == 7
    heights = [box.get_height() for box in boxes]
    assert heights[0] == heights[1] > heights[2] > heights[4] == heights[6]
    assert boxes[0].get_width() < boxes[2].get_width() < boxes[4].get_width()
    right = [box.get_x() + box.get_width() for box in boxes]
    assert all(end < box.get_x() for end, box in zip(right[:-1], boxes[1:], strict=True))


def test_cues_has_one_line_an_intervention_the_strongest_cue_first():
    rows = [
        ("exposure", "gamma", "logit, class 0", 0.2),
        ("exposure", "gamma", "logit, class 1", 0.1),
        ("shape", "wider", "logit, class 0", 0.1),
        ("shape", "wider", "logit, class 1", -0.6),
        ("shape", "taller", "logit, class 0", 0.0),
        ("shape", "taller", "logit, class 1", 0.3),
        ("shape", "taller", "AUC", -0.9),
    ]
    effects = pd.DataFrame(rows, columns=["cue", "intervention", "measure", "value"])
    effects = effects.assign(low=effects["value"] - 0.05, high=effects["value"] + 0.05)
    figure = plots.cues(effects, class_names=("NORMAL", "PNEUMONIA"))
    (ax,) = figure.axes
    said = [text.get_text() for text in ax.get_yticklabels()]
    assert said == ["shape: wider", "shape: taller", "exposure: gamma"]
    assert ax.yaxis.get_inverted()
    marks = [container.lines[0].get_xdata().tolist() for container in ax.containers]
    assert marks == [[0.2, 0.1, 0.0], [0.1, -0.6, 0.3]]


def test_shares_has_one_bar_a_cue_and_a_mark_a_class():
    table = pd.DataFrame(
        {"cue": ["shape", "exposure"], "value": [0.4, 0.1], "low": [0.3, 0.0], "high": [0.5, 0.2]}
    ).assign(**{"class 0": [0.5, 0.2], "class 1": [0.3, 0.0]})
    (ax,) = plots.shares(table, class_names=("NORMAL", "PNEUMONIA")).axes
    assert [text.get_text() for text in ax.get_yticklabels()] == ["shape", "exposure"]
    assert [bar.get_width() for bar in ax.patches] == [0.4, 0.1]
    marks = {line.get_label(): list(line.get_xdata()) for line in ax.lines}
    assert marks["PNEUMONIA given the other look"] == [0.3, 0.0]
