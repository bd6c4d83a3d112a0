import numpy as np
import pytest

from xraylib.audit import duplicates


def hexadecimal(*packed):
    return [np.array(each, np.uint8).tobytes().hex() for each in packed]


def test_pairs_within_the_distance(monkeypatch):
    monkeypatch.setattr(duplicates, "_BLOCK", 2)  # so that pairs lie within and between blocks
    hashes = np.zeros((5, 32), np.uint8)
    hashes[1, 0] = 0b1  # 1 bit from 0
    hashes[2] = 255
    hashes[3, :2] = 255  # 16 bits from 0, 15 from 1
    hashes[4, :2] = 255, 254  # 15 from 0, 14 from 1, 1 from 3
    pairs = duplicates.near_copies(hexadecimal(*hashes), distance=15)
    assert list(pairs) == ["first", "second", "distance"]
    expected = [[0, 1, 1], [0, 4, 15], [1, 3, 15], [1, 4, 14], [3, 4, 1]]
    assert pairs.to_numpy().tolist() == expected


def test_all_pairs_are_within_256_bits():
    hashes = hexadecimal([0] * 32, [255] * 32)
    assert duplicates.near_copies(hashes, distance=256).to_numpy().tolist() == [[0, 1, 256]]
    assert duplicates.near_copies(hashes, distance=255).empty


@pytest.mark.parametrize("count", [0, 1])
def test_no_pairs_of_fewer_than_two(count):
    assert duplicates.near_copies(["0" * 64] * count).empty


@pytest.mark.parametrize("distance", [-1, 257])
def test_distance_out_of_range(distance):
    with pytest.raises(ValueError, match=rf"0 to 256 bits\. Received: {distance}"):
        duplicates.near_copies(["0" * 64] * 2, distance=distance)


@pytest.mark.parametrize("wrong", [None, "ff"])
def test_a_hash_that_is_none(wrong):
    with pytest.raises(ValueError, match=f"64 hexadecimal digits. Received: {wrong!r}"):
        duplicates.near_copies(["0" * 64, wrong])
