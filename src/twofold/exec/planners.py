"""Which file plans which operation; the files are imported when first needed. Floor 7.

A program uses a few of the planners, and each brings its kernels' generators along: naming them
here instead of
importing them keeps `import twofold` short.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any

from twofold.base import dtypes
from twofold.base.dtypes import DType
from twofold.base.types import Type
from twofold.lower.schedule import Plan, find_planner, is_known
from twofold.ops.op import Op

Planner = Callable[..., Plan | None]
ATTENTION = ("attention", "attention_backward")
REDUCTIONS: tuple[str, ...] = ("sum", "sum_to_one", "prod", "max", "min", "any", "all", "mean")
REDUCTIONS += ("var", "var_mean", "euclidean_norm")
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
VIEWS: tuple[str, ...] = (
    "permute",
    "expand",
    "index",
    "unbind",
    "split",
    "diagonal",
    "unfold",
    "as_strided",
)
VIEWS += ("real", "imag", "view_as_real", "view_as_complex", "view_dtype", "detach")
MOVEMENT: tuple[str, ...] = (
    "reshape",
    "flip",
    "roll",
    "pad",
    "tril",
    "triu",
    "diag_embed",
)
MOVEMENT += ("slice_scatter", "view_scatter", "fold_windows", *VIEWS)
# Their kernels move bytes, those of complex numbers too.
EVERY_TYPE: tuple[str, ...] = ("clone", "cat", "stack", "pad_around")
EVERY_TYPE += tuple(name for name in MOVEMENT if name != "fold_windows")
WORDS = ("take", "gather")  # theirs move words of up to 8 bytes
# Of complex numbers they take the parts one by one, as a further axis of real ones.
PARTS = ("sum", "sum_to_one", "mean", "cumsum")
FILES = {
    "convert": ("cast",),
    "matmul": ("matmul", "linear"),
    "attention": ATTENTION,
    "conv": ("conv", "conv_input_grad", "conv_weight_grad", "conv_fast", "conv_input_grad_fast"),
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
    "grad_norm": ("total_norm",),
    "fused": ("fused",),
    "prologue": ("softmax_of", "log_softmax_of", "layer_norm_of"),
    "fused_reduce": ("fused_reduce",),
    "cells": ("lstm_cell", "lstm_cell_backward", "gru_cell", "gru_cell_backward"),
    "sequences": tuple(f"{c}_sequence{way}" for c in ("lstm", "gru") for way in ("", "_backward")),
    "joining": ("clone", "cat"),
    "around": ("pad_around", "pad_around_sum"),
    "grid": ("grid_sample", "grid_sample_by_input", "grid_sample_by_grid"),
    "indexing": ("take", "index_put", "gather", "scatter"),
    "movement": MOVEMENT,
    "sort": ("sort", "topk", "median_place", "mode_place", "median", "nanmedian"),
    "factors": ("lu", "lu_pivots"),
    "search": ("searchsorted", "isin"),
    "random": (
        *("random_uniform", "random_normal", "random_integers", "random_permutation"),
        "next_draw",
    ),
    "triangular": ("solve_triangular", "cholesky"),
    "ctc": ("ctc_loss", "ctc_loss_backward"),
    "classes": ("random_classes",),
    "rejection": ("random_gamma", "random_poisson", "random_binomial"),
}
HOME = {name: f"twofold.lower.{file}" for file, names in FILES.items() for name in names}
HALVES = {dtypes.float16: dtypes.float32, dtypes.bfloat16: dtypes.float32}
# Kernels that are made for float32 and float64: other types go through these, and are rounded once.
THROUGH = dict.fromkeys(
    ("arg_reduce", "attention", "batch_norm", "cells", "conv", "cross_entropy", "grid", "norms"),
    HALVES,
)
SMALL = (dtypes.uint8, dtypes.int8, dtypes.int16, dtypes.uint16, dtypes.int32, dtypes.uint32)
THROUGH |= {"pool": HALVES | dict.fromkeys(SMALL, dtypes.float64), "softmax": HALVES}
THROUGH["scan"] = HALVES | {dtypes.bool_: dtypes.uint8}
THROUGH["sequences"] = THROUGH["rejection"] = HALVES
THROUGH["checks"] = dict.fromkeys(SMALL, dtypes.int64)
# Where whole numbers are divided, kernels note a divisor of 0 (runtime/faults.py).
NOTES = ("floor_divide", "trunc_divide", "fmod", "remainder")
FACTORING = ("solve_triangular", "cholesky")  # these note a matrix that they cannot take
# What writes kernels, imported when a first one is planned.
ELEMENTWISE, SPLICE = "twofold.lower.elementwise", "twofold.lower.splice"


# ---- what has no kernel --------------------------------------------------------------------------

COMPLEX = "complex numbers are left to NumPy"
COMPLEX128 = "kernels that pick elements move words of up to 8 bytes"
UINT64 = "kernels hold whole numbers as signed ones, of at most 64 bits"
FOURIER = "Fourier transforms are left to NumPy"
SIZES = "it depends on sizes alone: computed once, when a program is planned"
CONTROL = "it runs graphs: exec/control.py plans it, kernels and all"
NO_KERNEL = {
    "item_of": "it names an output and computes nothing",
    "histc": "counts for looking at numbers, not for a model's step",
    "fft": FOURIER,
    "rfft": FOURIER,
    "irfft": FOURIER,
}
NO_KERNEL |= dict.fromkeys(("full", "arange", "linspace", "eye", "table"), SIZES)
NO_KERNEL |= dict.fromkeys(("cond", "while_loop", "while_loop_grad", "scan"), CONTROL)
LAPACK: tuple[str, ...] = (
    "cofactors",
    "det",
    "eig",
    "eigh",
    "geqrf",
    "inv",
    "ldl_factor",
    "ldl_solve",
    "lu_order",
    "matrix_exp",
    "pinv",
    "pinv_within",
    "qr",
)
LAPACK += ("slogdet", "solve", "svd")
NO_KERNEL |= dict.fromkeys(LAPACK, "LAPACK computes it, by way of NumPy")
WHOLE_CONVOLUTION = "whole numbers are not convolved: no product of tiles is made for them"
# operation: which element types have no kernel, and why. The reference serves these.
NO_TYPE: dict[str, tuple[Callable[[DType], bool], str]] = {
    "conv": (lambda d: d.is_integer, WHOLE_CONVOLUTION),
    "conv_input_grad": (lambda d: d.is_integer, WHOLE_CONVOLUTION),
    "conv_weight_grad": (lambda d: d.is_integer, WHOLE_CONVOLUTION),
    "max_pool": (lambda d: d.kind in "ui" and d.itemsize == 8, "float64 does not hold them all"),
    "nextafter": (lambda d: d in HALVES, "the next number is not found by way of float32"),
}
NO_TYPE["lu"] = (lambda d: d in HALVES, "LAPACK has no halves")
NO_TYPE["cholesky"] = NO_TYPE["solve_triangular"] = NO_TYPE["lu"]
NO_TYPE["ctc_loss"] = (lambda d: d in HALVES, "probabilities of labels need more digits")
NO_TYPE["ctc_loss_backward"] = NO_TYPE["ctc_loss"]
NO_TYPE["random_classes"] = (lambda d: d is not dtypes.float64, "weights are summed in float64")
NO_TYPE["lu_pivots"] = (lambda d: d is not dtypes.int64, "an order of rows is i64")
NO_TYPE["total_norm"] = (lambda d: d in HALVES, "a norm of halves is summed in float32")
NO_TYPE |= dict.fromkeys(("max_pool_values", "max_pool_with_indices"), NO_TYPE["max_pool"])
NO_TYPE |= dict.fromkeys(
    ("sort", "topk", "median", "mode_place", "nanmedian", "searchsorted", "isin"),
    (lambda d: d is dtypes.uint64, UINT64),
)


def missing(op: Op, inputs: Sequence[DType], outs: Sequence[DType]) -> str | None:
    """Why there is no kernel for an operation on these element types; None where there is one."""
    if op.lower is None and _root(op) in NO_KERNEL:
        return NO_KERNEL[_root(op)]
    if op.name not in (*EVERY_TYPE, *PARTS) and any([d.is_complex for d in (*inputs, *outs)]):
        if op.lower_complex is None and op.name not in ("cast", "fused", *WORDS):
            return COMPLEX
        if op.name in WORDS and dtypes.complex128 in (*inputs, *outs):
            return COMPLEX128
    if (callable(op.lower) or op.name == "cast") and dtypes.uint64 in (*inputs, *outs):
        return UINT64
    if op.name in NO_TYPE and NO_TYPE[op.name][0](inputs[0]):
        return NO_TYPE[op.name][1]
    return None


def _root(op: Op) -> str:
    """The operation whose derivative this is, of any order; itself, if it is none."""
    return op.name.partition("_by_")[0]


# ---- planners ------------------------------------------------------------------------------------


def planner(op: Op) -> Planner:
    """The planner of an operation: it gives None where `missing` says why."""
    if op.lower is None:
        return lambda *_: None
    made = _elementwise(op) if callable(op.lower) else _scheduled(op.lower)
    answers: dict[Any, str | None] = {}

    def plan(args: Any, outs: tuple[Type, ...], attrs: Any, threads: int) -> Plan | None:
        kinds = (*[a.dtype for a in args], None, *[out.dtype for out in outs])
        if kinds not in answers:
            between = len(args)
            answers[kinds] = missing(op, kinds[:between], kinds[between + 1 :])
        if answers[kinds]:
            return None
        if op.name in PARTS and args[0].dtype.is_complex:
            args, outs, attrs = _in_parts(args[0], outs[0], attrs)
        return made(args, outs, attrs, threads)

    return plan


def _in_parts(x: Any, out: Type, attrs: Any) -> tuple[Any, tuple[Type, ...], Any]:
    """The same work on real numbers, whose last axis holds the two parts."""
    real, rank = x.dtype.to_real(), len(x.shape)
    strides = (*[2 * stride for stride in x.strides], 1)
    dim = tuple(range(rank)) if attrs["dim"] is None else attrs["dim"]
    given = x._replace(shape=(*x.shape, 2), dtype=real, strides=strides)
    return (given,), (Type((*out.shape, 2), real),), {**attrs, "dim": dim}


def _scheduled(name: str) -> Planner:
    if not is_known(name):
        importlib.import_module(HOME[name])
    planner = find_planner(name)
    wide = THROUGH.get(HOME[name].rpartition(".")[2])
    if wide is None:
        return planner

    def plan(args: Any, outs: tuple[Type, ...], attrs: Any, threads: int) -> Plan | None:
        if any([a.dtype in wide for a in args]):
            return _splice().through(planner, wide, args, outs, attrs, threads)  # type: ignore[no-any-return]
        return planner(args, outs, attrs, threads)

    return plan


def _splice() -> Any:
    return importlib.import_module(SPLICE)


def _elementwise(op: Op) -> Planner:
    lower = importlib.import_module(ELEMENTWISE)

    def plan(args: Any, outs: tuple[Type, ...], attrs: Any, threads: int) -> Plan | None:
        recipe = lower.recipe_of(op, [a.dtype for a in args])
        made = lower.plan_elementwise(op.name, recipe, args, outs, attrs, threads)
        if op.name in NOTES and made is not None and args[1].dtype.is_integer:
            return _splice().checked_divisor(op.name, made, args, threads)  # type: ignore[no-any-return]
        return made  # type: ignore[no-any-return]

    return plan


# Operations that are no recipes and have one plan for all contiguous inputs, too.
PATTERNS = {"cast": "pattern_cast", "clone": "pattern_clone"}


def has_pattern(op: Op) -> bool:
    """Whether an operation may have one plan for all contiguous inputs."""
    return callable(op.lower) or op.name in PATTERNS


def pattern_for(op: Op, types: tuple[Type, ...], outs: tuple[Type, ...], attrs: Any) -> Any:
    """One plan for contiguous inputs of any one shape, and single elements; or None."""
    kinds = {t.dtype for t in types}
    if missing(op, [t.dtype for t in types], [out.dtype for out in outs]):
        return None
    if op.name in NOTES and any([kind.is_integer for kind in kinds]):
        return None
    if op.name in PATTERNS:
        return getattr(importlib.import_module(HOME[op.name]), PATTERNS[op.name])(types, outs)
    lower = importlib.import_module(ELEMENTWISE)
    recipe = lower.recipe_of(op, kinds)
    return lower.pattern_elementwise(op.name, recipe, types, outs, attrs)
