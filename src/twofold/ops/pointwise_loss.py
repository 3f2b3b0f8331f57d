"""Losses of one prediction and one target: formulas, each one kernel both ways. Floor 4."""

from __future__ import annotations

from typing import Any

from twofold.ops.formula import pointwise
from twofold.ops.op import FLOAT, Sample


def _between(low: float, high: float) -> Any:
    """Samples of a prediction within two bounds and a target in 0 to 1, before the attributes."""

    def samples(random: Any) -> list[Sample]:
        shapes = [(3, 4), (), (0,), (70,)]
        return [Sample((random.uniform(low, high, s), random.uniform(0.1, 0.9, s))) for s in shapes]

    return samples


def _with(value: float, samples: Any) -> Any:
    return lambda random: [s._replace(args=(*s.args, value)) for s in samples(random)]


def _held(m: Any, x: Any) -> Any:
    """A logarithm, at -100 at the least."""
    return m.where(m.lt(x, -100.0), -100.0, x)


def _bce_slope(m: Any, g: Any, p: Any, t: Any) -> Any:
    spread = p * (1.0 - p)
    return g * (p - t) / m.where(m.lt(spread, 1e-12), 1e-12, spread)


BCE = pointwise(
    "binary_cross_entropy",
    lambda m, p, t: (t - 1.0) * _held(m, m.log1p(-p)) - t * _held(m, m.log(p)),
    inputs="input target",
    saves="input target",
    slopes=(
        _bce_slope,
        lambda m, g, p, t: g * (_held(m, m.log1p(-p)) - _held(m, m.log(p))),
    ),
    doc="-(t log p + (1 - t) log(1 - p)) with logarithms of -100 at the least.",
    samples=_between(0.1, 0.9),
    torch=lambda p, t: (t - 1) * (-p).log1p().clamp(min=-100) - t * p.log().clamp(min=-100),
)

BCE_LOGITS = pointwise(
    "binary_cross_entropy_with_logits",
    lambda m, x, t: m.where(m.lt(x, 0.0), 0.0, x) - x * t + m.log1p(m.exp(-m.abs(x))),
    inputs="input target",
    saves="input target",
    slopes=(lambda m, g, x, t: g * (m.sigmoid(x) - t), lambda m, g, x, t: -g * x),
    doc="-(t log sigmoid(x) + (1 - t) log(1 - sigmoid(x))), without overflow for large |x|.",
    samples=_between(-4.0, 4.0),
    torch=False,
)


def _smooth_l1(m: Any, x: Any, t: Any, beta: float) -> Any:
    d = x - t
    size = m.abs(d)
    return m.where(m.lt(size, beta), d * d * (0.5 / beta), size - 0.5 * beta)


SMOOTH_L1 = pointwise(
    "smooth_l1",
    _smooth_l1,
    inputs="input target",
    attrs=("beta",),
    doc="Quadratic below beta, linear above (Girshick 2015).",
    samples=_with(0.7, _between(1.9, 4.0)),
    torch=False,
)


def _huber(m: Any, x: Any, t: Any, delta: float) -> Any:
    d = x - t
    size = m.abs(d)
    return m.where(m.lt(size, delta), d * d * 0.5, (size - 0.5 * delta) * delta)


HUBER = pointwise(
    "huber",
    _huber,
    inputs="input target",
    attrs=("delta",),
    doc="Quadratic below delta, linear above (Huber 1964).",
    samples=_with(0.7, _between(1.9, 4.0)),
    torch=False,
)

SQUARED = pointwise(
    "squared_error",
    lambda m, x, t: (x - t) * (x - t),
    inputs="input target",
    accepts=FLOAT,
    doc="(x - t)^2.",
    samples=_between(-2.0, 2.0),
    torch=False,
)
