"""Complex numbers and their parts. Floor 4.

A complex tensor's parts are views of its memory. Gradients follow PyTorch's convention: they point
to where a real loss grows, so that x - step * x.grad goes down.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from twofold.base import dtypes
from twofold.base.errors import DTypeError, ShapeError
from twofold.base.types import Type
from twofold.ops.bind import bind
from twofold.ops.compare import lt, ne, where
from twofold.ops.elementwise import cast, mul
from twofold.ops.formula import PAIRS, vector
from twofold.ops.guarding import guard
from twofold.ops.op import FLOAT, Sample, define
from twofold.ops.rules import as_tensor, broadcast
from twofold.ops.samples import pairs, values
from twofold.ops.tensor import Tensor, type_of
from twofold.ops.transcendental import atan2, cos, sin

__all__ = ["angle", "complex", "imag", "polar", "real", "resolve_conj", "resolve_neg"]
__all__ += ["view_as_complex", "view_as_real"]

COMPLEX = "c"


def _complexes(random: Any) -> list[Sample]:
    shapes = ((3, 4), (), (0, 2))
    return [Sample((values(random, s) + 1j * values(random, s),)) for s in shapes]


def _part_type(x: Type) -> Type:
    return x.with_dtype(x.dtype.to_real())


REAL = define(
    "real",
    doc="The real parts, as a view.",
    accepts=COMPLEX,
    infer=_part_type,
    lower="real",
    ref=lambda x: x.real,
    vjp=lambda g, out, x: (cast(g, x.dtype),),
    view=True,
    samples=_complexes,
)
IMAG = define(
    "imag",
    doc="The imaginary parts, as a view.",
    accepts=COMPLEX,
    infer=_part_type,
    lower="imag",
    ref=lambda x: x.imag,
    vjp=lambda g, out, x: (mul(cast(g, x.dtype), 1j),),
    view=True,
    samples=_complexes,
)


def real(input: Tensor) -> Tensor:
    """The real parts of a complex tensor, as a view; a real tensor itself."""
    x = as_tensor(input, "real")
    return bind(REAL, (x,)) if x.dtype.is_complex else x


def imag(input: Tensor) -> Tensor:
    """The imaginary parts of a complex tensor, as a view. Raises DTypeError for a real one."""
    x = as_tensor(input, "imag")
    if not x.dtype.is_complex:
        raise DTypeError("imag", f"{x.dtype.name} has no imaginary part", input=type_of(x))
    return bind(IMAG, (x,))  # type: ignore[no-any-return]


def resolve_conj(input: Tensor) -> Tensor:
    """The tensor itself: conjugates are written out as soon as they are asked for."""
    return input


resolve_neg = resolve_conj


def _pairs_view(x: Any) -> Any:
    strides = (*x.strides, x.dtype.itemsize // 2)
    return np.lib.stride_tricks.as_strided(x.real, (*x.shape, 2), strides)


VIEW_AS_REAL = define(
    "view_as_real",
    doc="The real and imaginary parts along a new last axis of size 2, as a view.",
    accepts=COMPLEX,
    infer=lambda x: Type((*x.shape, 2), x.dtype.to_real()),
    lower="view_as_real",
    ref=_pairs_view,
    vjp=lambda g, out, x: (complex(g.select(-1, 0), g.select(-1, 1)),),
    view=True,
    samples=_complexes,
)


def view_as_real(input: Tensor) -> Tensor:
    """f[..., 2] seen in a complex tensor's memory."""
    if not input.dtype.is_complex:
        raise DTypeError("view_as_real", "a complex tensor is wanted", input=type_of(input))
    return bind(VIEW_AS_REAL, (input,))  # type: ignore[no-any-return]


VIEW_AS_COMPLEX = define(
    "view_as_complex",
    doc="Pairs of numbers along the last axis as complex numbers, as a view.",
    accepts=FLOAT,
    infer=lambda x: Type(x.shape[:-1], x.dtype.to_complex()),
    lower="view_as_complex",
    ref=lambda x: x.view(dtypes.of(x.dtype).to_complex().numpy)[..., 0],
    vjp=lambda g, out, x: (view_as_real(g),),
    view=True,
    samples=lambda random: [Sample((values(random, s),)) for s in ((3, 2), (2,), (4, 3, 2))],
)


def view_as_complex(input: Tensor) -> Tensor:
    """c[...] seen in the memory of f[..., 2], whose last axis must be contiguous."""
    shape, strides = input.array.shape, input.array.strides
    fits = shape and shape[-1] == 2 and strides[-1] == input.array.itemsize
    if input.dtype not in (dtypes.float32, dtypes.float64) or not fits:
        hint = "float32 or float64 with a contiguous last axis of size 2"
        raise ShapeError("view_as_complex", "no pairs of numbers", hint=hint, input=type_of(input))
    return bind(VIEW_AS_COMPLEX, (input,))  # type: ignore[no-any-return]


def _joined(x: Any, y: Any) -> Any:
    made = np.empty(np.broadcast_shapes(x.shape, y.shape), dtypes.of(x.dtype).to_complex().numpy)
    made.real, made.imag = x, y
    return made


def _joined_type(x: Type, y: Type) -> Type:
    return Type(broadcast("complex", real=x, imag=y), x.dtype.to_complex())


JOINED = define(
    "complex",
    inputs="real imag",
    doc="real + 1j * imag.",
    accepts=FLOAT,
    infer=_joined_type,
    ref=_joined,
    vjp=lambda g, out, x, y: (real(g), imag(g)),
    lower=vector("joined", PAIRS),
    lower_complex=vector("joined", PAIRS),
    samples=pairs,
)


def complex(real: Tensor, imag: Tensor) -> Tensor:
    """real + 1j * imag, for float32 or float64 tensors of one type."""
    real, imag = as_tensor(real, "complex", "real"), as_tensor(imag, "complex", "imag")
    for name, x in (("real", real), ("imag", imag)):
        if x.dtype is not real.dtype or x.dtype not in (dtypes.float32, dtypes.float64):
            hint = "two float32 or two float64 tensors"
            raise DTypeError("complex", f"{name} is {x.dtype.name}", hint=hint)
    return bind(JOINED, (real, imag))  # type: ignore[no-any-return]


def polar(abs: Tensor, angle: Tensor) -> Tensor:
    """abs * (cos(angle) + 1j * sin(angle))."""
    return complex(mul(abs, cos(angle)), mul(abs, sin(angle)))


def angle(input: Tensor) -> Tensor:
    """The angle of complex numbers; of real ones 0 or, where they are negative, pi."""
    x = as_tensor(input, "angle")
    if x.dtype.is_complex:
        return atan2(imag(x), real(x))
    if x.dtype.kind in "bui":
        x = cast(x, dtypes.default_dtype())
    return where(lt(x, 0), math.pi, where(ne(x, x), x, 0))  # type: ignore[no-any-return]


guard(globals())
