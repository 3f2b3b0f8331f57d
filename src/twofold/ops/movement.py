"""Views and other movements: elements keep their values and change their places. Floor 4."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from twofold.base.errors import DTypeError, ShapeError
from twofold.base.types import Type
from twofold.ops.bind import bind, mode
from twofold.ops.guarding import guard
from twofold.ops.op import Sample, define
from twofold.ops.rules import axis_of, broadcasts, filled, sizes_of
from twofold.ops.stand_in import stands_in
from twofold.ops.tensor import Tensor, type_of

__all__ = [
    "permute",
    "reshape",
    "t",
    "transpose",
]


def _of_graph(array: Any) -> bool:
    """Whether an array has no elements, as a graph is captured."""
    known = mode.capture is None or isinstance(array, np.ndarray) or stands_in(array)
    return not known


def _shares(made: Any, x: Any) -> bool:
    """Whether a reshaped array is a view of the other and not a copy."""
    if _of_graph(made):
        return bool(made.chain)
    return x.flags.c_contiguous or stands_in(x) or bool(np.may_share_memory(made, x))


RESHAPE = define(
    "reshape",
    attrs=("shape",),
    doc="x with the same elements in another shape, as a view: x must lie so that it can be one.",
    infer=lambda x, *, shape: Type(filled(shape, x.size, "reshape", x), x.dtype),
    lower="reshape",
    ref=lambda x, *, shape: x.reshape(shape),
    vjp=lambda g, out, x, *, shape: (reshape(g, x.shape),),
    view=_shares,
    samples=lambda r: [
        Sample((r.normal(size=(2, 6)), (3, 4))),
        Sample((r.normal(size=(2, 6)), (-1,))),
        Sample((r.normal(size=()), (1, 1))),
        Sample((r.normal(size=(0, 3)), (3, 0))),
    ],
)


def reshape(input: Tensor, *sizes: Any, shape: Any = None) -> Tensor:
    """`input` in another shape with as many elements; one size may be -1. Raises ShapeError."""
    wanted = filled(sizes_of("reshape", sizes, shape), input.array.size, "reshape", input)
    if not (_of_graph(input.array) or can_be_seen(input.array, wanted)):
        input = bind(CLONE, (input,))  # (in a graph it is one operation, view or copy)
    return bind(RESHAPE, (input,), (wanted,))  # type: ignore[no-any-return]


def can_be_seen(array: Any, wanted: Sequence[int]) -> bool:
    """Whether an array's elements can be seen in another shape where they lie."""
    if array.flags.c_contiguous:
        return True
    if _of_graph(array):
        return bool(array.viewable(wanted))
    return viewable(array.shape, array.strides, wanted)


def viewable(shape: Sequence[int], strides: Sequence[int], wanted: Sequence[int]) -> bool:
    """Whether elements that lie like this can be seen in another shape without a copy.

    Runs of axes that follow each other in memory are one; a wanted axis may not cross runs.
    """
    if 0 in shape:
        return True
    runs: list[list[int]] = []
    for size, stride in zip(shape, strides, strict=True):
        if size == 1:
            continue
        if runs and runs[-1][1] == stride * size:
            runs[-1] = [runs[-1][0] * size, stride]
        else:
            runs.append([size, stride])
    left = 1
    for size in wanted:
        while size != 1 and left == 1 and runs:
            left = runs.pop(0)[0]
        if left % size:
            return False
        left //= size
    return True


CLONE = define(
    "clone",
    doc="A copy in row-major order.",
    infer=lambda x: x,
    ref=lambda x: x.copy(order="C"),
    vjp=lambda g, out, x: (g,),
    lower="clone",
    samples=lambda r: [
        Sample((r.normal(size=(2, 3)),)),
        Sample((r.normal(size=()),)),
        Sample((r.normal(size=(7, 5, 9)).transpose(2, 0, 1),)),
        Sample((r.normal(size=(0, 3)),)),
    ],
)

PERMUTE = define(
    "permute",
    attrs=("dims",),
    doc="The axes of x in another order, as a view.",
    infer=lambda x, *, dims: Type(tuple(x.shape[d] for d in dims), x.dtype),
    lower="permute",
    ref=lambda x, *, dims: x.transpose(dims),
    vjp=lambda g, out, x, *, dims: (permute(g, tuple(np.argsort(dims).tolist())),),
    view=True,
    samples=lambda r: [
        Sample((r.normal(size=(2, 3, 4)), (2, 0, 1))),
        Sample((r.normal(size=(0, 3)), (1, 0))),
    ],
)


DETACH = define(
    "detach",
    doc="x as a view without slopes: what `x.detach()` is in a loop or a branch inside of jvp.",
    infer=lambda x: x,
    lower="detach",
    ref=lambda x: x[...],
    view=True,
    samples=lambda r: [Sample((r.normal(size=(2, 3)),)), Sample((r.normal(size=()),))],
    torch=False,
)


def permute(input: Tensor, *sizes: Any, dims: Any = None) -> Tensor:
    """The axes of `input` in the order `dims`, as a view: f[a, b, c] by (2, 0, 1) -> f[c, a, b].

    Raises ShapeError unless dims name each axis once.
    """
    order = tuple(axis_of("permute", d, input) for d in sizes_of("permute", sizes, dims))
    if sorted(order) != list(range(input.array.ndim)):
        raise ShapeError(
            "permute",
            f"dims {order} do not name each axis once",
            hint=f"all of 0 to {input.array.ndim - 1}, in the new order",
            input=type_of(input),
        )
    return bind(PERMUTE, (input,), (order,))  # type: ignore[no-any-return]


def transpose(input: Tensor, dim0: Any, dim1: Any = None) -> Tensor:
    """Two axes exchanged, as a view; with all axes in a tuple, as NumPy has it, in that order."""
    if dim1 is None and isinstance(dim0, tuple | list):
        return permute(input, dim0)
    if dim1 is None:
        hint = "two axes, as in x.transpose(0, 1)"
        raise DTypeError("transpose", "dim1 is missing", hint=hint, input=type_of(input))
    order = list(range(input.array.ndim))
    if not order:
        return input
    a, b = axis_of("transpose", dim0, input), axis_of("transpose", dim1, input)
    order[a], order[b] = order[b], order[a]
    return bind(PERMUTE, (input,), (tuple(order),))  # type: ignore[no-any-return]


def t(input: Tensor) -> Tensor:
    """The transpose of a matrix; a vector stays as it is. Raises ShapeError for more axes."""
    if input.array.ndim > 2:
        problem = f"{input.array.ndim} axes are not a matrix"
        raise ShapeError("t", problem, hint="x.mT, or x.transpose(a, b)", input=type_of(input))
    return input if input.array.ndim < 2 else transpose(input, 0, 1)


EXPAND = define(
    "expand",
    attrs=("shape",),
    doc="x repeated along axes of size 1 and along new leading axes, as a view.",
    infer=lambda x, *, shape: Type(tuple(shape), x.dtype),
    lower="expand",
    ref=lambda x, *, shape: _writable_broadcast(x, shape),
    vjp=lambda g, out, x, *, shape: (g,),
    view=True,
    samples=lambda r: [
        Sample((r.normal(size=(3, 1)), (2, 3, 4))),
        Sample((r.normal(size=()), (2,))),
    ],
)


def _writable_broadcast(x: Any, shape: tuple[int, ...]) -> Any:
    """np.broadcast_to, but writable, and without its cost where the elements lie in order."""
    extra = len(shape) - x.ndim
    strides = (0,) * extra + tuple(
        [0 if n == 1 != m else s for n, m, s in zip(x.shape, shape[extra:], x.strides, strict=True)]
    )
    if x.flags.c_contiguous and x.size:
        return np.ndarray(shape, x.dtype, x, 0, strides)
    return np.lib.stride_tricks.as_strided(x, shape, strides)


def expand(input: Tensor, *sizes: Any, size: Any = None) -> Tensor:
    """`input` repeated to the given sizes without copying; -1 keeps a size. Raises ShapeError."""
    wanted = sizes_of("expand", sizes, size)
    shape = input.array.shape
    extra = len(wanted) - len(shape)
    full = tuple((shape[i - extra] if i >= extra and n == -1 else n) for i, n in enumerate(wanted))
    if any(n < 0 for n in full) or not broadcasts(shape, full):
        raise _expand_error(input, wanted)
    return bind(EXPAND, (input,), (full,))  # type: ignore[no-any-return]


def _expand_error(x: Tensor, wanted: tuple[int, ...]) -> Exception:
    from_shape = type_of(x)
    return ShapeError(
        "expand",
        f"this shape cannot be repeated to {list(wanted)}",
        hint="sizes that differ only where the tensor has size 1; new axes come first",
        input=from_shape,
    )


guard(globals())
