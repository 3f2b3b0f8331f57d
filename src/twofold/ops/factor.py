"""What is no tensor and multiplies one: `matmul(x, w)` asks it for the product. Floor 4."""

from __future__ import annotations

from typing import Any


class Factor:
    """A left operand of matrix products that holds its numbers in a way of its own."""

    __slots__ = ()

    def matmul(self, other: Any) -> Any:
        """The product with a tensor."""
        raise TypeError(f"{type(self).__name__} does not define matmul")

    def __matmul__(self, other: Any) -> Any:
        return self.matmul(other)
