import numpy as np
import pandas as pd
import pytest
from support.films import chest

from xraylib.data import films


def faults(*changed, count=14):
    """The faults of the last of some films."""
    whole = [chest(seed) for seed in range(count)]
    described = pd.DataFrame([films.looks(film) for film in [*whole, *changed]])
    masks = films.faults(described)
    for mask in masks.values():
        assert mask is None or not mask[:count].any()
    return {name for name, mask in masks.items() if mask is not None and mask[count:].all()}


HALVES = {
    "grey below": lambda film: film[60:].__setitem__(slice(None), 128),
    "black below": lambda film: film[48:].__setitem__(slice(None), 0),
    "white above": lambda film: film[:30].__setitem__(slice(None), 255),
    "a repeated line": lambda film: film[50:].__setitem__(slice(None), film[49]),
    "grey at the right": lambda film: film[:, 60:].__setitem__(slice(None), 90),
    "a repeated column": lambda film: film[:, :40].__setitem__(slice(None), film[:, 40:41]),
}


@pytest.mark.parametrize("name", HALVES)
def test_a_film_of_which_a_part_is_lost(name):
    film = chest(50)
    HALVES[name](film)
    assert faults(film) == {"half pictures"}


def test_sound_films_have_no_fault():
    assert faults(chest(50)) == set()


@pytest.mark.parametrize("lines", [1, 4, 9])
def test_a_thin_bar_is_no_lost_part(lines):
    film = chest(50)
    film[-lines:] = 0
    assert faults(film) == set()
    assert films.looks(film)["frame"] == pytest.approx(lines / 96)


@pytest.mark.parametrize("level", [0, 7, 255])
def test_a_blank_film(level):
    assert faults(np.full((96, 96), level, np.uint8)) == {"blank"}


@pytest.mark.parametrize("low, high", [(0, 255), (0, 1), (10, 200), (100, 140), (0, 90)])
def test_a_mask_has_two_tones(low, high):
    film = np.full((96, 96), low, np.uint8)
    film[20:70, 15:40] = film[25:75, 55:85] = high
    expected = "blank" if high - low == 1 else "two-tone"
    assert expected in faults(film)


@pytest.mark.parametrize("step", [15, 16, 20, 32, 51])
def test_a_film_of_few_levels(step):
    assert faults(chest(50) // step * step) == {"few grey levels"}


@pytest.mark.parametrize("divisor", [16, 8])
def test_a_film_of_12_bits_in_16_has_few_levels(divisor):
    assert "few grey levels" in faults(chest(50) // divisor)


def test_a_pale_film_has_a_small_range():
    assert faults((chest(50) / 255 * 60 + 180).astype(np.uint8)) & {
        "small range",
        "few grey levels",
    }


@pytest.mark.parametrize("count", [1, 5, 14, 30])
def test_negatives_are_told_however_many(count):
    assert faults(*(255 - chest(seed) for seed in range(50, 50 + count))) == {"negatives"}


def test_all_films_may_be_negatives():
    described = pd.DataFrame([films.looks(255 - chest(seed)) for seed in range(12)])
    assert films.faults(described)["negatives"].all()


@pytest.mark.parametrize("turns", [1, 3])
def test_a_film_on_its_side_is_turned_and_no_negative(turns):
    assert faults(np.rot90(chest(50), turns)) == {"turned"}


def test_mirrored_and_upside_down_films_are_no_negatives():
    assert "negatives" not in faults(np.rot90(chest(50), 2), chest(51)[:, ::-1])


def test_few_films_are_not_judged_against_each_other():
    described = pd.DataFrame([films.looks(chest(seed)) for seed in range(9)])
    assert films.faults(described)["negatives"] is None


def test_films_without_anything_in_common_are_not_judged_against_each_other():
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 256, (32, 32)).astype(np.uint8) for _ in range(40)]
    described = pd.DataFrame([films.looks(each) for each in noise])
    assert films.faults(described)["negatives"] is None
