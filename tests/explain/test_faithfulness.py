from functools import partial

import numpy as np
import pandas as pd
import pytest

from xraylib.explain import faithfulness, gradcam
from xraylib.networks import models


def by_measure(table):
    return table.pivot(index=["map", "image"], columns="measure", values="value")


LESION = np.array([[[1, 1, 0, 0]]], bool)


# ------------------------------------------------------------------ localization


@pytest.mark.parametrize(
    "values, pointing, energy, empty",
    [
        ([0.5, 0, 0, 0], 1, 1, 0),
        ([0, 0.5, 0.5, 0], 0.5, 0.5, 0),  # of two highest places one lies inside
        ([0.3, 0, 0.7, 0], 0, 0.3, 0),
        ([0.2, 0.2, 0.6, 0], 0, 0.4, 0),
        ([1, 1, 1, 1], 0.5, 0.5, 0),
        ([0, 0, 0, 0], 0, 0, 1),
    ],
)
def test_localization_by_hand(values, pointing, energy, empty):
    table = faithfulness.localization({"a": np.array([[values]], float)}, LESION)
    (row,) = by_measure(table).to_dict("records")
    assert row == pytest.approx({"pointing": pointing, "energy": energy, "empty": empty})


def test_the_lesion_itself_is_found_whole():
    lesions = np.random.default_rng(0).random((5, 8, 8)) > 0.7
    table = by_measure(faithfulness.localization({"lesion": lesions.astype(float)}, lesions))
    assert (table[["pointing", "energy"]] == 1).all(axis=None)


def test_localization_needs_a_lesion_and_maps_of_its_shape():
    with pytest.raises(ValueError, match="no lesion to point into"):
        faithfulness.localization({"a": np.ones((1, 1, 4))}, ~LESION & False)
    with pytest.raises(ValueError, match=r"a has the shape \(1, 4\), the lesions \(1, 1, 4\)"):
        faithfulness.localization({"a": np.ones((1, 4))}, LESION)


def test_references_know_nothing_of_their_own_image():
    rng = np.random.default_rng(0)
    maps, lesions = rng.random((4, 9, 9)), rng.random((4, 9, 9)) > 0.5
    pixels = rng.integers(0, 256, (4, 9, 9, 1), np.uint8)
    result = faithfulness.references(maps, lesions, pixels)
    assert all(each.shape == maps.shape for each in result.values())
    assert all(((each >= 0) & (each <= 1)).all() for each in result.values())
    np.testing.assert_allclose(result["mean of the other maps"][1], maps[[0, 2, 3]].mean(0))
    np.testing.assert_allclose(result["mean of the other lesions"][0], lesions[1:].mean(0))
    assert result["centre of the image"][0].argmax() == 4 * 9 + 4
    np.testing.assert_array_equal(result[faithfulness.RANDOM], faithfulness.random_maps(4, 9))


# ------------------------------------------------------------------ deletion and insertion


def left_half(images):
    """The share of white in the left half."""
    return images[:, :, :4, 0].mean((1, 2)) / 255


def curves_of(order, **how):
    pixels = np.full((1, 8, 8, 1), 255, np.uint8)
    maps = {"map": order[np.newaxis], faithfulness.RANDOM: faithfulness.random_maps(1, 8)}
    return faithfulness.curves(left_half, pixels, maps, steps=4, **how)


def test_curves_by_hand():
    order = np.zeros((8, 8))
    order[:, :4] = 1
    table = curves_of(order).query("map == 'map'")
    curves = {measure: rows["value"].tolist() for measure, rows in table.groupby("measure")}
    assert curves == {"deletion": [1, 0.5, 0, 0, 0], "insertion": [0, 0.5, 1, 1, 1]}
    assert table["share"].tolist() == [0, 0.25, 0.5, 0.75, 1] * 2


def test_areas_are_less_those_of_a_random_order():
    order = np.zeros((8, 8))
    order[:, :4] = 1
    table = curves_of(order)
    areas = faithfulness.areas(table).set_index("measure")["value"]
    for measure, own in (("deletion", 0.25), ("insertion", 0.75)):
        random = table[(table["map"] == faithfulness.RANDOM) & (table["measure"] == measure)]
        expected = own - np.trapezoid(random["value"], random["share"])
        assert areas[measure] == pytest.approx(expected)
    assert areas["deletion"] < 0 < areas["insertion"]


def test_an_empty_map_does_as_a_random_one():
    areas = faithfulness.areas(curves_of(np.zeros((8, 8)), seed=0))
    np.testing.assert_allclose(areas["value"], 0, atol=1e-9)


# ------------------------------------------------------------------ randomization


def test_shuffled_weights_change_the_maps_and_are_restored():
    network = models.basic_cnn(32)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 1), np.uint8)
    weights = network.get_weights()
    draw = partial(gradcam.heatmap, network, pixels, method="hirescam")
    table = faithfulness.randomization(network, draw)
    assert table["map"].unique().tolist() == [
        faithfulness.ANOTHER,
        *("logit", "dense1", "conv3", "conv2", "conv1"),
    ]
    assert set(table["measure"]) == {"rank correlation", "SSIM"}
    assert table["value"].min() < 0.9
    assert all(map(np.array_equal, weights, network.get_weights()))


def test_weights_are_restored_after_an_error():
    network = models.basic_cnn(22)
    weights, draws = network.get_weights(), []

    def draw():
        draws.append(0)
        if len(draws) == 3:
            raise KeyboardInterrupt
        return np.ones((1, 22, 22))

    with pytest.raises(KeyboardInterrupt):
        faithfulness.randomization(network, draw)
    assert all(map(np.array_equal, weights, network.get_weights()))


def test_maps_that_do_not_depend_on_the_network_are_found_out():
    maps = np.random.default_rng(0).random((2, 16, 16))
    table = faithfulness.randomization(models.basic_cnn(22), lambda: maps)
    own = table[table["map"] != faithfulness.ANOTHER]
    np.testing.assert_allclose(own["value"], 1)


def test_the_correlation_of_an_empty_map_is_unknown():
    table = faithfulness.randomization(models.basic_cnn(22), lambda: np.zeros((1, 9, 9)))
    assert table.loc[table["measure"] == "rank correlation", "value"].isna().all()


@pytest.mark.parametrize(
    "first, second, expected",
    [
        (np.eye(9), np.eye(9), 1),
        (np.full((9, 9), 0.5), np.full((9, 9), 0.5), 1),
        # Without a structure only the means count: (2 a b + .0001) / (a^2 + b^2 + .0001).
        (np.full((9, 9), 0.2), np.full((9, 9), 0.6), 0.2401 / 0.4001),
    ],
)
def test_similarity_by_hand(first, second, expected):
    assert faithfulness.similarity(first, second) == pytest.approx(expected)
    assert faithfulness.similarity(second, first) == pytest.approx(expected)


# ------------------------------------------------------------------ means


def rows(values, *, name="a"):
    images = range(len(values))
    return pd.DataFrame({"map": name, "image": images, "measure": "m", "value": values})


def test_means_leave_out_what_is_missing():
    both = pd.concat([rows([1, np.nan, 0, 0], name="b"), rows([1, 1, 1, 1])])
    table = faithfulness.means(both, np.arange(4), resamples=50)
    assert table["map"].tolist() == ["b", "a"]
    assert table["value"].tolist() == pytest.approx([1 / 3, 1])
    assert table["images"].tolist() == [3, 4]
    assert table.loc[1, ["low", "high"]].tolist() == [1, 1]
    assert table.loc[0, "low"] <= 1 / 3 <= table.loc[0, "high"]


def test_images_of_one_patient_are_resampled_together():
    table = faithfulness.means(rows([0, 1, 0, 1]), np.array(["a", "a", "b", "b"]), resamples=50)
    assert table.loc[0, ["low", "high"]].tolist() == [0.5, 0.5]


def test_a_measure_that_no_image_has_is_missing():
    table = faithfulness.means(rows([np.nan, np.nan]), np.arange(2), resamples=10)
    assert table.loc[0, ["value", "low", "high"]].isna().all()
    assert table.loc[0, "images"] == 0
