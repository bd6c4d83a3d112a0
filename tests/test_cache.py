import errno
import json
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import filelock
import numpy as np
import platformdirs
import pytest
from support.entries import keep, make, names, read, refuse

from xraylib import cache, errors


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XRAYLIB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_cache_folder_is_created(folder):
    assert cache.cache_folder() == folder
    assert folder.is_dir()


def test_cache_folder_of_the_system(tmp_path, monkeypatch):
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda name, appauthor: tmp_path / name)
    monkeypatch.setenv("XRAYLIB_CACHE", " ")
    assert cache.cache_folder() == tmp_path / "xraylib"
    monkeypatch.delenv("XRAYLIB_CACHE")
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
    monkeypatch.setattr(cache, "locked", lambda *_, **__: threading.Lock())

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
        "print(cache.load_or_make('pixels', 'a', what='', size=9, make=make, read=read).tolist())"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    lines = [line for each in processes for line in each.communicate()[0].splitlines()]
    assert sorted(lines) == ["[0, 1, 2]"] * 3 + ["made"]


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
    match = r"cannot lock .*kaggle\.lock \(.*No locks available"
    with pytest.raises(errors.CacheError, match=match), cache.data_set_locked("kaggle"):
        pass
