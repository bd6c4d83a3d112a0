from dataclasses import fields

import numpy as np
import pytest
from scipy import ndimage

from xraylib.data.augmentation import Augmentation, recompressed

NAMES = [field.name for field in fields(Augmentation)]
EVERYTHING = {
    **{"crop": 0.5, "borrow": 1.0, "scale": 0.35, "rotation": 10, "shift": 0.1, "flip": True},
    **{"gamma": 0.35, "contrast": 0.35, "blur": 1.0, "sharpen": 1.5, "noise": 8.0},
    "recompress": True,
}
# `size` is no change of its own.
CHANGES = [name for name in NAMES if name != "size"]
NOISE = np.random.default_rng(0).integers(0, 256, (24, 24)).astype(np.uint8)
DONOR = NOISE[::-1] // 2


class Fixed:
    """Draw the highest number of each range, or the lowest where `ends` says so, in turn."""

    def __init__(self, *ends):
        self.ends = list(ends)
        self.standard_normal = np.random.default_rng(0).standard_normal
        self.random = lambda: 0.0

    def uniform(self, low, high):
        end = self.ends.pop(0) if self.ends else "high"
        return low if end == "low" else high


def changed(pixels, *ends, donor=None, **options):
    return Augmentation(**options).apply(np.array(pixels, np.uint8), Fixed(*ends), donor)


def of_seeds(count, **options):
    """What becomes of NOISE with each of some random seeds, as bytes."""
    made = Augmentation(**options)
    return [
        made.apply(NOISE, np.random.default_rng(seed), DONOR).tobytes() for seed in range(count)
    ]


# ------------------------------------------------------------------ all of it


@pytest.mark.parametrize("shape", [(24, 24), (24, 24, 1)])
def test_nothing_unless_asked_for(shape):
    pixels = NOISE.reshape(shape)
    same = Augmentation().apply(pixels, np.random.default_rng(0))
    np.testing.assert_array_equal(same, pixels)


def test_whether_anything_is_asked_for():
    assert not Augmentation()
    assert Augmentation(scale=0.1)
    assert Augmentation(flip=True)


@pytest.mark.parametrize("shape", [(24, 24), (24, 24, 1), (16, 36, 1)])
@pytest.mark.parametrize("fields", [{"scale": 0.35}, EVERYTHING], ids=["scale", "everything"])
def test_shape_and_dtype_stay(fields, shape):
    result = Augmentation(**fields).apply(NOISE.reshape(shape), np.random.default_rng(0), DONOR)
    assert result.shape == shape
    assert result.dtype == np.uint8


@pytest.mark.parametrize("name", CHANGES)
def test_chance_is_the_given_one(name):
    value = {"recompress": True, "flip": True, "shift": 0.5, "crop": 0.1}.get(name, 1.0)
    results = of_seeds(16, **{name: value})
    assert results == of_seeds(16, **{name: value})
    assert len(set(results)) > (1 if name == "flip" else 4)


def test_the_image_itself_is_left_alone():
    pixels = NOISE.copy()
    Augmentation(**EVERYTHING).apply(pixels, np.random.default_rng(0), DONOR)
    np.testing.assert_array_equal(pixels, NOISE)


# ------------------------------------------------------------------ one by one


def test_what_is_missing_is_the_mirror_image():
    # Half as wide: of 48 32 16 0 | 0 16 32 48 64 80 96 112 | 112 96 80 64 every second place, as
    # (a + 3 b + 3 c + d) / 8 of its neighbours; at the ends with one neighbour less, over 7.
    row = [0, 16, 32, 48, 64, 80, 96, 112]
    half = [37, 10, 10, 40, 72, 102, 102, 75]
    assert changed([row] * 8, "low", "low", scale=1).tolist() == [half] * 8


def test_width_and_height_have_factors_of_their_own_and_what_grows_out_is_cut():
    column = np.array([[0], [40], [80], [120]]).repeat(4, axis=1)
    # Twice as high, from a quarter of the way on in halves of a step, and half as wide.
    assert changed(column, "high", "low", scale=1)[:, 0].tolist() == [30, 50, 70, 90]
    # The other way round, no row is where it was, and all columns are alike.
    wide = changed(column.T, "low", "high", scale=1)
    assert wide.tolist() == [[30, 50, 70, 90]] * 4


def test_a_crop_is_a_box_of_the_image():
    # Drawn: the least area, 1/4, as a square, then the largest offsets: the last quarter.
    square = np.arange(16).reshape(4, 4) * 10
    crop = Augmentation(crop=0.25, size=2)
    assert crop.apply(square.astype(np.uint8), Ratio1()).tolist() == [[100, 110], [140, 150]]


class Ratio1(Fixed):
    """Draws the least area, a square, and the largest offsets."""

    def uniform(self, low, high):
        return 0.0 if low == -1 else low if high == 1 and low > 0 else high


def test_the_result_of_a_crop_has_the_size_asked_for():
    for shape in [(40, 30), (40, 30, 1)]:
        image = np.zeros(shape, np.uint8)
        result = Augmentation(crop=0.1, size=16).apply(image, np.random.default_rng(0))
        assert result.shape == (16, 16, *shape[2:])


def test_borrowed_greys_are_those_of_the_same_quantiles():
    image, donor = np.array([[0, 10], [20, 30]]), np.array([[100, 110, 140, 200]], np.uint8)
    assert changed(image, donor=donor, borrow=1).tolist() == [[100, 110], [140, 200]]
    # The lowest strength, one half: in the middle between its own and the donor's.
    assert changed(image, "low", donor=donor, borrow=1).tolist() == [[50, 60], [80, 115]]


def test_no_greys_without_a_donor():
    with pytest.raises(ValueError, match="borrow needs a donor"):
        changed([[0, 1]], borrow=1)


def test_size_without_crop():
    with pytest.raises(ValueError, match=r"size must be 0 or, together with crop.*Received: 64"):
        Augmentation(size=64)


def test_a_quarter_turn_is_exact():
    square = np.arange(25).reshape(5, 5)
    np.testing.assert_array_equal(changed(square, rotation=90), np.rot90(square, -1))
    left = changed(square, "high", "high", "low", rotation=90)
    np.testing.assert_array_equal(left, np.rot90(square))


def test_shift_moves_by_a_share_of_each_side():
    # A quarter down and a quarter across: of mirrored edges there are one row and one column.
    square = np.arange(16).reshape(4, 4)
    expected = np.pad(square, [(1, 0), (1, 0)], mode="symmetric")[:4, :4]
    assert changed(square, shift=0.25).tolist() == expected.tolist()


def test_scaled_turned_and_moved_in_one_resampling():
    # What is a straight ramp stays one: four half-steps a pixel across, turned to point down.
    ramp = np.tile(8 * np.arange(16), (16, 1))
    made = changed(ramp, scale=1, rotation=90).astype(int)
    assert (np.diff(made, axis=0)[1:-1] == 4).all()
    assert (np.diff(made, axis=1)[1:-1] == 0).all()


MIRRORED = {NOISE[:, ::-1].tobytes()}
RECOMPRESSED = {recompressed(NOISE, quality).tobytes() for quality in range(30, 96)}


@pytest.mark.parametrize("name, possible", [("flip", MIRRORED), ("recompress", RECOMPRESSED)])
def test_every_other_image_is_flipped_or_recompressed(name, possible):
    results = of_seeds(64, **{name: True})
    assert 20 < results.count(NOISE.tobytes()) < 44
    assert set(results) - {NOISE.tobytes()} <= possible


def test_gamma_is_a_power_of_the_greys():
    # 255 * (128 / 255) ** 2 = 64.3 and 255 * (64 / 255) ** 0.5 = 127.7.
    assert changed([[0, 128, 255]], gamma=1).tolist() == [[0, 64, 255]]
    assert changed([[0, 64, 255]], "low", gamma=1).tolist() == [[0, 128, 255]]


def test_contrast_is_about_the_mean():
    assert changed([[90, 110, 160]], "high", "high", contrast=1).tolist() == [[60, 100, 200]]
    assert changed([[90, 110, 160]], "high", "low", contrast=1).tolist() == [[105, 115, 140]]


def test_greys_end_at_black_and_white():
    assert changed([[10, 150, 245, 255, 0]], contrast=2).tolist() == [[0, 186, 255, 255, 0]]


def test_blur_is_in_pixels():
    edge = np.zeros((40, 40))
    edge[:, 20:] = 250
    profile = np.diff(changed(edge, blur=3)[20].astype(float)) / 250
    place = np.arange(39) - 19
    assert profile @ place == pytest.approx(0, abs=0.05)
    assert np.sqrt(profile @ place**2) == pytest.approx(3, rel=0.05)


def test_sharpening_adds_what_a_blur_takes():
    edge = np.full((16, 16), 100.0)
    edge[:, 8:] = 130
    expected = edge + 2 * (edge - ndimage.gaussian_filter(edge, 1, mode="nearest"))
    assert np.abs(expected - edge).max() > 15
    np.testing.assert_allclose(changed(edge, sharpen=2), expected, atol=3)


def test_noise_is_in_grey_levels():
    noisy = changed(np.full((64, 64), 128), noise=10).astype(float)
    assert noisy.mean() == pytest.approx(128, abs=0.5)
    assert noisy.std() == pytest.approx(10, rel=0.05)


def test_a_lower_quality_leaves_less():
    smooth = ndimage.gaussian_filter(NOISE, 2)
    lost = [np.abs(recompressed(smooth, q).astype(int) - smooth).mean() for q in (95, 50, 5)]
    assert 0 < lost[0] < lost[1] < lost[2]


# ------------------------------------------------------------------ errors


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("crop", 1.5, r"crop must be from 0, for none, to 1\. Received: 1\.5"),
        ("borrow", -1, r"borrow must be from 0, for none, to 1\. Received: -1"),
        ("scale", -0.1, r"scale must be from 0, for none, to 1\. Received: -0\.1"),
        ("scale", 35, r"scale must be from 0, for none, to 1\. Received: 35"),
        ("rotation", 181, r"rotation must be .* to 180\. Received: 181"),
        ("shift", 10, r"shift must be from 0, for none, to 0\.5\. Received: 10"),
        ("flip", 1, r"flip must be True or False\. Received: 1"),
        ("gamma", 2.1, r"gamma must be .* to 2\. Received: 2\.1"),
        ("contrast", np.nan, r"contrast must be .* to 2\. Received: nan"),
        ("blur", np.inf, r"blur must be .* to 16\. Received: inf"),
        ("sharpen", -1, r"sharpen must be .* to 8\. Received: -1"),
        ("noise", 65, r"noise must be .* to 64\. Received: 65"),
        ("recompress", 75, r"recompress must be True or False\. Received: 75"),
    ],
)
def test_out_of_range(name, value, message):
    with pytest.raises(ValueError, match=message):
        Augmentation(**{name: value})


@pytest.mark.parametrize(
    ("pixels", "received"),
    [
        (np.zeros((4, 4)), r"float64 \(4, 4\)"),
        (np.zeros((4, 4, 3), np.uint8), r"uint8 \(4, 4, 3\)"),
        (np.zeros((2, 4, 4, 1), np.uint8), r"uint8 \(2, 4, 4, 1\)"),
        (np.zeros(4, np.uint8), r"uint8 \(4,\)"),
    ],
)
def test_what_is_no_image(pixels, received):
    with pytest.raises(ValueError, match=rf"give one image\. Received: {received}"):
        Augmentation(**EVERYTHING).apply(pixels, np.random.default_rng(0), DONOR)
