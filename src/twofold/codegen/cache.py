"""Compiled objects on disk, so that a kernel is compiled once per machine. Floor 3. key <-> bytes.

An entry is code that will run, so it is trusted only where nobody else could have written it: the
folder and the file must belong to this user (or to root) and be closed to others' writing. Each
entry carries its key and a digest of its bytes; one that is damaged or foreign is thrown away.
Files appear by rename, so that processes that write at once, or die in the middle, harm nobody.
Entries lie in a folder named by the stamp: our own source files, the CPU and the format. Where
TWOFOLD_CPU names a CPU, they may go along with a program: the stamp is then the same on every such
machine, wherever and whenever the files were put there. What is
deleted are only folders and files that bear our names, whatever else may lie beside them.
"""

from __future__ import annotations

import itertools
import os
import re
import stat
import struct
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import cache

from twofold.base.flags import flags
from twofold.codegen.target import NATIVE, cpu_identity, host

try:  # the same function as hashlib's, without 3 ms and more for loading OpenSSL
    from _blake2 import blake2b
except ImportError:
    from hashlib import blake2b  # where Python was built without its own

FORMAT = b"twofold object 1"
HEADER = struct.Struct("<16s16sII")  # format, digest of the rest, sizes of the key and of the code
KEPT_STAMPS = 8
STAMP, ENTRY, TEMPORARY = "kernels-", ".kernel", ".kernel-part"  # how our names begin and end
PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SOURCES = ("__init__.py", "runtime", "ir", "codegen", "ops", "lower")  # what kernels are made by
_numbers = itertools.count()
_trusted: set[str] = set()  # folders that were looked at


def read(key: str) -> bytes | None:
    """The object of this key, or None where there is none that can be trusted."""
    folder = _folder()
    if folder is None:
        return None
    path = os.path.join(folder, _file_name(key))
    try:
        entry = _read_own(path)
    except OSError:
        return None
    code = None if entry is None else _unpack(key, entry)
    if code is None:
        _discard(path)
    return code


def has(key: str) -> bool:
    """Whether there is an entry of this key, sound or not."""
    folder = _folder()
    return folder is not None and os.path.exists(os.path.join(folder, _file_name(key)))


def usable() -> bool:
    """Whether there is a folder that can be trusted."""
    return _folder() is not None


def write(key: str, code: bytes, create: bool = True) -> None:
    """Keep an object. A disk that is full or read-only only means that it is not kept.

    create: make the folder where there is none.
    """
    folder = _folder(create)
    if folder is None:
        return
    name = _file_name(key)
    temporary = os.path.join(folder, f"{os.getpid()}-{next(_numbers)}{TEMPORARY}")
    try:
        file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(file, "wb") as stream:
            stream.write(_pack(key, code))
        os.replace(temporary, os.path.join(folder, name))
    except OSError:
        _discard(temporary)


def share() -> tuple[int, int]:
    """Let other users read the entries of this stamp. Gives how many they are, and their bytes."""
    folder = _folder()
    if folder is None:
        return 0, 0
    for path in (root(), folder):
        os.chmod(path, 0o755)
    with os.scandir(folder) as inside:
        entries = [entry for entry in inside if entry.name.endswith(ENTRY)]
    for entry in entries:
        os.chmod(entry.path, 0o644)
    return len(entries), sum(entry.stat().st_size for entry in entries)


def clear() -> None:
    """Throw away all entries, of every version."""
    for folder in _stamps(root()):
        _remove(folder)
    _trusted.clear()


def root() -> str:
    """The folder of the cache: $TWOFOLD_CACHE, else ~/.cache/twofold."""
    if flags.cache:
        return os.path.abspath(flags.cache)
    return os.path.join(os.path.expanduser("~"), ".cache", "twofold")


def digest(text: str) -> str:
    """20 hexadecimal digits, which no two texts share: for the keys of modules."""
    return blake2b(text.encode(), digest_size=10).hexdigest()


# ---- entries -------------------------------------------------------------------------------------


def _digest(data: bytes) -> bytes:
    return blake2b(data, digest_size=16).digest()


def _file_name(key: str) -> str:
    """A name that a human can read and that no two keys share."""
    readable = re.sub(r"[^A-Za-z0-9.,=-]+", "_", key)[:80]
    return f"{readable}-{_digest(key.encode()).hex()}{ENTRY}"


def _pack(key: str, code: bytes) -> bytes:
    text = key.encode()
    return HEADER.pack(FORMAT, _digest(text + code), len(text), len(code)) + text + code


def _unpack(key: str, entry: bytes) -> bytes | None:
    if len(entry) < HEADER.size:
        return None
    form, digest, key_size, code_size = HEADER.unpack_from(entry)
    rest = entry[HEADER.size :]
    text, code = rest[:key_size], rest[key_size:]
    sound = form == FORMAT and len(code) == code_size and digest == _digest(rest)
    return code if sound and text == key.encode() else None


def _read_own(path: str) -> bytes | None:
    """The bytes of a file, None if somebody else may have written them."""
    with open(path, "rb", buffering=0) as stream:
        if not _private(os.fstat(stream.fileno())):
            return None
        return stream.read()


def _discard(path: str) -> None:
    with suppress(OSError):
        os.unlink(path)


# ---- the folder ----------------------------------------------------------------------------------


def _private(facts: os.stat_result) -> bool:
    if not hasattr(os, "geteuid"):
        return True  # Windows keeps a user's folder to that user
    others_write = facts.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return facts.st_uid in (os.geteuid(), 0) and not others_write


def _folder(create: bool = False) -> str | None:
    """The folder of today's stamp; None where there is none, or where it is not ours alone."""
    path = root()
    folder = os.path.join(path, STAMP + stamp())
    if folder in _trusted:
        return folder
    try:
        if create:
            _make(path, folder)
        shared = [place for place in (path, folder) if not _private(os.stat(place))]
    except OSError:
        return None
    if shared:
        text = f"kernels are not cached: {shared[0]} is another user's, or others can write to it"
        warnings.warn(text, RuntimeWarning, stacklevel=2)
        return None
    with suppress(OSError):
        os.utime(folder)  # the last use, by which old stamps are forgotten
    _trusted.add(folder)
    return folder


def _make(path: str, folder: str) -> None:
    if not os.path.isabs(path):
        raise FileNotFoundError(path)  # no home: not a place to litter
    os.makedirs(path, 0o700, exist_ok=True)
    if not os.path.isdir(folder):
        os.makedirs(folder, 0o700, exist_ok=True)
        _forget_old_stamps(path)


def _stamps(path: str) -> list[str]:
    """The folders of all versions, the one used last first."""
    found = []
    with suppress(OSError), os.scandir(path) as entries:
        for entry in entries:
            if entry.name.startswith(STAMP) and entry.is_dir(follow_symlinks=False):
                found.append((entry.stat().st_mtime, entry.path))
    return [folder for _, folder in sorted(found, reverse=True)]


def _forget_old_stamps(path: str) -> None:
    """Keep the folders of the versions used last; those of old versions only take room."""
    for folder in _stamps(path)[KEPT_STAMPS:]:
        _remove(folder)


def _remove(folder: str) -> None:
    with suppress(OSError):
        for name in os.listdir(folder):
            if name.endswith((ENTRY, TEMPORARY)):
                _discard(os.path.join(folder, name))
        os.rmdir(folder)


# ---- the stamp -----------------------------------------------------------------------------------


@cache
def stamp() -> str:
    """What code depends on besides its key: our sources, the CPU, its row, the format."""
    native = flags.cpu == NATIVE
    words = [FORMAT, cpu_identity() if native else b"", repr(host()).encode()]
    for source in SOURCES:
        words += _source_facts(os.path.join(PACKAGE, source), _facts if native else _content)
    return _digest(b"\n".join(words)).hex()[:16]


Facts = Callable[[str, os.stat_result], bytes]


def _source_facts(path: str, facts_of: Facts) -> list[bytes]:
    """What tells each Python file at or below a path from another."""
    try:
        if path.endswith(".py"):
            return [facts_of(path, os.stat(path))]
        inside = sorted(os.scandir(path), key=lambda entry: entry.name)
    except OSError:
        return []  # a package that is not in plain files has its version in its path
    found = []
    for entry in inside:
        if entry.name.endswith(".py"):
            found.append(facts_of(entry.path, entry.stat()))
        elif "." not in entry.name and entry.name != "__pycache__":
            found += _source_facts(entry.path, facts_of)
    return found


def _content(path: str, facts: os.stat_result) -> bytes:
    """Its name and what it says: an image of a machine or an archive rounds times."""
    with open(path, "rb", buffering=0) as file:
        return path[len(PACKAGE) :].encode() + _digest(file.read())


def _facts(path: str, facts: os.stat_result) -> bytes:
    """Its name, size and time of change: looked up in a fifth of the time of reading it."""
    return f"{path[len(PACKAGE) :]} {facts.st_size} {facts.st_mtime_ns}".encode()
