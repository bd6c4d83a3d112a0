import numpy as np
import pytest
from PIL import Image
from support.films import chest

from xraylib.audit import looks, measurements
from xraylib.data import index


def findings(tmp_path, **changed):
    """The findings, by check, of 14 sound films and of those given by their names."""
    films = {f"film{number}": Image.fromarray(chest(number)) for number in range(14)}
    for number, (name, image) in enumerate((films | changed).items()):
        folder = tmp_path / ("NORMAL", "PNEUMONIA")[number % 2]
        folder.mkdir(exist_ok=True)
        image.save(folder / f"{name}.png")
    rows = measurements.measure(index.from_class_folders(tmp_path))
    rows = rows.assign(name=[path.stem for path in rows["path"]])
    return {each.check: each for each in looks.find(rows, {0: "NORMAL", 1: "PNEUMONIA"})}


def tinted(*, box, colour):
    image = Image.fromarray(chest(20)).convert("RGB")
    image.paste(Image.new("RGB", (box, box), colour))
    return image


def test_sound_films_have_none_of_these(tmp_path):
    grey_as_colour = Image.fromarray(chest(20)).convert("RGB")
    assert {each.severity for each in findings(tmp_path, colour=grey_as_colour).values()} == {
        "fine"
    }


@pytest.mark.parametrize(
    "image",
    [
        tinted(box=96, colour=(180, 120, 60)),
        tinted(box=24, colour=(255, 0, 0)),
        tinted(box=20, colour=(0, 90, 255)),
        Image.merge("RGB", [Image.fromarray(chest(20) // share) for share in (1, 1, 2)]),
    ],
    ids=["photo", "red mark", "blue mark", "yellowed"],
)
def test_a_film_with_colours(tmp_path, image):
    finding = findings(tmp_path, odd=image)["films: not grey"]
    assert (finding.severity, finding.count, finding.examples) == ("warning", 1, ["odd"])


@pytest.mark.parametrize("size", [(20, 20), (23, 96), (30, 96), (96, 33), (400, 96)])
def test_a_thumbnail_or_a_strip(tmp_path, size):
    image = Image.fromarray(chest(20)).resize(size)
    finding = findings(tmp_path, odd=image)["films: size outliers"]
    assert (finding.count, finding.examples) == (1, [f"odd {size[0]} x {size[1]}"])


@pytest.mark.parametrize("size", [(96, 192), (30, 30), (500, 400)])
def test_other_sizes_and_shapes_of_films_are_no_outliers(tmp_path, size):
    image = Image.fromarray(chest(20)).resize(size)
    assert findings(tmp_path, other=image)["films: size outliers"].count == 0


@pytest.mark.parametrize(
    "bars",
    [
        np.s_[:, :8],
        np.s_[:, -8:],
        np.s_[:6],
        np.s_[-6:],
    ],
    ids=["left", "right", "top", "bottom"],
)
@pytest.mark.parametrize("grey", [0, 128, 255])
def test_a_bar_of_one_grey_at_an_edge(tmp_path, bars, grey):
    film = chest(20)
    film[bars] = grey
    finding = findings(tmp_path, odd=Image.fromarray(film))["films: frames and bars"]
    assert (finding.severity, finding.count) == ("note", 1)
    assert finding.examples[0].startswith("odd (")


def test_each_finding_says_what_was_compared(tmp_path):
    assert all(each.compared for each in findings(tmp_path).values())
