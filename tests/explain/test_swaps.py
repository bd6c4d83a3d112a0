import numpy as np
import pandas as pd
import pytest
from PIL import Image
from support.networks import mean_network

from xraylib.data.preparation import Preparation
from xraylib.explain.perturbations import UNCHANGED
from xraylib.explain.swaps import effects, profile, profiles, rescore, towards

NOISE = np.random.default_rng(0).integers(60, 180, (60, 90)).astype(np.uint8)


def saved(path, pixels, **how):
    Image.fromarray(pixels).save(path, **how)
    return path


def profile_of(tmp_path, pixels, *, name="a.jpeg", **how):
    return profile([saved(tmp_path / name, pixels, **how)])


def change(own, other, cue):
    (step,) = [step for step in towards(own, other) if step.cue == cue]
    return step.change


# ------------------------------------------------------------------ profiles


def test_a_profile_by_hand(tmp_path):
    half_black = np.zeros((40, 60), np.uint8)
    half_black[:, 30:] = 200
    result = profile_of(tmp_path, half_black, name="a.png")
    assert result.aspect == 1.5
    assert np.isnan(result.quality)
    assert result.greys[[0, 199, 200]].tolist() == [0.5, 0.5, 1.0]
    assert result.spectrum.shape == (10,)
    assert result.spectrum[:2].sum() == pytest.approx(0)


def test_quality_and_aspect_are_medians_of_what_can_be_read(tmp_path):
    paths = [
        saved(tmp_path / f"{quality}.jpeg", NOISE[:, :width], quality=quality)
        for quality, width in ((60, 60), (75, 75), (95, 90))
    ]
    (tmp_path / "bad.jpeg").write_bytes(b"none")
    result = profile([*paths, tmp_path / "bad.jpeg"])
    assert (result.quality, result.aspect) == (75, 1.25)


def test_a_profile_needs_one_readable_file(tmp_path):
    (tmp_path / "bad.jpeg").write_bytes(b"none")
    with pytest.raises(ValueError, match="not one of 1 images can be read"):
        profile([tmp_path / "bad.jpeg"])


# ------------------------------------------------------------------ changes


def test_a_profile_given_itself_changes_nothing_but_compression(tmp_path):
    own = profile_of(tmp_path, NOISE, quality=90)
    for cue in ("shape", "sharpness", "exposure"):
        changed = change(own, own, cue)(NOISE)
        assert changed.shape == NOISE.shape
        assert np.abs(changed.astype(int) - NOISE).max() <= 1


@pytest.mark.parametrize("width", [60, 120])
def test_shape_is_cut_to_the_other_width_by_height(tmp_path, width):
    own = profile_of(tmp_path, NOISE)
    other = profile_of(tmp_path, np.resize(NOISE, (60, width)), name="b.jpeg")
    rows, columns = change(own, other, "shape")(NOISE).shape
    assert columns / rows == pytest.approx(width / 60, rel=0.03)
    assert rows == 60 or columns == 90


def test_exposure_takes_the_other_distribution(tmp_path):
    dark, light = (profile_of(tmp_path, NOISE + add, name=f"{add}.png") for add in (0, 40))
    np.testing.assert_array_equal(change(dark, light, "exposure")(NOISE), NOISE + 40)


def test_sharpness_takes_the_other_spectrum(tmp_path):
    own = profile_of(tmp_path, NOISE, name="a.png")
    smooth = np.asarray(Image.fromarray(NOISE).resize((45, 30)).resize((90, 60)))
    other = profile_of(tmp_path, smooth, name="b.png")
    changed = profile_of(tmp_path, change(own, other, "sharpness")(NOISE), name="c.png")
    before, after = (np.abs(each.spectrum - other.spectrum)[4:] for each in (own, changed))
    assert after.mean() < before.mean() / 3


def test_compression_is_saved_at_the_other_quality(tmp_path):
    fine, coarse = (profile_of(tmp_path, NOISE, name=f"{q}.jpeg", quality=q) for q in (95, 30))
    expected = np.asarray(Image.open(tmp_path / "30.jpeg"))
    np.testing.assert_array_equal(change(fine, coarse, "compression")(NOISE), expected)


def test_without_a_jpeg_there_is_no_compression_to_swap(tmp_path):
    own = profile_of(tmp_path, NOISE, name="a.png")
    assert [step.cue for step in towards(own, own)] == ["shape", "sharpness", "exposure"]


# ------------------------------------------------------------------ effects


def scored(moved):
    """Normal at -1 and -3, pneumonia at 2 and 4: five apart; `moved` by cue, what each becomes."""
    unchanged = [-1.0, -3.0, 2.0, 4.0]
    rows = [
        (f"{place}.png", f"p{place}", int(place > 1), cue, logit)
        for cue, logits in {"": unchanged, **moved}.items()
        for place, logit in enumerate(logits)
    ]
    table = pd.DataFrame(rows, columns=["path", "patient", "label", "cue", "logit"])
    return table.assign(perturbation=table["cue"].replace("", UNCHANGED))


def test_effects_by_hand():
    moved = {"compression": [-1, -3, 2, 4], "shape": [0, -2, 1, -1]}
    first, second = effects(scored(moved), resamples=0).to_dict("records")
    # Normal moves by +1 of the 5, pneumonia by (-1 - 5) / 2 = -3 of them.
    assert first["cue"] == "shape"
    assert (first["class 0"], first["class 1"]) == pytest.approx((0.2, 0.6))
    assert first["value"] == pytest.approx(0.4)
    assert np.isnan(first["low"])
    assert (second["cue"], second["value"]) == ("compression", 0)


def test_away_from_the_other_class_is_below_zero():
    (row,) = effects(scored({"shape": [-2, -4, 3, 5]}), resamples=0).to_dict("records")
    assert row["value"] == pytest.approx(-0.2)


def test_the_interval_holds_the_value_and_is_seeded():
    table = scored({"shape": [0, -2, 1, -1]})
    result = effects(table, resamples=300)
    assert result.loc[0, "low"] < result.loc[0, "value"] < result.loc[0, "high"]
    pd.testing.assert_frame_equal(result, effects(table, resamples=300))


def test_a_network_that_puts_the_classes_the_wrong_way_round_has_no_effects():
    table = scored({"shape": [0, 0, 0, 0]})
    table["label"] = 1 - table["label"]
    assert effects(table, resamples=10)["value"].isna().all()


# ------------------------------------------------------------------ a network


@pytest.fixture
def classes(tmp_path):
    """Twelve noisy files; those of label 1 are 40 levels lighter."""
    rows = []
    for place in range(12):
        pixels = np.random.default_rng(place).integers(60, 100, (40, 50)).astype(np.uint8)
        path = saved(tmp_path / f"{place}.png", pixels + 40 * (place % 2))
        rows.append((path, f"p{place}", "validation", place % 2))
    return pd.DataFrame(rows, columns=["path", "patient", "split", "label"])


def test_a_network_that_reads_the_mean_rests_on_exposure_alone(classes):
    result = rescore(mean_network(), classes, Preparation(8), profiles(classes), images=8)
    assert result["path"].nunique() == 8
    by_cue = effects(result, resamples=0).set_index("cue")["value"]
    assert by_cue.index[0] == "exposure"
    assert by_cue["exposure"] == pytest.approx(1, abs=0.05)
    assert by_cue.drop("exposure").abs().max() < 0.05


def test_a_swap_needs_both_classes(classes):
    one = classes[classes["label"] == 0]
    with pytest.raises(ValueError, match=r"both classes\. Received: the labels \[0\]"):
        profiles(one)
    with pytest.raises(ValueError, match=r"both classes\. Received: the labels \[0\]"):
        rescore(mean_network(), one, Preparation(8), profiles(classes))
