import os

import pytest
from support.entries import keep, make, names, refuse

from xraylib import cache, pruning


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XRAYLIB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def three(folder):
    """The entries a, b and c, last used in the order a, c, b."""
    for key, seconds in (("a", 100), ("b", 300), ("c", 200)):
        keep(key)
        os.utime(folder / "pixels" / key, (seconds, seconds))
    return folder


def test_nothing_yet():
    assert pruning.entries().empty
    assert pruning.entries().columns.tolist() == ["name", "what", "bytes", "used", "state"]
    assert pruning.prune().empty


def test_the_last_used_first(three):
    table = pruning.entries()
    assert table["name"].tolist() == ["pixels/b", "pixels/c", "pixels/a"]
    assert set(table["what"]) == {"a thousand sevens"} and set(table["state"]) == {""}
    about = (three / "pixels/a/about.json").stat().st_size
    assert table["bytes"].tolist() == [1128 + about] * 3
    assert [used.timestamp() for used in table["used"]] == [300, 200, 100]
    keep("a", make=refuse)
    assert pruning.entries()["name"][0] == "pixels/a"


def test_data_sets_are_listed_and_what_is_not_known_is_not(folder):
    for name in ("kaggle", "synthetic-3", "synthetic-no trap-0", "holidays"):
        (folder / name).mkdir(parents=True)
    table = pruning.entries().sort_values("name")
    assert table["name"].tolist() == ["kaggle", "synthetic-3", "synthetic-no trap-0"]
    pruning.prune(everything=True)
    assert (folder / "holidays").is_dir()


def test_looking_makes_no_lock(folder):
    keep()
    pruning.entries()
    assert names(folder) == ["a"]


def test_the_longest_unused_go_first(three):
    each = int(pruning.entries()["bytes"][0])
    assert pruning.prune(3 * each).empty
    assert pruning.prune(2 * each)["name"].tolist() == ["pixels/a"]
    assert pruning.prune(each - 1)["name"].tolist() == ["pixels/c", "pixels/b"]
    assert names(three) == []


def test_data_sets_go_only_if_everything_may(folder):
    keep()
    (folder / "kaggle").mkdir()
    (folder / "kaggle" / "archive.zip").write_bytes(bytes(10**6))
    assert pruning.prune()["name"].tolist() == ["pixels/a"]
    assert pruning.prune(10**6, everything=True).empty
    assert pruning.prune(everything=True)["name"].tolist() == ["kaggle"]
    assert not (folder / "kaggle").exists()


def test_a_link_goes_and_what_it_leads_to_stays(folder, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "archive.zip").write_bytes(b"zip")
    folder.mkdir()
    (folder / "kaggle").symlink_to(tmp_path / "mine")
    assert pruning.prune(everything=True)["name"].tolist() == ["kaggle"]
    assert not (folder / "kaggle").exists()
    assert (tmp_path / "mine" / "archive.zip").exists()


@pytest.mark.skipif(os.name == "nt", reason="Windows removes no file that is mapped")
def test_what_is_mapped_outlives_its_removal(folder):
    mapped = keep()
    assert pruning.prune()["name"].tolist() == ["pixels/a"]
    assert names(folder) == []
    assert mapped.tolist() == [7] * 1000


def test_what_is_being_made_stays(folder):
    def make_and_prune(place):
        make(place)
        assert pruning.entries()["state"].tolist() == ["in use"]
        assert pruning.prune().empty

    assert keep(make=make_and_prune).tolist() == [7] * 1000


def test_what_a_stopped_process_left_goes_first_and_always(folder):
    keep()
    left = folder / "pixels" / ".writing-b-x1y2"
    left.mkdir()
    make(left)
    table = pruning.entries().set_index("name")
    assert table["state"].to_dict() == {"pixels/a": "", "pixels/.writing-b-x1y2": "unfinished"}
    assert pruning.prune(10**9)["name"].tolist() == ["pixels/.writing-b-x1y2"]
    assert names(folder) == ["a"]


def test_a_data_set_being_unpacked_stays(folder):
    (folder / "kaggle").mkdir(parents=True)
    (folder / "kaggle" / "part").write_bytes(b"part")
    with cache.data_set_locked("kaggle"):
        assert pruning.entries()["state"].tolist() == ["in use"]
        assert pruning.prune(everything=True).empty
    assert pruning.prune(everything=True)["name"].tolist() == ["kaggle"]


def test_fewer_than_no_bytes():
    with pytest.raises(ValueError, match=r"to must be 0 bytes or more\. Received: -1"):
        pruning.prune(-1)


@pytest.mark.parametrize(
    "text, expected",
    [
        ("0", 0),
        ("12B", 12),
        ("3 kB", 3000),
        ("5MB", 5 * 10**6),
        ("1.5gb", 15 * 10**8),
        ("2T", 2e12),
    ],
)
def test_sizes(text, expected):
    assert pruning.parse_size(text) == expected


@pytest.mark.parametrize("text", ["", "GB", "-1GB", "5 apples", "1e3", "5PB"])
def test_no_size(text):
    with pytest.raises(ValueError, match="give a size such as"):
        pruning.parse_size(text)
