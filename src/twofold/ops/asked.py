"""What programs ask of every tensor because some tensors of PyTorch are sparse, on other devices,
or share a storage that they choose. Floor 4.
"""

from __future__ import annotations

import math
from typing import Any, NoReturn

import numpy as np

from twofold.base.errors import ArgumentError, DeviceError
from twofold.ops.elementwise import cast
from twofold.ops.guarding import guard
from twofold.ops.movement import reshape
from twofold.ops.storage import as_strided
from twofold.ops.tensor import Tensor, type_of, wrap


def to_dense(self: Tensor, dtype: Any = None, *, masked_grad: bool | None = None) -> Tensor:
    """The tensor itself, which is dense, or in another type."""
    return self if dtype is None else cast(self, dtype)


def dense_dim(self: Tensor) -> int:
    """The number of axes: all are dense."""
    return self.array.ndim


def sparse_dim(self: Tensor) -> int:
    """0: no axis is sparse."""
    return 0


def is_coalesced(self: Tensor) -> NoReturn:
    """Raises ArgumentError: only sparse tensors have places that could be there twice."""
    hint = "x.to_sparse().is_coalesced()"
    raise ArgumentError("is_coalesced", "the tensor is dense", hint=hint, input=type_of(self))


def record_stream(self: Tensor, stream: Any) -> None:
    """Nothing: no stream of another device uses the memory."""


def is_set_to(self: Tensor, tensor: Tensor) -> bool:
    """Whether both are the same elements of the same memory, in the same order."""
    ours, theirs = self.array, tensor.array
    return (
        ours.ctypes.data == theirs.ctypes.data
        and ours.shape == theirs.shape
        and ours.strides == theirs.strides
        and ours.dtype == theirs.dtype
    )


def set_(
    self: Tensor,
    source: Any = None,
    storage_offset: int = 0,
    size: Any = None,
    stride: Any = None,
) -> Tensor:
    """The tensor becomes what `source` is, and shares its memory: a tensor or a storage, or part
    of it by size and stride; without a source it is left without elements.
    """
    given: Any = source
    if source is None:
        given = self.detach()[:0] if self.array.ndim else reshape(self.detach(), (1,))[:0]  # type: ignore[attr-defined, index]
    elif not isinstance(source, Tensor):
        given = wrap(np.asarray(source.untyped().array).reshape(-1).view(self.array.dtype))
    if size is not None:
        given = as_strided(given, size, _steps(size) if stride is None else stride, storage_offset)
    self.data = given.detach()  # type: ignore[attr-defined]
    return self


def _steps(size: Any) -> tuple[int, ...]:
    """The strides, in elements, of a contiguous tensor."""
    sizes = [max(int(n), 1) for n in size]
    return tuple(math.prod(sizes[axis + 1 :]) for axis in range(len(sizes)))


def resize(self: Tensor, *sizes: Any) -> Tensor:
    """The older name of `view` with as many elements."""
    return reshape(self, sizes[0] if len(sizes) == 1 and not isinstance(sizes[0], int) else sizes)


def resize_as(self: Tensor, tensor: Tensor) -> Tensor:
    """The older name of `view_as`."""
    return reshape(self, tensor.array.shape)


def reinforce(self: Tensor, reward: Any) -> NoReturn:
    """Raises ArgumentError: gradients of draws go through their log-probabilities."""
    hint = "loss = -distribution.log_prob(action) * reward; loss.backward()"
    raise ArgumentError("reinforce", "there is no such gradient", hint=hint)


def module_load(self: Tensor, other: Tensor, assign: bool = False) -> Tensor:
    """What a module keeps when it loads `other` in the place of this tensor."""
    return other if assign else self.copy_(other).detach()  # type: ignore[attr-defined]


def other_device(name: str) -> Any:
    """The method that would move a tensor to a device that is not here."""

    def refused(self: Tensor, *_: Any, **__: Any) -> NoReturn:
        raise DeviceError(f"Tensor.{name}", "there is no such device here", hint="x.cpu()")

    return refused


xpu, mtia, ipu = (other_device(name) for name in ("xpu", "mtia", "ipu"))


guard(globals())
