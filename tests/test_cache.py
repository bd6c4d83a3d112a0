import errno
import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import filelock
import numpy as np
import platformdirs
import pytest

from xraylib import cache, errors


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    place = tmp_path / "cache"
    monkeypatch.setenv("XRAYLIB_CACHE", str(place))
    return place


def make(place, value=7):
    np.save(place / "pixels.npy", np.full(1000, value, np.uint8))


def read(place):
    return cache.array(place / "pixels.npy")


def keep(key="a", *, size=1000, make=make, read=read):
    return cache.kept("pixels", key, what="a thousand sevens", size=size, make=make, read=read)


def names(folder):
    return sorted(path.name for path in (folder / "pixels").iterdir())


def refuse(place):
    raise AssertionError("made again")


def used(folder, key, seconds):
    """Says when an entry was used last."""
    os.utime(folder / "pixels" / key, (seconds, seconds))


# ------------------------------------------------------------------ cache_folder


def test_cache_folder_is_created(folder):
    assert cache.cache_folder() == folder
    assert folder.is_dir()


@pytest.mark.parametrize("value", [None, "", " "])
def test_cache_folder_of_the_system(tmp_path, monkeypatch, value):
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda name, appauthor: tmp_path / name)
    if value is None:
        monkeypatch.delenv("XRAYLIB_CACHE")
    else:
        monkeypatch.setenv("XRAYLIB_CACHE", value)
    assert cache.cache_folder() == tmp_path / "xraylib"


def test_cache_folder_expands_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("XRAYLIB_CACHE", "~/there")
    assert cache.cache_folder() == tmp_path / "there"


def test_cache_folder_that_is_a_file(folder):
    folder.write_text("")
    with pytest.raises(errors.CacheError, match=r"cannot create the cache folder .* XRAYLIB_CACHE"):
        cache.cache_folder()


# ------------------------------------------------------------------ kept


def test_made_once(folder):
    assert keep().tolist() == [7] * 1000
    assert keep(make=refuse).tolist() == [7] * 1000
    assert names(folder) == ["a"]


def test_what_was_made_tells_what_it_is(folder):
    keep()
    about = json.loads((folder / "pixels/a/about.json").read_text(encoding="utf-8"))
    assert about["what"] == "a thousand sevens"
    assert about["files"]["pixels.npy"][0] == 1128  # a header of 128 bytes


def test_a_failure_leaves_nothing(folder):
    def fail(place):
        make(place)
        raise ValueError("failed half way")

    with pytest.raises(ValueError, match="failed half way"):
        keep(make=fail)
    assert names(folder) == []


@pytest.mark.parametrize("length", [0, 100, 1127])
def test_cut_short(folder, length):
    keep()
    with (folder / "pixels/a/pixels.npy").open("r+b") as file:
        file.truncate(length)
    words = rf"damaged \(pixels.npy has {length:,} bytes instead of 1,128\): it is made again"
    with pytest.warns(UserWarning, match=words) as caught:
        assert keep().tolist() == [7] * 1000
    assert caught[0].filename == __file__
    assert names(folder) == ["a"]


def test_a_missing_file(folder):
    keep()
    (folder / "pixels/a/pixels.npy").unlink()
    with pytest.warns(UserWarning, match=r"damaged \(No such file or directory\)"):
        assert keep().tolist() == [7] * 1000


@pytest.mark.parametrize("about", ["", "[]", "{}", '{"files": [1]}', '{"files": {"a": 1}}'])
def test_garbage_about_the_files(folder, about):
    keep()
    (folder / "pixels/a/about.json").write_text(about, encoding="utf-8")
    with pytest.warns(UserWarning, match="is damaged"):
        assert keep().tolist() == [7] * 1000


def test_what_its_reader_refuses_is_made_again(folder):
    keep()
    (folder / "pixels/a/about.json").unlink()
    values = iter([ValueError("too old"), ValueError("too old")])

    def read_strictly(place):
        for error in values:
            raise error
        return read(place)

    with pytest.warns(UserWarning, match=r"damaged \(too old\)"):
        assert keep(read=read_strictly).tolist() == [7] * 1000


def test_damaged_where_nothing_can_be_removed(folder, monkeypatch):
    keep()
    (folder / "pixels/a/pixels.npy").write_bytes(b"garbage")

    def rename(path, target):
        raise PermissionError(errno.EACCES, "Permission denied")  # root may write

    monkeypatch.setattr(Path, "rename", rename)
    with pytest.warns(UserWarning) as caught:
        assert keep().tolist() == [7] * 1000
    again, instead = [str(warning.message) for warning in caught]
    assert "is damaged" in again
    assert instead.startswith(f"cannot write 0 MB to the cache {folder / 'pixels'} (Permission")
    assert "a thousand sevens are kept for this process only" in instead


def test_no_space(folder, monkeypatch):
    monkeypatch.setattr(
        cache.shutil, "disk_usage", lambda place: shutil._ntuple_diskusage(9, 9, 2_000_000)
    )
    cannot = rf"cannot write 3 MB to the cache {folder / 'pixels'} \(No space left on device, 2 MB"
    with pytest.raises(OSError, match=cannot) as error:
        keep(size=3_000_000, make=refuse)
    assert error.value.errno == errno.ENOSPC
    assert "xraylib cache prune" in str(error.value)
    assert keep(size=2_000_000).tolist() == [7] * 1000


def test_a_disk_without_locks(folder, monkeypatch):
    def acquire(lock, **options):
        raise NotImplementedError("no flock")

    monkeypatch.setattr(filelock.FileLock, "acquire", acquire)
    assert keep().tolist() == [7] * 1000
    assert keep(make=refuse).tolist() == [7] * 1000


def test_another_process_was_faster_on_a_disk_without_locks(folder, monkeypatch):
    monkeypatch.setattr(cache, "_locked", lambda *_, **__: threading.Lock())

    def make_after_another(place):
        make(place, 8)
        keep(make=make)

    assert keep(make=make_after_another).tolist() == [7] * 1000
    assert names(folder) == ["a"]


def test_who_comes_second_waits_and_finds_it_made(folder, monkeypatch):
    first = filelock.FileLock(folder / "pixels" / "a.lock")
    (folder / "pixels").mkdir(parents=True)
    first.acquire()

    def finish(message, **_):
        assert message.startswith("waiting for another process that makes")
        (folder / "pixels" / "a").mkdir()
        make(folder / "pixels" / "a", 8)
        first.release()

    monkeypatch.setattr(cache.warnings, "warn", finish)
    assert keep(make=refuse).tolist() == [8] * 1000


@pytest.mark.slow
def test_of_several_processes_one_makes_it():
    code = (
        "import numpy as np; from xraylib import cache; "
        "make = lambda place: (print('made'), np.save(place / 'a.npy', np.arange(3))); "
        "read = lambda place: cache.array(place / 'a.npy'); "
        "print(cache.kept('pixels', 'a', what='', size=9, make=make, read=read).tolist())"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    lines = [line for each in processes for line in each.communicate()[0].splitlines()]
    assert sorted(lines) == ["[0, 1, 2]"] * 3 + ["made"]


# ------------------------------------------------------------------ array


def test_an_array_is_mapped_read_only(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(6, dtype=np.int16).reshape(2, 3))
    mapped = cache.array(tmp_path / "a.npy")
    assert isinstance(mapped, np.memmap) and not mapped.flags.writeable
    assert mapped.dtype == np.int16 and mapped.tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize("content", [b"", b"garbage garbage", b"\x93NUMPY\1\0\x08\0garbage\n"])
def test_no_array(tmp_path, content):
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(ValueError):
        cache.array(tmp_path / "a.npy")


def test_an_array_of_another_format(tmp_path):
    with (tmp_path / "a.npy").open("wb") as file:
        np.lib.format.write_array(file, np.zeros(3), version=(2, 0))
    with pytest.raises(ValueError, match=r"not an array of version 1\.0"):
        cache.array(tmp_path / "a.npy")


# ------------------------------------------------------------------ entries


def test_nothing_yet():
    assert cache.entries().empty
    assert cache.entries().columns.tolist() == ["name", "what", "bytes", "used", "state"]
    assert cache.prune().empty


def test_the_last_used_first(folder):
    for key, seconds in (("a", 100), ("b", 300), ("c", 200)):
        keep(key)
        used(folder, key, seconds)
    table = cache.entries()
    assert table["name"].tolist() == ["pixels/b", "pixels/c", "pixels/a"]
    assert set(table["what"]) == {"a thousand sevens"} and set(table["state"]) == {""}
    about = (folder / "pixels/a/about.json").stat().st_size
    assert table["bytes"].tolist() == [1128 + about] * 3
    assert [used.timestamp() for used in table["used"]] == [300, 200, 100]
    keep("a", make=refuse)
    assert cache.entries()["name"][0] == "pixels/a"


def test_data_sets_are_listed_and_what_is_not_known_is_not(folder):
    for name in ("kaggle", "synthetic-3", "experiments/no trap-0", "holidays"):
        (folder / name).mkdir(parents=True)
    table = cache.entries().sort_values("name")
    assert table["name"].tolist() == ["experiments/no trap-0", "kaggle", "synthetic-3"]
    cache.prune(everything=True)
    assert (folder / "holidays").is_dir()


def test_looking_makes_no_lock(folder):
    keep()
    cache.entries()
    assert names(folder) == ["a"]


# ------------------------------------------------------------------ prune


def test_the_longest_unused_go_first(folder):
    for key, seconds in (("a", 100), ("b", 300), ("c", 200)):
        keep(key)
        used(folder, key, seconds)
    each = int(cache.entries()["bytes"][0])
    assert cache.prune(3 * each).empty
    assert cache.prune(2 * each)["name"].tolist() == ["pixels/a"]
    assert cache.prune(each - 1)["name"].tolist() == ["pixels/c", "pixels/b"]
    assert names(folder) == []


def test_data_sets_go_only_if_everything_may(folder):
    keep()
    (folder / "kaggle").mkdir()
    (folder / "kaggle" / "archive.zip").write_bytes(bytes(10**6))
    assert cache.prune()["name"].tolist() == ["pixels/a"]
    assert cache.prune(10**6, everything=True).empty
    assert cache.prune(everything=True)["name"].tolist() == ["kaggle"]
    assert not (folder / "kaggle").exists()


def test_a_link_goes_and_what_it_leads_to_stays(folder, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "archive.zip").write_bytes(b"zip")
    folder.mkdir()
    (folder / "kaggle").symlink_to(tmp_path / "mine")
    assert cache.prune(everything=True)["name"].tolist() == ["kaggle"]
    assert not (folder / "kaggle").exists()
    assert (tmp_path / "mine" / "archive.zip").exists()


def test_what_is_mapped_stays(folder):
    mapped = keep()
    part = mapped[10:20]
    del mapped
    assert cache.entries()["state"].tolist() == ["in use"]
    assert cache.prune().empty
    assert part.tolist() == [7] * 10
    del part
    assert cache.entries()["state"].tolist() == [""]
    assert cache.prune()["name"].tolist() == ["pixels/a"]


def test_what_is_being_made_stays(folder):
    def make_and_prune(place):
        make(place)
        assert cache.entries()["state"].tolist() == ["in use"]
        assert cache.prune().empty

    assert keep(make=make_and_prune).tolist() == [7] * 1000


def test_what_a_stopped_process_left_goes_first_and_always(folder):
    keep()
    left = folder / "pixels" / ".writing-b-x1y2"
    left.mkdir()
    make(left)
    table = cache.entries().set_index("name")
    assert table["state"].to_dict() == {"pixels/a": "", "pixels/.writing-b-x1y2": "unfinished"}
    assert cache.prune(10**9)["name"].tolist() == ["pixels/.writing-b-x1y2"]
    assert names(folder) == ["a"]


def test_a_data_set_being_unpacked_stays(folder):
    (folder / "kaggle").mkdir(parents=True)
    (folder / "kaggle" / "part").write_bytes(b"part")
    with cache.data_set_locked("kaggle"):
        assert cache.entries()["state"].tolist() == ["in use"]
        assert cache.prune(everything=True).empty
    assert cache.prune(everything=True)["name"].tolist() == ["kaggle"]


def test_fewer_than_no_bytes():
    with pytest.raises(ValueError, match=r"to must be 0 bytes or more\. Received: -1"):
        cache.prune(-1)


# ------------------------------------------------------------------ data_set_locked


def test_a_data_set_is_locked_for_one_at_a_time(folder):
    other = filelock.FileLock(folder / "kaggle.lock")
    with cache.data_set_locked("kaggle"), pytest.raises(filelock.Timeout):
        other.acquire(timeout=0)
    with other.acquire(timeout=0):
        pass


def test_no_lock(monkeypatch):
    def acquire(lock, **options):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(filelock.FileLock, "acquire", acquire)
    with (
        pytest.raises(
            errors.CacheError, match=r"cannot lock .*kaggle\.lock \(.*No locks available"
        ),
        cache.data_set_locked("kaggle"),
    ):
        pass


# ------------------------------------------------------------------ parse_size


@pytest.mark.parametrize(
    "text, expected",
    [
        ("0", 0),
        ("12", 12),
        ("3 kB", 3000),
        ("500MB", 5 * 10**8),
        ("1.5gb", 15 * 10**8),
        ("2T", 2 * 10**12),
    ],
)
def test_sizes(text, expected):
    assert cache.parse_size(text) == expected


@pytest.mark.parametrize("text", ["", "GB", "-1GB", "5 apples", "1e3", "5PB"])
def test_no_size(text):
    with pytest.raises(ValueError, match="give a size such as"):
        cache.parse_size(text)
