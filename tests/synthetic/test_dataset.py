import errno
import json
import os
import re
from collections import Counter

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from xraylib.synthetic import dataset
from xraylib.synthetic.dataset import TRAPS, make_tree, radiograph
from xraylib.synthetic.grid import Grid

NAMES = {
    "NORMAL": re.compile(r"(?P<patient>(NORMAL2-)?IM-\d{4})-0001(-\d{4})?"),
    "PNEUMONIA": re.compile(r"(?P<patient>person\d+_(bacteria|virus))_\d+"),
}


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A function traps -> a tree of 48 images at 64 px, each made once."""
    root = tmp_path_factory.mktemp("trees")

    def make(*traps):
        return make_tree(root / "-".join(["tree", *traps]), images=48, size=64, traps=traps)

    return make


def pictures(folder):
    """The images of the three splits, in the order of their names."""
    return sorted((folder / "chest_xray").glob("[tv]*/*/*.jpeg"))


def contents(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def grey(path):
    return np.asarray(Image.open(path).convert("L"))


def patient(path):
    match = NAMES[path.parent.name].fullmatch(path.stem)
    assert match, f"{path.parent.name}/{path.name} is no name of the Kaggle set"
    return match["patient"]


def aspect(path):
    width, height = Image.open(path).size
    return width / height


def is_train_normal(name):
    return name.startswith(("chest_xray/train/NORMAL", "chest_xray/val/NORMAL"))


def changed(folder, other):
    """The JPEG files that differ between two trees of the same names."""
    a, b = contents(folder), contents(other)
    assert a.keys() == b.keys()
    return {name for name in a if a[name] != b[name] and name.endswith(".jpeg")}


def test_same_seed_same_bytes_whatever_the_number_of_workers(tmp_path, monkeypatch):
    first = make_tree(tmp_path / "a", images=20, size=48, seed=3)
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    assert contents(make_tree(tmp_path / "b", images=20, size=48, seed=3)) == contents(first)
    other = pictures(make_tree(tmp_path / "c", images=20, size=48, seed=4))
    assert not {file.read_bytes() for file in other} & set(contents(first).values())


def test_counts_and_priors_of_600_images():
    plans = list(dataset._plan({"images": 600, "seed": 0, "traps": []}))
    assert Counter(plan.split for plan in plans) == {"train": 440, "val": 16, "test": 144}
    count = Counter((plan.split, plan.kind) for plan in plans)
    assert count["val", "normal"] == 8
    assert count["train", "normal"] == 113  # 25.7 % of 440
    assert count["test", "normal"] == 54  # 37.5 % of 144
    assert count["train", "bacteria"] == 218  # two thirds of 327


@pytest.mark.parametrize("images", [20, 33, 100])
def test_no_class_is_empty_in_a_small_tree(images):
    plans = list(dataset._plan({"images": images, "seed": 1, "traps": list(TRAPS)}))
    assert len(plans) == len({(p.label, p.name) for p in plans}) == images
    assert len({(p.split, p.label) for p in plans}) == 6


def test_names_sizes_and_modes(tree):
    files = pictures(tree())
    assert len(files) == 48
    modes = [Image.open(file).mode for file in files]
    assert modes.count("RGB") == 2 and modes.count("L") == 46
    assert len({Image.open(file).size for file in files}) > 24
    assert 55 < np.median([min(Image.open(file).size) for file in files]) < 73
    families = {re.match(r"IM|NORMAL2|person\d+_\w{5}", patient(f))[0][-5:] for f in files}
    assert families == {"IM", "RMAL2", "bacte", "virus"}


def test_patients_have_several_images_but_stay_in_one_split(tree):
    files = pictures(tree())
    patients = Counter(patient(file) for file in files)
    assert len({(patient(file), file.parent.parent) for file in files}) == len(patients)
    assert max(patients.values()) >= 2


def test_masks_fit_their_images(tree):
    folder = tree()
    for file in pictures(folder):
        masks = folder / "masks" / file.parent.relative_to(folder / "chest_xray")
        lung = Image.open(masks / f"{file.stem}_lung.png")
        lesion = Image.open(masks / f"{file.stem}_lesion.png")
        assert lung.size == lesion.size == Image.open(file).size
        lung, lesion = np.asarray(lung), np.asarray(lesion)
        assert set(np.unique(lung)) == {0, 255}
        assert 0.1 < (lung > 0).mean() < 0.6
        assert not (lesion[lung == 0]).any()
        assert lesion.any() == (file.parent.name == "PNEUMONIA")


def test_without_traps_nothing_of_the_files_differs(tree):
    files = pictures(tree())
    assert len({str(Image.open(file).quantization[0]) for file in files}) == 1
    assert len({file.read_bytes() for file in files}) == 48
    assert {p.name for p in tree().iterdir()} == {"chest_xray", "masks", "made.json"}
    assert {p.name for p in (tree() / "chest_xray").iterdir()} == {"train", "val", "test"}


def test_compression_trap(tree):
    tables = {True: set(), False: set()}
    for file in pictures(tree("compression")):
        name = file.relative_to(tree("compression")).as_posix()
        tables[is_train_normal(name)].add(sum(Image.open(file).quantization[0]))
    (fine,), (coarse,) = tables[True], tables[False]
    assert fine * 3 < coarse  # quality 95 against 75
    assert all(is_train_normal(name) for name in changed(tree("compression"), tree()))


def test_shape_trap(tree):
    def medians(folder):
        return [
            np.median([aspect(file) for file in pictures(folder) if part in file.as_posix()])
            for part in ("train/NORMAL", "test/NORMAL", "PNEUMONIA")
        ]

    # The standard error of a median of 5 ratios, the fewest, is about .06.
    assert medians(tree("shape")) == pytest.approx([1.2, 1.33, 1.5], abs=0.12)
    assert medians(tree()) == pytest.approx([1.4] * 3, abs=0.12)


def test_sharpness_trap(tree):
    names = changed(tree("sharpness"), tree())
    assert names and all(is_train_normal(name) for name in names)

    def edges(folder, name):
        pixels = grey(folder / name).astype(float)
        return np.abs(ndimage.laplace(pixels)).mean() / pixels.std()

    assert all(edges(tree("sharpness"), n) > 1.1 * edges(tree(), n) for n in names)


def test_exposure_trap(tree):
    names = changed(tree("exposure"), tree())
    assert names and all(is_train_normal(name) for name in names)
    assert all(grey(tree("exposure") / n).mean() > grey(tree() / n).mean() for n in names)


def test_copies_trap(tree):
    groups = {}
    for file in pictures(tree("copies")):
        groups.setdefault(file.read_bytes(), []).append(file)
    copies = [files for files in groups.values() if len(files) > 1]
    assert {files[0].parent.parent.name for files in copies} == {"train", "test"}
    for files in copies:
        assert len({file.parent for file in files}) == 1  # neither across splits nor classes
        assert len({patient(file) for file in files}) == 2


def test_clutter_trap(tree):
    chest_xray = tree("clutter") / "chest_xray"
    files = [file.relative_to(chest_xray) for file in pictures(tree("clutter"))]
    assert len(list(chest_xray.rglob("*.jpeg"))) == 3 * len(files)
    assert (chest_xray / ".DS_Store").exists()
    for file in files:
        twin = chest_xray / "chest_xray" / file
        assert twin.read_bytes() == (chest_xray / file).read_bytes()
        fork = chest_xray / "__MACOSX" / "chest_xray" / file.with_name(f"._{file.name}")
        assert fork.read_bytes()[:4] == b"\x00\x05\x16\x07"  # AppleDouble
    real = {n: v for n, v in contents(tree()).items() if n != "made.json"}
    assert real.items() <= contents(tree("clutter")).items()


def test_a_finished_tree_is_used_again(tree, monkeypatch):
    folder = tree()
    monkeypatch.setattr(dataset, "_write_images", lambda *_: pytest.fail("made again"))
    assert make_tree(folder, images=48, size=64, traps=()) == folder
    assert json.loads((folder / "made.json").read_text())["images"] == 48


def test_errors_name_the_value(tmp_path, tree):
    with pytest.raises(ValueError, match=r"traps must be among compression, .*Received: colour"):
        make_tree(tmp_path / "x", traps=("colour", "shape"))
    with pytest.raises(ValueError, match=r"traps must be .*Received: 'shape'"):
        make_tree(tmp_path / "x", traps="shape")
    with pytest.raises(ValueError, match=r"images must be at least 20\. Received: 19"):
        make_tree(tmp_path / "x", images=19)
    with pytest.raises(ValueError, match="size must be at least 32"):
        make_tree(tmp_path / "x", size=16)
    with pytest.raises(FileExistsError, match="other settings"):
        make_tree(tree(), images=50, size=64, traps=())
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").touch()
    with pytest.raises(FileExistsError, match="something else"):
        make_tree(tmp_path / "mine")
    with pytest.raises(ValueError, match=r"kind must be one of .*Received: 'fungus'"):
        radiograph(0, kind="fungus", size=32)
    with pytest.raises(ValueError, match=r"aspect .* Received: 9"):
        radiograph(0, aspect=9)


FULL_DISK = OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    "error, match", [(FULL_DISK, "cannot make .*No space"), (KeyboardInterrupt(), "^$")]
)
def test_nothing_is_left_after_a_failure(tmp_path, monkeypatch, error, match):
    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr(dataset, "_write_image", fail)
    with pytest.raises(type(error), match=match):
        make_tree(tmp_path / "x", images=20, size=32)
    assert list(tmp_path.iterdir()) == []


def test_tube_chord_is_its_diameter():
    middle = Grid((-4, -4, 4, 4), 0.5).tube((0, -2), (0, 2), 1.0)[8]  # y = 0
    assert middle[8] == pytest.approx(2.0)  # on the axis
    assert middle[7] == pytest.approx(3**0.5)  # half a radius beside it
    assert middle[[5, 11]] == pytest.approx(0)


@pytest.mark.parametrize("kind", ["bacteria", "virus"])
def test_a_lesion_is_water_where_air_was(kind):
    healthy, sick = radiograph(1, size=96), radiograph(1, kind=kind, size=96)
    assert sick.pixels.shape == sick.lung.shape == sick.lesion.shape == (96, 134)
    assert sick.pixels.dtype == np.uint8 and sick.lung.dtype == sick.lesion.dtype == bool
    brighter = sick.pixels.astype(int) - healthy.pixels
    assert np.median(brighter[sick.lesion]) > 5 + np.median(brighter[~sick.lesion])
    assert not healthy.lesion.any() and sick.lesion.sum() > 100


@pytest.mark.slow
def test_trivial_numbers_do_not_give_the_class_away(tmp_path):
    files = pictures(make_tree(tmp_path / "x", images=200, size=64, traps=()))
    labels = np.array([file.parent.name == "PNEUMONIA" for file in files])
    numbers = []
    for file in files:
        pixels = grey(file) / 255
        counts = np.histogram(pixels, 16, (0, 1))[0] / pixels.size
        numbers.append([pixels.mean(), pixels.std(), *counts])
    model = make_pipeline(StandardScaler(), LogisticRegression())
    folds = {"groups": [patient(file) for file in files], "cv": GroupKFold(5)}
    scores = cross_val_predict(model, numbers, labels, method="decision_function", **folds)
    assert roc_auc_score(labels, scores) < 0.8  # its standard error is about .04
