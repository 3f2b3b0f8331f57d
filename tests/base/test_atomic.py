"""Files appear whole or not at all, and a killed program leaves nothing for good."""

import os
import subprocess
import sys
import threading

import pytest

import twofold
from twofold.base import atomic as module
from twofold.base.atomic import atomic

PROGRAM = """
import sys, time
from twofold.base.atomic import atomic

with atomic(sys.argv[1]) as file:
    file.write(b"half")
    file.flush()
    print("written", flush=True)
    time.sleep(60)
"""


def hidden(folder):
    return sorted(name for name in os.listdir(folder) if name.startswith("."))


def test_what_a_killed_program_left_is_cleared_away(tmp_path):
    path = tmp_path / "x.safetensors"
    twofold.save({"a": twofold.ones(2)}, path)
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert program.stdout.readline() == "written\n"
    twofold.save({"a": twofold.ones(3)}, path)
    assert len(hidden(tmp_path)) == 1  # it is being written
    program.kill()
    program.communicate()
    assert len(hidden(tmp_path)) == 1
    (tmp_path / ".x.safetensors.abc.tmp").touch()  # somebody else's
    (tmp_path / ".y.safetensors.01234567.tmp").touch()
    twofold.save({"a": twofold.ones(4)}, path)
    assert hidden(tmp_path) == [".x.safetensors.abc.tmp", ".y.safetensors.01234567.tmp"]
    assert tuple(twofold.load(path)["a"].shape) == (4,)


def test_writers_of_the_same_file_do_not_disturb_each_other(tmp_path):
    path = tmp_path / "x"

    def write(number):
        for _ in range(30):
            with atomic(path) as file:
                file.write(bytes([number]) * 1000)

    writers = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    data = path.read_bytes()
    assert len(data) == 1000
    assert len(set(data)) == 1
    assert os.listdir(tmp_path) == ["x"]


def test_a_name_that_is_cleared_away_before_it_is_locked_is_made_again(tmp_path, monkeypatch):
    lock, seen = module.lock, []

    def late(descriptor, wait):
        if not seen:
            seen.extend(hidden(tmp_path))
            os.unlink(tmp_path / seen[0])
        return lock(descriptor, wait)

    monkeypatch.setattr(module, "lock", late)
    with atomic(tmp_path / "x") as file:
        file.write(b"whole")
    assert (tmp_path / "x").read_bytes() == b"whole"
    assert len(seen) == 1


@pytest.mark.parametrize("missing", [True, False])
def test_without_locks_nothing_is_cleared_away(tmp_path, monkeypatch, missing):
    class Refusing:
        LOCK_EX = LOCK_NB = 0

        def flock(self, *_):
            raise OSError("no locks here")

    monkeypatch.setattr(module, "fcntl", None if missing else Refusing())
    left = tmp_path / ".x.01234567.tmp"
    left.touch()
    with atomic(tmp_path / "x") as file:
        file.write(b"whole")
    assert left.exists()
    assert (tmp_path / "x").read_bytes() == b"whole"


def test_an_error_leaves_the_old_file(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"old")
    with pytest.raises(KeyError), atomic(path) as file:
        file.write(b"new")
        raise KeyError
    assert path.read_bytes() == b"old"
    assert hidden(tmp_path) == []
