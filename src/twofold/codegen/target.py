"""What we compile for: one row of a table for each target. Floor 3.

A row says how LLVM names the CPU, which of our operations it spells in another way, and which
loader places its code in this process, so that a new target is a new row. `host()` is the row of
this machine; its CPU is "native", which the compiler turns into LLVM's name for it, or one that
TWOFOLD_CPU names, so that kernels run on other machines too.
"""

from __future__ import annotations

import os
import platform
import sys
from functools import cache
from typing import Literal

from twofold.base.errors import TwofoldError
from twofold.base.flags import flags
from twofold.base.records import NamedTuple

NATIVE = "native"

# How the code generator treats a module: the loops of a "kernel" are written as they should run;
# those of the "runtime" are few and short, and LLVM may choose their counters; the functions of a
# "plain" one only call others, so that nothing is there to be optimised.
Style = Literal["kernel", "runtime", "plain"]


class Target(NamedTuple):
    """A kind of CPU as the compiler sees it.

    Kernels compute in vectors of `vector_bytes`, of which the CPU holds `registers`: they choose
    speed and never bits. `fma` is the LLVM function of a * b + c rounded once, `pause` the call of
    a spin loop ("" where there is none), `scale` that of x * 2**k ("" where it takes several
    instructions), `loader` is "elf" for our own and "llvmlite" for LLVM's; "" means that the code
    is for another machine.
    """

    name: str
    triple: str
    cpu: str
    features: str = ""
    vector_bytes: int = 32
    registers: int = 16
    fma: str = "llvm.fma"
    pause: str = ""
    loader: str = ""
    scale: str = ""


AVX512_SCALE = "llvm.x86.avx512.mask.scalef"
X86_PAUSE = "llvm.x86.sse2.pause()"
ARM_PAUSE = "llvm.aarch64.hint(i32 1)"

# For this process: (system, machine) as Python names them, and "" for any other.
HOSTS = {
    ("linux", "x86_64"): Target("host", NATIVE, NATIVE, pause=X86_PAUSE, loader="elf"),
    ("", "x86_64"): Target("host", NATIVE, NATIVE, pause=X86_PAUSE, loader="llvmlite"),
    ("", "aarch64"): Target("host", NATIVE, NATIVE, pause=ARM_PAUSE, loader="llvmlite"),
    ("", ""): Target("host", NATIVE, NATIVE, loader="llvmlite"),
}
# What all of these features (as Linux names them) make of a host's vectors: the first that fits.
VECTORS = {("avx512f", "avx512bw", "avx512dq", "avx512vl"): (64, 32, AVX512_SCALE)}
MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}  # other systems' words for the same CPU

# For other machines.
TARGETS = {
    row.name: row
    for row in (
        Target("x86-64-v3", "x86_64-unknown-linux-gnu", "x86-64-v3", pause=X86_PAUSE),
        Target("x86-64-v4", "x86_64-unknown-linux-gnu", "x86-64-v4", "", 64, 32)._replace(
            pause=X86_PAUSE, scale=AVX512_SCALE
        ),
        Target("aarch64", "aarch64-unknown-linux-gnu", "generic", "+neon", pause=ARM_PAUSE),
        # No fma instruction: fmuladd lets LLVM multiply, then add, where fma would call a library.
        Target("wasm32", "wasm32-unknown-unknown", "generic", "+simd128,+bulk-memory", 16)._replace(
            fma="llvm.fmuladd"
        ),
    )
}


# What TWOFOLD_CPU may name: the machine, and features that the CPU must have, as Linux names them
# (x86-64 psABI, "Micro-Architecture Levels").
V3 = ("abm", "avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "movbe")
V4 = (*V3, "avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl")
NAMED = {"x86-64-v3": ("x86_64", V3), "x86-64-v4": ("x86_64", V4), "aarch64": ("aarch64", ())}


@cache
def host() -> Target:
    """The row of the machine that this process runs on.

    Raises TwofoldError where TWOFOLD_CPU names what is not there, or what this CPU cannot run.
    """
    machine = platform.machine().lower()
    machine = MACHINES.get(machine, machine)
    if sys.maxsize < 1 << 32:
        machine = ""  # 32-bit Python on a 64-bit CPU
    places = ((sys.platform, machine), ("", machine), ("", ""))
    row = next(HOSTS[place] for place in places if place in HOSTS)
    if flags.cpu != NATIVE:
        _check_named(flags.cpu, machine)
        return TARGETS[flags.cpu]._replace(loader=row.loader)
    found = set(cpu_features())
    for features, (size, count, scale) in VECTORS.items():
        if found.issuperset(features):
            return row._replace(vector_bytes=size, registers=count, scale=scale)
    return row


def _check_named(cpu: str, machine: str) -> None:
    names = ", ".join(NAMED)
    if cpu not in NAMED:
        raise TwofoldError("TWOFOLD_CPU", f"there is no {cpu!r}", hint=f"native, {names}")
    wanted, features = NAMED[cpu]
    lacking = sorted(set(features) - set(cpu_features()))
    if sys.platform != "linux" or machine != wanted:
        problem = f"{cpu} is for Linux on {wanted}, this is {sys.platform} on {machine}"
    elif lacking:
        problem = f"{cpu} takes {', '.join(lacking)}, which this CPU does not have"
    else:
        return
    raise TwofoldError("TWOFOLD_CPU", problem, hint="leave it out: native is this CPU")


# The lines of /proc/cpuinfo that say which instructions the CPU has; others change all the time.
CPU_LINES = (
    b"vendor_id", b"cpu family", b"model", b"model name", b"stepping", b"flags",
    b"CPU implementer", b"CPU architecture", b"CPU variant", b"CPU part", b"Features",
)  # fmt: skip


def cpu_features() -> list[str]:
    """The features of this CPU as Linux names them; none are known elsewhere."""
    lines = cpu_identity().decode(errors="replace").split("\n")
    return [word for line in lines if line.startswith("flags") for word in line.split()[2:]]


@cache
def cpu_identity() -> bytes:
    """Words that differ wherever code made on one CPU might not suit another."""
    words = [sys.platform.encode(), platform.machine().encode()]
    try:
        file = os.open("/proc/cpuinfo", os.O_RDONLY)
    except OSError:
        return b"\n".join([*words, platform.processor().encode()])
    try:
        text = os.read(file, 1 << 14)  # the first CPU is enough, and reading all of many is slow
    finally:
        os.close(file)
    first = text.split(b"\n\n")[0]
    words += [line for line in first.split(b"\n") if line.split(b":")[0].strip() in CPU_LINES]
    return b"\n".join(words)
