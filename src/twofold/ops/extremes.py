"""Largest, smallest, any, all, and medians over axes. Floor 4. NaN wins, as in PyTorch."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from twofold.base import dtypes
from twofold.base.errors import ArgumentError
from twofold.base.types import Type
from twofold.ops.bind import bind
from twofold.ops.compare import maximum, minimum
from twofold.ops.elementwise import cast, mul, sub, true_divide
from twofold.ops.gather import gather
from twofold.ops.movement import reshape
from twofold.ops.op import ANY, REAL, Op, Sample, define
from twofold.ops.reduce import reduce_samples, restore
from twofold.ops.reduce import sum as sum_
from twofold.ops.rules import admit, as_tensor, axes_of, axis_of, reduced
from twofold.ops.sorting import sort
from twofold.ops.tensor import Tensor, type_of, wrap
from twofold.ops.transcendental import exp, log

__all__ = [
    "all", "amax", "amin", "aminmax", "any", "argmax", "argmin", "logsumexp", "max", "median", "min", "nanmedian",
    "quantile",
]  # fmt: skip


class Chosen(NamedTuple):
    """Values and where they stood along the axis (i64)."""

    values: Tensor
    indices: Tensor


def _full(random: Any) -> list[Sample]:
    return [s for s in reduce_samples(random) if 0 not in np.shape(s.args[0])]


def _share(g: Tensor, out: Tensor, x: Tensor, dim: tuple[int, ...], keepdim: bool) -> Any:
    """Those that equal the extreme share its gradient evenly, as PyTorch has it."""
    hit = cast(x == restore(out.detach(), x, dim, keepdim), x.dtype)  # type: ignore[attr-defined, arg-type]
    count = sum_(hit, dim, True) if dim else hit
    return (mul(true_divide(hit, count), restore(g, x, dim, keepdim)),)


def _extreme(name: str, ref: Any, word: str) -> Op:
    return define(
        name,
        attrs=("dim", "keepdim"),
        doc=f"The {word} element over axes.",
        accepts=REAL,
        infer=lambda x, *, dim, keepdim: _nonempty(name, x, dim, keepdim, x.dtype),
        ref=lambda x, *, dim, keepdim: ref(x, axis=dim, keepdims=keepdim),
        vjp=lambda g, out, x, *, dim, keepdim: _share(g, out, x, dim, keepdim),
        saves="x out",
        lower=name.removeprefix("a"),
        samples=_full,
        torch=lambda x, dim, keepdim: getattr(x, name)(dim, keepdim) if dim else x.clone(),
    )


def _nonempty(op: str, x: Type, dim: tuple[int, ...], keepdim: bool, dtype: Any) -> Type:
    if 0 in [x.shape[d] for d in dim]:
        raise ArgumentError(op, "nothing to choose from: an axis has size 0", hint="a tensor with elements", input=x)
    return Type(reduced(x.shape, dim, keepdim), dtype)


AMAX, AMIN = _extreme("amax", np.max, "largest"), _extreme("amin", np.min, "smallest")


def amax(input: Any, dim: Any = None, keepdim: bool = False) -> Tensor:
    """The largest element over `dim` (all axes, if None); equal ones share the gradient."""
    x = admit(AMAX, as_tensor(input, "amax"))
    return bind(AMAX, (x,), (axes_of("amax", dim, x), bool(keepdim)))


def amin(input: Any, dim: Any = None, keepdim: bool = False) -> Tensor:
    """The smallest element over `dim` (all axes, if None); equal ones share the gradient."""
    x = admit(AMIN, as_tensor(input, "amin"))
    return bind(AMIN, (x,), (axes_of("amin", dim, x), bool(keepdim)))


def aminmax(input: Any, *, dim: Any = None, keepdim: bool = False) -> tuple[Tensor, Tensor]:
    """(smallest, largest)."""
    return amin(input, dim, keepdim), amax(input, dim, keepdim)


def _arg(name: str, ref: Any, word: str) -> Op:
    return define(
        name,
        attrs=("dim", "keepdim"),
        doc=f"Where along an axis the {word} element stands first; NaN counts as it.",
        accepts=REAL,
        infer=lambda x, *, dim, keepdim: _nonempty(name, x, (dim,), keepdim, dtypes.int64),
        ref=lambda x, *, dim, keepdim: ref(x, axis=dim, keepdims=keepdim).astype(np.int64),
        samples=lambda r: [Sample((r.normal(size=(3, 4)), 1, False)), Sample((r.normal(size=(5, 2)), 0, True))],
    )


ARGMAX, ARGMIN = _arg("argmax", np.argmax, "largest"), _arg("argmin", np.argmin, "smallest")


def _place(op: Op, input: Any, dim: Any, keepdim: bool) -> Tensor:
    x = admit(op, as_tensor(input, op.name))
    if not x.array.ndim:
        return wrap(np.zeros((), np.int64))
    if dim is None:
        made = bind(op, (reshape(x, (-1,)),), (0, False))
        return reshape(made, (1,) * x.array.ndim) if keepdim else made
    return bind(op, (x,), (axis_of(op.name, dim, x), bool(keepdim)))


def argmax(input: Any, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """Where the largest element stands first along `dim` (in the flattened tensor, if None), i64."""
    return _place(ARGMAX, input, dim, keepdim)


def argmin(input: Any, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """Where the smallest element stands first along `dim` (in the flattened tensor, if None), i64."""
    return _place(ARGMIN, input, dim, keepdim)


def _choose(input: Any, dim: Any, keepdim: bool, whole: Any, pairwise: Any, place: Any) -> Any:
    if dim is None:
        return whole(input)
    if isinstance(dim, Tensor):
        return pairwise(input, dim)
    x = as_tensor(input, whole.__name__)
    if not x.array.ndim:
        return Chosen(x, wrap(np.zeros((), np.int64)))
    axis = axis_of(whole.__name__, dim, x)
    places = place(x, axis, True)
    values = gather(x, axis, places)
    if keepdim:
        return Chosen(values, places)
    shape = reduced(x.array.shape, (axis,), False)
    return Chosen(reshape(values, shape), reshape(places, shape))


def max(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """max(x): the largest element; max(x, dim): (values, indices) along an axis; max(x, y): elementwise."""
    return _choose(input, dim, keepdim, amax, maximum, argmax)


def min(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """min(x): the smallest element; min(x, dim): (values, indices) along an axis; min(x, y): elementwise."""
    return _choose(input, dim, keepdim, amin, minimum, argmin)


def _truth(name: str, ref: Any, word: str) -> Op:
    return define(
        name,
        attrs=("dim", "keepdim"),
        doc=f"Whether {word} element over axes is not 0.",
        accepts=ANY,
        infer=lambda x, *, dim, keepdim: Type(reduced(x.shape, dim, keepdim), dtypes.bool_),
        ref=lambda x, *, dim, keepdim: ref(x, axis=dim, keepdims=keepdim),
        lower=name,
        samples=lambda r: [Sample((r.integers(0, 2, s), d, k)) for (s, d, k) in _truth_cases()],
        torch=False,
    )


def _truth_cases() -> Any:
    return [((3, 4), (1,), False), ((2, 3, 4), (0, 2), True), ((0, 3), (0,), False), ((), (), False)]


ANY_OP, ALL_OP = _truth("any", np.any, "some"), _truth("all", np.all, "every")


def any(input: Any, dim: Any = None, keepdim: bool = False) -> Tensor:
    """Whether some element over `dim` is not 0 (False where there is none)."""
    x = as_tensor(input, "any")
    return bind(ANY_OP, (x,), (axes_of("any", dim, x), bool(keepdim)))


def all(input: Any, dim: Any = None, keepdim: bool = False) -> Tensor:
    """Whether every element over `dim` is not 0 (True where there is none)."""
    x = as_tensor(input, "all")
    return bind(ALL_OP, (x,), (axes_of("all", dim, x), bool(keepdim)))


def logsumexp(input: Any, dim: Any, keepdim: bool = False) -> Tensor:
    """log(sum(exp(x))) over `dim`, without overflow."""
    x = as_tensor(input, "logsumexp")
    x = cast(x, dtypes.default_dtype()) if x.dtype.kind in "bui" else x
    axes = axes_of("logsumexp", dim, x)
    if not axes:
        return x
    with_nothing = 0 in [x.array.shape[a] for a in axes]
    top = np.zeros((), x.array.dtype) if with_nothing else x.array.max(axis=axes, keepdims=True)
    shift = wrap(np.where(np.isfinite(top), top, 0).astype(x.array.dtype))
    made = log(sum_(exp(sub(x, shift)), axes, keepdim))
    left = shift if keepdim or with_nothing else reshape(shift, reduced(x.array.shape, axes, False))
    return made + left  # type: ignore[operator, no-any-return]


def median(input: Any, dim: int | None = None, keepdim: bool = False) -> Any:
    """The lower of the middle elements: of all, or (values, indices) along `dim`. NaN wins."""
    x = admit(AMAX, as_tensor(input, "median"))
    if dim is None:
        return median(reshape(x, (-1,)), 0)[0]
    axis = axis_of("median", dim, x)
    size = x.array.shape[axis]
    if size == 0:
        raise ArgumentError("median", "nothing to choose from: the axis has size 0", input=type_of(x))
    values, places = sort(x, axis)
    nan = np.isnan(values.array) if x.dtype.kind == "f" else np.zeros(values.array.shape, np.bool_)
    first_nan = size - nan.sum(axis=axis, keepdims=True)
    at = wrap(np.where(first_nan < size, first_nan, (size - 1) // 2).astype(np.int64))
    made = Chosen(gather(values, axis, at), gather(places, axis, at))
    if keepdim:
        return made
    shape = reduced(x.array.shape, (axis,), False)
    return Chosen(reshape(made.values, shape), reshape(made.indices, shape))


def nanmedian(input: Any, dim: int | None = None, keepdim: bool = False) -> Any:
    """The median of the elements that are not NaN."""
    x = as_tensor(input, "nanmedian")
    if dim is None:
        return nanmedian(reshape(x, (-1,)), 0)[0]
    axis = axis_of("nanmedian", dim, x)
    values, places = sort(x, axis)
    count = (~np.isnan(values.array)).sum(axis=axis, keepdims=True)
    at = wrap(np.maximum((count - 1) // 2, 0).astype(np.int64))
    made = Chosen(gather(values, axis, at), gather(places, axis, at))
    shape = x.array.shape if keepdim else reduced(x.array.shape, (axis,), False)
    return made if keepdim else Chosen(reshape(made.values, shape), reshape(made.indices, shape))


def quantile(input: Tensor, q: Any, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """The q-quantiles (0 to 1) by linear interpolation between ordered elements; q: a number or a vector."""
    x = reshape(input, (-1,)) if dim is None else input
    axis = 0 if dim is None else axis_of("quantile", dim, input)
    points = as_tensor(q, "quantile", "q").array.astype(np.float64)
    values = sort(x, axis).values.movedim(axis, 0)  # type: ignore[attr-defined]
    at = points * (values.array.shape[0] - 1)
    low = np.floor(at).astype(np.int64)
    high = np.ceil(at).astype(np.int64)
    share = wrap((at - low).astype(x.array.dtype).reshape((*points.shape, *(1,) * (values.array.ndim - 1))))
    below, above = values[wrap(low)], values[wrap(high)]
    made = below + (above - below) * share
    if keepdim:
        place = points.ndim if dim is None else points.ndim + axis
        made = made.unsqueeze(place)
    return made  # type: ignore[no-any-return]
