"""What can be no chest radiograph, by its pixels alone."""

import numpy as np
import pytest

from xraylib.data import plausibility


def film(height=200, width=240):
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    return (40 + 180 * np.exp(-2 * x**2 - y**2)).astype(np.uint8)


def test_a_film_may_be_one_also_where_it_is_large_wide_or_pale():
    assert not plausibility.problem(film())
    assert not plausibility.problem(film(3000, 4000))
    assert not plausibility.problem(film(100, 340))
    assert not plausibility.problem(film() // 4 + 90)


@pytest.mark.parametrize(
    ("pixels", "said"),
    [
        (np.zeros((1, 1), np.uint8), "too small: 1 x 1 pixels"),
        (film(30, 300), "too small: 300 x 30 pixels"),
        (film(60, 600), "the shape of no radiograph: 600 x 60 pixels"),
        (film(900, 100), "the shape of no radiograph"),
        (np.full((90, 90), 255, np.uint8), "blank: nearly all greys lie between 255 and 255"),
        (film() // 16, "blank: nearly all greys lie between"),
        (np.where(film() > 99, 255, 0).astype(np.uint8), "only 2 grey levels"),
        (film() // 32 * 32, "a mask or a drawing"),
    ],
)
def test_what_can_be_none_is_told_why(pixels, said):
    assert said in plausibility.problem(pixels)


def test_a_burnt_in_mark_does_not_make_a_film_of_a_blank():
    blank = np.full((400, 400), 7, np.uint8)
    blank[:10, :30] = film()[:10, :30]
    assert "blank" in plausibility.problem(blank)


def test_colours_are_allowed_for_a_mark_only():
    assert not plausibility.problem(film(), coloured=0.01)
    assert "40% of its pixels are coloured" in plausibility.problem(film(), coloured=0.4)


def test_thumbnails_correlate_with_themselves_and_against_a_negative():
    thumbnail = plausibility.thumbnail(film(64, 64))
    assert thumbnail.shape == (256,)
    for other, product in ((film(64, 64) // 2 + 9, 1), (255 - film(64, 64), -1)):
        assert thumbnail @ plausibility.thumbnail(other) == pytest.approx(product, abs=0.01)
    assert not plausibility.thumbnail(np.full((40, 40), 9, np.uint8)).any()


def test_a_thumbnail_worked_out_by_hand():
    square = np.array([[0, 0, 4, 4], [0, 0, 4, 4], [8, 8, 8, 8], [8, 8, 8, 8]], np.uint8)
    expected = np.array([-5, -1, 3, 3]) / np.sqrt(44)
    np.testing.assert_allclose(plausibility.thumbnail(square, side=2), expected, rtol=1e-6)
