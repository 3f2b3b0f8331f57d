"""Buffer: a tensor that a module lists as state when it is assigned. Floor 10."""

from __future__ import annotations

from typing import final

from twofold.ops.creation import empty
from twofold.ops.tensor import Tensor, blank


@final
class Buffer(Tensor):
    """`self.mean = nn.Buffer(zeros(3))` is `self.register_buffer("mean", zeros(3), persistent)`.

    It shares the memory of `data` and requires no gradient.
    """

    __slots__ = ("persistent",)

    persistent: bool

    def __new__(cls, data: Tensor | None = None, *, persistent: bool = True) -> Buffer:
        made: Buffer = blank(cls)
        made.array = (empty(0) if data is None else data).array
        made.persistent = persistent
        return made
