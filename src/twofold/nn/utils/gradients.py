"""What one does with all parameters at once. Floor 10."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from twofold.autograd.api import grad_of
from twofold.base.errors import ArgumentError, DTypeError, ShapeError, kind_of
from twofold.codegen.native import core
from twofold.lower.grad_norm import total_norm
from twofold.ops.bind import bind, mode, recording
from twofold.ops.compare import clamp, isfinite, minimum
from twofold.ops.elementwise import add, cast, mul, true_divide
from twofold.ops.joining import cat
from twofold.ops.ranges import require
from twofold.ops.source import zeros_of
from twofold.ops.tensor import Tensor, type_of, wrap
from twofold.ops.update import TOTAL_NORM
from twofold.ops.writing import overwrite

FUSED_NORMS = (2.0, math.inf)


def _listed(op: str, parameters: Any) -> list[Tensor]:
    if hasattr(parameters, "parameters"):
        problem = f"{kind_of(parameters)} is no list of parameters"
        raise DTypeError(op, problem, hint="model.parameters()")
    return [parameters] if isinstance(parameters, Tensor) else list(parameters)


def clip_grad_norm_(
    parameters: Iterable[Tensor] | Tensor,
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """Scale all gradients together so that their joint norm is at most max_norm; gives the norm
    before.

    Raises ArgumentError for a norm that is not finite, if asked to.
    """
    grads = [g for g in map(grad_of, _listed("clip_grad_norm_", parameters)) if g is not None]
    total = get_total_norm(grads, norm_type, error_if_nonfinite)
    _scale(grads, max_norm, total)
    return total


def _not_finite(total: Tensor) -> Exception:
    known = f"{float(total.array)}" if isinstance(total.array, np.ndarray) else "not finite"
    return ArgumentError("clip_grad_norm_", f"the norm of the gradients is {known}")


def get_total_norm(
    tensors: Iterable[Tensor] | Tensor,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """The norm of the norms of the tensors. Raises ArgumentError for one that is not finite, if
    asked to.
    """
    total = _total_norm(_listed("get_total_norm", tensors), norm_type)
    if error_if_nonfinite:
        require(isfinite(total), lambda: _not_finite(total))
    return total


def _total_norm(values: list[Tensor], norm_type: float) -> Tensor:
    if not values:
        return zeros_of((), np.float32)
    core.start()
    arrays = [x.array for x in values]
    alike = len({a.dtype for a in arrays}) == 1 and arrays[0].dtype.char in "fd"
    if norm_type in FUSED_NORMS and alike and mode.capture is not None:
        return bind(TOTAL_NORM, tuple(values), (float(norm_type),))  # type: ignore[no-any-return]
    if norm_type in FUSED_NORMS and alike:
        return wrap(np.asarray(total_norm(arrays, norm_type)))
    norms = cat([x.detach().norm(norm_type).reshape(1) for x in values])  # type: ignore[attr-defined]
    return norms.norm(norm_type)  # type: ignore[attr-defined, no-any-return]


def clip_grads_with_norm_(
    parameters: Iterable[Tensor] | Tensor,
    max_norm: float,
    total_norm: Tensor,
    foreach: bool | None = None,
) -> None:
    """Scale the gradients by max_norm / (total_norm + 1e-6) where that is below 1."""
    grads = [g for g in map(grad_of, _listed("clip_grads_with_norm_", parameters)) if g is not None]
    _scale(grads, max_norm, total_norm)


def _scale(grads: list[Tensor], max_norm: float, total: Tensor) -> None:
    if mode.capture is not None:
        with recording(False):
            share = minimum(true_divide(max_norm, add(total, 1e-6)), 1)
            for g in grads:
                overwrite(g, mul(g, cast(share, g.dtype)).array, "clip_grad_norm_")
        return
    kind = total.array.dtype.type
    factor = min(kind(max_norm) / (total.array + kind(1e-6)), kind(1))
    if factor < 1 or not np.isfinite(factor):
        for g in grads:
            with np.errstate(invalid="ignore"):
                g.array *= g.array.dtype.type(factor)
            g.version += 1


def clip_grad_value_(parameters: Iterable[Tensor] | Tensor, clip_value: float) -> None:
    """Clip every element of every gradient to [-clip_value, clip_value]."""
    for x in _listed("clip_grad_value_", parameters):
        g = grad_of(x)
        if g is not None and mode.capture is None:
            np.clip(g.array, -clip_value, clip_value, out=g.array)
            g.version += 1
        elif g is not None:
            with recording(False):
                overwrite(g, clamp(g, -clip_value, clip_value).array, "clip_grad_value_")


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """All parameters as one vector."""
    return cat([x.reshape(-1) for x in parameters])  # type: ignore[attr-defined]


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Write a vector back into the parameters. Raises ShapeError if its length differs."""
    targets = list(parameters)
    if vec.array.size != sum(x.array.size for x in targets):
        raise ShapeError(
            "vector_to_parameters",
            "the vector has another length than the parameters",
            vec=type_of(vec),
        )
    at = 0
    for x in targets:
        x.array[...] = vec.array[at : at + x.array.size].reshape(x.array.shape)
        x.version += 1
        at += x.array.size
