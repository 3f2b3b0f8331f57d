"""Variable, which tensors were called before they had gradients themselves. Floor 8."""

from __future__ import annotations

from typing import Any, final

from twofold.ops.tensor import Tensor
from twofold.ops.writing import alias


@final
class _Variable:
    """`Variable(x, requires_grad=True)`: the memory as a leaf; `isinstance(x, Variable)`."""

    def __call__(self, data: Tensor, requires_grad: bool = False, volatile: bool = False) -> Tensor:
        made = alias(data)
        made.requires_grad = requires_grad  # type: ignore[attr-defined]
        return made

    def __instancecheck__(self, instance: Any) -> bool:
        return isinstance(instance, Tensor)


Variable = _Variable()
