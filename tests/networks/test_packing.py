"""Packing a network: what is fitted, what is written, and that a changed file is refused."""

import dataclasses
import json

import numpy as np
import pytest
from support import packed as made

from xraylib import errors
from xraylib.data.augmentation import Augmentation
from xraylib.evaluation import thresholds
from xraylib.networks import packed, packing

pytest.importorskip("tf2onnx", reason="the extra `export` is not installed")
pytestmark = pytest.mark.slow


@pytest.fixture
def folder(tmp_path):
    return made.copied(tmp_path / "packed")


def test_everything_lies_in_one_folder_with_its_checksums(folder):
    description = packed.read(folder)
    names = {*packed.ONNX.values(), packed.KERAS, packed.REFUSAL}
    assert set(description.checksums) == names
    assert {path.name for path in folder.iterdir()} == {*names, packed.DESCRIPTION}
    assert description.preparation == made.PREPARATION
    assert (description.name, description.date) == ("tiny", "2026-11-26")
    assert description.prevalence == 0.5 and 0 < description.threshold < 1
    assert description.rule == "highest balanced accuracy on validation"
    for bits in packed.ONNX:
        keras_auc, auc = (
            description.measured[f"validation AUC, {name}"] for name in ("Keras", bits)
        )
        assert abs(auc - keras_auc) <= packing.MOST_DIFFERENCE


def test_the_same_network_is_packed_into_the_same_bytes(folder, tmp_path):
    again = tmp_path / "again"
    packing.pack(made.network(), made.images(), again, name="tiny", version="1", date="2026-11-26")
    for path in folder.iterdir():
        assert (again / path.name).read_bytes() == path.read_bytes(), path.name


@pytest.mark.parametrize("name", [packed.ONNX["float"], packed.ONNX["int8"], packed.REFUSAL])
@pytest.mark.parametrize("change", ["one bit", "cut short", "longer", "missing"])
def test_a_changed_file_is_refused(folder, name, change):
    path = folder / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= change == "one bit"
    path.write_bytes(content[: -1 if change == "cut short" else None] + b"x" * (change == "longer"))
    if change == "missing":
        path.unlink()
    with pytest.raises(errors.ClassifierError, match=f"{name} (is not the file|cannot be read)"):
        packed.content(folder, name, packed.read(folder))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"threshold": 1.5}, "threshold must be between 0 and 1"),
        ({"threshold": "0.5"}, "threshold must be"),
        ({"temperature": 0}, "temperature must be between"),
        ({"prevalence": 1}, "prevalence must be between"),
        ({"classes": ["A"]}, "classes must be two"),
        ({"preparation": {"image_size": 0}}, "image_size must be 1 or more"),
        ({"preparation": {"side": 9}}, "unexpected keyword"),
        ({"more": 1}, "unexpected keyword"),
    ],
)
def test_a_description_that_does_not_fit_is_refused(folder, change, said):
    path = folder / packed.DESCRIPTION
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | change))
    with pytest.raises(errors.ClassifierError, match=said):
        packed.read(folder)


def test_what_is_no_description_is_refused(tmp_path):
    with pytest.raises(errors.ClassifierError, match="holds no classifier"):
        packed.read(tmp_path)
    for content in ("", "{}", "[]", "not JSON"):
        (tmp_path / packed.DESCRIPTION).write_text(content)
        with pytest.raises(errors.ClassifierError, match="does not describe a classifier"):
            packed.read(tmp_path)


def test_detectors_know_the_changes_they_were_fitted_with(tmp_path):
    options = {"name": "tiny", "version": "1", "date": "2026-11-26"}
    strange = {}
    for changes in (None, Augmentation(noise=60.0)):
        folder = tmp_path / str(bool(changes))
        packing.pack(made.network(), made.images(), folder, changes=changes, **options)
        with np.load(folder / packed.REFUSAL) as detectors:
            strange[bool(changes)] = detectors["region/look/spread"].sum()
    assert strange[True] > strange[False]


def test_rules_that_need_test_or_lack_a_split_are_refused(tmp_path):
    options = {"name": "tiny", "version": "1"}
    with pytest.raises(ValueError, match="without test"):
        packing.pack(
            made.network(), made.images(), tmp_path, rule=thresholds.Rule.ORACLE, **options
        )
    images = made.images()
    only_train = dataclasses.replace(images, table=images.table.assign(split="train"))
    with pytest.raises(ValueError, match="no images in the split 'validation'"):
        packing.pack(made.network(), only_train, tmp_path, **options)


def test_each_rule_gives_its_threshold():
    labels, scores = np.array([0, 0, 1, 1]), np.array([0.1, 0.3, 0.5, 0.9])
    rules = thresholds.Rule
    assert packing.threshold(labels, scores, rules.HALF) == (0.5, "fixed at .5")
    assert packing.threshold(labels, scores, rules.BEST_ON_VALIDATION)[0] == pytest.approx(0.4)
    assert packing.threshold(labels, scores, rules.SENSITIVE_ON_VALIDATION)[0] == pytest.approx(0.4)
