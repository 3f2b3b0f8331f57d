"""Activations that may write into their input, `inplace=True`, and random ones. Floor 10."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from twofold.base.errors import ArgumentError
from twofold.nn.init import uniform_
from twofold.ops import composite
from twofold.ops.compare import gt, where
from twofold.ops.creation_like import empty_like, zeros_like
from twofold.ops.elementwise import mul
from twofold.ops.guarding import guard
from twofold.ops.normalize import softmax
from twofold.ops.tensor import Tensor
from twofold.ops.writers import in_place

POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def may_write(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The function with a last parameter `inplace`: whether the result goes into the input's
    memory.
    """
    parameters = inspect.signature(function).parameters.values()
    count = sum(p.kind in POSITIONAL for p in parameters)
    written = in_place(function.__name__, function)

    @functools.wraps(function)
    def activation(*args: Any, inplace: bool = False, **options: Any) -> Tensor:
        if len(args) > count:
            args, inplace = args[:count], args[count]
        return written(*args, **options) if inplace else function(*args, **options)

    activation.__module__ = __name__  # where pickle finds it
    return activation


relu = may_write(composite.relu)
relu6 = may_write(composite.relu6)
elu = may_write(composite.elu)
selu = may_write(composite.selu)
celu = may_write(composite.celu)
leaky_relu = may_write(composite.leaky_relu)
hardtanh = may_write(composite.hardtanh)
hardsigmoid = may_write(composite.hardsigmoid)
hardswish = may_write(composite.hardswish)
silu = may_write(composite.silu)
mish = may_write(composite.mish)
threshold = may_write(composite.threshold)


def rrelu(
    input: Tensor,
    lower: float = 1.0 / 8,
    upper: float = 1.0 / 3,
    training: bool = False,
    inplace: bool = False,
) -> Tensor:
    """input, times a slope where it is negative: uniform in [lower, upper] while training, else
    their mean.
    """
    if lower > upper:
        raise ArgumentError(
            "rrelu", f"lower = {lower} is above upper = {upper}", hint="lower <= upper"
        )
    if not training:
        return leaky_relu(input, (lower + upper) / 2, inplace=inplace)
    slope = uniform_(empty_like(input), lower, upper)
    made = where(gt(input, 0), input, mul(input, slope))
    return input.copy_(made) if inplace else made  # type: ignore[attr-defined, no-any-return]


def gumbel_softmax(
    logits: Tensor, tau: float = 1.0, hard: bool = False, eps: float = 1e-10, dim: int = -1
) -> Tensor:
    """A differentiable sample of a class (Jang et al. 2016); hard: one-hot, with the soft one's
    gradient.
    """
    noise = -empty_like(logits).exponential_().log()  # type: ignore[attr-defined]
    soft = softmax((logits + noise) / tau, dim)
    if not hard:
        return soft
    places = soft.argmax(dim, True)  # type: ignore[attr-defined]
    chosen = zeros_like(logits).scatter(dim, places, value=1.0)  # type: ignore[attr-defined]
    return chosen - soft.detach() + soft  # type: ignore[attr-defined, no-any-return]


def _in_place(function: Any) -> Any:
    def method(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return function(input, *args, **kwargs, inplace=True)  # type: ignore[no-any-return]

    method.__name__ = method.__qualname__ = f"{function.__name__}_"
    method.__doc__ = f"`{function.__name__}`, written into its input."
    return method


celu_, elu_, hardtanh_, leaky_relu_ = map(_in_place, (celu, elu, hardtanh, leaky_relu))
relu_, rrelu_, selu_, threshold_ = map(_in_place, (relu, rrelu, selu, threshold))


guard(globals())
