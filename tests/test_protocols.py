"""The code of the experiment on tiny images; its results are in assets/results/protocols.csv."""

import pandas as pd
import pytest
from scipy.special import expit
from support.networks import mean_network
from support.scripts import load

from xraylib.data import index, loading
from xraylib.data.preparation import Preparation
from xraylib.evaluation import metrics

TINY = {"epochs": 1, "batch_size": 8, "seed": 0}


@pytest.fixture(scope="module")
def protocols():
    return load("experiments", "protocols.py")


@pytest.fixture
def images(tree):
    return loading.decode(index.from_tree(tree), Preparation(32))


# ------------------------------------------------------------------ cuts


def test_the_official_test_is_judged_as_it_is(protocols, tree):
    table = index.from_tree(tree)
    (cut,) = protocols.cuts(table, "official test", seed=0)
    assert ((cut["split"] == "test") == (table["split"] == "test")).all()


@pytest.mark.parametrize("seed", range(3))
def test_the_cross_validation_judges_every_image_of_train_once(protocols, tree, seed):
    table = index.from_tree(tree)
    cuts = protocols.cuts(table, "cross-validation by patient in train", seed=seed)
    judged = sorted(path for cut in cuts for path in cut[cut["split"] == "test"]["path"])
    assert len(cuts) == 5
    assert judged == sorted(table[table["split"] != "test"]["path"])
    for cut in cuts:  # the epoch is chosen on other patients
        assert set(cut["split"]) == {"train", "validation", "test"}
        assert (cut.groupby("patient")["split"].nunique() == 1).all()


@pytest.mark.parametrize("seed", range(3))
def test_a_resplit_changes_nothing_but_the_split(protocols, tree, seed):
    table = index.from_tree(tree)
    before = table.copy()
    cut = protocols.resplit(table, seed=seed)
    pd.testing.assert_frame_equal(table, before)
    pd.testing.assert_frame_equal(cut.drop(columns="split"), table.drop(columns="split"))
    # Each class has 14 images outside test, of which a seventh is 2.
    assert cut.groupby(["label", "split"]).size().to_dict() == {
        **{(0, "test"): 3, (0, "train"): 12, (0, "validation"): 2},
        **{(1, "test"): 4, (1, "train"): 12, (1, "validation"): 2},
    }


def test_a_resplit_ignores_patients_and_origin(protocols, tree):
    table = index.from_tree(tree)
    cuts = [protocols.resplit(table, seed=seed) for seed in range(100)]
    # Any image may come anywhere: with chances of .12 or more, in 100 seeds it does.
    for row in (0, len(table) - 1):
        assert {cut["split"].iloc[row] for cut in cuts} == {"train", "validation", "test"}
    # Of bacteria-3 there are three images.
    splits = [cut[cut["patient"] == "bacteria-3"]["split"].nunique() for cut in cuts]
    assert max(splits) > 1


# ------------------------------------------------------------------ judged


@pytest.mark.slow
def test_scores_and_trained_patients_belong_to_their_images(protocols, images, monkeypatch):
    monkeypatch.setattr(protocols.models, "basic_cnn", lambda size, **_: mean_network(size))
    monkeypatch.setattr(protocols.training, "fit", lambda *_, **__: None)
    cut = images.table.copy()
    # Of IM-115, bacteria-3 and, in the tree itself, virus-1, an image is judged and another trained
    # on; of IM-117 and bacteria-1 another is only in validation.
    moved = {
        "IM-0115-0001.jpeg": "test",
        "IM-0117-0001.jpeg": "validation",
        "IM-0117-0001-0002.jpeg": "test",
        "person1_bacteria_1.jpeg": "test",
        "person1_bacteria_2.jpeg": "validation",
        "person3_bacteria_10.jpeg": "test",
    }
    names = cut["path"].map(lambda path: path.name)
    cut["split"] = names.map(moved).fillna(cut["split"].replace("val", "train"))
    scored = protocols.judged(images, cut, **TINY)
    known = {path.name for path in scored[scored["shared_patient"]]["path"]}
    assert known == {"IM-0115-0001.jpeg", "person3_bacteria_10.jpeg", "person1_virus_7.jpeg"}
    assert len(scored) == 7 + 4
    by_path = pd.Series(expit(images.pixels.mean(axis=(1, 2, 3)) / 255), images.table["path"])
    assert scored["score"].tolist() == pytest.approx(by_path[scored["path"]].tolist())


# ------------------------------------------------------------------ study


@pytest.mark.slow
def test_a_study_has_one_row_a_metric(protocols, images):
    rows = protocols.study(images, {"data": "tiny"}, protocol="official test", **TINY)
    result = pd.DataFrame(rows)
    columns = "data protocol seed images metric value low high shared_patients"
    assert list(result) == columns.split()
    assert tuple(result["metric"]) == metrics.METRICS
    assert (result["images"] == 7).all()
    # The tree has virus-1 on both sides, and person1_virus_6 must have come to train.
    assert result["shared_patients"].tolist() == pytest.approx([1 / 7] * len(result))


def test_the_folds_are_judged_together(protocols, images, monkeypatch):
    def by_label(images, cut, **how):
        scored = cut[cut["split"] == "test"]
        return scored.assign(score=scored["label"].astype(float), shared_patient=False)

    monkeypatch.setattr(protocols, "judged", by_label)
    name = "cross-validation by patient in train"
    result = pd.DataFrame(protocols.study(images, {"data": "tiny"}, protocol=name, **TINY))
    assert len(result) == len(metrics.METRICS)
    assert (result["images"] == 28).all()
    assert result.set_index("metric").loc["AUC", "value"] == 1
