"""Which functions are methods of Tensor, and its operators. Floor 4."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twofold.base.errors import DTypeError, GradientError
from twofold.ops import elementwise, linalg, movement, reduce
from twofold.ops.tensor import Size, Tensor, type_of, wrap


def attach(name: str, function: Any) -> None:
    """Make `function` the Tensor method (or property) `name`."""
    setattr(Tensor, name, function)


def _reflected(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def reflected(self: Tensor, other: Any) -> Tensor:
        return function(other, self)

    return reflected


METHODS: dict[str, Any] = {
    "add": elementwise.add,
    "sub": elementwise.sub,
    "mul": elementwise.mul,
    "div": elementwise.true_divide,
    "neg": elementwise.neg,
    "sum": reduce.sum,
    "reshape": movement.reshape,
    "permute": movement.permute,
    "transpose": movement.transpose,
    "t": movement.t,
    "expand": movement.expand,
    "matmul": linalg.matmul,
    "mm": linalg.matmul,
    "__neg__": elementwise.neg,
    "__add__": elementwise.add,
    "__radd__": _reflected(elementwise.add),
    "__sub__": elementwise.sub,
    "__rsub__": _reflected(elementwise.sub),
    "__mul__": elementwise.mul,
    "__rmul__": _reflected(elementwise.mul),
    "__truediv__": elementwise.true_divide,
    "__rtruediv__": _reflected(elementwise.true_divide),
    "__matmul__": linalg.matmul,
    "__rmatmul__": _reflected(linalg.matmul),
}
for _name, _function in METHODS.items():
    attach(_name, _function)


def _get_requires_grad(self: Tensor) -> bool:
    return self.tracked


def _set_requires_grad(self: Tensor, value: bool) -> None:
    if value and self.array.dtype.kind not in "fcV":
        raise DTypeError(
            "requires_grad",
            "only floating and complex tensors have gradients",
            input=type_of(self),
            hint="x.float().requires_grad_()",
        )
    if not value and self.node is not None:
        raise GradientError("requires_grad", "only a leaf can stop requiring a gradient", hint="x.detach()")
    self.tracked = bool(value)


def requires_grad_(self: Tensor, requires_grad: bool = True) -> Tensor:
    """Ask for this leaf's gradient (or no longer), and give the tensor back."""
    self.requires_grad = requires_grad  # type: ignore[attr-defined]
    return self


def detach(self: Tensor) -> Tensor:
    """The same memory without the history: writes are seen through both."""
    made = wrap(self.array)
    made.base = self if self.base is None else self.base
    made.version = made.base.version
    return made


def size(self: Tensor, dim: int | None = None) -> Any:
    """The shape, or the size of one axis."""
    return Size(self.array.shape) if dim is None else self.array.shape[dim]


attach("requires_grad", property(_get_requires_grad, _set_requires_grad))
attach("requires_grad_", requires_grad_)
attach("is_leaf", property(lambda self: self.node is None))
attach("grad_fn", property(lambda self: self.node))
attach("detach", detach)
attach("size", size)
attach("dim", lambda self: self.array.ndim)
attach("numel", lambda self: int(self.array.size))
attach("item", lambda self: self.array.item())
attach("numpy", lambda self: self.array)
attach("T", property(movement.t))
