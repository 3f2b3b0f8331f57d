"""Which file plans which operation; the files are imported when first needed. Floor 7.

A program uses a few of the planners, and each brings its kernels' generators along: naming them
here instead of
importing them keeps `import twofold` short.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from typing import Any

from twofold.base import dtypes
from twofold.base.types import Type
from twofold.lower.schedule import Plan, find_planner, is_known
from twofold.ops.op import Op

Planner = Callable[..., Plan | None]
ATTENTION = ("attention", "attention_backward")
REDUCTIONS = ("sum", "prod", "max", "min", "any", "all", "mean", "var", "var_mean")
SOFTMAX = ("softmax", "softmax_backward", "log_softmax", "log_softmax_backward", "logsumexp")
LAYER_NORM = (
    "layer_norm",
    "layer_norm_backward",
    "layer_norm_affine_backward",
    "rms_norm",
    "rms_norm_backward",
    "rms_norm_weight_backward",
)
POOLING = ("max_pool", "max_pool_backward", "avg_pool", "avg_pool_backward")
FILES = {
    "convert": ("cast",),
    "matmul": ("matmul", "linear"),
    "attention": ATTENTION,
    "conv": ("conv", "conv_input_grad", "conv_weight_grad"),
    "pool": POOLING,
    "reduce": REDUCTIONS,
    "softmax": SOFTMAX,
    "norms": LAYER_NORM,
    "batch_norm": ("batch_norm", "batch_norm_backward", "batch_norm_inference"),
    "cross_entropy": ("cross_entropy", "cross_entropy_backward", "cross_entropy_mean"),
    "arg_reduce": ("argmax", "argmin"),
    "scan": ("cumsum", "cumprod", "cummax", "cummin", "logcumsumexp", "recurrence"),
    "checks": ("check_range",),
    "optim": ("update",),
    "fused": ("fused",),
    "cells": ("lstm_cell", "lstm_cell_backward", "gru_cell", "gru_cell_backward"),
    "sequences": tuple(f"{c}_sequence{way}" for c in ("lstm", "gru") for way in ("", "_backward")),
    "joining": ("clone", "cat"),
    "indexing": ("take", "index_put"),
    "random": ("random_uniform", "random_normal"),
}
HOME = {name: f"twofold.lower.{file}" for file, names in FILES.items() for name in names}
# Their kernels take float32 and float64 alone; the reference serves other types.
FULL_ONLY = {
    f"twofold.lower.{file}" for file in ("arg_reduce", "batch_norm", "conv", "cross_entropy")
}
FULL_ONLY |= {f"twofold.lower.{file}" for file in ("layer_norm", "norms", "pool", "softmax")}
FULL = (dtypes.float32, dtypes.float64)
FLOATS = (dtypes.float32, dtypes.float64, dtypes.float16, dtypes.bfloat16)


ELEMENTWISE = "twofold.lower.elementwise"


def planner(op: Op) -> Planner:
    """The planner of an operation that has one."""
    if callable(op.lower):
        return _elementwise(op)
    name = op.lower
    if not is_known(name) and importlib.util.find_spec(HOME[name]) is not None:
        importlib.import_module(HOME[name])
    return _within(name, find_planner(name)) if is_known(name) else lambda *_: None


def _within(name: str, planner: Planner) -> Planner:
    """The planner, asked about the types that its kernels are made for only."""
    full_only = HOME[name] in FULL_ONLY

    def plan(args: Any, outs: tuple[Type, ...], attrs: Any, threads: int) -> Plan | None:
        if any([a.dtype.is_complex for a in args]):
            return None
        if full_only and args[0].dtype not in FULL:
            return None
        return planner(args, outs, attrs, threads)

    return plan


def _elementwise(op: Op) -> Planner:
    lower = importlib.import_module(ELEMENTWISE)

    def plan(args: Any, outs: tuple[Type, ...], attrs: Any, threads: int) -> Plan | None:
        if not takes([a.dtype for a in args], outs):
            return None
        return lower.plan_elementwise(op.name, op.lower, args, outs, attrs, threads)  # type: ignore[no-any-return]

    return plan


def takes(inputs: Any, outs: tuple[Type, ...]) -> bool:
    """Whether the elementwise kernels are made for these types."""
    return all(d in FLOATS for d in inputs) and all(
        o.dtype in (*FLOATS, dtypes.bool_) for o in outs
    )


def pattern_for(op: Op, types: tuple[Type, ...], outs: tuple[Type, ...], attrs: Any) -> Any:
    """One plan for contiguous inputs of any one shape, or None."""
    if not takes([t.dtype for t in types], outs) or len({t.dtype for t in types}) != 1:
        return None
    lower = importlib.import_module(ELEMENTWISE)
    return lower.pattern_elementwise(op.name, op.lower, types, outs, attrs)
