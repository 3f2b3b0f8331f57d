"""An optimizer's update of many parameters at once. Floor 11.

`update_all(rule, rows, options)`: each row is a parameter, its gradient, and its state tensors, all of one shape
and type. The rules below say what is computed, in PyTorch's order of operations.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from twofold.ops.tensor import Array, Tensor


def _sgd(p: Array, g: Array, *state: Array, options: Any) -> None:
    kind = p.dtype.type
    if options["maximize"]:
        g = -g
    if options["weight_decay"]:
        g = g + kind(options["weight_decay"]) * p
    if state:
        buf = state[0]
        momentum = kind(options["momentum"])
        if options["first"]:
            buf[...] = g
        else:
            buf *= momentum
            buf += kind(1 - options["dampening"]) * g
        g = g + momentum * buf if options["nesterov"] else buf
    p -= kind(options["lr"]) * g


def _adam(p: Array, g: Array, *state: Array, options: Any) -> None:
    kind = p.dtype.type
    if options["maximize"]:
        g = -g
    if options["weight_decay"]:
        g = g + kind(options["weight_decay"]) * p
    _adam_step(p, g, state, options)


def _adamw(p: Array, g: Array, *state: Array, options: Any) -> None:
    if options["maximize"]:
        g = -g
    p *= p.dtype.type(1 - options["lr"] * options["weight_decay"])
    _adam_step(p, g, state, options)


def _adam_step(p: Array, g: Array, state: tuple[Array, ...], options: Any) -> None:
    kind = p.dtype.type
    beta1, beta2 = options["betas"]
    first, second = 1 - beta1 ** options["step"], 1 - beta2 ** options["step"]
    m, v = state[:2]
    m += kind(1 - beta1) * (g - m)
    v *= kind(beta2)
    v += kind(1 - beta2) * g * g
    if options["amsgrad"]:
        np.maximum(state[2], v, out=state[2])
        v = state[2]
    p -= kind(options["lr"] / first) * m / (np.sqrt(v) / kind(math.sqrt(second)) + kind(options["eps"]))


RULES: dict[str, Callable[..., None]] = {"sgd": _sgd, "adam": _adam, "adamw": _adamw}


def update_all(rule: str, rows: list[list[Tensor]], options: dict[str, Any]) -> None:
    """Update the first tensor of every row (and its state) in place."""
    for row in rows:
        RULES[rule](*(x.array for x in row), options=options)
        for x in (row[0], *row[2:]):
            x.version += 1
