import numpy as np
import pytest

from xraylib.audit import duplicates


def test_pairs_within_the_distance(monkeypatch):
    monkeypatch.setattr(duplicates, "_BLOCK", 2)  # so that pairs lie within and between blocks
    hashes = np.zeros((5, 32), np.uint8)
    hashes[1, 0] = 0b1  # 1 bit from 0
    hashes[2] = 255
    hashes[3, :2] = 255  # 16 bits from 0, 15 from 1
    hashes[4, :2] = 255, 254  # 15 from 0, 14 from 1, 1 from 3
    pairs = duplicates.near_copies(hashes, distance=15)
    assert list(pairs) == ["first", "second", "distance"]
    expected = [[0, 1, 1], [0, 4, 15], [1, 3, 15], [1, 4, 14], [3, 4, 1]]
    assert pairs.to_numpy().tolist() == expected


def test_all_pairs_are_within_256_bits():
    hashes = np.repeat(np.array([[0], [255]], np.uint8), 32, axis=1)
    assert duplicates.near_copies(hashes, distance=256).to_numpy().tolist() == [[0, 1, 256]]
    assert duplicates.near_copies(hashes, distance=255).empty


@pytest.mark.parametrize("count", [0, 1])
def test_no_pairs_of_fewer_than_two(count):
    assert duplicates.near_copies(np.zeros((count, 32), np.uint8)).empty


@pytest.mark.parametrize(
    "hashes", [np.zeros((2, 31), np.uint8), np.zeros((2, 32), int), np.zeros(32, np.uint8)]
)
def test_hashes_of_another_form(hashes):
    with pytest.raises(ValueError, match=r"must be \(n, 32\) uint8\. Received: \("):
        duplicates.near_copies(hashes)


@pytest.mark.parametrize("distance", [-1, 257])
def test_distance_out_of_range(distance):
    with pytest.raises(ValueError, match=rf"0 to 256 bits\. Received: {distance}"):
        duplicates.near_copies(np.zeros((2, 32), np.uint8), distance=distance)


@pytest.mark.parametrize("wrong", [None, "ff"])
def test_a_hash_that_is_none(wrong):
    with pytest.raises(ValueError, match=f"64 hexadecimal digits. Received: {wrong!r}"):
        duplicates.hash_bytes(["0" * 64, wrong])
