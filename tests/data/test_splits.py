from collections import Counter

import pandas as pd
import pytest

from xraylib.data import index, splits


@pytest.fixture
def table(tree):
    return index.from_tree(tree)


def sizes(table):
    return dict(Counter(zip(table["split"], table["label"], strict=True)))


def test_test_is_untouched_and_val_is_pooled(table):
    before = table.copy()
    cut = splits.hold_out_validation(table)
    pd.testing.assert_frame_equal(table, before)
    pd.testing.assert_frame_equal(cut.drop(columns="split"), table.drop(columns="split"))
    assert set(cut["split"]) == {"train", "validation", "test"}
    assert ((cut["split"] == "test") == (table["split"] == "test")).all()
    # Of the four in val, somewhere in ten draws one must come to either side.
    val = table["split"] == "val"
    sides = {s for n in range(10) for s in splits.hold_out_validation(table, seed=n)[val]["split"]}
    assert sides == {"train", "validation"}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("share, number", [(0.2, 5), (0.5, 2), (0.15, 7)])
def test_a_validation_is_the_first_of_as_many_folds(table, share, number, seed):
    cut = splits.hold_out_validation(table, share=share, seed=seed)
    first = splits.folds(table, number=number, seed=seed)[0]
    pd.testing.assert_frame_equal(cut[cut["split"] != "test"], first)


@pytest.mark.parametrize("share", [0, -0.1, 0.51, 1, float("nan")])
def test_share_out_of_range(table, share):
    with pytest.raises(ValueError, match=r"above 0 and at most \.5\. Received: "):
        splits.hold_out_validation(table, share=share)


def test_too_few_patients(table):
    # 9 patients in train and 1 or 2 more in val; a share of .05 asks for 20.
    with pytest.raises(
        ValueError, match=r"NORMAL has too few .* \(11\): a .* share of 0\.05 needs 20; give"
    ):
        splits.hold_out_validation(table, share=0.05)
    few = table[(table["label"] == 0) | (table["patient"] == "bacteria-3")]
    with pytest.raises(ValueError, match=r"PNEUMONIA has too few patients in train and val \(1\)"):
        splits.hold_out_validation(few)


def test_folds_are_of_train_and_val_alone(table):
    before = table.copy()
    folds = splits.folds(table, seed=0)
    pd.testing.assert_frame_equal(table, before)
    assert len(folds) == 5
    for cut in folds:
        pool = table[table["split"] != "test"]
        pd.testing.assert_frame_equal(cut.drop(columns="split"), pool.drop(columns="split"))
        assert set(cut["split"]) == {"train", "validation"}


def test_folds_pool_a_validation_that_was_held_out(table):
    held_out = splits.hold_out_validation(table, seed=1)
    for cut, other in zip(splits.folds(held_out, seed=0), splits.folds(table, seed=0), strict=True):
        pd.testing.assert_frame_equal(cut, other)


@pytest.mark.parametrize("number", [2, 5])
def test_every_image_is_validated_in_one_fold(table, number):
    folds = splits.folds(table, number=number, seed=0)
    validated = sum((cut["split"] == "validation").astype(int) for cut in folds)
    assert len(validated) == 28
    assert (validated == 1).all()


@pytest.mark.parametrize("seed", range(3))
def test_no_patient_on_both_sides_of_a_fold(table, seed):
    for cut in splits.folds(table, seed=seed):
        assert (cut.groupby("patient")["split"].nunique() == 1).all()


@pytest.mark.parametrize("seed", range(3))
def test_both_classes_keep_their_share_in_every_fold(table, seed):
    for cut in splits.folds(table, number=3, seed=seed):
        # A third of 14 is 4.7, and the largest patient has 3 images.
        assert 3 <= sizes(cut)["validation", 0] <= 6
        assert 3 <= sizes(cut)["validation", 1] <= 6


def test_the_seed_decides_on_the_folds(table):
    first, again, other = (pd.concat(splits.folds(table, seed=seed)) for seed in (3, 3, 4))
    assert first.equals(again)
    assert not first.equals(other)


@pytest.mark.parametrize("number", [1, 0, -5])
def test_number_of_folds_out_of_range(table, number):
    with pytest.raises(ValueError, match=f"folds must be 2 or more. Received: {number}"):
        splits.folds(table, number=number, seed=0)


def test_too_few_patients_for_the_folds(table):
    # In train and val there are 11 normal patients and 10 with pneumonia, in test more.
    with pytest.raises(ValueError, match=r"PNEUMONIA has too .* \(10\): 11 folds need 11; give"):
        splits.folds(table, number=11, seed=0)


def test_limit_keeps_so_many_of_each(table):
    chosen = splits.limit(table, 3)
    assert sizes(chosen) == {(s, k): 3 for s in ("train", "test") for k in (0, 1)} | {
        ("val", 0): 2,
        ("val", 1): 2,
    }
    assert chosen.index.tolist() == list(range(16))
    places = [table["path"].tolist().index(path) for path in chosen["path"]]
    assert places == sorted(places)


def test_limit_draws_at_random_from_the_seed(table):
    assert splits.limit(table, 3).equals(splits.limit(table, 3))
    assert not splits.limit(table, 3).equals(splits.limit(table, 3, seed=1))
    chosen = {path for seed in range(30) for path in splits.limit(table, 3, seed=seed)["path"]}
    assert chosen == set(table["path"])


@pytest.mark.parametrize("images", [0, 1000])
def test_limit_that_keeps_all(table, images):
    pd.testing.assert_frame_equal(splits.limit(table, images), table)


def test_negative_limit(table):
    with pytest.raises(ValueError, match=r"must be 0 \(all images\) or more\. Received: -1"):
        splits.limit(table, -1)


def test_real_data(real_data):
    table = index.from_tree(real_data / "chest_xray_224")
    cut = splits.hold_out_validation(table, share=0.15)
    assert (cut.groupby("patient")["split"].nunique() == 1).all()
    for label in (0, 1):  # a seventh of each class, 1341 and 3875 images
        part = cut[(cut["label"] == label) & (cut["split"] != "test")]["split"] == "validation"
        assert part.mean() == pytest.approx(1 / 7, abs=0.005)


def test_what_is_known_of_the_folder_stays_with_every_cut(table):
    table.attrs = {
        "classes": ["well", "ill"],
        "patients": {"rule": "kaggle", "patients": 3, "unknown": 0},
    }
    cut = splits.hold_out_validation(table)
    for part in (cut, splits.limit(cut, 2), splits.limit(cut, 0), *splits.folds(table, seed=0)):
        assert part.attrs == table.attrs


def test_a_patient_in_test_and_in_the_pool_is_warned_of(table):
    # virus-1 is in train and in test.
    with pytest.warns(UserWarning, match=r"^1 patient has images in test and .*, such as virus-1:"):
        splits.hold_out_validation(table)


def test_a_validation_without_a_class_is_refused():
    rows = [(f"ill{at}", 1) for at in range(7)] + [("well", 0)] * 30
    pool = pd.DataFrame(rows + [(f"ill{at}", 0) for at in range(7)], columns=["patient", "label"])
    pool = pool.assign(split="train", path=[f"{at}.png" for at in range(len(pool))])
    for seed in range(5):
        try:
            cut = splits.hold_out_validation(pool, seed=seed)
        except ValueError as error:
            assert "a validation by patient would lack a class" in str(error)
        else:
            assert (cut.groupby("split")["label"].nunique() == 2).all()
