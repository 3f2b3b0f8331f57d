"""Gradients against finite differences, in float64. Floor 8."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from twofold.autograd.api import grad
from twofold.base.errors import ArgumentError, GradientError
from twofold.ops.tensor import Tensor, type_of, wrap

Function = Callable[..., Any]
FORWARD = "twofold.autograd.forward"  # imported when it is asked for

# PyTorch's options of what has one way here, so that there is nothing to compare.
OPTIONS = {
    "check_backward_ad", "check_batched_forward_grad", "check_batched_grad", "check_grad_dtypes",
    "check_undefined_grad", "check_fwd_over_rev", "check_rev_over_rev", "fast_mode",
    "gen_non_contig_grad_outputs", "masked", "nondet_tol",
}  # fmt: skip


NARROW_STEP = 1e-3  # below it differences of float32 are noise


def _check_options(checks: dict[str, Any]) -> None:
    unknown = checks.keys() - OPTIONS
    if unknown:
        raise TypeError(f"gradcheck() got an unexpected keyword argument {unknown.pop()!r}")


def gradcheck(
    func: Function,
    inputs: Tensor | Sequence[Any],
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    check_forward_ad: bool = False,
    **checks: Any,
) -> bool:
    """Whether the gradients of func agree with central differences of step `eps`.

    inputs: float64 or complex128 tensors, those that require a gradient are checked; float32 and
    complex64 only with an eps that is wide enough for them. Raises
    GradientError with both numbers and their place, unless raise_exception is False. With
    check_forward_ad forward mode is compared too. PyTorch's further options (fast_mode, nondet_tol,
    check_batched_grad, ...) are taken, and change nothing: every element is compared.
    """
    _check_options(checks)
    values = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    checked = [x for x in values if isinstance(x, Tensor) and x.tracked]
    for x in checked:
        narrow = x.array.dtype not in (np.float64, np.complex128)
        if narrow and (eps < NARROW_STEP or x.array.dtype not in (np.float32, np.complex64)):
            hint = f"x.double(); or for float32 eps={NARROW_STEP} or more, and atol=1e-2"
            problem = "inputs must be float64"
            raise ArgumentError("gradcheck", problem, hint=hint, input=type_of(x))
    if not checked:
        raise ArgumentError("gradcheck", "no input requires a gradient", hint="x.requires_grad_()")
    try:
        for index, out in enumerate(_outputs(func, values)):
            if out.array.dtype.kind in "fc":
                _check_output(func, values, checked, index, eps, atol, rtol)
        if check_forward_ad:
            _check_forward(func, values, checked, eps, atol, rtol)
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


def _check_forward(
    func: Function, values: tuple[Any, ...], checked: list[Tensor], eps: float, *near: float
) -> None:
    """Slopes in a direction that is drawn, against differences along it."""
    random = np.random.default_rng(1)
    directions = [_direction(random, x.array) for x in checked]
    wanted = {id(x) for x in checked}

    def of_checked(*given: Tensor) -> tuple[Tensor, ...]:
        inner = iter(given)
        return _outputs(func, tuple(next(inner) if id(v) in wanted else v for v in values))

    jvp = importlib.import_module(FORWARD).jvp
    slopes = jvp(of_checked, tuple(checked), tuple(map(wrap, directions)))[1]
    ends = []
    for step in (eps, -eps):
        moved = [wrap(x.array + step * d) for x, d in zip(checked, directions, strict=True)]
        ends.append([x.array for x in of_checked(*moved)])
    for index, (slope, above, below) in enumerate(zip(slopes, *ends, strict=True)):
        numeric = (above - below) / (2 * eps)
        if above.dtype.kind in "fc" and not np.allclose(slope.array, numeric, near[1], near[0]):
            problem = f"the slope of output {index} in forward mode is wrong"
            raise GradientError("gradcheck", problem, found=slope.array, finite_difference=numeric)


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
