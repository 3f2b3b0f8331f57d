"""Batch rules of reading and writing by integer tensors. Floor 4.

NumPy puts the axes of index tensors where the first of them stands, or in front where another kind
of index stands between them. The batch is moved to the front of whatever comes out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from twofold.base.dtypes import int64
from twofold.base.records import NamedTuple
from twofold.base.types import Type
from twofold.ops.batch_shapes import batched, in_rank
from twofold.ops.bind import bind
from twofold.ops.indexing import TAKE, Here, Slice
from twofold.ops.movement import expand, reshape
from twofold.ops.op import Op
from twofold.ops.source import ARANGE, made
from twofold.ops.tensor import Tensor, type_of, wrap

On = tuple[bool, ...]
Key = tuple[Any, ...]
ALL = Slice(None, None, None)


class Read(NamedTuple):
    """A batched reading as one reading, and how its result's axes go to the batch's order.

    x        the source, with a batch in front where it has one
    key      the key that reads it
    indices  its index tensors
    order    the permutation that puts the batch in front, and all axes as without a batch
    """

    x: Tensor
    key: Key
    indices: tuple[Tensor, ...]
    order: tuple[int, ...]


def batched_read(lanes: int, x: Tensor, x_on: bool, key: Key, indices: Any, on: On) -> Read:
    """The reading x[key] of every lane."""
    inner = type_of(x).shape[x_on:]
    key = _without_dots(key, len(inner))
    ranks = [i.array.ndim - b for i, b in zip(indices, on, strict=True)]
    wide = max(ranks, default=0)
    before, apart = _standing(key)
    after = len(inner) - sum(k is not None for k in key) + _axes_between(key)
    rest = after - before  # axes of the result after those of the indices, where these stay
    if not any(on):
        # the batch of x is one more axis in front
        total = 1 + before + wide + rest
        if apart:
            # indices first, then the batch
            order = (wide, *range(wide), *range(wide + 1, total))
        else:
            order = tuple(range(total))
        return Read(x, (ALL, *key), tuple(indices), order)
    tensors = [in_rank(i, b, wide) for i, b in zip(indices, on, strict=True)]
    if x_on:
        lane = wrap(made(ARANGE, (0, 1, lanes, int64)))
        lane = reshape(lane, (lanes, *(1,) * wide))
        tensors.append(lane)
        key = (Here(len(tensors) - 1), *key)
        first = True
    else:
        first = apart
    total = 1 + before + wide + rest
    if first and not apart:
        # (batch, indices, axes before them, others) -> (batch, axes before, indices, others)
        order = (0, *range(1 + wide, 1 + wide + before), *range(1, 1 + wide))
        order += tuple(range(1 + wide + before, total))
    elif first or before == 0:
        order = tuple(range(total))
    else:
        # (axes before, batch, indices, others)
        order = (before, *range(before), *range(before + 1, total))
    return Read(x, key, tuple(tensors), order)


def _without_dots(key: Key, ndim: int) -> Key:
    """The key with slices for its Ellipsis."""
    if Ellipsis not in key:
        return key
    place = key.index(Ellipsis)
    taken = sum(k is not None and k is not Ellipsis for k in key)
    return (*key[:place], *(ALL,) * (ndim - taken), *key[place + 1 :])


def _advanced(k: Any) -> bool:
    return isinstance(k, Here) or (isinstance(k, int) and not isinstance(k, bool))


def _standing(key: Key) -> tuple[int, bool]:
    """How many axes of the result come before the indices' own, and whether those go in front."""
    places = [i for i, k in enumerate(key) if _advanced(k)]
    apart = places[-1] - places[0] + 1 != len(places)
    return (0 if apart else places[0]), apart


def _axes_between(key: Key) -> int:
    """Axes of the result that slices and None of the key make."""
    return sum(not _advanced(k) for k in key)


def _take(op: Op, lanes: int, on: On, xs: Any, attrs: Any) -> Any:
    read = batched_read(lanes, xs[0], on[0], attrs[0], xs[1:], on[1:])
    return _ordered(bind(op, (read.x, *read.indices), (read.key,)), read.order)


def _ordered(x: Tensor, order: tuple[int, ...]) -> Tensor:
    if order == tuple(range(len(order))):
        return x
    return x.permute(order)  # type: ignore[attr-defined, no-any-return]


def _put(op: Op, lanes: int, on: On, xs: Any, attrs: Any) -> Any:
    x, values, *indices = xs
    key, accumulate = attrs
    x = batched(lanes, on[0], x)
    types = [Type(i.array.shape[b:], i.dtype) for i, b in zip(indices, on[2:], strict=True)]
    inner = type_of(x)
    shape = TAKE.infer(Type(inner.shape[1:], inner.dtype), *types, key=key).shape
    read = batched_read(lanes, x, True, key, indices, on[2:])
    values = expand(in_rank(values, on[1], len(shape)), (lanes, *shape))
    back = tuple(np.argsort(read.order).tolist())
    return bind(op, (read.x, _ordered(values, back), *read.indices), (read.key, accumulate))


def _windows(op: Op, lanes: int, on: On, xs: Any, attrs: Any) -> Any:
    key, *sizes = attrs
    if on[1]:
        return _take(TAKE, lanes, on, xs, (key,))
    return bind(op, xs, ((ALL, *key), *sizes))


INDEXING: dict[str, Callable[..., Any]] = {
    "take": _take,
    "index_put": _put,
    "adaptive_windows": _windows,
}
