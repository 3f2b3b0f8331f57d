"""The machine: what it is, and who else is using it."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path
from typing import Any, NamedTuple, final

import numpy as np

from twofold.runtime import limits

FEATURES = ("avx2", "fma", "avx512f", "avx512_vnni", "amx_tile", "avx_vnni", "neon", "sve", "asimd")


def facts() -> dict[str, Any]:
    """What a reader must know of a machine before believing its times."""
    cpu = cpu_info()
    words = set(cpu.get("flags", cpu.get("Features", "")).split())
    return {
        "cpu": cpu.get("model name", platform.processor() or platform.machine()),
        "cpus": limits.cpus(),
        "features": [name for name in FEATURES if name in words],
        "cache": cpu.get("cache size", ""),
        "memory": memory_bytes(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "numpy": np.__version__,
    }


def cpu_info() -> dict[str, str]:
    """The first processor's lines of /proc/cpuinfo, where there is one."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return {}
    lines = (line.split(":", 1) for line in text.split("\n\n")[0].splitlines() if ":" in line)
    return {name.strip(): value.strip() for name, value in lines}


def memory_bytes() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return 0


class Ticks(NamedTuple):
    """Seconds of all CPUs together since the machine started: at work, and stolen by the host."""

    busy: float
    stolen: float


def ticks() -> Ticks | None:
    try:
        fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    except OSError:
        return None
    user, nice, system, _, _, irq, soft, stolen = (int(field) for field in fields[:8])
    hertz = os.sysconf("SC_CLK_TCK")
    return Ticks((user + nice + system + irq + soft) / hertz, stolen / hertz)


class Noise(NamedTuple):
    """Shares of the machine's CPUs that others had, or the host took, during a turn."""

    others: float
    stolen: float

    @property
    def share(self) -> float:
        return self.others + self.stolen


@final
class Watch:
    """How much of the machine others used since this watch was started."""

    def __init__(self) -> None:
        self.start = time.perf_counter()
        self.before = ticks()

    def noise(self, own: float) -> Noise | None:
        """`own` is the CPU time in seconds that the contestant itself used."""
        after, wall = ticks(), time.perf_counter() - self.start
        if self.before is None or after is None or wall <= 0:
            return None
        room = wall * (os.cpu_count() or 1)
        others = max(0.0, after.busy - self.before.busy - own) / room
        return Noise(min(1.0, others), min(1.0, (after.stolen - self.before.stolen) / room))


def load() -> float:
    """The mean number of runnable processes over the last minute."""
    return os.getloadavg()[0]
