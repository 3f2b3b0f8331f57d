"""An optimizer's update of many tensors at once, in place, as an operation of a graph. Floor 4.

Eagerly the same kernels are called on arrays (optim/fused.py); a graph needs a name for it. What
the rules compute is told in lower/optim.py.
"""

from __future__ import annotations

from typing import Any

from twofold.base.types import Type
from twofold.ops.op import define


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
