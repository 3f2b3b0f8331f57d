"""Targets are rows: the host's, and those of other machines."""

import platform
import sys

import pytest

from twofold.codegen import target
from twofold.codegen.target import TARGETS, cpu_identity, host


def test_the_host_has_a_row_and_the_right_loader() -> None:
    row = host()
    ours = sys.platform == "linux" and platform.machine() == "x86_64"
    assert row.loader == ("elf" if ours else "llvmlite")
    assert (row.triple, row.cpu) == ("native", "native")


@pytest.mark.parametrize(
    ("system", "machine", "loader", "pause"),
    [
        ("linux", "x86_64", "elf", target.X86_PAUSE),
        ("win32", "AMD64", "llvmlite", target.X86_PAUSE),
        ("darwin", "arm64", "llvmlite", target.ARM_PAUSE),
        ("linux", "aarch64", "llvmlite", target.ARM_PAUSE),
        ("linux", "riscv64", "llvmlite", ""),
    ],
)
def test_any_machine_finds_a_row(
    monkeypatch: pytest.MonkeyPatch, system: str, machine: str, loader: str, pause: str
) -> None:
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    row = host.__wrapped__()
    assert (row.loader, row.pause) == (loader, pause)


@pytest.mark.parametrize(
    ("missing", "vectors"), [("", (64, 32)), ("avx512vl", (32, 16)), ("avx512f", (32, 16))]
)
def test_the_features_of_the_host_choose_its_vectors(
    monkeypatch: pytest.MonkeyPatch, missing: str, vectors: tuple[int, int]
) -> None:
    words = ["fpu", "avx2", "avx512f", "avx512dq", "avx512bw", "avx512vl"]
    flags = " ".join(word for word in words if word != missing)
    monkeypatch.setattr(target, "cpu_identity", lambda: f"linux\nflags\t\t: {flags}".encode())
    row = host.__wrapped__()
    assert (row.vector_bytes, row.registers) == vectors


def test_other_machines_have_no_loader() -> None:
    assert {row.loader for row in TARGETS.values()} == {""}
    assert all(name == row.name for name, row in TARGETS.items())


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/cpuinfo")
def test_the_identity_of_the_cpu_is_its_features_and_never_its_speed() -> None:
    identity = cpu_identity()
    assert identity == cpu_identity.__wrapped__(), "it must not change from call to call"
    assert b"flags" in identity or b"Features" in identity
    assert b"MHz" not in identity and b"bogomips" not in identity.lower()
