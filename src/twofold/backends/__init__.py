"""PyTorch's switches of libraries beneath: taken, remembered, and without effect here. Floor 13.

Every kernel is Twofold's own, deterministic, and exact in the sense of the numerics contract;
nothing that these switches trade is for sale.
"""

from __future__ import annotations

from typing import Any, final

from twofold.backends import cuda, cudnn

__all__ = ["cpu", "cuda", "cudnn", "mkl", "mkldnn", "mps", "openmp", "quantized"]


@final
class Absent:
    """A library that is not used: it answers so, and its switches can be set."""

    def __init__(self, **switches: Any) -> None:
        self.__dict__.update(switches)

    def is_available(self) -> bool:
        return False

    def is_built(self) -> bool:
        return False


@final
class Cpu:
    """What the CPU can do."""

    def get_cpu_capability(self) -> str:
        return "TWOFOLD"


cpu = Cpu()
mps = Absent()
mkl = Absent()
mkldnn = Absent(enabled=False, allow_tf32=False)
openmp = Absent()
opt_einsum = Absent(enabled=False, strategy=None)
quantized = Absent(engine="none", supported_engines=["none"])
