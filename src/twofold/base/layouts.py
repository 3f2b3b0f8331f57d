"""How tensors lie in memory, for programs that say so: strided, as all do here. Floor 0."""

from __future__ import annotations

from typing import final

from twofold.base.dtypes import package


class _Name:
    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"{package[0]}.{self.name}"


@final
class Layout(_Name):
    """`strided`: by a start and a step along each axis."""


@final
class MemoryFormat(_Name):
    """The order of axes in memory that a program prefers. Tensors stay in C order whatever it is:
    kernels pack what they need.
    """


strided = Layout("strided")
contiguous_format = MemoryFormat("contiguous_format")
legacy_contiguous_format = contiguous_format  # the name it had first
preserve_format = MemoryFormat("preserve_format")
channels_last = MemoryFormat("channels_last")
channels_last_3d = MemoryFormat("channels_last_3d")
