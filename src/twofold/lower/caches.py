"""The sizes of the data caches, which choose blocks and never bits. Floor 6."""

from __future__ import annotations

import os
from functools import cache

from twofold.base.records import NamedTuple

CACHES = "/sys/devices/system/cpu/cpu0/cache"
FACTS = ("type", "level", "size")
UNITS = {"K": 1 << 10, "M": 1 << 20}


class Caches(NamedTuple):
    """Bytes in each level; the defaults are those of a small machine."""

    first: int = 32 << 10
    second: int = 512 << 10
    third: int = 4 << 20


@cache
def cache_sizes() -> Caches:
    """What the system says of CPU 0, as far as it says anything."""
    return read_sizes(CACHES)


def read_sizes(folder: str | os.PathLike[str]) -> Caches:
    """The sizes in a folder such as /sys/devices/system/cpu/cpu0/cache."""
    found = {}
    names = os.listdir(folder) if os.path.isdir(folder) else []
    for name in sorted(names):
        if not name.startswith("index"):
            continue
        try:
            kind, level, size = [_read(os.path.join(folder, name, fact)) for fact in FACTS]
            if kind != "Instruction" and 1 <= int(level) <= 3:
                found[Caches._fields[int(level) - 1]] = int(size.rstrip("KM")) * UNITS[size[-1]]
        except (OSError, ValueError, KeyError):
            continue
    return Caches(**found)


def _read(path: str) -> str:
    with open(path, encoding="ascii") as file:
        return file.read().strip()
