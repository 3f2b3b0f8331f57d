"""An optimizer's update of many parameters in one call. Floor 11.

`update_all(rule, rows, options)`: each row is a parameter, its gradient and its state tensors, all
of one shape.
The rules are in lower/optim.py; float16 and bfloat16 rows are computed in float32 and rounded once.
"""

from __future__ import annotations

from typing import Any

from twofold.base import dtypes
from twofold.base.errors import ArgumentError, DTypeError, user_place
from twofold.codegen.native import core
from twofold.lower.optim import update
from twofold.ops.tensor import Array, Tensor, type_of
from twofold.ops.writing import touched

Row = list[Tensor]


def update_all(rule: str, rows: list[Row], options: dict[str, Any]) -> None:
    """Update the first tensor of every row (and its state) in place. Raises DTypeError for other
    than floats.
    """
    core.start()
    by_type: dict[Any, list[Row]] = {}
    for row in rows:
        if not row[0].array.flags.writeable:
            raise ArgumentError(
                rule,
                "a parameter lies in read-only memory",
                hint="x.clone()",
                param=type_of(row[0]),
            )
        by_type.setdefault(row[0].array.dtype, []).append(row)
    for storage, group in by_type.items():
        dtype = dtypes.of(storage)
        if dtype.kind != "f":
            raise DTypeError(
                rule, "only floating parameters can be optimised", param=type_of(group[0][0])
            )
        if dtype in (dtypes.float32, dtypes.float64):
            update(rule, [_arrays(row, dtype) for row in group], options)
        else:
            _update_short(rule, group, options)
    place = user_place()
    for row in rows:
        touched(row[0], place)
        for x in row[2:]:
            x.version += 1


def _arrays(row: Row, dtype: dtypes.DType) -> list[Array]:
    return [
        x.array if x.array.dtype == dtype.numpy else dtypes.convert(x.array, dtype) for x in row
    ]


def _update_short(rule: str, rows: list[Row], options: dict[str, Any]) -> None:
    wide = [[dtypes.convert(x.array, dtypes.float32) for x in row] for row in rows]
    update(rule, wide, options)
    for row, made in zip(rows, wide, strict=True):
        for place in (0, *range(2, len(row))):
            row[place].array[...] = dtypes.convert(made[place], row[place].dtype)
