"""What several tests share."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import xraylib  # noqa: F401  before Keras, as its users are told to

# Kaggle's own names: of one patient there may be several images, in one split only.
TREE = {
    "train/NORMAL": [
        *(f"IM-{number:04}-0001.jpeg" for number in (115, 117, 119, 122, 125)),
        "IM-0115-0001-0001.jpeg",
        "IM-0117-0001-0002.jpeg",
        *(f"NORMAL2-IM-{number:04}-0001.jpeg" for number in (115, 383, 385, 388)),
        "NORMAL2-IM-0383-0001-0001.jpeg",
    ],
    "train/PNEUMONIA": [
        "person1_bacteria_1.jpeg",
        "person1_bacteria_2.jpeg",
        "person2_bacteria_3.jpeg",
        "person3_bacteria_10.jpeg",
        "person3_bacteria_11.jpeg",
        "person3_bacteria_12.jpeg",
        "person4_bacteria_14.jpeg",
        "person1_virus_6.jpeg",
        "person5_virus_18.jpeg",
        "person6_virus_20.jpeg",
        "person7_virus_23.jpeg",
        "person8_virus_27.jpeg",
    ],
    "val/NORMAL": ["NORMAL2-IM-1427-0001.jpeg", "NORMAL2-IM-1430-0001.jpeg"],
    "val/PNEUMONIA": ["person1946_bacteria_4874.jpeg", "person1946_bacteria_4875.jpeg"],
    "test/NORMAL": ["IM-0001-0001.jpeg", "IM-0003-0001.jpeg", "NORMAL2-IM-0012-0001.jpeg"],
    "test/PNEUMONIA": [
        "person100_bacteria_475.jpeg",
        "person100_bacteria_477.jpeg",
        "person1_virus_7.jpeg",
        "person10_virus_35.jpeg",
    ],
}


@pytest.fixture(scope="session", autouse=True)
def _cache_of_the_session(tmp_path_factory):
    """No test reads or fills the user's own cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XRAYLIB_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def tree(tmp_path):
    """A tree of 35 noisy images of about 40 px, no two alike; pneumonia has a bright middle."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "chest_xray"
    for place, names in TREE.items():
        (folder / place).mkdir(parents=True)
        for number, name in enumerate(names):
            pixels = rng.integers(40, 120, (37 + number % 3, 43 - number % 5)).astype(np.uint8)
            if place.endswith("PNEUMONIA"):
                pixels[12:26, 12:26] += 100
            Image.fromarray(pixels).save(folder / place / name, quality=90)
    return folder


@pytest.fixture
def real_data():
    """The folder that holds chest_xray_224 and chest_xray_originals."""
    folder = os.environ.get("XRAYLIB_REAL_DATA")
    if not folder:
        pytest.skip("XRAYLIB_REAL_DATA is not set: it names the folder that holds chest_xray_224")
    return Path(folder)


@pytest.fixture(autouse=True)
def figures_are_closed():
    """Or Matplotlib warns of the twenty-first, which may be that of an example."""
    yield
    if (pyplot := sys.modules.get("matplotlib.pyplot")) is not None:
        pyplot.close("all")
