"""Batch rules of movements: the batch is a further first axis, which they leave alone. Floor 4."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from twofold.ops.bind import bind
from twofold.ops.indexing import Slice
from twofold.ops.joining import contiguous
from twofold.ops.movement import expand, reshape
from twofold.ops.op import Op
from twofold.ops.tensor import Tensor

On = tuple[bool, ...]
ALL = Slice(None, None, None)


# ---- operands


def rank_of(on: On, xs: tuple[Tensor, ...]) -> int:
    """The largest rank without the batch."""
    return max([x.array.ndim - b for x, b in zip(xs, on, strict=True)])


def in_rank(x: Tensor, on: bool, rank: int) -> Tensor:
    """A batched tensor with axes of 1 after the batch, so that it has `rank` others."""
    shape = x.array.shape
    missing = rank + 1 - len(shape)
    if not on or missing <= 0:
        return x
    return reshape(x, (shape[0], *(1,) * missing, *shape[1:]))


def batched(lanes: int, on: bool, x: Tensor) -> Tensor:
    """The tensor with a batch in front: itself, or repeated as a view."""
    return x if on else expand(x, (lanes, *x.array.shape))


def all_on(lanes: int, on: On, xs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(batched(lanes, b, x) for x, b in zip(xs, on, strict=True))


def moved(x: Tensor, source: int, target: int) -> Tensor:
    order = [d for d in range(x.array.ndim) if d != source]
    order.insert(target, source)
    return x.permute(order)  # type: ignore[attr-defined, no-any-return]


# ---- rules


def _reshape(op: Op, lanes: int, on: On, xs: Any, attrs: Any) -> Any:
    (x,), (shape,) = xs, attrs
    if -1 in shape:
        size = math.prod(x.array.shape[1:])
        known = math.prod(n for n in shape if n != -1)
        shape = tuple(size // max(known, 1) if n == -1 else n for n in shape)
    return reshape(x, (lanes, *shape))


def _permute(op: Op, lanes: int, on: On, xs: Any, attrs: Any) -> Any:
    return bind(op, xs, ((0, *(d + 1 for d in attrs[0])),))


def _expand(op: Op, lanes: int, on: On, xs: Any, attrs: Any) -> Any:
    return bind(op, (in_rank(xs[0], True, len(attrs[0])),), ((lanes, *attrs[0]),))


def _index(op: Op, lanes: int, on: On, xs: Any, attrs: Any) -> Any:
    return bind(op, xs, ((ALL, *attrs[0]),))


def _slice_scatter(op: Op, lanes: int, on: On, xs: Any, attrs: Any) -> Any:
    x, part = xs
    x = batched(lanes, on[0], x)
    if on[1]:
        # axes of 1 after the batch, so that the part broadcasts as it did
        inside = bind_view(x, (ALL, *attrs[0]))
        part = in_rank(part, True, inside.array.ndim - 1)
    return bind(op, (x, part), ((ALL, *attrs[0]),))


def bind_view(x: Tensor, key: Any) -> Tensor:
    return x[tuple(slice(*k) if isinstance(k, Slice) else k for k in key)]  # type: ignore[index, no-any-return]


def _flip(op: Op, lanes: int, on: On, xs: Any, attrs: Any) -> Any:
    return bind(op, xs, (tuple(d + 1 for d in attrs[0]),))


def _roll(op: Op, lanes: int, on: On, xs: Any, attrs: Any) -> Any:
    shifts, dims = attrs
    return bind(op, xs, (shifts, tuple(d + 1 for d in dims)))


def _pad(op: Op, lanes: int, on: On, xs: Any, attrs: Any) -> Any:
    sides, value = attrs
    return bind(op, xs, (((0, 0), *sides), value))


def _diagonal(op: Op, lanes: int, on: On, xs: Any, attrs: Any) -> Any:
    offset, first, second = attrs
    return bind(op, xs, (offset, first + 1, second + 1))


def _diag_embed(op: Op, lanes: int, on: On, xs: Any, attrs: Any) -> Any:
    shape, offset, first, second = attrs
    return bind(op, xs, ((lanes, *shape), offset, first + 1, second + 1))


def _fold_windows(op: Op, lanes: int, on: On, xs: Any, attrs: Any) -> Any:
    shape, dim, size, step = attrs
    return bind(op, xs, ((lanes, *shape), dim + 1, size, step))


def _cat(op: Op, lanes: int, on: On, xs: Any, attrs: Any) -> Any:
    dim, sizes = attrs
    return bind(op, all_on(lanes, on, xs), (dim + 1, sizes))


def _as_strided(op: Op, lanes: int, on: On, xs: Any, attrs: Any) -> Any:
    size, stride, offset = attrs
    x = contiguous(xs[0])
    lane = math.prod(x.array.shape[1:])
    return bind(op, (x,), ((lanes, *size), (lane, *stride), offset))


MOVEMENTS: dict[str, Callable[..., Any]] = {
    "reshape": _reshape,
    "permute": _permute,
    "expand": _expand,
    "index": _index,
    "slice_scatter": _slice_scatter,
    "flip": _flip,
    "roll": _roll,
    "pad": _pad,
    "diagonal": _diagonal,
    "diag_embed": _diag_embed,
    "fold_windows": _fold_windows,
    "cat": _cat,
    "as_strided": _as_strided,
}
