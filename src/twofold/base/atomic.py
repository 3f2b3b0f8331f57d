"""Files that appear whole or not at all, and leave nothing behind. Floor 0.

A file is written under a name of its own and put in its place at the end. What a killed program
left half written is known by the lock that nobody holds on it any more, and is cleared away by the
next program that writes the same file.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from typing import IO, Any

fcntl: Any = None
with contextlib.suppress(ImportError):  # not everywhere
    import fcntl

Path = str | os.PathLike[str]
ENDING = ".tmp"
UNIQUE = 4  # random bytes in a temporary name


@contextlib.contextmanager
def atomic(path: Path) -> Iterator[IO[bytes]]:
    """A new file under a name of its own, put in its place when the block ends without error."""
    final = os.path.realpath(os.fspath(path))
    if os.path.isdir(final):
        raise IsADirectoryError(f"save: {final} is a folder")
    folder, name = os.path.split(final)
    if folder and not os.path.isdir(folder):
        raise FileNotFoundError(errno.ENOENT, "save: there is no such folder", folder)
    clear_abandoned(folder, name)
    temporary, descriptor = create(folder, name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            os.replace(temporary, final)  # while the lock is held: nobody clears it away before
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    sync_folder(folder)


def create(folder: str, name: str) -> tuple[str, int]:
    """A new file's path and its descriptor, which holds the lock."""
    while True:
        temporary = os.path.join(folder, f".{name}.{os.urandom(UNIQUE).hex()}{ENDING}")
        # not tempfile: its files are for their owner only, whatever the umask says
        descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
        lock(descriptor, wait=True)
        if os.path.exists(temporary):  # not cleared away before it was locked
            return temporary, descriptor
        os.close(descriptor)


def clear_abandoned(folder: str, name: str) -> None:
    """Remove what programs that are gone left of this file."""
    start = f".{name}."
    length = len(start) + 2 * UNIQUE + len(ENDING)
    for found in os.listdir(folder):
        if len(found) == length and found.startswith(start) and found.endswith(ENDING):
            with contextlib.suppress(OSError):  # of another user, gone already, or in use
                unlink_unlocked(os.path.join(folder, found))


def unlink_unlocked(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        if lock(descriptor, wait=False):
            os.unlink(path)
    finally:
        os.close(descriptor)


def lock(descriptor: int, wait: bool) -> bool:
    """Lock an open file until it is closed, or its program is gone. False where that cannot be."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:  # a disk without locks, or somebody has it
        return False
    return True


def sync_folder(folder: str) -> None:
    """Flush the new name itself to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
