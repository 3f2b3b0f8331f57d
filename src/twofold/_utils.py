"""Names of PyTorch's inner `_utils`: several tensors as one vector and back. Floor 12."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twofold.ops.joining import cat
from twofold.ops.movement import reshape
from twofold.ops.splitting import split_with_sizes
from twofold.ops.tensor import Tensor

__all__ = ["_flatten_dense_tensors", "_unflatten_dense_tensors"]


def _flatten_dense_tensors(tensors: Sequence[Tensor]) -> Tensor:
    """One vector with the elements of all."""
    return cat([reshape(x, (-1,)) for x in tensors])


def _unflatten_dense_tensors(flat: Tensor, tensors: Sequence[Tensor]) -> tuple[Any, ...]:
    """The parts of a vector in the shapes of the tensors, as views."""
    parts = split_with_sizes(flat, [x.array.size for x in tensors])
    return tuple(reshape(p, x.array.shape) for p, x in zip(parts, tensors, strict=True))
