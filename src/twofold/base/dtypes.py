"""The element types, how NumPy stores them, and how two of them combine. Floor 0.

The promotion rules are PyTorch's (documented under "Tensor Attributes", torch.dtype): a higher
category
(bool < integer < floating < complex) wins whatever its width; inside a category the wider type
wins.
"""

from __future__ import annotations

from typing import Any, final

import numpy as np
import numpy.typing as npt

from twofold.base.errors import DTypeError

PythonNumber = bool | int | float | complex | np.number[Any] | np.bool_

BOOL, UNSIGNED, SIGNED, FLOATING, COMPLEX = "b", "u", "i", "f", "c"
CATEGORY = {BOOL: 0, UNSIGNED: 1, SIGNED: 1, FLOATING: 2, COMPLEX: 3}

# NumPy has no bfloat16. A structured type keeps the 16 bits apart from every arithmetic of NumPy's:
# views, copies, indexing and concatenation work, and a sum by mistake raises instead of adding
# integers.
BFLOAT16 = np.dtype([("bfloat16", "<u2")])

# What programs call this package: they cut it off the name of a type, `str(dtype)[6:]`.
package = ["twofold"]


@final
class DType:
    """An element type: `name`, its NumPy storage, its size in bytes, and what the loop language
    calls it.
    """

    __slots__ = ("itemsize", "kind", "loops", "name", "numpy", "short")

    def __init__(
        self, name: str, short: str, kind: str, storage: npt.DTypeLike, loops: str
    ) -> None:
        self.name = name
        self.short = short
        self.kind = kind
        self.numpy = np.dtype(storage)
        self.itemsize = self.numpy.itemsize
        self.loops = loops

    @property
    def is_floating_point(self) -> bool:
        return self.kind == FLOATING

    @property
    def is_complex(self) -> bool:
        return self.kind == COMPLEX

    @property
    def is_signed(self) -> bool:
        return self.kind in "ifc"

    @property
    def is_integer(self) -> bool:
        return self.kind in "ui"

    def to_real(self) -> DType:
        """The type of a complex number's parts; other types are their own."""
        return {"complex64": float32, "complex128": float64}.get(self.name, self)

    def to_complex(self) -> DType:
        """The complex type whose parts have this type."""
        return complex128 if self in (float64, complex128) else complex64

    def __repr__(self) -> str:
        return f"{package[0]}.{self.name}"

    def __reduce__(self) -> tuple[object, ...]:
        return (by_name, (self.name,))


bool_ = DType("bool", "bool", BOOL, np.bool_, "i8")
uint8 = DType("uint8", "u8", UNSIGNED, np.uint8, "i8")
uint16 = DType("uint16", "u16", UNSIGNED, np.uint16, "i16")
uint32 = DType("uint32", "u32", UNSIGNED, np.uint32, "i32")
uint64 = DType("uint64", "u64", UNSIGNED, np.uint64, "i64")
int8 = DType("int8", "i8", SIGNED, np.int8, "i8")
int16 = DType("int16", "i16", SIGNED, np.int16, "i16")
int32 = DType("int32", "i32", SIGNED, np.int32, "i32")
int64 = DType("int64", "i64", SIGNED, np.int64, "i64")
float16 = DType("float16", "f16", FLOATING, np.float16, "f16")
bfloat16 = DType("bfloat16", "bf16", FLOATING, BFLOAT16, "i16")
float32 = DType("float32", "f32", FLOATING, np.float32, "f32")
float64 = DType("float64", "f64", FLOATING, np.float64, "f64")
complex64 = DType("complex64", "c64", COMPLEX, np.complex64, "f32")
complex128 = DType("complex128", "c128", COMPLEX, np.complex128, "f64")

ALL: tuple[DType, ...] = (bool_, uint8, uint16, uint32, uint64, int8, int16, int32, int64)
ALL += (float16, bfloat16, float32, float64, complex64, complex128)
INTEGERS = tuple(d for d in ALL if d.is_integer)
FLOATS = tuple(d for d in ALL if d.is_floating_point)
COMPLEXES = (complex64, complex128)
NAMES = {d.name: d for d in ALL} | {"half": float16, "float": float32, "double": float64}
NAMES |= {"short": int16, "int": int32, "long": int64, "cfloat": complex64, "cdouble": complex128}
OF_NUMPY: dict[np.dtype[np.generic], DType] = {d.numpy: d for d in ALL}
OF_PYTHON = {bool: bool_, int: int64, complex: complex64}


def by_name(name: str) -> DType:
    return NAMES[name]


def of(storage: np.dtype[np.generic]) -> DType:
    """The element type that a NumPy type stores. Raises DTypeError for strings, objects and
    dates.
    """
    found = OF_NUMPY.get(storage) or OF_NUMPY.get(storage.newbyteorder("="))
    if found is None:
        raise DTypeError(
            "dtype",
            f"NumPy's {storage} has no tensor type",
            hint="convert it to a number type first",
        )
    return found


def as_dtype(value: object) -> DType:
    """A DType from a DType, a NumPy type, a Python type, or a name.

    >>> as_dtype("float32"), as_dtype(int)
    (twofold.float32, twofold.int64)
    """
    if isinstance(value, DType):
        return value
    if value is float:
        return default_dtype()
    if isinstance(value, type) and value in OF_PYTHON:
        return OF_PYTHON[value]
    if isinstance(value, str) and value in NAMES:
        return NAMES[value]
    try:
        return of(np.dtype(value))  # type: ignore[call-overload]
    except (TypeError, ValueError):
        names = ", ".join(d.name for d in ALL)
        raise DTypeError(
            "dtype", f"{value!r} is not an element type", hint=f"one of {names}"
        ) from None


_default = [float32]


def default_dtype() -> DType:
    return _default[0]


def default_cell() -> list[DType]:
    """The list whose one element is the default: for those who look often."""
    return _default


def set_default_dtype(dtype: object) -> None:
    """What Python floats become: float32 at the start. Must be a floating type."""
    wanted = as_dtype(dtype)
    if not wanted.is_floating_point:
        raise DTypeError(
            "set_default_dtype", f"{wanted.name} is not a floating type", hint="float32 or float64"
        )
    _default[0] = wanted


def _promote(a: DType, b: DType) -> DType:
    if a is b:
        return a
    if CATEGORY[a.kind] < CATEGORY[b.kind]:
        a, b = b, a
    if CATEGORY[a.kind] != CATEGORY[b.kind]:
        return complex128 if a.is_complex and b is float64 else a
    if bfloat16 in (a, b):
        other = b if a is bfloat16 else a
        return float32 if other is float16 else other
    joined = np.promote_types(a.numpy, b.numpy)
    if joined.kind == "f" and a.is_integer:
        raise DTypeError(
            "promote",
            f"{a.name} and {b.name} have no common integer type",
            hint="convert one of them",
        )
    return OF_NUMPY[joined]


_promoted: dict[tuple[DType, DType], DType] = {}


def promote(type1: DType, type2: DType) -> DType:
    """The type in which two operands of equal standing are computed.

    >>> promote(float16, int64), promote(uint8, int8), promote(bfloat16, float16)
    (twofold.float16, twofold.int16, twofold.float32)
    """
    found = _promoted.get((type1, type2))
    if found is None:
        found = _promoted[type1, type2] = _promote(type1, type2)
    return found


def scalar_dtype(value: PythonNumber) -> DType:
    """The type of a Python number that stands alone."""
    if isinstance(value, float | np.floating):
        return default_dtype()
    if isinstance(value, complex | np.complexfloating):
        return default_dtype().to_complex()
    return bool_ if isinstance(value, bool | np.bool_) else int64


def weak(dtype: DType, value: PythonNumber) -> DType:
    """The type of `tensor op number`: the number counts only where it is of a higher category."""
    other = scalar_dtype(value)
    if CATEGORY[other.kind] <= CATEGORY[dtype.kind]:
        return dtype
    return dtype.to_complex() if other.is_complex and dtype.is_floating_point else other


def to_float32(bits: npt.NDArray[np.void]) -> npt.NDArray[np.float32]:
    """Widen bfloat16 storage, exactly."""
    wide = bits["bfloat16"].astype(np.uint32)
    return np.asarray(wide << np.uint32(16)).view(np.float32)


def to_bfloat16(values: npt.NDArray[np.generic]) -> npt.NDArray[np.void]:
    """Round to bfloat16, to nearest with ties to even; NaN stays NaN."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    rounded = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)
    kept = np.where(
        (bits & np.uint32(0x7FFFFFFF)) > 0x7F800000,
        (bits >> np.uint32(16)) | np.uint32(0x40),
        rounded,
    )
    return kept.astype(np.uint16).view(BFLOAT16).reshape(np.shape(values))


def convert(array: npt.NDArray[np.generic], dtype: DType) -> npt.NDArray[np.generic]:
    """The array in another element type: a new array, or the same one if nothing changes."""
    if array.dtype == dtype.numpy:
        return array
    if array.dtype == BFLOAT16:
        array = to_float32(array)  # type: ignore[arg-type]
    if dtype is bfloat16:
        return to_bfloat16(array)
    if array.dtype.kind == "c" and not dtype.is_complex and dtype is not bool_:
        array = array.real
    with np.errstate(all="ignore"):
        return array.astype(dtype.numpy)
