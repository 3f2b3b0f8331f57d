"""An optimizer's update of many tensors at once, and their joint norm, as operations of a graph.
Floor 4.

Eagerly the same kernels are called on arrays (optim/fused.py); a graph needs a name for it. What
the rules compute is told in lower/optim.py.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from twofold.base.types import Type
from twofold.ops.op import FLOAT, Sample, define
from twofold.ops.order import reduce_in_order


def _places(width: int, written: tuple[int, ...], inputs: int) -> list[int]:
    """The inputs that are written, row by row: input 0 holds the numbers."""
    rows = (inputs - 1) // width
    return [1 + row * width + slot for row in range(rows) for slot in written]


def _types(*types: Type, rule: str, variant: Any, width: int, written: Any) -> tuple[Type, ...]:
    return tuple(types[i] for i in _places(width, written, len(types)))


def _writes(outs: int, attrs: tuple[Any, ...]) -> list[int]:
    _, _, width, written = attrs
    return _places(width, written, 1 + outs // len(written) * width)


def _no_reference(*arrays: Any, **attrs: Any) -> Any:
    raise TypeError("update has kernels only: it writes into its operands")


def _norm(*xs: Any, order: float) -> Any:
    def of(x: Any) -> Any:
        if order == math.inf:
            return np.max(np.abs(x), initial=0)
        return np.sqrt(reduce_in_order(np.square(x).reshape(-1), (0,), False, np.add, 0))

    return np.asarray(of(np.array([of(x) for x in xs], xs[0].dtype)), xs[0].dtype)


TOTAL_NORM = define(
    "total_norm",
    inputs="*xs",
    attrs=("order",),
    doc="The norm, of order 2 or inf, of the norms of tensors of one type.",
    accepts=FLOAT,
    infer=lambda *xs, order: Type((), xs[0].dtype),
    ref=_norm,
    lower="total_norm",
    samples=lambda r: [
        Sample((r.normal(size=(3, 4)), r.normal(size=5), 2.0)),
        Sample((r.normal(size=(3, 4)), r.normal(size=5), math.inf)),
    ],
    torch=False,
)
UPDATE = define(
    "update",
    inputs="numbers *rows",
    attrs=("rule", "variant", "width", "written"),
    doc="Rows of a parameter, its gradient and its state, after one step of an optimizer's rule.",
    infer=_types,
    ref=_no_reference,
    lower="update",
    outputs=-1,
    writes=_writes,
    torch=False,
)
