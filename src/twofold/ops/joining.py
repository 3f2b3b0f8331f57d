"""Tensors put together, repeated, turned, padded and cut to triangles: copies, with gradients.
Floor 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from twofold.base.errors import ArgumentError, DTypeError, ShapeError
from twofold.base.types import Type
from twofold.ops.bind import bind
from twofold.ops.indexing import VIEW, Slice
from twofold.ops.movement import expand, reshape
from twofold.ops.op import Sample, define
from twofold.ops.rules import as_tensor, axes_of, axis_of, operands, sizes_of
from twofold.ops.tensor import Tensor, type_of, wrap

__all__ = [
    "atleast_1d",
    "atleast_2d",
    "atleast_3d",
    "cartesian_prod",
    "cat",
    "clone",
    "column_stack",
    "concat",
    "concatenate",
    "diag",
    "diag_embed",
    "dstack",
    "flip",
    "fliplr",
    "flipud",
    "hstack",
    "meshgrid",
    "pad",
    "repeat_interleave",
    "roll",
    "rot90",
    "row_stack",
    "stack",
    "tile",
    "tril",
    "tril_indices",
    "triu",
    "triu_indices",
    "vstack",
]

ALL = Slice(None, None, None)


def _cat_type(*xs: Type, dim: int, sizes: tuple[int, ...]) -> Type:
    first = xs[0]
    for x in xs[1:]:
        if x.ndim != first.ndim or any(
            n != m for i, (n, m) in enumerate(zip(x.shape, first.shape, strict=True)) if i != dim
        ):
            raise ShapeError(
                "cat",
                f"sizes differ on an axis other than {dim}",
                hint="equal sizes on the other axes",
                first=first,
                other=x,
            )
    size = sum(x.shape[dim] for x in xs)
    return Type((*first.shape[:dim], size, *first.shape[dim + 1 :]), first.dtype)


def _cat_vjp(g: Tensor, out: Any, *xs: Any, dim: int, sizes: tuple[int, ...]) -> Any:
    made, at = [], 0
    for x, size in zip(xs, sizes, strict=True):
        part = (ALL,) * dim + (Slice(at, at + size, None),)
        made.append(None if x is None else bind(VIEW, (g,), (part,)))
        at += size
    return tuple(made)


CAT = define(
    "cat",
    inputs="*xs",
    attrs=("dim", "sizes"),
    doc="Tensors one after the other along an axis.",
    infer=_cat_type,
    ref=lambda *xs, dim, sizes: np.concatenate(xs, axis=dim),
    vjp=_cat_vjp,
    samples=lambda r: [
        Sample((r.normal(size=(2, 3)), r.normal(size=(1, 3)), 0, (2, 1))),
        Sample((r.normal(size=(2, 3)), r.normal(size=(2, 0)), r.normal(size=(2, 2)), 1, (3, 0, 2))),
    ],
    torch=False,
)


def cat(tensors: Sequence[Tensor], dim: int = 0, *, out: Tensor | None = None) -> Tensor:
    """Tensors one after the other along `dim`, promoted to their common type. Raises ShapeError.

    Empty vectors are left out, as PyTorch does.
    """
    if not isinstance(tensors, list | tuple) or not tensors:
        raise ArgumentError("cat", "a list of at least one tensor is wanted")
    for x in tensors:
        if isinstance(x, Tensor) and not x.array.ndim:
            raise ShapeError("cat", "a 0-d tensor has no axis", hint="stack", input=type_of(x))
    xs = operands("cat", *tensors)
    full = [x for x in xs if x.array.shape != (0,)] or list(xs[:1])
    axis = axis_of("cat", dim, full[0])
    sizes = tuple([x.array.shape[axis] if axis < x.array.ndim else 0 for x in full])
    made = bind(CAT, tuple(full), (axis, sizes))
    if out is None:
        return made
    out.array = made.array
    return out


concat = concatenate = cat


def stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Tensors of one shape along a new axis. Raises ShapeError."""
    if not tensors:
        raise ArgumentError("stack", "a list of at least one tensor is wanted")
    first = tensors[0]
    axis = axis_of("stack", dim, first, extra=1)
    for x in tensors[1:]:
        if x.array.shape != first.array.shape:
            raise ShapeError("stack", "shapes differ", first=type_of(first), other=type_of(x))
    shape = first.array.shape
    return cat([reshape(x, (*shape[:axis], 1, *shape[axis:])) for x in tensors], axis)


def atleast_1d(*tensors: Tensor) -> Any:
    return _each(tensors, lambda x: x if x.array.ndim else reshape(x, (1,)))


def atleast_2d(*tensors: Tensor) -> Any:
    return _each(tensors, lambda x: x if x.array.ndim > 1 else reshape(x, (1, -1)))


def atleast_3d(*tensors: Tensor) -> Any:
    def grown(x: Tensor) -> Tensor:
        shape = x.array.shape
        return (
            x
            if len(shape) > 2
            else reshape(x, (*shape, 1) if len(shape) == 2 else (1, x.array.size, 1))
        )

    return _each(tensors, grown)


def _each(tensors: tuple[Any, ...], function: Any) -> Any:
    if len(tensors) == 1 and isinstance(tensors[0], Tensor):
        return function(tensors[0])
    items = tensors[0] if len(tensors) == 1 else tensors
    return tuple(function(x) for x in items)


def hstack(tensors: Sequence[Tensor]) -> Tensor:
    parts = [atleast_1d(x) for x in tensors]
    return cat(parts, 0 if parts[0].array.ndim == 1 else 1)


def vstack(tensors: Sequence[Tensor]) -> Tensor:
    return cat([atleast_2d(x) for x in tensors], 0)


def dstack(tensors: Sequence[Tensor]) -> Tensor:
    return cat([atleast_3d(x) for x in tensors], 2)


row_stack = vstack


def column_stack(tensors: Sequence[Tensor]) -> Tensor:
    return cat([x if x.array.ndim > 1 else reshape(x, (-1, 1)) for x in tensors], 1)


FLIP = define(
    "flip",
    attrs=("dims",),
    doc="The elements in reverse order along axes.",
    infer=lambda x, *, dims: x,
    ref=lambda x, *, dims: np.ascontiguousarray(np.flip(x, dims)),
    vjp=lambda g, out, x, *, dims: (bind(FLIP, (g,), (dims,)),),
    samples=lambda r: [
        Sample((r.normal(size=(2, 3)), (0,))),
        Sample((r.normal(size=(2, 3)), (0, 1))),
    ],
)


def flip(input: Tensor, *dims: Any) -> Tensor:
    """The elements in reverse order along the axes, copied."""
    axes = sizes_of("flip", dims)
    return bind(FLIP, (input,), (axes_of("flip", axes, input) if axes else (),))


def fliplr(input: Tensor) -> Tensor:
    return flip(input, 1)


def flipud(input: Tensor) -> Tensor:
    return flip(input, 0)


ROLL = define(
    "roll",
    attrs=("shifts", "dims"),
    doc="The elements moved round along axes.",
    infer=lambda x, *, shifts, dims: x,
    ref=lambda x, *, shifts, dims: np.roll(x, shifts, dims),
    vjp=lambda g, out, x, *, shifts, dims: (bind(ROLL, (g,), (tuple(-s for s in shifts), dims)),),
    samples=lambda r: [
        Sample((r.normal(size=(3, 4)), (1,), (1,))),
        Sample((r.normal(size=(3, 4)), (2, -1), (0, 1))),
    ],
)


def roll(input: Tensor, shifts: Any, dims: Any = None) -> Tensor:
    """The elements moved by `shifts` along `dims` (along the flattened tensor if None), those that
    leave come back.
    """
    moves = sizes_of("roll", (shifts,))
    if dims is None:
        return reshape(roll(reshape(input, (-1,)), moves[0], 0), input.array.shape)
    axes = tuple(axis_of("roll", d, input) for d in sizes_of("roll", (dims,)))
    return bind(ROLL, (input,), (moves, axes))


def rot90(input: Tensor, k: int = 1, dims: Sequence[int] = (0, 1)) -> Tensor:
    """Turned by k quarters in the plane of two axes, from the first towards the second."""
    a, b = (axis_of("rot90", d, input) for d in dims)
    order = list(range(input.array.ndim))
    order[a], order[b] = b, a
    turned = {
        0: lambda: input,
        1: lambda: flip(input, b).permute(order),
        2: lambda: flip(flip(input, a), b),
    }  # type: ignore
    turned[3] = lambda: flip(input, a).permute(order)  # type: ignore[attr-defined]
    made = turned[k % 4]()
    return made if k % 4 else clone(input)


def _pad(x: Any, *, sides: Any, value: Any) -> Any:
    shape = tuple(n + a + b for n, (a, b) in zip(x.shape, sides, strict=True))
    made = np.full(shape, value if x.dtype.kind != "V" else (0,), x.dtype)
    inside = tuple(
        slice(max(a, 0), max(a, 0) + n + min(a, 0) + min(b, 0))
        for n, (a, b) in zip(x.shape, sides, strict=True)
    )
    part = tuple(
        slice(max(-a, 0), n - max(-b, 0)) for n, (a, b) in zip(x.shape, sides, strict=True)
    )
    made[inside] = x[part]
    return made


PAD = define(
    "pad",
    attrs=("sides", "value"),
    doc="x with one value added (or, for negative numbers, elements taken away) around each axis.",
    infer=lambda x, *, sides, value: Type(
        tuple(n + a + b for n, (a, b) in zip(x.shape, sides, strict=True)), x.dtype
    ),
    ref=_pad,
    vjp=lambda g, out, x, *, sides, value: (
        bind(PAD, (g,), (tuple((-a, -b) for a, b in sides), 0.0)),
    ),
    samples=lambda r: [
        Sample((r.normal(size=(2, 3)), ((0, 1), (2, 0)), 0.0)),
        Sample((r.normal(size=(4, 3)), ((-1, 1), (0, -1)), 1.5)),
    ],
    torch=False,
)
AROUND = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}


def pad(
    input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None
) -> Tensor:
    """`input` padded by pairs (before, after) of the last axis, the last but one, ... mode:
    constant, reflect,
    replicate or circular. Raises ShapeError."""
    amounts = [int(n) for n in pad]
    ndim = input.array.ndim
    if len(amounts) % 2 or len(amounts) > 2 * ndim:
        raise ShapeError(
            "pad",
            f"{len(amounts)} numbers for {ndim} axes",
            hint="two for each padded axis",
            input=type_of(input),
        )
    pairs = [(amounts[i], amounts[i + 1]) for i in range(0, len(amounts), 2)]
    sides = ((0, 0),) * (ndim - len(pairs)) + tuple(reversed(pairs))
    if any(n + a + b < 0 for n, (a, b) in zip(input.array.shape, sides, strict=True)):
        raise ShapeError("pad", f"{amounts} takes away more than there is", input=type_of(input))
    if mode == "constant":
        return bind(PAD, (input,), (sides, 0.0 if value is None else float(value)))
    if mode not in AROUND:
        raise ArgumentError(
            "pad", f"mode={mode!r} is not known", hint="constant, reflect, replicate or circular"
        )
    made = input
    for axis, (before, after) in enumerate(sides):
        if before or after:
            places = np.pad(np.arange(input.array.shape[axis]), (before, after), mode=AROUND[mode])  # type: ignore[call-overload]
            made = made[(slice(None),) * axis + (wrap(places),)]  # type: ignore[index]
    return made


TRIL = define(
    "tril",
    attrs=("diagonal",),
    doc="The elements on and below a diagonal of the last two axes, 0 elsewhere.",
    infer=lambda x, *, diagonal: x,
    ref=lambda x, *, diagonal: np.tril(x, diagonal),
    vjp=lambda g, out, x, *, diagonal: (bind(TRIL, (g,), (diagonal,)),),
    samples=lambda r: [Sample((r.normal(size=(3, 4)), 0)), Sample((r.normal(size=(2, 3, 3)), -1))],
)
TRIU = define(
    "triu",
    attrs=("diagonal",),
    doc="The elements on and above a diagonal of the last two axes, 0 elsewhere.",
    infer=lambda x, *, diagonal: x,
    ref=lambda x, *, diagonal: np.triu(x, diagonal),
    vjp=lambda g, out, x, *, diagonal: (bind(TRIU, (g,), (diagonal,)),),
    samples=lambda r: [Sample((r.normal(size=(3, 4)), 0)), Sample((r.normal(size=(2, 3, 3)), 1))],
)


def tril(input: Tensor, diagonal: int = 0) -> Tensor:
    """The elements on and below a diagonal of the last two axes."""
    return bind(TRIL, (input,), (int(diagonal),))


def triu(input: Tensor, diagonal: int = 0) -> Tensor:
    """The elements on and above a diagonal of the last two axes."""
    return bind(TRIU, (input,), (int(diagonal),))


CLONE = define(
    "clone",
    doc="A copy.",
    infer=lambda x: x,
    ref=lambda x: x.copy(order="C"),
    vjp=lambda g, out, x: (g,),
    samples=lambda r: [Sample((r.normal(size=(2, 3)),))],
)


def clone(input: Tensor, *, memory_format: Any = None) -> Tensor:
    """A copy in row-major order, through which gradients pass."""
    return bind(CLONE, (as_tensor(input, "clone"),))


def contiguous(input: Tensor, memory_format: Any = None) -> Tensor:
    """The tensor itself if its elements lie in row-major order without gaps, else a copy that
    does.
    """
    return input if input.array.flags.c_contiguous else clone(input)


def repeat(input: Tensor, *sizes: Any) -> Tensor:
    """The whole tensor, so many times along each axis (new axes first)."""
    times = sizes_of("repeat", sizes)
    if len(times) < input.array.ndim:
        raise ShapeError(
            "repeat", f"{len(times)} numbers for {input.array.ndim} axes", input=type_of(input)
        )
    shape = (1,) * (len(times) - input.array.ndim) + input.array.shape
    spread = reshape(input, tuple(n for size in shape for n in (1, size)))
    wide = expand(spread, tuple(n for t, size in zip(times, shape, strict=True) for n in (t, size)))
    return clone(reshape(wide, tuple(t * size for t, size in zip(times, shape, strict=True))))


def tile(input: Tensor, *dims: Any) -> Tensor:
    """repeat, with ones for the leading axes that are not named."""
    times = sizes_of("tile", dims)
    return repeat(input, (1,) * (input.array.ndim - len(times)) + times)


def repeat_interleave(
    input: Tensor, repeats: Any, dim: int | None = None, *, output_size: int | None = None
) -> Tensor:
    """Each element (or slice along `dim`) so many times in a row; repeats: a number or
    i64[size].
    """
    if dim is None:
        input, dim = reshape(input, (-1,)), 0
    axis = axis_of("repeat_interleave", dim, input)
    counts = repeats.array if isinstance(repeats, Tensor) else np.asarray(repeats)
    if counts.dtype.kind not in "iu":
        raise DTypeError("repeat_interleave", "repeats are not integers")
    places = np.repeat(np.arange(input.array.shape[axis]), counts)
    return input[(slice(None),) * axis + (wrap(places),)]  # type: ignore[index, no-any-return]


def meshgrid(*tensors: Any, indexing: str = "ij") -> tuple[Tensor, ...]:
    """Vectors repeated to a common grid; indexing 'ij' (rows first) or 'xy'."""
    xs = (
        list(tensors[0])
        if len(tensors) == 1 and isinstance(tensors[0], list | tuple)
        else list(tensors)
    )
    if indexing == "xy" and len(xs) > 1:
        xs[0], xs[1] = xs[1], xs[0]
    shape = tuple(x.array.size for x in xs)
    made = [
        expand(reshape(x, tuple(-1 if i == j else 1 for j in range(len(xs)))), shape)
        for i, x in enumerate(xs)
    ]
    if indexing == "xy" and len(xs) > 1:
        made = [m.transpose(0, 1) for m in made]  # type: ignore[attr-defined]
        made[0], made[1] = made[1], made[0]
    return tuple(made)


def diag(input: Tensor, diagonal: int = 0) -> Tensor:
    """The diagonal of a matrix, or the matrix with a vector on its diagonal."""
    if input.array.ndim == 2:
        return clone(input.diagonal(diagonal))  # type: ignore[attr-defined]
    return diag_embed(input, diagonal)


def diag_embed(input: Tensor, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """Matrices with the last axis on a diagonal."""
    length = input.array.shape[-1]
    size = length + abs(offset)
    hit = np.zeros((length, size, size), input.array.dtype)
    steps = np.arange(length)
    hit[steps, steps + max(-offset, 0), steps + max(offset, 0)] = 1
    flat = reshape(input, (-1, length)).matmul(wrap(hit.reshape(length, -1)))  # type: ignore[attr-defined]
    made = reshape(flat, (*input.array.shape[:-1], size, size))
    return made.movedim((-2, -1), (dim1, dim2)) if (dim1, dim2) != (-2, -1) else made  # type: ignore[attr-defined, no-any-return]


def tril_indices(row: int, col: int, offset: int = 0) -> Tensor:
    """i64[2, n]: the places on and below a diagonal of a matrix."""
    return wrap(np.stack(np.tril_indices(row, offset, col)).astype(np.int64))


def triu_indices(row: int, col: int, offset: int = 0) -> Tensor:
    """i64[2, n]: the places on and above a diagonal of a matrix."""
    return wrap(np.stack(np.triu_indices(row, offset, col)).astype(np.int64))


def cartesian_prod(*tensors: Tensor) -> Tensor:
    """Every combination of the elements of vectors, one row each."""
    grids = meshgrid(*tensors)
    return stack([reshape(g, (-1,)) for g in grids], -1)
