"""Reductions. Floor 4. Their order is the contract's (DESIGN.md, N3), in kernels and reference alike."""

from __future__ import annotations

from typing import Any

import numpy as np

from twofold.base import dtypes
from twofold.base.types import Type
from twofold.ops.bind import bind
from twofold.ops.elementwise import cast
from twofold.ops.movement import expand, reshape
from twofold.ops.op import NUMBER, Sample, define
from twofold.ops.rules import as_tensor, axes_of, reduced
from twofold.ops.tensor import Tensor


def reduce_samples(random: Any) -> list[Sample]:
    """(x, axes, keepdim) over every kind of axis set, sizes 0 and 1 included."""
    cases = [((3, 4), (0, 1), False), ((3, 4), (1,), True), ((2, 3, 4), (0, 2), False), ((5,), (0,), False)]
    cases += [((), (), False), ((3, 0), (0,), False), ((1, 4), (0,), True)]
    return [Sample((random.normal(size=shape), axes, keepdim)) for shape, axes, keepdim in cases]


def restore(g: Tensor, x: Any, dim: tuple[int, ...], keepdim: bool) -> Tensor:
    """A gradient of a reduction's result, repeated back to the shape of its input."""
    return expand(g if keepdim else reshape(g, reduced(x.shape, dim, True)), x.shape)


SUM = define(
    "sum",
    attrs=("dim", "keepdim"),
    doc="The sum over axes.",
    accepts=NUMBER,
    infer=lambda x, *, dim, keepdim: Type(reduced(x.shape, dim, keepdim), x.dtype),
    ref=lambda x, *, dim, keepdim: np.sum(x, axis=dim, keepdims=keepdim, dtype=x.dtype),
    vjp=lambda g, out, x, *, dim, keepdim: (restore(g, x, dim, keepdim),),
    lower="sum",
    samples=reduce_samples,
    torch=lambda x, dim, keepdim: x.sum(dim, keepdim, dtype=x.dtype) if dim else x.clone(),
)


def sum(input: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The sum over the axes `dim` (all, if None). Integers and bools sum in int64, as in PyTorch."""
    x = as_tensor(input, "sum")
    if dtype is not None:
        x = cast(x, dtypes.as_dtype(dtype))
    elif x.dtype.kind in "bui":
        x = cast(x, dtypes.int64)
    return bind(SUM, (x,), (axes_of("sum", dim, x), bool(keepdim)))
