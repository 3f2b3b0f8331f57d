"""What programs ask of a tensor now and then, and PyTorch's older ways to ask it. Floor 4."""

from __future__ import annotations

import builtins
import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from twofold.base import dtypes
from twofold.base.errors import ArgumentError, GradientError
from twofold.ops.creation import arange
from twofold.ops.elementwise import add, cast, mul
from twofold.ops.guarding import guard
from twofold.ops.joining import flip
from twofold.ops.matrix import matrix_norm, vector_norm
from twofold.ops.matrix import vander as powers
from twofold.ops.movement import expand
from twofold.ops.rules import axis_of
from twofold.ops.tensor import Tensor, type_of
from twofold.ops.writing import overwrite

__all__ = ["frobenius_norm", "get_device", "is_conj", "is_distributed", "is_inference", "is_neg"]
__all__ += ["is_signed", "norm_except_dim", "nuclear_norm", "range", "sym_float", "sym_int"]
__all__ += ["sym_ite", "sym_max", "sym_min", "sym_not", "sym_sqrt", "sym_sum", "vander"]


def vander(x: Tensor, N: int | None = None, increasing: bool = False) -> Tensor:
    """[n] -> [n, N]: the powers of each element, the highest first unless `increasing`.

    N is n if it is None.
    """
    made = powers(x, N=N)
    return made if increasing else flip(made, (-1,))


def range(
    start: Any, end: Any = None, step: Any = 1, *, dtype: Any = None, **options: Any
) -> Tensor:
    """start, start + step, ... up to `end`, which is among them where it is met; of the default
    type unless `dtype` says another. Raises ArgumentError where the step leads away.
    """
    first, last = (0, start) if end is None else (start, end)
    if not step or (last - first) / step < 0:
        raise ArgumentError("range", f"a step of {step} does not lead from {first} to {last}")
    count = math.floor((last - first) / step) + 1
    places = arange(count, dtype=dtypes.float64, **options)
    kind = dtypes.default_dtype() if dtype is None else dtypes.as_dtype(dtype)
    return cast(add(mul(places, step), first), kind)


def frobenius_norm(input: Tensor, dim: Any = (), keepdim: bool = False) -> Tensor:
    """The root of the sum of squares over axes, all if none is named."""
    return vector_norm(input, 2, dim if isinstance(dim, int) or dim else None, keepdim)


def nuclear_norm(input: Tensor, dim: Any = (-2, -1), keepdim: bool = False) -> Tensor:
    """The sum of the singular values of f[..., n, m]."""
    return matrix_norm(input, "nuc", dim, keepdim)


def norm_except_dim(v: Tensor, pow: int = 2, dim: int = 0) -> Tensor:
    """The norm over all axes but `dim` (over all for -1), with axes of size 1 in their place."""
    if dim == -1:
        return vector_norm(v, pow)
    kept = axis_of("norm_except_dim", dim, v)
    axes = tuple(axis for axis, _ in enumerate(v.array.shape) if axis != kept)
    return vector_norm(v, pow, axes, True) if axes else vector_norm(v.reshape(-1, 1), pow, 1)  # type: ignore[attr-defined]


# ---- questions


def is_conj(input: Tensor) -> bool:
    """False: a conjugate is computed, and not a mark on a tensor."""
    return False


def is_neg(input: Tensor) -> bool:
    """False: a negative is computed, and not a mark on a tensor."""
    return False


def is_inference(input: Tensor) -> bool:
    """False: tensors of inference mode are as all others."""
    return False


def is_distributed(input: Tensor) -> bool:
    """False: tensors are in one process."""
    return False


def is_signed(input: Tensor) -> bool:
    """Whether the type has negative numbers."""
    return input.dtype.kind in "ifc"


def get_device(input: Tensor) -> int:
    """The number of the device: -1, as that of every tensor on the CPU."""
    return -1


def dim_order(self: Tensor, *, ambiguity_check: Any = False) -> tuple[int, ...]:
    """The axes from the one with the widest steps in memory to the one with the narrowest.

    With ambiguity_check=True raises ArgumentError where sizes of 1 or equal steps allow several.
    """
    steps, sizes = self.array.strides, self.array.shape
    order = sorted(builtins.range(len(steps)), key=lambda axis: (-steps[axis], axis))
    several = len({s for s, n in zip(steps, sizes, strict=True) if n != 1}) < len(steps)
    if ambiguity_check is True and several:
        raise ArgumentError("dim_order", "there are several orders", input=type_of(self))
    return tuple(order)


# ---- a Python function of each element, in place


def apply_(self: Tensor, callable: Callable[[Any], Any]) -> Tensor:
    """Each element replaced by what the function gives for it, a Python number; slow, and without
    a gradient. Raises GradientError for a tensor that requires one.
    """
    return _each("apply_", self, callable)


def map_(self: Tensor, tensor: Tensor, callable: Callable[[Any, Any], Any]) -> Tensor:
    """Each element replaced by what the function gives for it and its like in `tensor`, which is
    broadcast.
    """
    return _each("map_", self, callable, tensor)


def map2_(self: Tensor, x: Tensor, y: Tensor, callable: Callable[[Any, Any, Any], Any]) -> Tensor:
    """`map_` with two further tensors."""
    return _each("map2_", self, callable, x, y)


def _each(op: str, self: Tensor, function: Callable[..., Any], *others: Tensor) -> Tensor:
    if self.tracked or any(x.tracked for x in others):
        problem = "a Python function has no gradient"
        raise GradientError(op, problem, hint="x.detach()", input=type_of(self))
    shape = self.array.shape
    broad = [expand(x, shape).tolist() for x in others]  # type: ignore[attr-defined]
    made = _mapped(function, len(shape), self.tolist(), *broad)  # type: ignore[attr-defined]
    values = dtypes.convert(np.array(made).reshape(shape), self.dtype)
    return overwrite(self, values, op)


def _mapped(function: Callable[..., Any], depth: int, *nested: Any) -> Any:
    if not depth:
        return function(*nested)
    return [_mapped(function, depth - 1, *row) for row in zip(*nested, strict=True)]


# ---- sizes, which are numbers here unless a graph is captured


def sym_int(a: Any) -> Any:
    """A number without its fraction."""
    return int(a)


def sym_float(a: Any) -> Any:
    """A number as a float."""
    return float(a)


def sym_not(a: Any) -> Any:
    """Whether it is false."""
    return not a


def sym_max(a: Any, b: Any) -> Any:
    """The larger of two numbers, a float if one is."""
    made = max(a, b)
    return float(made) if isinstance(a, float) or isinstance(b, float) else made


def sym_min(a: Any, b: Any) -> Any:
    """The smaller of two numbers, a float if one is."""
    made = min(a, b)
    return float(made) if isinstance(a, float) or isinstance(b, float) else made


def sym_sqrt(a: Any) -> float:
    """The root of a number."""
    return math.sqrt(a)


def sym_sum(args: Iterable[Any]) -> Any:
    """The sum of numbers."""
    return sum(args)


def sym_ite(b: Any, t: Any, f: Any) -> Any:
    """t where b holds, else f."""
    return t if b else f


guard(globals())
