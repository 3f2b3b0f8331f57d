"""What we compile for: one row of a table for each target. Floor 3.

A row says how LLVM names the CPU and which of our operations it spells in another way, so that a new
target is a new row. `host()` is the row of this machine with its CPU's own name and features.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType


@dataclass(frozen=True)
class Target:
    """A CPU as the compiler sees it.

    `fma` and `pause` are the LLVM functions of these operations ("" where the CPU has none);
    `loader` says whether our own ELF loader can place its objects in this process.
    """

    name: str
    triple: str
    cpu: str
    features: str
    vector_bytes: int = 32
    fma: str = "llvm.fma"
    pause: str = ""
    loader: str = "llvmlite"
    globals: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


_X86 = Target(
    "x86-64",
    "x86_64-unknown-linux-gnu",
    "x86-64-v3",
    "",
    pause="llvm.x86.sse2.pause()",
    loader="elf",
)
TARGETS = {"x86-64": _X86}


def host() -> Target:
    import llvmlite.binding as llvm

    return replace(
        _X86,
        triple=llvm.get_process_triple(),
        cpu=llvm.get_host_cpu_name(),
        features=llvm.get_host_cpu_features().flatten(),
    )
