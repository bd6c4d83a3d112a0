import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from xraylib.report import plots

CLASSES = ("NORMAL", "PNEUMONIA")


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def render(figure):
    """Renders a figure, so that what only fails then fails here; returns its panels."""
    figure.canvas.draw()
    return figure.axes


def texts(artists):
    return [text.get_text() for text in artists]


def lines(ax):
    """The lines of a panel by their label, each as points [x, y]."""
    return {line.get_label(): line.get_xydata().tolist() for line in ax.get_lines()}


def test_gallery_shows_each_picture_in_its_shape_with_its_title():
    pixels = [np.zeros((4, 6), np.uint8), np.ones((3, 3, 1), np.uint8), np.zeros((2, 5), np.uint8)]
    *panels, empty = render(plots.gallery(pixels, ["a", "b", "c"], columns=2))
    assert [ax.get_title() for ax in panels] == ["a", "b", "c"]
    assert [ax.get_images()[0].get_array().shape for ax in panels] == [(4, 6), (3, 3), (2, 5)]
    assert panels[0].get_images()[0].get_clim() == (0, 255)
    assert not empty.get_images() and not empty.axison


@pytest.mark.parametrize(("count", "titles"), [(0, []), (2, ["a"])])
def test_gallery_needs_a_title_for_each_picture(count, titles):
    message = f"{count} pictures and {len(titles)} titles: give one or more each"
    with pytest.raises(ValueError, match=message):
        plots.gallery(np.zeros((count, 2, 2), np.uint8), titles)


@pytest.fixture
def measured():
    table = pd.DataFrame(
        {
            "split": ["train"] * 5 + ["test"] * 2,
            "label": [0, 0, 0, 1, 1, 0, 1],
            "aspect": [1.0, 1.2, 1.6, 1.5, 1.7, 1.1, np.nan],
        }
    )
    return table.assign(megapixels=1.2, bytes_per_pixel=0.1, quality=np.nan)


def test_properties_has_one_line_a_split_and_class_with_its_median(measured):
    ax, *_, quality = render(plots.properties(measured, class_names=CLASSES))
    assert ax.get_xlabel() == "width / height"
    assert texts(ax.get_yticklabels()) == [
        "train NORMAL (3)",
        "train PNEUMONIA (2)",
        "test NORMAL (1)",
        "test PNEUMONIA (1)",
    ]
    assert ax.yaxis.get_inverted()
    normal, pneumonia = ax.containers
    # train 1, 1.2, 1.6 and test 1.1; train 1.5 and 1.7, while test has no value.
    assert [line.get_xdata()[0] for line in normal.medians] == pytest.approx([1.2, 1.1])
    assert [line.get_xdata()[0] for line in pneumonia.medians] == pytest.approx([1.6])
    (box,) = pneumonia.boxes
    assert box.get_path().get_extents().intervalx == pytest.approx([1.55, 1.65])
    assert not ax.texts and texts(quality.texts) == ["no values"]
    # Told apart in grey as well.
    assert [box.get_hatch() or "" for box in ax.patches] == ["", "", "///"]
    circles, triangles = (dots.get_paths()[0].vertices for dots in ax.collections)
    assert len(circles) != len(triangles)


def test_properties_bears_one_image_but_not_none(measured):
    assert len(render(plots.properties(measured.head(1), class_names=CLASSES))[0].patches) == 1
    with pytest.raises(ValueError, match="0 images: give at least one"):
        plots.properties(measured.head(0), class_names=CLASSES)


def test_properties_draws_at_most_300_dots_a_group_and_always_the_same_ones(measured):
    many = pd.concat([measured.tail(1)] * 5856).assign(aspect=np.arange(5856.0))
    first, second = (
        plots.properties(many, class_names=CLASSES).axes[0].collections[1].get_offsets()
        for _ in range(2)
    )
    assert first.shape == (300, 2)
    assert first.tolist() == second.tolist()


def test_history_shows_both_splits_and_marks_the_epoch_that_fit_keeps():
    history = pd.DataFrame(
        {
            "epoch": [1, 1, 2, 2, 3, 3],
            "split": ["train", "validation"] * 3,
            "loss": [0.7, 0.6, 0.5, 0.4, 0.3, 0.5],
            "auc": [0.5, 0.6, 0.8, 0.9, 0.99, 0.9],
        }
    )
    loss, auc = render(plots.history(history))
    assert (loss.get_xlabel(), loss.get_ylabel()) == ("epoch", "loss")
    assert (auc.get_xlabel(), auc.get_ylabel()) == ("epoch", "AUC")
    assert lines(loss)["train"] == [[1, 0.7], [2, 0.5], [3, 0.3]]
    assert lines(auc)["validation"] == [[1, 0.6], [2, 0.9], [3, 0.9]]
    train, validation, _ = auc.get_lines()
    assert train.get_linestyle() != validation.get_linestyle()
    # Epoch 3 has the same AUC and a higher loss.
    assert lines(auc)["best"] == [[2, 0.9]]


@pytest.fixture
def predictions():
    return pd.DataFrame(
        {
            "split": ["validation"] * 4 + ["test"] * 4,
            "label": [0, 0, 0, 1, 0, 0, 1, 1],
            "score": [0.1, 0.2, 0.3, 0.9, 0.2, 0.6, 0.4, 0.8],
        }
    )


def test_scores_shows_both_splits_and_counts_each_class(predictions):
    panels = render(plots.scores(predictions, class_names=CLASSES, threshold=0.35))
    counts = [["NORMAL (3)", "PNEUMONIA (1)"], ["NORMAL (2)", "PNEUMONIA (2)"]]
    for ax, split, labels in zip(panels, ("validation", "test"), counts, strict=True):
        assert (ax.get_title(), ax.get_xlabel(), ax.get_ylabel()) == (split, "score", "density")
        assert set(texts(ax.get_legend().get_texts())) == {*labels, "threshold 0.35"}
        assert [x for x, _ in lines(ax)["threshold 0.35"]] == [0.35, 0.35]


def curves(predictions):
    bins = pd.DataFrame({"score": [0.25, 0.75], "observed": [0.0, 1.0]})
    worth = {"threshold": [0.25, 0.75], "scores": [0.5, 0.25], "all": [0.4, -1.0], "none": 0.0}
    benefit = dict.fromkeys(predictions, pd.DataFrame(worth))
    return plots.curves(predictions, dict.fromkeys(predictions, bins), benefit)


def test_curves_has_one_line_a_run_and_reads_test_only(predictions):
    other = predictions.assign(score=1 - predictions["score"])
    figure = curves({"first": predictions, "second": other})
    roc, precision, reliable, decision = render(figure)
    # .8 is of class 1, .6 of 0, .4 of 1, .2 of 0.
    assert lines(roc)["first"] == [[0, 0], [0, 0.5], [0.5, 0.5], [0.5, 1], [1, 1]]
    assert lines(precision)["first"] == [[1, 0.5], [1, 2 / 3], [0.5, 0.5], [0.5, 1], [0, 1]]
    assert lines(reliable)["first"] == [[0.25, 0], [0.75, 1]]
    assert [y for _, y in lines(decision)["second"]] == [0.5, 0.25]
    assert decision.get_ylim() == pytest.approx((-0.075, 0.55))
    (legend,) = figure.legends
    assert texts(legend.get_texts()) == ["first", "second", "call all", "call none"]


def test_curves_tell_many_runs_apart(predictions):
    roc = curves({f"run {n}": predictions for n in range(9)}).axes[0]
    looks = {(line.get_linestyle(), line.get_color()) for line in roc.get_lines()}
    assert len(looks) == 9 + 1


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


def test_steps_names_every_step_from_top_to_bottom(reached):
    (ax,) = render(plots.steps(reached, metric="accuracy"))
    assert texts(ax.get_yticklabels()) == ["01_basic_cnn", "03_vgg19"]
    assert ax.yaxis.get_inverted()
    assert ax.get_xlabel() == "accuracy, 95 % interval over patients"
    assert set(texts(ax.get_legend().get_texts())) == {"validation", "test", "chance"}


def test_steps_shows_value_interval_and_each_of_several_seeds(reached):
    (ax,) = plots.steps(reached).axes
    validation, test = ax.containers
    assert list(validation.lines[0].get_xdata()) == [0.9, 1.0]
    bars = [segment[:, 0].tolist() for segment in test.lines[2][0].get_segments()]
    assert np.array(bars) == pytest.approx(np.array([[0.6, 0.75], [0.7, 0.85]]))
    # Validation a little above test, on the line of the same step.
    places = np.array([each.lines[0].get_ydata() for each in (validation, test)], dtype=float)
    assert np.rint(places).tolist() == [[0, 1], [0, 1]]
    assert (places[0] < places[1]).all()
    ticks = [line.get_xdata().tolist() for line in ax.lines if line.get_marker() == "|"]
    assert [0.85, 0.95] in ticks and [0.65, 0.75] in ticks
    assert [1.0] not in ticks


def test_steps_bears_rounding_errors_and_what_is_not_defined(reached):
    reached.loc[2, "high"] = 1 - 1e-12  # below the value of 1
    reached.loc[3, ["value", "low", "high"]] = np.nan
    (ax,) = render(plots.steps(reached))
    assert len(ax.get_yticklabels()) == 2


def test_perturbations_has_one_line_a_perturbation_the_strongest_cue_first():
    rows = [
        ("exposure", "gamma", "logit, class 0", 0.2),
        ("exposure", "gamma", "logit, class 1", 0.1),
        ("shape", "wider", "logit, class 0", 0.1),
        ("shape", "wider", "logit, class 1", -0.6),
        ("shape", "taller", "logit, class 0", 0.0),
        ("shape", "taller", "logit, class 1", 0.3),
        ("shape", "taller", "AUC", -0.9),
    ]
    effects = pd.DataFrame(rows, columns=["cue", "perturbation", "measure", "value"])
    effects = effects.assign(low=effects["value"] - 0.05, high=effects["value"] + 0.05)
    (ax,) = render(plots.perturbations(effects, class_names=CLASSES))
    assert texts(ax.get_yticklabels()) == ["shape: wider", "shape: taller", "exposure: gamma"]
    assert ax.yaxis.get_inverted()
    marks = [container.lines[0].get_xdata().tolist() for container in ax.containers]
    assert marks == [[0.2, 0.1, 0.0], [0.1, -0.6, 0.3]]


@pytest.fixture
def swaps():
    table = pd.DataFrame(
        {"cue": ["shape", "exposure"], "value": [0.4, 0.1], "low": [0.3, 0.0], "high": [0.5, 0.2]}
    )
    return table.assign(**{"class 0": [0.5, 0.2], "class 1": [0.3, 0.0]})


def test_swaps_has_one_bar_a_cue_and_a_mark_a_class(swaps):
    (ax,) = render(plots.swaps(swaps, class_names=CLASSES))
    assert texts(ax.get_yticklabels()) == ["shape", "exposure"]
    assert [bar.get_width() for bar in ax.patches] == [0.4, 0.1]
    assert [x for x, _ in lines(ax)["PNEUMONIA only"]] == [0.3, 0.0]


def test_a_figure_of_one_panel_can_be_drawn_beside_others(reached, swaps):
    figure, (left, right) = plt.subplots(1, 2)
    assert plots.steps(reached, ax=left) is figure
    assert plots.swaps(swaps, class_names=CLASSES, ax=right) is figure
    assert render(figure) == [left, right]
    assert "test" in texts(left.get_legend().get_texts())
    assert "NORMAL only" in texts(right.get_legend().get_texts())


def test_architecture_draws_one_box_a_layer_and_names_the_blocks():
    blocks = [("block1", 2, 224, 64), ("block2", 2, 112, 128), ("fc", 3, 1, 4096)]
    (ax,) = render(plots.architecture(blocks, title="VGG"))
    assert ax.get_title() == "VGG"
    assert texts(ax.texts) == ["block1\n224×224×64", "block2\n112×112×128", "fc\n4,096"]
    boxes = ax.patches
    assert len(boxes) == 7
    heights = [box.get_height() for box in boxes]
    assert heights[0] == heights[1] > heights[2] > heights[4] == heights[6]
    assert boxes[0].get_width() < boxes[2].get_width() < boxes[4].get_width()
    right = [box.get_x() + box.get_width() for box in boxes]
    assert all(end < box.get_x() for end, box in zip(right[:-1], boxes[1:], strict=True))
