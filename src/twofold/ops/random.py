"""Random numbers that are a function of (seed, stream, draw, element) alone. Floor 4.

The numbers of a draw are those of ops/draws.py; what it starts from is ops/generators.py.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from twofold.base import dtypes
from twofold.base.dtypes import DType
from twofold.base.errors import ArgumentError, DTypeError
from twofold.base.symbols import whole
from twofold.ops.bind import bind, mode, recording
from twofold.ops.compare import WHERE, ge, gt, isfinite, le, logical_and, lt
from twofold.ops.complexes import view_as_complex
from twofold.ops.draws import CLASSES, INTEGERS, NORMAL, PERMUTATION, UNIFORM
from twofold.ops.elementwise import add, cast, mul, neg, true_divide
from twofold.ops.generators import Generator, fresh_state
from twofold.ops.guarding import guard
from twofold.ops.movement import reshape
from twofold.ops.op import Op
from twofold.ops.ranges import require
from twofold.ops.reduce import all as all_of
from twofold.ops.reduce import sum
from twofold.ops.rounding import floor
from twofold.ops.rules import as_tensor, broadcast, check_sizes, constant, sizes_of
from twofold.ops.source import placed
from twofold.ops.stand_in import device_of, filling, stands_in
from twofold.ops.tensor import Tensor, type_of
from twofold.ops.transcendental import exp, log1p, tan
from twofold.ops.writing import write

__all__ = [
    "bernoulli",
    "multinomial",
    "normal",
    "rand",
    "rand_like",
    "randint",
    "randint_like",
    "randn",
    "randn_like",
    "randperm",
]

# How many numbers of the half types lie evenly in [0, 1).
STEPS = {dtypes.float16: 2.0**11, dtypes.bfloat16: 2.0**8}


def _wide(dtype: DType) -> DType:
    return dtypes.float64 if dtype is dtypes.float64 else dtypes.float32


def _drawn(op: Op, shape: tuple[int, ...], dtype: DType, generator: Generator | None) -> Tensor:
    if dtype.kind == "c":
        return _drawn_complex(op, shape, dtype, generator)
    if dtype.kind != "f":
        raise DTypeError(
            op.name, f"{dtype.name} is not a floating type", hint="randint for integers"
        )
    check_sizes(op.name.removeprefix("random_"), shape)
    made: Tensor = bind(op, (fresh_state(generator),), (shape, _wide(dtype)))
    if op is UNIFORM and dtype in STEPS:
        # cut, not rounded: a number just below 1 must not become 1
        made = true_divide(floor(mul(made, STEPS[dtype])), STEPS[dtype])
    return cast(made, dtype)


def _drawn_complex(
    op: Op, shape: tuple[int, ...], dtype: DType, generator: Generator | None
) -> Tensor:
    """Both parts drawn; normal numbers have variance 1 in all, half of it in each part."""
    parts = _drawn(op, (*shape, 2), dtype.to_real(), generator)
    made = view_as_complex(parts)
    return mul(made, math.sqrt(0.5)) if op is NORMAL else made


def uniform_values(
    shape: Any, dtype: DType, low: float, high: float, generator: Generator | None = None
) -> Tensor:
    """low + (high - low) * u."""
    if low > high:
        raise ArgumentError("uniform_", f"nothing lies from {low} to {high}")
    made = _drawn(UNIFORM, tuple(shape), dtype, generator)
    if (low, high) == (0.0, 1.0):
        return made
    wide = made if dtype.is_complex else cast(made, _wide(dtype))
    shift = complex(low, low) if dtype.is_complex else low
    return cast(add(mul(wide, high - low), shift), dtype)


def normal_values(
    shape: Any, dtype: DType, mean: float, std: float, generator: Generator | None = None
) -> Tensor:
    """mean + std * z."""
    if not std >= 0:
        raise _negative("normal")
    made = _drawn(NORMAL, tuple(shape), dtype, generator)
    if (mean, std) == (0.0, 1.0):
        return made
    wide = made if dtype.is_complex else cast(made, _wide(dtype))
    return cast(add(mul(wide, std), mean), dtype)


def integer_values(shape: Any, low: int, high: int, generator: Generator | None = None) -> Tensor:
    """Integers in [low, high), i64."""
    check_sizes("randint", shape)
    if high <= low:
        raise ArgumentError("randint", f"nothing lies in [{low}, {high})", hint="high > low")
    return bind(INTEGERS, (fresh_state(generator),), (tuple(shape), low, high))  # type: ignore[no-any-return]


def per_lane(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The function, whose draws a transform may want to be different for each lane (vmap)."""

    @functools.wraps(function)
    def drawn(*args: Any, **kwargs: Any) -> Tensor:
        draw = getattr(mode.interpreter, "draw", None)
        if draw is None:
            return function(*args, **kwargs)
        return draw(drawn, args, kwargs)  # type: ignore[no-any-return]

    return drawn


@placed
@per_lane
def dropout_mask(shape: Any, dtype: DType, p: float, generator: Generator | None = None) -> Tensor:
    """1 / (1 - p) with probability 1 - p, else 0."""
    kept = ge(_drawn(UNIFORM, tuple(shape), _wide(dtype), generator), p)
    scale = bind(WHERE, (kept, *_pair(0 if p == 1 else 1 / (1 - p), _wide(dtype))))
    return cast(scale, dtype)


def _pair(number: Any, dtype: DType) -> tuple[Tensor, Tensor]:
    return constant(number, dtype), constant(0.0, dtype)


def _made(made: Tensor, requires_grad: bool) -> Tensor:
    made.tracked = requires_grad
    return made


def _floating(dtype: Any) -> DType:
    return dtypes.default_dtype() if dtype is None else dtypes.as_dtype(dtype)


@placed
@per_lane
def rand(
    *sizes: Any,
    size: Any = None,
    generator: Any = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    layout: Any = None,
    pin_memory: bool = False,
) -> Tensor:
    """Uniform numbers in [0, 1) of a shape, from the default stream or `generator`."""
    return _made(
        uniform_values(sizes_of("rand", sizes, size), _floating(dtype), 0.0, 1.0, generator),
        requires_grad,
    )


@placed
@per_lane
def randn(
    *sizes: Any,
    size: Any = None,
    generator: Any = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    layout: Any = None,
    pin_memory: bool = False,
) -> Tensor:
    """Standard normal numbers of a shape, from the default stream or `generator`."""
    return _made(
        normal_values(sizes_of("randn", sizes, size), _floating(dtype), 0.0, 1.0, generator),
        requires_grad,
    )


@placed
@per_lane
def randint(
    low: int = 0,
    high: Any = None,
    size: Any = None,
    *,
    generator: Any = None,
    dtype: Any = None,
    device: Any = None,
    layout: Any = None,
    pin_memory: bool = False,
    requires_grad: bool = False,
) -> Tensor:
    """Integers in [low, high), or [0, low) when called as randint(high, size): i64[*size].

    Raises ArgumentError where nothing lies between the bounds.
    """
    if size is None:
        low, high, size = 0, low, high
    if size is None:
        raise ArgumentError("randint", "no size is given", hint="randint(high, (2, 3))")
    values = integer_values(sizes_of("randint", (size,)), whole(low), whole(high), generator)
    made = values if dtype is None else cast(values, dtypes.as_dtype(dtype))
    if requires_grad:
        made.requires_grad = True  # type: ignore[attr-defined]  # refused for whole numbers
    return made


@placed
@per_lane
def randperm(
    n: int,
    *,
    generator: Any = None,
    dtype: Any = None,
    device: Any = None,
    layout: Any = None,
    pin_memory: bool = False,
    requires_grad: bool = False,
) -> Tensor:
    """The numbers 0 to n - 1 in random order: those of a draw, ranked."""
    check_sizes("randperm", (n,))
    made = bind(PERMUTATION, (fresh_state(generator),), (whole(n),))
    made = made if dtype is None else cast(made, dtypes.as_dtype(dtype))
    if requires_grad:
        made.requires_grad = True  # type: ignore[union-attr]  # refused for whole numbers
    return made


def rand_like(
    input: Tensor,
    *,
    generator: Any = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    layout: Any = None,
    memory_format: Any = None,
    pin_memory: bool = False,
) -> Tensor:
    shape, kind = input.array.shape, dtype or input.dtype
    where = device or device_of(input)
    return rand(shape, generator=generator, dtype=kind, requires_grad=requires_grad, device=where)


def randn_like(
    input: Tensor,
    *,
    generator: Any = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    layout: Any = None,
    memory_format: Any = None,
    pin_memory: bool = False,
) -> Tensor:
    shape, kind = input.array.shape, dtype or input.dtype
    where = device or device_of(input)
    return randn(shape, generator=generator, dtype=kind, requires_grad=requires_grad, device=where)


def randint_like(
    input: Tensor,
    low: int = 0,
    high: Any = None,
    *,
    generator: Any = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    layout: Any = None,
    memory_format: Any = None,
    pin_memory: bool = False,
) -> Tensor:
    low, high = (0, low) if high is None else (low, high)
    kind = dtype or input.dtype
    where = device or device_of(input)
    options: Any = {"generator": generator, "dtype": kind, "device": where}
    return randint(low, high, input.array.shape, requires_grad=requires_grad, **options)


@placed
@per_lane
def normal(
    mean: Any = 0.0,
    std: Any = 1.0,
    size: Any = None,
    *,
    generator: Any = None,
    dtype: Any = None,
    device: Any = None,
    layout: Any = None,
    pin_memory: bool = False,
    requires_grad: bool = False,
) -> Tensor:
    """Normal numbers with means and deviations that are numbers (with `size`) or tensors."""
    if size is not None:
        shape = sizes_of("normal", (size,))
        made = normal_values(shape, _floating(dtype), mean, std, generator)
        return _made(made, requires_grad)
    mean, std = as_tensor(mean, "normal", "mean"), as_tensor(std, "normal", "std")
    shape = broadcast("normal", mean=type_of(mean), std=type_of(std))
    dtype = mean.dtype if mean.dtype.kind == "f" else std.dtype
    with recording(False):
        require(all_of(ge(std, 0)), lambda: _negative("normal"))
        z = normal_values(shape, dtype, 0.0, 1.0, generator)
        return cast(add(mean, mul(std, z)), dtype)


def _negative(op: str) -> Exception:
    return ArgumentError(op, "a standard deviation is negative", hint="std >= 0")


@per_lane
def bernoulli(input: Tensor, p: float | None = None, *, generator: Any = None) -> Tensor:
    """1 with the probability that each element of input f[...] gives (or p, if given), else 0."""
    return cast(
        _below(input.array.shape, input if p is None else p, "bernoulli", generator), input.dtype
    )


def _below(shape: Any, p: Any, op: str, generator: Any) -> Tensor:
    """Where fresh uniform numbers lie below probabilities: a tensor, or a number."""
    error = ArgumentError(op, "probabilities must lie in 0 to 1", hint="x.sigmoid() of scores")
    with recording(False):
        if isinstance(p, Tensor):
            p = cast(p, dtypes.float64)
            require(all_of(logical_and(ge(p, 0), le(p, 1))), lambda: error)
        elif not 0 <= p <= 1:
            raise error
        return lt(uniform_values(shape, dtypes.float64, 0.0, 1.0, generator), p)


@per_lane
def multinomial(
    input: Tensor, num_samples: int, replacement: bool = False, *, generator: Any = None
) -> Tensor:
    """`num_samples` class numbers i64 from weights f[C] or f[N, C], drawn with or without
    replacement. Raises ArgumentError for negative weights, and for more draws than there are
    classes.
    """
    shape = input.array.shape
    if not input.dtype.is_floating_point:
        raise DTypeError(
            "multinomial", "weights are floating", hint="input.float()", input=type_of(input)
        )
    with recording(False):
        weights = cast(reshape(input, (math.prod(shape[:-1]), shape[-1])), dtypes.float64)
        good = all_of(logical_and(isfinite(weights), ge(weights, 0)))
        good = logical_and(good, all_of(gt(sum(weights, 1), 0)))
        require(good, lambda: _no_weights(input))
        if not replacement:
            least = sum(cast(gt(weights, 0), dtypes.int64), 1)
            require(all_of(ge(least, num_samples)), lambda: _few_classes(num_samples))
        attrs = (whole(num_samples), bool(replacement))
        size = (weights.array.shape[0], attrs[0]) if replacement else weights.array.shape
        u = uniform_values(size, dtypes.float64, 0.0, 1.0, generator)
        made: Tensor = bind(CLASSES, (weights, u), attrs)
    return reshape(made, (*shape[:-1], num_samples))


def _no_weights(x: Tensor) -> Exception:
    return ArgumentError(
        "multinomial",
        "weights must be finite, not negative, and not all 0",
        hint="x.softmax(-1) of scores",
        input=type_of(x),
    )


def _few_classes(count: int) -> Exception:
    return ArgumentError(
        "multinomial", f"{count} samples from fewer classes", hint="replacement=True"
    )


def _in_place(x: Tensor, values: Any, op: str) -> Tensor:
    array: Any = x.array
    if stands_in(array):
        array.refuse("it is filled with random numbers; x = rand_like(x) makes new ones")
    return write(x, cast(values, x.dtype), op)


@filling
def uniform_(self: Tensor, from_: float = 0.0, to: float = 1.0, *, generator: Any = None) -> Tensor:
    """Fill with uniform numbers in [from, to)."""
    return _in_place(
        self, uniform_values(self.array.shape, self.dtype, from_, to, generator), "uniform_"
    )


@filling
def normal_(self: Tensor, mean: float = 0.0, std: float = 1.0, *, generator: Any = None) -> Tensor:
    """Fill with normal numbers."""
    return _in_place(
        self, normal_values(self.array.shape, self.dtype, mean, std, generator), "normal_"
    )


def _check_positive(op: str, name: str, value: float) -> None:
    if not value > 0:
        raise ArgumentError(op, f"{name} is {value}", hint=f"{name} > 0")


@filling
def exponential_(self: Tensor, lambd: float = 1.0, *, generator: Any = None) -> Tensor:
    """Fill with exponential numbers of rate `lambd`."""
    _check_positive("exponential_", "lambd", lambd)
    u = uniform_values(self.array.shape, _wide(self.dtype), 0.0, 1.0, generator)
    return _in_place(self, true_divide(neg(log1p(neg(u))), lambd), "exponential_")


@filling
def bernoulli_(self: Tensor, p: Any = 0.5, *, generator: Any = None) -> Tensor:
    """Fill with 1 with probability p (a number or a tensor), else 0."""
    return _in_place(self, _below(self.array.shape, p, "bernoulli_", generator), "bernoulli_")


@filling
def random_(
    self: Tensor, from_: int | None = None, to: int | None = None, *, generator: Any = None
) -> Tensor:
    """Fill with integers: `random_(to)` in [0, to), `random_(from_, to)` in [from_, to)."""
    low, high = (0, from_) if to is None else (from_ or 0, to)
    if high is None:
        high = 1 << 24 if self.dtype.kind == "f" else int(np.iinfo(self.array.dtype).max) + 1
    drawn = integer_values(self.array.shape, whole(low), whole(high), generator)
    return _in_place(self, drawn, "random_")


@filling
def log_normal_(
    self: Tensor, mean: float = 1.0, std: float = 2.0, *, generator: Any = None
) -> Tensor:
    """Fill with numbers whose logarithm is normal."""
    _check_positive("log_normal_", "std", std)
    drawn = normal_values(self.array.shape, _wide(self.dtype), mean, std, generator)
    return _in_place(self, exp(drawn), "log_normal_")


@filling
def cauchy_(
    self: Tensor, median: float = 0.0, sigma: float = 1.0, *, generator: Any = None
) -> Tensor:
    """Fill with Cauchy numbers."""
    _check_positive("cauchy_", "sigma", sigma)
    u = uniform_values(self.array.shape, _wide(self.dtype), -0.5, 0.5, generator)
    return _in_place(self, add(mul(tan(mul(u, math.pi)), sigma), median), "cauchy_")


@filling
def geometric_(self: Tensor, p: float, *, generator: Any = None) -> Tensor:
    """Fill with numbers of trials up to the first success of probability p: 1, 2, ..."""
    if not 0 < p < 1:
        raise ArgumentError("geometric_", f"p={p} is not within 0 to 1")
    u = uniform_values(self.array.shape, _wide(self.dtype), 0.0, 1.0, generator)
    tries = add(floor(true_divide(log1p(neg(u)), math.log1p(-p))), 1)
    return _in_place(self, tries, "geometric_")


guard(globals())
