"""Arrays that a function makes of sizes, by its name: tables of places and of weights. Floor 4.

Eagerly a table is what its function gives. In a graph whose sizes are symbols it is a call without
inputs, which names the function: it is made when the program is planned for sizes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from twofold.base import dtypes
from twofold.base.dtypes import DType
from twofold.base.symbols import is_symbol
from twofold.base.types import Type
from twofold.ops.bind import mode
from twofold.ops.op import Sample, define
from twofold.ops.source import known, made
from twofold.ops.tensor import Array, Tensor, wrap

F = TypeVar("F", bound=Callable[..., Any])
MAKERS: dict[str, Callable[..., Array]] = {}


def maker(function: F) -> F:
    """Have graphs find a function by its name: it makes an array of numbers, types and names."""
    MAKERS[function.__name__.strip("_")] = function
    return function


def _made(*, maker: str, args: tuple[Any, ...], shape: tuple[int, ...], dtype: DType) -> Array:
    array = MAKERS[maker](*args)
    if array.shape != tuple(shape) or array.dtype != dtype.numpy:
        raise ValueError(f"{maker}{args} is no table of {shape}")
    return array


@maker
def _steps(count: int, step: int) -> Array:
    return np.arange(count) * step


TABLE = define(
    "table",
    inputs="",
    attrs=("maker", "args", "shape", "dtype"),
    doc="What a function of sizes makes: places, or weights.",
    infer=lambda *, maker, args, shape, dtype: Type(tuple(shape), dtype),
    ref=_made,
    samples=lambda r: [Sample(("steps", (4, 3), (4,), dtypes.int64))],
    torch=False,
)


def table(function: Callable[..., Array], *args: Any, shape: Any, dtype: DType) -> Tensor:
    """What a maker gives for these sizes, of this shape and type."""
    if mode.capture is None or not any(map(is_symbol, args)):
        return known(function(*args))
    name = function.__name__.strip("_")
    return wrap(made(TABLE, (name, args, tuple(shape), dtype)))
