"""Products, matrices, order and loops over rows, under TensorFlow's names. Floor 13."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from twofold.base.dtypes import bool_, float32, int32, int64
from twofold.base.errors import ArgumentError
from twofold.base.trees import flatten, unflatten
from twofold.frontends import control
from twofold.ops import (
    decompose,
    generators,
    matrix,
    products,
    random,
    rounding,
    solve,
    sorting,
    statistics,
    transcendental,
    triangles,
)
from twofold.ops import einsum as sums
from twofold.ops.creation import arange
from twofold.ops.tensor import Tensor
from twofold.v1.arrays import cast, concat, gather, reduce_mean, square
from twofold.v1.state import given, names

__all__ = [
    "argsort",
    "cholesky",
    "cumprod",
    "diag",
    "diag_part",
    "digamma",
    "einsum",
    "foldl",
    "foldr",
    "gather_nd",
    "lgamma",
    "map_fn",
    "matrix_determinant",
    "matrix_diag",
    "matrix_diag_part",
    "matrix_inverse",
    "mod",
    "norm",
    "random_shuffle",
    "reduce_std",
    "reduce_variance",
    "scan",
    "sequence_mask",
    "tensordot",
    "top_k",
    "trace",
]

# ---- products and matrices -----------------------------------------------------------------------


def einsum(equation: str, *inputs: Any, name: str | None = None) -> Tensor:
    """The sum of products that an equation tells: "ij,jk->ik"."""
    return sums.einsum(equation, *map(given, inputs))


def tensordot(a: Any, b: Any, axes: Any, name: str | None = None) -> Tensor:
    """Products summed over axes of both: so many of the last and the first, or two lists."""
    return products.tensordot(given(a), given(b), axes)


def diag(diagonal: Any, name: str | None = None) -> Tensor:
    return triangles.diag_embed(given(diagonal))


matrix_diag = diag


def diag_part(input: Any, name: str | None = None) -> Tensor:
    return given(input).diagonal(0, -2, -1)


matrix_diag_part = diag_part


def trace(x: Any, name: str | None = None) -> Tensor:
    return statistics.trace(given(x))


def matrix_inverse(input: Any, adjoint: bool = False, name: str | None = None) -> Tensor:
    made = solve.inv(given(input))
    return made.mH if adjoint else made


def matrix_determinant(input: Any, name: str | None = None) -> Tensor:
    return solve.det(given(input))


def cholesky(input: Any, name: str | None = None) -> Tensor:
    return decompose.cholesky(given(input))


def norm(
    tensor: Any,
    ord: Any = "euclidean",
    axis: Any = None,
    keepdims: bool | None = None,
    name: str | None = None,
    keep_dims: bool | None = None,
) -> Tensor:
    """The length of vectors; of everything as one vector where no axis is told."""
    keep = bool(keep_dims if keepdims is None else keepdims)
    order = 2 if ord == "euclidean" else ord
    return matrix.vector_norm(given(tensor), order, axis, keep)


# ---- elements ------------------------------------------------------------------------------------


def mod(x: Any, y: Any, name: str | None = None) -> Tensor:
    """x - y * floor(x / y)"""
    return rounding.remainder(given(x), given(y))


def lgamma(x: Any, name: str | None = None) -> Tensor:
    return transcendental.lgamma(given(x))


def digamma(x: Any, name: str | None = None) -> Tensor:
    return transcendental.digamma(given(x))


def cumprod(x: Any, axis: int = 0, name: str | None = None) -> Tensor:
    return sorting.cumprod(given(x), axis)


def reduce_variance(
    input_tensor: Any, axis: Any = None, keepdims: bool = False, name: str | None = None
) -> Tensor:
    """The mean square of the distance from the mean."""
    x = given(input_tensor)
    return reduce_mean(square(x - reduce_mean(x, axis, keepdims=True)), axis, keepdims=keepdims)


def reduce_std(
    input_tensor: Any, axis: Any = None, keepdims: bool = False, name: str | None = None
) -> Tensor:
    return reduce_variance(input_tensor, axis, keepdims).sqrt()


class TopK(NamedTuple):
    """The largest values, and where they were."""

    values: Tensor
    indices: Tensor


def top_k(input: Any, k: int = 1, sorted: bool = True, name: str | None = None) -> TopK:
    """The k largest of the last axis."""
    values, indices = sorting.topk(given(input), k, -1, True, sorted)
    return TopK(values, cast(indices, int32))


def argsort(
    values: Any, axis: int = -1, direction: str = "ASCENDING", name: str | None = None
) -> Tensor:
    return cast(sorting.argsort(given(values), axis, direction == "DESCENDING", True), int32)


def sequence_mask(
    lengths: Any, maxlen: Any = None, dtype: Any = bool_, name: str | None = None
) -> Tensor:
    """For each length, True at so many places from the first on, of `maxlen`."""
    if maxlen is None:
        hint = "maxlen=, such as the size of the axis that is masked"
        raise ArgumentError("sequence_mask", "the largest length is no size of a graph", hint=hint)
    counts = cast(given(lengths), int64)
    return cast(arange(maxlen) < counts.unsqueeze(-1), dtype)


def gather_nd(params: Any, indices: Any, name: str | None = None) -> Tensor:
    """The parts of a tensor at places, of which the last axis of `indices` has the numbers."""
    x, places = given(params), cast(given(indices), int64)
    numbers = tuple(places.unbind(-1))
    return x[numbers]


def random_shuffle(value: Any, seed: int | None = None, name: str | None = None) -> Tensor:
    """The rows in an order that is drawn."""
    x = given(value)
    source = None if seed is None else generators.Generator(seed=seed)
    drawn = random.rand((x.array.shape[0],), dtype=float32, generator=source)
    return gather(x, sorting.argsort(drawn, 0, False, True))


# ---- loops over rows -----------------------------------------------------------------------------


def map_fn(fn: Callable[[Any], Any], elems: Any, dtype: Any = None, **_: Any) -> Any:
    """fn of each slice along the first axis, stacked."""
    names()
    parts, form = flatten(elems)
    xs = unflatten([given(x) for x in parts], form)
    return control.scan(lambda carry, x: (carry, fn(x)), given(0.0), xs)[1]


def scan(
    fn: Callable[[Any, Any], Any],
    elems: Any,
    initializer: Any = None,
    parallel_iterations: Any = None,
    back_prop: bool = True,
    swap_memory: bool = False,
    infer_shape: bool = True,
    reverse: bool = False,
    name: str | None = None,
) -> Any:
    """All a = fn(a, x) for the slices x along the first axis, stacked. Without an initializer the
    first slice is the first a.
    """
    return _fold("scan", fn, elems, initializer, reverse)[1]


def foldl(
    fn: Callable[[Any, Any], Any], elems: Any, initializer: Any = None, name: str | None = None
) -> Any:
    """The last a = fn(a, x) for the slices x along the first axis."""
    return _fold("foldl", fn, elems, initializer, False)[0]


def foldr(
    fn: Callable[[Any, Any], Any], elems: Any, initializer: Any = None, name: str | None = None
) -> Any:
    """The same from the last slice to the first."""
    return _fold("foldr", fn, elems, initializer, True)[0]


def _fold(op: str, fn: Any, elems: Any, initializer: Any, reverse: bool) -> tuple[Any, Any]:
    names()
    parts, form = flatten(elems)
    xs = [given(x) for x in parts]
    if initializer is not None:
        first, carried = flatten(initializer)
        start = unflatten([given(x) for x in first], carried)
        return control.scan(
            lambda a, x: (fn(a, x),) * 2, start, unflatten(xs, form), reverse=reverse
        )
    at = -1 if reverse else 0
    start = unflatten([x[at] for x in xs], form)
    rest = unflatten([x[:-1] if reverse else x[1:] for x in xs], form)
    last, made = control.scan(lambda a, x: (fn(a, x),) * 2, start, rest, reverse=reverse)
    firsts, others = flatten(start)[0], flatten(made)[0]
    joined = [_joined(b, a, reverse) for a, b in zip(firsts, others, strict=True)]
    return last, unflatten(joined, flatten(made)[1])


def _joined(many: Tensor, one: Tensor, behind: bool) -> Tensor:
    """One more slice, before the others or behind them."""
    row = one.unsqueeze(0)
    return concat([many, row] if behind else [row, many], 0)
