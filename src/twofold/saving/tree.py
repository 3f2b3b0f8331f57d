"""Nested Python values as JSON, with the tensors set aside under names. Floor 9.

None, booleans, whole numbers, finite floats, strings and lists stand for themselves. Everything
else is an object of one tag: see `docs/guide/saving.md`, which is the specification.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Callable
from typing import Any, final

import numpy as np
import numpy.typing as npt

from twofold.base import dtypes
from twofold.base.devices import Device
from twofold.base.dtypes import DType
from twofold.base.errors import DTypeError, TwofoldError
from twofold.ops.stand_in import stands_in
from twofold.ops.tensor import Parameter, Tensor, wrap
from twofold.saving.container import METADATA, damaged

Array = npt.NDArray[Any]

DEEPEST = 100  # levels of nesting: well inside Python's limit of recursion
EXACT_INT = 2**53  # what every JSON reader keeps
HINT = (
    "save tensors, numbers, strings, bytes, and lists, tuples and dicts of these; for an object, "
    "save its state_dict()"
)


# Writing


@final
class Encoder:
    """Turns values into JSON values, and gathers the arrays that they hold by name."""

    def __init__(self) -> None:
        self.arrays: dict[str, Array] = {}
        self.names: dict[tuple[Any, ...], str] = {}
        self.open: set[int] = set()

    def encode(self, value: Any, path: tuple[Any, ...] = ()) -> Any:
        """The JSON for a value that stands at that path of keys."""
        if value is None or type(value) in (bool, str):
            return value
        for kind, encode in ENCODERS:
            if isinstance(value, kind):
                return encode(self, value, path)
        raise refused("this kind of value is not saved", value, path)

    def enter(self, value: Any, path: tuple[Any, ...]) -> None:
        if id(value) in self.open:
            raise refused("the value contains itself", value, path)
        if len(path) >= DEEPEST:
            raise refused(f"nested more than {DEEPEST} deep", value, path)
        self.open.add(id(value))

    def write_int(self, value: Any, path: tuple[Any, ...]) -> Any:
        exact(int, value, path)
        return value if abs(value) <= EXACT_INT else {"int": hex(value)}

    def write_float(self, value: Any, path: tuple[Any, ...]) -> Any:
        exact(float, value, path)
        return value if math.isfinite(value) else {"float": repr(value)}

    def write_complex(self, value: Any, path: tuple[Any, ...]) -> Any:
        return {"complex": [self.write_float(value.real, path), self.write_float(value.imag, path)]}

    def write_bytes(self, value: Any, path: tuple[Any, ...]) -> Any:
        return {"bytes": base64.b64encode(value).decode("ascii")}

    def write_dtype(self, value: Any, path: tuple[Any, ...]) -> Any:
        return {"dtype": value.name}

    def write_device(self, value: Any, path: tuple[Any, ...]) -> Any:
        return {"device": str(value)}

    def write_set(self, value: Any, path: tuple[Any, ...]) -> Any:
        exact(set, value, path)
        return {"set": [self.write_key(item, path) for item in value]}

    def write_list(self, value: Any, path: tuple[Any, ...]) -> Any:
        exact(list, value, path)
        self.enter(value, path)
        made = [self.encode(item, (*path, index)) for index, item in enumerate(value)]
        self.open.discard(id(value))
        return made

    def write_tuple(self, value: Any, path: tuple[Any, ...]) -> Any:
        if hasattr(value, "_fields"):
            raise refused("named tuples are not saved", value, path, "save value._asdict()")
        return {"tuple": self.write_list([*value], path)}

    def write_dict(self, value: Any, path: tuple[Any, ...]) -> Any:
        self.enter(value, path)
        pairs = [
            (self.write_key(key, path), self.encode(v, (*path, key))) for key, v in value.items()
        ]
        self.open.discard(id(value))
        if all(type(key) is str for key in value):
            return {"dict": dict(pairs)}
        return {"pairs": [list(pair) for pair in pairs]}

    def write_key(self, key: Any, path: tuple[Any, ...]) -> Any:
        plain = key is None or type(key) in (bool, str, int, float, bytes, tuple)
        if not plain:
            raise refused("this kind of key is not saved", key, path)
        encoder = Encoder()
        made = encoder.encode(key, path)
        if encoder.arrays:
            raise refused("a tensor cannot be part of a key", key, path)
        return made

    def write_tensor(self, value: Any, path: tuple[Any, ...]) -> Any:
        if value.array is None:
            raise refused("a tensor of a captured graph has no values", value, path)
        made: dict[str, Any] = {"tensor": self.store(value.array, value, path)}
        if value.array.dtype.kind == "c":
            made["complex"] = True
        if value.tracked:
            made["requires_grad"] = True
        if isinstance(value, Parameter):
            made["parameter"] = True
        return made

    def write_array(self, value: Any, path: tuple[Any, ...]) -> Any:
        check_storage(value, path)
        made: dict[str, Any] = {"array": self.store(np.asarray(value), value, path)}
        if value.dtype.kind == "c":
            made["complex"] = True
        return made

    def write_scalar(self, value: Any, path: tuple[Any, ...]) -> Any:
        made = self.write_array(np.asarray(value), path)
        return {"scalar": made.pop("array"), **made}

    def store(self, array: Array, owner: Any, path: tuple[Any, ...]) -> str:
        """Set an array aside, once however often it occurs, and return its name."""
        if stands_in(array):
            array.refuse("it is saved")  # type: ignore[attr-defined]
        address = array.__array_interface__["data"][0] if array.size else id(owner)
        identity = (address, array.shape, array.strides, array.dtype)
        if identity not in self.names:
            name = self.new_name(path)
            self.names[identity] = name
            self.arrays[name] = as_real(array)
        return self.names[identity]

    def new_name(self, path: tuple[Any, ...]) -> str:
        """The keys joined by dots, so that a flat dict of tensors keeps its names in the file."""
        wanted = ".".join(str(key) for key in path) or "tensor"
        wanted = wanted.encode("utf-8", "replace").decode("utf-8")
        name, count = wanted, 1
        while name in self.arrays or name == METADATA:
            count += 1
            name = f"{wanted}#{count}"
        return name


# Looked through in this order: NumPy's float64 is also a Python float, and a bool an int.
ENCODERS: tuple[tuple[Any, Callable[[Encoder, Any, tuple[Any, ...]], Any]], ...] = (
    (Tensor, Encoder.write_tensor),
    (np.ndarray, Encoder.write_array),
    (np.generic, Encoder.write_scalar),
    (int, Encoder.write_int),
    (float, Encoder.write_float),
    (dict, Encoder.write_dict),
    (list, Encoder.write_list),
    (tuple, Encoder.write_tuple),
    (complex, Encoder.write_complex),
    (bytes, Encoder.write_bytes),
    (DType, Encoder.write_dtype),
    (Device, Encoder.write_device),
    (set, Encoder.write_set),
)


def as_real(array: Array) -> Array:
    """A complex array as pairs of floats on a new last axis; any other as it is."""
    if array.dtype.kind != "c":
        return array
    parts = np.dtype(f"f{array.dtype.itemsize // 2}")
    return np.ascontiguousarray(array).view(parts).reshape(*array.shape, 2)


def check_storage(value: Any, path: tuple[Any, ...]) -> None:
    try:
        dtypes.of(value.dtype)
    except DTypeError:
        raise refused(f"NumPy's {value.dtype} is not saved", value, path) from None


def exact(kind: type, value: Any, path: tuple[Any, ...]) -> None:
    if type(value) is not kind:
        raise refused(f"only plain {kind.__name__} is saved, not a class made from it", value, path)


def refused(problem: str, value: Any, path: tuple[Any, ...], hint: str = HINT) -> TwofoldError:
    shown = "".join(f"[{key!r}]" for key in path[:20])
    return DTypeError("save", problem, hint=hint, value=f"{type(value).__name__} at obj{shown}")


# Reading


@final
class Decoder:
    """Turns JSON values back into what they were; a tensor saved twice comes back as one."""

    def __init__(self, arrays: Callable[[str], Array]) -> None:
        self.arrays = arrays
        self.made: dict[tuple[Any, ...], Any] = {}

    def decode(self, value: Any) -> Any:
        if value is None or isinstance(value, bool | int | float | str):
            return value
        if isinstance(value, list):
            return [self.decode(item) for item in value]
        for tag, decode in DECODERS.items():
            if tag in value:
                return self.tagged(tag, decode, value)
        raise damaged("the tree holds an unknown tag", tag=", ".join(value)[:80])

    def tagged(self, tag: str, decode: Callable[..., Any], value: dict[str, Any]) -> Any:
        options = {name: option for name, option in value.items() if name != tag}
        try:
            return decode(self, value[tag], **options)
        except (TypeError, ValueError, KeyError, AttributeError, binascii.Error) as error:
            if isinstance(error, TwofoldError):
                raise
            raise damaged("the tree holds a malformed value", tag=tag, reason=str(error)) from None

    def read_int(self, text: str) -> int:
        return int(text, 16)

    def read_float(self, text: str) -> float:
        return float(text)

    def read_complex(self, parts: list[Any]) -> complex:
        real, imaginary = (self.decode(part) for part in parts)
        if not isinstance(real, float) or not isinstance(imaginary, float):
            raise TypeError("the parts of a complex number are floats")
        return complex(real, imaginary)

    def read_bytes(self, text: str) -> bytes:
        return base64.b64decode(text, validate=True)

    def read_dtype(self, name: str) -> DType:
        return dtypes.by_name(name)

    def read_device(self, name: str) -> Device:
        return Device(name)

    def read_set(self, items: list[Any]) -> set[Any]:
        return {self.decode(item) for item in items}

    def read_tuple(self, items: list[Any]) -> tuple[Any, ...]:
        return tuple(self.decode(item) for item in items)

    def read_dict(self, items: dict[str, Any]) -> dict[Any, Any]:
        return {key: self.decode(item) for key, item in items.items()}

    def read_pairs(self, pairs: list[Any]) -> dict[Any, Any]:
        return {self.decode(key): self.decode(item) for key, item in pairs}

    def read_array(self, name: str, complex: bool = False) -> Array:
        key = ("array", name, complex)
        if key not in self.made:
            array = self.arrays(name)
            self.made[key] = as_complex(array) if complex else array
        return self.made[key]  # type: ignore[no-any-return]

    def read_scalar(self, name: str, complex: bool = False) -> Any:
        return self.read_array(name, complex)[()]

    def read_tensor(
        self,
        name: str,
        complex: bool = False,
        requires_grad: bool = False,
        parameter: bool = False,
    ) -> Tensor:
        key = ("tensor", name, complex, requires_grad, parameter)
        if key not in self.made:
            made = wrap(self.read_array(name, complex))
            if type(requires_grad) is not bool or (
                requires_grad and made.array.dtype.kind in "biu"
            ):
                raise TypeError(f"requires_grad is {requires_grad} of {made.dtype.name}")
            if parameter is True:
                made = Parameter(made, requires_grad)
            made.tracked = requires_grad
            self.made[key] = made
        return self.made[key]  # type: ignore[no-any-return]


DECODERS: dict[str, Callable[..., Any]] = {
    "dict": Decoder.read_dict,
    "tensor": Decoder.read_tensor,
    "tuple": Decoder.read_tuple,
    "pairs": Decoder.read_pairs,
    "array": Decoder.read_array,
    "scalar": Decoder.read_scalar,
    "float": Decoder.read_float,
    "int": Decoder.read_int,
    "bytes": Decoder.read_bytes,
    "dtype": Decoder.read_dtype,
    "device": Decoder.read_device,
    "set": Decoder.read_set,
    "complex": Decoder.read_complex,
}


def as_complex(array: Array) -> Array:
    """Pairs of floats on the last axis as one complex array."""
    whole = np.dtype(f"c{array.dtype.itemsize * 2}")
    return np.ascontiguousarray(array).view(whole).reshape(array.shape[:-1])
