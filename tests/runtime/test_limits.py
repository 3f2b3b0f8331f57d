"""Reading CPU and memory limits from both versions of cgroups, and from files that lie."""

import os
from pathlib import Path

import pytest

from twofold.runtime import limits

MEMINFO = "MemTotal:       16000000 kB\nMemFree: 1 kB\n"
VERSION_2 = "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n"
VERSION_1 = (
    "31 23 0:28 {root} /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
    "32 23 0:29 {root} /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))
    return tmp_path


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in {"proc/meminfo": MEMINFO, **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_without_groups_the_machine_counts(root: Path) -> None:
    write(root, {})
    assert limits.cpus(str(root)) == 8
    assert limits.memory(str(root)) == 16000000 * 1024


def test_without_any_file(root: Path) -> None:
    assert limits.cpus(str(root)) == 8
    assert limits.memory(str(root)) == limits.NO_LIMIT


@pytest.mark.parametrize(
    ("quota", "expected"),
    [("max 100000", 8), ("150000 100000", 2), ("50000 100000", 1), ("900000 100000", 8)],
)
def test_version_2_quota(root: Path, quota: str, expected: int) -> None:
    files = {"proc/self/cgroup": "0::/a/b\n", "proc/self/mountinfo": VERSION_2}
    write(root, {**files, "sys/fs/cgroup/a/b/cpu.max": quota + "\n"})
    assert limits.cpus(str(root)) == expected


def test_a_group_above_counts_too(root: Path) -> None:
    files = {"proc/self/cgroup": "0::/a/b\n", "proc/self/mountinfo": VERSION_2}
    files |= {"sys/fs/cgroup/a/b/cpu.max": "max 100000", "sys/fs/cgroup/a/cpu.max": "300000 100000"}
    files |= {"sys/fs/cgroup/a/memory.max": "1000000", "sys/fs/cgroup/a/b/memory.max": "max"}
    write(root, files)
    assert limits.cpus(str(root)) == 3
    assert limits.memory(str(root)) == 1000000


@pytest.mark.parametrize("mounted", ["/", "/docker/7"])
def test_version_1(root: Path, mounted: str) -> None:
    inner = "docker/7/" if mounted == "/" else ""
    files = {
        "proc/self/cgroup": "3:cpu,cpuacct:/docker/7\n2:memory:/docker/7\n0::/\n",
        "proc/self/mountinfo": VERSION_1.format(root=mounted),
        f"sys/fs/cgroup/cpu,cpuacct/{inner}cpu.cfs_quota_us": "250000\n",
        f"sys/fs/cgroup/cpu,cpuacct/{inner}cpu.cfs_period_us": "100000\n",
        f"sys/fs/cgroup/memory/{inner}memory.limit_in_bytes": "2000000\n",
    }
    write(root, files)
    assert limits.cpus(str(root)) == 3
    assert limits.memory(str(root)) == 2000000


def test_version_1_without_a_quota(root: Path) -> None:
    files = {
        "proc/self/cgroup": "3:cpu,cpuacct:/\n",
        "proc/self/mountinfo": VERSION_1.format(root="/"),
        "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
        "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
    }
    write(root, files)
    assert limits.cpus(str(root)) == 8


@pytest.mark.parametrize("text", ["", "nonsense", "0 0", "max", "-5 100000"])
def test_damaged_files_mean_no_limit(root: Path, text: str) -> None:
    files = {"proc/self/cgroup": "0::/\n", "proc/self/mountinfo": VERSION_2}
    files |= {"sys/fs/cgroup/cpu.max": text, "sys/fs/cgroup/memory.max": text}
    write(root, files)
    assert limits.cpus(str(root)) == 8
    assert limits.memory(str(root)) == 16000000 * 1024


def test_here() -> None:
    assert 1 <= limits.cpus() <= (os.cpu_count() or 1)
    assert limits.memory() > 1 << 20
