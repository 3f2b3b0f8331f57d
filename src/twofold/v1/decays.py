"""Learning rates that depend on the step, as tensors of the graph. Floor 13."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from twofold.base.dtypes import float32
from twofold.ops import compare, rounding, transcendental
from twofold.ops.tensor import Tensor
from twofold.v1.arrays import cast
from twofold.v1.state import given


def _turns(global_step: Any, decay_steps: Any, staircase: bool) -> Tensor:
    turns = cast(global_step, float32) / decay_steps
    return rounding.floor(turns) if staircase else turns


def exponential_decay(
    learning_rate: Any,
    global_step: Any,
    decay_steps: Any,
    decay_rate: Any,
    staircase: bool = False,
    name: str | None = None,
) -> Tensor:
    """rate * decay_rate ** (step / decay_steps)"""
    turns = _turns(global_step, decay_steps, staircase)
    return transcendental.pow(given(decay_rate, float32), turns) * learning_rate


def natural_exp_decay(
    learning_rate: Any,
    global_step: Any,
    decay_steps: Any,
    decay_rate: Any,
    staircase: bool = False,
    name: str | None = None,
) -> Tensor:
    """rate * e ** (-decay_rate * step / decay_steps)"""
    turns = _turns(global_step, decay_steps, staircase)
    return transcendental.exp(turns * -decay_rate) * learning_rate


def inverse_time_decay(
    learning_rate: Any,
    global_step: Any,
    decay_steps: Any,
    decay_rate: Any,
    staircase: bool = False,
    name: str | None = None,
) -> Tensor:
    """rate / (1 + decay_rate * step / decay_steps)"""
    turns = _turns(global_step, decay_steps, staircase)
    return learning_rate / (turns * decay_rate + 1)


def polynomial_decay(
    learning_rate: Any,
    global_step: Any,
    decay_steps: Any,
    end_learning_rate: Any = 0.0001,
    power: Any = 1.0,
    cycle: bool = False,
    name: str | None = None,
) -> Tensor:
    """From the rate to the end rate in `decay_steps`, as (1 - step / decay_steps) ** power; in a
    cycle the steps are doubled, tripled, ... as they pass.
    """
    turns = cast(global_step, float32) / decay_steps
    if cycle:
        turns = turns / compare.maximum(rounding.ceil(turns), given(1.0))
    else:
        turns = compare.minimum(turns, given(1.0))
    down = transcendental.pow(1 - turns, given(power, float32))
    return down * (learning_rate - end_learning_rate) + end_learning_rate


def cosine_decay(
    learning_rate: Any,
    global_step: Any,
    decay_steps: Any,
    alpha: float = 0.0,
    name: str | None = None,
) -> Tensor:
    """Half a cosine from the rate to alpha * rate (Loshchilov, Hutter 2017, arXiv:1608.03983)."""
    turns = compare.minimum(cast(global_step, float32) / decay_steps, given(1.0))
    down = (transcendental.cos(turns * math.pi) + 1) * 0.5
    return (down * (1 - alpha) + alpha) * learning_rate


def piecewise_constant(
    x: Any, boundaries: Sequence[Any], values: Sequence[Any], name: str | None = None
) -> Tensor:
    """The first value up to the first boundary, and so on."""
    x = given(x)
    made = given(values[0], float32)
    for bound, value in zip(boundaries, values[1:], strict=True):
        made = made + cast(x > bound, float32) * (value - made)
    return made


piecewise_constant_decay = piecewise_constant
