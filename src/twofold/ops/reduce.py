"""Reductions, in the contract's order (DESIGN.md, N3) in kernels and reference alike. Floor 4."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from twofold.base import dtypes
from twofold.base.dtypes import DType
from twofold.base.errors import DTypeError, EmptyError, ShapeError
from twofold.base.types import Type
from twofold.ops.bind import bind
from twofold.ops.compare import eq, logical_and, logical_or, ne, where
from twofold.ops.elementwise import cast, true_divide
from twofold.ops.guarding import guard
from twofold.ops.movement import expand, reshape
from twofold.ops.op import ANY, INEXACT, REAL, Failure, Sample, define
from twofold.ops.order import reduce_in_order, rows_of
from twofold.ops.rules import (
    admit,
    also_named,
    as_tensor,
    axes_of,
    axis_too,
    broadcasts,
    constant,
    deliver,
    named,
    reduced,
    sizes_of,
)
from twofold.ops.tensor import Tensor, type_of

__all__ = ["all", "amax", "amin", "any", "argmax", "argmin", "count_nonzero", "mean", "nanmean"]
__all__ += ["nansum", "sum"]

ATTRS = ("dim", "keepdim")


def reduce_samples(random: Any) -> list[Sample]:
    """(x, axes, keepdim) over every kind of axis set, sizes 0 and 1 included."""
    cases = [((3, 4), (0, 1), False), ((3, 4), (1,), True), ((2, 3, 4), (0, 2), False)]
    cases += [((5,), (0,), False), ((), (), False), ((3, 0), (0,), False), ((1, 4), (0,), True)]
    cases += [((2, 0), (1,), False), ((70,), (0,), False), ((2, 4100), (1,), False)]
    return [
        Sample((random.normal(size=shape), axes, keep), smooth=0 not in shape)
        for shape, axes, keep in cases
    ]


def full_samples(random: Any) -> list[Sample]:
    """The same without empty extents, which have no extreme."""
    return [s for s in reduce_samples(random) if s.args[0].size]


def restore(g: Tensor, x: Any, dim: tuple[int, ...], keepdim: bool) -> Tensor:
    """A gradient of a reduction's result, repeated back to the shape of its input."""
    return expand(g if keepdim else reshape(g, reduced(x.shape, dim, True)), x.shape)


def extent(x: Any, dim: tuple[int, ...]) -> int:
    """How many elements go into each result."""
    return math.prod([x.shape[axis] for axis in dim])


def shape_rule(dtype: Callable[[Type], DType]) -> Callable[..., Type]:
    """The type of a reduction's result, whose element type follows from the input's."""
    return lambda x, *, dim, keepdim, **_: Type(reduced(x.shape, dim, keepdim), dtype(x))


def countable(x: Type) -> DType:
    """The type in which elements are added up and multiplied: int64 for all whole numbers."""
    return dtypes.int64 if x.dtype.kind in "bui" else x.dtype


def _sum(x: Any, *, dim: tuple[int, ...], keepdim: bool) -> Any:
    if x.dtype.kind in "bui":
        return np.sum(x, axis=dim, keepdims=keepdim, dtype=np.int64)
    return reduce_in_order(x, dim, keepdim, np.add, 0).astype(x.dtype, copy=False)


SUM = define(
    "sum",
    attrs=ATTRS,
    doc="The sum over axes; bools and whole numbers are summed in int64.",
    infer=shape_rule(countable),
    ref=_sum,
    vjp=lambda g, out, x, *, dim, keepdim: (restore(g, x, dim, keepdim),),
    lower="sum",
    samples=reduce_samples,
    torch=lambda x, dim, keepdim: x.sum(dim, keepdim),
    errors=lambda random: [
        Failure((np.ones(2), 1), {}, IndexError, "dim 1 does not exist"),
        Failure((np.ones(2), (0, 0)), {}, ValueError, "names an axis twice"),
        Failure((np.ones(2), 0.5), {}, TypeError, "dim is 0.5, not an integer"),
    ],
)


def _sum_to_one(x: Any, *, dim: tuple[int, ...]) -> Any:
    if {x.shape[axis] for axis in dim} <= {1}:
        return x.copy()
    return _sum(x, dim=dim, keepdim=True)


SUM_TO_ONE = define(
    "sum_to_one",
    attrs=("dim",),
    doc="The sum over axes, kept with size 1; x itself, signs of zeros too, where all have size 1.",
    accepts=INEXACT,
    infer=lambda x, *, dim: x.with_shape(
        tuple(1 if axis in dim else n for axis, n in enumerate(x.shape))
    ),
    ref=_sum_to_one,
    vjp=lambda g, out, x, *, dim: (expand(g, x.shape),),
    lower="sum_to_one",
    samples=lambda r: [
        Sample((r.normal(size=(3, 4)), (1,))),
        Sample((r.normal(size=(2, 1, 4100)), (0, 2))),
        Sample((np.array([[-0.0], [2.0]]), (1,))),
    ],
    torch=False,
)


@axis_too
def sum(
    input: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None, out: Any = None
) -> Tensor:
    """The sum over the axes `dim` (all, if None). Integers and bools sum in int64."""
    x = as_tensor(input, "sum")
    if dtype is not None:
        x = cast(x, dtypes.as_dtype(dtype))
    made = bind(SUM, (x,), (axes_of("sum", dim, x), bool(keepdim)))
    if dtype is not None:
        made = cast(made, dtypes.as_dtype(dtype))
    return made if out is None else deliver(made, out, "sum")


def sum_to_size(input: Tensor, *size: Any) -> Tensor:
    """The sum over the axes that would have to be repeated to get from `size` to input's shape."""
    wanted = sizes_of("sum_to_size", size)
    if not wanted:
        return sum(input)
    shape = input.array.shape
    if not broadcasts(wanted, shape):
        problem = f"{list(wanted)} does not broadcast to the tensor's shape"
        raise ShapeError("sum_to_size", problem, input=type_of(input))
    extra = len(shape) - len(wanted)
    pairs = zip(shape[extra:], wanted, strict=True)
    axes = (*range(extra), *(extra + i for i, (n, m) in enumerate(pairs) if n != m))
    return reshape(sum(input, axes, True) if axes else input, wanted)


def _mean(x: Any, *, dim: tuple[int, ...], keepdim: bool) -> Any:
    total = reduce_in_order(x, dim, keepdim, np.add, 0)
    count = total.real.dtype.type(extent(x, dim))
    return np.asarray(total / count).astype(x.dtype, copy=False)


def _mean_vjp(g: Tensor, out: Any, x: Any, *, dim: tuple[int, ...], keepdim: bool) -> Any:
    return (restore(true_divide(g, extent(x, dim)), x, dim, keepdim),)


MEAN = define(
    "mean",
    attrs=ATTRS,
    doc="The sum over axes, divided by the number of elements.",
    accepts=INEXACT,
    infer=shape_rule(lambda x: x.dtype),
    ref=_mean,
    vjp=_mean_vjp,
    lower="mean",
    samples=reduce_samples,
    torch=lambda x, dim, keepdim: x.mean(dim, keepdim),
)


def floating(op: str, input: Any, dtype: Any = None) -> Tensor:
    """The operand in the type asked for. Raises DTypeError for whole numbers and bools."""
    x = as_tensor(input, op)
    if dtype is not None:
        x = cast(x, dtypes.as_dtype(dtype))
    if x.dtype.kind not in "fc":
        hint = f"x.float().{op}()"
        problem = f"{x.dtype.name} is not taken; it takes floating, complex"
        raise DTypeError(op, problem, hint=hint, input=type_of(x))
    return x


@axis_too
def mean(
    input: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None, out: Any = None
) -> Tensor:
    """The mean over the axes `dim` (all, if None). Raises DTypeError for whole numbers."""
    x = floating("mean", input, dtype)
    made = bind(MEAN, (x,), (axes_of("mean", dim, x), bool(keepdim)))
    return made if out is None else deliver(made, out, "mean")


# ---- truth


def _logical(name: str, doc: str, function: Callable[..., Any]) -> Callable[..., Tensor]:
    op = define(
        name,
        attrs=ATTRS,
        doc=doc,
        accepts=ANY,
        infer=shape_rule(lambda x: dtypes.bool_),
        ref=lambda x, *, dim, keepdim: function(x.astype(bool), axis=dim, keepdims=keepdim),
        lower=name,
        samples=reduce_samples,
        torch=lambda x, dim, keepdim: getattr(x != 0, name)(dim, keepdim) if dim else x != 0,
    )

    def reduce(input: Any, dim: Any = None, keepdim: bool = False) -> Tensor:
        x = as_tensor(input, name)
        made: Tensor = bind(op, (x,), (axes_of(name, dim, x), bool(keepdim)))
        # PyTorch's oldest type of truth values keeps its type
        return cast(made, dtypes.uint8) if x.array.dtype == np.uint8 else made

    return axis_too(named(reduce, op))


any = _logical("any", "Whether an element over the axes is not zero.", np.any)
all = _logical("all", "Whether no element over the axes is zero.", np.all)


# ---- extremes


def check_extent(op: str, x: Any, dim: tuple[int, ...]) -> None:
    """Refuse to look for the extreme of nothing."""
    if not extent(x, dim):
        problem = "nothing to choose from: an axis has size 0"
        raise EmptyError(op, problem, hint="a tensor with elements", input=type_of(x))


def shared_vjp(g: Tensor, out: Tensor, x: Tensor, *, dim: tuple[int, ...], keepdim: bool) -> Any:
    """Elements that equal the result share the gradient evenly."""
    wide = restore(out, x, dim, keepdim)
    here = logical_or(eq(x, wide), logical_and(ne(x, x), ne(wide, wide)))
    share = true_divide(g, cast(sum(here, dim, keepdim), g.dtype)) if dim else g
    return (where(here, restore(share, x, dim, keepdim), constant(0, g.dtype)),)


def _extreme(
    name: str, word: str, lower: str, function: Callable[..., Any]
) -> Callable[..., Tensor]:
    op = define(
        name,
        attrs=ATTRS,
        doc=f"The {word} element over axes; NaN if there is one.",
        accepts=REAL,
        infer=shape_rule(lambda x: x.dtype),
        ref=lambda x, *, dim, keepdim: function(x, axis=dim, keepdims=keepdim),
        vjp=shared_vjp,
        saves="x out",
        lower=lower,
        samples=full_samples,
        torch=lambda x, dim, keepdim: getattr(x, name)(dim, keepdim),
        errors=lambda random: [
            Failure((np.ones((0, 2)),), {}, ValueError, "nothing to choose from"),
            Failure((np.ones(2, complex),), {}, TypeError, "complex128 is not taken"),
        ],
    )

    def reduce(input: Any, dim: Any = (), keepdim: bool = False) -> Tensor:
        x = admit(op, as_tensor(input, name))
        axes = axes_of(name, dim, x)
        check_extent(name, x, axes)
        return bind(op, (x,), (axes, bool(keepdim)))  # type: ignore[no-any-return]

    return axis_too(named(reduce, op))


amax = _extreme("amax", "largest", "max", np.max)
amin = _extreme("amin", "smallest", "min", np.min)


def _place(name: str, word: str, function: Callable[..., Any]) -> Callable[..., Tensor]:
    def ref(x: Any, *, dim: tuple[int, ...], keepdim: bool) -> Any:
        found = np.asarray(function(rows_of(x, dim), axis=-1), np.int64)
        return found.reshape(reduced(x.shape, dim, keepdim))

    op = define(
        name,
        attrs=ATTRS,
        doc=f"Where the first {word} element over axes stands, in their order; NaN counts as it.",
        accepts="uif",
        infer=shape_rule(lambda x: dtypes.int64),
        ref=ref,
        lower=name,
        samples=full_samples,
        torch=lambda x, dim, keepdim: _torch_place(x, name, dim, keepdim),
    )

    def reduce(input: Any, dim: int | None = None, keepdim: bool = False) -> Tensor:
        x = admit(op, as_tensor(input, name))
        axes = axes_of(name, dim, x)
        check_extent(name, x, axes)
        return bind(op, (x,), (axes, bool(keepdim)))  # type: ignore[no-any-return]

    return axis_too(named(reduce, op))


def _torch_place(x: Any, name: str, dim: tuple[int, ...], keepdim: bool) -> Any:
    """The same in PyTorch, which takes one axis: those in `dim` are made one. For the tests."""
    rest = [axis for axis in range(x.ndim) if axis not in dim]
    size = math.prod(x.shape[axis] for axis in dim)
    flat = x.permute([*rest, *dim]).reshape([*[x.shape[axis] for axis in rest], size])
    made = getattr(flat, name)(-1)
    kept = [1 if axis in dim else x.shape[axis] for axis in range(x.ndim)]
    return made.reshape(kept) if keepdim else made


argmax = _place("argmax", "largest", np.argmax)
argmin = _place("argmin", "smallest", np.argmin)


# ---- counting and leaving out


@also_named(axis="dim")
def count_nonzero(input: Any, dim: Any = None, *, keepdims: bool = False) -> Tensor:
    """How many elements are not zero, over the axes `dim`."""
    x = as_tensor(input, "count_nonzero")
    return sum(x if x.array.dtype == np.bool_ else ne(x, 0), dim, keepdims)


@axis_too
def nansum(
    input: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None, out: Any = None
) -> Tensor:
    """The sum over the axes `dim`, NaN left out."""
    x = as_tensor(input, "nansum")
    return sum(where(ne(x, x), 0, x), dim, keepdim, dtype=dtype, out=out)


@axis_too
def nanmean(input: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The mean over the axes `dim` of what is not NaN."""
    x = floating("nanmean", input, dtype)
    total = nansum(x, dim, keepdim)
    return true_divide(total, cast(sum(eq(x, x), dim, keepdim), total.dtype))


guard(globals())
