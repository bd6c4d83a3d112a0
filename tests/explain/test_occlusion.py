import numpy as np
import pytest

from xraylib.explain import occlusion


def at(row, column):
    """A score that is the grey value at one place."""
    return lambda images: images[:, row, column, 0].astype(float)


def white(size=12, count=1):
    return np.full((count, size, size, 1), 200, np.uint8)


def test_evidence_is_around_the_place_that_the_score_rests_on():
    maps = occlusion.heatmap(at(7, 3), white(), patch=3, stride=1)
    assert maps.shape == (1, 12, 12)
    assert maps.dtype == np.float32
    assert np.argwhere(maps[0] == 1).tolist() == [[7, 3]]
    rows, columns = np.nonzero(maps[0])
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (5, 9, 1, 5)


@pytest.mark.parametrize("size, patch, stride", [(12, 5, 4), (13, 4, 3), (7, 7, 1), (5, 1, 1)])
def test_the_patches_cover_the_whole_image(size, patch, stride):
    for place in (0, size - 1):
        maps = occlusion.heatmap(at(place, place), white(size), patch=patch, stride=stride)
        assert maps[0, place, place] == 1


def test_patch_and_stride_fit_every_image_by_default():
    for size in (1, 2, 5, 31):
        assert occlusion.heatmap(at(0, 0), white(size)).shape == (1, size, size)


def test_a_score_that_rises_or_stays_gives_an_empty_map():
    assert not occlusion.heatmap(lambda images: -at(2, 2)(images), white()).any()
    assert not occlusion.heatmap(lambda images: np.zeros(len(images)), white()).any()


def test_every_image_is_scaled_by_itself():
    images = white(count=2)
    images[1] //= 4
    maps = occlusion.heatmap(at(5, 5), images)
    np.testing.assert_allclose(maps[0], maps[1])


def test_images_stay_as_they_are():
    images = white()
    occlusion.heatmap(at(5, 5), images)
    assert (images == 200).all()


def test_coverings_by_hand():
    images = np.array([[[0, 100]], [[10, 20]]], np.uint8)[..., np.newaxis]
    assert occlusion.covering(images, "mean").ravel().tolist() == [50, 50, 15, 15]
    assert not occlusion.covering(images, "black").any()
    constant = np.full((2, 9, 9, 1), 7, np.uint8)
    np.testing.assert_array_equal(occlusion.covering(constant, "blur"), constant)


@pytest.mark.parametrize("wrong", [{"patch": 13}, {"patch": -1}, {"patch": 2, "stride": -1}])
def test_a_patch_that_does_not_fit(wrong):
    with pytest.raises(ValueError, match="patch must be 1 to 12 pixels, stride 1 or more"):
        occlusion.heatmap(at(0, 0), white(), **wrong)


def test_an_unknown_fill():
    with pytest.raises(ValueError, match=r"fill must be one of mean, .*\. Received: 'red'"):
        occlusion.heatmap(at(0, 0), white(), fill="red")
