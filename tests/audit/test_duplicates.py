import numpy as np
import pytest

from xraylib.audit import duplicates


def test_pairs_within_the_distance(monkeypatch):
    monkeypatch.setattr(duplicates, "_BLOCK", 2)  # so that pairs lie within and between blocks
    hashes = np.zeros((5, 32), np.uint8)
    hashes[1, 0] = 0b1  # 1 bit from 0
    hashes[2] = 255
    hashes[3, :3] = 255, 255, 0b11111  # 21 bits from 0, 20 from 1
    hashes[4, :3] = 255, 255, 0b1111  # 20 from 0, 19 from 1, 1 from 3
    pairs = duplicates.near_copies(each.tobytes().hex() for each in hashes)
    assert list(pairs) == ["first", "second", "distance"]
    expected = [[0, 1, 1], [0, 4, 20], [1, 3, 20], [1, 4, 19], [3, 4, 1]]
    assert pairs.to_numpy().tolist() == expected


@pytest.mark.parametrize("count", [0, 1])
def test_no_pairs_of_fewer_than_two(count):
    assert duplicates.near_copies(["0" * 64] * count).empty


@pytest.mark.parametrize("wrong", [None, "ff"])
def test_a_hash_that_is_none(wrong):
    with pytest.raises(ValueError, match=f"64 hexadecimal digits. Received: {wrong!r}"):
        duplicates.near_copies(["0" * 64, wrong])
