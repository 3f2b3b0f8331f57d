"""Gradients against finite differences, in float64. Floor 8."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from twofold.autograd.api import grad
from twofold.base.errors import ArgumentError, GradientError
from twofold.ops.tensor import Tensor, type_of, wrap

Function = Callable[..., Any]


def gradcheck(
    func: Function,
    inputs: Tensor | Sequence[Any],
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
) -> bool:
    """Whether the gradients of func agree with central differences of step `eps`.

    inputs: float64 or complex128 tensors, those that require a gradient are checked. Raises
    GradientError with both numbers and their place, unless raise_exception is False.
    """
    values = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    checked = [x for x in values if isinstance(x, Tensor) and x.tracked]
    for x in checked:
        if x.array.dtype not in (np.float64, np.complex128):
            raise ArgumentError(
                "gradcheck", "inputs must be float64", hint="x.double()", input=type_of(x)
            )
    if not checked:
        raise ArgumentError("gradcheck", "no input requires a gradient", hint="x.requires_grad_()")
    try:
        for index, out in enumerate(_outputs(func, values)):
            if out.array.dtype.kind in "fc":
                _check_output(func, values, checked, index, eps, atol, rtol)
    except GradientError:
        if raise_exception:
            raise
        return False
    return True


def gradgradcheck(func: Function, inputs: Tensor | Sequence[Any], **options: Any) -> bool:
    """The same for the gradients of the gradients."""
    values = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    outs = [x for x in _outputs(func, values) if x.tracked]
    random = np.random.default_rng(0)
    weights = [_tracked(wrap(_direction(random, x.array))) for x in outs]

    def first(*arguments: Any) -> Any:
        inner, given = arguments[: len(values)], arguments[len(values) :]
        made = [x for x in _outputs(func, inner) if x.tracked]
        wanted = [x for x in inner if isinstance(x, Tensor) and x.tracked]
        found = grad(made, wanted, given, create_graph=True, allow_unused=True)
        return tuple(g for g in found if g is not None)

    return gradcheck(first, (*values, *weights), **options)


def _tracked(x: Tensor) -> Tensor:
    x.tracked = True
    return x


def _direction(random: Any, like: Any) -> Any:
    made = random.normal(size=like.shape)
    return np.asarray(
        made + 1j * random.normal(size=like.shape) if like.dtype.kind == "c" else made, like.dtype
    )


def _outputs(func: Function, values: tuple[Any, ...]) -> tuple[Tensor, ...]:
    made = func(*values)
    return tuple(made) if isinstance(made, tuple | list) else (made,)


def _check_output(
    func: Function,
    values: tuple[Any, ...],
    checked: list[Tensor],
    index: int,
    eps: float,
    atol: float,
    rtol: float,
) -> None:
    random = np.random.default_rng(index)
    out = _outputs(func, values)[index]
    weight = _direction(random, out.array)
    found: Any = [None] * len(checked)
    if out.tracked:
        found = grad(out, checked, wrap(weight), allow_unused=True)

    def value() -> float:
        return float(np.sum(np.conj(weight) * _outputs(func, values)[index].array).real)

    for number, (x, g) in enumerate(zip(checked, found, strict=True)):
        exact = np.zeros_like(x.array) if g is None else g.array
        numeric = differences(x.array, value, eps)
        bad = ~np.isclose(exact, numeric, rtol=rtol, atol=atol, equal_nan=True)
        if bad.any():
            place = tuple(int(i) for i in np.argwhere(np.atleast_1d(bad))[0])
            raise GradientError(
                "gradcheck",
                f"the gradient of output {index} by input {number} is wrong at {place}",
                found=np.atleast_1d(exact)[place],
                finite_difference=np.atleast_1d(numeric)[place],
                input=type_of(x),
            )


def differences(array: Any, value: Callable[[], float], eps: float) -> Any:
    """d value / d array by central differences; complex arrays along both axes (PyTorch's
    convention).
    """
    made = np.zeros_like(array)
    for place in np.ndindex(array.shape):
        made[place] = _difference(array, place, eps, value)
        if array.dtype.kind == "c":
            made[place] += 1j * _difference(array, place, 1j * eps, value)
    return made


def _difference(array: Any, place: Any, step: Any, value: Callable[[], float]) -> float:
    before = array[place]
    array[place] = before + step
    above = value()
    array[place] = before - step
    below = value()
    array[place] = before
    return float((above - below) / (2 * abs(step)))
