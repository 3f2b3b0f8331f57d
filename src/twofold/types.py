"""The types that programs name in their annotations, under PyTorch's names. Floor 10."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from twofold.base.devices import Device as _Device
from twofold.base.dtypes import DType
from twofold.ops.generators import Generator
from twofold.ops.tensor import Size, Tensor

__all__ = ["Device", "FileLike", "Generator", "Number", "Size", "Storage", "Tensor"]

Number: TypeAlias = int | float | bool
Device: TypeAlias = _Device | str | int | None
FileLike: TypeAlias = Any
Storage: TypeAlias = Any
_int, _float, _bool, _complex, _dtype, _device = int, float, bool, complex, DType, _Device
_size: TypeAlias = Size | list[int] | tuple[int, ...]
_TensorOrTensors: TypeAlias = Tensor | Sequence[Tensor]
