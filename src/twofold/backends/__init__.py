"""PyTorch's switches of libraries beneath: taken, remembered, and without effect here. Floor 13.

Every kernel is Twofold's own, deterministic, and exact in the sense of the numerics contract;
nothing that these switches trade is for sale.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any, final

from twofold.backends import cuda, cudnn

__all__ = [
    "cpu", "cuda", "cudnn", "mkl", "mkldnn", "mps", "nnpack", "openmp", "opt_einsum", "quantized",
    "xnnpack",
]  # fmt: skip


class _Backend(ModuleType):
    """A module that programs import by its name, made of a class."""

    def __init__(self, name: str, **switches: Any) -> None:
        super().__init__(f"{__name__}.{name}", "A library beneath PyTorch, which is not used here.")
        self.__package__ = __name__
        self.__dict__.update(switches)
        sys.modules[self.__name__] = self


@final
class Absent(_Backend):
    """A library that is not used: it answers so, and its switches can be set."""

    VERBOSE_OFF = 0
    VERBOSE_ON = 1

    def is_available(self) -> bool:
        return False

    is_built = is_macos13_or_newer = is_acl_available = is_available

    def is_macos_or_newer(self, major: int, minor: int) -> bool:
        return False

    def get_core_count(self) -> int:
        return 0

    def get_name(self) -> str:
        return ""

    @contextlib.contextmanager
    def flags(self, *_: Any, **switches: Any) -> Iterator[None]:
        """In the block, the switches are those; they change nothing here."""
        before = {name: getattr(self, name) for name in switches if hasattr(self, name)}
        self.__dict__.update(switches)
        try:
            yield
        finally:
            self.__dict__.update(before)

    def set_flags(self, _enabled: bool | None = None, **switches: Any) -> tuple[bool]:
        """The switches are kept; what was enabled before is given back: nothing."""
        self.__dict__.update(switches)
        return (False,)

    @contextlib.contextmanager
    def verbose(self, level: int = 0) -> Iterator[None]:
        """A block like any other: the library is not there to say anything."""
        yield


@final
class Cpu(_Backend):
    """What the CPU can do."""

    def get_cpu_capability(self) -> str:
        return "TWOFOLD"


cpu = Cpu("cpu")
mps = Absent("mps")
mkl = Absent("mkl")
mkldnn = Absent("mkldnn", enabled=False, allow_tf32=False, deterministic=True)
openmp = Absent("openmp")
nnpack = Absent("nnpack")
opt_einsum = Absent("opt_einsum", enabled=False, strategy=None)
quantized = Absent("quantized", engine="none", supported_engines=["none"])
xnnpack = Absent("xnnpack", enabled=False)
