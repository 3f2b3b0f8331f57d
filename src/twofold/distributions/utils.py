"""What distributions are written with, under PyTorch's names. Floor 11."""

from __future__ import annotations

from typing import Any

from twofold.base.errors import ShapeError
from twofold.distributions.discrete import clamp_probs
from twofold.distributions.distribution import broadcast_all, lazy_property
from twofold.distributions.transform import sum_last
from twofold.ops.creation import zeros
from twofold.ops.random import randn
from twofold.ops.tensor import type_of
from twofold.ops.transcendental import log1p
from twofold.ops.triangles import tril_indices

__all__ = ["broadcast_all", "clamp_probs", "euler_constant", "lazy_property", "logits_to_probs"]
__all__ += ["probs_to_logits", "tril_matrix_to_vec", "vec_to_tril_matrix"]

euler_constant = 0.57721566490153286060
_sum_rightmost = sum_last


def _standard_normal(shape: Any, dtype: Any, device: Any = None) -> Any:
    """Normal numbers f[*shape] of mean 0 and deviation 1."""
    return randn(tuple(shape), dtype=dtype, device=device)


def logits_to_probs(logits: Any, is_binary: bool = False) -> Any:
    """Probabilities of logits f[...]: along the last axis, or each by itself (is_binary)."""
    return logits.sigmoid() if is_binary else logits.softmax(-1)


def probs_to_logits(probs: Any, is_binary: bool = False) -> Any:
    """Logarithms of probabilities, or of their odds (is_binary), of 0 and 1 as of what is next."""
    inside = clamp_probs(probs)
    return inside.log() - log1p(-inside) if is_binary else inside.log()


def tril_matrix_to_vec(mat: Any, diag: int = 0) -> Any:
    """The elements on and below a diagonal of f[..., n, n], row by row."""
    n = mat.shape[-1]
    if not -n <= diag < n:
        raise ShapeError("tril_matrix_to_vec", f"there is no diagonal {diag}", mat=type_of(mat))
    rows, columns = tril_indices(n, n, diag)  # type: ignore[misc]
    return mat[..., rows, columns]  # type: ignore[has-type]


def _below(n: int, diag: int) -> int:
    """How many elements of n rows of n are on or below a diagonal."""
    return sum(min(max(row + 1 + diag, 0), n) for row in range(n))


def vec_to_tril_matrix(vec: Any, diag: int = 0) -> Any:
    """The matrices f[..., n, n] whose elements on and below a diagonal are these, 0 above."""
    n = 0
    while _below(n, diag) < vec.shape[-1]:
        n += 1
    if _below(n, diag) != vec.shape[-1]:
        raise ShapeError("vec_to_tril_matrix", "no matrix has as many elements", vec=type_of(vec))
    rows, columns = tril_indices(n, n, diag)  # type: ignore[misc]
    made: Any = zeros(*vec.shape[:-1], n, n, dtype=vec.dtype)
    made[..., rows, columns] = vec  # type: ignore[has-type]
    return made
