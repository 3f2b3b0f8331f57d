"""Random numbers that are a function of (seed, stream, draw, element) alone. Floor 4.

Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011): element i of
draw n of stream s comes from the block with counter (i // 4, n, s) and the key `seed`, whatever the
threads and the shape. Every call that draws advances the generator by one draw.
"""

from __future__ import annotations

import contextlib
import functools
import math
import operator
import os
import struct
import threading
from collections.abc import Callable, Iterator
from typing import Any, final

import numpy as np
import numpy.typing as npt

from twofold.base import dtypes
from twofold.base.dtypes import DType
from twofold.base.errors import ArgumentError, DTypeError
from twofold.base.flags import flags
from twofold.base.types import Type
from twofold.ops.bind import bind, mode
from twofold.ops.op import Op, Sample, define
from twofold.ops.rules import as_tensor, check_sizes, sizes_of
from twofold.ops.stand_in import stands_in
from twofold.ops.tensor import Array, Tensor, type_of, wrap
from twofold.ops.writing import write

__all__ = [
    "Generator",
    "bernoulli",
    "default_generator",
    "get_rng_state",
    "initial_seed",
    "manual_seed",
    "multinomial",
    "normal",
    "rand",
    "rand_like",
    "randint",
    "randint_like",
    "randn",
    "randn_like",
    "randperm",
    "seed",
    "set_rng_state",
]

ROUNDS = 10
MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
WEYL = (0x9E3779B9, 0xBB67AE85)
LOW = np.uint64(0xFFFFFFFF)
HALF = np.uint64(32)
Words = npt.NDArray[np.uint32]


def philox(
    counter: tuple[Any, Any, Any, Any], key: tuple[int, int]
) -> tuple[Words, Words, Words, Words]:
    """Ten rounds of Philox4x32 on arrays of counter words; four arrays of u32."""
    a, b, c, d = (np.asarray(word, np.uint64) for word in counter)
    k0, k1 = key
    for _ in range(ROUNDS):
        first, second = a * MULTIPLIERS[0], c * MULTIPLIERS[1]
        a = (second >> HALF) ^ b ^ np.uint64(k0)
        c = (first >> HALF) ^ d ^ np.uint64(k1)
        b, d = second & LOW, first & LOW
        k0, k1 = (k0 + WEYL[0]) & 0xFFFFFFFF, (k1 + WEYL[1]) & 0xFFFFFFFF
    return a.astype(np.uint32), b.astype(np.uint32), c.astype(np.uint32), d.astype(np.uint32)


def random_words(count: int, seed: int, stream: int, draw: int) -> Words:
    """The first `count` words of a draw: word i is word i % 4 of block i // 4."""
    block = np.arange(-(-count // 4), dtype=np.uint64)
    counter = (block & LOW, block >> HALF, np.uint64(draw & 0xFFFFFFFF), np.uint64(stream))
    key = (seed & 0xFFFFFFFF, (seed >> 32) & 0xFFFFFFFF)
    return np.stack(philox(counter, key), axis=-1).reshape(-1)[:count]


@final
class Generator:
    """A stream of draws: (seed, stream, draw). Copies of its state give the same numbers again."""

    def __init__(self, device: Any = "cpu", *, seed: int | None = None, stream: int = 0) -> None:
        self.stream = stream
        self.manual_seed(_fresh_seed() if seed is None else seed)

    def manual_seed(self, seed: int) -> Generator:
        """Start again from `seed` (any integer; its low 64 bits count)."""
        try:
            number = operator.index(seed)
        except TypeError:
            problem = f"the seed {seed!r} is not a whole number"
            raise DTypeError("manual_seed", problem, hint="manual_seed(0)") from None
        self._seed = number & 0xFFFFFFFFFFFFFFFF
        self.draw = 0
        return self

    def seed(self) -> int:
        """Start again from a seed of the system's, and tell it."""
        self.manual_seed(_fresh_seed())
        return self._seed

    def initial_seed(self) -> int:
        return self._seed

    def next_draw(self) -> tuple[int, int, int]:
        """(seed, stream, draw) of a fresh draw."""
        draw = self.draw
        self.draw += 1
        return self._seed, self.stream, draw

    def get_state(self) -> Tensor:
        """The whole state, as u8[24]."""
        return wrap(
            np.frombuffer(struct.pack("<3Q", self._seed, self.stream, self.draw), np.uint8).copy()
        )

    def set_state(self, state: Tensor) -> Generator:
        """Go on where `get_state` was called."""
        if state.array.dtype != np.uint8 or state.array.shape != (24,):
            raise ArgumentError(
                "set_state", "not a state that get_state gave", state=type_of(state)
            )
        self._seed, self.stream, self.draw = struct.unpack("<3Q", state.array.tobytes())
        return self

    def __repr__(self) -> str:
        return f"Generator(seed={self._seed}, stream={self.stream}, draw={self.draw})"


def _fresh_seed() -> int:
    return int(flags.seed) if flags.seed else int.from_bytes(os.urandom(8), "little")


default_generator = Generator()


def manual_seed(seed: int) -> Generator:
    """Start the default stream again from `seed`."""
    return default_generator.manual_seed(seed)


def seed() -> int:
    return default_generator.seed()


def initial_seed() -> int:
    return default_generator.initial_seed()


def get_rng_state() -> Tensor:
    """The state of the default stream."""
    return default_generator.get_state()


def set_rng_state(state: Tensor) -> None:
    default_generator.set_state(state)


_own = threading.local()


def current_generator() -> Generator:
    """What a call without a generator draws from: the thread's own one in `drawing_from`, else the
    default.
    """
    return getattr(_own, "generator", None) or default_generator


@contextlib.contextmanager
def drawing_from(generator: Generator) -> Iterator[None]:
    """In the block, what this thread draws without naming a generator comes from this one."""
    before = getattr(_own, "generator", None)
    _own.generator = generator
    try:
        yield
    finally:
        _own.generator = before


def _words(state: Array, count: int) -> Words:
    seed, stream, draw = map(int, state)
    return random_words(count, seed, stream, draw)


def _uniform(state: Array, *, shape: tuple[int, ...], dtype: DType) -> Array:
    """float32: 24 bits of word i; float64: 53 bits of words 2 i and 2 i + 1."""
    size = math.prod(shape)
    if dtype is dtypes.float32:
        words = _words(state, size)
        return ((words >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-24)).reshape(shape)
    wide = _words(state, 2 * size).astype(np.uint64)
    bits = (wide[0::2] >> np.uint64(5)) * np.uint64(1 << 26) + (wide[1::2] >> np.uint64(6))
    return (bits.astype(np.float64) * 2.0**-53).reshape(shape)


def _normal(state: Array, *, shape: tuple[int, ...], dtype: DType) -> Array:
    """Box and Muller (1958): sqrt(-2 log(1 - u)) cos(2 pi v); u is word 2 i and v word 2 i + 1."""
    words = _words(state, 2 * math.prod(shape))
    kind: Any = dtype.numpy.type
    u = (words[0::2] >> np.uint32(8)).astype(kind) * kind(2.0**-24)
    v = (words[1::2] >> np.uint32(8)).astype(kind) * kind(2.0**-24)
    made: Array = np.sqrt(kind(-2) * np.log1p(-u)) * np.cos(kind(2 * math.pi) * v)
    return made.astype(dtype.numpy).reshape(shape)


def _source(name: str, ref: Any, doc: str) -> Op:
    return define(
        f"random_{name}",
        inputs="state",
        attrs=("shape", "dtype"),
        doc=f"{doc}, float32 or float64, of the draw of state u64[3] = (seed, stream, draw).",
        infer=lambda state, *, shape, dtype: Type(shape, dtype),
        ref=ref,
        lower=f"random_{name}",
        samples=lambda r: [
            Sample((np.array([7, 0, 3], np.uint64), (5,), dtypes.float32)),
            Sample((np.array([7, 1, 3], np.uint64), (2, 40), dtypes.float64)),
        ],
        torch=False,
    )


UNIFORM = _source("uniform", _uniform, "Uniform numbers in [0, 1)")
NORMAL = _source("normal", _normal, "Standard normal numbers")


# How many numbers of the half types lie evenly in [0, 1).
STEPS = {dtypes.float16: np.float32(2**11), dtypes.bfloat16: np.float32(2**8)}


def _drawn(op: Op, shape: tuple[int, ...], dtype: DType, generator: Generator | None) -> Array:
    if dtype.kind != "f":
        raise DTypeError(
            op.name, f"{dtype.name} is not a floating type", hint="randint for integers"
        )
    check_sizes(op.name.removeprefix("random_"), shape)
    wide = dtype if dtype is dtypes.float64 else dtypes.float32
    state = np.array((generator or current_generator()).next_draw(), np.uint64)
    made: Array = bind(op, (wrap(state),), (shape, wide)).array
    if op is UNIFORM and dtype in STEPS:
        # cut, not rounded: a number just below 1 must not become 1
        made = np.floor(made * STEPS[dtype]) / STEPS[dtype]
    return dtypes.convert(made, dtype)


def uniform_values(
    shape: Any, dtype: DType, low: float, high: float, generator: Generator | None = None
) -> Array:
    """low + (high - low) * u as an array."""
    if low > high:
        raise ArgumentError("uniform_", f"nothing lies from {low} to {high}")
    made = _drawn(UNIFORM, tuple(shape), dtype, generator)
    if (low, high) == (0.0, 1.0):
        return made
    wide = dtypes.convert(made, dtypes.float64 if dtype is dtypes.float64 else dtypes.float32)
    kind: Any = wide.dtype.type
    return dtypes.convert(wide * kind(high - low) + kind(low), dtype)


def normal_values(
    shape: Any, dtype: DType, mean: float, std: float, generator: Generator | None = None
) -> Array:
    """mean + std * z as an array."""
    _check_std("normal", std)
    made = _drawn(NORMAL, tuple(shape), dtype, generator)
    wide = dtypes.convert(made, dtypes.float64 if dtype is dtypes.float64 else dtypes.float32)
    kind: Any = wide.dtype.type
    return dtypes.convert(wide * kind(std) + kind(mean), dtype)


def integer_values(
    shape: Any, low: int, high: int, generator: Generator | None = None
) -> npt.NDArray[np.int64]:
    """Integers in [low, high), each from 64 bits by the high half of a product (bias below 2^-32
    for short ranges).
    """
    check_sizes("randint", shape)
    if high <= low:
        raise ArgumentError("randint", f"nothing lies in [{low}, {high})", hint="high > low")
    words = random_words(
        2 * math.prod(shape), *(generator or current_generator()).next_draw()
    ).astype(np.uint64)
    span = high - low
    if span <= 1 << 32:
        wide = words[0::2] * np.uint64(span)
        carry = (words[1::2] * np.uint64(span)) >> HALF
        return (((wide + carry) >> HALF).astype(np.int64) + low).reshape(shape)
    bits = (words[0::2] << HALF) | words[1::2]
    return ((bits % np.uint64(span)).astype(np.int64) + low).reshape(shape)


def per_lane(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The function, whose draws a transform may want to be different for each lane (vmap)."""

    @functools.wraps(function)
    def drawn(*args: Any, **kwargs: Any) -> Tensor:
        draw = getattr(mode.interpreter, "draw", None)
        if draw is None:
            return function(*args, **kwargs)
        return draw(drawn, args, kwargs)  # type: ignore[no-any-return]

    return drawn


@per_lane
def dropout_mask(shape: Any, dtype: DType, p: float, generator: Generator | None = None) -> Tensor:
    """1 / (1 - p) with probability 1 - p, else 0."""
    wide = dtypes.float64 if dtype is dtypes.float64 else dtypes.float32
    kept = _drawn(UNIFORM, tuple(shape), wide, generator) >= p
    kind: Any = wide.numpy.type
    scale = kind(0 if p == 1 else 1 / (1 - p))
    return wrap(dtypes.convert(kept * scale, dtype))


def _made(values: Any, requires_grad: bool) -> Tensor:
    made = wrap(values)
    made.tracked = requires_grad
    return made


def _floating(dtype: Any) -> DType:
    return dtypes.default_dtype() if dtype is None else dtypes.as_dtype(dtype)


@per_lane
def rand(
    *size: Any,
    generator: Any = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Uniform numbers in [0, 1)."""
    return _made(
        uniform_values(sizes_of("rand", size), _floating(dtype), 0.0, 1.0, generator), requires_grad
    )


@per_lane
def randn(
    *size: Any,
    generator: Any = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Standard normal numbers."""
    return _made(
        normal_values(sizes_of("randn", size), _floating(dtype), 0.0, 1.0, generator), requires_grad
    )


@per_lane
def randint(
    low: int,
    high: Any = None,
    size: Any = None,
    *,
    generator: Any = None,
    dtype: Any = None,
    device: Any = None,
) -> Tensor:
    """Integers in [low, high), or [0, low) when called as randint(high, size)."""
    if size is None:
        low, high, size = 0, low, high
    if size is None:
        raise ArgumentError("randint", "no size is given", hint="randint(high, (2, 3))")
    values = integer_values(sizes_of("randint", (size,)), int(low), int(high), generator)
    return wrap(dtypes.convert(values, dtypes.int64 if dtype is None else dtypes.as_dtype(dtype)))


@per_lane
def randperm(n: int, *, generator: Any = None, dtype: Any = None, device: Any = None) -> Tensor:
    """The numbers 0 to n - 1 in random order: those of a draw, ranked."""
    check_sizes("randperm", (n,))
    words = random_words(2 * n, *(generator or current_generator()).next_draw()).astype(np.uint64)
    order = np.argsort((words[0::2] << HALF) | words[1::2], kind="stable")
    return wrap(
        dtypes.convert(
            order.astype(np.int64), dtypes.int64 if dtype is None else dtypes.as_dtype(dtype)
        )
    )


def rand_like(
    input: Tensor,
    *,
    generator: Any = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    shape, kind = input.array.shape, dtype or input.dtype
    return rand(shape, generator=generator, dtype=kind, requires_grad=requires_grad)


def randn_like(
    input: Tensor,
    *,
    generator: Any = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    shape, kind = input.array.shape, dtype or input.dtype
    return randn(shape, generator=generator, dtype=kind, requires_grad=requires_grad)


def randint_like(
    input: Tensor,
    low: int,
    high: Any = None,
    *,
    generator: Any = None,
    dtype: Any = None,
    device: Any = None,
) -> Tensor:
    low, high = (0, low) if high is None else (low, high)
    kind = dtype or input.dtype
    return randint(low, high, input.array.shape, generator=generator, dtype=kind)


@per_lane
def normal(mean: Any = 0.0, std: Any = 1.0, size: Any = None, *, generator: Any = None) -> Tensor:
    """Normal numbers with means and deviations that are numbers (with `size`) or tensors."""
    if size is not None:
        shape = sizes_of("normal", (size,))
        return wrap(normal_values(shape, dtypes.default_dtype(), mean, std, generator))
    mean, std = as_tensor(mean, "normal", "mean"), as_tensor(std, "normal", "std")
    _check_std("normal", std.array)
    shape = np.broadcast_shapes(mean.array.shape, std.array.shape)
    dtype = mean.dtype if mean.dtype.kind == "f" else std.dtype
    z = normal_values(shape, dtype, 0.0, 1.0, generator)
    return wrap(np.asarray(mean.array + std.array * z, dtype.numpy))


def _check_std(op: str, std: Any) -> None:
    if not np.all(np.asarray(std) >= 0):
        raise ArgumentError(op, "a standard deviation is negative", hint="std >= 0")


@per_lane
def bernoulli(input: Tensor, p: float | None = None, *, generator: Any = None) -> Tensor:
    """1 with the probability that each element of input f[...] gives (or p, if given), else 0."""
    chance: Any = dtypes.convert(input.array, dtypes.float64) if p is None else p
    _check_chance("bernoulli", chance)
    u = uniform_values(input.array.shape, dtypes.float64, 0.0, 1.0, generator)
    return wrap(dtypes.convert(u < chance, input.dtype))


def _check_chance(op: str, p: Any) -> None:
    if np.size(p) and not (np.min(p) >= 0 and np.max(p) <= 1):
        raise ArgumentError(op, "probabilities must lie in 0 to 1", hint="x.sigmoid() of scores")


@per_lane
def multinomial(
    input: Tensor, num_samples: int, replacement: bool = False, *, generator: Any = None
) -> Tensor:
    """`num_samples` class numbers i64 from weights f[C] or f[N, C], drawn with or without
    replacement.
    """
    weights = np.atleast_2d(input.array).astype(np.float64)
    if not (
        np.isfinite(weights).all() and (weights >= 0).all() and (weights.sum(axis=1) > 0).all()
    ):
        raise ArgumentError(
            "multinomial",
            "weights must be finite, not negative, and not all 0",
            hint="x.softmax(-1) of scores",
            input=type_of(input),
        )
    if not replacement and num_samples > (weights > 0).sum(axis=1).min():
        raise ArgumentError(
            "multinomial", f"{num_samples} samples from fewer classes", hint="replacement=True"
        )
    if replacement:
        edges = np.cumsum(weights, axis=1)
        u = (
            uniform_values((len(weights), num_samples), dtypes.float64, 0.0, 1.0, generator)
            * edges[:, -1:]
        )
        found = np.array([np.searchsorted(e, r, "right") for e, r in zip(edges, u, strict=True)])
        made = np.minimum(found, weights.shape[1] - 1)
    else:
        # the smallest of exponential clocks (Efraimidis, Spirakis 2006)
        u = uniform_values(weights.shape, dtypes.float64, 0.0, 1.0, generator)
        with np.errstate(divide="ignore"):
            clocks = np.where(weights > 0, -np.log1p(-u) / weights, np.inf)
        made = np.argsort(clocks, axis=1, kind="stable")[:, :num_samples]
    return wrap(made.astype(np.int64).reshape((*input.array.shape[:-1], num_samples)))


def _in_place(x: Tensor, values: Any, op: str) -> Tensor:
    array: Any = x.array
    if stands_in(array):
        array.refuse("it is filled with random numbers; x = rand_like(x) makes new ones")
    return write(x, wrap(dtypes.convert(np.asarray(values), x.dtype)), op)


def uniform_(self: Tensor, from_: float = 0.0, to: float = 1.0, *, generator: Any = None) -> Tensor:
    """Fill with uniform numbers in [from, to)."""
    return _in_place(
        self, uniform_values(self.array.shape, self.dtype, from_, to, generator), "uniform_"
    )


def normal_(self: Tensor, mean: float = 0.0, std: float = 1.0, *, generator: Any = None) -> Tensor:
    """Fill with normal numbers."""
    return _in_place(
        self, normal_values(self.array.shape, self.dtype, mean, std, generator), "normal_"
    )


def exponential_(self: Tensor, lambd: float = 1.0, *, generator: Any = None) -> Tensor:
    """Fill with exponential numbers of rate `lambd`."""
    wide = dtypes.float64 if self.dtype is dtypes.float64 else dtypes.float32
    u = uniform_values(self.array.shape, wide, 0.0, 1.0, generator)
    return _in_place(self, -np.log1p(-u) / lambd, "exponential_")


def bernoulli_(self: Tensor, p: Any = 0.5, *, generator: Any = None) -> Tensor:
    """Fill with 1 with probability p (a number or a tensor), else 0."""
    chance = dtypes.convert(p.array, dtypes.float64) if isinstance(p, Tensor) else p
    _check_chance("bernoulli_", chance)
    u = uniform_values(self.array.shape, dtypes.float64, 0.0, 1.0, generator)
    return _in_place(self, dtypes.convert(np.asarray(u < chance), self.dtype), "bernoulli_")


def random_(
    self: Tensor, from_: int | None = None, to: int | None = None, *, generator: Any = None
) -> Tensor:
    """Fill with integers: `random_(to)` in [0, to), `random_(from_, to)` in [from_, to)."""
    low, high = (0, from_) if to is None else (from_ or 0, to)
    if high is None:
        high = 1 << 24 if self.dtype.kind == "f" else int(np.iinfo(self.array.dtype).max) + 1
    return _in_place(self, integer_values(self.array.shape, low, high, generator), "random_")
