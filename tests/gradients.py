"""Gradients against finite differences along random directions: cheap, and to second order."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from twofold.autograd.api import grad
from twofold.ops.tensor import Tensor, type_of, wrap

STEP = 1e-6


def outputs(made: Any) -> list[Tensor]:
    """The outputs that have a gradient."""
    several = made if isinstance(made, tuple | list) else (made,)
    return [x for x in several if isinstance(x, Tensor) and x.tracked]


def direction(random: Any, like: Any) -> Any:
    made = random.normal(size=like.shape)
    if like.dtype.kind == "c":
        made = made + 1j * random.normal(size=like.shape)
    return np.asarray(made, like.dtype)


def inner(a: Any, b: Any) -> float:
    return float(np.sum(np.conj(a) * b).real)


def check(function: Callable[..., Any], inputs: Sequence[Tensor], order: int = 2) -> None:
    """Assert that the gradients of `function` by its tracked float64 inputs are right."""
    random = np.random.default_rng(5)
    wanted = [x for x in inputs if x.tracked]
    made = outputs(function(*inputs))
    weights = [wrap(direction(random, y.array)) for y in made]
    for w in weights:
        w.tracked = order > 1

    def first(*arguments: Tensor) -> list[Tensor | None]:
        xs, ws = arguments[: len(inputs)], arguments[len(inputs) :]
        ys = outputs(function(*xs))
        targets = [x for x in xs if x.tracked]
        return list(grad(ys, targets, ws, create_graph=order > 1, allow_unused=True))

    found = first(*inputs, *weights)
    _compare(lambda: _value(function(*inputs), weights), wanted, found, random, "first order")
    if order == 1:
        return
    seconds = [g for g in found if g is not None and g.tracked]
    again = [wrap(direction(random, g.array)) for g in seconds]
    targets = [*wanted, *weights]
    if not seconds:
        return
    found = grad(seconds, targets, again, allow_unused=True)

    def value() -> float:
        gs = [g for g in first(*inputs, *weights) if g is not None and g.tracked]
        return sum(inner(w.array, g.array) for w, g in zip(again, gs, strict=True))

    _compare(value, targets, found, random, "second order")


def _value(made: Any, weights: Sequence[Tensor]) -> float:
    return sum(inner(w.array, y.array) for w, y in zip(weights, outputs(made), strict=True))


def _compare(
    value: Callable[[], float], targets: Sequence[Tensor], found: Any, random: Any, what: str
) -> None:
    for number, (x, g) in enumerate(zip(targets, found, strict=True)):
        step = direction(random, x.array)
        kept = x.array
        x.array = np.asarray(kept + STEP * step)
        above = value()
        x.array = np.asarray(kept - STEP * step)
        below = value()
        x.array = kept
        numeric = (above - below) / (2 * STEP)
        exact = 0.0 if g is None else inner(g.array, step)
        close = np.isclose(exact, numeric, rtol=1e-5, atol=1e-5)
        assert close, f"{what}, input {number} {type_of(x)}: {exact} is not {numeric}"
