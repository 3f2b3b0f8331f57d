"""Reading and writing parts of a tensor by position. Floor 4.

A key of numbers, slices, None and ... makes a view. A key with tensors or masks copies: `take`
reads, `put` writes. Every index is checked: one that is out of range raises, in every mode.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from twofold.base import dtypes
from twofold.base.errors import DTypeError, IndexRangeError, IndexTypeError, ShapeError
from twofold.base.records import NamedTuple
from twofold.base.symbols import ceil_div, is_symbol, maximum, minimum, numbers_in, whole
from twofold.base.types import Type
from twofold.ops.bind import bind, mode, share
from twofold.ops.elementwise import cast
from twofold.ops.movement import reshape
from twofold.ops.op import Sample, define
from twofold.ops.ranges import bind_in_range, in_range
from twofold.ops.rules import broadcast, known_size
from twofold.ops.source import blank, known, zeros_of
from twofold.ops.stand_in import stands_in
from twofold.ops.tensor import Tensor, is_of_sizes, type_of, wrap

MASKS = "twofold.where(mask, value, x), which keeps the shape; x * mask; or index outside"


IN_TUPLES = (Tensor, np.ndarray, list, tuple, range, slice, type(None))


class Slice(NamedTuple):
    """A slice that can be a dictionary key."""

    start: int | None
    stop: int | None
    step: int | None


class Here(NamedTuple):
    """The place of index tensor number `number` in a key."""

    number: int


Key = tuple[Any, ...]


def shape_at(
    shape: tuple[int, ...], key: Key, indices: Sequence[tuple[int, ...]] = ()
) -> tuple[int, ...]:
    """The shape of the part that a key names, by NumPy's rule; sizes may be symbols.

    Index tensors, and numbers beside them, are read side by side: their common shape comes where
    they stand if they stand together, else first.
    """
    taken = sum(part is not None and part is not Ellipsis for part in key)
    if Ellipsis not in key:
        key = (*key, Ellipsis)
    made: list[Any] = []
    places: list[int] = []  # where index tensors and numbers stand in the key
    start, axis = 0, 0
    for place, part in enumerate(key):
        if part is Ellipsis:
            made += shape[axis : axis + len(shape) - taken]
            axis += len(shape) - taken
        elif part is None:
            made.append(1)
        elif isinstance(part, Slice):
            made.append(length_of(part, shape[axis]))
            axis += 1
        else:
            start = start if places else len(made)
            places.append(place)
            axis += 1
    if not indices:
        return tuple(made)
    together = places[-1] - places[0] == len(places) - 1
    types = {f"index {k}": Type(n, dtypes.int64) for k, n in enumerate(indices)}
    common = broadcast("index", **types)
    start = start if together else 0
    return (*made[:start], *common, *made[start:])


def length_of(part: Slice, size: Any) -> Any:
    """How many elements of an axis a slice names."""
    start, stop, step = part
    if not any(map(is_symbol, (*part, size))):
        return len(range(*slice(start, stop, step).indices(size)))
    step = 1 if step is None else int(step)
    if step > 0:
        low = 0 if start is None else _from_front(start, size, 0)
        high = size if stop is None else minimum(_from_front(stop, size, 0), size)
        return maximum(ceil_div(high - low, step), 0)
    high = size - 1 if start is None else minimum(_from_front(start, size, -1), size - 1)
    low = -1 if stop is None else minimum(_from_front(stop, size, -1), size - 1)
    return maximum(ceil_div(high - low, -step), 0)


def _from_front(bound: Any, size: Any, least: int) -> Any:
    return maximum(bound + size, least) if bound < 0 else bound


def _plain_key(key: Key) -> Key:
    """The key as NumPy takes it."""
    return tuple(slice(*k) if isinstance(k, Slice) else k for k in key)


def _view_vjp(g: Tensor, out: Any, x: Any, *, key: Key) -> tuple[Tensor]:
    zero = blank(x.shape, g.array.dtype)
    return (bind(PART_PUT, (zero, g), (key,)),)


VIEW = define(
    "index",
    attrs=("key",),
    doc="The part of x that a key of numbers, slices, None and ... names, as a view.",
    infer=lambda x, *, key: Type(shape_at(x.shape, key), x.dtype),
    lower="index",
    ref=lambda x, *, key: x[_plain_key(key) if Ellipsis in key else (*_plain_key(key), ...)],
    vjp=_view_vjp,
    view=True,
    samples=lambda r: [
        Sample((r.normal(size=(4, 5)), (1, Slice(None, None, 2)))),
        Sample((r.normal(size=(4, 5)), (Slice(1, 3, None), None))),
        Sample((r.normal(size=(4,)), (-1,))),
    ],
    torch=lambda x, key: x[_plain_key(key)],
)


def _part_put(x: Any, part: Any, *, key: Key) -> Any:
    made = x.copy()
    made[_plain_key(key)] = part
    return made


def _part_put_vjp(g: Tensor, out: Any, x: Any, part: Any, *, key: Key) -> Any:
    inside = bind(VIEW, (g,), (key,))
    zero = zeros_of((), g.array.dtype)
    return bind(PART_PUT, (g, zero), (key,)), inside


PART_PUT = define(
    "slice_scatter",
    inputs="x part",
    attrs=("key",),
    doc="x with the part that a key names replaced.",
    infer=lambda x, part, *, key: x,
    lower="slice_scatter",
    ref=_part_put,
    vjp=_part_put_vjp,
    samples=lambda r: [
        Sample((r.normal(size=(4, 5)), r.normal(size=(3,)), (1, Slice(None, None, 2))))
    ],
    torch=False,
)


def _full_key(key: Key, indices: tuple[Any, ...]) -> Key:
    return tuple(
        indices[k.number] if isinstance(k, Here) else slice(*k) if isinstance(k, Slice) else k
        for k in key
    )


def take_type(x: Type, *indices: Type, key: Key) -> Type:
    return Type(shape_at(x.shape, key, [i.shape for i in indices]), x.dtype)


def _take(x: Any, *indices: Any, key: Key) -> Any:
    return x[_full_key(key, indices)]


def _take_vjp(g: Tensor, out: Any, x: Any, *indices: Tensor, key: Key) -> Any:
    zero = blank(x.shape, g.array.dtype)
    return (bind(PUT, (zero, g, *indices), (key, True)),) + (None,) * len(indices)


def _index_samples(random: Any) -> list[Sample]:
    x = random.normal(size=(4, 5, 3))
    i, j = np.array([0, 2, 2]), np.array([[1], [4]])
    return [
        Sample((x, i, (Here(0),))),
        Sample((x, i, j, (Here(0), Here(1)))),
        Sample((x, i, (Slice(None, None, None), Here(0)))),
        Sample((x, np.zeros((0,), np.int64), (Here(0),))),
    ]


TAKE = define(
    "take",
    inputs="x *indices",
    attrs=("key",),
    doc="The elements of x at integer tensors of positions, copied (NumPy's advanced indexing).",
    infer=take_type,
    ref=_take,
    vjp=_take_vjp,
    saves="indices",
    lower="take",
    samples=_index_samples,
    torch=lambda x, *rest: x[_full_key(rest[-1], rest[:-1])],
)


def _put(x: Any, values: Any, *indices: Any, key: Key, accumulate: bool) -> Any:
    made = x.copy()
    full = _full_key(key, indices)
    if accumulate:
        np.add.at(made, full, values)
    else:
        made[full] = values
    return made


def _put_vjp(
    g: Tensor, out: Any, x: Any, values: Any, *indices: Tensor, key: Key, accumulate: bool
) -> Any:
    g_values = bind(TAKE, (g, *indices), (key,))
    if accumulate:
        return (g, g_values) + (None,) * len(indices)
    zero = zeros_of((), g.array.dtype)
    return (bind(PUT, (g, zero, *indices), (key, False)), g_values) + (None,) * len(indices)


PUT = define(
    "index_put",
    inputs="x values *indices",
    attrs=("key", "accumulate"),
    doc="x with values written (or added, in order of occurrence) at integer tensors of positions.",
    infer=lambda x, values, *indices, key, accumulate: x,
    ref=_put,
    vjp=_put_vjp,
    saves="indices",
    lower="index_put",
    samples=lambda r: [
        Sample(
            (r.normal(size=(4, 3)), r.normal(size=(3, 3)), np.array([0, 2, 2]), (Here(0),), True)
        ),
        Sample((r.normal(size=(4, 3)), r.normal(size=(2, 3)), np.array([3, 1]), (Here(0),), False)),
    ],
    torch=lambda x, v, *rest: x.index_put(tuple(rest[:-2]), v, accumulate=rest[-1]),
)


def _is_flag(part: Any) -> bool:
    """Whether a part of a key is True or False, or a 0-d mask."""
    if isinstance(part, Tensor | np.ndarray):
        array = getattr(part, "array", part)
        return bool(array.ndim == 0 and array.dtype == np.bool_)
    return isinstance(part, bool | np.bool_)


def as_bool(part: Any) -> Any:
    """A mask of uint8 as one of bool; other parts of a key as they are."""
    is_old = isinstance(part, Tensor) and part.dtype is dtypes.uint8
    return cast(part, dtypes.bool_) if is_old else part


def _listed(key: list[Any]) -> Any:
    """A list of index tensors, lists or slices is read as a tuple of them, as PyTorch reads it."""
    if len(key) >= 32 or not any(isinstance(part, IN_TUPLES) or part is ... for part in key):
        return key
    warnings.warn("a list of indices is read as a tuple: x[tuple(indices)] says so", stacklevel=4)
    return tuple(key)


def with_flags(x: Tensor, key: Any) -> tuple[Tensor, Any]:
    """The same part as (tensor, key) without True and False: each is a new axis of size 1, of
    which it takes that one or none. Masks of uint8, from before there was bool, are of bool then.
    """
    key = _listed(key) if type(key) is list else key
    parts = key if isinstance(key, tuple) else (key,)
    if any([isinstance(part, Tensor) and part.dtype is dtypes.uint8 for part in parts]):
        parts = tuple([as_bool(part) for part in parts])
        key = parts if isinstance(key, tuple) else parts[0]
    if not any([_is_flag(part) for part in parts]):
        return x, key
    rest = x.array.ndim - sum(axes_taken(p) for p in parts if p is not Ellipsis)
    axes: list[Any] = []
    made: list[Any] = []
    for part in parts:
        if _is_flag(part):
            axes.append(None)
            made.append(np.zeros(int(bool(part)), np.int64))
            continue
        count = max(rest, 0) if part is Ellipsis else axes_taken(part)
        axes += [Slice(None, None, None)] * count
        made.append(part)
    return bind(VIEW, (x,), (tuple(axes),)), tuple(made)


def parse_key(x: Tensor, key: Any) -> tuple[Key, tuple[Tensor, ...]]:
    """A key as the records take it, and its index tensors. Raises IndexRangeError, DTypeError."""
    parts = key if isinstance(key, tuple) else (key,)
    made: list[Any] = []
    indices: list[Tensor] = []
    axes = sum(axes_taken(p) for p in parts)
    if axes > x.array.ndim:
        raise IndexRangeError(
            "index",
            f"{axes} indices for {x.array.ndim} axes",
            hint=f"{x.array.ndim} indices at most",
            input=type_of(x),
        )
    axis = 0
    for part in parts:
        if part is Ellipsis:
            axis = x.array.ndim - sum(axes_taken(p) for p in parts[len(made) + 1 :])
            made.append(Ellipsis)
        elif part is None:
            made.append(None)
        elif isinstance(part, slice):
            made.append(Slice(*map(_bound, (part.start, part.stop, part.step))))
            axis += 1
        elif isinstance(part, bool | np.bool_) or not isinstance(part, int | np.integer):
            axis = _parse_array(x, part, axis, made, indices)
        elif (index := getattr(part, "tensor", None)) is not None:  # a number that a run knows
            axis = _parse_array(x, index, axis, made, indices)
        else:
            made.append(checked_index(whole(part), x, axis))
            axis += 1
    _check_together(x, indices)
    if indices and Ellipsis in made and axes == x.array.ndim:
        made.remove(Ellipsis)  # nothing stands there that would part indices from each other
    return tuple(made), tuple(indices)


def numbers_first(key: Key) -> tuple[Key, Key] | None:
    """The key of a view by the numbers in a key, and what is left for its index tensors; None where
    both are read at once. NumPy puts the common axes first where a slice stands between a number
    and an index tensor; PyTorch takes the number away before.
    """
    places = [i for i, part in enumerate(key) if isinstance(part, int | Here)]
    together = places[-1] - places[0] == len(places) - 1
    if together or not any(isinstance(key[i], int) for i in places):
        return None
    whole_axes = (ALL if isinstance(part, Here | Slice) else part for part in key)
    view = tuple(part for part in whole_axes if part is not None)
    return view, tuple(part for part in key if not isinstance(part, int))


def _check_together(x: Tensor, indices: list[Tensor]) -> None:
    """Index tensors are read side by side: their shapes must broadcast."""
    if len(indices) > 1:
        facts = {f"index {k}": type_of(i) for k, i in enumerate(indices)}
        try:
            broadcast("index", **facts)
        except ShapeError as error:
            hint = "x[rows][:, columns] for a grid, or index tensors of one shape"
            raise ShapeError(
                "index", error.problem, hint=hint, input=type_of(x), **error.facts
            ) from None


def axes_taken(part: Any) -> int:
    if part is None or part is Ellipsis or _is_flag(part):
        return 0
    array = getattr(part, "array", part)
    return array.ndim if getattr(array, "dtype", None) == np.bool_ else 1


def _bound(value: Any) -> int | None:
    if value is None:
        return None
    if is_symbol(value):
        return value  # type: ignore[no-any-return]
    try:
        value = known_size(value)
        return value if is_symbol(value) else int(value.__index__())
    except (AttributeError, TypeError):
        raise DTypeError(
            "index", f"a slice bound is {value!r}, not an integer", hint="int(...), or a // b"
        ) from None


def checked_index(index: int, x: Tensor, axis: int) -> int:
    """The index, where the axis has it. Raises IndexRangeError."""
    size = x.array.shape[axis]
    if not -size <= index < size:
        raise _outside(index, x, axis)
    return index


def _outside(index: Any, x: Tensor, axis: int) -> Exception:
    size = x.array.shape[axis]
    return IndexRangeError(
        "index",
        f"index {index} is out of range on axis {axis}",
        hint=f"{-size} to {size - 1}" if size else "nothing: the axis has size 0",
        input=type_of(x),
    )


def _parse_array(x: Tensor, part: Any, axis: int, made: list[Any], indices: list[Tensor]) -> int:
    plain = isinstance(part, Tensor | np.ndarray | list | tuple | range | np.number)
    if not plain and not hasattr(part, "__index__"):
        raise IndexTypeError(
            "index",
            f"{part!r} is a {type(part).__name__}, not an index",
            hint="a whole number, a slice, None, ..., or a tensor of positions or of bool",
            input=type_of(x),
        )
    array: Any = part
    if not is_of_sizes(part):
        array = part.array if isinstance(part, Tensor) else np.asarray(part)
    if is_of_sizes(array):
        array = array.as_array()
    if array.dtype == object and mode.capture is not None:
        array = numbers_in(array)  # NumPy's, of sizes
    if array.dtype == np.bool_:
        return _parse_mask(x, array, axis, made, indices)
    if not isinstance(part, Tensor | np.ndarray) and array.size == 0:
        array = array.astype(np.int64)
    if array.dtype.kind not in "iu":
        raise IndexTypeError(
            "index",
            f"an index is {array.dtype}, not integer or bool",
            hint="index.long() for positions, index.bool() for a mask",
            input=type_of(x),
        )
    if array.ndim == 0 and isinstance(array, np.ndarray):
        made.append(checked_index(int(array), x, axis))
        return axis + 1
    made.append(Here(len(indices)))
    plain = plain and isinstance(array, np.ndarray)
    index = part if isinstance(part, Tensor) else known(array) if plain else wrap(array)
    indices.append(_in_range(cast(index, dtypes.int64), x, axis))
    return axis + 1


def _in_range(index: Tensor, x: Tensor, axis: int) -> Tensor:
    size = x.array.shape[axis]
    return in_range(index, -size, size, lambda number: _outside(number, x, axis))


def _parse_mask(x: Tensor, mask: Any, axis: int, made: list[Any], indices: list[Tensor]) -> int:
    sizes = x.array.shape[axis : axis + mask.ndim]
    if mask.shape != sizes and not _is_empty_part(mask.shape, sizes):
        raise IndexRangeError(
            "index",
            f"a mask of shape {list(mask.shape)} does not fit from axis {axis} on",
            hint=f"a mask of shape {list(sizes)}",
            input=type_of(x),
        )
    for places in places_of(mask, "as many elements as a mask has true ones"):
        made.append(Here(len(indices)))
        indices.append(wrap(places))
    return axis + int(mask.ndim)


def places_of(mask: Any, what: str) -> tuple[Any, ...]:
    """The places of a mask's true elements, an array for each axis. In a graph, as many as a run
    will find; CaptureError, where a run cannot know it before.
    """
    known = isinstance(mask, np.ndarray)
    if known and (mode.capture is None or not mode.capture.reads_outside(mask)):
        return true_places(mask)
    if mode.capture is None or stands_in(mask):
        mask.needed(what, hint=MASKS)
    return mode.capture.places_of(mask, what, MASKS)  # type: ignore[no-any-return]


def true_places(mask: Any) -> tuple[Any, ...]:
    """np.nonzero, which takes 26 ns for each place on several axes: from the flat ones a fifth."""
    if mask.ndim < 2 or not mask.size:
        return np.nonzero(mask)
    return np.unravel_index(np.flatnonzero(mask), mask.shape)


def _is_empty_part(shape: Sequence[int], sizes: Sequence[int]) -> bool:
    """Whether a mask has no elements, and size 0 in the place of every size that it has not."""
    together = zip(shape, sizes, strict=False)
    return len(shape) == len(sizes) and all(n in (size, 0) for n, size in together)


def is_plain(x: Tensor) -> bool:
    """Whether nobody looks on, and the tensor has an array with axes."""
    plain = mode.interpreter is None and mode.capture is None
    return plain and type(x.array) is np.ndarray and x.array.ndim > 0


def taken(x: Tensor, axis: int, index: Tensor) -> Tensor:
    """x at positions i64 along an axis. Raises IndexRangeError for one that is not there."""
    size, key = x.array.shape[axis], (*(ALL,) * axis, Here(0))
    made: Tensor = bind_in_range(
        TAKE, (x, index), (key,), 1, -size, size, lambda number: _outside(number, x, axis)
    )
    return made


ALL = Slice(None, None, None)


def getitem(self: Tensor, key: Any) -> Tensor:
    """x[key] by NumPy's rules: a view for numbers and slices, a copy for tensors, lists and
    masks.
    """
    made: Tensor
    untaped = type(key) is int and is_plain(self) and not (mode.grad and self.tracked)
    if untaped and -self.array.shape[0] <= key < self.array.shape[0]:
        made = wrap(self.array[key, ...])
        share(made, self, VIEW, ((key,),))
        return made
    if type(key) is Tensor and type(self.array) is np.ndarray and type(key.array) is np.ndarray:
        index = key.array
        if index.dtype == np.int64 and index.ndim and self.array.ndim:
            return taken(self, 0, key)
        if index.dtype == np.int64 and not index.ndim and is_plain(self):
            return getitem(self, int(index))
        whole_mask = index.dtype == np.bool_ and index.shape == self.array.shape
        if whole_mask and index.ndim and mode.capture is None:
            flat = self if index.ndim == 1 else reshape(self, (-1,))
            return bind(TAKE, (flat, wrap(index.ravel().nonzero()[0])), ((Here(0),),))  # type: ignore[no-any-return]
    x, key = with_flags(self, key)
    if mode.capture is not None:
        x, key = mode.capture.without_windows(x, key)
    parsed, indices = parse_key(x, key)
    if indices:
        if (apart := numbers_first(parsed)) is not None:
            x, parsed = bind(VIEW, (x,), (apart[0],)), apart[1]
        made = bind(TAKE, (x, *indices), (parsed,))
        if mode.capture is not None and not any(index.array.ndim for index in indices):
            mode.capture.took(made)
    else:
        made = bind(VIEW, (x,), (parsed,))
    return made
