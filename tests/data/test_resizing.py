import keras
import numpy as np
import pytest
from PIL import Image

from xraylib.data.preparation import Preparation
from xraylib.data.resizing import square
from xraylib.data.words import CLASSES

KERAS_FITS = {
    "stretch": {},
    "crop": {"crop_to_aspect_ratio": True},
    "pad": {"pad_to_aspect_ratio": True},
}


def by_keras(folder, paths, preparation):
    """What Keras' own loader makes of the files of two classes: float32 (images, size, size)."""
    dataset = keras.utils.image_dataset_from_directory(
        folder,
        labels="inferred",
        color_mode="grayscale",
        image_size=(preparation.image_size, preparation.image_size),
        interpolation=preparation.resize,
        shuffle=False,
        verbose=False,
        **KERAS_FITS[preparation.fit],
    )
    pixels = np.concatenate([batch.numpy()[..., 0] for batch, _ in dataset])
    rows = {path: row for row, path in enumerate(dataset.file_paths)}
    return pixels[[rows[str(path)] for path in paths]]


@pytest.mark.slow
@pytest.mark.parametrize("fit", KERAS_FITS)
@pytest.mark.parametrize("image_size", [16, 37, 96])
@pytest.mark.parametrize("resize", ["bilinear", "area"])
def test_the_pixels_are_what_keras_takes(tmp_path, resize, fit, image_size):
    rng = np.random.default_rng(1)
    shapes = [(37, 41), (41, 37), (30, 53), (90, 20), (96, 96), (128, 200), (5, 50), (97, 8)]
    paths = []
    for number, shape in enumerate(shapes):
        folder = tmp_path / CLASSES[number % 2]
        folder.mkdir(exist_ok=True)
        paths.append(folder / f"{number}.png")
        Image.fromarray(rng.integers(0, 256, shape, np.uint8)).save(paths[-1])
    preparation = Preparation(image_size, resize, fit)
    squares = np.stack([preparation.read(path) for path in paths])
    # Whole numbers where Keras has fractions, and nothing more.
    assert np.abs(squares - by_keras(tmp_path, paths, preparation)).max() < 0.51


@pytest.mark.parametrize("fit", KERAS_FITS)
def test_bilinear_is_what_keras_takes_of_radiographs(real_data, fit):
    preparation = Preparation(224, fit=fit)
    # One in four of train, and all of test.
    for split, step in (("train", 4), ("test", 1)):
        folder = real_data / "chest_xray_originals" / split
        paths = sorted(folder.rglob("*.jpeg"))[::step]
        squares = np.stack([preparation.read(path) for path in paths])
        # A quarter is from rounding; the rest from the two JPEG decoders.
        assert np.abs(squares - by_keras(folder, paths, preparation)).mean(axis=(1, 2)).max() < 0.75


def test_area_averages_what_falls_into_a_pixel():
    pixels = np.array([[0, 10, 20, 30], [2, 8, 20, 34], [0, 0, 255, 255], [0, 4, 255, 255]])
    averages = square(pixels.astype(np.uint8), image_size=2, resize="area", fit="stretch")
    assert averages.tolist() == [[5, 26], [1, 255]]


def test_area_does_not_alias():
    board = (np.indices((9, 9)).sum(axis=0) % 2 * 255).astype(np.uint8)
    # 4 or 5 of 9 pixels are white; without antialiasing, the middle one alone counts.
    area = square(board, image_size=3, resize="area", fit="stretch")
    assert area.tolist() == [[113, 142, 113], [142, 113, 142], [113, 142, 113]]
    bilinear = square(board, image_size=3, resize="bilinear", fit="stretch")
    assert bilinear.tolist() == [[0, 255, 0], [255, 0, 255], [0, 255, 0]]


def test_area_shares_out_a_pixel_on_the_edge_of_two():
    # (2 x 30 + 60) / 3 and (60 + 2 x 120) / 3.
    pixels = np.array([[30, 60, 120]] * 2, np.uint8)
    for picture in (pixels, pixels.T):
        averages = square(picture, image_size=2, resize="area", fit="stretch")
        assert sorted(averages.ravel()) == [40, 40, 100, 100]


@pytest.mark.parametrize("resize", ["bilinear", "area"])
def test_crop_cuts_the_longer_side_about_the_middle(resize):
    pixels = np.array([[9, 1, 2, 9], [9, 3, 4, 9]], np.uint8)
    for turned in (pixels, pixels.T):
        middle = square(turned, image_size=2, resize=resize, fit="crop")
        assert sorted(middle.ravel()) == [1, 2, 3, 4]


@pytest.mark.parametrize("resize", ["bilinear", "area"])
def test_pad_adds_black_to_the_shorter_side(resize):
    pixels = np.full((4, 8), 9, np.uint8)
    expected = [[0] * 4, [9] * 4, [9] * 4, [0] * 4]
    assert square(pixels, image_size=4, resize=resize, fit="pad").tolist() == expected
    turned = square(pixels.T, image_size=4, resize=resize, fit="pad")
    assert turned.T.tolist() == expected
