"""Values to begin with: random ones, and initializers. Floor 13."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from twofold.base.dtypes import as_dtype, float32
from twofold.frontends.session import current_graph
from twofold.ops import creation, generators, random
from twofold.ops.decompose import qr
from twofold.ops.tensor import Tensor
from twofold.ops.transcendental import erfinv

Initializer = Callable[..., Tensor]
CUT = 0.87962566103423978  # the deviation of a normal distribution that is cut at two deviations


def seed(number: int) -> None:
    generators.manual_seed(number)


def _generator(seed: int | None) -> Any:
    current_graph("random")
    return None if seed is None else generators.Generator(seed=seed)


def _sizes(shape: Any) -> tuple[Any, ...]:
    return tuple(shape) if isinstance(shape, Sequence) else (shape,)


def random_normal(
    shape: Any,
    mean: Any = 0.0,
    stddev: Any = 1.0,
    dtype: Any = float32,
    seed: int | None = None,
    name: str | None = None,
) -> Tensor:
    """Normal numbers, fresh ones for each run."""
    drawn = random.randn(_sizes(shape), dtype=as_dtype(dtype), generator=_generator(seed))
    return drawn * stddev + mean  # type: ignore[no-any-return]


def truncated_normal(
    shape: Any,
    mean: Any = 0.0,
    stddev: Any = 1.0,
    dtype: Any = float32,
    seed: int | None = None,
    name: str | None = None,
) -> Tensor:
    """Normal numbers within two deviations of the mean, by inversion of their distribution."""
    drawn = random.rand(_sizes(shape), dtype=as_dtype(dtype), generator=_generator(seed))
    inside = math.erf(math.sqrt(2))
    return erfinv((drawn * 2 - 1) * inside) * (math.sqrt(2) * stddev) + mean  # type: ignore[no-any-return]


def random_uniform(
    shape: Any,
    minval: Any = 0,
    maxval: Any = None,
    dtype: Any = float32,
    seed: int | None = None,
    name: str | None = None,
) -> Tensor:
    """Numbers of [minval, maxval); whole ones for whole types."""
    wanted = as_dtype(dtype)
    source = _generator(seed)
    if wanted.kind == "i":
        return random.randint(minval, maxval, _sizes(shape), dtype=wanted, generator=source)
    high = 1.0 if maxval is None else maxval
    drawn = random.rand(_sizes(shape), dtype=wanted, generator=source)
    return drawn * (high - minval) + minval  # type: ignore[no-any-return]


# ---- initializers: functions of shape and dtype --------------------------------------------------


def zeros_initializer(dtype: Any = float32) -> Initializer:
    return constant_initializer(0, dtype)


def ones_initializer(dtype: Any = float32) -> Initializer:
    return constant_initializer(1, dtype)


def constant_initializer(value: Any = 0, dtype: Any = float32, **_: Any) -> Initializer:
    def made(shape: Any, dtype: Any = dtype, **_: Any) -> Tensor:
        current_graph("constant_initializer")
        if isinstance(value, int | float):
            return creation.full(_sizes(shape), value, dtype=as_dtype(dtype))
        return creation.tensor(value, dtype=as_dtype(dtype)).expand(_sizes(shape))  # type: ignore[attr-defined, no-any-return]

    return made


def random_normal_initializer(
    mean: Any = 0.0, stddev: Any = 1.0, seed: int | None = None, dtype: Any = float32
) -> Initializer:
    return lambda shape, dtype=dtype, **_: random_normal(shape, mean, stddev, dtype, seed)


def truncated_normal_initializer(
    mean: Any = 0.0, stddev: Any = 1.0, seed: int | None = None, dtype: Any = float32
) -> Initializer:
    return lambda shape, dtype=dtype, **_: truncated_normal(shape, mean, stddev, dtype, seed)


def random_uniform_initializer(
    minval: Any = -0.05, maxval: Any = 0.05, seed: int | None = None, dtype: Any = float32
) -> Initializer:
    return lambda shape, dtype=dtype, **_: random_uniform(shape, minval, maxval, dtype, seed)


def glorot_uniform_initializer(seed: int | None = None, dtype: Any = float32) -> Initializer:
    """Uniform, with the deviation that keeps variances through a layer (Glorot, Bengio 2010)."""

    def made(shape: Any, dtype: Any = dtype, **_: Any) -> Tensor:
        inside, outside = fans(_sizes(shape))
        limit = math.sqrt(6 / (inside + outside))
        return random_uniform(shape, -limit, limit, dtype, seed)

    return made


def glorot_normal_initializer(seed: int | None = None, dtype: Any = float32) -> Initializer:
    def made(shape: Any, dtype: Any = dtype, **_: Any) -> Tensor:
        inside, outside = fans(_sizes(shape))
        deviation = math.sqrt(2 / (inside + outside)) / CUT
        return truncated_normal(shape, 0.0, deviation, dtype, seed)

    return made


def variance_scaling_initializer(
    scale: float = 1.0,
    mode: str = "fan_in",
    distribution: str = "truncated_normal",
    seed: int | None = None,
    dtype: Any = float32,
) -> Initializer:
    """Numbers of variance scale / n, n being what goes in ("fan_in"), comes out ("fan_out"), or the
    mean of both ("fan_avg").
    """

    def made(shape: Any, dtype: Any = dtype, **_: Any) -> Tensor:
        inside, outside = fans(_sizes(shape))
        counts = {"fan_in": inside, "fan_out": outside, "fan_avg": (inside + outside) / 2}
        deviation = math.sqrt(scale / max(counts[mode], 1))
        if distribution == "uniform":
            limit = deviation * math.sqrt(3)
            return random_uniform(shape, -limit, limit, dtype, seed)
        return truncated_normal(shape, 0.0, deviation / CUT, dtype, seed)

    return made


def orthogonal_initializer(
    gain: float = 1.0, seed: int | None = None, dtype: Any = float32
) -> Initializer:
    """A matrix with orthogonal rows or columns (Saxe et al. 2014, arXiv:1312.6120)."""

    def made(shape: Any, dtype: Any = dtype, **_: Any) -> Tensor:
        sizes = _sizes(shape)
        rows, columns = math.prod(sizes[:-1]), sizes[-1]
        high, low = max(rows, columns), min(rows, columns)
        q, r = qr(random_normal((high, low), dtype=dtype, seed=seed))
        q = q * r.diagonal().sign()  # type: ignore[attr-defined]
        return (q if rows >= columns else q.T).reshape(sizes) * gain  # type: ignore[no-any-return]

    return made


def fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """How many numbers go into and come out of each unit of a layer with such weights."""
    if len(shape) < 2:
        size = math.prod(shape)
        return size, size
    field = math.prod(shape[:-2])
    return shape[-2] * field, shape[-1] * field
