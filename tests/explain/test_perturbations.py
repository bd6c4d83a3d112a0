import re

import keras
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from support.networks import mean_network

from xraylib.data.preparation import Preparation
from xraylib.explain import perturbations
from xraylib.explain.perturbations import (
    MEASURES,
    PERTURBATIONS,
    UNCHANGED,
    Perturbation,
    effects,
    most_affected,
    perturbed,
    rescore,
)

SQUARES = Preparation(8)
RAMP = np.tile(np.linspace(20, 235, 60).astype(np.uint8), (40, 1))


def scored(rows):
    """A table as `rescore` returns it, from (path, label, cue, perturbation, logit)."""
    table = pd.DataFrame(rows, columns=["path", "label", "cue", "perturbation", "logit"])
    return table.assign(patient=table["path"], split="validation")


def images(folder, greys, size=(30, 20)):
    rows = []
    for number, grey in enumerate(greys):
        path = folder / f"{number}.png"
        Image.new("L", size, grey).save(path)
        rows.append((path, f"patient {number}", "validation", number % 2))
    return pd.DataFrame(rows, columns=["path", "patient", "split", "label"])


# ------------------------------------------------------------------ the changes


@pytest.mark.parametrize("step", PERTURBATIONS, ids=lambda step: step.name)
def test_every_perturbation_gives_another_picture(step):
    noise = np.random.default_rng(0).integers(0, 256, RAMP.shape)
    picture = ((RAMP.astype(int) * 3 + noise) // 4).astype(np.uint8)
    after = step.change(picture)
    assert after.dtype == np.uint8
    assert after.ndim == 2
    assert after.shape != picture.shape or (after != picture).any()


def test_wider_spreads_the_middle_and_keeps_the_frame():
    stripe = np.zeros((10, 100), np.uint8)
    stripe[:, 40:60] = 200
    wide = perturbations.scaled(stripe, width=1.5)
    assert wide.shape == stripe.shape
    assert (wide[5] > 100).sum() == 30
    assert (perturbations.scaled(stripe, height=1.5)[5] > 100).sum() == 20


def test_narrower_repeats_the_outermost_column():
    bright_edges = np.full((4, 10), 100, np.uint8)
    bright_edges[:, [0, -1]] = 250
    narrow = perturbations.scaled(bright_edges, width=0.6)
    assert narrow.shape == bright_edges.shape
    assert (narrow[:, :2] == narrow[:, 2:3]).all()


def test_a_border_is_added_or_cut():
    picture = np.full((20, 40), 9, np.uint8)
    padded = perturbations.framed(picture, border=0.1)
    assert padded.shape == (24, 48)
    assert padded[:2].max() == padded[:, :4].max() == 0
    assert perturbations.framed(picture, border=-0.1).shape == (16, 32)


def test_blurring_takes_from_the_spread_what_sharpening_adds():
    noise = np.random.default_rng(1).integers(60, 190, (448, 448)).astype(np.uint8)
    assert perturbations.blurred(noise).std() < noise.std() < perturbations.sharpened(noise).std()


# ------------------------------------------------------------------ rescore


def test_the_logit_of_every_image_before_and_after(tmp_path):
    table = images(tmp_path, [51, 102])
    white = Perturbation("white", "colour", lambda pixels: np.full_like(pixels, 255))
    result = rescore(mean_network(), table, SQUARES, perturbations=[white])
    unchanged, white = [UNCHANGED, ""], ["white", "colour"]
    rows = result[["perturbation", "cue"]].to_numpy().tolist()
    assert rows == [unchanged, unchanged, white, white]
    assert result["label"].tolist() == [0, 1, 0, 1]
    assert result["logit"].tolist() == pytest.approx([0.2, 0.4, 1, 1])


def test_files_are_prepared_as_for_training(tmp_path):
    table = images(tmp_path, [255], size=(40, 20))
    # Padded to a square, half of it is black.
    result = rescore(mean_network(), table, Preparation(8, fit="pad"), perturbations=[])
    assert result["logit"].tolist() == pytest.approx([0.5])


def test_some_images_of_each_class(tmp_path):
    table = images(tmp_path, range(20)).assign(label=[0] * 15 + [1] * 5)
    result = rescore(mean_network(), table, SQUARES, images=6, perturbations=[])
    assert result["label"].value_counts().to_dict() == {0: 3, 1: 3}
    again = rescore(mean_network(), table, SQUARES, images=6, perturbations=[])
    assert result["path"].tolist() == again["path"].tolist()


def test_an_unreadable_image_is_left_out(tmp_path):
    table = images(tmp_path, [51, 102])
    table["path"][0].write_text("not an image")
    assert rescore(mean_network(), table, SQUARES, perturbations=[])["label"].tolist() == [1]
    table["path"][1].write_text("neither")
    with pytest.raises(ValueError, match=r"not one of 2 images can be read: .*0\.png"):
        rescore(mean_network(), table, SQUARES)


def test_nothing_to_perturb(tmp_path):
    table = images(tmp_path, [51])
    with pytest.raises(ValueError, match="there are no images to perturb"):
        rescore(mean_network(), table.head(0), SQUARES)
    network = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten()], name="plain")
    with pytest.raises(ValueError, match=r"must have a layer named \"logit\".*Received: 'plain'"):
        rescore(network, table, SQUARES)


# ------------------------------------------------------------------ effects


ROWS = [
    ("a", 0, "", UNCHANGED, -1.0),
    ("b", 0, "", UNCHANGED, -1.0),
    ("c", 1, "", UNCHANGED, 1.0),
    ("d", 1, "", UNCHANGED, 1.0),
    ("a", 0, "shape", "wider", 2.0),
    ("b", 0, "shape", "wider", -1.0),
    ("c", 1, "shape", "wider", 0.5),
    ("d", 1, "shape", "wider", 1.0),
]


def test_effects_by_hand():
    result = effects(scored(ROWS), resamples=0).set_index("measure")["value"]
    assert list(result.index) == list(MEASURES)
    # The logits spread by 1; class 0 moved by 3 and 0, class 1 by -.5 and 0.
    assert result["logit, class 0"] == pytest.approx(1.5)
    assert result["logit, class 1"] == pytest.approx(-0.25)
    assert result["flips"] == pytest.approx(0.25)
    # Of four pairs a is now above both of class 1.
    assert result["AUC"] == pytest.approx(-0.5)
    assert result["sensitivity"] == pytest.approx(0)
    assert result["specificity"] == pytest.approx(-0.5)


def test_intervals_hold_the_value_and_are_seeded():
    rng = np.random.default_rng(0)
    rows = []
    for number in range(60):
        label, logit = number % 2, rng.normal()
        rows.append((str(number), label, "", UNCHANGED, logit))
        rows.append((str(number), label, "shape", "wider", logit + rng.normal(0.5, 0.2)))
    result = effects(scored(rows), resamples=300)
    assert (result["low"] <= result["value"]).all() and (result["value"] <= result["high"]).all()
    moved = result[result["measure"] == "logit, class 0"].iloc[0]
    assert 0.3 < moved["low"] < moved["high"] < 0.7
    pd.testing.assert_frame_equal(result, effects(scored(rows), resamples=300))


def test_effects_need_both_classes_and_the_unchanged():
    with pytest.raises(ValueError, match=r"images of both classes\. Received: only the label 1"):
        effects(scored([row for row in ROWS if row[1] == 1]))
    with pytest.raises(ValueError, match="no unchanged images"):
        effects(scored(ROWS[4:]))


# ------------------------------------------------------------------ images


def test_the_image_whose_decision_flips_comes_first():
    rows = [
        ("far", 0, "", UNCHANGED, 3.0),
        ("near", 0, "", UNCHANGED, -0.5),
        ("far", 0, "shape", "wider", 1.0),
        ("near", 0, "shape", "wider", 0.5),
        ("near", 0, "shape", "taller", 0.1),
    ]
    result = most_affected(scored(rows), "shape", images=2)
    assert result["path"].tolist() == ["near", "far"]
    assert result["perturbation"].tolist() == ["wider", "wider"]
    assert result.loc[0, ["before", "after"]].tolist() == pytest.approx([0.3775, 0.6225], abs=1e-4)
    with pytest.raises(ValueError, match=r"cue must be one of shape\. Received: 'form'"):
        most_affected(scored(rows), "form")


def test_a_perturbed_file_to_look_at(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(RAMP).save(path)
    np.testing.assert_array_equal(perturbed(path, UNCHANGED), RAMP)
    wider = perturbations.scaled(RAMP, width=1.12)
    np.testing.assert_array_equal(perturbed(path, "12 % wider"), wider)
    with pytest.raises(ValueError, match=re.escape("Received: '99 % wider'")):
        perturbed(path, "99 % wider")
    Image.fromarray(np.full((8, 8), 4095, np.uint16)).save(path)
    assert (perturbed(path, UNCHANGED, bits=12) == 255).all()
