"""Writing parts of a tensor by position: x[key] = value, index_put. Floor 4."""

from __future__ import annotations

from typing import Any

import numpy as np

from twofold.base import dtypes
from twofold.base.errors import ShapeError
from twofold.ops.bind import bind, mode, share
from twofold.ops.compare import where
from twofold.ops.elementwise import cast
from twofold.ops.guarding import guard
from twofold.ops.indexing import (
    PUT,
    VIEW,
    Key,
    as_bool,
    is_plain,
    numbers_first,
    parse_key,
    take_type,
    with_flags,
)
from twofold.ops.movement import expand, reshape
from twofold.ops.rules import as_tensor, broadcasts, constant, stored
from twofold.ops.tensor import Tensor, type_of, wrap
from twofold.ops.writing import (
    before_write,
    bind_onto,
    onto,
    overwrite,
    overwrite_part,
    unseen,
    write,
)

__all__ = ["index_put"]


def setitem(self: Tensor, key: Any, value: Any) -> None:
    """x[key] = value, in place, with broadcasting and the value converted to x's type."""
    if type(key) is int and type(value) in (int, float) and is_plain(self) and unseen(self):
        fits = self.array.dtype.kind == "f" or (type(value) is int and self.array.dtype == np.int64)
        if fits and -self.array.shape[0] <= key < self.array.shape[0]:
            number = constant(value, self.dtype)  # which refuses what does not fit
            overwrite_part(self, (key, ...), number.array)
            return
    if type(key) is Tensor and _is_one_place(key) and is_plain(self):
        self[int(key.array)] = value  # type: ignore[index]
        return
    flags = as_bool(key)
    if isinstance(flags, Tensor) and flags.dtype is dtypes.bool_:
        if mode.capture is None:
            chosen = _is_whole_mask(self, flags, value)
        else:
            chosen = _is_mask(flags) and _is_broadcast(value, self, flags)
        if chosen:
            set_masked(self, flags, value)
            return
        if isinstance(value, Tensor) and _fits_places(self, flags, value):
            self.masked_scatter_(flags, value)  # type: ignore[attr-defined]
            return
    self, key = with_flags(self, key)
    if mode.capture is not None:
        key = mode.capture.with_positions(self, key)
    parsed, indices = parse_key(self, key)
    given = value if isinstance(value, Tensor) else assigned(value, self)
    one = isinstance(flags, Tensor) and flags.dtype is dtypes.bool_ and not given.array.ndim
    exact = indices and isinstance(value, Tensor) and not one
    given = stored("index assignment", given, self) if exact else cast(given, self.dtype)
    if indices:
        if (apart := numbers_first(parsed)) is not None:
            self, parsed = bind(VIEW, (self,), (apart[0],)), apart[1]
        put_(self, parsed, indices, given, accumulate=False)
    else:
        part = _part_of(self, parsed)
        write(part, fitted(given, part.array.shape), "index assignment", dropped=True)


def _part_of(x: Tensor, key: Key) -> Tensor:
    """x[key] to be written and dropped: a view without a node of its own."""
    if mode.interpreter is not None or mode.capture is not None:
        return bind(VIEW, (x,), (key,))  # type: ignore[no-any-return]
    part = wrap(VIEW.ref(x.array, key=key))
    share(part, x, VIEW, (key,))
    return part


def _fits_places(x: Tensor, mask: Tensor, value: Tensor) -> bool:
    """Whether a value has a number for each place that a mask of all of x names, in their order."""
    if mode.capture is not None or mode.interpreter is not None:
        return False
    a, flags, given = x.array, mask.array, value.array
    if not type(a) is type(flags) is type(given) is np.ndarray or flags.shape != a.shape:
        return False
    alike = given.ndim == 1 and a.ndim > 0 and given.dtype is a.dtype and unseen(x, value)
    return alike and given.size == np.count_nonzero(flags) and not np.may_share_memory(a, given)


def _is_one_place(key: Tensor) -> bool:
    """Whether a key is one number of a tensor that is known."""
    array = key.array
    return type(array) is np.ndarray and not array.ndim and array.dtype == np.int64


def _is_whole_mask(x: Tensor, mask: Tensor, value: Any) -> bool:
    """Whether a mask has the shape of all of x, and the value is one number of no wider kind."""
    fits = type(mask.array) is np.ndarray and mask.array.shape == x.array.shape
    if not fits or not mask.array.ndim or type(x.array) is not np.ndarray:
        return False
    if isinstance(value, Tensor):
        return value.array.ndim == 0
    return type(value) in (int, float, bool)


def _is_mask(key: Any) -> bool:
    """Whether a key is one mask whose values only a run of a graph knows."""
    if not isinstance(key, Tensor) or key.dtype is not dtypes.bool_:
        return False
    known = isinstance(key.array, np.ndarray)
    return not known or mode.capture.reads_outside(key.array)


def _is_broadcast(value: Any, x: Tensor, mask: Tensor) -> bool:
    """Whether a value is the same, or broadcasts, for all that a mask names."""
    array = value.array if isinstance(value, Tensor) else np.asarray(value, object)
    return array.ndim <= x.array.ndim - mask.array.ndim


def set_masked(x: Tensor, mask: Tensor, value: Any) -> None:
    """x[mask] = value for a value that is the same, or broadcasts, for all that the mask names."""
    rest = x.array.shape[mask.array.ndim :]
    given = cast(value if isinstance(value, Tensor) else assigned(value, x), x.dtype)
    wide = reshape(mask, (*mask.array.shape, *(1,) * len(rest)))
    old = before_write(x, keep=False)
    write(x, where(wide, expand(given, x.array.shape), old), "index assignment")


def assigned(value: Any, x: Tensor) -> Tensor:
    if isinstance(value, int | float | complex | np.number | np.bool_):
        return constant(value, x.dtype)
    return as_tensor(
        np.asarray(value) if isinstance(value, list | tuple) else value, "index assignment", "value"
    )


def fitted(value: Tensor, shape: tuple[int, ...]) -> Tensor:
    given = value.array.shape
    while len(given) > len(shape) and given[0] == 1:
        value = reshape(value, given[1:])
        given = value.array.shape
    if given == shape:
        return value
    if not broadcasts(given, shape):
        raise ShapeError(
            "index assignment",
            f"the value does not fit a part of shape {list(shape)}",
            hint=f"a number, or a value that broadcasts to {list(shape)}",
            value=type_of(value),
        )
    return expand(value, shape)


def put_(
    x: Tensor, key: Key, indices: tuple[Tensor, ...], values: Tensor, *, accumulate: bool
) -> Tensor:
    shape = take_type(type_of(x), *map(type_of, indices), key=key).shape
    if unseen(x, values):
        with onto(x):
            new = bind_onto(PUT, (x, fitted(values, shape), *indices), (key, accumulate))
        return overwrite(x, new.array, "index assignment")
    old = before_write(x, keep=False)
    new = bind(PUT, (old, fitted(values, shape), *indices), (key, accumulate))
    return write(x, new, "index assignment")


def index_put_(input: Tensor, indices: Any, values: Tensor, accumulate: bool = False) -> Tensor:
    """input[indices] = values (or += values, counting repeated positions), in place."""
    key, tensors = parse_key(input, tuple(indices))
    return put_(input, key, tensors, stored("index_put_", values, input), accumulate=accumulate)


def index_put(input: Tensor, indices: Any, values: Tensor, accumulate: bool = False) -> Tensor:
    """A copy of `input` with values written, or added, at the positions."""
    key, tensors = parse_key(input, tuple(indices))
    shape = take_type(type_of(input), *map(type_of, tensors), key=key).shape
    given = fitted(stored("index_put", values, input), shape)
    made: Tensor = bind(PUT, (input, given, *tensors), (key, accumulate))
    return made


guard(globals(), "index_put_")
