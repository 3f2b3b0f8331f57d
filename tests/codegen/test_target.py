"""Targets are rows: the host's, and those of other machines."""

import platform
import sys

import pytest

from twofold.base.errors import TwofoldError
from twofold.base.flags import flags
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


V3 = " ".join(target.V3)


def named(cpu: str, found: str, monkeypatch: pytest.MonkeyPatch) -> target.Target:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(target, "cpu_identity", lambda: f"linux\nflags\t\t: {found}".encode())
    with flags.override(cpu=cpu):
        return host.__wrapped__()


def test_a_cpu_may_be_named_that_has_less_than_this_one(monkeypatch: pytest.MonkeyPatch) -> None:
    row = named("x86-64-v3", " ".join(target.V4), monkeypatch)
    assert row == TARGETS["x86-64-v3"]._replace(loader="elf")
    assert row.vector_bytes == 32


@pytest.mark.parametrize(
    ("cpu", "found", "told"),
    [
        ("x86-64-v4", V3, "x86-64-v4 takes avx512bw, avx512cd, avx512dq, avx512f, avx512vl, which"),
        ("x86-64-v3", V3.replace("fma", ""), "x86-64-v3 takes fma, which this CPU does not have"),
        ("aarch64", V3, "aarch64 is for Linux on aarch64, this is linux on x86_64"),
        ("znver4", V3, "there is no 'znver4'"),
    ],
)
def test_a_cpu_is_refused_that_this_one_is_not(
    cpu: str, found: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(TwofoldError) as refused:
        named(cpu, found, monkeypatch)
    assert told in str(refused.value)
    assert "native" in refused.value.hint


def test_other_machines_have_no_loader() -> None:
    assert {row.loader for row in TARGETS.values()} == {""}
    assert all(name == row.name for name, row in TARGETS.items())


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/cpuinfo")
def test_the_identity_of_the_cpu_is_its_features_and_never_its_speed() -> None:
    identity = cpu_identity()
    assert identity == cpu_identity.__wrapped__(), "it must not change from call to call"
    assert b"flags" in identity or b"Features" in identity
    assert b"MHz" not in identity and b"bogomips" not in identity.lower()
