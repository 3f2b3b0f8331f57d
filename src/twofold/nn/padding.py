"""Padding layers. Floor 10."""

from __future__ import annotations

from typing import Any

from twofold.nn import functional as F
from twofold.nn.module import Module
from twofold.ops.guarding import guard
from twofold.ops.tensor import Tensor

__all__ = [
    "CircularPad1d",
    "CircularPad2d",
    "CircularPad3d",
    "ConstantPad1d",
    "ConstantPad2d",
    "ConstantPad3d",
    "ReflectionPad1d",
    "ReflectionPad2d",
    "ReflectionPad3d",
    "ReplicationPad1d",
    "ReplicationPad2d",
    "ReplicationPad3d",
    "ZeroPad1d",
    "ZeroPad2d",
    "ZeroPad3d",
]


class Padding(Module):
    """Elements added around the last `rank` axes: one number, or (left, right, ...)."""

    rank: int
    mode = "constant"
    value = 0.0

    def __init__(self, padding: Any) -> None:
        super().__init__()
        self.padding = (padding,) * (2 * self.rank) if isinstance(padding, int) else tuple(padding)

    def forward(self, input: Tensor) -> Tensor:
        value = self.value if self.mode == "constant" else None
        return F.pad(input, self.padding, self.mode, value)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class ReflectionPads(Padding):
    """What mirrors the ends of axes."""

    mode = "reflect"


class ReplicationPads(Padding):
    """What repeats the ends of axes."""

    mode = "replicate"


BASES = {"reflect": ReflectionPads, "replicate": ReplicationPads}


def _padding(name: str, rank: int, mode: str, doc: str) -> type[Padding]:
    body = {"rank": rank, "mode": mode, "__doc__": doc, "__module__": __name__}
    return type(name, (BASES.get(mode, Padding),), body)


ZeroPad1d = _padding("ZeroPad1d", 1, "constant", "Zeros around the last axis.")
ZeroPad2d = _padding("ZeroPad2d", 2, "constant", "Zeros around the last two axes.")
ReflectionPad1d = _padding("ReflectionPad1d", 1, "reflect", "The last axis mirrored at its ends.")
ReflectionPad2d = _padding("ReflectionPad2d", 2, "reflect", "Two axes mirrored at their ends.")
ReplicationPad1d = _padding("ReplicationPad1d", 1, "replicate", "The last axis' ends repeated.")
ReplicationPad2d = _padding("ReplicationPad2d", 2, "replicate", "The ends of two axes repeated.")
CircularPad1d = _padding("CircularPad1d", 1, "circular", "The last axis beginning again.")
CircularPad2d = _padding("CircularPad2d", 2, "circular", "Two axes beginning again.")

ZeroPad3d = _padding("ZeroPad3d", 3, "constant", "Zeros around the last three axes.")
ReflectionPad3d = _padding("ReflectionPad3d", 3, "reflect", "Three axes mirrored at their ends.")
ReplicationPad3d = _padding("ReplicationPad3d", 3, "replicate", "The ends of three axes repeated.")
CircularPad3d = _padding("CircularPad3d", 3, "circular", "Three axes beginning again.")


class ConstantPad(Padding):
    """One value around the last axes."""

    def __init__(self, padding: Any, value: float) -> None:
        super().__init__(padding)
        self.value = value

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class ConstantPad1d(ConstantPad):
    """One value around the last axis."""

    rank = 1


class ConstantPad2d(ConstantPad):
    """One value around the last two axes."""

    rank = 2


class ConstantPad3d(ConstantPad):
    """One value around the last three axes."""

    rank = 3


guard(globals())
