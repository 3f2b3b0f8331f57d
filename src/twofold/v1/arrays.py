"""Arithmetic, reductions and movements under TensorFlow's names and arguments. Floor 13."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twofold.base.dtypes import bool_, float32, int32, int64
from twofold.base.errors import ArgumentError
from twofold.base.symbols import Symbol
from twofold.frontends import control
from twofold.nn import embedding_functions
from twofold.ops import (
    compare,
    creation,
    creation_like,
    elementwise,
    joining,
    linalg,
    movement,
    padding,
    reduce,
    rounding,
    sorting,
    splitting,
    statistics,
    transcendental,
    views,
)
from twofold.ops.selecting import index_select
from twofold.ops.tensor import Tensor
from twofold.v1.state import get_shape, given, names, type_named

__all__ = [
    "acos",
    "add",
    "add_n",
    "argmax",
    "argmin",
    "asin",
    "atan",
    "atan2",
    "cast",
    "ceil",
    "clip_by_global_norm",
    "clip_by_norm",
    "clip_by_value",
    "concat",
    "cond",
    "constant",
    "convert_to_tensor",
    "cos",
    "cosh",
    "cumsum",
    "div",
    "divide",
    "equal",
    "erf",
    "exp",
    "expand_dims",
    "expm1",
    "eye",
    "fill",
    "floor",
    "floordiv",
    "floormod",
    "gather",
    "global_norm",
    "greater",
    "greater_equal",
    "identity",
    "is_finite",
    "is_inf",
    "is_nan",
    "less",
    "less_equal",
    "linspace",
    "log",
    "log1p",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "matmul",
    "maximum",
    "minimum",
    "multiply",
    "negative",
    "not_equal",
    "one_hot",
    "ones",
    "ones_like",
    "pad",
    "rank",
    "reciprocal",
    "reduce_all",
    "reduce_any",
    "reduce_logsumexp",
    "reduce_max",
    "reduce_mean",
    "reduce_min",
    "reduce_prod",
    "reduce_sum",
    "reshape",
    "reverse",
    "rsqrt",
    "shape",
    "sigmoid",
    "sign",
    "sin",
    "sinh",
    "size",
    "split",
    "sqrt",
    "square",
    "squared_difference",
    "squeeze",
    "stack",
    "stop_gradient",
    "subtract",
    "tan",
    "tanh",
    "tile",
    "to_float",
    "transpose",
    "truediv",
    "unstack",
    "where",
    "while_loop",
    "zeros",
    "zeros_like",
]


# ---- values --------------------------------------------------------------------------------------


def constant(value: Any, dtype: Any = None, shape: Any = None, name: str | None = None) -> Tensor:
    """A tensor of given values, repeated to `shape`."""
    made = given(value, dtype)
    if shape is None:
        return made
    known = tuple(made.array.shape)
    whole = known != () and known != tuple(shape)
    return made.reshape(shape) if whole else made.expand(tuple(shape))  # type: ignore[attr-defined, no-any-return]


def convert_to_tensor(value: Any, dtype: Any = None, name: str | None = None) -> Tensor:
    return given(value, dtype)


def zeros(shape: Any, dtype: Any = float32, name: str | None = None) -> Tensor:
    return fill(shape, 0, dtype=dtype)


def ones(shape: Any, dtype: Any = float32, name: str | None = None) -> Tensor:
    return fill(shape, 1, dtype=dtype)


def fill(dims: Any, value: Any, name: str | None = None, dtype: Any = None) -> Tensor:
    """A tensor of one value."""
    names()
    sizes = tuple(dims) if isinstance(dims, Sequence) else (dims,)
    if isinstance(value, Tensor):
        return value.expand(sizes)  # type: ignore[attr-defined, no-any-return]
    default = float32 if isinstance(value, float) else int32
    return creation.full(sizes, value, dtype=type_named(dtype) or default)


def zeros_like(tensor: Any, dtype: Any = None, name: str | None = None) -> Tensor:
    return creation_like.zeros_like(given(tensor), dtype=type_named(dtype))


def ones_like(tensor: Any, dtype: Any = None, name: str | None = None) -> Tensor:
    return creation_like.ones_like(given(tensor), dtype=type_named(dtype))


def range_(
    start: Any, limit: Any = None, delta: Any = 1, dtype: Any = None, name: str | None = None
) -> Tensor:
    names()
    low, high = (0, start) if limit is None else (start, limit)
    floats = any(isinstance(x, float) for x in (low, high, delta))
    return creation.arange(
        low, high, delta, dtype=type_named(dtype) or (float32 if floats else int32)
    )


def linspace(start: Any, stop: Any, num: int, name: str | None = None) -> Tensor:
    names()
    return creation.linspace(start, stop, num, dtype=float32)


def eye(
    num_rows: int, num_columns: int | None = None, dtype: Any = float32, name: str | None = None
) -> Tensor:
    names()
    return creation.eye(num_rows, num_columns, dtype=type_named(dtype))


def one_hot(
    indices: Any,
    depth: int,
    on_value: Any = 1,
    off_value: Any = 0,
    axis: int = -1,
    dtype: Any = float32,
    name: str | None = None,
) -> Tensor:
    """One axis more, along which one place has `on_value`."""
    numbers = cast(given(indices), int64)
    hot = embedding_functions.one_hot(numbers, depth)
    made = compare.where(hot == 1, given(on_value, dtype), given(off_value, dtype))
    if axis == -1:
        return made  # type: ignore[no-any-return]
    order = [n for n in range(made.ndim - 1)]
    order.insert(axis, made.ndim - 1)
    return transpose(made, order)


def shape(input: Any, name: str | None = None, out_type: Any = None) -> tuple[Any, ...]:
    """The sizes, as numbers of the graph: for reshape, zeros and their kin."""
    return tuple(given(input).array.shape)


def size(input: Any, name: str | None = None) -> Any:
    return given(input).array.size


def rank(input: Any, name: str | None = None) -> int:
    return given(input).array.ndim


# ---- arithmetic ----------------------------------------------------------------------------------


def _one(function: Callable[..., Any], doc: str) -> Callable[..., Tensor]:
    def made(x: Any, name: str | None = None) -> Tensor:
        return function(given(x))  # type: ignore[no-any-return]

    made.__doc__ = doc
    return made


def _two(function: Callable[..., Any], doc: str) -> Callable[..., Tensor]:
    def made(x: Any, y: Any, name: str | None = None) -> Tensor:
        if isinstance(x, Tensor):
            return function(x, given(y, _like(y, x)))  # type: ignore[no-any-return]
        x = given(x, _like(x, y))
        return function(x, given(y, _like(y, x)))  # type: ignore[no-any-return]

    made.__doc__ = doc
    return made


def _like(x: Any, other: Any) -> Any:
    """The element type of a plain number beside a tensor."""
    plain = isinstance(x, int | float) and isinstance(other, Tensor)
    return other.dtype if plain and other.dtype.kind in "fiu" else None


add = _two(elementwise.add, "x + y")
subtract = _two(elementwise.sub, "x - y")
multiply = _two(elementwise.mul, "x * y")
maximum = _two(compare.maximum, "The larger of x and y.")
minimum = _two(compare.minimum, "The smaller of x and y.")
floordiv = _two(rounding.floor_divide, "x // y, rounded down")
floormod = _two(rounding.remainder, "x - y * (x // y)")
pow_ = _two(transcendental.pow, "x ** y")
squared_difference = _two(lambda x, y: elementwise.square(x - y), "(x - y) ** 2")
equal = _two(compare.eq, "x == y")
not_equal = _two(compare.ne, "x != y")
less = _two(compare.lt, "x < y")
less_equal = _two(compare.le, "x <= y")
greater = _two(compare.gt, "x > y")
greater_equal = _two(compare.ge, "x >= y")
logical_and = _two(compare.logical_and, "x and y")
logical_or = _two(compare.logical_or, "x or y")
logical_xor = _two(compare.logical_xor, "Either x or y.")
atan2 = _two(transcendental.atan2, "The angle of the point (y, x).")
truediv = _two(rounding.div, "x / y")

abs_ = _one(elementwise.abs, "|x|")
negative = _one(elementwise.neg, "-x")
sign = _one(elementwise.sign, "-1, 0 or 1")
square = _one(elementwise.square, "x * x")
sqrt = _one(elementwise.sqrt, "The square root.")
rsqrt = _one(elementwise.rsqrt, "1 / sqrt(x)")
reciprocal = _one(elementwise.reciprocal, "1 / x")
exp = _one(transcendental.exp, "e ** x")
expm1 = _one(transcendental.expm1, "e ** x - 1")
log = _one(transcendental.log, "The natural logarithm.")
log1p = _one(transcendental.log1p, "log(1 + x)")
sin = _one(transcendental.sin, "The sine.")
cos = _one(transcendental.cos, "The cosine.")
tan = _one(transcendental.tan, "The tangent.")
asin = _one(transcendental.asin, "The angle of a sine.")
acos = _one(transcendental.acos, "The angle of a cosine.")
atan = _one(transcendental.atan, "The angle of a tangent.")
sinh = _one(transcendental.sinh, "The hyperbolic sine.")
cosh = _one(transcendental.cosh, "The hyperbolic cosine.")
tanh = _one(transcendental.tanh, "The hyperbolic tangent.")
sigmoid = _one(transcendental.sigmoid, "1 / (1 + exp(-x))")
erf = _one(transcendental.erf, "The error function.")
floor = _one(rounding.floor, "Rounded down.")
ceil = _one(rounding.ceil, "Rounded up.")
round_ = _one(rounding.round, "Rounded to the nearest, halves to the even one.")
logical_not = _one(compare.logical_not, "not x")
is_nan = _one(compare.isnan, "Whether each element is no number.")
is_inf = _one(compare.isinf, "Whether each element is infinite.")
is_finite = _one(compare.isfinite, "Whether each element is a finite number.")


def divide(x: Any, y: Any, name: str | None = None) -> Tensor:
    """x / y"""
    return truediv(x, y)


def div(x: Any, y: Any, name: str | None = None) -> Tensor:
    """x / y; of whole numbers the whole part, rounded down."""
    x = given(x)
    return floordiv(x, y) if x.dtype.kind == "i" else truediv(x, y)


def add_n(inputs: Sequence[Any], name: str | None = None) -> Tensor:
    """The sum of tensors."""
    total = given(inputs[0])
    for x in inputs[1:]:
        total = total + x
    return total


def cast(x: Any, dtype: Any, name: str | None = None) -> Tensor:
    return given(x).to(type_named(dtype))  # type: ignore[attr-defined, no-any-return]


def to_float(x: Any, name: str | None = None) -> Tensor:
    return cast(x, float32)


def clip_by_value(
    t: Any, clip_value_min: Any, clip_value_max: Any, name: str | None = None
) -> Tensor:
    return minimum(maximum(t, clip_value_min), clip_value_max)


def clip_by_norm(t: Any, clip_norm: Any, axes: Any = None, name: str | None = None) -> Tensor:
    """t, shortened where it is longer than `clip_norm`."""
    t = given(t)
    length = sqrt(reduce_sum(square(t), axes, keepdims=True))
    return t * clip_norm / maximum(length, clip_norm)


def global_norm(t_list: Sequence[Any], name: str | None = None) -> Tensor:
    """The length of all tensors together."""
    return sqrt(add_n([reduce_sum(square(t)) for t in t_list if t is not None]))


def clip_by_global_norm(
    t_list: Sequence[Any], clip_norm: Any, use_norm: Any = None, name: str | None = None
) -> tuple[list[Any], Tensor]:
    """All tensors, shortened together where they are longer than `clip_norm`; and their length."""
    length = global_norm(t_list) if use_norm is None else given(use_norm)
    scale = given(clip_norm, length.dtype) / maximum(length, clip_norm)
    return [None if t is None else t * scale for t in t_list], length


def matmul(
    a: Any, b: Any, transpose_a: bool = False, transpose_b: bool = False, name: str | None = None
) -> Tensor:
    a, b = given(a), given(b)
    left = a.mT if transpose_a else a
    return linalg.matmul(left, b.mT if transpose_b else b)


def identity(input: Any, name: str | None = None) -> Tensor:
    """A tensor of the same values; in a block of `control_dependencies`, those after it."""
    return given(input).clone()  # type: ignore[attr-defined, no-any-return]


def stop_gradient(input: Any, name: str | None = None) -> Tensor:
    return given(input).detach()  # type: ignore[attr-defined, no-any-return]


def where(condition: Any, x: Any = None, y: Any = None, name: str | None = None) -> Tensor:
    """x where the condition is true, else y."""
    if x is None or y is None:
        raise ArgumentError(
            "where",
            "the places of true elements have no size that a graph knows",
            hint="where(condition, x, y)",
        )
    x = given(x)
    return compare.where(given(condition), x, given(y, _like(y, x)))  # type: ignore[no-any-return]


# ---- reductions ----------------------------------------------------------------------------------


def _reduction(function: Callable[..., Any], doc: str) -> Callable[..., Tensor]:
    def made(
        input_tensor: Any,
        axis: Any = None,
        keepdims: bool | None = None,
        name: str | None = None,
        reduction_indices: Any = None,
        keep_dims: bool | None = None,
    ) -> Tensor:
        x = given(input_tensor)
        along = reduction_indices if axis is None else axis
        if along is None:
            axes = tuple(range(x.array.ndim))
        else:
            axes = tuple(along) if isinstance(along, Sequence) else (along,)
        keep = bool(keep_dims if keepdims is None else keepdims)
        return function(x, axes, keep) if axes else x  # type: ignore[no-any-return]

    made.__doc__ = doc + " Over all axes without `axis`; `reduction_indices` is its older name."
    return made


def _prod(x: Tensor, axes: tuple[int, ...], keep: bool) -> Tensor:
    for axis in sorted((a % x.array.ndim for a in axes), reverse=True):
        x = statistics.prod(x, axis, keep)
    return x


def _sum(x: Tensor, axes: tuple[int, ...], keep: bool) -> Tensor:
    return reduce.sum(x, axes, keep, dtype=None if x.dtype is bool_ else x.dtype)


reduce_sum = _reduction(_sum, "The sum.")
reduce_mean = _reduction(reduce.mean, "The mean.")
reduce_max = _reduction(reduce.amax, "The largest element.")
reduce_min = _reduction(reduce.amin, "The smallest element.")
reduce_prod = _reduction(_prod, "The product.")
reduce_all = _reduction(reduce.all, "Whether all are true.")
reduce_any = _reduction(reduce.any, "Whether any is true.")
reduce_logsumexp = _reduction(statistics.logsumexp, "log(sum(exp(x))).")


def argmax(
    input: Any,
    axis: int | None = None,
    name: str | None = None,
    dimension: int | None = None,
    output_type: Any = int64,
) -> Tensor:
    """The place of the largest element along an axis, the first one if not told."""
    along = dimension if axis is None else axis
    return cast(reduce.argmax(given(input), along or 0), output_type)


def argmin(
    input: Any,
    axis: int | None = None,
    name: str | None = None,
    dimension: int | None = None,
    output_type: Any = int64,
) -> Tensor:
    along = dimension if axis is None else axis
    return cast(reduce.argmin(given(input), along or 0), output_type)


def cumsum(x: Any, axis: int = 0, name: str | None = None) -> Tensor:
    return sorting.cumsum(given(x), axis)


# ---- movements -----------------------------------------------------------------------------------


def reshape(tensor: Any, shape: Any, name: str | None = None) -> Tensor:
    return movement.reshape(given(tensor), tuple(shape))


def transpose(a: Any, perm: Sequence[int] | None = None, name: str | None = None) -> Tensor:
    """Axes in another order; all of them turned round without `perm`."""
    a = given(a)
    return movement.permute(a, tuple(perm or reversed(range(a.array.ndim))))


def expand_dims(
    input: Any, axis: int | None = None, name: str | None = None, dim: int | None = None
) -> Tensor:
    return views.unsqueeze(given(input), (dim if axis is None else axis) or 0)


def squeeze(
    input: Any, axis: Any = None, name: str | None = None, squeeze_dims: Any = None
) -> Tensor:
    along = squeeze_dims if axis is None else axis
    if along is None:
        known = get_shape(given(input))
        along = [i for i, n in enumerate(known) if n == 1]
    return views.squeeze(given(input), tuple(along) if isinstance(along, Sequence) else along)


def concat(values: Any, axis: Any = 0, name: str | None = None) -> Tensor:
    """Tensors one after the other along an axis; also in the older order (axis, values)."""
    if isinstance(values, int):
        values, axis = axis, values
    return joining.cat([given(x) for x in values], axis)


def stack(values: Sequence[Any], axis: int = 0, name: str | None = None) -> Tensor:
    return joining.stack([given(x) for x in values], axis)


def unstack(
    value: Any, num: int | None = None, axis: int = 0, name: str | None = None
) -> list[Tensor]:
    return list(splitting.unbind(given(value), axis))


def split(
    value: Any, num_or_size_splits: Any, axis: int = 0, name: str | None = None
) -> list[Tensor]:
    """Equal parts by their number, or parts of given sizes."""
    value = given(value)
    parts: Any = num_or_size_splits
    if isinstance(parts, int):
        length = value.array.shape[axis]
        if type(length) is not Symbol and length % parts:
            raise ArgumentError("split", f"{length} elements do not make {parts} equal parts")
        parts = length // parts
    return list(splitting.split(value, parts, axis))


def tile(input: Any, multiples: Sequence[int], name: str | None = None) -> Tensor:
    return joining.tile(given(input), tuple(multiples))


def pad(
    tensor: Any,
    paddings: Sequence[Sequence[int]],
    mode: str = "CONSTANT",
    name: str | None = None,
    constant_values: Any = 0,
) -> Tensor:
    """paddings: for each axis how many elements before and after."""
    if mode.upper() != "CONSTANT":
        raise ArgumentError("pad", f"mode {mode!r} is not there", hint='mode="CONSTANT"')
    flat = [n for pair in reversed(list(paddings)) for n in pair]
    return padding.pad(given(tensor), flat, value=constant_values)


def gather(params: Any, indices: Any, name: str | None = None, axis: int = 0, **_: Any) -> Tensor:
    """Rows (or slices along `axis`) by their numbers, which may have any shape."""
    params, numbers = given(params), given(indices)
    picked = index_select(params, axis, cast(reshape(numbers, (-1,)), int64))
    left, right = params.array.shape[:axis], params.array.shape[axis + 1 :]
    return picked.reshape((*left, *numbers.array.shape, *right))  # type: ignore[attr-defined, no-any-return]


def slice_(
    input_: Any, begin: Sequence[int], size: Sequence[int], name: str | None = None
) -> Tensor:
    """A block: where it begins and how large it is on each axis; size -1 for all the rest."""
    parts = [slice(b, None if n == -1 else b + n) for b, n in zip(begin, size, strict=True)]
    return given(input_)[tuple(parts)]  # type: ignore[index, no-any-return]


def reverse(tensor: Any, axis: Any, name: str | None = None) -> Tensor:
    axes = tuple(axis) if isinstance(axis, Sequence) else (axis,)
    return joining.flip(given(tensor), axes)


# ---- control -------------------------------------------------------------------------------------


def cond(
    pred: Any, true_fn: Callable[[], Any], false_fn: Callable[[], Any], name: str | None = None
) -> Any:
    """What one of two functions gives, by a truth value that the run knows."""
    names()
    return control.cond(given(pred), true_fn, false_fn)


def while_loop(
    cond: Callable[..., Any], body: Callable[..., Any], loop_vars: Sequence[Any], **_: Any
) -> Any:
    """Values that go through `body` as long as `cond` of them holds: a list, or the only one."""
    names()
    made = list(control.while_loop(cond, body, [given(x) for x in loop_vars]))
    return made if len(made) > 1 else made[0]
