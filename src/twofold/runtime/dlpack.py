"""DLPack capsules of bfloat16, a type that NumPy does not know. Floor 1.

NumPy exports and imports the 16 bits as whole numbers; the capsule's own name of the element type
is changed between that and bfloat16. (The layout: dlpack.h, https://dmlc.github.io/dlpack.)
"""

from __future__ import annotations

import ctypes
from typing import Any, final

import numpy as np
import numpy.typing as npt

from twofold.runtime.native import function

UNSIGNED, BFLOAT = 1, 4  # kDLUInt, kDLBfloat
# Where the element type's code stands, in bytes: its number of bits follows.
CODE = {b"dltensor": 20, b"dltensor_versioned": 32 + 20}

_name = function("PyCapsule_GetName", ctypes.c_char_p, ctypes.py_object)
_pointer = function("PyCapsule_GetPointer", ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)


def _renamed(capsule: Any, old: int, new: int) -> Any:
    """The capsule with another name of its elements of 16 bits. Raises BufferError for others."""
    name = _name(capsule)
    kind = (ctypes.c_uint8 * 2).from_address(_pointer(capsule, name) + CODE[name])
    if tuple(kind) != (old, 16):
        raise BufferError(f"elements of kind {kind[0]} and {kind[1]} bits are not taken")
    kind[0] = new
    return capsule


def export(bits: npt.NDArray[np.uint16], **options: Any) -> Any:
    """The capsule of an array of 16 bits, as bfloat16."""
    return _renamed(bits.__dlpack__(**options), UNSIGNED, BFLOAT)


@final
class Bits:
    """What has bfloat16 elements, as whole numbers of 16 bits for `numpy.from_dlpack`."""

    def __init__(self, source: Any) -> None:
        self.source = source

    def __dlpack__(self, **options: Any) -> Any:
        return _renamed(self.source.__dlpack__(**options), BFLOAT, UNSIGNED)

    def __dlpack_device__(self) -> Any:
        return self.source.__dlpack_device__()
