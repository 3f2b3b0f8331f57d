"""What this process may use: CPUs and memory, by affinity and cgroup. Floor 1.

Both cgroup versions are read, the process's own group and every group above it; the smallest limit
counts. The readers take the root of the file system, so that tests can give them a made-up one.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator

from twofold.base.records import NamedTuple

ROOT = "/"
# Limits above this mean "no limit": version 1 writes a number close to 2**63.
NO_LIMIT = 1 << 60


class Group(NamedTuple):
    """A control group's folder, and the version of the files in it."""

    folder: str
    version: int


def cpus(root: str = ROOT) -> int:
    """How many threads can run at once: CPUs by affinity, less where a cgroup quota is smaller."""
    allowed = len(os.sched_getaffinity(0))
    quota = min([math.inf, *map(_cpu_quota, _groups("cpu", root))])
    return max(1, math.ceil(min(allowed, quota)))


def memory(root: str = ROOT) -> int:
    """How many bytes the process may use: the machine's memory, or a cgroup's smaller limit."""
    limits = [_memory_limit(group) for group in _groups("memory", root)]
    return min([_machine_memory(root), *limits])


def _cpu_quota(group: Group) -> float:
    if group.version == 2:
        quota, period = (_read(group.folder, "cpu.max").split() + ["max", "100000"])[:2]
    else:
        quota = _read(group.folder, "cpu.cfs_quota_us").strip() or "-1"
        period = _read(group.folder, "cpu.cfs_period_us").strip() or "100000"
    if not quota.isdecimal() or not period.isdecimal() or int(period) == 0:
        return math.inf
    return int(quota) / int(period)


def _memory_limit(group: Group) -> int:
    name = {1: "memory.limit_in_bytes", 2: "memory.max"}[group.version]
    text = _read(group.folder, name).strip()
    return int(text) if text.isdecimal() else NO_LIMIT


def _machine_memory(root: str) -> int:
    for line in _read(root, "proc/meminfo").splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) * 1024
    return NO_LIMIT


def _groups(controller: str, root: str) -> Iterator[Group]:
    """The process's groups for a controller, each with all the groups above it."""
    paths = dict(_memberships(root))
    for mount, top, version, options in _mounts(root):
        member = paths.get("" if version == 2 else controller)
        if member is None or (version == 1 and controller not in options):
            continue
        below = member[len(top) :] if top != "/" and member.startswith(top) else member
        folder = os.path.join(root, mount.strip("/"))
        names = [name for name in below.split("/") if name]
        for depth in range(len(names), -1, -1):
            yield Group(os.path.join(folder, *names[:depth]), version)


def _memberships(root: str) -> Iterator[tuple[str, str]]:
    """(controller, path) as the kernel tells them; version 2 has the empty name."""
    for line in _read(root, "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            yield controller, path


def _mounts(root: str) -> Iterator[tuple[str, str, int, list[str]]]:
    """(where, which part of the hierarchy, version, options) of every mounted cgroup hierarchy."""
    for line in _read(root, "proc/self/mountinfo").splitlines():
        before, _, after = line.partition(" - ")
        fields, tail = before.split(), after.split()
        if len(fields) > 4 and tail and tail[0] in ("cgroup", "cgroup2"):
            version = 2 if tail[0] == "cgroup2" else 1
            yield fields[4], fields[3], version, tail[-1].split(",")


def _read(folder: str, name: str) -> str:
    try:
        with open(os.path.join(folder, name), encoding="ascii", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
