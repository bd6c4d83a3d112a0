import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest

from xraylib.report import heatmaps


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def drawn(count=2, **how):
    pixels = np.full((count, 8, 8, 1), 99, np.uint8)
    maps = np.zeros((count, 8, 8))
    maps[0, 2:5, 2:5] = 1
    figure = heatmaps.overlays(pixels, maps, [f"image {n}" for n in range(count)], **how)
    figure.canvas.draw()
    return figure.axes


def test_each_radiograph_is_above_its_map():
    first, second, below, empty, _ = drawn()
    assert [ax.get_title() for ax in (first, second)] == ["image 0", "image 1"]
    assert len(first.get_images()) == 1
    radiograph, heat = below.get_images()
    assert radiograph.get_clim() == (0, 255)
    assert heat.get_clim() == (0, 1)
    assert not below.get_title()
    assert empty.get_title() == "empty: nothing for the class"


def test_nothing_covers_the_radiograph_where_there_is_no_evidence():
    _, _, below, *_ = drawn()
    alpha = below.get_images()[1].get_alpha()
    assert alpha[0, 0] == 0
    assert 0 < alpha[3, 3] < 1


def test_strengths_are_told_apart_by_lines_and_lesions_by_an_outline():
    plain = drawn()
    lesions = np.zeros((2, 8, 8), bool)
    lesions[0, 1:4, 1:4] = True
    outlined = drawn(lesions=lesions)
    more = [len(b.collections) - len(a.collections) for a, b in zip(plain, outlined, strict=True)]
    assert len(plain[2].collections) == 3
    assert more[:4] == [2, 0, 2, 0]


def test_one_image_is_enough():
    assert len(drawn(1)) == 3


@pytest.mark.parametrize("images, maps, titles", [(0, 0, 0), (2, 1, 2), (2, 2, 1)])
def test_every_image_needs_a_map_and_a_title(images, maps, titles):
    match = f"{images} images, {maps} maps and {titles} titles: give one or more each"
    with pytest.raises(ValueError, match=match):
        heatmaps.overlays(np.zeros((images, 4, 4)), np.zeros((maps, 4, 4)), ["a"] * titles)
