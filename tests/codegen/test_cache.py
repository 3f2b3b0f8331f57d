"""The cache on disk: kept, trusted only where it is ours and whole, safe among many processes."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from twofold.base.flags import flags
from twofold.codegen import cache

KEY, CODE = "ew/exp/f32", bytes(range(256)) * 4


@pytest.fixture(autouse=True)
def folder(tmp_path: Path) -> object:
    with flags.override(cache=str(tmp_path / "cache")):
        yield tmp_path / "cache"


def entries(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_what_is_written_is_read(folder: Path) -> None:
    assert cache.read(KEY) is None
    cache.write(KEY, CODE)
    assert cache.read(KEY) == CODE
    assert cache.read("ew/exp/f64") is None
    cache.write(KEY, b"")
    assert cache.read(KEY) == b""


def test_the_folder_and_its_files_are_private(folder: Path) -> None:
    cache.write(KEY, CODE)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.rglob("*"))}
    assert modes == {0o700, 0o600}
    (file,) = entries(folder)
    assert file.name.startswith("ew_exp_f32-")


@pytest.mark.parametrize("at", [0, 16, 32, 36, 45, 50, -1])
def test_one_wrong_byte_anywhere_and_the_entry_is_discarded(folder: Path, at: int) -> None:
    cache.write(KEY, CODE)
    (file,) = entries(folder)
    data = bytearray(file.read_bytes())
    data[at] ^= 1
    file.write_bytes(data)
    assert cache.read(KEY) is None
    assert entries(folder) == []


@pytest.mark.parametrize("size", [0, 10, 40, 200])
def test_a_file_that_is_cut_off_is_discarded(folder: Path, size: int) -> None:
    cache.write(KEY, CODE)
    (file,) = entries(folder)
    file.write_bytes(file.read_bytes()[:size])
    assert cache.read(KEY) is None
    assert entries(folder) == []


def test_an_entry_under_another_name_is_discarded(folder: Path) -> None:
    cache.write(KEY, CODE)
    cache.write("other", b"other")
    one, other = entries(folder)
    os.replace(one, other)
    assert cache.read("other") is None


def test_a_file_that_others_could_write_is_discarded(folder: Path) -> None:
    cache.write(KEY, CODE)
    (file,) = entries(folder)
    file.chmod(0o666)
    assert cache.read(KEY) is None
    assert entries(folder) == []


def test_a_folder_that_others_can_write_is_not_used(folder: Path) -> None:
    folder.mkdir(0o777)
    folder.chmod(0o777)
    with pytest.warns(RuntimeWarning, match="others can write to it"):
        cache.write(KEY, CODE)
    assert entries(folder) == []


@pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="only root can give files away")
def test_a_file_of_somebody_else_is_discarded(folder: Path) -> None:
    cache.write(KEY, CODE)
    (file,) = entries(folder)
    os.chown(file, 12345, -1)
    assert cache.read(KEY) is None
    cache._trusted.clear()
    os.chown(folder, 12345, -1)
    with pytest.warns(RuntimeWarning, match="others can write to it"):
        assert cache.read(KEY) is None


def test_a_place_where_nothing_can_be_written_means_no_cache(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with flags.override(cache=str(tmp_path / "file" / "below")):
        cache.write(KEY, CODE)
        assert cache.read(KEY) is None


def test_a_user_without_a_home_has_no_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    with flags.override(cache=""):
        cache.write(KEY, CODE)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_nothing_behind(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    cache.write(KEY, CODE)
    assert entries(folder) == []
    assert cache.read(KEY) is None


def test_another_stamp_sees_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.write(KEY, CODE)
    monkeypatch.setattr(cache, "stamp", lambda: "0123456789abcdef")
    assert cache.read(KEY) is None


def test_kernels_for_a_named_cpu_are_found_on_other_machines_at_other_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "lower" / "copy.py"
    source.parent.mkdir()
    source.write_text("one = 1")
    monkeypatch.setattr(cache, "PACKAGE", str(tmp_path))
    found: dict[str, list[str]] = {"native": [], "x86-64-v3": []}

    def look() -> None:
        for cpu, stamps in found.items():
            with flags.override(cpu=cpu):
                stamps.append(cache.stamp.__wrapped__())

    look()
    os.utime(source, (1e9, 1e9))
    look()
    monkeypatch.setattr(cache, "cpu_identity", lambda: b"another")
    look()
    source.write_text("one = 2")
    os.utime(source, (1e9, 1e9))
    look()
    assert len(set(found["native"])) == 3, "the time of a change, the CPU"
    first, *same, last = found["x86-64-v3"]
    assert set(same) == {first} != {last}, "what the sources say, and that alone"


def test_shared_entries_may_be_read_by_everybody_and_written_by_nobody_else(folder: Path) -> None:
    assert cache.share() == (0, 0)
    cache.write(KEY, CODE)
    count, size = cache.share()
    (file,) = entries(folder)
    assert (count, size) == (1, file.stat().st_size)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.rglob("*"))}
    assert modes == {0o755, 0o644}
    cache._trusted.clear()
    assert cache.read(KEY) == CODE


def test_the_stamps_used_last_are_kept(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(12):
        monkeypatch.setattr(cache, "stamp", lambda number=number: f"stamp{number:02}")
        cache.write(KEY, CODE)
        os.utime(folder / f"kernels-stamp{number:02}", (number, number))
    kept = sorted(path.name for path in folder.iterdir())
    assert kept == [f"kernels-stamp{number:02}" for number in range(12 - cache.KEPT_STAMPS, 12)]


def test_the_stamp_changes_with_our_sources(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "PACKAGE", str(tmp_path))
    stamps = [cache.stamp.__wrapped__()]
    below = tmp_path / "codegen" / "native"
    below.mkdir(parents=True)
    for text in ("x = 1", "x = 22"):
        (below / "pool.py").write_text(text)
        stamps.append(cache.stamp.__wrapped__())
    os.utime(below / "pool.py", (1, 1))
    stamps.append(cache.stamp.__wrapped__())
    (below / "notes.txt").write_text("no source")
    assert len(set(stamps)) == 4
    assert cache.stamp.__wrapped__() == stamps[-1]


def test_clear_throws_all_away(folder: Path) -> None:
    cache.write(KEY, CODE)
    cache.clear()
    assert list(folder.iterdir()) == []
    assert cache.read(KEY) is None
    cache.write(KEY, CODE)
    assert cache.read(KEY) == CODE


def test_only_what_is_ours_is_ever_deleted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody will point the cache at a folder that has other things in it."""
    cache.write(KEY, CODE)
    (stamp,) = folder.iterdir()
    treasures = [folder / "thesis" / "kernels", folder / "kernels", stamp / "notes.txt"]
    for treasure in treasures:
        treasure.parent.mkdir(exist_ok=True)
        treasure.write_text("precious")
        os.utime(treasure.parent, (1, 1))
    for number in range(cache.KEPT_STAMPS + 2):
        monkeypatch.setattr(cache, "stamp", lambda number=number: str(number))
        cache.write(KEY, CODE)
    cache.clear()
    assert [treasure.read_text() for treasure in treasures] == ["precious"] * 3
    assert len(entries(folder)) == 3


WRITER = """
import sys
from twofold.codegen import cache
for turn in range(60):
    key = f"key{turn % 5}"
    code = key.encode() * 3000
    cache.write(key, code)
    found = cache.read(key)
    assert found in (None, code), "half an entry was read"
"""


def test_many_processes_write_and_read_at_once(folder: Path) -> None:
    environment = {**os.environ, "TWOFOLD_CACHE": str(folder)}
    workers = [subprocess.Popen([sys.executable, "-c", WRITER], env=environment) for _ in range(3)]
    assert [worker.wait() for worker in workers] == [0] * 3
    assert len(entries(folder)) == 5
