"""What the numbers of an element type can hold. Floor 0."""

from __future__ import annotations

import functools
from typing import final

import numpy as np

from twofold.base import dtypes
from twofold.base.dtypes import CATEGORY, DType
from twofold.base.errors import DTypeError

# bfloat16 has float32's exponents and 7 bits of fraction
BFLOAT16 = {
    "eps": 2.0**-7,
    "max": (2 - 2.0**-7) * 2.0**127,
    "tiny": 2.0**-126,
    "smallest_subnormal": 2.0**-133,
    "resolution": 0.01,
}


@final
class finfo:
    """Limits of a floating type: bits, eps, max, min, tiny (smallest_normal), resolution."""

    dtype: str
    bits: int

    def __new__(cls, dtype: object = None) -> finfo:
        """The one of a type, or a new one of the default type (which copies begin as)."""
        if type(dtype) is DType:
            return _of(dtype)
        return object.__new__(cls)._fill(getattr(dtype, "limits", None) or _known(dtype))

    def _fill(self, known: tuple[str, int, dict[str, float]]) -> finfo:
        self.dtype, self.bits, facts = known
        self.eps = facts["eps"]
        self.max = facts["max"]
        self.min = -facts["max"]
        self.tiny = self.smallest_normal = facts["tiny"]
        self.resolution = facts["resolution"]
        return self

    def __repr__(self) -> str:
        names = ("resolution", "min", "max", "eps", "smallest_normal", "tiny")
        facts = ", ".join(f"{name}={getattr(self, name):g}" for name in names)
        return f"finfo({facts}, dtype={self.dtype})"


@functools.cache
def _of(dtype: DType) -> finfo:
    return object.__new__(finfo)._fill(_known(dtype))


def _known(dtype: object) -> tuple[str, int, dict[str, float]]:
    wanted = dtypes.default_dtype() if dtype is None else dtypes.as_dtype(dtype)
    if wanted.kind not in "fc":
        hint = f"iinfo({wanted.name})"
        raise DTypeError("finfo", f"{wanted.name} is not a floating type", hint=hint)
    real = wanted.to_real()
    return real.name, real.itemsize * 8, BFLOAT16 if real is dtypes.bfloat16 else _facts(real)


@functools.cache
def _facts(dtype: DType) -> dict[str, float]:
    known = np.finfo(dtype.numpy)
    return {name: float(getattr(known, name)) for name in ("eps", "max", "tiny", "resolution")}


@final
class iinfo:
    """Limits of an integer type: bits, min, max."""

    def __init__(self, dtype: object) -> None:
        wanted = dtypes.as_dtype(dtype)
        if not wanted.is_integer:
            hint = f"finfo({wanted.name})"
            raise DTypeError("iinfo", f"{wanted.name} is not an integer type", hint=hint)
        self.dtype = wanted.name
        self.bits = wanted.itemsize * 8
        self.min, self.max = _range(wanted)

    def __repr__(self) -> str:
        return f"iinfo(min={self.min}, max={self.max}, dtype={self.dtype})"


@functools.cache
def _range(dtype: DType) -> tuple[int, int]:
    known = np.iinfo(dtype.numpy)
    return int(known.min), int(known.max)


def can_cast(from_: object, to: object) -> bool:
    """Whether a type (or a tensor's) converts within its category (floating, integer ...)."""
    source, target = dtypes.as_dtype(getattr(from_, "dtype", from_)), dtypes.as_dtype(to)
    known = CATEGORY[source.kind] <= CATEGORY[target.kind]
    return known and (target is not dtypes.bool_ or source is target)
