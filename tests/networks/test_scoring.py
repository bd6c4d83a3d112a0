import keras
import numpy as np
import pandas as pd
import pytest
from support.networks import mean_network

from xraylib.data import index, splits
from xraylib.data.loading import decode
from xraylib.data.preparation import Preparation
from xraylib.networks import models, scoring


def flat(*greys):
    """One image of 8 x 8 a grey value."""
    return np.array(greys, np.uint8).reshape(-1, 1, 1, 1).repeat(8, 1).repeat(8, 2)


def test_outputs_of_every_batch_in_order():
    logits = models.logits(mean_network())
    result = scoring.outputs(logits, [flat(0, 51), flat(255)])
    assert result.dtype == np.float64
    assert result[:, 0].tolist() == pytest.approx([0, 0.2, 1])
    assert scoring.outputs(mean_network(), []).shape == (0, 1)


def test_pneumonia_is_all_classes_but_the_first():
    inputs = keras.Input((8, 8, 1), dtype="uint8")
    mean = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1 / 255)(inputs))
    logit = keras.layers.Dense(3, name="logit", use_bias=False)(mean)
    network = keras.Model(inputs, keras.layers.Activation("softmax", name="score")(logit))
    network.get_layer("logit").set_weights([np.log([[1.0, 2.0, 5.0]])])
    # Of 1 : 2 : 5 seven eighths, of 1 : 1 : 1 two thirds.
    result = scoring.scores(network, [flat(255, 0)])
    assert result.tolist() == pytest.approx([7 / 8, 2 / 3])


def test_scores_are_the_probability():
    # 1 / (1 + exp(-.2)) and 1 / (1 + exp(-1)).
    result = scoring.scores(mean_network(), [flat(51, 255)])
    assert result.tolist() == pytest.approx([0.549834, 0.731059], abs=1e-6)


def test_a_network_without_logits_is_asked_for_its_own_scores():
    inputs = keras.Input((8, 8, 1), dtype="uint8")
    mean = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1 / 255)(inputs))
    assert scoring.scores(keras.Model(inputs, mean), [flat(51)]).tolist() == pytest.approx([0.2])


def test_sure_scores_are_not_made_ties():
    inputs = keras.Input((8, 8, 1), dtype="uint8")
    mean = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(0.2)(inputs))
    logit = keras.layers.Activation("linear", name="logit")(mean)
    network = keras.Model(inputs, keras.layers.Activation("sigmoid", name="score")(logit))
    # Logits of 20 and 22: in float32 both scores are 1.
    twenty, more = scoring.scores(network, [flat(100, 110)])
    assert twenty < more < 1


def test_predictions_stand_beside_their_images(tree):
    # In another order than by split, so that a row of the split is not a row of the table.
    table = splits.hold_out_validation(index.from_tree(tree)).sample(frac=1, random_state=0)
    images = decode(table, Preparation(8))
    scored = scoring.predictions(mean_network(), images, batch_size=4)
    chosen = images.table["split"].isin(("validation", "test"))
    rows = images.table[chosen].reset_index(drop=True)
    pd.testing.assert_frame_equal(scored.drop(columns="score"), rows)
    expected = 1 / (1 + np.exp(-images.pixels[chosen].mean(axis=(1, 2, 3)) / 255))
    np.testing.assert_allclose(scored["score"], expected, rtol=1e-5)
    assert len(set(expected.round(4))) > 5  # a wrong order would not pass
