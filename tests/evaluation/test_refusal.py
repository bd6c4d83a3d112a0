"""Detectors of what was not trained on: what they find, and that the knob is a share."""

import numpy as np
import pytest

from xraylib.evaluation import refusal


@pytest.fixture(scope="module")
def fitted():
    rng = np.random.default_rng(0)
    # Features that differ along 3 of 20 directions, as those of a network do.
    axes = rng.normal(size=(3, 20))

    def made(count):
        return 5 + rng.normal(size=(count, 3)) @ axes + rng.normal(0, 0.05, (count, 20))

    validation = {"late": made(400)}
    near = rng.uniform(size=400)
    return refusal.fit({"late": made(600)}, validation, others={"near": near}), validation, near


@pytest.mark.parametrize("share", [0.02, 0.1, 0.5])
def test_the_knob_is_the_share_of_validation_that_is_refused(fitted, share):
    detectors, validation, near = fitted
    strangeness, _ = detectors.strangest(detectors.ranks(validation, {"near": near}))
    assert np.mean(strangeness > detectors.limit(share)) == pytest.approx(share, abs=0.015)
    assert detectors.limit(0) == np.inf


@pytest.mark.parametrize(
    ("offset", "name"),
    [
        (np.full(20, 40.0), "late mahalanobis"),
        (np.eye(20)[3] * 9, "late mahalanobis"),  # beside the directions
    ],
)
def test_what_lies_far_away_is_refused_by_its_features(fitted, offset, name):
    detectors, validation, _ = fitted
    strange = {"late": validation["late"][:5] + offset}
    ranks = detectors.ranks(strange, {"near": np.zeros(5)})
    assert (ranks[name] == 1).all()
    strangeness, _ = detectors.strangest(ranks)
    assert (strangeness > detectors.limit(0.02)).all()


def test_the_detector_that_refused_is_named(fitted):
    detectors, validation, _ = fitted
    usual = validation["late"].mean(axis=0, keepdims=True)
    ranks = detectors.ranks({"late": usual}, {"near": np.array([2.0])})
    strangeness, names = detectors.strangest(ranks)
    assert strangeness.tolist() == [1.0] and names.tolist() == ["near"]


def test_distances_worked_out_by_hand():
    train = np.array([[1.0, 0], [-1, 0], [0, 2], [0, -2]])
    region = refusal.fit({"only": train}, {"only": train}).regions["only"]
    # Variances along the axes: 2/3 and 8/3.
    there = region.distances(np.array([[2.0, 0], [0, 4]]))["mahalanobis"]
    np.testing.assert_allclose(there, [np.sqrt(6), np.sqrt(6)], rtol=1e-5)


def test_detectors_are_the_same_after_saving(fitted, tmp_path):
    detectors, validation, near = fitted
    detectors.save(tmp_path / "a.npz")
    loaded = refusal.load((tmp_path / "a.npz").read_bytes())
    for name, ranks in detectors.ranks(validation, {"near": near}).items():
        np.testing.assert_array_equal(loaded.ranks(validation, {"near": near})[name], ranks)
    loaded.save(tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 broken"])
def test_another_file_is_refused_in_one_line(content):
    with pytest.raises(ValueError, match="hold no detectors"):
        refusal.load(content)


def test_a_share_out_of_range_is_refused(fitted):
    for share in (-0.1, 1, np.nan):
        with pytest.raises(ValueError, match=r"must be in \[0, 1\)"):
            fitted[0].limit(share)
