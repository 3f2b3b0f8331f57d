"""Types by kind, casts, limits, and what the namespace says about itself. Floor 13."""

from __future__ import annotations

import functools
from typing import Any, final

from twofold.base import dtypes, limits
from twofold.base.devices import CPU, Device, check_device
from twofold.base.dtypes import CATEGORY, DType
from twofold.base.errors import ArgumentError, DTypeError
from twofold.ops.elementwise import cast
from twofold.ops.joining import clone
from twofold.ops.rules import result_dtype
from twofold.ops.tensor import Tensor

VERSIONS = ("2021.12", "2022.12", "2023.12", "2024.12", "2025.12")
KINDS = {
    "bool": (dtypes.bool_,),
    "signed integer": (dtypes.int8, dtypes.int16, dtypes.int32, dtypes.int64),
    "unsigned integer": (dtypes.uint8, dtypes.uint16, dtypes.uint32, dtypes.uint64),
    "real floating": (dtypes.float32, dtypes.float64),
    "complex floating": (dtypes.complex64, dtypes.complex128),
}
KINDS["integral"] = KINDS["signed integer"] + KINDS["unsigned integer"]
KINDS["numeric"] = KINDS["integral"] + KINDS["real floating"] + KINDS["complex floating"]
HALVES = (dtypes.float16, dtypes.bfloat16)  # beside the standard, among the real floating ones


def check_version(wanted: str | None) -> None:
    """Raise ArgumentError unless the namespace is what that version of the standard asks for."""
    if wanted is not None and wanted not in VERSIONS:
        problem = f"there is no version {wanted!r}"
        raise ArgumentError("__array_namespace__", problem, hint=", ".join(VERSIONS))


def isdtype(dtype: DType, kind: Any) -> bool:
    """Whether a type is of a kind ("integral", "numeric" ...), is a type, or one of several."""
    if isinstance(kind, tuple):
        return any(isdtype(dtype, each) for each in kind)
    if isinstance(kind, DType):
        return dtype is kind
    if kind not in KINDS:
        raise ArgumentError("isdtype", f"there is no kind {kind!r}", hint=", ".join(KINDS))
    return dtype in KINDS[kind] or (dtype in HALVES and kind in ("real floating", "numeric"))


def astype(x: Tensor, dtype: Any, /, *, copy: bool = True, device: Any = None) -> Tensor:
    """The array in another type: always another memory, unless `copy=False`."""
    check_device(device)
    wanted = dtypes.as_dtype(dtype)
    if x.dtype.is_complex and not (wanted.is_complex or wanted is dtypes.bool_):
        problem = f"{x.dtype.name} would lose its imaginary part"
        raise DTypeError("astype", problem, hint="xp.real(x)")
    made = cast(x, wanted)
    return clone(made) if copy and made is x else made


def can_cast(from_: Any, to: Any, /) -> bool:
    """Whether promotion takes the type, or the array's, to the other."""
    source = from_.dtype if isinstance(from_, Tensor) else dtypes.as_dtype(from_)
    target = dtypes.as_dtype(to)
    if source is target:
        return True
    if CATEGORY[source.kind] < 2 and CATEGORY[source.kind] != CATEGORY[target.kind]:
        return False  # neither truth values nor whole numbers promote to other kinds
    if dtypes.bool_ in (source, target):
        return False
    if {source.kind, target.kind} == {"i", "u"} and dtypes.uint64 in (source, target):
        return False  # no type holds both
    return result_type(source, target) is target


def result_type(*arrays_and_dtypes: Any) -> DType:
    """The type in which arrays, types and numbers are computed together."""
    if not arrays_and_dtypes:
        raise ArgumentError("result_type", "no types given", hint="result_type(x, y)")
    kinds = [each for each in arrays_and_dtypes if isinstance(each, DType | Tensor)]
    found = [each if isinstance(each, DType) else each.dtype for each in kinds]
    numbers = [each for each in arrays_and_dtypes if not isinstance(each, DType | Tensor)]
    if not found:
        return result_dtype(*numbers)
    made = found[0]
    for dtype in found[1:]:
        made = dtypes.promote(made, dtype)
    for number in numbers:
        made = dtypes.weak(made, number)
    return made


def together(*values: Any) -> tuple[Any, ...]:
    """The arrays among the values in their common type, which arrays without axes decide too.

    PyTorch's operators leave such arrays no say within a kind of types, and these are the user's.
    """
    found = {value.dtype for value in values if isinstance(value, Tensor)}
    if len(found) < 2:
        return values
    dtype = functools.reduce(dtypes.promote, found)
    return tuple(cast(value, dtype) if isinstance(value, Tensor) else value for value in values)


@final
class finfo:
    """Limits of a floating type: bits, eps, max, min, smallest_normal, dtype."""

    def __init__(self, type: Any, /) -> None:
        found = type.dtype if isinstance(type, Tensor) else dtypes.as_dtype(type)
        known = limits.finfo(found)
        self.bits, self.eps = known.bits, known.eps
        self.max, self.min = known.max, known.min
        self.smallest_normal = known.smallest_normal
        self.dtype = found.to_real()


@final
class iinfo:
    """Limits of an integer type: bits, max, min, dtype."""

    def __init__(self, type: Any, /) -> None:
        found = type.dtype if isinstance(type, Tensor) else dtypes.as_dtype(type)
        known = limits.iinfo(found)
        self.bits, self.max, self.min = known.bits, known.max, known.min
        self.dtype = found


@final
class __array_namespace_info__:
    """What the namespace can do, on which devices, in which types."""

    def capabilities(self) -> dict[str, Any]:
        return {"boolean indexing": True, "data-dependent shapes": True, "max dimensions": 64}

    def default_device(self) -> Device:
        return CPU

    def devices(self) -> tuple[Device, ...]:
        return (CPU,)

    def default_dtypes(self, *, device: Any = None) -> dict[str, DType]:
        check_device(device)
        real = dtypes.default_dtype()
        return {
            "real floating": real,
            "complex floating": real.to_complex(),
            "integral": dtypes.int64,
            "indexing": dtypes.int64,
        }

    def dtypes(self, *, device: Any = None, kind: Any = None) -> dict[str, DType]:
        check_device(device)
        everything = KINDS["bool"] + KINDS["numeric"]
        return {d.name: d for d in everything if kind is None or isdtype(d, kind)}
