"""Tensors like another one: of its shape, of its type. Floor 4."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from twofold.base import dtypes
from twofold.base.devices import META
from twofold.ops.creation import empty, empty_strided, full, ones, tensor, zeros
from twofold.ops.guarding import guard
from twofold.ops.stand_in import stands_in
from twofold.ops.tensor import Tensor

__all__ = [
    "empty_like",
    "full_like",
    "ones_like",
    "zeros_like",
]


def _like(input: Any, dtype: Any) -> Any:
    return dtypes.as_dtype(dtype) if dtype is not None else input.dtype


def beside(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The function, whose results belong to the transform that its first argument belongs to."""

    @functools.wraps(function)
    def belonging(first: Tensor, *args: Any, **options: Any) -> Tensor:
        array: Any = getattr(first, "array", None)
        if not stands_in(array):
            return function(first, *args, **options)
        if array.device is META:
            options["device"] = options.get("device") or META
        return array.beside(function(first, *args, **options))  # type: ignore[no-any-return]

    return belonging


@beside
def zeros_like(
    input: Tensor, *, dtype: Any = None, device: Any = None, requires_grad: bool = False, **_: Any
) -> Tensor:
    """Zeros of the shape and, unless `dtype` is given, of the type of `input`."""
    return zeros(
        input.array.shape, dtype=_like(input, dtype), requires_grad=requires_grad, device=device
    )


@beside
def ones_like(
    input: Tensor, *, dtype: Any = None, device: Any = None, requires_grad: bool = False, **_: Any
) -> Tensor:
    """Ones of the shape and, unless `dtype` is given, of the type of `input`."""
    return ones(
        input.array.shape, dtype=_like(input, dtype), requires_grad=requires_grad, device=device
    )


@beside
def empty_like(
    input: Tensor, *, dtype: Any = None, device: Any = None, requires_grad: bool = False, **_: Any
) -> Tensor:
    """Whatever the memory held, in the shape and, unless `dtype` is given, the type of `input`."""
    return empty(
        input.array.shape, dtype=_like(input, dtype), requires_grad=requires_grad, device=device
    )


@beside
def full_like(
    input: Tensor,
    fill_value: Any,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    **_: Any,
) -> Tensor:
    """One value, in the shape and, unless `dtype` is given, the type of `input`."""
    return full(
        input.array.shape,
        fill_value,
        dtype=_like(input, dtype),
        requires_grad=requires_grad,
        device=device,
    )


@beside
def new_zeros(
    self: Tensor,
    *sizes: Any,
    size: Any = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    layout: Any = None,
    pin_memory: bool = False,
) -> Tensor:
    """Zeros of a shape, of this tensor's type unless `dtype` is given."""
    kind = _like(self, dtype)
    return zeros(*sizes, size=size, dtype=kind, requires_grad=requires_grad, device=device)


@beside
def new_ones(
    self: Tensor,
    *sizes: Any,
    size: Any = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    layout: Any = None,
    pin_memory: bool = False,
) -> Tensor:
    """Ones of a shape, of this tensor's type unless `dtype` is given."""
    kind = _like(self, dtype)
    return ones(*sizes, size=size, dtype=kind, requires_grad=requires_grad, device=device)


@beside
def new_empty(
    self: Tensor,
    *sizes: Any,
    size: Any = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    layout: Any = None,
    pin_memory: bool = False,
) -> Tensor:
    """Whatever the memory held, of this tensor's type unless `dtype` is given."""
    kind = _like(self, dtype)
    return empty(*sizes, size=size, dtype=kind, requires_grad=requires_grad, device=device)


def new_empty_strided(
    self: Tensor,
    size: Any,
    stride: Any,
    *,
    dtype: Any = None,
    device: Any = None,
    layout: Any = None,
    pin_memory: bool = False,
    requires_grad: bool = False,
) -> Tensor:
    """`empty_strided`, of this tensor's type unless `dtype` is given."""
    kind = _like(self, dtype)
    return empty_strided(size, stride, dtype=kind, requires_grad=requires_grad, device=device)


@beside
def new_full(
    self: Tensor,
    size: Any,
    fill_value: Any,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    layout: Any = None,
    pin_memory: bool = False,
) -> Tensor:
    """One value everywhere, of this tensor's type unless `dtype` is given."""
    kind = _like(self, dtype)
    return full(size, fill_value, dtype=kind, device=device, requires_grad=requires_grad)


def new_tensor(
    self: Tensor,
    data: Any,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    layout: Any = None,
    pin_memory: bool = False,
) -> Tensor:
    """A copy of the data, of this tensor's type unless `dtype` is given."""
    return tensor(data, dtype=_like(self, dtype), requires_grad=requires_grad, device=device)


guard(globals())
