"""Twofold: one engine, two philosophies. Define-by-run Python and the static graph over the same primitives."""

from twofold.autograd.api import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    no_grad,
    set_grad_enabled,
)
from twofold.base.dtypes import bfloat16, complex64, complex128, float16, float32, float64
from twofold.base.dtypes import int8, int16, int32, int64, uint8, uint16, uint32, uint64
from twofold.base.dtypes import bool_ as bool
from twofold.exec import eager as _eager
from twofold.ops.tensor import Size, Tensor

__version__ = "0.1.0"
