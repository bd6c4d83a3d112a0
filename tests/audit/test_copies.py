import itertools

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageOps

from xraylib.audit import copies, duplicates


def picture(seed):
    """A smooth picture, as a radiograph is."""
    coarse = np.random.default_rng(seed).integers(0, 256, (20, 20)).astype(np.uint8)
    return Image.fromarray(coarse).resize((90, 70), Image.Resampling.BICUBIC)


def table(*rows):
    """Measured files of (split, label, bytes, picture)."""
    return pd.DataFrame(
        [
            {
                "split": split,
                "label": label,
                "patient": f"p{number}",
                "name": f"{split}/{number}",
                "sha256": content,
                "phash": duplicates.perceptual_hash(np.asarray(image)),
            }
            for number, (split, label, content, image) in enumerate(rows)
        ]
    )


def found(rows):
    return {finding.check: finding for finding in copies.find(rows)}


def three_splits(names=("train", "val", "test")):
    """Two pictures of each class in each split, no two alike."""
    places = itertools.product(names, (0, 1), range(2))
    return [
        (split, label, f"own {number}", picture(number))
        for number, (split, label, _) in enumerate(places)
    ]


PAIRS = [("train", "val"), ("train", "test"), ("val", "test"), ("training", "validation")]


@pytest.mark.parametrize("first, second", PAIRS)
def test_the_same_bytes_are_found_between_each_pair_of_splits(first, second):
    rows = three_splits(dict.fromkeys([first, second, "test"]))
    shared = [(split, 0, "shared", picture(99)) for split in (first, second)]
    finding = found(table(*rows, *shared))["exact copies across splits"]
    assert (finding.severity, finding.count) == ("severe", 1)
    assert f"({' and '.join(sorted((first, second)))} 1)" in finding.meaning
    assert f"{first} with {second}" in finding.compared


@pytest.mark.parametrize("change", [ImageOps.mirror, ImageOps.flip, ImageOps.invert])
@pytest.mark.parametrize("first, second", PAIRS)
def test_the_same_looks_are_found_between_each_pair_of_splits(first, second, change):
    rows = three_splits(dict.fromkeys([first, second, "test"]))
    pair = [(first, 1, "a", picture(99)), (second, 1, "b", change(picture(99)))]
    finding = found(table(*rows, *pair))["near copies across splits"]
    assert (finding.severity, finding.count) == ("severe", 1)
    assert f"({' and '.join(sorted((first, second)))} 1)" in finding.meaning
    assert "negative" in finding.compared


def test_a_picture_in_three_splits_is_one_group_and_three_pairs():
    shared = [(split, 0, "shared", picture(99)) for split in ("train", "val", "test")]
    finding = found(table(*three_splits(), *shared))["exact copies across splits"]
    assert finding.count == 1
    assert "(test and train 1, test and val 1, train and val 1)" in finding.meaning


def test_a_copy_in_another_split_is_none_within_a_split():
    shared = [(split, 0, "shared", picture(99)) for split in ("train", "val")]
    findings = found(table(*three_splits(), *shared))
    assert findings["exact copies within a split"].count == 0
    assert findings["near copies across splits"].count == 0


def test_the_example_says_how_the_copy_looks():
    rows = three_splits()
    turned = picture(0).transpose(Image.Transpose.ROTATE_90)
    finding = found(table(*rows, ("test", 0, "x", turned)))["near copies across splits"]
    assert finding.examples == ["train/0 ~ test/12 (turned by 90°)"]


def test_nothing_is_claimed_of_splits_where_there_is_one():
    findings = found(table(*(("all", label, f"{label}", picture(label)) for label in (0, 1))))
    for kind in ("exact", "near"):
        finding = findings[f"{kind} copies across splits"]
        assert finding.meaning == "Not judged: there is only one split."
        assert finding.compared == "nothing"


def test_every_pair_that_was_compared_is_named_where_nothing_was_found():
    findings = found(table(*three_splits()))
    assert {finding.severity for finding in findings.values()} == {"fine"}
    for kind in ("exact", "near"):
        said = findings[f"{kind} copies across splits"].compared
        assert "(train 4, val 4, test 4): train with val, train with test, val with test" in said
