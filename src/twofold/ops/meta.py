"""Tensors without data, on the "meta" device: shapes and types go through operations. Floor 4.

An operation's record says what it gives (`infer`), so that nothing is computed and no memory is
taken. Views are NumPy's own, of one element that claims to be an array of these strides.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn, final

import numpy as np

from twofold.base import dtypes
from twofold.base.devices import META, elsewhere
from twofold.base.dtypes import DType
from twofold.base.errors import DeviceError
from twofold.base.types import Type
from twofold.ops.bind import capturing
from twofold.ops.op import Op
from twofold.ops.stand_in import StandIn, stands_in
from twofold.ops.tensor import Array, Tensor, wrap


@final
class Meta(StandIn):
    """A shape, a type and strides in bytes; those of an array in order where none are given."""

    __slots__ = ("flags", "steps")
    device = META
    memoryless = True

    def __init__(self, shape: tuple[int, ...], dtype: Any, strides: Any = None) -> None:
        self.shape = tuple(shape)
        self.dtype = dtype
        self.steps = _in_order(self.shape, dtype.itemsize) if strides is None else strides
        self.flags = Flags(self)

    @property
    def strides(self) -> tuple[int, ...]:
        return self.steps

    def numbers(self) -> Array:
        """None: what must hold for each of them does."""
        return np.empty(0, self.dtype)

    def run(self, op: Op, arrays: list[Any], attrs: tuple[Any, ...]) -> Any:
        return run(op, arrays, attrs)

    def copied(self) -> Meta:
        return Meta(self.shape, self.dtype)

    def beside(self, x: Tensor) -> Tensor:
        return x

    def through(self, function: Callable[[Tensor], Tensor]) -> Tensor:
        return wrap(self)

    def __setitem__(self, key: Any, values: Any) -> None:
        """Nothing is kept."""

    def refuse_into(self, x: Tensor) -> NoReturn:
        self.refuse("a tensor with data is written with it")

    def refuse(self, what: str) -> NoReturn:
        raise DeviceError(
            "meta",
            f'a tensor on the "meta" device has a shape and no data: {what}',
            hint='x = torch.empty_like(x, device="cpu") and values for it; for a module '
            'module.to_empty(device="cpu"), or load_state_dict(state, assign=True)',
            tensor=Type(self.shape, dtypes.of(self.dtype)),
        )

    def __repr__(self) -> str:
        return f"..., device='meta', size={self.shape}"


@final
class Flags:
    """NumPy's flags of such an array."""

    __slots__ = ("array",)
    writeable = aligned = True

    def __init__(self, array: Meta) -> None:
        self.array = array

    @property
    def c_contiguous(self) -> bool:
        return bool(_ghost(self.array).flags.c_contiguous)

    @property
    def f_contiguous(self) -> bool:
        return bool(_ghost(self.array).flags.f_contiguous)


def _in_order(shape: tuple[int, ...], step: int) -> tuple[int, ...]:
    steps = []
    for size in reversed(shape):
        steps.append(step)
        step *= max(size, 1)
    return tuple(reversed(steps))


def _ghost(x: Meta) -> Array:
    """An array of one element that claims x's shape and strides: for views, never to be read."""
    return np.lib.stride_tricks.as_strided(np.empty(1, x.dtype), x.shape, x.strides)


def of(x: Tensor) -> Tensor:
    """The tensor without its data."""
    array: Any = x.array
    made: Any = Meta(array.shape, array.dtype, array.strides)
    return wrap(made)


def run(op: Op, arrays: list[Any], attrs: tuple[Any, ...]) -> Any:
    """What the operation gives for such arrays, some of which may have data. Raises DeviceError
    where the size of its result depends on data.
    """
    keywords = op.keywords(attrs)
    if op.view:
        return _view(op.ref(_ghost(arrays[0]), **keywords))
    made = op.infer(*[Type(a.shape, dtypes.of(a.dtype)) for a in arrays], **keywords)
    several = isinstance(made, tuple) and not isinstance(made, Type)
    types = made if several else (made,)
    if any(t is None for t in types):
        without = next(a for a in arrays if isinstance(a, Meta))
        without.refuse(f"the size of what {op.name} gives depends on it")
    outs = tuple([Meta(t.shape, t.dtype.numpy) for t in types])
    return outs if several else outs[0]


def _view(made: Any) -> Any:
    if isinstance(made, tuple | list):
        return tuple(map(_view, made))
    return Meta(made.shape, made.dtype, made.strides)


@final
class Making:
    """What functions that make tensors ask in place of NumPy, where no data is wanted."""

    def use(self, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return inputs

    def execute(self, op: Op, arrays: list[Any], attrs: tuple[Any, ...]) -> Any:
        return run(op, [a if isinstance(a, Meta) else _view(a) for a in arrays], attrs)

    def filled(self, shape: tuple[int, ...], value: Any, dtype: DType) -> Meta:
        return Meta(shape, dtype.numpy)

    def constant(self, value: Any, dtype: DType) -> Meta:
        return Meta((), dtype.numpy)

    def draw(self, generator: Any, fresh: Any) -> Meta:
        return Meta((3,), np.dtype(np.uint64))

    def store(self, array: Any, values: Any) -> None:
        """Nothing is kept."""


def make(function: Callable[..., Tensor], args: Any, options: Any) -> Tensor:
    """What a function makes, without the data."""
    with elsewhere(None), capturing(Making()):
        made = function(*args, **options)
    if stands_in(made.array):
        return made
    tracked, made = made.tracked, of(made)
    made.tracked = tracked
    return made
